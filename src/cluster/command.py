# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the steps of the cluster command Redis and Sentinel processes to do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import constants as c
from cluster import steps as s
from cluster.settings import pause_ms
from engine.steps import Step
from engine.world import World
from errors import RedisClientError
from nodes import sentinel
from nodes.access import operator
from nodes.redis_client import RedisNode
from nodes.sentinel import Sentinel

if TYPE_CHECKING:
    from engine.hook import Hook

logger = logging.getLogger(__name__)


def _redis(host: str, world: World) -> RedisNode:
    return RedisNode(host, operator(world))


def _sentinel(host: str, world: World) -> Sentinel:
    return Sentinel(host, operator(world))


def _claim(step: s.ClaimHandover, hook: Hook, world: World) -> None:
    hook.lock.enter_context(_redis(step.source, world).claim())
    hook.has_claim = True


def _hand_over(step: s.Handover, _: Hook, world: World) -> None:
    access = operator(world)
    sentinel.handover(step.source, step.target, step.executor, access, pause_ms(world))


def _forget(step: s.Forget, _: Hook, world: World) -> None:
    _sentinel(step.host, world).forget(step.replicas, step.others, c.FORGET_BUDGET_S)


def _retire(_: s.Retire, hook: Hook, world: World) -> None:
    """End this unit's processes for good.

    Where the whole application goes to zero it may come back from its volumes, so state is kept.
    """
    keep_state = not world.planned
    if not keep_state:
        try:
            # It says goodbye first, so that the others get no more hello.
            _sentinel(world.host, world).unwatch()
        except RedisClientError as e:
            logger.info("This Sentinel is gone already: %s", e)
    hook.redis.stop(c.REDIS)
    hook.sentinel.stop(c.SENTINEL)
    if not keep_state:
        hook.sentinel.drop_sentinel_state()
    hook.retired = True


TAKES: dict[type[Step], Callable[[Any, Hook, World], object]] = {
    s.SetRedis: lambda step, _, world: _redis(step.host, world).set({step.name: step.value}),
    s.Follow: lambda step, _, world: _redis(step.host, world).follow(step.primary),
    s.SetSentinel: lambda step, _, world: _sentinel(step.host, world).set_option(
        step.name, step.value
    ),
    s.SetQuorum: lambda step, _, world: _sentinel(step.host, world).set_option(
        "quorum", str(step.quorum)
    ),
    s.ClaimHandover: _claim,
    s.Handover: _hand_over,
    s.Readmit: lambda step, _, world: sentinel.readmit(step.hosts, step.primary, operator(world)),
    s.ForceFailover: lambda step, _, world: _sentinel(step.host, world).force_failover(),
    s.Forget: _forget,
    s.Retire: _retire,
}
