# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Decisions on clients: where they are led, who is let in, what they are told. Pure.

A client's user is a row in the secret of passwords, so every unit brings it to its nodes as it
does the charm's own (``passwords.rotation``), and one that was down finds it there when it starts.
The client hears of it once all nodes have it, by a secret of its own. Hooks of all units take
seconds, so the leader gives it to those nodes itself that are not known to have it. Both are there
or not by what the leader finds related, so whoever leads can go on at any moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import constants as c
from clients import keys, rights
from clients.view import Client
from engine.steps import Step
from engine.world import World
from passwords import rotation
from passwords.rotation import ChangeGuests
from passwords.users import ADMIN_APART, Credentials, Entrance, User, is_tenant
from service.labels import primary_of
from tls import plan as tls
from values import dataclass


@dataclass(frozen=True)
class RecordName(Step):
    """Record by which host all clients are led to the primary; empty: by none. Leader only."""

    host: str


@dataclass(frozen=True)
class SayHost(Step):
    """Say to clients, in the databag of this unit, where they find the primary."""

    host: str
    relations: tuple[int, ...]
    """Empty: those that it is not known of yet what they were told."""


@dataclass(frozen=True)
class HandOver(Step):
    """Give a client its user, or the latest password of it. Leader only."""

    relation: int
    user: str
    version: int


@dataclass(frozen=True)
class TakeBack(Step):
    """Remove the secret by which a client had its user. Leader only."""

    user: str


@dataclass(frozen=True)
class Tell(Step):
    """Tell a client what holds for all units. Leader only."""

    relation: int
    values: tuple[tuple[str, str], ...]
    """By key; an empty one takes the key out."""


def host_of(world: World) -> str | None:
    """Return where clients find the primary; None: nobody is sure, and what was said stays."""
    return world.clients.name or primary_of(world)


def one_name(world: World) -> str:
    """Return the name of the Service of the application."""
    return f"{world.app}.{world.host.split('.', 2)[2]}" if world.host.count(".") > 1 else world.app


def unit_steps(world: World) -> Iterator[Step]:
    """Say where the primary is."""
    host, view = host_of(world), world.clients
    if host is None or world.is_leaving or world.stopping:
        return
    if view.related is None:
        if view.remembered not in (None, host) or (view.waits and world.is_leader):
            # This hook has to read what it only remembers.
            yield SayHost(host, ())
        return
    due = tuple(
        each.id
        for each in view.related
        if (each.said.get(keys.HOST), each.said.get(keys.CAN)) != (host, keys.FORM)
        and _may_come(world, each)
    )
    if due:
        yield SayHost(host, due)


def guests(credentials: Credentials) -> tuple[User, ...]:
    """Return the users that come with a relation of this kind."""
    return tuple(guest for guest in credentials.guests if not is_tenant(guest.name))


def _has(world: World, client: Client) -> bool:
    return world.credentials is not None and world.credentials.guest(client.user) is not None


def _may_come(world: World, client: Client) -> bool:
    """Whether it is time to say where the primary is.

    An application that is to come in without a password would find a closed door before that.
    """
    if client.app not in world.clients.open_to or _has(world, client):
        return True
    return world.credentials is not None and world.credentials.is_open


def leader_steps(world: World) -> Iterator[Step]:
    """Whom the nodes let in, and what clients are told of it."""
    if not world.is_leader or world.clients.related is None or world.is_leaving:
        return
    if world.credentials is None or not world.credentials_kept or world.stopping:
        return
    yield from name_steps(world, world.clients.name)
    yield from _guest_steps(world)
    if primary_of(world) is None:
        # Who is there, and what they have, shows when somebody leads.
        return
    steps = [step for client in world.clients.related for step in _steps_for(world, client)]
    yield from _let_in_steps(world, steps)
    yield from steps


def name_steps(world: World, recorded: str) -> Iterator[Step]:
    """Keep the record true of whether one name leads to the primary. Leader only."""
    leads = world.service.leads
    name = one_name(world) if leads else ""
    if leads is not None and recorded != name:
        yield RecordName(name)


