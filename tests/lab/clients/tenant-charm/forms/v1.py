# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Asks with the library dpcharmlibs-interfaces."""

import ops
from dpcharmlibs.interfaces import (
    RequirerCommonModel,
    ResourceRequirerEventHandler,
    ValkeyResponseModel,
)


class Asks:
    """One request."""

    def __init__(self, charm: ops.CharmBase, resource: str):
        self._charm = charm
        request = RequirerCommonModel(resource=resource)
        self._valkey = ResourceRequirerEventHandler(
            charm, "valkey", requests=[request], response_model=ValkeyResponseModel
        )
        on = self._valkey.on
        self.events = [on.resource_created, on.endpoints_changed, on.authentication_updated]
        self.events += [on.read_only_endpoints_changed, charm.on["valkey"].relation_broken]

    def answer(self) -> dict[str, str] | None:
        """Return what there is to log in with; None: nothing yet."""
        for relation in self._charm.model.relations["valkey"]:
            answers = self._valkey.interface.build_model(relation.id, component=relation.app)
            for each in answers.requests:
                if each.username and each.password and each.endpoints:
                    return {
                        "url": f"redis://{each.username}:{each.password}@{each.endpoints}",
                        "readers": each.read_only_endpoints or "",
                        "sentinels": each.sentinel_endpoints or "",
                    }
        return None
