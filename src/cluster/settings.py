# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The run-time settings that Redis and Sentinel should have, and what they follow from."""

from __future__ import annotations

import constants as c
from cluster.facts import has_start_fence, is_fit, is_serving
from engine.world import RedisView, SentinelView, World

FAILOVER_TIMEOUT_MS = "4000"
"""An election without a winner, and a failover whose Sentinel died, is tried again after twice
this time."""
PARALLEL_SYNCS = "9"
"""All replicas turn to a new primary at once. One after the other, the Sentinel that fails over
goes on recording the old primary for a second each, and some clients believe the record."""
START_PATIENCE_S = 30
"""After which the charm lets a primary that came back take writes, if its script did not."""


def redis_settings(world: World) -> dict[str, str]:
    """Return the run-time settings that the Redis of this unit should have now.

    ``min-replicas-to-write`` goes up only when the replicas are there to satisfy it, so that
    growing refuses no write, and goes down at once when units leave.
    """
    redis = world.own_redis
    settings = {"min-replicas-to-write": str(min_replicas(world))}
    if not world.config.problem:
        settings["min-replicas-max-lag"] = str(max_lag_s(world))
        settings |= dict(world.config.settings)
    if redis is None:
        return settings
    if redis.is_primary and max(redis.fence, redis.connected_replicas) < min_replicas(world):
        settings["min-replicas-to-write"] = str(redis.fence)
    if not redis.has_log:
        settings["appendonly"] = "yes"
    if _holds_back(world, redis):
        settings["min-replicas-to-write"] = c.START_FENCE
    if world.is_leaving:
        settings["replica-priority"] = str(c.NOT_ELIGIBLE)
    elif (redis.is_primary or is_fit(redis)) and not world.handing_over:
        settings["replica-priority"] = str(c.ELIGIBLE)
    return settings


def _holds_back(world: World, redis: RedisView) -> bool:
    """Whether a primary that came back is to go on refusing writes.

    Its own script lets it take them once most Sentinels have heard it. Should the script have
    died, the charm does, later than any failover that could have been under way.
    """
    if not has_start_fence(redis):
        return False
    if not redis.is_logged:
        # It began with a snapshot: what it takes now would not outlive it.
        return True
    doubted = world.failing_over or any(s.primary_down_ms for s in world.sentinels.values())
    return redis.uptime_s < START_PATIENCE_S or doubted or world.agreed_primary != world.host


def min_replicas(world: World) -> int:
    """Return how many replicas must be in step before the primary takes a write.

    As many as are sure not to be on the side of a majority that it is cut off from: with the
    primary one less than a quorum leaves. With two units nobody could be missing.
    """
    return len(world.planned) - world.quorum if len(world.planned) >= 3 else 0


def max_lag_s(world: World) -> int:
    """Return after how many seconds without a replica in step a primary refuses writes.

    Not less than 2: replicas report once a second and Redis counts whole seconds, so that 1 was
    measured to refuse writes for a second now and then with nothing wrong.
    """
    return 3 if world.config.down_after_ms >= 5000 else 2


def pause_ms(world: World) -> int:
    """Return for how long a handover may hold the writes, if whoever holds them dies.

    Less than the time in which Sentinel notices: a paused node answers no Sentinel.
    """
    return min(4000, world.config.down_after_ms - 500)


def start_down_after_ms(world: World) -> int:
    """Return how long a primary may give no answer to a Sentinel whose pod has just come up."""
    return max(world.config.down_after_ms, c.START_DOWN_AFTER_MS)


def is_patient(world: World, sentinel: SentinelView) -> bool:
    """Whether a Sentinel is to keep the patience with which it started.

    Until the Redis of this unit serves, and it hears the primary itself: from the first
    impatient moment on it counts all that it has not heard so far.
    """
    patience = sentinel.options.get("down-after-milliseconds")
    redis = world.own_redis
    serves = is_serving(redis) and redis is not None and not has_start_fence(redis)
    return patience == str(start_down_after_ms(world)) and not (serves and sentinel.hears_primary)


def sentinel_options(world: World) -> dict[str, str]:
    """Return the options that a Sentinel of this application should have, but for the quorum.

    An option that the operator got wrong is left out: what runs goes on with what it has.
    """
    options = {
        "failover-timeout": FAILOVER_TIMEOUT_MS,
        "parallel-syncs": PARALLEL_SYNCS,
        **c.SENTINEL_PERIODS_MS,
    }
    if not world.config.problem:
        options["down-after-milliseconds"] = str(world.config.down_after_ms)
    return options
