# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Decisions on requests for users: who is let in, what each is answered. Pure.

A user is a row in the secret of passwords, as one of ``clients.plan`` is, and is named only when
all nodes know it. Who is asked for shows in the databag of the other side, who has been answered
in that of this one, and who is there in the secret: whoever leads goes on from these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import constants as c
import texts
from clients import plan as clients
from engine.steps import AskAgain, Step
from engine.world import World
from passwords import rotation
from passwords.rotation import ChangeGuests
from passwords.users import User, digest, is_tenant
from service.labels import primary_of
from tenants import keys, rights
from tenants.view import Request, Tenant, Told
from tls import plan as tls
from values import dataclass


@dataclass(frozen=True)
class Answer:
    """What one request is to be answered."""

    request: Request
    user: str
    version: int
    """Of the password."""
    authorities: str
    """The digest of those to trust; empty: there is no TLS."""
    values: tuple[tuple[str, str], ...]
    """By key, but for the ids of secrets."""
    gives: tuple[str, ...] = ()
    """The secrets that have to be written, by their keys."""


@dataclass(frozen=True)
class Reply(Step):
    """Answer all requests of a relation; one that is not among them is answered no more."""

    relation: int
    form: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class TakeBack(Step):
    """Remove the secrets by which an application had a user. Leader only."""

    user: str


def place_of(world: World) -> str | None:
    """Return where tenants are to write and where to read; None: nobody is sure."""
    primary = primary_of(world)
    return None if primary is None else _place(_places(world, primary))


def told_place(world: World) -> str:
    """Return where all tenants have been told to; empty: to several places, or none has been."""
    tenants = world.tenants.related or ()
    found = {_place(told.values) for tenant in tenants for told in tenant.told.values()}
    return found.pop() if len(found) == 1 else ""


def _places(world: World, primary: str) -> dict[str, str]:
    return {
        keys.ENDPOINTS: f"{world.tenants.name or primary}:{c.REDIS_PORT}",
        keys.READ_ONLY: ",".join(f"{h}:{c.REDIS_PORT}" for h in world.planned if h != primary),
    }


def _place(values: Mapping[str, str]) -> str:
    return f"{values.get(keys.ENDPOINTS, '')} {values.get(keys.READ_ONLY, '')}"


def leader_steps(world: World) -> Iterator[Step]:
    """Whom the nodes let in, and what is answered."""
    view = world.tenants
    if not world.is_leader or world.is_leaving or world.stopping:
        return
    if view.related is None:
        place = place_of(world)
        moved = place is not None and view.remembered not in (None, "", place)
        if moved or view.waits:
            # This hook has to read what it only remembers.
            yield AskAgain(texts.WHY_TENANTS)
        return
    if world.credentials is None or not world.credentials_kept:
        return
    if view.related:
        yield from clients.name_steps(world, view.name)
    yield from _guest_steps(world)
    if primary_of(world) is None:
        # Who is there, and what they have, shows when somebody leads.
        return
    replies = [reply for each in view.related if (reply := _reply(world, each))]
    yield from _admit_steps(world, replies)
    yield from replies


def served(world: World, tenant: Tenant) -> Iterator[Request]:
    """Yield the requests of a relation that are served, as they are.

    One that is no good any more, or another than before, stays as it was answered.
    """
    for each in tenant.requests:
        if (before := tenant.told.get(each.id)) and problem(world, tenant, each):
            yield _as_told(each.id, before)
        elif not each.problem:
            yield each


def problem(world: World, tenant: Tenant, request: Request) -> str:
    """Return why a request is not served as it stands; empty: it is."""
    before = tenant.told.get(request.id)
    if request.problem or before is None:
        return request.problem
    kept = rights.prefix(before.values[keys.RESOURCE]) == rights.prefix(request.resource)
    return "" if kept else texts.WHY_CHANGED.format(resource=before.values[keys.RESOURCE])


def problems(world: World) -> tuple[tuple[str, str], ...]:
    """Return the applications that ask for what they do not get, and why."""
    found = []
    for tenant in world.tenants.related or ():
        whys = (tenant.problem, *(problem(world, tenant, each) for each in tenant.requests))
        found += [(tenant.app, why) for why in whys if why]
    return tuple(sorted(found))


