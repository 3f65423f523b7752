# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The users of all nodes of an application, in memory, and what its leader gives to others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from ops import testing

import constants as c
from engine.world import Logins
from passwords import logins, users
from passwords.users import NO_PASSWORD
from tests.unit.juju import Juju, host

EVERYWHERE = {(host(n), kind) for n in range(3) for kind in (c.REDIS, c.SENTINEL)}


class Nodes:
    """The users of all nodes, by host and kind, in the place of ``passwords.logins``."""

    def __init__(self, juju: Juju, monkeypatch: pytest.MonkeyPatch):
        self.known: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(dict)
        self.rights: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        self.killed: list[tuple[str, str]] = []
        self._juju = juju
        for name in ("read", "admit", "set_passwords", "remove", "open_entrance"):
            monkeypatch.setattr(logins, name, getattr(self, name))
        monkeypatch.setattr(logins, "close_entrance", self.close_entrance)
        for number in range(juju.size):
            for kind in (c.REDIS, c.SENTINEL):
                self.known[host(number), kind] |= {
                    user.listed: {users.digest(juju_password(juju, user.key))}
                    for user in users.TABLE
                    if kind in user.rights
                }

    def read(self, host: str, kind: str, _: Any) -> Logins:
        accepted = {user: frozenset(each) for user, each in self.known[host, kind].items()}
        passwords = {user.name: juju_password(self._juju, user.key) for user in users.TABLE}
        used = {s: users.digest(passwords[user]) for s, user in users.logins(kind).items()}
        return Logins(accepted, used)

    def admit(self, host: str, kind: str, entries: Iterable[users.Entry], _: Any) -> None:
        for entry in entries:
            words = users.passwords_in(entry.rights.split())
            self.known[host, kind][entry.name] = set(entry.digests) or set(words)
            self.rights[host, kind][entry.name] = entry.rights

    def set_passwords(
        self, host: str, kind: str, user: str, add: Any, remove: Any, _: Any, rights: str = ""
    ) -> None:
        known = self.known[host, kind].setdefault(user, set())
        known |= set(add)
        known -= set(remove)

    def remove(self, host: str, kind: str, user: str, _: Any) -> None:
        del self.known[host, kind][user]
        self.killed.append((host, user))

    def open_entrance(self, host: str, user: str, rights: str, _: Any) -> None:
        self.known[host, c.REDIS][user] = {NO_PASSWORD}

    def close_entrance(self, host: str, user: str, digests: Any, rights: str, _: Any) -> None:
        self.known[host, c.REDIS][user] = set(digests)

    def having(self, user: str) -> set[tuple[str, str]]:
        return {place for place, known in self.known.items() if user in known}


def juju_password(juju: Juju, key: str) -> str:
    assert juju.secret is not None
    return (juju.secret.latest_content or juju.secret.tracked_content)[key]


def settle(juju: Juju) -> testing.State:
    """Run the hooks that a change of the secret brings; return the leader's last state."""
    after = juju.update_status(0)
    for _ in range(3):
        for unit in (1, 2, 0):
            # The databag tells of the secret before the event of the secret does.
            after = juju.run(unit, lambda on, state: on.relation_changed(juju.peers(state)))
    return after


def content(secret: testing.Secret) -> dict[str, str]:
    return dict(secret.latest_content or secret.tracked_content)
