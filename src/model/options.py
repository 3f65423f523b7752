# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Options of the charm that are settings of Redis: checked, and as Redis writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import texts

POLICIES = (
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)
LEAST_MEMORY_BYTES = 4 * 2**20
"""With less an empty Redis of some replicas refuses all writes."""
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def _memory(value: Any) -> str | None:
    found = re.fullmatch(r"(\d{1,15})([KMG]?)", str(value))
    if not found:
        return None
    size = int(found[1]) * _UNITS[found[2]]
    return str(size) if size == 0 or size >= LEAST_MEMORY_BYTES else None


def _policy(value: Any) -> str | None:
    return value if value in POLICIES else None


def _from(least: int, most: int = 2**31 - 1) -> Callable[[Any], str | None]:
    return lambda value: str(value) if least <= int(value) <= most else None


_CHECKS: Mapping[str, tuple[Callable[[Any], str | None], str]] = {
    "maxmemory": (_memory, "0, or a size of 4M or more, such as 512M or 2G"),
    "maxmemory-policy": (_policy, f"one of {', '.join(POLICIES)}"),
    "timeout": (_from(0), "0 or a number of seconds"),
    "tcp-keepalive": (_from(0), "0 or a number of seconds"),
    "slowlog-log-slower-than": (_from(-1), "-1, 0 or a number of microseconds"),
}
"""By option, which has the setting's name: what makes Redis' text of it, and what it may be."""


def settings(config: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Return the settings, and what is wrong with the first option that is.

    Args:
        config: the options of the charm.

    Returns:
        Pairs of name and value as ``CONFIG GET`` has them, none where something is wrong; and a
        text for the operator, or None.
    """
    found = []
    for name, (check, may_be) in _CHECKS.items():
        value = check(config[name])
        if value is None:
            return (), texts.BAD_SETTING.format(option=name, may_be=may_be)
        found.append((name, value))
    return tuple(found), None
