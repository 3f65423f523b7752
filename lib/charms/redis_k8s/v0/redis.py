# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Library for the interface ``redis``: use the Redis of the charm redis-k8s.

## Use Redis

```python
from charms.redis_k8s.v0.redis import RedisRelationCharmEvents, RedisRequires


class MyCharm(CharmBase):
    on = RedisRelationCharmEvents()

    def __init__(self, *args):
        super().__init__(*args)
        self.redis = RedisRequires(self, "redis")
        self.framework.observe(self.on.redis_relation_updated, self._on_redis_relation_updated)

    def _on_redis_relation_updated(self, event):
        # None until there is all that is needed to log in.
        self.redis.url
```

and in metadata.yaml:

```yaml
requires:
  redis:
    interface: redis
```

``url`` has user, password, host and port, ``rediss://`` where Redis speaks TLS; their parts are
``username``, ``password``, ``host``, ``port``, ``tls`` and ``tls_ca``. ``redis_relation_updated``
is emitted whenever one of them may have changed, the password too. A handler is to connect anew,
with what it reads then: when it has returned, the library tells the provider that this unit has
the present password, and when all units have told so, the one before ends.

The host leads to the primary, now and after a failover. A client that follows Sentinel by itself
finds it in ``sentinels`` and ``sentinel_name``, with the same user and password.

Several relations of the interface: one ``RedisRequires`` for each endpoint.

## What is in the databags

| databag | key | what |
|---|---|---|
| requirer, every unit | `user-secrets` | `1`: this unit can take a user from a secret |
| | `user-version` | the version of the user that this unit has taken |
| provider, every unit | `hostname`, `port` | where the primary is |
| | `user-secrets` | `1`: whoever can take a user gets one |
| provider, application | `leader-host` | as `hostname` |
| | `user-secrets` | as above |
| | `user-secret` | id of the secret with `username`, `password` and `version` |
| | `tls` | `true` or `false` |
| | `tls-ca` | the authorities to trust with TLS, in PEM format |
| | `sentinels` | `HOST:PORT` of each Sentinel, separated by commas |
| | `sentinel-name` | the name by which they know the primary |

A provider of before has `hostname`, `port` and `leader-host` alone; it has no users, and ``url``
has none then. A requirer of before says nothing of itself; a provider of now refuses it unless
its operator decides otherwise.

Secrets need Juju 3.0.3 and ops 2.0 or newer. With older ones the library says that it cannot take
a user.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from ops.charm import CharmBase, CharmEvents, RelationBrokenEvent
from ops.framework import EventBase, EventSource, Object
from ops.jujuversion import JujuVersion
from ops.model import ModelError

if TYPE_CHECKING:
    from ops.charm import RelationEvent, SecretChangedEvent
    from ops.model import Relation, RelationDataContent, Secret

# The unique Charmhub library identifier, never change it.
LIBID = "fe18a608cec5465fa5153e419abcad7b"

# Increment this major API version when introducing breaking changes.
LIBAPI = 0

# Increment this PATCH version before using `charmcraft publish-lib`.
LIBPATCH = 8

logger = logging.getLogger(__name__)

DEFAULT_RELATION_NAME = "redis"

_CAN = "user-secrets"
_FORM = "1"
_TAKEN = "user-version"


class RedisRelationUpdatedEvent(EventBase):
    """Something of what the relation says has changed, or it has ended."""


class RedisRelationCharmEvents(CharmEvents):
    """The events of a charm that uses Redis."""

    redis_relation_updated = EventSource(RedisRelationUpdatedEvent)


