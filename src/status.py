# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Every status message and the condition that shows it.

Blocked: the operator acts, and the message says how. Waiting: another unit or Juju acts, or time.
Maintenance: this unit is at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import ops

import plan
import rotation
import tls
from constants import MIN_FREE_BYTES
from errors import Refusal
from world import Holder, World

NO_PEERS = ops.MaintenanceStatus("Waiting for Juju to set up the peer relation")
NO_PEBBLE = ops.MaintenanceStatus("Starting the redis and sentinel containers")
NO_STORAGE = ops.WaitingStatus("Waiting for the volume of the storage database")
NO_PRIMARY = ops.WaitingStatus("Waiting for the leader to name a primary")
IMAGE_LACKS = "The image of container {} has no {}: attach another one as redis-image"
PORT_TAKEN = "Port {} is taken by {}: stop it, or attach another image as redis-image"
EXPIRES_SOON = "The certificate expires within 7 days"
SLOW_VOLUME = "The volume is slow: Redis waited {:.1f} s for a write"
NO_CERTIFICATE = ops.WaitingStatus("Waiting for the certificate of this unit")
TLS_CHANGES = ops.MaintenanceStatus("Turning TLS on or off")
CREDENTIALS_REFUSED = ops.WaitingStatus("Waiting for Juju to give the passwords")
LEAVING = ops.MaintenanceStatus("Leaving")
LOADING = ops.MaintenanceStatus("Redis is loading its data")
REDIS_REFUSES = ops.BlockedStatus(
    "Redis refuses the charm: give users default and operator all rights and their passwords"
)
SENTINEL_REFUSES = ops.BlockedStatus(
    "Sentinel refuses the charm: give users default and operator all rights and their passwords"
)
VOLUME_FULL = ops.BlockedStatus(
    "The volume is full: free space on it, or grow its claim with kubectl"
)
CANNOT_PERSIST = ops.BlockedStatus("Redis cannot write to its volume: see the log of Redis")
NO_MAJORITY = ops.WaitingStatus("Waiting for majority")
NO_REDIS = ops.WaitingStatus("Waiting for Redis...")
NO_SENTINEL = ops.WaitingStatus("Waiting for Sentinel to answer")
ROTATING = ops.MaintenanceStatus("Changing passwords")
FAILING_OVER = ops.WaitingStatus("A failover is under way")
PRIMARY_DOWN = ops.WaitingStatus("The primary is down: waiting for the Sentinels to name another")
NO_LINK = ops.WaitingStatus("Waiting for the replica to be in sync with the primary")
FENCED = ops.WaitingStatus("Writes are refused: too few replicas are in step with the primary")
NOT_COMPLETE = ops.WaitingStatus("Waiting for Sentinel to know all units")

UNIT_RULES: tuple[tuple[ops.StatusBase, Callable[[World], bool]], ...] = (
    (NO_PEERS, lambda w: not w.has_peer_relation),
    (LEAVING, lambda w: w.is_leaving),
    (NO_PEBBLE, lambda w: not (w.redis_container.ready and w.sentinel_container.ready)),
    (NO_STORAGE, lambda w: not w.storage_attached),
    (CREDENTIALS_REFUSED, lambda w: w.credentials_refused),
    (NO_PRIMARY, lambda w: w.credentials is None or w.recorded_primary is None),
    (NO_CERTIFICATE, lambda w: w.tls.awaited),
    (LOADING, lambda w: w.is_loading(w.host)),
    (REDIS_REFUSES, lambda w: w.redis_refusals.get(w.host) is Refusal.LOGIN),
    (SENTINEL_REFUSES, lambda w: w.sentinel_refusals.get(w.host) is Refusal.LOGIN),
    (
        VOLUME_FULL,
        lambda w: w.volume_free_bytes is not None and w.volume_free_bytes < MIN_FREE_BYTES,
    ),
    (CANNOT_PERSIST, lambda w: w.own_redis is not None and not w.own_redis.persists),
    (NO_SENTINEL, lambda w: w.own_sentinel is None),
    (NO_MAJORITY, lambda w: w.own_sentinel is not None and not w.own_sentinel.has_majority),
    (NO_REDIS, lambda w: w.own_redis is None),
    (FAILING_OVER, lambda w: w.own_sentinel is not None and w.own_sentinel.failing_over),
    (PRIMARY_DOWN, lambda w: w.own_sentinel is not None and w.own_sentinel.primary_down_ms > 0),
    (NO_LINK, lambda w: not plan.is_serving(w.own_redis)),
    (FENCED, lambda w: w.own_redis is not None and w.own_redis.is_fenced),
    (
        NOT_COMPLETE,
        lambda w: (
            w.own_sentinel is not None and not plan.sentinel_is_right(w, w.own_sentinel, w.host)
        ),
    ),
)
"""The conditions of one unit. ops shows the most severe; among equals the first one here."""


