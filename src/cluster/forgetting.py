# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Sentinels that still count nodes that left."""

from __future__ import annotations

from collections.abc import Iterator

import texts
from cluster.steps import Forget
from engine.steps import AskAgain, Step
from engine.world import World


def forget_steps(world: World, primary: str) -> Iterator[Step]:
    """Let one Sentinel forget what left, if all is calm.

    A Sentinel that has just been reset could not fail over, so never two at a time and never
    while the primary is in doubt.
    """
    if not world.units_known:
        return
    haunted = [h for h in world.planned if h in world.sentinels and _ghosts(world, h)]
    if not haunted:
        return
    calm = all(
        (sentinel := world.sentinels.get(h))
        and sentinel.primary_host == primary
        and not sentinel.primary_down_ms
        and not sentinel.in_tilt
        and (redis := world.redis.get(h))
        and (h == primary or redis.link_up)
        for h in world.planned
    )
    # A node that still replicates would be learned again from the primary at once.
    gone = all(h not in world.redis and h not in world.sentinels for h in world.leaving)
    if calm and gone:
        peers = len(world.planned) - 1
        yield Forget(haunted[0], replicas=peers, others=peers)
    if not calm or not gone or len(haunted) > 1:
        stale = world.units(ghost for h in haunted for ghost in _ghosts(world, h))
        yield AskAgain(texts.WHY_STALE.format(units=stale))


def _ghosts(world: World, host: str) -> frozenset[str]:
    """Return the hosts that a Sentinel knows and that are not to be there."""
    sentinel = world.sentinels[host]
    known = {replica.host for replica in sentinel.replicas} | sentinel.others
    return frozenset(known - set(world.planned))
