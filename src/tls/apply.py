# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the steps of TLS do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import constants as c
from engine.steps import Step
from engine.world import World
from nodes.access import operator
from tls import plan
from tls.look import Note

if TYPE_CHECKING:
    from engine.hook import Hook


def _keep(step: plan.KeepMaterial, hook: Hook, _: World) -> None:
    from tls import certificates

    certificates.keep(hook.model, step.material)
    hook.note(Note).found = certificates.Found(step.material)


def _switch(step: plan.SwitchRedis, _: Hook, world: World) -> None:
    from tls import transport

    transport.switch(world.host, step.serve, operator(world))


def _cut(_: plan.CutOldConnections, __: Hook, world: World) -> None:
    from tls import transport

    transport.cut_connections(world.host, operator(world))


TAKES: dict[type[Step], Callable[[Any, Hook, World], object]] = {
    plan.KeepMaterial: _keep,
    plan.SwitchRedis: _switch,
    plan.RestartSentinel: lambda _, hook, __: hook.sentinel.restart(c.SENTINEL),
    plan.CutOldConnections: _cut,
    plan.PublishTls: lambda step, hook, _: hook.peers().publish_tls(step.record),
    plan.GiveTurn: lambda step, hook, _: hook.peers().give_turn(step.host),
}
