# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What this unit sees of the applications that use Redis: in Juju's databags, or in its memory."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import constants as c
from clients import databags, keys, plan
from clients.view import Client, ClientsView
from engine.world import World
from model import hooktools

if TYPE_CHECKING:
    from engine.hook import Hook
    from model.peers import Peers

logger = logging.getLogger(__name__)

OPTION = "applications-without-password"


@dataclass
class Note:
    """What a hook remembers of clients."""

    world: World | None = None
    """The last look."""


def look(hook: Hook, peers: Peers, world: World) -> World:
    """Add the applications that are related, and what they and this unit have said.

    In a hook that tells nothing a unit goes by what it remembers, which costs nothing.
    """
    view = ClientsView(
        name=peers.one_name,
        open_to=frozenset(str(hook.config[OPTION]).replace(",", " ").split()),
    )
    memory = hook.memory.clients
    if hook.is_short:
        view = replace(
            view,
            remembered=str(memory["host"]) if memory else None,
            waits=bool(memory and memory["waits"]),
        )
    else:
        view = replace(view, related=_related(hook, world.is_leader))
    credentials = world.credentials
    left = credentials is not None and bool(plan.guests(credentials) or credentials.is_open)
    is_on = bool(view.related or view.remembered is not None or left)
    taken = frozenset(
        client.user
        for client in view.related or ()
        if credentials is not None
        and (guest := credentials.guest(client.user))
        and client.has_taken(guest.version)
    )
    return replace(world, clients=replace(view, is_on=is_on, taken=taken))


def _related(hook: Hook, is_leader: bool) -> tuple[Client, ...] | None:
    model = hook.model
    app = model.app if is_leader else None
    try:
        relations = model.relations[c.CLIENT_RELATION]
        return tuple(databags.read(each, model.unit, app) for each in relations if each.app)
    except hooktools.FAILURES as e:
        # Nobody is shut out for that.
        if not hooktools.is_spent(e):
            raise
        logger.warning("Juju does not say who uses Redis: %s", hooktools.reason_of(e))
        return None


def watch(hook: Hook, world: World) -> World:
    """Keep the look, for the end of the hook."""
    hook.note(Note).world = world
    return world


def end(hook: Hook) -> None:
    """Remember what clients have been told, for hooks that tell nothing."""
    world = hook.note(Note).world
    if world is None or world.clients.related is None:
        return
    found: dict[str, object] = {}
    if world.clients.related:
        said = {client.said.get(keys.HOST, "") for client in world.clients.related}
        found = {"host": said.pop() if len(said) == 1 else "", "waits": plan.waits(world)}
    if dict(hook.memory.clients) != found:
        hook.memory.clients = found
