# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Asks and changes the passwords of one Redis or Sentinel, by digests where Redis allows it.

Every function raises UnreachableError when there is no answer and RefusedError when the answer
is an error.
"""

from __future__ import annotations

from collections.abc import Iterable

import redis

from constants import REDIS, REDIS_PORT, SENTINEL_PORT
from redis_client import Access, ask, connect, flat
from rotation import digest
from world import Logins

_PORTS = {REDIS: REDIS_PORT}


def read(host: str, kind: str, access: Access) -> Logins:
    """Return the passwords that a node accepts, and those it uses as far as it tells.

    A Sentinel does not tell ``auth-pass``; that stands in its file only.

    Args:
        host: of the node.
        kind: ``redis`` or ``sentinel``.
        access: to the application.
    """
    with connect(host, _PORTS.get(kind, SENTINEL_PORT), access) as client:
        rules = ask(client, "ACL LIST")
        if kind == REDIS:
            used = {"masterauth": flat(ask(client, "CONFIG GET", "masterauth"))["masterauth"]}
        else:
            reply = flat(ask(client, "SENTINEL", "CONFIG", "GET", "sentinel-pass"))
            used = {"sentinel-pass": reply["sentinel-pass"]}
    accepted = {}
    for rule in rules:
        words = rule.split()
        accepted[words[1]] = frozenset(word[1:] for word in words[2:] if word[0] == "#")
    return Logins(accepted, {setting: digest(value) for setting, value in used.items()})


def set_passwords(
    host: str,
    kind: str,
    user: str,
    add: Iterable[str],
    remove: Iterable[str],
    access: Access,
) -> None:
    """Let a user of a node log in with more passwords, or fewer; whoever is in stays in.

    Args:
        host: of the node.
        kind: ``redis`` or ``sentinel``.
        user: of its ACL.
        add: digests.
        remove: digests.
        access: to the application.
    """
    rules = [*(f"#{each}" for each in add), *(f"!{each}" for each in remove)]
    with connect(host, _PORTS.get(kind, SENTINEL_PORT), access) as client:
        ask(client, "ACL SETUSER", user, *rules)
        if kind != REDIS:
            _flush(client)


def use(host: str, kind: str, setting: str, value: str, access: Access) -> None:
    """Have a node log in elsewhere with another password, from its next connection on.

    Args:
        host: of the node.
        kind: ``redis`` or ``sentinel``.
        setting: ``masterauth``, ``auth-pass`` or ``sentinel-pass``.
        value: the password.
        access: to the application.
    """
    with connect(host, _PORTS.get(kind, SENTINEL_PORT), access) as client:
        if kind == REDIS:
            ask(client, "CONFIG SET", setting, value)
        elif setting == "auth-pass":
            ask(client, "SENTINEL", "SET", access.master_name, setting, value)
        else:
            ask(client, "SENTINEL", "CONFIG", "SET", setting, value)
        if kind != REDIS:
            _flush(client)


def _flush(client: redis.Redis) -> None:
    ask(client, "SENTINEL", "FLUSHCONFIG")
