# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a capability is: a room of its own, and one entry in ``capabilities``.

A room has the same few files, as far as it needs them: ``view`` (what it sees), ``look``, ``plan``
(what it decides), ``apply`` (what it does), ``render`` (what it writes). They are named here as
texts and imported when they are first asked for, so that what is off costs a hook nothing.
"""

from __future__ import annotations

import enum
import functools
import importlib
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from values import dataclass

if TYPE_CHECKING:
    from engine.hook import Hook
    from engine.world import World
    from model.peers import Peers


class Phase(enum.Enum):
    """The parts of a plan, in the order of safety. In each, capabilities follow their list."""

    LEAD_CLIENTS = "clients to the primary: a plan of its own, and the next look leads to the rest"
    BIRTH = "the passwords and the first primary"
    ACCEPT = "whom the nodes of this unit let in"
    RUN = "files, services and logins of this unit"
    OWN = "role and settings of its Redis and its Sentinel"
    LEAVE = "what it owes the others before it leaves"
    LEAD = "what the leader owes all"
    WAIT = "what makes no event of its own and is looked for again"


def _always(*_: object) -> bool:
    return True


@dataclass(frozen=True)
class Capability:
    """One thing that the charm can do. Functions are named as ``module:function``."""

    name: str
    """Of its room, which is a package."""
    relations: tuple[str, ...] = ()
    """Endpoints of its own; where one changes or breaks, there is reason to look."""
    join: str = ""
    """``(charm, hook)``: observes events of its own, in hooks in which ``joins`` says so."""
    joins: Callable[[Hook], bool] = _always
    look: str = ""
    """``(hook, peers, world) -> World``: adds what Juju says of it, where ``looks`` says that it
    may say anything."""
    looks: Callable[[Hook, Peers], bool] = _always
    is_on: Callable[[World], bool] = _always
    """Whether a world has anything of it; else nothing of what follows is asked."""
    ask: str = ""
    """``(hook, world) -> World``: adds what the nodes of this unit say."""
    watch: str = ""
    """``(hook, world) -> World``: adds what else there is to see, when all else has been seen."""
    hastens: str = ""
    """``(hook, world) -> bool``: this unit's own nodes may show something urgent, and are asked
    before the others, which may be down."""
    end: str = ""
    """``(hook)``: lets go of what it has held from one look to the next."""
    urgent: str = ""
    """``(world) -> bool``: a short look has shown what must not wait for a thorough one."""
    steps: Mapping[Phase, tuple[str, ...]] = field(default_factory=dict)
    """``(world) -> Iterator[Step]``: its parts of the plan."""
    rests: str = ""
    """``(world) -> bool``: nothing is under way, as far as this unit's own databag tells."""
    apply: tuple[str, ...] = ()
    """Modules whose ``TAKES`` has, by type of step, the function ``(step, hook, world)``."""


@functools.cache
def found(name: str) -> Callable[..., Any]:
    """Return the function that a text names, importing its module."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)