def _all_leave(world: World) -> bool:
    """Whether no unit is to stay."""
    return bool(world.leaving) and not world.planned


APP_RULES: tuple[tuple[ops.StatusBase, Callable[[World], bool]], ...] = (
    (NO_PEERS, lambda w: not w.has_peer_relation),
    (LEAVING, _all_leave),
    (CREDENTIALS_REFUSED, lambda w: w.credentials_refused),
    (NO_PRIMARY, lambda w: w.credentials is None or w.recorded_primary is None),
    (NO_MAJORITY, lambda w: w.asked_all and w.agreed_primary is None),
    (FAILING_OVER, lambda w: w.failing_over),
    (ROTATING, rotation.under_way),
    (TLS_CHANGES, tls.is_changing),
    (
        PRIMARY_DOWN,
        lambda w: (
            w.asked_all
            and w.agreed_primary is not None
            and not plan.is_primary(w, w.agreed_primary)
        ),
    ),
)
"""The conditions of the application, as its leader sees them."""


def unit_statuses(world: World) -> Iterator[ops.StatusBase]:
    """Yield the statuses of this unit that hold; active when none does, with what to know."""
    yield from _problems(world)
    yield from _holding(UNIT_RULES, world, "; ".join(_warnings(world)))


def app_statuses(world: World) -> Iterator[ops.StatusBase]:
    """Yield the statuses of the application that hold; active when none does."""
    yield from _problems(world)
    yield from _holding(APP_RULES, world, _expiring(world))


def is_all_right(world: World) -> bool:
    """Whether this unit, and for its leader the application, is active."""
    found = [*unit_statuses(world), *(app_statuses(world) if world.is_leader else ())]
    return all(isinstance(each, ops.ActiveStatus) for each in found)


def owing(reasons: Sequence[str]) -> ops.StatusBase:
    """Return the status of a unit that may not leave yet, with the first reason."""
    return ops.WaitingStatus(f"Leaving: {reasons[0]}" if reasons else LEAVING.message)


def _warnings(world: World) -> Iterator[str]:
    if _expiring(world):
        yield EXPIRES_SOON
    if world.own_redis is not None and world.own_redis.slow_write_ms:
        yield SLOW_VOLUME.format(world.own_redis.slow_write_ms / 1000)


def _expiring(world: World) -> str:
    return EXPIRES_SOON if tls.expiring(world, time.time()) else ""


def _problems(world: World) -> Iterator[ops.StatusBase]:
    for container, names in world.missing.items():
        yield ops.BlockedStatus(IMAGE_LACKS.format(container, "; no ".join(names)))
    for port, holder in sorted(world.holders.items()):
        if holder.service is None:
            yield ops.BlockedStatus(PORT_TAKEN.format(port, _who(holder)))
    if world.tls.problem:
        yield ops.BlockedStatus(world.tls.problem)
    if world.system_users_problem:
        yield ops.BlockedStatus(world.system_users_problem)
    if world.config.problem:
        yield ops.BlockedStatus(world.config.problem)
    if world.handover_problem:
        yield ops.BlockedStatus(f"The primary could not be moved: {world.handover_problem}")


def _who(holder: Holder) -> str:
    if holder.container is None:
        return "a process outside the containers redis and sentinel"
    return f"{holder.name} (process {holder.pid} in container {holder.container})"


def _holding(
    rules: tuple[tuple[ops.StatusBase, Callable[[World], bool]], ...],
    world: World,
    otherwise: str,
) -> Iterator[ops.StatusBase]:
    found = False
    for status, holds in rules:
        if holds(world):
            found = True
            yield status
    if not found:
        yield ops.ActiveStatus(otherwise)
