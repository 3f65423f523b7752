# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Another primary in the place of one that is not to stay, or that does not come back."""

from __future__ import annotations

from collections.abc import Iterator

import constants as c
import texts
from cluster.facts import down_ms, is_informed, is_primary
from cluster.handover import handover_steps
from cluster.leaving import REVIVE_AFTER_MS
from cluster.steps import ForceFailover, SetRedis
from engine.steps import AskAgain, Step
from engine.world import World


def replace_steps(world: World, primary: str) -> Iterator[Step]:
    """Replace a primary that is not to stay.

    It hands over by itself while it leaves; the leader is the second line: at once when told of
    the departure, and when the primary is gone.
    """
    if is_primary(world, primary):
        if world.departing == primary or primary not in world.leaving:
            yield from handover_steps(world, source=primary)
        elif primary != world.host:
            yield AskAgain(texts.WHY_BY_ITSELF.format(unit=world.unit(primary)))
        return
    best = best_replica(world)
    if len(world.planned) == 1 and is_primary(world, world.planned[0]):
        # It took over, and the Sentinel that had it do so went before it told the one that stays.
        best = world.planned[0]
    if primary in world.redis:
        yield from _circle_steps(world, primary)
        yield AskAgain(texts.WHY_NOT_NAMED)
    elif best is None and primary in world.leaving and down_ms(world) < REVIVE_AFTER_MS:
        # Its pod may come back while its unit is there.
        yield AskAgain(texts.WHY_NO_OTHER)
    elif best is None and all(host in world.redis for host in world.planned):
        yield from _free_steps(world)
    elif best is None:
        silent = world.units(h for h in world.planned if h not in world.redis)
        yield AskAgain(texts.WHY_DATA_UNKNOWN.format(units=silent))
    elif all(h in world.sentinels and world.sentinels[h].primary_down_ms for h in world.planned):
        # Those who left cannot vote, so a majority may never come together again; and all who
        # stay say that it is down, so nobody writes to it.
        yield ForceFailover(best)
    else:
        down = {h for h, view in world.sentinels.items() if view.primary_down_ms}
        hear = world.units(set(world.planned) - down)
        yield AskAgain(texts.WHY_NOT_NOTICED.format(units=hear))


def revive_steps(world: World, primary: str) -> Iterator[Step]:
    """Name a new primary when all were down and the old one does not come back.

    Nobody has been in sync since then, so Sentinel finds nobody to promote. The old primary has
    all the data and is waited for; after that the unit with the newest data is set free. Only
    with a majority: a unit that is alone may be the one that is cut off.
    """
    yield from _circle_steps(world, primary)
    waited_ms = down_ms(world)
    alone = not all(view.has_majority for view in world.sentinels.values())
    if primary in world.redis or alone or waited_ms == 0:
        return
    best = best_replica(world)
    if waited_ms < REVIVE_AFTER_MS:
        if best is None:
            yield AskAgain(texts.WHY_NO_OTHER)
    elif best is None:
        yield from _free_steps(world)
    else:
        yield ForceFailover(best)


def _circle_steps(world: World, primary: str) -> Iterator[Step]:
    """Have the Sentinels name the target of a handover that they have not seen promoted.

    It died at once, and came back as a replica of the old primary, whom they name and who follows
    it by then. It has all that the other had, unless it came back empty.
    """
    old = world.redis.get(primary)
    target = None if old is None or old.is_primary else old.primary_host
    if target is None or target not in world.planned or target not in world.data_times:
        return
    view = world.redis.get(target)
    if view is None or view.is_primary or view.primary_host != primary or world.failing_over:
        return
    if view.priority == c.NOT_ELIGIBLE:
        yield SetRedis(target, "replica-priority", str(c.ELIGIBLE))
    elif target in world.sentinels:
        yield ForceFailover(target)


def _free_steps(world: World) -> Iterator[Step]:
    """Make the unit with the newest data eligible, and no other.

    Where the application begins anew without any, it is the first.
    """
    times = world.data_times if world.initialised else dict.fromkeys(world.planned, 0.0)
    replicas = [h for h in world.planned if h in world.redis and h in times]
    if replicas:
        newest = max(replicas, key=lambda h: (times[h], -world.planned.index(h)))
        yield SetRedis(newest, "replica-priority", str(c.ELIGIBLE))
    yield AskAgain(texts.WHY_NEWEST)


def best_replica(world: World) -> str | None:
    """Return the staying replica with the most data that may be promoted; None: there is none."""
    fit = [
        h
        for h in world.planned
        if (redis := world.redis.get(h))
        and not redis.is_primary
        and redis.priority != c.NOT_ELIGIBLE
        and is_informed(world, h)
    ]
    return max(
        fit, key=lambda h: (world.redis[h].offset_bytes, -world.planned.index(h)), default=None
    )
