# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Which of the ``texts`` holds for a ``World``, and how severe it is.

Blocked: the operator acts, and the message says how. Waiting: another unit, Juju or time acts.
Maintenance: this unit is at work. ops takes maintenance for more severe than waiting, so work that
goes on is shown only where nothing is wrong: it must not hide what is.

There is one more road: a hook that does not end shows its status at once (``owing``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import ops

import constants as c
import texts
from clients import status as clients
from cluster.facts import is_primary, is_serving, sentinel_is_right
from cluster.leaving import is_needed
from cluster.lost import all_lost
from engine import plan
from engine.purpose import Departure
from engine.steps import AskAgain
from engine.world import Holder, World
from errors import Refusal
from passwords import rotation
from tenants import status as tenants
from tls import status as tls
from values import dataclass


@dataclass(frozen=True)
class Rule:
    """When a text is shown."""

    severity: type[ops.StatusBase]
    text: Callable[[World], str | None]
    """Returns it, with the names and numbers of this world; None: the rule does not hold."""


@dataclass(frozen=True)
class Rules:
    """All that may be shown of one thing. Among equals ops shows the first."""

    problems: tuple[Rule, ...]
    """What is wrong, causes before effects."""
    progress: tuple[Rule, ...]
    """What goes on, and what is wrong elsewhere; shown if nothing is wrong here."""
    notes: tuple[Callable[[World], str | None], ...]
    """What to know while it is active."""

    def statuses(self, world: World) -> Iterator[ops.StatusBase]:
        """Yield the statuses that hold; active when none does."""
        found = list(_holding(self.problems, world)) or list(_holding(self.progress, world))
        if found:
            yield from found
        else:
            notes = (note(world) for note in self.notes)
            yield ops.ActiveStatus("; ".join(note for note in notes if note))


def _holding(rules: Sequence[Rule], world: World) -> Iterator[ops.StatusBase]:
    for rule in rules:
        text = rule.text(world)
        if text is not None:
            yield rule.severity(text)


# Blocked


def _image_lacks(world: World) -> str | None:
    for container, names in world.missing.items():
        return texts.IMAGE_LACKS.format(container=container, names="; no ".join(names))
    return None


def _port_taken(world: World) -> str | None:
    for port, holder in sorted(world.holders.items()):
        if holder.service is None:
            return texts.PORT_TAKEN.format(port=port, who=_who(holder))
    return None


def _who(holder: Holder) -> str:
    if holder.container is None:
        return "a process outside the containers redis and sentinel"
    return f"{holder.name} (process {holder.pid} in container {holder.container})"


def _redis_refuses(world: World) -> str | None:
    return _refuses("Redis", world.redis_refusals.get(world.host))


def _sentinel_refuses(world: World) -> str | None:
    return _refuses("Sentinel", world.sentinel_refusals.get(world.host))


def _refuses(kind: str, refusal: Refusal | None) -> str | None:
    return texts.REFUSES.format(kind=kind) if refusal is Refusal.LOGIN else None


def _volume_full(world: World) -> str | None:
    free = world.volume_free_bytes
    if free is None or free >= c.MIN_FREE_BYTES:
        return None
    return texts.VOLUME_FULL.format(free=free // 1024)


def _cannot_persist(world: World) -> str | None:
    if world.own_redis is None or world.own_redis.persists:
        return None
    return texts.CANNOT_PERSIST.format(pod=world.host.split(".")[0])


def _departing_not_moved(world: World) -> str | None:
    """The departure of the primary is what users rely on to block."""
    return _not_moved(world) if isinstance(world.purpose, Departure) else None


def _not_moved(world: World) -> str | None:
    """An order of the operator fails as an action, and leaves a primary that serves."""
    if not world.handover_problem or world.ordered is not None:
        return None
    return texts.NOT_MOVED.format(reason=world.in_units(world.handover_problem))


# Waiting


def _no_peers(world: World) -> str | None:
    return None if world.has_peer_relation else texts.NO_PEERS


def _no_pebble(world: World) -> str | None:
    awaited = [f"container {name}" for name, view in world.containers.items() if not view.ready]
    return texts.NO_PEBBLE.format(containers=" and ".join(awaited)) if awaited else None


def _no_storage(world: World) -> str | None:
    return None if world.storage_attached else texts.NO_STORAGE


def _no_passwords(world: World) -> str | None:
    return texts.NO_PASSWORDS if world.credentials_refused else None


def _no_primary(world: World) -> str | None:
    named = world.credentials is not None and world.recorded_primary is not None
    return None if named else texts.NO_PRIMARY


def _cannot_start(world: World) -> str | None:
    """A unit that runs goes on as it is; there the certificate is the least of its troubles."""
    return tls.no_certificate(world) if world.own_redis is None else None


def _no_sentinel(world: World) -> str | None:
    if world.own_sentinel is not None:
        return None
    if c.SENTINEL not in world.sentinel_container.running:
        return texts.SENTINEL_STOPPED
    return texts.NO_SENTINEL.format(port=c.SENTINEL_PORT)


def _no_majority(world: World) -> str | None:
    sentinel = world.own_sentinel
    if sentinel is None or sentinel.has_majority:
        return None
    counted = {world.host, *sentinel.others}
    needed = max(sentinel.quorum, len(counted) // 2 + 1)
    hosts = counted.union(world.planned)
    if world.asked_all and len(hosts & world.sentinels.keys()) < needed:
        return _few_sentinels(world, hosts, needed)
    unit = world.unit(world.host)
    if len(counted) < needed:
        return texts.FEW_MET.format(unit=unit, met=len(counted), all=len(hosts), needed=needed)
    return texts.FEW_HEARD.format(unit=unit, all=len(counted), needed=needed)


def _few_sentinels(world: World, hosts: set[str], needed: int) -> str:
    silent = hosts - world.sentinels.keys()
    return texts.FEW_SENTINELS.format(
        answer=len(hosts) - len(silent),
        all=len(hosts),
        needed=needed,
        units=world.units(silent),
    )


def _no_redis(world: World) -> str | None:
    missed = world.own_redis is None and not world.is_loading(world.host)
    return texts.NO_REDIS if missed else None


def _failing_over(world: World) -> str | None:
    sentinel = world.own_sentinel
    if sentinel is None or not sentinel.failing_over:
        return None
    return texts.FAILING_OVER.format(unit=world.unit(sentinel.primary_host))


def _primary_down(world: World) -> str | None:
    sentinel = world.own_sentinel
    if sentinel is None or not sentinel.primary_down_ms:
        return None
    fit = any(each.priority and not each.down for each in sentinel.replicas)
    text = texts.PRIMARY_DOWN if fit else texts.PRIMARY_ALONE
    return text.format(unit=world.unit(sentinel.primary_host))


def _no_link(world: World) -> str | None:
    redis = world.own_redis
    if redis is None or is_serving(redis):
        return None
    return texts.NO_LINK.format(unit=world.unit(redis.primary_host))


def _fenced(world: World) -> str | None:
    redis = world.own_redis
    if redis is None or not redis.is_fenced:
        return None
    if redis.fence == int(c.START_FENCE):
        return texts.UNHEARD
    return texts.FENCED.format(synced=redis.connected_replicas, needed=redis.fence)


def _not_complete(world: World) -> str | None:
    """What is not right with this unit's Sentinel, the gravest first."""
    sentinel = world.own_sentinel
    if sentinel is None or sentinel_is_right(world, sentinel, world.host):
        return None
    unit = world.unit(world.host)
    if sentinel.primary_host != world.recorded_primary:
        return texts.NAMES_ANOTHER.format(
            unit=unit,
            named=world.unit(sentinel.primary_host),
            recorded=world.unit(world.recorded_primary),
        )
    replicas = {each.host for each in sentinel.replicas}
    right_others = set(world.planned) - {world.host}
    right_replicas = set(world.planned) - {sentinel.primary_host}
    stale = (sentinel.others - right_others) | (replicas - right_replicas)
    if stale:
        return texts.STILL_COUNTS.format(unit=unit, others=world.units(stale))
    missing = (right_others - sentinel.others) | (right_replicas - replicas)
    if missing:
        return texts.NOT_MET.format(unit=unit, others=world.units(missing))
    return texts.OTHER_QUORUM.format(unit=unit, quorum=sentinel.quorum, needed=world.quorum)


def _no_agreement(world: World) -> str | None:
    if not world.asked_all or world.agreed_primary is not None:
        return None
    answers = {h: view for h, view in world.sentinels.items() if h in world.planned}
    if len(answers) < world.quorum:
        return _few_sentinels(world, set(world.planned), world.quorum)
    named = world.units(view.primary_host for view in answers.values())
    return texts.NO_AGREEMENT.format(units=named)


def _any_fails_over(world: World) -> str | None:
    for view in world.sentinels.values():
        if view.failing_over:
            return texts.FAILING_OVER.format(unit=world.unit(view.primary_host))
    return None


def _agreed_down(world: World) -> str | None:
    primary = world.agreed_primary
    if not world.asked_all or primary is None or is_primary(world, primary):
        return None
    unit = world.unit(primary)
    redis = world.redis.get(primary)
    if redis is not None:
        return texts.PRIMARY_IS_REPLICA.format(unit=unit, other=world.unit(redis.primary_host))
    if world.is_loading(primary):
        return texts.PRIMARY_LOADING.format(unit=unit)
    if world.redis_refusals.get(primary) is Refusal.LOGIN:
        return texts.PRIMARY_REFUSES.format(unit=unit)
    known = [each for view in world.sentinels.values() for each in view.replicas]
    fit = any(each.priority and not each.down for each in known)
    return (texts.PRIMARY_DOWN if fit else texts.PRIMARY_ALONE).format(unit=unit)


# Leaving


def _leaving_waits(world: World) -> str | None:
    """Why a unit may not leave yet."""
    if not is_needed(world):
        return None
    reasons = [step.reason for step in plan.next_steps(world) if isinstance(step, AskAgain)]
    return texts.LEAVING_WAITS.format(reason=reasons[0]) if reasons else None


def owing(reasons: Sequence[str]) -> ops.StatusBase:
    """Return the status of a unit that may not leave yet, with the first reason."""
    text = texts.LEAVING_WAITS.format(reason=reasons[0]) if reasons else texts.LEAVING
    return ops.WaitingStatus(text)


# Progress


def _loading(world: World) -> str | None:
    return texts.LOADING if world.is_loading(world.host) else None


def _rotating(world: World) -> str | None:
    if not rotation.under_way(world):
        return None
    awaited = rotation.awaited(world)
    text = texts.ROTATING_WAITS.format(units=world.units(awaited)) if awaited else texts.ROTATING
    return clients.rotating(world) or text


# Notes


def _slow_volume(world: World) -> str | None:
    redis = world.own_redis
    if redis is None or not redis.slow_write_ms:
        return None
    return texts.SLOW_VOLUME.format(seconds=redis.slow_write_ms / 1000)


def _service_stale(world: World) -> str | None:
    return texts.SERVICE_STALE.format(app=world.app) if world.service.stale else None


COMMON = (
    Rule(ops.BlockedStatus, _image_lacks),
    Rule(ops.BlockedStatus, _port_taken),
    Rule(ops.BlockedStatus, lambda w: w.tls.problem),
    Rule(ops.BlockedStatus, lambda w: w.system_users_problem),
    Rule(ops.BlockedStatus, lambda w: w.config.problem),
    Rule(ops.BlockedStatus, all_lost),
    Rule(ops.BlockedStatus, _departing_not_moved),
)
"""Of a unit and of the application alike."""

OF_UNIT = (
    Rule(ops.BlockedStatus, _redis_refuses),
    Rule(ops.BlockedStatus, _sentinel_refuses),
    Rule(ops.BlockedStatus, _volume_full),
    Rule(ops.BlockedStatus, _cannot_persist),
)
UNIT_RULES = Rules(
    problems=(
        *COMMON,
        *OF_UNIT,
        Rule(ops.WaitingStatus, _no_peers),
        Rule(ops.WaitingStatus, _no_pebble),
        Rule(ops.WaitingStatus, _no_storage),
        Rule(ops.WaitingStatus, _no_passwords),
        Rule(ops.WaitingStatus, _no_primary),
        Rule(ops.WaitingStatus, _cannot_start),
        Rule(ops.WaitingStatus, _no_sentinel),
        Rule(ops.WaitingStatus, _no_majority),
        Rule(ops.WaitingStatus, _no_redis),
        Rule(ops.WaitingStatus, _failing_over),
        Rule(ops.WaitingStatus, _not_moved),
        Rule(ops.WaitingStatus, _primary_down),
        Rule(ops.WaitingStatus, _no_link),
        Rule(ops.WaitingStatus, _fenced),
        Rule(ops.WaitingStatus, _not_complete),
        Rule(ops.WaitingStatus, tls.no_certificate),
    ),
    progress=(Rule(ops.MaintenanceStatus, _loading),),
    notes=(tls.expires_soon, _slow_volume, _service_stale),
)
_GOING = Rules(
    problems=(
        *COMMON,
        Rule(ops.WaitingStatus, _not_moved),
        Rule(ops.WaitingStatus, _leaving_waits),
    ),
    progress=(Rule(ops.MaintenanceStatus, lambda _: texts.LEAVING),),
    notes=(),
)
LEAVING_UNIT_RULES = replace(_GOING, problems=(*OF_UNIT, *_GOING.problems))
LEAVING_APP_RULES = _GOING
"""Of what goes: whatever else is missing there is no trouble any more."""
APP_RULES = Rules(
    problems=(
        *COMMON,
        Rule(ops.WaitingStatus, _no_peers),
        Rule(ops.WaitingStatus, _no_passwords),
        Rule(ops.WaitingStatus, _no_primary),
        Rule(ops.WaitingStatus, _no_agreement),
        Rule(ops.WaitingStatus, _any_fails_over),
        Rule(ops.WaitingStatus, _not_moved),
        Rule(ops.WaitingStatus, _agreed_down),
    ),
    progress=(
        Rule(ops.BlockedStatus, clients.refused),
        Rule(ops.BlockedStatus, tenants.refused),
        Rule(ops.MaintenanceStatus, _rotating),
        Rule(ops.MaintenanceStatus, tls.changes),
    ),
    notes=(tls.expires_soon, clients.is_open),
)
"""Of the application, as its leader sees it."""


def unit_statuses(world: World) -> Iterator[ops.StatusBase]:
    """Yield the statuses of this unit that hold; active when none does, with what to know."""
    return (LEAVING_UNIT_RULES if world.is_leaving else UNIT_RULES).statuses(world)


def app_statuses(world: World) -> Iterator[ops.StatusBase]:
    """Yield the statuses of the application that hold; active when none does."""
    all_leave = bool(world.leaving) and not world.planned
    return (LEAVING_APP_RULES if all_leave else APP_RULES).statuses(world)


def is_all_right(world: World) -> bool:
    """Whether this unit, and for its leader the application, is active."""
    return all(isinstance(each, ops.ActiveStatus) for each in _shown(world))


def is_quiet(world: World) -> bool:
    """Whether they are active and say nothing beside it."""
    return all(each == ops.ActiveStatus() for each in _shown(world))


def _shown(world: World) -> Iterator[ops.StatusBase]:
    yield from unit_statuses(world)
    if world.is_leader:
        yield from app_statuses(world)
