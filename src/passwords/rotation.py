# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Decisions on passwords: how all units come from one set to the next. Pure, like ``plan``.

The secret has a serial number and, while passwords change, two for some users. Its states follow
each other: ``accept`` (current and next: every node accepts both, and uses the current), ``use``
(current and previous: every node still accepts both, and uses the new ones), ``settled``. Each
unit brings its own Redis and Sentinel to the state in the secret and then publishes the serial;
when every unit has, the leader writes the next state. So a password is used only after every node
accepts it, and goes only after nobody uses it, whoever is leader and whatever is cut in between.
The users that come with relations (guests) go through the same states, but for the end: who uses
their passwords is elsewhere, so the old one is kept until they say that they have the new one.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import field

import constants as c
import texts
from engine.steps import AskAgain, Step
from engine.world import Logins, World
from errors import Refusal
from passwords import users
from passwords.users import NO_PASSWORD, Credentials, Entrance, User, digest
from values import dataclass

SHORTEST = 12
LONGEST = 512
_ALLOWED = re.compile(r"[!#-&(-\[\]-~]+")
"""Printable ASCII without spaces, quotes and backslashes: it stands in files as it is."""


@dataclass(frozen=True)
class CreateCredentials(Step):
    """Make the passwords of the application and keep them in a secret."""


@dataclass(frozen=True)
class RestoreUsers(Step):
    """Give the charm its own login back, as administrator; somebody has changed the users."""

    service: str


@dataclass(frozen=True)
class SetPasswords(Step):
    """Make one user of a node of this unit accept these passwords, and no others."""

    kind: str
    user: str
    add: frozenset[str] = field(repr=False)
    """Digests."""
    remove: frozenset[str] = field(repr=False)
    """Digests."""
    rights: str = ""
    """Of a user that the node does not know yet; empty: it keeps what it has."""


@dataclass(frozen=True)
class RemoveUser(Step):
    """Have a node of this unit forget a user that came with a relation and has gone."""

    kind: str
    user: str


@dataclass(frozen=True)
class ChangeGuests(Step):
    """Let users of relations in, or no more, and open or close ``default``. Leader only."""

    come: tuple[User, ...] = ()
    gone: tuple[str, ...] = ()
    """By their names."""
    entrance: Entrance | None = None
    """None: it stays as it is."""


@dataclass(frozen=True)
class AdmitUsers(Step):
    """Have nodes of other units know users, which hooks there would do later. Leader only."""

    binds = True

    users: tuple[str, ...]
    """By their names in the ACL of Redis; guests have the same on Sentinel."""
    redis: tuple[str, ...]
    """Hosts."""
    sentinels: tuple[str, ...]
    """Hosts."""


@dataclass(frozen=True)
class OpenEntrance(Step):
    """Let everybody into the Redis of this unit as a user, without a password."""

    user: str
    rights: str


@dataclass(frozen=True)
class CloseEntrance(Step):
    """Give that user of this unit's Redis its passwords and rights back, and end who came in."""

    user: str
    digests: frozenset[str] = field(repr=False)
    rights: str


@dataclass(frozen=True)
class UsePassword(Step):
    """Have a node of this unit log in elsewhere by the current password."""

    kind: str
    setting: str


@dataclass(frozen=True)
class PublishSerial(Step):
    """Tell the leader that this unit is in the state that the secret asks for."""

    serial: int


@dataclass(frozen=True)
class ChangeSecret(Step):
    """Write the next state of the passwords. Leader only."""

    credentials: Credentials = field(repr=False)


@dataclass(frozen=True)
class DropPlainPasswords(Step):
    """Take the passwords of the earlier charm out of the databag. Leader only."""


def expected(credentials: Credentials, kind: str) -> Logins:
    """Return what a node of a kind should accept and use."""
    return Logins(
        accepted={
            entry.name: frozenset(entry.digests) or users.passwords_in(entry.rights.split())
            for entry in credentials.acl(kind)
        },
        used={setting: digest(credentials[user]) for setting, user in users.logins(kind).items()},
    )


def is_behind(world: World) -> bool:
    """Whether this unit has not yet reached the state in the secret, or not said so.

    Only then its nodes are asked for their passwords. Serial 1 is how a unit is born.
    """
    credentials = world.credentials
    return (
        credentials is not None
        and world.credentials_kept
        and (
            _published(world, world.host) != credentials.serial
            # A unit of this charm says so, for the earlier charm's passwords to go.
            or (world.plain_passwords and world.host not in world.serials)
        )
    )


def under_way(world: World) -> bool:
    """Whether passwords are being changed."""
    credentials = world.credentials
    return credentials is not None and bool(credentials.next or credentials.previous)