def _guest_steps(world: World) -> Iterator[Step]:
    """Bring the users into line with the requests, one change of the secret in a hook."""
    credentials, related = world.credentials, world.tenants.related
    assert credentials is not None and related is not None
    if world.secret_changed or not world.units_known:
        return
    others = (*rotation.leader_steps(world), *clients.leader_steps(world))
    if any(isinstance(each, rotation.ChangeSecret | ChangeGuests) for each in others):
        return
    asked = {t.user(each.id): each.resource for t in related for each in served(world, t)}
    answered = {tenant.user(each) for tenant in related for each in tenant.told}
    # Of these it is not known what they ask for.
    unclear = tuple(tenant.users for tenant in related if tenant.problem)
    present = {guest.name: guest for guest in credentials.guests if is_tenant(guest.name)}
    wrong = {
        name
        for name, guest in present.items()
        if name in asked and not rights.has(guest.rights[c.REDIS], asked[name])
    }
    gone = tuple(
        name
        for name in present
        if name not in answered
        and (name in wrong or name not in asked)
        and not name.startswith(unclear)
    )
    come = tuple(
        User(name, by="an application", rights=rights.rules(resource))
        for name, resource in asked.items()
        if name not in present
    )
    # First, since nobody knows of it any more once the user has gone.
    yield from (TakeBack(name) for name in gone)
    if come or gone:
        yield ChangeGuests(come, gone)


def _reply(world: World, tenant: Tenant) -> Reply | None:
    """Return the answer to a relation; None: it has it, or a user of it is not there yet."""
    credentials = world.credentials
    assert credentials is not None
    requests, form = list(served(world, tenant)), tenant.answered_in
    if tenant.problem and tenant.told:
        if tenant.told_form != form:
            return None
        # Nobody knows which of the others it still asks for.
        there = {each.id for each in requests}
        requests += [_as_told(i, told) for i, told in tenant.told.items() if i not in there]
    answers = []
    for request in requests:
        guest = credentials.guest(tenant.user(request.id))
        if guest is None or not rights.has(guest.rights[c.REDIS], request.resource):
            return None
        answers.append(_answer(world, tenant, request, guest))
    same_form = not answers or tenant.told_form == form
    there = {answer.request.id for answer in answers}
    if same_form and there == tenant.told.keys():
        if all(_is_told(answer, tenant.told[answer.request.id]) for answer in answers):
            return None
    return Reply(tenant.id, form, tuple(answers))


def _as_told(request_id: str, told: Told) -> Request:
    alias = next((key for key in keys.ALIASES if key in told.values), keys.RESOURCE)
    salt = told.values.get(keys.SALT, "")
    return Request(request_id, told.values[keys.RESOURCE], salt, alias)


def _is_told(answer: Answer, told: Told) -> bool:
    wanted = dict(answer.values)
    if answer.gives or {k: told.values.get(k, "") for k in wanted} != wanted:
        return False
    # One unit alone has no replica, and says nothing of any.
    return not (told.values.keys() - wanted.keys()) & {keys.READ_ONLY}


def _answer(world: World, tenant: Tenant, request: Request, guest: User) -> Answer:
    primary = primary_of(world)
    assert primary is not None
    same = tenant.told_form == tenant.answered_in
    told = tenant.told.get(request.id, Told({})) if same else Told({})
    trusted = tls.authorities_of(world, primary)
    authorities = digest(trusted)[:16] if trusted else ""
    gives = []
    if told.version != guest.version:
        gives.append(keys.USER)
    if told.authorities != authorities:
        gives.append(keys.TLS)
    values = {
        **_places(world, primary),
        keys.RESOURCE: request.resource,
        keys.SENTINELS: ",".join(f"{host}:{c.SENTINEL_PORT}" for host in world.planned),
        keys.MODE: "sentinel",
        # Of a server that is not Redis its name comes first.
        keys.VERSION: world.redis[primary].version.rpartition(" ")[2],
        keys.SALT: request.salt,
    }
    values = {key: text for key, text in values.items() if text}
    found = tuple(sorted(values.items()))
    return Answer(request, guest.name, guest.version, authorities, found, tuple(gives))


def _admit_steps(world: World, replies: Sequence[Reply]) -> Iterator[Step]:
    """Have all nodes know who is about to hear that they do."""
    assert world.credentials is not None
    since = {
        answer.user: guest.since
        for reply in replies
        for answer in reply.answers
        if keys.USER in answer.gives and (guest := world.credentials.guest(answer.user))
    }
    yield from rotation.admissions(world, since)


def waits(world: World) -> bool:
    """Whether the leader still owes anything that no event may tell of, or shows a problem."""
    credentials, related = world.credentials, world.tenants.related
    if not world.is_leader or credentials is None or related is None:
        return False
    present = {guest.name for guest in credentials.guests if is_tenant(guest.name)}
    answered = {tenant.user(each) for tenant in related for each in tenant.told}
    asked = {t.user(each.id) for t in related for each in served(world, t)}
    apart = bool(answered) and not told_place(world)
    return bool(present ^ answered or asked - answered or apart or problems(world))
