# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Asks as charms did that have the library data_interfaces v0."""

import json
from typing import Any

import ops


class Asks:
    """One request."""

    def __init__(self, charm: Any, resource: str):
        self._charm = charm
        self._resource = resource
        on = charm.on["valkey"]
        self.events = [on.relation_changed, on.relation_broken, charm.on.secret_changed]
        charm.framework.observe(on.relation_created, charm.ask)

    def ask(self, relation: ops.Relation) -> None:
        """Ask, as the leader."""
        wanted = json.dumps(["username", "password", "tls", "tls-ca", "uris"])
        asks = {"database": self._resource, "requested-secrets": wanted}
        relation.data[self._charm.app].update(asks)

    def answer(self) -> dict[str, str] | None:
        """Return what there is to log in with; None: nothing yet."""
        for relation in self._charm.model.relations["valkey"]:
            bag = relation.data[relation.app]
            if "secret-user" not in bag or "endpoints" not in bag:
                continue
            label = f"valkey.{relation.id}.user.secret"
            secret = self._charm.model.get_secret(id=bag["secret-user"], label=label)
            user = secret.get_content(refresh=True)
            return {
                "url": f"redis://{user['username']}:{user['password']}@{bag['endpoints']}",
                "readers": bag.get("read-only-endpoints", ""),
                "sentinels": bag["sentinel-endpoints"],
            }
        return None
