# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Redis with Sentinel on Kubernetes: the charm.

An event wakes the charm; it looks (``World``), plans, applies the steps, and looks again until
nothing is left to do or the hook's budget is spent. Here events become purposes, and the last look
statuses; the loop is in ``engine``, what the charm can do in ``capabilities``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import cast

import ops

import capabilities
import constants as c
import events
from engine import hands, status
from engine.capability import found
from engine.hook import Hook, Memory
from engine.purpose import Departure, Routine, Stop
from errors import WorkloadError
from model import hooktools
from model.peers import Hosts
from passwords.users import is_guest

logger = logging.getLogger(__name__)


class RedisK8sCharm(ops.CharmBase):
    """Observes Juju's events."""

    _memory = ops.StoredState()
    """What this unit has told Juju, and where Juju has put its volume; lost with the pod."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        hooktools.gather_logs()
        self._memory.set_default(volume="", unit_status="", app_status="", version="")
        self._memory.set_default(removed="", ports_wait=True, service={}, clients={}, tenants={})
        self._hook = Hook(
            model=self.model,
            config=self.config,
            memory=cast(Memory, self._memory),
            hosts=Hosts(self.app.name, self.model.name),
            routine=events.is_routine(os.environ),
        )
        for capability in capabilities.CAPABILITIES:
            if capability.join and capability.joins(self._hook):
                found(capability.join)(self, self._hook)
        if os.environ.get("JUJU_ACTION_NAME"):
            from actions import Actions

            # ops keeps no observer.
            self._actions = Actions(self, self._hook)

        on = self.on
        relations = [name for each in capabilities.CAPABILITIES for name in each.relations]
        for event in (
            on.leader_elected,
            on.config_changed,
            on.upgrade_charm,
            on.update_status,
            on.secret_changed,
            on[c.STORAGE].storage_attached,
            on[c.STORAGE].storage_detaching,
            on[c.REDIS].pebble_ready,
            on[c.SENTINEL].pebble_ready,
            on[c.REDIS].pebble_custom_notice,
            on[c.SENTINEL].pebble_custom_notice,
            on[c.PEER_RELATION].relation_created,
            on[c.PEER_RELATION].relation_changed,
            *(on[name].relation_created for name in relations),
            *(on[name].relation_changed for name in relations),
            *(on[name].relation_departed for name in relations),
            *(on[name].relation_broken for name in relations),
        ):
            framework.observe(event, self._on_event)
        framework.observe(on[c.PEER_RELATION].relation_departed, self._on_peers_departed)
        framework.observe(on.secret_remove, self._on_secret_remove)
        framework.observe(on.stop, self._on_stop)
        framework.observe(on.collect_unit_status, self._on_collect_unit_status)
        framework.observe(on.collect_app_status, self._on_collect_app_status)

    def _on_event(self, _: ops.EventBase) -> None:
        world = hands.reconcile(self._hook, Routine())
        redis = world.own_redis
        # Each call costs as much as a look at a node.
        if redis and redis.version != self._memory.version:
            self.unit.set_workload_version(redis.version)
            self._memory.version = redis.version
        # Juju keeps what is open, so it is looked at once for each pod.
        if self._memory.ports_wait and world.redis_container.ready:
            self._open_ports()

    def _open_ports(self) -> None:
        """Give the Service of the application its ports; the image decides on that of metrics."""
        try:
            ports = [c.REDIS_PORT, c.SENTINEL_PORT]
            image = self._hook.images.get(c.REDIS) or self._hook.redis.image()
            if image.exporter is not None:
                ports.append(c.EXPORTER_PORT)
            self.unit.set_ports(*ports)
            self._memory.ports_wait = False
        except (WorkloadError, ops.ModelError) as e:
            if isinstance(e, ops.ModelError) and not hooktools.is_spent(e):
                raise
            logger.warning("The ports are not open yet: %s", hooktools.reason_of(e))
            self._memory.ports_wait = True

    def _on_secret_remove(self, event: ops.SecretRemoveEvent) -> None:
        # Nobody reads this revision any more, so passwords that have gone leave Juju too.
        label = event.secret.label or ""
        which = f"{label} {event.revision}"
        tenants = label.startswith(f"{c.TENANT_RELATION}.")
        if tenants and self._is_released(event, label):
            self._on_event(event)
        ours = label == c.SECRET_LABEL or is_guest(label) or tenants
        if not ours or self._memory.removed == which:
            # Juju repeats a hook at whose end it found that the revision had gone.
            return
        self._memory.removed = which
        try:
            event.remove_revision()
        except ops.ModelError as e:
            # It has gone, or this unit leads no more.
            if not (isinstance(e, ops.SecretNotFoundError) or hooktools.is_spent(e)):
                raise
            reason = hooktools.reason_of(e)
            logger.warning("Revision %s of a secret stays: %s", event.revision, reason)

    def _is_released(self, event: ops.SecretRemoveEvent, label: str) -> bool:
        """Whether it is news that nobody has the password in this revision any more."""
        try:
            latest = event.secret.get_info().revision
        except ops.SecretNotFoundError:
            # It has gone, or this unit leads no more.
            return False
        return bool(found("tenants.look:released")(self._hook, label, event.revision, latest))

    def _on_peers_departed(self, event: ops.RelationDepartedEvent) -> None:
        unit = event.departing_unit
        host = self._hook.hosts.of(unit.name) if unit else None
        hands.reconcile(self._hook, Departure(host))

    def _on_stop(self, _: ops.StopEvent) -> None:
        hands.reconcile(self._hook, Stop())

    # An event that gave no reason to look, or an action, leaves the statuses as they are.

    def _on_collect_unit_status(self, event: ops.CollectStatusEvent) -> None:
        if self._hook.world:
            self._show(event, "unit_status", status.unit_statuses(self._hook.world))

    def _on_collect_app_status(self, event: ops.CollectStatusEvent) -> None:
        if self._hook.world:
            self._show(event, "app_status", status.app_statuses(self._hook.world))

    def _show(
        self, event: ops.CollectStatusEvent, kind: str, statuses: Iterable[ops.StatusBase]
    ) -> None:
        """Set statuses, but not in a hook that tells nothing when they are those that Juju has.

        In other hooks somebody else may have set one: Juju, or the leader before this one.
        """
        found = list(statuses)
        text = "; ".join(f"{each.name} {each.message}" for each in found)
        if self._hook.routine and text == getattr(self._memory, kind):
            return
        for each in found:
            event.add_status(each)
        setattr(self._memory, kind, text)
