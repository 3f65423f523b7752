# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What this unit sees of its pod: containers, images, the volume, and who has its ports."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import constants as c
from engine.world import ContainerView, Holder, World
from errors import WorkloadError
from pod import ports

if TYPE_CHECKING:
    from engine.hook import Hook

logger = logging.getLogger(__name__)


def containers(hook: Hook, world: World, fingerprint: str | None) -> World:
    """Add what runs in the containers.

    Args:
        hook: that looks.
        world: to add to.
        fingerprint: of what their files should be made of; None: whatever is there may stay.
    """
    return replace(
        world,
        redis_container=hook.redis.view(fingerprint),
        sentinel_container=hook.sentinel.view(fingerprint),
    )


def volume(hook: Hook, world: World) -> World:
    """Add whether the volume is there, and its room."""
    hook.volume = hook.volume or str(hook.memory.volume)
    if hook.is_short and hook.volume:
        with contextlib.suppress(OSError):
            return replace(world, volume_free_bytes=_free_bytes(hook.volume))
    storages = hook.model.storages[c.STORAGE]
    world = replace(world, storage_attached=bool(storages))
    for storage in storages:
        try:
            hook.volume = str(storage.location)
            return replace(world, volume_free_bytes=_free_bytes(hook.volume))
        except OSError as e:
            logger.info("The volume cannot be looked at: %s", e)
    return world


def _free_bytes(location: str) -> int:
    return shutil.disk_usage(location).free


def images(hook: Hook, world: World) -> World:
    """Add what the images have; it matters only before files are written."""

    def looked_at(name: str, view: ContainerView) -> ContainerView:
        if not view.ready or view.current:
            return view
        try:
            if name not in hook.images:
                hook.images[name] = hook.container(name).image()
        except WorkloadError as e:
            logger.warning("%s", e)
            return ContainerView()
        return replace(view, image=hook.images[name])

    return replace(
        world,
        redis_container=looked_at(c.REDIS, world.redis_container),
        sentinel_container=looked_at(c.SENTINEL, world.sentinel_container),
    )


def state(hook: Hook, world: World, owner_mark: str) -> World:
    """Add what is on the volume; it matters only before the processes start.

    Raises:
        WorkloadError: Pebble stopped answering.
    """
    if world.sentinel_container.ready and c.SENTINEL not in world.sentinel_container.running:
        present = hook.sentinel.has_sentinel_conf(owner_mark)
        world = replace(world, sentinel_conf_present=present)
    if world.redis_container.ready and c.REDIS not in world.redis_container.running:
        world = replace(world, own_data_time=hook.redis.data_time())
    return world


def emptiness(hook: Hook, world: World) -> World:
    """Add whether the volume has no data, or a log with nothing in it."""
    try:
        return replace(world, own_empty=not hook.redis.data_time())
    except WorkloadError as e:
        logger.warning("%s", e)
        return world


def holders(hook: Hook, world: World, silent: Collection[int]) -> World:
    """Add who listens where this unit's own processes do not answer."""
    sockets = ports.listening(silent)
    if not sockets:
        return world
    inodes = sorted(set().union(*sockets.values()))
    found: dict[str, Holder] = {}
    ready = {name: view.ready for name, view in world.containers.items()}
    try:
        for name in (name for name, is_ready in ready.items() if is_ready):
            found |= hook.container(name).holders(inodes)
    except WorkloadError as e:
        logger.warning("%s", e)
        return world
    seen: dict[int, Holder] = {}
    for port, of_port in sockets.items():
        known = [found[inode] for inode in sorted(of_port) if inode in found]
        if not known and all(ready.values()):
            seen[port] = Holder(container=None)
        elif known and not any(holder.is_own for holder in known):
            seen[port] = known[0]
    return replace(world, holders=seen)
