# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""All data of the application are lost: how that is known, and how it begins anew."""

from __future__ import annotations

from collections.abc import Iterator

import texts
from cluster.facts import is_serving
from cluster.steps import PermitBirth, PublishEmpty, StartEmpty
from engine.steps import Step
from engine.world import World


def has_lost_all(world: World) -> bool:
    """Whether the application has had data and no unit has any: each has said so of itself.

    A unit that does not answer may have data, and so may one that leaves.
    """
    return (
        world.asked_all
        and world.initialised
        and world.units_known
        and bool(world.planned)
        and not world.leaving
        and world.empty.issuperset(world.planned)
        and not world.redis_refusals
        and not any(is_serving(view) for view in world.redis.values())
    )


def all_lost(world: World) -> str | None:
    """Return what the operator has to decide; None: not all is lost."""
    return texts.ALL_LOST.format(leader=f"{world.app}/leader") if has_lost_all(world) else None


def what_is_left(world: World) -> str:
    """Return why the application may still have data."""
    serving = [host for host, view in world.redis.items() if is_serving(view)]
    answering = world.units([*serving, *world.redis_refusals])
    if answering:
        return texts.WHY_ANSWERS.format(units=answering)
    if not world.initialised:
        return texts.WHY_NEVER_BEGAN
    unsaid = {*world.planned, *world.leaving} - world.empty
    return texts.WHY_DATA_UNKNOWN.format(units=world.units(unsaid) or world.app)


def leader_steps(world: World) -> Iterator[Step]:
    """Begin anew without being asked, where the operator has said so beforehand."""
    if world.config.start_empty and has_lost_all(world):
        yield StartEmpty()


def unit_steps(world: World) -> Iterator[Step]:
    """Say whether this unit waits without data; be the first primary, if it is to be."""
    begins = world.recorded_primary == world.host and not world.initialised
    if begins and world.own_empty and world.own_redis is None:
        # The guarded start waits, and looks for this.
        yield PermitBirth()
    if world.own_empty != (world.host in world.empty):
        yield PublishEmpty(world.own_empty)
