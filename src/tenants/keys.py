# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The keys of the databags of the relation ``valkey-client``, and of its secrets.

docs/reference/valkey-client.md has them for others. They are those of the interface
``valkey_client``, but for ``SERVED``.
"""

VERSION = "version"
"""Of the form, in v1; in v0 of the server."""
V0 = "v0"
V1 = "v1"
REQUESTS = "requests"
DATA = "data"
"""In v1 the requests as they are answered, where the library of the other side looks them up."""
SERVED = "served"
"""For the leaders of this application only: what each answer's secrets hold."""

RESOURCE = "resource"
ALIASES = ("database", "subject", "topic", "index", "plugin-url", "prefix")
"""What v0 calls the resource; the first that is there counts."""
REQUEST_ID = "request-id"
SALT = "salt"
ENTITIES = (
    "entity-type",
    "entity-permissions",
    "requested-entity-secret",
    "secret-requested-entity",
)
"""With one of these a request asks for more than a user."""

ENDPOINTS = "endpoints"
READ_ONLY = "read-only-endpoints"
SENTINELS = "sentinel-endpoints"
MODE = "mode"
USER = "secret-user"
TLS = "secret-tls"
GROUPS = {USER: "user", TLS: "tls"}
"""By the key with a secret's id: what its label says of it."""

VERSION_OF_USER = "user"
AUTHORITIES = "tls"
TAKEN = "taken"
