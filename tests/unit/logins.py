# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What nodes accept and use while passwords change, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import constants as c
from engine.steps import Step
from engine.world import Logins
from passwords import rotation, users
from passwords.rotation import RemoveUser, SetPasswords, UsePassword
from passwords.users import Credentials

KINDS = (c.REDIS, c.SENTINEL)
_LISTED = {user.listed for user in users.TABLE}
_TRIES = (
    (c.REDIS, "masterauth", c.REDIS, c.REPLICATION_USER),
    (c.SENTINEL, "auth-pass", c.REDIS, c.SENTINEL_USER),
    (c.SENTINEL, "sentinel-pass", c.SENTINEL, c.PEERS_USER),
)
"""Which kind of node logs in by which setting, on which kind, as whom."""


@dataclass
class Node:
    """One Redis or one Sentinel."""

    accepted: dict[str, set[str]]
    used: dict[str, str]

    def logins(self) -> Logins:
        users = {user: frozenset(digests) for user, digests in self.accepted.items()}
        return Logins(users, dict(self.used))


def started(credentials: Credentials, kind: str) -> Node:
    """Return a node with files that were written with these passwords."""
    expected = rotation.expected(credentials, kind)
    users = {user: set(digests) for user, digests in expected.accepted.items()}
    return Node(users, dict(expected.used))


def take(step: Step, nodes: Mapping[str, Node], credentials: Credentials) -> None:
    """Change one node of a unit.

    Args:
        step: one of those that change what a node accepts or uses.
        nodes: of the unit, by kind.
        credentials: as the unit knows them.
    """
    match step:
        case SetPasswords(kind, user, add, remove, rights):
            known = nodes[kind].accepted
            assert (user not in known) == bool(rights)
            digests = known.setdefault(user, set())
            digests |= add
            digests -= remove
        case RemoveUser(kind, user):
            del nodes[kind].accepted[user]
        case UsePassword(kind, setting):
            value = credentials[users.logins(kind)[setting]]
            nodes[kind].used[setting] = users.digest(value)
        case _:
            raise AssertionError(f"no code takes this step: {step}")


def check(units: Mapping[str, Mapping[str, Node]], secret: Credentials) -> None:
    """Raise AssertionError unless every node accepts each login that may be tried now.

    Args:
        units: by host, the nodes that run, by kind.
        secret: as Juju gives it to whoever reads it now.
    """
    for host, own in units.items():
        for kind, setting, target, user in _TRIES:
            if kind not in own:
                continue
            password = own[kind].used[setting]
            for other, nodes in units.items():
                if target in nodes:
                    assert password in nodes[target].accepted[user], (host, setting, other)
        for kind, node in own.items():
            for entry in secret.acl(kind):
                # Nobody is told of a user that comes with a relation before all nodes have it.
                if entry.name in _LISTED:
                    assert entry.digests[0] in node.accepted[entry.name], (host, kind, entry.name)
