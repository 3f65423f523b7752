# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""One look: what this unit can see now, as a value. It changes nothing, anywhere."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import capabilities
from cluster.facts import is_in_doubt, may_be_empty, needs_full_look, silent_ports
from cluster.settings import redis_settings
from engine import plan, status
from engine.capability import found
from engine.purpose import Purpose, Routine
from engine.world import ContainerView, World
from errors import WorkloadError
from model import hooktools
from model import look as juju
from nodes import look as nodes
from nodes.look import Circle
from pod import look as pod
from pod import render

if TYPE_CHECKING:
    from engine.hook import Hook
    from model.peers import Peers

logger = logging.getLogger(__name__)


def look(hook: Hook, purpose: Purpose = Routine()) -> World:  # noqa: B008  it is frozen
    """Return what this unit can see now.

    In a hook that tells nothing, a unit that is right asks no more than it takes to see that.
    """
    if hook.is_short:
        world = _look(hook, purpose, hook.peers(reads_all=bool(hook.config["enable-tls"])))
        if plan.is_at_rest(world) and status.is_all_right(world):
            return world
        hook.thorough = True
        if plan.is_urgent(world):
            return world
    return _look(hook, purpose, hook.peers())


def _look(hook: Hook, purpose: Purpose, peers: Peers) -> World:
    """Return one look, as thorough as what is read of the peers."""
    if not peers.exists:
        return World(app=hook.model.app.name, host=hook.host, has_peer_relation=False)
    world = _look_at_juju(hook, purpose, peers)
    world = pod.containers(hook, world, _fingerprint(world))
    world = pod.volume(hook, world)
    if world.credentials is None:
        return world
    world = pod.images(hook, world)
    try:
        world = pod.state(hook, world, render.owner_mark(world))
    except WorkloadError as e:
        logger.warning("%s", e)
        return replace(world, redis_container=ContainerView(), sentinel_container=ContainerView())
    if _hastens(hook, world):
        # What is urgent shows on this unit's own nodes; others that are down cost seconds.
        led = _watch(hook, _ask(hook, world, Circle.OWN))
        if plan.is_urgent(led):
            return led
    circle = Circle.ALL if needs_full_look(world) else Circle.NEAR
    # What a note of rest would say is heard before the nodes are asked.
    listens = hook.is_short and plan.may_rest(world)
    world = _ask(hook, world, circle, listens)
    if is_in_doubt(world):
        world = _ask(hook, world, Circle.ALL, listens)
    world = pod.holders(hook, world, silent_ports(world))
    if may_be_empty(world):
        world = pod.emptiness(hook, world)
    return _watch(hook, world)


def _hastens(hook: Hook, world: World) -> bool:
    return hook.is_short and any(
        found(each.hastens)(hook, world) for each in capabilities.on(world) if each.hastens
    )


def _watch(hook: Hook, world: World) -> World:
    for capability in capabilities.on(world):
        if capability.watch:
            world = found(capability.watch)(hook, world)
    return world


def _look_at_juju(hook: Hook, purpose: Purpose, peers: Peers) -> World:
    world = juju.look(hook, peers, purpose)
    times = {hook.hosts.of(unit): time_s for unit, time_s in peers.data_times().items()}
    empty = frozenset(map(hook.hosts.of, peers.empty()))
    world = replace(world, data_times=times, empty=empty)
    for capability in capabilities.CAPABILITIES:
        if capability.look and capability.looks(hook, peers):
            world = found(capability.look)(hook, peers, world)
    if hook.committed is None:
        has_record, has_secret = peers.primary is not None, world.credentials is not None
        hook.committed = hooktools.begun_with(has_record, has_secret)
    return replace(world, record_kept=hook.committed[0], credentials_kept=hook.committed[1])


def _ask(hook: Hook, world: World, circle: Circle, listens: bool = False) -> World:
    """Add what the nodes say; of this unit's own also what single capabilities ask."""
    names = redis_settings(world).keys() | {"replica-priority"}
    seen = nodes.look(hook, world, names, circle, listens)
    if seen is world:
        return world
    asked = seen
    for capability in capabilities.on(seen):
        if capability.ask:
            asked = found(capability.ask)(hook, asked)
    if asked is not seen and _fingerprint(asked) != _fingerprint(world):
        # What the files are to say follows from what the nodes serve, so they are compared again.
        asked = pod.images(hook, pod.containers(hook, asked, _fingerprint(asked)))
    return asked


def _fingerprint(world: World) -> str | None:
    """Return what the files are to be made of; None: as long as that is not known."""
    if world.credentials is None or world.config.problem:
        return None
    return render.fingerprint(world)
