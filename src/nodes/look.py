# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the Redis and Sentinel processes say, all asked at once."""

from __future__ import annotations

import enum
import logging
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import constants as c
import pulse
from engine.world import RedisView, SentinelView, World
from errors import RedisClientError, Refusal, RefusedError
from nodes.access import operator

if TYPE_CHECKING:
    from engine.hook import Hook

logger = logging.getLogger(__name__)


class Circle(enum.Enum):
    """Whose nodes a look asks."""

    OWN = "those of this unit"
    NEAR = "and those of the recorded primary"
    ALL = "those of all units that stay or leave"


def look(
    hook: Hook, world: World, settings: Collection[str], circle: Circle, listens: bool
) -> World:
    """Add what the nodes say.

    Args:
        hook: that looks.
        world: with passwords.
        settings: the run-time settings of Redis to ask for.
        circle: whom to ask.
        listens: first to what a note of rest would say (``pulse``).
    """
    if circle is Circle.OWN:
        hosts = {world.host}
    elif circle is Circle.NEAR:
        hosts = {world.host, world.recorded_primary} - {None}
    else:
        hosts = {*world.planned, *world.leaving}
    runs = world.redis_container.running or world.sentinel_container.running
    if not (runs or world.is_leaving):
        # Nothing runs here yet; what the others say would change nothing.
        return world
    # Imported here: redis-py is the largest import, and no hook before this point needs it.
    from nodes import redis_client, sentinel

    access = operator(world)

    def ask(node: tuple[str, str]) -> RedisView | SentinelView:
        kind, host = node
        if kind == c.SENTINEL:
            return sentinel.Sentinel(host, access).view()
        return redis_client.RedisNode(host, access).view(settings)

    nodes = [(kind, str(host)) for kind in (c.REDIS, c.SENTINEL) for host in hosts]
    if listens:
        question = pulse.Question(world.app, nodes, settings, hook.volume)
        hook.heard = question, pulse.listen(question, access.password)
    answers = redis_client.ask_all(nodes, ask)
    refusals: dict[str, dict[str, Refusal]] = {c.REDIS: {}, c.SENTINEL: {}}
    for (kind, host), answer in answers.items():
        if isinstance(answer, RedisClientError):
            logger.debug("%s: %s", kind, answer)
        if isinstance(answer, RefusedError):
            refusals[kind][host] = answer.refusal
    return replace(
        world,
        redis={h: a for (_, h), a in answers.items() if isinstance(a, RedisView)},
        sentinels={h: a for (_, h), a in answers.items() if isinstance(a, SentinelView)},
        redis_refusals=refusals[c.REDIS],
        sentinel_refusals=refusals[c.SENTINEL],
        asked_all=circle is Circle.ALL,
    )
