# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a client may do on Redis and on Sentinel: the rules of its ACL.

It has all keys, and every command that neither disturbs other clients nor the cluster. Two things
no category of Redis says: functions and the cache of scripts are shared by all, so nobody but the
administrator changes them; and some channels are the cluster's own. Rules can only allow channels,
so a client gets patterns for all that do not begin as those do. PSUBSCRIBE takes a pattern that
may fit anything, which Redis allows to those only who may hear everything. Nothing said on the
cluster's channels is secret, and whoever listens by a pattern counts for nobody as a subscriber of
them, so that one command may have them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import constants as c

CLUSTERS_CHANNELS = ("__s", c.HANDOVER_CHANNEL.partition(":")[0] + ":")
"""How the names of channels begin on which the cluster's own nodes and the charm speak: Sentinels
(``__sentinel__:hello``), and whoever hands over. What is said there is believed."""


def _outside(beginnings: Collection[str], so_far: str = "") -> Iterator[str]:
    """Yield patterns that fit together all names but those with one of some beginnings.

    Args:
        beginnings: none of them begins with another.
        so_far: what the names begin with, which is where one of the beginnings begins.
    """
    following = sorted({each[len(so_far)] for each in beginnings if each.startswith(so_far)})
    if so_far:
        yield so_far
    yield f"{so_far}[^{''.join(following)}]*"
    for letter in following:
        longer = so_far + letter
        if longer not in beginnings:
            yield from _outside(beginnings, longer)


def channels(prefix: str) -> tuple[str, ...]:
    """Return patterns that fit together all channels with a prefix, but for the cluster's own.

    Args:
        prefix: empty: all others.
    """
    if prefix.startswith(CLUSTERS_CHANNELS):
        return ()
    own = [each for each in CLUSTERS_CHANNELS if each.startswith(prefix)]
    return tuple(_outside(own, prefix)) if own else (f"{prefix}*",)


COMMANDS = (
    "+@all -@admin -@dangerous +info +role -function -script|flush -script|kill -script|debug"
)
_CHANNELS = " ".join(f"&{pattern}" for pattern in channels(""))
ON_REDIS = f"resetchannels ~* {_CHANNELS} {COMMANDS} (&* +psubscribe)"
ON_SENTINEL = (
    "resetchannels &* -@all +@connection -@admin -@dangerous "
    "+subscribe +unsubscribe +psubscribe +punsubscribe +info +role "
    "+sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters "
    "+sentinel|replicas +sentinel|slaves +sentinel|sentinels"
)
"""Who is where, and when that changes. It is told to a client that follows Sentinel."""
RULES = {c.REDIS: ON_REDIS, c.SENTINEL: ON_SENTINEL}
"""By kind of node."""
