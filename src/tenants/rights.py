# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a user that an application asked for may do: the rules of its ACL.

It has the keys and channels that begin with its prefix, and on Sentinel what every client has.
What a client may do that has all keys, it may do with its own; but for what shows keys of others
and nobody needs. PSUBSCRIBE takes the prefix with ``*``, and no other pattern.
"""

from __future__ import annotations

import constants as c
from clients import rights


def prefix(resource: str) -> str:
    """Return what the keys of a resource begin with; empty: with anything."""
    return resource.removesuffix("*")


def rules(resource: str) -> dict[str, str]:
    """Return the rules for a resource, by kind of node."""
    start = prefix(resource)
    if not start:
        return dict(rights.RULES)
    channels = " ".join(f"&{pattern}" for pattern in rights.channels(start))
    words = ("resetchannels", f"~{start}*", channels, rights.COMMANDS, "-randomkey")
    return {c.REDIS: " ".join(w for w in words if w), c.SENTINEL: rights.ON_SENTINEL}


def has(given: str, resource: str) -> bool:
    """Whether a user's rules on Redis are for the keys of this resource."""
    return f"~{prefix(resource)}*" in given.split()
