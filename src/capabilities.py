# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the charm can do: one entry for each capability, in the order of the plan.

Nothing of a capability is imported here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import constants as c
from engine.capability import Capability, Phase
from engine.steps import Step

if TYPE_CHECKING:
    from engine.hook import Hook
    from engine.world import World


def _joins_tls(hook: Hook) -> bool:
    """Without the relation it has no part, nor when a hook tells nothing and TLS is off."""
    if hook.routine and not hook.config["enable-tls"]:
        return False
    return hook.model.get_relation(c.CERTIFICATES_RELATION) is not None


CAPABILITIES = (
    Capability(
        name="cluster",
        steps={
            Phase.BIRTH: ("cluster.start:birth_steps",),
            Phase.RUN: ("cluster.start:workload_steps",),
            Phase.OWN: ("cluster.own:own_redis_steps", "cluster.own:own_sentinel_steps"),
            Phase.LEAVE: ("cluster.leaving:leaving_steps",),
            Phase.LEAD: ("cluster.leader:leader_steps",),
            Phase.WAIT: ("cluster.own:patience_steps",),
        },
        rests="cluster.facts:rests",
        apply=("cluster.apply", "cluster.command"),
    ),
    Capability(
        name="passwords",
        look="passwords.look:look",
        ask="passwords.look:ask",
        steps={
            Phase.ACCEPT: ("passwords.rotation:unit_steps",),
            Phase.RUN: ("passwords.rotation:login_steps",),
            Phase.LEAD: ("passwords.rotation:leader_steps", "passwords.rotation:waiting_steps"),
        },
        rests="passwords.rotation:rests",
        apply=("passwords.apply",),
    ),
    Capability(
        name="tls",
        relations=(c.CERTIFICATES_RELATION,),
        join="tls.look:join",
        joins=_joins_tls,
        look="tls.look:look",
        looks=lambda hook, peers: bool(hook.config["enable-tls"]) or peers.has_tls_records,
        is_on=lambda world: world.tls.active,
        ask="tls.look:ask",
        steps={
            Phase.RUN: ("tls.plan:unit_steps",),
            Phase.LEAD: ("tls.plan:leader_steps",),
        },
        rests="tls.plan:rests",
        apply=("tls.apply",),
    ),
    Capability(
        name="service",
        watch="service.look:watch",
        end="service.look:end",
        hastens="service.look:may_lead",
        urgent="service.labels:is_urgent",
        steps={
            Phase.LEAD_CLIENTS: ("service.labels:steps",),
            Phase.WAIT: ("service.labels:waiting_steps",),
        },
        apply=("service.look",),
    ),
    Capability(
        name="clients",
        relations=(c.CLIENT_RELATION,),
        look="clients.look:look",
        # A hook that tells nothing goes by what this unit remembers.
        looks=lambda hook, _: bool(hook.memory.clients) or not hook.is_short,
        is_on=lambda world: world.clients.is_on,
        watch="clients.look:watch",
        end="clients.look:end",
        steps={
            Phase.OWN: ("clients.plan:unit_steps",),
            Phase.LEAD: ("clients.plan:leader_steps",),
        },
        apply=("clients.apply",),
    ),
    Capability(
        name="tenants",
        relations=(c.TENANT_RELATION,),
        look="tenants.look:look",
        looks=lambda hook, _: bool(hook.memory.tenants) or not hook.is_short,
        is_on=lambda world: world.tenants.is_on,
        end="tenants.look:end",
        steps={Phase.LEAD: ("tenants.plan:leader_steps",)},
        apply=("tenants.apply",),
    ),
)


def on(world: World) -> tuple[Capability, ...]:
    """Return the capabilities that a world has anything of."""
    return tuple(each for each in CAPABILITIES if each.is_on(world))


def taker(kind: type[Step]) -> Callable[..., None]:
    """Return what takes a type of step: ``(step, hook, world)``.

    Raises:
        TypeError: nobody does.
    """
    room = kind.__module__.partition(".")[0]
    for module in (m for each in CAPABILITIES if each.name == room for m in each.apply):
        takes: dict[type[Step], Callable[..., Any]] = importlib.import_module(module).TAKES
        if kind in takes:
            return takes[kind]
    raise TypeError(f"no such step: {kind.__name__}")
