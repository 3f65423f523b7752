# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Looks at the labels of the pods, and moves them.

A hook asks Kubernetes only if something is other than when this unit last did. It never fails or
waits for long over it: after the first request that fails there is no other in this hook, and a
later hook asks again, less and less often.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from constants import REDIS_PORT
from engine.world import World
from errors import AdapterError
from service import labels
from service.view import PRIMARY, REPLICA, Memory, ServiceView

if TYPE_CHECKING:
    from service import kube

logger = logging.getLogger(__name__)

_PATIENCE = 8
"""After so many failures in a row nobody is woken for the next attempt."""
_LONGEST_S = 300.0
_HOPE = frozenset({"config-changed", "upgrade-charm"})
"""Hooks that come when an operator may have changed what Kubernetes allows (``juju trust``)."""


class Room:
    """The Services of one application, as one unit looks after them.

    Args:
        app: the application.
        stored: has what the unit remembers, as the attribute ``service``.
        connect: opens the API; raises KubeError.
    """

    def __init__(self, app: str, stored: Any, connect: Callable[[], kube.Kube] | None = None):
        self._app = app
        self._stored = stored
        self._connect = connect or _connect
        self._kube: kube.Kube | None = None
        self._pods: dict[str, kube.Pod] | None = None
        self._failed = False
        if _hook() in _HOPE:
            self._remember(hopeless=False, offered=False, failures=0)

    def may_lead(self, world: World) -> bool:
        """Whether this unit may have become primary without anybody having labelled it."""
        memory = self._memory
        return memory.primary not in ("", world.host) and self._may_ask()

    def look(self, world: World) -> World:
        """Add the labels, if something is to be changed."""
        memory = self._memory
        if not labels.is_due(world, memory):
            return dataclasses.replace(world, service=ServiceView(leads=self._leads(world)))
        view = ServiceView()
        if self._may_ask():
            try:
                view = self._view(world)
            except AdapterError as e:
                self._note_failure(e)
        memory = self._memory
        if self._failed or not self._is_time():
            waits = not memory.hopeless and memory.failures <= _PATIENCE
            # Only a label that cannot be moved leads elsewhere.
            leads = False if memory.selects or memory.hopeless else None
            view = ServiceView(
                pending=not memory.hopeless, waits=waits, leads=leads, stale=memory.selects
            )
        return dataclasses.replace(world, service=view)

    def _leads(self, world: World) -> bool | None:
        """Return whether the Service leads to the primary, where all was right before."""
        memory = self._memory
        known = memory.selects and memory.primary == labels.primary_of(world)
        return True if known else None

    def take(self, step: labels.ServiceStep, world: World) -> None:
        """Take a step; if it cannot be, this is noted, and a later hook tries again."""
        if self._failed:
            return
        try:
            self._take(step, world)
        except AdapterError as e:
            self._note_failure(e)

    def close(self) -> None:
        """End the connection."""
        if self._kube is not None:
            self._kube.close()
        self._kube = self._pods = None

    def _view(self, world: World) -> ServiceView:
        if self._kube is None:
            self._kube = self._connect()
        if self._pods is None:
            self._pods = self._kube.pods(self._app)
            if self._memory.failures or self._memory.told:
                logger.info("Kubernetes answers again")
                self._remember(failures=0, told="")
        roles = {name: each.role for name, each in self._pods.items()}
        memory = self._memory
        view = ServiceView(
            roles,
            to_select=world.is_leader and not memory.selects,
            to_offer=world.is_leader and not memory.offered,
        )
        self._keep_right(dataclasses.replace(world, service=view))
        return view

    def _keep_right(self, world: World) -> None:
        """Remember that the labels are right, if they are."""
        primary = labels.primary_of(world)
        labelled = not any(isinstance(s, labels.Label) for s in labels.steps(world))
        there = self._pods and labels.pod(primary or "") in self._pods
        if primary and labelled and there:
            self._remember(primary=primary, role=labels.role_of(world.host, primary))

    def _take(self, step: labels.ServiceStep, world: World) -> None:
        assert self._kube is not None and self._pods is not None
        match step:
            case labels.Label(roles, _):
                for name, role in roles:
                    self._kube.label(name, role)
                    self._pods[name] = dataclasses.replace(self._pods[name], role=role)
                roles_now = {name: each.role for name, each in self._pods.items()}
                view = dataclasses.replace(world.service, roles=roles_now)
                self._keep_right(dataclasses.replace(world, service=view))
            case labels.SelectPrimary():
                self._kube.select(self._app, PRIMARY)
                self._remember(selects=True)
            case labels.OfferServices():
                self._offer(world)
                self._remember(offered=True)
            case _:
                raise TypeError(f"no such step: {step}")

    def _offer(self, world: World) -> None:
        from service import kube

        assert self._kube is not None and self._pods is not None
        own = self._pods.get(labels.pod(world.host))
        if own is None:
            return
        try:
            for name, role in ((PRIMARY, PRIMARY), ("replicas", REPLICA)):
                service = f"{self._app}-{name}"
                ports = {"redis": REDIS_PORT}
                self._kube.offer(self._app, service, role, ports, own.owners)
        except kube.KubeForbiddenError:
            # Without trust, which is nothing to tell.
            logger.debug("No Services of our own: the application is not trusted")

    # What is remembered, and what of failures.

    @property
    def _memory(self) -> Memory:
        known = {field.name for field in dataclasses.fields(Memory)}
        # Another revision may have remembered more.
        return Memory(**{k: v for k, v in dict(self._stored.service).items() if k in known})

    def _remember(self, **changes: Any) -> None:
        new = dataclasses.replace(self._memory, **changes)
        if new != self._memory:
            self._stored.service = dataclasses.asdict(new)

    def _may_ask(self) -> bool:
        return not self._failed and not self._memory.hopeless and self._is_time()

    def _is_time(self) -> bool:
        memory = self._memory
        if memory.hopeless:
            return False
        pause_s = min(2.0**memory.failures, _LONGEST_S) if memory.failures else 0.0
        return not 0 <= time.time() - memory.failed_s < pause_s

    def _note_failure(self, error: AdapterError) -> None:
        """Give up for this hook, and tell the log once."""
        from service import kube

        self._failed = True
        self.close()
        hopeless = isinstance(error, kube.KubeForbiddenError)
        kind = type(error).__name__
        memory = self._memory
        if memory.told != kind:
            level = logging.WARNING if memory.selects or not hopeless else logging.INFO
            logger.log(level, "The Service %s does not follow the primary: %s", self._app, error)
        self._remember(
            hopeless=hopeless, failures=memory.failures + 1, failed_s=time.time(), told=kind
        )


def _hook() -> str:
    return os.environ.get("JUJU_DISPATCH_PATH", "").removeprefix("hooks/")


def _connect() -> kube.Kube:
    from service import kube

    return kube.Kube(os.environ)
