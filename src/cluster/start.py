# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""From nothing to running processes: passwords, the first primary, files, services."""

from __future__ import annotations

from collections.abc import Iterator

import constants as c
import texts
from cluster import lost
from cluster.leaving import has_retired, is_needed
from cluster.steps import (
    PermitBirth,
    PublishDataTime,
    RecordPrimary,
    RecordUnits,
    RefreshSentinelConf,
    StartService,
    StopService,
    WriteFiles,
    WriteSentinelConf,
)
from engine.steps import AskAgain, Step
from engine.world import ContainerView, World
from passwords.rotation import CreateCredentials
from tls import plan as tls


def birth_steps(world: World) -> Iterator[Step]:
    """Passwords and the first primary, by the leader.

    Nothing starts on a record or a secret that a failing hook could still take back.
    """
    if not world.is_leader or world.is_leaving:
        return
    if world.credentials is None:
        yield CreateCredentials()
    if world.recorded_primary is None:
        yield RecordPrimary(world.agreed_primary or world.host)
    if world.units_known and world.recorded_units != world.planned:
        yield RecordUnits(world.planned)
    if not (world.record_kept and world.credentials_kept):
        yield AskAgain(texts.WHY_FIRST_RECORD)
    yield from lost.leader_steps(world)


def workload_steps(world: World) -> Iterator[Step]:
    """Files, layers and services of this unit's containers."""
    for name, container in world.containers.items():
        yield from (StopService(name, s) for s in sorted(_intruders(world, name, container)))
    if world.credentials is None or world.recorded_primary is None:
        return
    if has_retired(world) or (world.stopping and not is_needed(world)):
        return
    # The volume of a unit that leaves is mounted as long as the pod is there.
    volume = world.storage_attached or world.is_leaving
    if not (world.record_kept and world.credentials_kept and volume):
        return
    if not (tls.redis_serves(world) and tls.sentinel_serves(world)):
        # TLS is on and there is no certificate: nothing starts that would speak plain text.
        return
    if world.sentinel_container.ready and c.SENTINEL not in world.missing:
        if not world.sentinel_container.current:
            yield WriteFiles(c.SENTINEL)
        if c.SENTINEL not in world.sentinel_container.running:
            # First: where the DNS does not answer, each look-up of Sentinel's takes seconds.
            if c.NAMES_SERVICE not in world.sentinel_container.running:
                yield StartService(c.SENTINEL, c.NAMES_SERVICE)
            if world.sentinel_conf_present:
                yield RefreshSentinelConf()
            else:
                yield WriteSentinelConf(world.recorded_primary)
            yield StartService(c.SENTINEL, c.SENTINEL)
        yield from _helper_steps(c.SENTINEL, world.sentinel_container)
    if world.redis_container.ready and c.REDIS not in world.missing:
        starts = c.REDIS not in world.redis_container.running
        if starts and world.own_data_time != world.data_times.get(world.host):
            yield PublishDataTime(world.own_data_time)
        if not world.redis_container.current:
            yield WriteFiles(c.REDIS)
        if starts:
            if world.recorded_primary == world.host and not world.initialised:
                yield PermitBirth()
            yield StartService(c.REDIS, c.REDIS)
        yield from lost.unit_steps(world)
        yield from _helper_steps(c.REDIS, world.redis_container)


def _intruders(world: World, name: str, container: ContainerView) -> frozenset[str]:
    """Return the services of the image that run in a container and must not.

    They have the name of one of the charm's, or hold a port of this unit. Whatever else the image
    runs is no affair of the charm's.
    """
    holding = {h.service for h in world.holders.values() if h.container == name}
    return container.foreign & (c.OWN_NAMES | holding)


def _helper_steps(name: str, container: ContainerView) -> Iterator[Step]:
    """Start what runs beside the main service of a container, which has its name."""
    for helper in sorted(container.services - container.running - {name, "wake"}):
        yield StartService(name, helper)
