# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""How often each change is made: once in the test suite, ten times in ``make security``."""

from __future__ import annotations

import os

from tests.lab.security.secured import Secured

ROUNDS = int(os.environ.get("SECURITY_ROUNDS", "1"))
KILLED = {2, 5, 8}
"""The rounds in whose middle the leader's pod is killed."""


def bar(strict_s: float, loose_s: float) -> float:
    """Return the longest gap that is allowed: the strict one where nothing else runs.

    The suite runs on any machine, where what else runs takes the processor for tenths of a
    second.
    """
    return strict_s if ROUNDS > 1 else loose_s


def disturb(cluster: Secured, number: int) -> bool:
    """Kill the leader's pod in some rounds, and say whether; its failover has a gap of its own."""
    if number not in KILLED:
        return False
    leader = cluster.leader()
    cluster.model.kill_pod(leader)
    cluster.model.elect(next(unit for unit in sorted(cluster.units()) if unit != leader))
    return True
