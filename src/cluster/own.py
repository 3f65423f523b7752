# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a unit does to its own Redis and its own Sentinel while they run."""

from __future__ import annotations

from collections.abc import Iterator

import constants as c
import texts
from cluster.facts import is_primary, is_serving, sentinel_is_right
from cluster.settings import is_patient, redis_settings, sentinel_options
from cluster.steps import Follow, RenewSentinel, SetRedis, SetSentinel
from engine.steps import AskAgain, Step
from engine.world import SentinelView, World


def own_redis_steps(world: World) -> Iterator[Step]:
    """Role and run-time settings of this unit's Redis."""
    redis, sentinel = world.own_redis, world.own_sentinel
    if redis is None or (world.stopping and not world.is_leaving):
        # A pod that stops hands over by its own script; nothing else is of use any more.
        return
    # While the role is moved, a replica is primary before its own Sentinel hears of it, and the
    # Sentinel that moves it may be another one.
    moving = world.failing_over or world.handing_over
    if sentinel is not None and not moving and not sentinel.in_tilt:
        named = sentinel.primary_host
        wrong = redis.is_primary or redis.primary_host != named
        # Self-demotion by Sentinel's script comes first; this is the net beneath it.
        if named not in (None, world.host) and wrong and is_primary(world, named):
            yield Follow(world.host, str(named))
            return
    for name, value in redis_settings(world).items():
        if redis.settings.get(name) != value:
            yield SetRedis(world.host, name, value)


def own_sentinel_steps(world: World) -> Iterator[Step]:
    """What this unit's Sentinel watches, and how."""
    sentinel = world.own_sentinel
    if sentinel is None or world.is_leaving:
        return
    if sentinel.primary_host is None:
        # Not by MONITOR: only the file gives a Sentinel its scripts.
        primary = world.agreed_primary or world.recorded_primary
        if primary is not None:
            yield RenewSentinel(primary)
        return
    agreed = world.agreed_primary
    if agreed not in (None, sentinel.primary_host) and _is_astray(world, sentinel, str(agreed)):
        yield RenewSentinel(str(agreed))
        return
    for name, value in sentinel_options(world).items():
        if sentinel.options.get(name) == value:
            continue
        if name == "down-after-milliseconds" and is_patient(world, sentinel):
            continue
        yield SetSentinel(world.host, name, value)


def _is_astray(world: World, sentinel: SentinelView, agreed: str) -> bool:
    """Whether this unit's Sentinel names another primary than the majority, and will for ever.

    A Sentinel follows the one with the higher epoch. Two failovers in a few seconds can leave
    one with the epoch of the others and the primary of before, and then nothing corrects it.
    """
    epochs = [v.config_epoch for v in world.sentinels.values() if v.primary_host == agreed]
    return (
        is_primary(world, agreed)
        and not world.failing_over
        and sentinel.config_epoch >= max(epochs)
    )


def patience_steps(world: World) -> Iterator[Step]:
    """Look again while this unit waits for something that makes no event of its own."""
    if world.stopping or world.is_leaving or world.recorded_primary is None:
        return
    if c.REDIS not in world.redis_container.running:
        return
    redis, sentinel = world.own_redis, world.own_sentinel
    if redis is None or sentinel is None:
        yield AskAgain(texts.WHY_NO_ANSWER)
    elif not is_serving(redis) or redis.is_fenced or not redis.persists:
        yield AskAgain(texts.WHY_NOT_SERVING)
    elif not sentinel_is_right(world, sentinel, world.host) or not sentinel.has_majority:
        yield AskAgain(texts.WHY_NOT_COMPLETE)
