# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What an image has of what the charm needs: the names to look for, and what a look found.

Images differ in the names of programs, users and groups, and some have no shell tools at all.
Both containers run the same image, so one list serves both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from constants import EXPORTER_PATHS
from engine.world import Image

SERVERS = ("redis-server", "valkey-server")
"""Sentinel is the same program with another option."""
CLIENTS = ("redis-cli", "valkey-cli")
USERS = ("redis", "valkey", "_daemon_")
"""Who may run Redis; his group is the one that ``/etc/passwd`` gives him."""
TOOLS = (
    "/bin/sh",
    "awk",
    "cat",
    "chown",
    "cut",
    "getent",
    "grep",
    "head",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "sed",
    "sleep",
    "sync",
    "tail",
    "timeout",
    "tr",
    "wc",
)
"""What the scripts in ``templates/`` call, and the charm itself through Pebble."""

_LOOK = """
for name; do command -v "$name" >/dev/null 2>&1 && echo "program $name"; done
while IFS=: read -r name _ _ group _; do echo "user $name $group"; done 2>/dev/null </etc/passwd
while IFS=: read -r name _ id _; do echo "group $name $id"; done 2>/dev/null </etc/group
:
"""
COMMAND = ("/bin/sh", "-c", _LOOK, "sh", *SERVERS, *CLIENTS, *EXPORTER_PATHS, *TOOLS)
"""Tells with the shell alone what ``found`` reads."""
WITHOUT_SHELL = Image(missing=("/bin/sh",))


def found(text: str) -> Image:
    """Return what an image has.

    Args:
        text: what COMMAND printed in a container of it.
    """
    words = [line.split() for line in text.splitlines()]
    programs = {line[1] for line in words if line[:1] == ["program"]}
    users = {line[1]: line[2] for line in words if line[:1] == ["user"] and len(line) == 3}
    groups = {line[2]: line[1] for line in words if line[:1] == ["group"] and len(line) == 3}
    server, cli = _first(SERVERS, programs), _first(CLIENTS, programs)
    user = _first(USERS, users)
    group = groups.get(users.get(user, ""), "")
    missing = [tool for tool in TOOLS if tool not in programs]
    if not server:
        missing.append(_either(SERVERS))
    if not cli:
        missing.append(_either(CLIENTS))
    if not user:
        missing.append(f"user {_either(USERS)}")
    elif not group:
        missing.append(f"group of user {user}")
    return Image(
        server=server,
        cli=cli,
        exporter=_first(EXPORTER_PATHS, programs) or None,
        user=user,
        group=group,
        missing=tuple(missing),
    )


def _first(names: Iterable[str], there: Iterable[str]) -> str:
    return next((name for name in names if name in there), "")


def _either(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