def _guest_steps(world: World) -> Iterator[Step]:
    """Bring the users into line with the relations, one change of the secret in a hook."""
    credentials, related = world.credentials, world.clients.related
    assert credentials is not None and related is not None
    if world.secret_changed or not world.units_known:
        return
    if any(isinstance(each, rotation.ChangeSecret) for each in rotation.leader_steps(world)):
        return
    there = {client.user for client in related}
    present = {guest.name for guest in guests(credentials)}
    come = tuple(
        User(each.user, by="an application", rights=rights.RULES)
        for each in related
        if each.is_able and each.user not in present
    )
    gone = tuple(guest.name for guest in guests(credentials) if guest.name not in there)
    entrance = None
    if wants_entrance(world) != credentials.is_open:
        entrance = Entrance("" if credentials.is_open else rights.ON_REDIS, since=0)
    # First, since nobody knows of it any more once the user has gone.
    yield from (TakeBack(name) for name in gone)
    if come or gone or entrance:
        yield ChangeGuests(come, gone, entrance)


def admitted_by_operator(world: World, client: Client) -> bool:
    """Whether a client that cannot log in is to come in all the same.

    With TLS it cannot connect, so nothing is opened for it.
    """
    return client.is_old and client.app in world.clients.open_to and not world.config.tls


def wants_entrance(world: World) -> bool:
    """Whether there is a client for which ``default`` is to be open."""
    return any(admitted_by_operator(world, client) for client in world.clients.related or ())


def _steps_for(world: World, client: Client) -> Iterator[Step]:
    credentials = world.credentials
    assert credentials is not None
    user = credentials.guest(client.user)
    if user is not None:
        handed = client.told.get(keys.TAKEN) if keys.USER in client.told else None
        if handed != str(user.version):
            yield HandOver(client.id, user.name, user.version)
    if not _may_come(world, client):
        return
    wanted = _told(world, client)
    other = {key: text for key, text in wanted.items() if client.told.get(key, "") != text}
    if other:
        yield Tell(client.id, tuple(sorted(other.items())))


def _let_in_steps(world: World, steps: Sequence[Step]) -> Iterator[Step]:
    """Have all nodes know who is about to hear that they do."""
    credentials = world.credentials
    assert credentials is not None
    since: dict[str, int] = {}
    for step in steps:
        if isinstance(step, HandOver) and (user := credentials.guest(step.user)):
            since[user.name] = user.since
    if steps and credentials.entrance and credentials.is_open:
        since |= dict.fromkeys(("default", ADMIN_APART), credentials.entrance.since)
    yield from rotation.admissions(world, since)


def _told(world: World, client: Client) -> dict[str, str]:
    """Return what a client is to be told, but for its user."""
    # One that an earlier release serves without a user goes on so until it has one.
    served = keys.LEADER_HOST in client.told and keys.CAN not in client.told
    waits = not served or keys.USER in client.told
    authorities = tls.authorities_of(world, primary_of(world))
    return {
        keys.LEADER_HOST: host_of(world) or "",
        keys.CAN: keys.FORM if waits else "",
        keys.TLS: "true" if authorities else "false",
        keys.CA: authorities,
        keys.SENTINELS: ",".join(f"{host}:{c.SENTINEL_PORT}" for host in world.planned),
        keys.SENTINEL_NAME: world.app,
    }


def waits(world: World) -> bool:
    """Whether the leader still owes a client anything that no event may tell of."""
    credentials, related = world.credentials, world.clients.related
    if not world.is_leader or credentials is None or related is None:
        return False
    present = {guest.name for guest in guests(credentials)}
    wanted = {client.user for client in related if client.is_able}
    handed = {client.user for client in related if keys.USER in client.told}
    owes = wanted - handed or present - {client.user for client in related}
    # What is said of these in the status shows in the databags only.
    return bool(owes or credentials.is_open or refused(world) or let_in(world))


def refused(world: World) -> tuple[str, ...]:
    """Return the applications that cannot log in and are not let in without it."""
    clients = world.clients.related or ()
    return tuple(sorted({each.app for each in clients if _is_refused(world, each)}))


def _is_refused(world: World, client: Client) -> bool:
    return client.is_old and not admitted_by_operator(world, client)


def let_in(world: World) -> tuple[str, ...]:
    """Return the applications for which ``default`` is open."""
    clients = world.clients.related or ()
    return tuple(sorted({each.app for each in clients if admitted_by_operator(world, each)}))
