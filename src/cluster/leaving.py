# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a unit that leaves owes those that stay."""

from __future__ import annotations

from collections.abc import Iterator

import constants as c
import texts
from cluster.facts import has_start_fence, is_informed, is_primary
from cluster.handover import handover_steps
from cluster.settings import min_replicas
from cluster.steps import Retire, SetRedis
from engine.steps import AskAgain, Step
from engine.world import World

REVIVE_AFTER_MS = 60_000
"""How long the old primary's pod may take to come back before other data is made the truth."""
LEAVE_PATIENCE_S = 600
"""How long a unit that leaves waits in vain: no unit that stays answers, or its own Redis does
not. As long as both do it waits for the copy, however long that takes."""


def leaving_steps(world: World) -> Iterator[Step]:
    """What a unit owes the others before it goes. With nobody left there is nothing to owe."""
    if not world.is_leaving:
        return
    if is_needed(world):
        if world.own_redis is None:
            yield AskAgain(texts.WHY_SILENT_PRIMARY)
        elif world.own_redis.is_primary:
            yield from handover_steps(world, source=world.host)
        else:
            yield AskAgain(texts.WHY_NO_SUCCESSOR)
        return
    if world.planned:
        yield from unfence_steps(world)
    if world.stopping and world.own_sentinel is not None and world.own_sentinel.failing_over:
        # Cut short, a failover leaves replicas that nobody turns to the new primary.
        yield AskAgain(texts.WHY_STILL_FAILS_OVER)
    elif world.stopping and (
        c.REDIS in world.redis_container.running or c.SENTINEL in world.sentinel_container.running
    ):
        yield Retire()


def is_needed(world: World) -> bool:
    """Whether this unit leaves, and may have what no unit that stays has.

    As primary it has, until another is named and says so itself; that those who stay give no
    answer says nothing, they may be down. So has one whose Redis is down, as far as anybody
    knows. As replica of a unit that stays it may, as long as neither that nor another one is
    primary; its last hook waits for that.
    """
    if not (world.is_leaving and world.planned) or has_retired(world) or _is_replaced(world):
        return False
    redis = world.own_redis
    others_there = any(h in world.redis for h in world.planned)
    # The units that stay wait no longer than that for a primary that is down.
    patience_s = REVIVE_AFTER_MS / 1000 if redis is None and others_there else LEAVE_PATIENCE_S
    if world.waited_in_vain_s > patience_s:
        return False
    orphaned = world.stopping and not any(is_primary(world, h) for h in world.planned)
    if redis is None:
        named = world.host in (world.agreed_primary, world.recorded_primary)
        return named or (orphaned and world.initialised)
    if redis.is_primary:
        return True
    followed = redis.primary_host
    if not orphaned or followed not in world.planned:
        return False
    # A primary that refuses the charm is there; one that has just come back may follow another.
    return followed not in world.redis_refusals or world.is_loading(followed)


def may_yet_hand_over(world: World) -> bool:
    """Whether a unit that leaves as primary has something to wait for.

    Its Redis is there and one that stays is, with its Sentinel; or they load their data.
    """

    def comes(host: str) -> bool:
        return host in world.redis or world.is_loading(host)

    redis = world.own_redis
    return (
        comes(world.host)
        and (redis is None or redis.is_primary)
        and any(comes(h) and h in world.sentinels for h in world.planned)
    )


def _is_replaced(world: World) -> bool:
    """Whether another host is primary: it says so, and it is the latest that Sentinels know of.

    One that has been down names whom it knew before, until it hears the others.
    """
    agreed = world.agreed_primary
    if agreed in (None, world.host) or not is_primary(world, agreed):
        return False
    return any(
        view.primary_host == agreed and is_informed(world, host)
        for host, view in world.sentinels.items()
    )


def has_retired(world: World) -> bool:
    """Whether this unit has done its last deed; a hook may come after it all the same.

    That deed takes the state of its Sentinel from the volume.
    """
    return (
        world.is_leaving
        and world.sentinel_container.ready
        and not world.sentinel_conf_present
        and c.SENTINEL not in world.sentinel_container.running
        and c.REDIS not in world.redis_container.running
    )


def unfence_steps(world: World) -> Iterator[Step]:
    """Lower the fence of the primary before replicas leave, so that no write is refused."""
    for host, redis in world.redis.items():
        raised = redis.fence > min_replicas(world) and not has_start_fence(redis)
        if redis.is_primary and raised and host in world.planned and host != world.host:
            yield SetRedis(host, "min-replicas-to-write", str(min_replicas(world)))
