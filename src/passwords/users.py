# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The users of Redis and Sentinel: one table, from which all that concerns a user follows.

ACL files, the secret, rotation, mended logins, the actions and docs/explanation/users.md read it.
A user whom nobody knows when this is written, since a relation brings it, is a row like any other
and travels in the secret (``Credentials.guests``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import field, replace

import constants as c
from values import dataclass

_ALL = "~* &* +@all"
GUEST_PREFIX = "relation-"
"""The names of users that come with a relation begin so; on the nodes nobody else's may."""
NO_PASSWORD = "nopass"
"""In the place of a digest: every password is right, and none is asked for."""


@dataclass(frozen=True)
class User:
    """One row: a user with one password."""

    name: str
    """By which people and the charm call it."""
    by: str
    """Who logs in with it."""
    rights: Mapping[str, str] = field(hash=False)
    """By kind of node in whose ACL it is: the rules, but for its passwords."""
    acl_name: str = ""
    """In the ACL, where that is not ``name``: each node has its own administrator."""
    secret_key: str = ""
    """Of its password in the secret; by default its name and ``-password``."""
    state_key: str = ""
    """Of its other passwords, in ``next`` and ``previous`` of the secret; by default its name."""
    login: tuple[str, str] | None = None
    """The kind of node that logs in elsewhere with it, and the setting with its password there."""
    since: int = 0
    """Of a guest: the serial of the passwords with which it came."""
    version: int = 1
    """Of a guest: grows with each new password, so that whoever has it can say which one."""

    @property
    def listed(self) -> str:
        """Its name in the ACL."""
        return self.acl_name or self.name

    @property
    def key(self) -> str:
        """The key of its password in the secret."""
        return self.secret_key or f"{self.name}-password"

    @property
    def in_states(self) -> str:
        """Its key in ``next`` and ``previous``."""
        return self.state_key or self.name


ADMIN = "default"
ADMIN_APART = "admin"
"""By this name the administrator of Redis is known as well, once ``default`` has been opened."""
SENTINEL_ADMIN = "sentinel-default"

TABLE = (
    User(
        ADMIN,
        by="people: the administrator of Redis",
        rights={c.REDIS: _ALL},
        secret_key="redis-password",
        state_key="admin",
    ),
    User(
        SENTINEL_ADMIN,
        by="people: the administrator of Sentinel",
        rights={c.SENTINEL: _ALL},
        acl_name="default",
        secret_key="sentinel-password",
        state_key="sentinel_admin",
    ),
    User(
        c.OPERATOR_USER,
        by="the charm and its scripts",
        rights={c.REDIS: _ALL, c.SENTINEL: _ALL},
        secret_key=c.OPERATOR_SECRET_KEY,
    ),
    User(
        c.REPLICATION_USER,
        by="a replica, to copy its primary",
        rights={c.REDIS: "resetchannels -@all +psync +replconf +ping"},
        login=(c.REDIS, "masterauth"),
    ),
    User(
        c.SENTINEL_USER,
        by="a Sentinel, to watch, promote and demote",
        rights={
            c.REDIS: "resetchannels &__sentinel__:hello -@all +multi +exec +slaveof +replicaof "
            "+failover +ping +subscribe +config|rewrite +publish +info +client|setname "
            "+client|kill +script|kill"
        },
        secret_key="watcher-password",
        state_key="watcher",
        login=(c.SENTINEL, "auth-pass"),
    ),
    User(
        c.PEERS_USER,
        by="a Sentinel, to ask the others",
        rights={
            c.SENTINEL: "resetchannels &__sentinel__:hello -@all +ping +publish +auth "
            "+client|setname +sentinel|is-master-down-by-addr"
        },
        login=(c.SENTINEL, "sentinel-pass"),
    ),
    User(
        c.EXPORTER_USER,
        by="the exporter, to read metrics",
        rights={
            c.REDIS: "resetchannels -@all +ping +info +client|setname +latency|latest "
            "+latency|histogram +slowlog|len +cluster|info +command|count +dbsize"
        },
    ),
)
NAMES = tuple(user.name for user in TABLE)


def administrator(kind: str) -> str:
    """Return the user that people have on a kind of node, who may do everything there."""
    return next(u.name for u in TABLE if u.listed == "default" and kind in u.rights)


def is_guest(name: str) -> bool:
    """Whether a user comes with a relation."""
    return name.startswith(GUEST_PREFIX)


def is_tenant(name: str) -> bool:
    """Whether a user comes with one request of a relation, and not with the relation itself."""
    return is_guest(name) and "-" in name.removeprefix(GUEST_PREFIX)


def logins(kind: str) -> dict[str, str]:
    """Return, by the setting with the password, the user with whom a kind of node logs in."""
    return {u.login[1]: u.name for u in TABLE if u.login and u.login[0] == kind}


def rights(name: str, kind: str) -> str:
    """Return the rules of a user of the table on a kind of node."""
    return next(u.rights[kind] for u in TABLE if u.name == name)


def digest(password: str) -> str:
    """Return a password as Redis keeps it in an ACL."""
    return hashlib.sha256(password.encode()).hexdigest()


def passwords_in(rules: Iterable[str]) -> frozenset[str]:
    """Return the digests of the passwords in the rules of a user, or that it needs none."""
    return frozenset(r[1:] if r[0] == "#" else r for r in rules if r[0] == "#" or r == NO_PASSWORD)


@dataclass(frozen=True)
class Entry:
    """A user as it stands in the ACL of a node."""

    name: str
    digests: tuple[str, ...] = field(repr=False)
    """Of the passwords that are valid, the current one first."""
    rights: str


@dataclass(frozen=True)
class Entrance:
    """How ``default`` of Redis is entered, once it has been opened to all."""

    rights: str
    """Of whoever comes in without a password; empty: nobody does any more."""
    since: int
    """The serial of the passwords with which that began."""

    @property
    def is_open(self) -> bool:
        """Whether ``default`` has no password."""
        return bool(self.rights)


@dataclass(frozen=True)
class Credentials:
    """The passwords of the application: one state of its secret."""

    passwords: Mapping[str, str] = field(repr=False, hash=False)
    """By name of a user: the current one."""
    seal: str = field(default="", repr=False)
    """Stays for the life of the application: what is keyed with it outlives a rotation."""
    serial: int = 1
    """Grows with every change of the secret."""
    next: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    """By name of a user: passwords that are to come, and that nobody uses yet."""
    previous: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    """By name of a user: passwords that were, and that some node may still use."""
    guests: tuple[User, ...] = ()
    """The users that are not in ``TABLE``: relations have brought them."""
    entrance: Entrance | None = None
    """None: ``default`` has always had its password."""

    def __getitem__(self, name: str) -> str:
        """Return the current password of a user."""
        return self.passwords[name]

    def with_passwords(self, passwords: Mapping[str, str]) -> Credentials:
        """Return the same with other passwords of some users."""
        return replace(self, passwords={**self.passwords, **passwords})

    @property
    def users(self) -> tuple[User, ...]:
        """All users."""
        return (*TABLE, *self.guests)

    @property
    def is_open(self) -> bool:
        """Whether Redis lets everybody in as ``default``, with narrowed rights."""
        return self.entrance is not None and self.entrance.is_open

    def guest(self, name: str) -> User | None:
        """Return a user that a relation has brought; None: there is no such."""
        return next((guest for guest in self.guests if guest.name == name), None)

    def administrator(self, kind: str) -> str:
        """Return the name in the ACL of who may do everything on a kind of node."""
        return ADMIN_APART if kind == c.REDIS and self.entrance else "default"

    def accepted(self, name: str) -> tuple[str, ...]:
        """Return the digests of a user's passwords that are valid now, the current one first."""
        passwords = (self[name], self.next.get(name), self.previous.get(name))
        return tuple(dict.fromkeys(digest(each) for each in passwords if each))

    def acl(self, kind: str) -> tuple[Entry, ...]:
        """Return the ACL of a kind of node."""
        entries = [
            Entry(user.listed, self.accepted(user.name), user.rights[kind])
            for user in self.users
            if kind in user.rights
        ]
        if kind != c.REDIS or self.entrance is None:
            return tuple(entries)
        # The same person under another name, with the same password.
        apart = Entry(ADMIN_APART, self.accepted(ADMIN), _ALL)
        if self.entrance.is_open:
            entries = [e for e in entries if e.name != "default"]
            rights = f"{NO_PASSWORD} {self.entrance.rights}"
            return (*entries, apart, Entry("default", (), rights))
        return (*entries, apart)
