# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the leader owes all units."""

from __future__ import annotations

from collections.abc import Iterator

import constants as c
import texts
from cluster.facts import is_fit, is_primary
from cluster.forgetting import forget_steps
from cluster.handover import handover_steps
from cluster.leaving import unfence_steps
from cluster.revival import replace_steps, revive_steps
from cluster.steps import MarkInitialised, RecordPrimary, SetQuorum, SetRedis
from engine.steps import AskAgain, Step
from engine.world import World


def leader_steps(world: World) -> Iterator[Step]:
    """What the leader owes all, in this order; an earlier step may end the turn."""
    if not world.is_leader or not world.asked_all or world.credentials is None:
        return
    if world.recorded_primary is None or not world.planned:
        return
    yield from _record_steps(world)
    if not world.units_known:
        # What was recorded holds; who joins or leaves is seen when Juju answers again.
        yield AskAgain(texts.WHY_UNITS_UNKNOWN)
    # A lower quorum goes out first, since more units than the majority may be leaving at once;
    # a higher one when there is a majority to reach it.
    watching = {h: s for h in world.planned if (s := world.sentinels.get(h)) and s.primary_host}
    yield from (SetQuorum(h, world.quorum) for h, s in watching.items() if s.quorum > world.quorum)
    primary = world.agreed_primary
    if primary is None or not any(view.has_majority for view in watching.values()):
        yield AskAgain(texts.WHY_NO_MAJORITY)
        if primary is not None and is_primary(world, primary) and not world.failing_over:
            # Units that left without a word may be the majority that is missed.
            yield from forget_steps(world, primary)
        if primary is None or primary in world.planned:
            return
    yield from (SetQuorum(h, world.quorum) for h, s in watching.items() if s.quorum < world.quorum)
    if world.failing_over:
        yield AskAgain(texts.WHY_FAILING_OVER)
        return
    if primary not in world.planned:
        if world.units_known:
            yield from replace_steps(world, primary)
        return
    if not is_primary(world, primary):
        # Sentinel's to solve, and its script wakes the charm when it has; but for one case.
        yield from revive_steps(world, primary)
        return
    if not world.is_leaving:
        yield from unfence_steps(world)
    if world.ordered is not None and primary != world.ordered.target:
        yield from handover_steps(world, source=primary)
        return
    for host in world.planned if not world.handing_over else ():
        redis = world.redis.get(host)
        if redis and is_fit(redis) and redis.priority == c.NOT_ELIGIBLE and host != world.host:
            yield SetRedis(host, "replica-priority", str(c.ELIGIBLE))
    yield from forget_steps(world, primary)


def _record_steps(world: World) -> Iterator[Step]:
    """Keep the record of the primary true. No answer from a majority: what is recorded stays."""
    agreed = world.agreed_primary
    if agreed is not None and agreed != world.recorded_primary:
        # While both say primary, the one that the majority names is; it must say so itself.
        if is_primary(world, agreed) or not is_primary(world, world.recorded_primary):
            yield RecordPrimary(agreed)
    if not world.initialised and is_primary(world, world.recorded_primary):
        yield MarkInitialised()