class RedisRequires(Object):
    """The side of the charm that uses Redis.

    Args:
        charm: whose ``on`` is a ``RedisRelationCharmEvents``.
        relation_name: of the endpoint.
    """

    def __init__(self, charm: CharmBase, relation_name: str = DEFAULT_RELATION_NAME):
        super().__init__(charm, relation_name)
        self.charm = charm
        self.relation_name = relation_name
        self._contents: dict[str, Mapping[str, str] | None] = {}
        on, observe = charm.on, self.framework.observe
        observe(on[relation_name].relation_created, self._on_created)
        observe(on[relation_name].relation_joined, self._on_relation_changed)
        observe(on[relation_name].relation_changed, self._on_relation_changed)
        observe(on[relation_name].relation_broken, self._on_relation_broken)
        # A charm that comes to this library by an upgrade has its relations already.
        observe(on.upgrade_charm, self._on_created)
        observe(on.config_changed, self._on_created)
        if self._has_secrets:
            observe(on.secret_changed, self._on_secret_changed)

    @property
    def relation_data(self) -> RelationDataContent | None:
        """The databag of a unit of the provider; None: there is none yet."""
        relation = self._relation
        if relation is None or not relation.units:
            return None
        units = sorted(relation.units, key=lambda unit: unit.name)
        # One that has just come may not have said anything yet.
        found = [relation.data[unit] for unit in units]
        return next((data for data in found if data.get("hostname")), found[0])

    @property
    def app_data(self) -> RelationDataContent | None:
        """The databag of the provider's application; None: there is no relation."""
        relation = self._relation
        if relation is None or relation.app is None:
            return None
        return relation.data[relation.app]

    @property
    def url(self) -> str | None:
        """How to reach Redis, with user and password; None: not all of it is known yet."""
        host, port = self.host, self.port
        if not host or not port or (self._has_users and not self.password):
            return None
        login = ""
        if self.password:
            login = f"{quote(self.username or '', safe='')}:{quote(self.password, safe='')}@"
        return f"{'rediss' if self.tls else 'redis'}://{login}{host}:{port}"

    @property
    def host(self) -> str | None:
        """Where the primary is; None: not known yet."""
        return self._app_text("leader-host") or self._unit_text("hostname")

    @property
    def port(self) -> str | None:
        """The port of Redis; None: not known yet."""
        return self._unit_text("port")

    @property
    def username(self) -> str | None:
        """The user of this application; None: there is none, or not yet."""
        return self._user.get("username")

    @property
    def password(self) -> str | None:
        """The user's password; None: there is none, or not yet."""
        return self._user.get("password")

    @property
    def tls(self) -> bool:
        """Whether Redis speaks TLS, and nothing else."""
        return self._app_text("tls") == "true"

    @property
    def tls_ca(self) -> str | None:
        """The authorities to trust, in PEM format; None without TLS."""
        return (self._app_text("tls-ca") or None) if self.tls else None

    @property
    def sentinels(self) -> list[tuple[str, int]]:
        """Host and port of each Sentinel; empty: the provider does not tell."""
        text = self._app_text("sentinels") or ""
        pairs = (each.rpartition(":") for each in text.split(",") if each)
        return [(host, int(port)) for host, _, port in pairs]

    @property
    def sentinel_name(self) -> str | None:
        """The name by which the Sentinels know the primary; None: the provider does not tell."""
        return self._app_text("sentinel-name")

    # Events

    def _on_created(self, _: EventBase) -> None:
        for relation in self.model.relations[self.relation_name]:
            self._say(relation, _CAN, _FORM if self._has_secrets else "")

    def _on_relation_changed(self, event: RelationEvent) -> None:
        self._on_created(event)
        self._tell(event.relation)

    def _on_relation_broken(self, _: RelationBrokenEvent) -> None:
        self.charm.on.redis_relation_updated.emit()  # type: ignore[attr-defined]

    def _on_secret_changed(self, event: SecretChangedEvent) -> None:
        relation = self._relation
        if relation is None or not self._is_same(event.secret, self._app_text("user-secret")):
            return
        self._read(self._app_text("user-secret") or "", refresh=True)
        self._tell(relation)

    def _tell(self, relation: Relation) -> None:
        """Tell the charm, and the provider what this unit has then."""
        self.charm.on.redis_relation_updated.emit()  # type: ignore[attr-defined]
        version = self._user.get("version")
        if version:
            self._say(relation, _TAKEN, version)

    def _say(self, relation: Relation, key: str, text: str) -> None:
        data = relation.data[self.model.unit]
        if data.get(key, "") != text:
            data[key] = text

    # What there is

    @property
    def _relation(self) -> Relation | None:
        relation = self.model.get_relation(self.relation_name)
        # In relation-broken there is nothing any more that could be used.
        return relation if relation is not None and getattr(relation, "active", True) else None

    @property
    def _has_secrets(self) -> bool:
        if not hasattr(self.model, "get_secret"):
            return False
        # Newer releases of ops have it there, and older ones do not.
        version = getattr(self.model, "juju_version", None) or JujuVersion.from_environ()
        return version.has_secrets

    @property
    def _has_users(self) -> bool:
        """Whether the provider gives a user to whoever can take one, as this unit can.

        Its units say so first. Where the application says other it is one of before, or has not
        made the user of a relation that goes on from before.
        """
        says = self._app_text if self._app_text("leader-host") else self._unit_text
        return self._has_secrets and says(_CAN) == _FORM

    @property
    def _user(self) -> Mapping[str, str]:
        """The content of the secret; empty: there is none, or it can't be read now."""
        secret_id = self._app_text("user-secret")
        if not secret_id or not self._has_secrets:
            return {}
        if secret_id not in self._contents:
            self._read(secret_id)
        return self._contents[secret_id] or {}

    def _read(self, secret_id: str, refresh: bool = False) -> None:
        try:
            content = self.model.get_secret(id=secret_id).get_content(refresh=refresh)
        except ModelError as e:
            # Not granted yet, or no more; what becomes of that comes with an event.
            logger.debug("The secret with the user of Redis can't be read: %s", e)
            content = None
        self._contents[secret_id] = content

    @staticmethod
    def _is_same(secret: Secret, secret_id: str | None) -> bool:
        """Whether an event is about a secret; ids have a short form and forms with the model."""

        def short(text: str) -> str:
            return text.rpartition("/")[2].rpartition(":")[2]

        return bool(secret_id and secret.id) and short(secret.id or "") == short(secret_id or "")

    def _app_text(self, key: str) -> str | None:
        data = self.app_data
        return data.get(key) if data else None

    def _unit_text(self, key: str) -> str | None:
        data = self.relation_data
        return data.get(key) if data else None


class RedisProvides(Object):
    """The side of a charm that offers a Redis without users, as before.

    The charm redis-k8s itself writes what is in the table above by its own means.

    Args:
        charm: has the host of the primary as ``current_master``.
        port: of Redis.
    """

    def __init__(self, charm: CharmBase, port: int):
        super().__init__(charm, DEFAULT_RELATION_NAME)
        self._charm = charm
        self._port = port
        for event in (
            charm.on[DEFAULT_RELATION_NAME].relation_created,
            charm.on[DEFAULT_RELATION_NAME].relation_changed,
        ):
            self.framework.observe(event, self._on_relation_changed)

    def _on_relation_changed(self, event: RelationEvent) -> None:
        host = self._charm.current_master  # type: ignore[attr-defined]
        if host:
            event.relation.data[self.model.unit]["hostname"] = host
            event.relation.data[self.model.unit]["port"] = str(self._port)
