# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What runs beside a Redis that starts."""

from __future__ import annotations

import constants as c
from tests.functional.real import RealCluster, patiently
from tests.functional.scripts import NOTICE, is_up


def test_a_replica_is_eligible_only_after_it_was_in_sync(real: RealCluster):
    node, primary = real.nodes[real.replicas[0]], real.nodes[real.primary]
    primary.freeze("redis")
    node.kill("redis")
    node.start_redis()
    patiently(lambda: is_up(node), "it runs")
    # Not in sync with a primary that does not answer; the Sentinels have not replaced it yet.
    view = node.redis.view()
    assert (view.link_up, view.priority) == (False, 0)
    primary.thaw()
    patiently(lambda: node.redis.view().link_up, "it is in sync")
    patiently(lambda: node.redis.view().priority == 100, "it is eligible")
    patiently(lambda: NOTICE in node.notices, "the charm is told")


def test_the_charm_is_told_when_a_primary_serves(real: RealCluster):
    node = real.nodes[real.primary]
    node.kill("redis")
    node.start_redis()
    patiently(lambda: NOTICE in node.notices, "the charm is told")


def test_the_watch_ends_with_the_server_it_belongs_to(real: RealCluster):
    node = real.nodes[real.replicas[0]]
    # Process 2**22 + 1 cannot exist: it is above the kernel's limit.
    assert node.run(c.WATCH_SYNC, str(2**22 + 1)) == 0
    assert node.redis.view().priority == 100
