# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What this unit sees of passwords: in Juju's secrets and databags, and on its own nodes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import constants as c
from engine.world import Logins, World
from errors import AdapterError, CredentialsRefusedError, SecretError
from model import hooktools
from nodes.access import operator
from passwords import rotation, secret

if TYPE_CHECKING:
    from engine.hook import Hook
    from model.peers import Peers
    from passwords.users import Credentials

logger = logging.getLogger(__name__)


@dataclass
class Note:
    """What a hook remembers of passwords."""

    credentials: Credentials | None = None
    """Read once: what others write meanwhile is for the next hook, and what this hook writes
    counts when it has succeeded."""
    changed: bool = False
    """It has written a new state of them."""
    chosen: Mapping[str, str] | str | None = None
    """What the operator chose, or why that cannot be read; None: not looked at yet."""


def look(hook: Hook, peers: Peers, world: World) -> World:
    """Add the passwords, and how far each unit is with them."""
    note = hook.note(Note)
    refused = False
    if note.credentials is None:
        try:
            content = peers.secret()
            note.credentials = secret.parse(content) if content else None
        except CredentialsRefusedError as e:
            if not hooktools.is_spent(e):
                raise
            logger.warning("Juju does not give the passwords: %s", hooktools.reason_of(e))
            refused = True
    world = replace(
        world,
        credentials=note.credentials,
        credentials_refused=refused,
        secret_changed=note.changed,
        serials={hook.hosts.of(unit): serial for unit, serial in peers.serials().items()},
        plain_passwords=peers.has_plain_passwords,
    )
    if note.credentials is not None and world.is_leader:
        world = _look_at_chosen(hook, peers, world)
    return world


def _look_at_chosen(hook: Hook, peers: Peers, world: World) -> World:
    """Add the passwords that the operator chose, or what is wrong with them."""
    secret_id = str(hook.config.get("system-users", ""))
    note = hook.note(Note)
    if not secret_id:
        return world
    if note.chosen is None:
        try:
            note.chosen = peers.chosen_passwords(secret_id)
        except SecretError as e:
            note.chosen = str(e)
    if isinstance(note.chosen, str):
        return replace(world, system_users_problem=note.chosen)
    problem = rotation.check_passwords(note.chosen)
    if problem:
        return replace(world, system_users_problem=problem)
    return replace(world, wanted_passwords=note.chosen)


def ask(hook: Hook, world: World) -> World:
    """Add the passwords that the nodes of this unit accept and use, while they change."""
    if not rotation.is_behind(world):
        return world
    from passwords import logins

    access = operator(world)
    try:
        if world.own_redis is not None:
            world = replace(world, redis_logins=logins.read(world.host, c.REDIS, access))
        if world.own_sentinel is not None:
            found = logins.read(world.host, c.SENTINEL, access)
            # This one it tells nobody.
            used = rotation.logins_in_conf(hook.sentinel.sentinel_conf()).used
            both = Logins(found.accepted, {**used, **found.used})
            world = replace(world, sentinel_logins=both)
    except AdapterError as e:
        logger.info("%s", e)
    return world
