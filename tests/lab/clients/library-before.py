# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A stand-in for the library of before, with what charms rely on: host and port, no login.

It tells of what units say, never of what the application alone says; it says nothing itself.
"""

from ops.charm import CharmEvents
from ops.framework import EventBase, EventSource, Object


class RedisRelationUpdatedEvent(EventBase):
    """A unit of the provider has said something, or the relation has ended."""


class RedisRelationCharmEvents(CharmEvents):
    """The events of a charm that uses Redis."""

    redis_relation_updated = EventSource(RedisRelationUpdatedEvent)


class RedisRequires(Object):
    """The side of the charm that uses Redis."""

    def __init__(self, charm, relation_name="redis"):
        super().__init__(charm, relation_name)
        self.charm = charm
        self.relation_name = relation_name
        on = charm.on[relation_name]
        self.framework.observe(on.relation_joined, self._on_changed)
        self.framework.observe(on.relation_changed, self._on_changed)
        self.framework.observe(on.relation_broken, self._on_broken)

    def _on_changed(self, event):
        if event.unit:
            self.charm.on.redis_relation_updated.emit()

    def _on_broken(self, _):
        self.charm.on.redis_relation_updated.emit()

    @property
    def _relation(self):
        return self.model.get_relation(self.relation_name)

    @property
    def relation_data(self):
        """The databag of some unit of the provider."""
        relation = self._relation
        if relation is None or not relation.units:
            return None
        return relation.data[next(iter(relation.units))]

    @property
    def app_data(self):
        """The databag of the provider's application."""
        relation = self._relation
        return None if relation is None else relation.data[relation.app]

    @property
    def url(self):
        """Where Redis is; of parts that are not there yet it says None."""
        data = self.relation_data
        if data is None:
            return None
        host = (self.app_data or {}).get("leader-host", data.get("hostname"))
        return f"redis://{host}:{data.get('port')}"
