# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""One hook: through what it sees and acts, and what it remembers from one look to the next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import ops

import constants as c
from model.peers import Hosts, Peers, UnitPlan
from pod.workload import Workload

if TYPE_CHECKING:
    import pulse
    from engine.world import Image, World

N = TypeVar("N")


class Memory(Protocol):
    """What a unit has told Juju, and where Juju has put its volume; lost with the pod."""

    volume: str
    unit_status: str
    app_status: str
    version: str
    removed: str
    ports_wait: bool
    service: dict[str, object]
    clients: dict[str, object]
    tenants: dict[str, object]


@dataclass
class Hook:
    """What one hook works with and remembers. Nothing of it outlives the hook but ``memory``."""

    model: ops.Model
    config: Mapping[str, bool | int | float | str]
    memory: Memory
    hosts: Hosts
    routine: bool
    """It tells nothing but that it is time to look."""
    thorough: bool = False
    """A short look has found that there is more to see."""
    committed: tuple[bool, bool] | None = None
    """The record of the primary and the passwords were there when it began."""
    units: UnitPlan | None = None
    """Asked once: which units are to stay, and which leave."""
    volume: str = ""
    """Where the storage is mounted, once that has been asked."""
    images: dict[str, Image] = field(default_factory=dict)
    """By container."""
    handover_problem: str | None = None
    """Why a failover that it asked for was refused."""
    lock: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """Holds the claim on a handover."""
    has_claim: bool = False
    retired: bool = False
    """This unit has ended its processes for good."""
    heard: tuple[pulse.Question, object] | None = None
    """What the nodes said just before a short look."""
    world: World | None = None
    """The last look, from which the statuses follow; None: there was no reason to look."""
    _notes: dict[type, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Take the unit's own host and containers."""
        unit = self.model.unit
        self.host = self.hosts.of(unit.name)
        self.redis = Workload(unit.get_container(c.REDIS))
        self.sentinel = Workload(unit.get_container(c.SENTINEL))

    @property
    def is_short(self) -> bool:
        """Whether a look asks no more than it takes to see that this unit is right."""
        return self.routine and not self.thorough

    def container(self, name: str) -> Workload:
        """Return one of the two."""
        return self.redis if name == self.redis.name else self.sentinel

    def peers(self, reads_all: bool = True) -> Peers:
        """Return the peer relation as it is now."""
        return Peers(self.model, reads_all)

    def note(self, kind: type[N], make: Callable[[], N] | None = None) -> N:
        """Return what a capability remembers in this hook: a value of its own type."""
        if kind not in self._notes:
            self._notes[kind] = (make or kind)()
        return cast("N", self._notes[kind])

    def release(self) -> None:
        """Give the claim on a handover up."""
        self.lock.close()
        self.has_claim = False
