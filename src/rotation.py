# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Decisions on passwords: how all units come from one set to the next. Pure, like ``plan``.

The secret has a serial number and, while passwords change, two for some users. Its states follow
each other: ``accept`` (current and next: every node accepts both, and uses the current), ``use``
(current and previous: every node still accepts both, and uses the new ones), ``settled``. Each
unit brings its own Redis and Sentinel to the state in the secret and then publishes the serial;
when every unit has, the leader writes the next state. So a password is used only after every node
accepts it, and goes only after nobody uses it, whoever is leader and whatever is cut in between.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import constants as c
from world import Credentials, Logins, World

FIELDS = {
    "default": "admin",
    "sentinel-default": "sentinel_admin",
    c.OPERATOR_USER: "operator",
    c.REPLICATION_USER: "replication",
    c.WATCHER_USER: "watcher",
    c.PEERS_USER: "peers",
    c.EXPORTER_USER: "exporter",
}
"""What people call a user → the field of Credentials that has its password."""
NODE_USERS = {
    c.REDIS: {
        "default": "admin",
        c.OPERATOR_USER: "operator",
        c.REPLICATION_USER: "replication",
        c.WATCHER_USER: "watcher",
        c.EXPORTER_USER: "exporter",
    },
    c.SENTINEL: {
        "default": "sentinel_admin",
        c.OPERATOR_USER: "operator",
        c.PEERS_USER: "peers",
    },
}
"""By kind of node: the users in its ACL, with the fields that have their passwords."""
NODE_LOGINS = {
    c.REDIS: {"masterauth": "replication"},
    c.SENTINEL: {"auth-pass": "watcher", "sentinel-pass": "peers"},
}
"""By kind of node: the settings with a password by which it logs in elsewhere."""
SHORTEST = 12
LONGEST = 512
_ALLOWED = re.compile(r"[!#-&(-\[\]-~]+")
"""Printable ASCII without spaces, quotes and backslashes: it stands in files as it is."""


@dataclass(frozen=True)
class SetPasswords:
    """Make one user of a node of this unit accept these passwords, and no others."""

    kind: str
    user: str
    add: frozenset[str] = field(repr=False)
    """Digests."""
    remove: frozenset[str] = field(repr=False)
    """Digests."""


@dataclass(frozen=True)
class UsePassword:
    """Have a node of this unit log in elsewhere by the current password."""

    kind: str
    setting: str


@dataclass(frozen=True)
class PublishSerial:
    """Tell the leader that this unit is in the state that the secret asks for."""

    serial: int


@dataclass(frozen=True)
class ChangeSecret:
    """Write the next state of the passwords. Leader only."""

    credentials: Credentials = field(repr=False)


@dataclass(frozen=True)
class DropPlainPasswords:
    """Take the passwords of the earlier charm out of the databag. Leader only."""


Step = SetPasswords | UsePassword | PublishSerial | ChangeSecret | DropPlainPasswords


def digest(password: str) -> str:
    """Return a password as Redis keeps it in an ACL."""
    return hashlib.sha256(password.encode()).hexdigest()


def accepted(credentials: Credentials, name: str) -> tuple[str, ...]:
    """Return the digests that are valid now for a field of Credentials, the current one first."""
    passwords = (
        getattr(credentials, name),
        credentials.next.get(name),
        credentials.previous.get(name),
    )
    return tuple(dict.fromkeys(digest(each) for each in passwords if each))


def expected(credentials: Credentials, kind: str) -> Logins:
    """Return what a node of a kind should accept and use."""
    return Logins(
        accepted={
            user: frozenset(accepted(credentials, name)) for user, name in NODE_USERS[kind].items()
        },
        used={
            setting: digest(getattr(credentials, name))
            for setting, name in NODE_LOGINS[kind].items()
        },
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


def is_settled(world: World) -> bool:
    """Whether every unit has one password for each user, and a new change may begin."""
    credentials = world.credentials
    return (
        credentials is not None
        and not under_way(world)
        and not world.secret_changed
        and all(_published(world, host) == credentials.serial for host in world.planned)
    )


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
        for user, digests in wanted.accepted.items():
            has = now.accepted.get(user, frozenset())
            if has != digests:
                yield SetPasswords(kind, user, add=digests - has, remove=has - digests)
                done = False
        for setting, value in wanted.used.items():
            if now.used.get(setting) != value:
                yield UsePassword(kind, setting)
                done = False
    if done:
        yield PublishSerial(world.credentials.serial)


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
        changed = {name: getattr(credentials, name) for name in credentials.next}
        promoted = dict(credentials.next)
        yield ChangeSecret(
            dataclasses.replace(credentials, serial=serial, next={}, previous=changed, **promoted)
        )
    elif credentials.previous:
        yield ChangeSecret(dataclasses.replace(credentials, serial=serial, previous={}))
    else:
        new = {
            name: password
            for name, password in world.wanted_passwords.items()
            if password != getattr(credentials, name)
        }
        if new:
            yield begin(credentials, new)


def begin(credentials: Credentials, new: Mapping[str, str]) -> ChangeSecret:
    """Return the step that starts a rotation; nothing else may be under way.

    Args:
        credentials: settled.
        new: by field of Credentials.
    """
    return ChangeSecret(
        dataclasses.replace(credentials, serial=credentials.serial + 1, next=dict(new))
    )


def check_passwords(chosen: Mapping[str, str]) -> str | None:
    """Return what is wrong with the passwords that the operator chose; None: nothing.

    Args:
        chosen: content of the secret in ``system-users``, by user. No message has a password.
    """
    for user, password in sorted(chosen.items()):
        if user not in FIELDS:
            return f"system-users: there is no user {user}; there are {', '.join(FIELDS)}"
        if not password:
            return f"system-users: the password of {user} is empty"
        if len(password) < SHORTEST:
            return f"system-users: the password of {user} is shorter than {SHORTEST} characters"
        if len(password) > LONGEST:
            return f"system-users: the password of {user} is longer than {LONGEST} characters"
        if not _ALLOWED.fullmatch(password):
            return (
                f"system-users: the password of {user} has other characters than ASCII letters, "
                "digits and signs without space, quote and backslash"
            )
    return None


def logins_in_conf(text: str) -> Logins:
    """Return what a ``sentinel.conf`` lets Sentinel accept and use."""
    users: dict[str, frozenset[str]] = {}
    used: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["user"] and len(words) > 1:
            users[words[1]] = frozenset(word[1:] for word in words[2:] if word[0] == "#")
        elif words[:1] == ["sentinel"] and len(words) > 2 and words[1] in NODE_LOGINS[c.SENTINEL]:
            used[words[1]] = digest(words[-1])
    return Logins(accepted=users, used=used)


def _published(world: World, host: str) -> int:
    return world.serials.get(host, 1)
