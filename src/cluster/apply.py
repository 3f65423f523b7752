# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the steps of the cluster do in Juju's databags and in the containers of this unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import constants as c
from cluster import steps as s
from engine.steps import Step
from engine.world import World
from pod import render

if TYPE_CHECKING:
    from engine.hook import Hook


def _write_files(step: s.WriteFiles, hook: Hook, world: World) -> None:
    if step.container == c.REDIS:
        image = world.redis_container.image
        assert image
        hook.redis.own_storage(image.user, image.group)
        hook.redis.write(render.redis_files(world, image), image.user, image.group)
        layer = render.redis_layer(world, image)
        hook.redis.restart_if_changed(c.EXPORTER_SERVICE, layer)
        hook.redis.add_layer(layer)
    else:
        image = world.sentinel_container.image
        assert image
        hook.sentinel.own_sentinel_state(image.user, image.group)
        hook.sentinel.write(render.sentinel_files(world, image), image.user, image.group)
        hook.sentinel.add_layer(render.sentinel_layer(world, image))


def _write_conf(step: s.WriteSentinelConf | s.RenewSentinel, hook: Hook, world: World) -> None:
    conf = render.sentinel_conf(world, step.primary)
    hook.sentinel.write_sentinel_conf(conf, render.owner_mark(world))


def _refresh_conf(_: s.RefreshSentinelConf, hook: Hook, world: World) -> None:
    text = hook.sentinel.sentinel_conf()
    hook.sentinel.refresh_sentinel_conf(render.refreshed_sentinel_conf(world, text))


def _renew_sentinel(step: s.RenewSentinel, hook: Hook, world: World) -> None:
    hook.sentinel.stop(c.SENTINEL)
    _write_conf(step, hook, world)
    hook.sentinel.start(c.SENTINEL)


TAKES: dict[type[Step], Callable[[Any, Hook, World], object]] = {
    s.RecordPrimary: lambda step, hook, _: hook.peers().record_primary(step.host),
    s.RecordUnits: lambda step, hook, _: hook.peers().record_units(step.hosts),
    s.MarkInitialised: lambda _, hook, __: hook.peers().mark_initialised(),
    s.PublishDataTime: lambda step, hook, _: hook.peers().publish_data_time(step.time_s),
    s.PublishEmpty: lambda step, hook, _: hook.peers().publish_empty(step.is_empty),
    s.StartEmpty: lambda _, hook, __: hook.peers().forget_initialised(),
    s.WriteFiles: _write_files,
    s.WriteSentinelConf: _write_conf,
    s.RefreshSentinelConf: _refresh_conf,
    s.RenewSentinel: _renew_sentinel,
    s.PermitBirth: lambda _, hook, __: hook.redis.permit_birth(),
    s.StartService: lambda step, hook, _: hook.container(step.container).start(step.service),
    s.StopService: lambda step, hook, _: hook.container(step.container).stop(step.service),
    s.ReleaseHandover: lambda _, hook, __: hook.release(),
}
