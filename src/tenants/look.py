# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the leader sees of the applications that ask for users: in databags, or in its memory."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import constants as c
from engine.world import World
from model import hooktools
from passwords.users import is_tenant
from tenants.view import Tenant, TenantsView

if TYPE_CHECKING:
    from engine.hook import Hook
    from model.peers import Peers

logger = logging.getLogger(__name__)


@dataclass
class Note:
    """What a hook remembers of tenants."""

    world: World | None = None
    """The last look that has read what there is, for the end of the hook."""


def look(hook: Hook, peers: Peers, world: World) -> World:
    """Add what is asked for and what was answered; both are the leader's to know.

    In a hook that tells nothing it goes by what it remembers, which costs nothing.
    """
    note = hook.note(Note)
    if not world.is_leader:
        note.world = world
        return world
    view = TenantsView(name=peers.one_name)
    memory = hook.memory.tenants
    if hook.is_short:
        place = str(memory["place"]) if memory else None
        view = replace(view, remembered=place, waits=bool(memory and memory["waits"]))
    else:
        view = replace(view, related=_related(hook))
    credentials = world.credentials
    guests = [g for g in credentials.guests if is_tenant(g.name)] if credentials else []
    versions = {guest.name: guest.version for guest in guests}
    taken = frozenset(
        user
        for tenant in view.related or ()
        for identity, told in tenant.told.items()
        if told.taken == versions.get(user := tenant.user(identity))
    )
    is_on = bool(view.related or view.remembered is not None or guests)
    world = replace(world, tenants=replace(view, taken=taken, is_on=is_on))
    if not hook.is_short:
        note.world = world
    return world


def _related(hook: Hook) -> tuple[Tenant, ...] | None:
    from tenants import databags

    try:
        relations = hook.model.relations[c.TENANT_RELATION]
        return tuple(databags.read(each, hook.model.app) for each in relations if each.app)
    except hooktools.FAILURES as e:
        # Nobody is shut out for that.
        if not hooktools.is_spent(e):
            raise
        logger.warning("Juju does not say who asks for users: %s", hooktools.reason_of(e))
        return None


def released(hook: Hook, label: str, revision: int, latest: int) -> bool:
    """Take it down that nobody has an old password any more. Leader only.

    Args:
        hook: that tells it.
        label: of the secret.
        revision: of it, which nobody reads any more.
        latest: revision of it.

    Returns:
        Whether that was news.
    """
    if revision != latest - 1:
        return False
    from tenants import databags

    found = databags.labelled(label)
    if found is None:
        return False
    relation_id, request_id = found
    for relation in hook.model.relations[c.TENANT_RELATION]:
        if relation.id == relation_id:
            return databags.note_taken(relation, hook.model.app, request_id)
    return False


def end(hook: Hook) -> None:
    """Remember what was answered, for hooks that tell nothing."""
    world = hook.note(Note).world
    if world is None or (world.is_leader and world.tenants.related is None):
        return
    found: dict[str, object] = {}
    if world.tenants.is_on:
        from tenants import plan

        found = {"place": plan.told_place(world), "waits": plan.waits(world)}
    if dict(hook.memory.tenants) != found:
        hook.memory.tenants = found
