# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Asks and changes the passwords of one Redis or Sentinel, by digests where Redis allows it.

Every function raises UnreachableError when there is no answer and RefusedError when the answer
is an error.
"""

from __future__ import annotations

from collections.abc import Iterable

import redis

from constants import NODE_PORTS, REDIS
from engine.world import Logins
from nodes.access import Access
from nodes.redis_client import ask, connect, flat
from passwords.users import NO_PASSWORD, Entry, digest, passwords_in


def read(host: str, kind: str, access: Access) -> Logins:
    """Return the passwords that a node accepts, and those it uses as far as it tells.

    A Sentinel does not tell ``auth-pass``; that stands in its file only.

    Args:
        host: of the node.
        kind: ``redis`` or ``sentinel``.
        access: to the application.
    """
    with connect(host, NODE_PORTS[kind], access) as client:
        rules = ask(client, "ACL LIST")
        if kind == REDIS:
            used = {"masterauth": flat(ask(client, "CONFIG GET", "masterauth"))["masterauth"]}
        else:
            reply = flat(ask(client, "SENTINEL", "CONFIG", "GET", "sentinel-pass"))
            used = {"sentinel-pass": reply["sentinel-pass"]}
    accepted = {}
    for rule in rules:
        words = rule.split()
        accepted[words[1]] = passwords_in(words[2:])
    return Logins(accepted, {setting: digest(value) for setting, value in used.items()})


def set_passwords(
    host: str,
    kind: str,
    user: str,
    add: Iterable[str],
    remove: Iterable[str],
    access: Access,
    rights: str = "",
) -> None:
    """Let a user of a node log in with more passwords, or fewer; whoever is in stays in.

    Args:
        host: of the node.
        kind: ``redis`` or ``sentinel``.
        user: of its ACL.
        add: digests.
        remove: digests.
        access: to the application.
        rights: of a user that is new there; empty: it keeps what it has.
    """
    rules = ["reset", "on", *rights.split()] if rights else []
    rules += [*(f"#{each}" for each in add), *(f"!{each}" for each in remove)]
    with connect(host, NODE_PORTS[kind], access) as client:
        ask(client, "ACL SETUSER", user, *rules)
        if kind != REDIS:
            _flush(client)


def admit(host: str, kind: str, entries: Iterable[Entry], access: Access) -> None:
    """Have a node know users exactly so; whoever of them is in stays in.

    Args:
        host: of the node.
        kind: ``redis`` or ``sentinel``.
        entries: of its ACL.
        access: to the application.
    """
    with connect(host, NODE_PORTS[kind], access) as client:
        for entry in entries:
            rules = [*(f"#{each}" for each in entry.digests), *entry.rights.split()]
            ask(client, "ACL SETUSER", entry.name, "reset", "on", *rules)
        if kind != REDIS:
            _flush(client)


def open_entrance(host: str, user: str, rights: str, access: Access) -> None:
    """Let everybody into a Redis as a user, without a password and with narrowed rights, at once.

    Args:
        host: of the node.
        user: of its ACL.
        rights: that whoever comes in is to have.
        access: to the application.
    """
    with connect(host, NODE_PORTS[REDIS], access) as client:
        ask(client, "ACL SETUSER", user, "reset", "on", NO_PASSWORD, *rights.split())


def close_entrance(
    host: str, user: str, digests: Iterable[str], rights: str, access: Access
) -> None:
    """Give a user of a Redis a password and other rights.

    Nobody who came in without a password is there any more when it has them.

    Args:
        host: of the node.
        user: of its ACL.
        digests: of the passwords that are valid from now on.
        rights: that it is to have.
        access: to the application.
    """
    with connect(host, NODE_PORTS[REDIS], access) as client:
        ask(client, "ACL SETUSER", user, "reset")
        ask(client, "CLIENT KILL", "USER", user)
        passwords = (f"#{each}" for each in digests)
        ask(client, "ACL SETUSER", user, "reset", "on", *passwords, *rights.split())


def remove(host: str, kind: str, user: str, access: Access) -> None:
    """Have a node forget a user, and end its connections.

    Args:
        host: of the node.
        kind: ``redis`` or ``sentinel``.
        user: of its ACL.
        access: to the application.
    """
    with connect(host, NODE_PORTS[kind], access) as client:
        ask(client, "ACL DELUSER", user)
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
    with connect(host, NODE_PORTS[kind], access) as client:
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
