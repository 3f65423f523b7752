# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Who listens in this pod, by the kernel: its containers and the charm's share one network."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Collection

_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_LISTEN = "0A"


def listening(ports: Collection[int]) -> dict[int, frozenset[str]]:
    """Return the sockets, by their inodes, that listen on each of some ports; absent: none."""
    text = ""
    for table in _TABLES:
        # There is none of IPv6 where that is off.
        with contextlib.suppress(OSError):
            text += pathlib.Path(table).read_text()
    return listeners(text, ports)


def listeners(text: str, ports: Collection[int]) -> dict[int, frozenset[str]]:
    """Return the same of the text of such tables."""
    found: dict[int, set[str]] = {}
    for words in (line.split() for line in text.splitlines()):
        if len(words) < 10 or words[3] != _LISTEN:
            continue
        port = int(words[1].rpartition(":")[2], 16)
        if port in ports:
            found.setdefault(port, set()).add(words[9])
    return {port: frozenset(inodes) for port, inodes in found.items()}
