# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Asks and changes what one Redis serves: plain text, or TLS with a certificate, live.

Every function raises UnreachableError when there is no answer and RefusedError when the answer
is an error.
"""

from __future__ import annotations

from constants import REDIS_PORT
from nodes.access import Access
from nodes.redis_client import ask, connect, flat
from tls.plan import redis_settings, served_by
from tls.view import Serves


def read(host: str, access: Access) -> Serves:
    """Return what a Redis serves."""
    with connect(host, REDIS_PORT, access) as client:
        now = flat(ask(client, "CONFIG GET", "tls-port", "tls-cert-file", "tls-ca-cert-file"))
    return served_by(now)


def switch(host: str, serves: Serves, access: Access) -> None:
    """Have a Redis serve something else from the next connection on; the present ones stay."""
    pairs = [text for pair in redis_settings(serves).items() for text in pair]
    with connect(host, REDIS_PORT, access) as client:
        ask(client, "CONFIG SET", *pairs)


def cut_connections(host: str, access: Access) -> None:
    """End all connections of clients, and the one to the primary; all may come again."""
    with connect(host, REDIS_PORT, access) as client:
        for kind in ("master", "pubsub", "normal"):
            ask(client, "CLIENT KILL", "TYPE", kind, "SKIPME", "yes")
