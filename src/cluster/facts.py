# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What decisions of several phases ask of a ``World``."""

from __future__ import annotations

import constants as c
from engine.world import RedisView, SentinelView, World


def is_fit(redis: RedisView) -> bool:
    """Whether a replica has its primary's data, and would have it after a restart too."""
    return redis.link_up and redis.is_logged


def has_start_fence(redis: RedisView) -> bool:
    """Whether a primary that came back refuses writes, since most Sentinels have not heard it."""
    return redis.is_primary and redis.settings.get("min-replicas-to-write") == c.START_FENCE


def needs_full_look(world: World) -> bool:
    """Whether this unit decides on more than itself, and has to ask all hosts.

    The leader does; so does a unit that leaves as primary, which hands over by itself, and one
    that has to move the primary by an action.
    """
    return world.is_leader or world.is_leaving or world.ordered is not None


def silent_ports(world: World) -> frozenset[int]:
    """Return the ports on which this unit's own processes give no answer."""
    silent = set()
    if world.own_redis is None and not world.is_loading(world.host):
        silent.add(c.REDIS_PORT)
    if world.own_sentinel is None:
        silent.add(c.SENTINEL_PORT)
    redis = world.redis_container
    if c.EXPORTER_SERVICE in redis.services - redis.running:
        silent.add(c.EXPORTER_PORT)
    return frozenset(silent)


def is_in_doubt(world: World) -> bool:
    """Whether a look at this unit and the primary is not enough to judge its Sentinel."""
    redis, sentinel = world.own_redis, world.own_sentinel
    return (
        not world.asked_all
        and sentinel is not None
        and sentinel.primary_host is not None
        and not sentinel.failing_over
        and (
            not is_primary(world, sentinel.primary_host)
            # Which of the two is right depends on what the others are about to do.
            or (redis is not None and redis.is_primary and sentinel.primary_host != world.host)
            or (redis is not None and has_start_fence(redis))
        )
    )


def down_ms(world: World) -> int:
    """Return for how long all Sentinels that answer have had the primary for down."""
    return min((view.primary_down_ms for view in world.sentinels.values()), default=0)


def is_informed(world: World, host: str) -> bool:
    """Whether the Sentinel of a host knows the latest failover.

    A new one counts epochs from 0 until it hears the others; they would take back what it does.
    """
    latest = max((view.config_epoch for view in world.sentinels.values()), default=0)
    sentinel = world.sentinels.get(host)
    return sentinel is not None and sentinel.config_epoch >= latest


def sentinel_is_right(world: World, view: SentinelView, host: str) -> bool:
    """Whether a Sentinel knows exactly the planned units, with quorum and primary."""
    others = set(world.planned) - {host}
    return (
        view.primary_host == world.recorded_primary
        and view.quorum == world.quorum
        and set(view.others) == others
        and {r.host for r in view.replicas} == set(world.planned) - {view.primary_host}
    )


def may_be_empty(world: World) -> bool:
    """Whether this unit may have lost its data: it serves nobody, where there have been some.

    There were none when its Redis was to start; a replica makes a log, and copies nothing.
    """
    had_data = world.initialised or world.host in world.empty
    runs = c.REDIS in world.redis_container.running
    serves = is_serving(world.own_redis) or world.is_loading(world.host)
    return had_data and runs and not serves and world.host not in world.data_times


def is_primary(world: World, host: str | None) -> bool:
    """Whether the Redis of a host says itself that it is primary; no answer counts as no."""
    view = world.redis.get(host) if host else None
    return view is not None and view.is_primary


def is_serving(redis: RedisView | None) -> bool:
    """Whether a Redis does what its role asks: primary, or replica in sync."""
    return redis is not None and (redis.is_primary or redis.link_up)


def rests(world: World) -> bool:
    """Whether the databags of the others are needed for nothing."""
    return not is_in_doubt(world)
