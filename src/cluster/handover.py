# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Moving the primary role from a living node."""

from __future__ import annotations

from collections.abc import Iterator

import constants as c
import texts
from cluster.facts import is_fit, is_informed
from cluster.settings import min_replicas
from cluster.steps import ClaimHandover, Handover, Readmit, ReleaseHandover, SetRedis
from engine.steps import AskAgain, Step
from engine.world import World


def handover_steps(world: World, source: str) -> Iterator[Step]:
    """Move the primary role from a living node, in turns.

    First all but the target become ineligible, until the Sentinel that is to fail over has seen
    it; only then the handover proper, which is one step because writes wait during it.
    """
    target = _target(world, source)
    if world.failing_over or target is None:
        if world.has_claim:
            yield ReleaseHandover()
        unfit = texts.WHY_NOBODY_FIT.format(units=_unfit(world, source))
        yield AskAgain(texts.WHY_FAILING_OVER if world.failing_over else unfit)
        return
    # The Sentinel that fails over is the last to record the new primary, so if one is to leave
    # it is the one.
    leaves = source in world.leaving and source in world.sentinels
    host = source if leaves and is_informed(world, source) else target
    executor = world.sentinels[host]
    if not world.has_claim:
        if world.redis[source].handover_claims:
            yield AskAgain(texts.WHY_ANOTHER)
            return
        yield ClaimHandover(source)
    for replica in executor.replicas:
        if replica.host == target or replica.down:
            continue
        seen = world.redis.get(replica.host)
        if seen is None or seen.priority != c.NOT_ELIGIBLE:
            yield SetRedis(replica.host, "replica-priority", str(c.NOT_ELIGIBLE))
    view = world.redis[target]
    if view.priority != c.ELIGIBLE:
        yield SetRedis(target, "replica-priority", str(c.ELIGIBLE))
    known = {replica.host: replica.priority for replica in executor.replicas if not replica.down}
    right = {h: c.ELIGIBLE if h == target else c.NOT_ELIGIBLE for h in known}
    if world.has_claim and target in known and known == right:
        if view.fence > min_replicas(world):
            yield SetRedis(target, "min-replicas-to-write", str(min_replicas(world)))
        yield Handover(source, target, host)
        yield Readmit(_others_in_sync(world, source, target), target)
    else:
        yield AskAgain(texts.WHY_NOT_SEEN)


def _others_in_sync(world: World, source: str, target: str) -> tuple[str, ...]:
    """Return the hosts that stay as replicas, and had the data of the old primary."""
    return tuple(
        h
        for h in world.planned
        if h not in (source, target) and (redis := world.redis.get(h)) and is_fit(redis)
    )


def _target(world: World, source: str) -> str | None:
    """Return the host that is to be primary; None when no replica is fit for it."""
    fit = [
        h
        for h in world.planned
        if h != source
        and (redis := world.redis.get(h))
        and not redis.is_primary
        and is_fit(redis)
        and redis.primary_host == source
        and (sentinel := world.sentinels.get(h))
        and sentinel.primary_host == source
        and is_informed(world, h)
    ]
    if world.ordered is not None and world.ordered.target is not None:
        return world.ordered.target if world.ordered.target in fit else None
    # Offsets differ by what is under way; the pause of the handover makes them equal.
    return fit[0] if fit else None


def _unfit(world: World, source: str) -> str:
    """Return how each replica that could be meant is not fit to take over."""
    target = world.ordered.target if world.ordered is not None else None
    hosts = [target] if target is not None else [h for h in world.planned if h != source]
    return ", ".join(_unfitness(world, source, h) for h in hosts) or texts.UNFIT_NOBODY


def _unfitness(world: World, source: str, host: str) -> str:
    """Return the first thing that ``_target`` misses in a host."""
    redis, sentinel = world.redis.get(host), world.sentinels.get(host)
    text = texts.UNFIT_SENTINEL
    other = None
    if redis is None:
        text = texts.UNFIT_LOADING if world.is_loading(host) else texts.UNFIT_SILENT
    elif redis.is_primary:
        text = texts.UNFIT_PRIMARY
    elif redis.primary_host != source:
        text, other = texts.UNFIT_FOLLOWS, redis.primary_host
    elif not redis.link_up:
        text = texts.UNFIT_NOT_IN_SYNC
    elif not redis.is_logged:
        text = texts.UNFIT_NOT_LOGGED
    elif sentinel is None:
        text = texts.UNFIT_NO_SENTINEL
    return text.format(unit=world.unit(host), other=world.unit(other))
