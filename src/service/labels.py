# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Decisions on the labels of the pods and on the Services. Pure.

The new primary is labelled before the old one loses the label, so that the Service always leads to
some pod. What a late unit writes is put right by its own next event: one that looked before a
switch has the notice of it still to come. Meanwhile a client may be led to a replica, which
refuses to write, or to a primary that was cut off, which refuses too (``min-replicas-to-write``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import texts
from engine.steps import AskAgain, Step
from engine.world import World
from service.view import PRIMARY, REPLICA, Memory
from values import dataclass

WAITS = texts.WHY_NO_KUBERNETES


class ServiceStep(Step):
    """What ``service.room`` takes."""


@dataclass(frozen=True)
class Label(ServiceStep):
    """Label pods with their roles, in this order; if one cannot be, those after it stay."""

    roles: tuple[tuple[str, str], ...]
    """Pod and role."""
    primary: str
    """The host of the primary."""


@dataclass(frozen=True)
class SelectPrimary(ServiceStep):
    """Have the Service of the application lead to the pod with the label of the primary."""


@dataclass(frozen=True)
class OfferServices(ServiceStep):
    """Make Services for the primary and for the replicas, if the application is trusted."""


def pod(host: str) -> str:
    """Return the name of the pod of a host."""
    return host.partition(".")[0]


def primary_of(world: World) -> str | None:
    """Return the host of the primary; None: nobody is sure.

    Sure is what a majority says and the node itself confirms. A unit that asked its own Sentinel
    only takes its word if that one can reach a majority; one that is cut off labels nothing.
    """
    own = world.own_sentinel
    if world.asked_all:
        host = world.agreed_primary
    else:
        host = own.primary_host if own is not None and own.has_majority else None
    redis = world.redis.get(host) if host else None
    return host if redis is not None and redis.is_primary else None


def role_of(host: str, primary: str) -> str:
    """Return the label that the pod of a host is to have."""
    return PRIMARY if host == primary else REPLICA


def is_due(world: World, memory: Memory) -> bool:
    """Whether Kubernetes has to be asked: something is other than it was when it last was."""
    primary = primary_of(world)
    if primary is None or world.stopping and primary == world.host:
        return False
    moved = (memory.primary, memory.role) != (primary, role_of(world.host, primary))
    return moved or (world.is_leader and not (memory.selects and memory.offered))


def steps(world: World) -> Iterator[ServiceStep]:
    """Return what is to be done now, in order."""
    primary, view = primary_of(world), world.service
    if view.roles is None or primary is None:
        return
    roles = tuple(_changes(view.roles, primary, world.host))
    if roles:
        yield Label(roles, primary)
        # A Service that follows a label which nobody has leads nowhere.
        return
    if view.roles.get(pod(primary)) != PRIMARY:
        return
    if view.to_select:
        yield SelectPrimary()
    if view.to_offer:
        yield OfferServices()


def is_urgent(world: World) -> bool:
    """Whether clients are led to a pod that is not the primary's, or to none."""
    return any(isinstance(step, Label) for step in steps(world))


def _changes(roles: Mapping[str, str], primary: str, own: str) -> Iterator[tuple[str, str]]:
    """Yield the labels to write: gain before loss; those of other replicas are their own."""
    wanted = {pod(primary): PRIMARY}
    wanted |= {name: REPLICA for name, role in sorted(roles.items()) if role == PRIMARY}
    wanted |= {pod(own): REPLICA}
    wanted[pod(primary)] = PRIMARY
    yield from ((name, role) for name, role in wanted.items() if roles.get(name, role) != role)


def waiting_steps(world: World) -> Iterator[Step]:
    """Look again where Kubernetes gave no answer, a few times."""
    if world.service.waits:
        yield AskAgain(WAITS)