def awaited(world: World) -> tuple[str, ...]:
    """Return the hosts that have not reached the state in the secret, or not said so."""
    credentials = world.credentials
    if credentials is None:
        return ()
    behind = (h for h in world.planned if _published(world, h) != credentials.serial)
    return (*behind, *sorted(world.leaving))


def awaited_guests(world: World) -> tuple[str, ...]:
    """Return the users of relations whose old password goes when they have taken the new one."""
    credentials = world.credentials
    if credentials is None or credentials.next:
        return ()
    return tuple(n for n in credentials.previous if not _may_go(world, n))


def _may_go(world: World, name: str) -> bool:
    """Whether nobody uses the previous password of a user any more, once all units are there."""
    return not users.is_guest(name) or name in world.clients.taken | world.tenants.taken


def is_settled(world: World) -> bool:
    """Whether every unit has one password for each user, and a new change may begin.

    For relations that have not taken their new password yet nothing else has to wait.
    """
    credentials = world.credentials
    return (
        credentials is not None
        and not credentials.next
        and all(users.is_guest(name) for name in credentials.previous)
        and not world.secret_changed
        and all(_published(world, host) == credentials.serial for host in world.planned)
    )


def login_steps(world: World) -> Iterator[Step]:
    """Mend a login of the charm that this unit's processes refuse."""
    for kind, refusals in (
        (c.REDIS, world.redis_refusals),
        (c.SENTINEL, world.sentinel_refusals),
    ):
        if c.NODE_PORTS[kind] in world.holders:
            # It is somebody else who refuses, and he is to learn no password.
            continue
        if refusals.get(world.host) is Refusal.LOGIN:
            yield RestoreUsers(kind)


def unit_steps(world: World) -> Iterator[Step]:
    """Bring this unit's nodes to the state in the secret, and say when they are there."""
    if world.credentials is None or not world.credentials_kept or world.stopping:
        return
    if not (world.redis_container.ready and world.sentinel_container.ready):
        return
    if not is_behind(world):
        return
    done = world.redis_container.current and world.sentinel_container.current
    for kind, now in ((c.REDIS, world.redis_logins), (c.SENTINEL, world.sentinel_logins)):
        if now is None:
            done = False
            continue
        wanted = expected(world.credentials, kind)
        rights = {entry.name: entry.rights for entry in world.credentials.acl(kind)}
        for user, digests in wanted.accepted.items():
            has = now.accepted.get(user, frozenset())
            if entrance := _entrance_step(world.credentials, kind, user, has, digests):
                yield entrance
                done = False
            elif has != digests:
                new = "" if user in now.accepted else rights[user]
                yield SetPasswords(kind, user, digests - has, has - digests, new)
                done = False
        for user in sorted(now.accepted.keys() - wanted.accepted):
            if user.startswith(users.GUEST_PREFIX):
                yield RemoveUser(kind, user)
                done = False
        for setting, value in wanted.used.items():
            if now.used.get(setting) != value:
                yield UsePassword(kind, setting)
                done = False
    if done:
        yield PublishSerial(world.credentials.serial)


def _entrance_step(
    credentials: Credentials,
    kind: str,
    user: str,
    has: frozenset[str],
    wanted: frozenset[str],
) -> OpenEntrance | CloseEntrance | None:
    """Return what opens or closes ``default`` of Redis; both change more than its passwords."""
    if kind != c.REDIS or user != "default" or credentials.entrance is None:
        return None
    if credentials.is_open:
        opens = OpenEntrance(user, credentials.entrance.rights)
        return None if NO_PASSWORD in has else opens
    if NO_PASSWORD in has or not has:
        # One that has none is half closed.
        return CloseEntrance(user, wanted, users.rights(users.ADMIN, kind))
    return None


def leader_steps(world: World) -> Iterator[Step]:
    """Write the next state when every unit has reached the present one.

    A unit that leaves is waited for as well: until it is gone it may log in anywhere.
    """
    credentials = world.credentials
    if not world.is_leader or credentials is None or not world.credentials_kept:
        return
    if world.plain_passwords and all(host in world.serials for host in world.planned):
        yield DropPlainPasswords()
    ready = all(_published(world, host) == credentials.serial for host in world.planned)
    if not ready or world.leaving or world.secret_changed:
        return
    serial = credentials.serial + 1
    if credentials.next:
        changed = {name: credentials[name] for name in credentials.next}
        promoted = credentials.with_passwords(credentials.next)
        guests = tuple(
            dataclasses.replace(g, version=g.version + 1) if g.name in changed else g
            for g in credentials.guests
        )
        previous = {**credentials.previous, **changed}
        yield ChangeSecret(
            dataclasses.replace(promoted, serial=serial, next={}, previous=previous, guests=guests)
        )
    elif any(_may_go(world, name) for name in credentials.previous):
        kept = {n: text for n, text in credentials.previous.items() if not _may_go(world, n)}
        yield ChangeSecret(dataclasses.replace(credentials, serial=serial, previous=kept))
    else:
        new = {
            name: password
            for name, password in world.wanted_passwords.items()
            if password != credentials[name]
        }
        if new:
            yield begin(credentials, new)


