# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The plan of a unit: a ``World`` in, ordered steps out. Pure; nothing here waits, asks or acts.

A plan is what can be done now. After its steps a new look leads to the rest, so every plan may be
cut after any step, by a crash or by the end of the hook's budget, and the next look finishes it.
"""

from __future__ import annotations

from collections.abc import Iterator

import capabilities
import texts
from engine.capability import Phase, found
from engine.steps import AskAgain, Step
from engine.world import World


def next_steps(world: World) -> tuple[Step, ...]:
    """Return what this unit can do now, in order; empty when nothing is left to do.

    The order is that of safety, which is that of ``Phase``: first what lets this unit run, then
    what it owes itself, then what it owes the others before it leaves, last what the leader owes
    all.
    """
    if not world.has_peer_relation:
        return ()
    if world.credentials_refused:
        return (AskAgain(texts.WHY_NO_PASSWORDS),)
    if not (world.units_known or world.planned):
        return (AskAgain(texts.WHY_UNITS_UNKNOWN),)
    first, *rest = Phase
    steps = tuple(_of(first, world)) or (step for phase in rest for step in _of(phase, world))
    # A step may follow from two reasons (a unit's own and the leader's); once is enough.
    return tuple(dict.fromkeys(steps))


def _of(phase: Phase, world: World) -> Iterator[Step]:
    for capability in capabilities.on(world):
        for name in capability.steps.get(phase, ()):
            yield from found(name)(world)


def is_urgent(world: World) -> bool:
    """Whether a short look has shown what must not wait for a thorough one."""
    return any(found(each.urgent)(world) for each in capabilities.on(world) if each.urgent)


def may_rest(world: World) -> bool:
    """Whether nothing is under way, as far as this unit's own databag tells.

    The others' tell how far they are with passwords and TLS, and how old data is when a primary
    is to be chosen.
    """
    return all(found(each.rests)(world) for each in capabilities.on(world) if each.rests)


def is_at_rest(world: World) -> bool:
    """Whether a unit that has read only its own databag has nothing to do, so needs no other."""
    return world.has_peer_relation and may_rest(world) and not next_steps(world)
