# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The room of the Services, as one hook uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.steps import Step
from service.labels import Label, OfferServices, SelectPrimary
from service.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.hook import Hook
    from engine.world import World


def _room(hook: Hook) -> Room:
    return hook.note(Room, lambda: Room(hook.model.app.name, hook.memory))


def watch(hook: Hook, world: World) -> World:
    """Add the labels of the pods, if something is to be changed."""
    return _room(hook).look(world)


def may_lead(hook: Hook, world: World) -> bool:
    """Whether this unit may have become primary without anybody having labelled it."""
    return _room(hook).may_lead(world)


def _take(step: Label | SelectPrimary | OfferServices, hook: Hook, world: World) -> None:
    _room(hook).take(step, world)


def end(hook: Hook) -> None:
    """End the connection to Kubernetes."""
    _room(hook).close()


TAKES: dict[type[Step], Callable[..., object]] = {
    Label: _take,
    SelectPrimary: _take,
    OfferServices: _take,
}
