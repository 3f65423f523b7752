# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The keys of the databags of the relation ``redis``.

docs/reference/client-relation.md has them for others, and lib/charms/redis_k8s/v0/redis.py reads
what is written by them.
"""

CAN = "user-secrets"
"""A unit that says this can take a user from a secret; who gives one says it too."""
FORM = "1"
TAKEN = "user-version"
"""Of a unit of the client: the version that it has taken. Of our application: the latest."""
HOST = "hostname"
PORT = "port"
LEADER_HOST = "leader-host"
USER = "user-secret"
TLS = "tls"
CA = "tls-ca"
SENTINELS = "sentinels"
SENTINEL_NAME = "sentinel-name"