def begin(credentials: Credentials, new: Mapping[str, str]) -> ChangeSecret:
    """Return the step that starts a rotation; nothing else may be under way.

    Args:
        credentials: settled.
        new: by name of a user.
    """
    return ChangeSecret(
        dataclasses.replace(credentials, serial=credentials.serial + 1, next=dict(new))
    )


def with_guests(
    credentials: Credentials,
    come: Mapping[User, str],
    gone: Collection[str],
    entrance: Entrance | None = None,
) -> Credentials:
    """Return the passwords when users have come with relations, or gone with them.

    It may be done in every state: what is under way goes on.

    Args:
        credentials: that hold now.
        come: the password of each user that is new; their names begin with
            ``users.GUEST_PREFIX``.
        gone: names of users that are not to be any more.
        entrance: how ``default`` is entered from now on; None: as before.
    """
    assert all(users.is_guest(user.name) for user in come)
    serial = credentials.serial + 1
    if entrance is not None:
        entrance = dataclasses.replace(entrance, since=serial)
    stay = tuple(guest for guest in credentials.guests if guest.name not in gone)
    new = (dataclasses.replace(user, since=serial) for user in come)

    def left(passwords: Mapping[str, str]) -> dict[str, str]:
        return {name: text for name, text in passwords.items() if name not in gone}

    passwords = {**left(credentials.passwords), **{u.name: text for u, text in come.items()}}
    return dataclasses.replace(
        credentials,
        passwords=passwords,
        serial=serial,
        next=left(credentials.next),
        previous=left(credentials.previous),
        guests=(*stay, *new),
        entrance=entrance or credentials.entrance,
    )


def check_passwords(chosen: Mapping[str, str]) -> str | None:
    """Return what is wrong with the passwords that the operator chose; None: nothing.

    Args:
        chosen: content of the secret in ``system-users``, by user. No message has a password.
    """
    for user, password in sorted(chosen.items()):
        if user not in users.NAMES:
            return texts.CHOSEN_NO_USER.format(user=user, users=", ".join(users.NAMES))
        if not password:
            return texts.CHOSEN_EMPTY.format(user=user)
        if len(password) < SHORTEST:
            return texts.CHOSEN_SHORT.format(user=user, least=SHORTEST)
        if len(password) > LONGEST:
            return texts.CHOSEN_LONG.format(user=user, most=LONGEST)
        if not _ALLOWED.fullmatch(password):
            return texts.CHOSEN_CHARACTERS.format(user=user)
    return None


def logins_in_conf(text: str) -> Logins:
    """Return what a ``sentinel.conf`` lets Sentinel accept and use."""
    accepted: dict[str, frozenset[str]] = {}
    used: dict[str, str] = {}
    settings = users.logins(c.SENTINEL)
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["user"] and len(words) > 1:
            accepted[words[1]] = users.passwords_in(words[2:])
        elif words[:1] == ["sentinel"] and len(words) > 2 and words[1] in settings:
            used[words[1]] = digest(words[-1])
    return Logins(accepted=accepted, used=used)


def _published(world: World, host: str) -> int:
    return world.serials.get(host, 1)


def is_reached(world: World, host: str, serial: int) -> bool:
    """Whether a unit has said that its nodes are in a state of the passwords, or a later one."""
    return _published(world, host) >= serial


def admissions(world: World, since: Mapping[str, int]) -> Iterator[Step]:
    """Have all nodes know users of whom somebody is about to hear.

    Args:
        world: of the leader.
        since: by their names in the ACL of Redis, the serial with which each came.
    """
    if not since:
        return
    # A node that is silent reads them when it starts.
    lacks = [host for host in world.planned if not is_reached(world, host, max(since.values()))]
    if lacks:
        redis = tuple(host for host in lacks if host in world.redis)
        sentinels = tuple(host for host in lacks if host in world.sentinels)
        yield AdmitUsers(tuple(sorted(since)), redis, sentinels)


def waiting_steps(world: World) -> Iterator[Step]:
    """Look again for what a new state of the secret leads to; it counts once this hook is over."""
    if world.secret_changed:
        yield AskAgain(texts.WHY_ROTATING)


def rests(world: World) -> bool:
    """Whether nothing is under way, as far as this unit's own databag tells."""
    return not (world.plain_passwords or world.wanted_passwords or under_way(world))
