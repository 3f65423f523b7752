# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The scripts that Sentinel runs."""

from __future__ import annotations

import pytest
import redis

import constants as c
from nodes.sentinel import handover
from tests.functional.conftest import NOBODY
from tests.functional.real import Node, RealCluster, patiently
from tests.functional.scripts import NOTICE, Apart


def switch(node: Node, old: str, new: str) -> int:
    argv = (c.ON_SWITCH, "redis-k8s", "observer", "start", old, "6379", new, "6379")
    return node.run(*argv)


def test_the_old_primary_is_demoted_by_the_sentinel_beside_it(real: RealCluster):
    old, target = real.nodes[real.primary], real.replicas[0]
    real.redis(real.replicas[1]).set({"replica-priority": "0"})
    real.sentinel(target).force_failover()
    patiently(lambda: not old.redis.view().is_primary, "the old primary follows", within_s=8.0)
    patiently(lambda: all(NOTICE in node.notices for node in real.nodes.values()), "all are told")


def test_an_old_primary_may_not_be_promoted_before_it_has_copied_the_new(real: RealCluster):
    """What it took after the others were turned is in its offset, and in nothing else."""
    old, target = real.nodes[real.primary], real.replicas[0]
    real.redis(real.replicas[1]).set({"replica-priority": "0"})
    real.sentinel(target).force_failover()
    patiently(lambda: not old.redis.view().is_primary, "the old primary follows", within_s=8.0)
    patiently(lambda: old.redis.view().priority == 0, "it is not eligible", within_s=8.0)


def test_who_follows_already_stays_eligible(real: RealCluster):
    old, (target, other) = real.nodes[real.primary], real.replicas
    real.redis(other).set({"replica-priority": "0"})
    known = real.sentinel(target)
    patiently(
        lambda: {r.host: r.priority for r in known.view().replicas}[other] == 0,
        "the Sentinel knows who is eligible",
    )
    handover(old.host, target, target, real.access, 1000)
    patiently(lambda: real.named == {target}, "all Sentinels name the target")
    assert old.redis.view().priority == 100


def test_sentinels_that_are_all_new_replace_a_primary_that_is_gone(real: RealCluster):
    """It can tell them of no replica; only their files do."""
    old = real.primary
    real.kill(old)
    for host, node in real.nodes.items():
        node.kill("sentinel")
        node.write_sentinel_conf(old, initialised=True)
        if host != old:
            real.start(host)
    patiently(lambda: old not in real.named_by_others(old), "another is named", within_s=20.0)


def test_a_switch_lifts_the_pause_of_the_old_primary(real: RealCluster):
    old, target = real.nodes[real.primary], real.replicas[0]
    real.redis(real.replicas[1]).set({"replica-priority": "0"})
    old.client().execute_command("CLIENT", "PAUSE", 30000, "WRITE")
    real.sentinel(target).force_failover()
    patiently(lambda: not old.redis.view().is_primary, "the old primary follows", within_s=8.0)

    def is_answered() -> bool:
        with pytest.raises(redis.ReadOnlyError):
            old.client().set("k", "v")
        return True

    patiently(is_answered, "a write is refused instead of held")


def test_a_switch_among_others_leaves_this_redis_alone(real: RealCluster):
    node = real.nodes[real.primary]
    assert switch(node, real.replicas[0], real.replicas[1]) == 0
    assert node.redis.view().is_primary
    assert NOTICE in node.notices


def test_a_switch_that_is_no_longer_true_demotes_nobody(real: RealCluster):
    node = real.nodes[real.primary]
    # Its Sentinel still names this node: the news is old.
    assert switch(node, node.host, real.replicas[0]) == 0
    assert node.redis.view().is_primary


def test_a_switch_with_a_dead_redis_is_no_failure(apart: Apart):
    # Exit code 1 would make Sentinel repeat the call 30 s later.
    (node,) = apart(1).nodes.values()
    assert switch(node, node.host, NOBODY) == 0
    assert node.notices == [NOTICE]


@pytest.mark.parametrize(
    ("event", "is_told"),
    [
        ("+sdown", True),
        ("-sdown", True),
        ("+odown", True),
        ("+failover-end", True),
        ("-failover-abort-no-good-slave", True),
        ("+reboot", True),
        ("+sentinel", False),
        ("+vote-for-leader", False),
    ],
)
def test_the_charm_hears_of_events_that_may_give_it_work(apart: Apart, event, is_told):
    (node,) = apart(1).nodes.values()
    assert node.run(c.ON_EVENT, event, f"master redis-k8s {NOBODY} 6379") == 0
    assert node.notices == ([NOTICE] if is_told else [])


def test_what_happens_in_a_burst_is_told_once_after_all_of_it(apart: Apart):
    (node,) = apart(1).nodes.values()
    # The first waits here for the others, so that the machine's speed is of no account.
    node.script("charm/shims/sleep", "#!/bin/sh\nwhile ! [ -e /charm/go-on ]; do :; done\n")
    first = node.spawn(c.ON_EVENT, "+sdown", f"slave {NOBODY}:6379", log="event")
    live = node.inside(c.LIVE_DIR)
    patiently((live / "telling").exists, "the first waits")
    for event in ("+sdown", "-sdown", "-odown"):
        assert node.run(c.ON_EVENT, event, f"slave {NOBODY}:6379") == 0
    assert node.notices == []
    (node.directory / "charm/go-on").touch()
    assert first.wait(timeout=10) == 0
    assert node.notices == [NOTICE]


def test_what_another_has_told_meanwhile_is_told_once_and_what_came_after_that_too(apart: Apart):
    (node,) = apart(1).nodes.values()
    down = (c.ON_EVENT, "+sdown", f"master redis-k8s {NOBODY} 6379")
    switched = f"{c.ON_SWITCH} redis-k8s observer start {NOBODY} 6379 {NOBODY} 6379"
    node.script("charm/shims/sleep", f"#!/bin/sh\n/bin/sleep 0.05\n{switched}\n")
    assert node.run(*down) == 0
    assert node.notices == [NOTICE]
    # One that comes when the other has told.
    late = f"{c.ON_EVENT} -sdown slave"
    node.script("charm/shims/sleep", f"#!/bin/sh\n{switched}\n/bin/sleep 0.05\n{late}\n")
    assert node.run(*down) == 0
    assert node.notices == [NOTICE] * 3


def test_while_a_wake_is_under_way_it_tells_what_happens(apart: Apart):
    (node,) = apart(1).nodes.values()
    event = f"{c.ON_EVENT} -sdown slave"
    node.script("charm/shims/sleep", f"#!/bin/sh\n{event}\n")
    assert node.run(c.WAKE) == 0
    assert node.notices == [NOTICE]
    # Once it is over, or has died over it, nobody else would.
    node.script("charm/shims/sleep", "#!/bin/sh\n")
    assert node.run(*event.split()) == 0
    assert node.notices == [NOTICE] * 2
    for who in ("waking", "telling"):
        (node.inside(c.LIVE_DIR) / who).write_text("10\n")
        assert node.run(*event.split()) == 0
    assert node.notices == [NOTICE] * 4


def test_the_charm_is_told_of_a_crash_and_of_the_failover(real: RealCluster):
    old = real.primary
    witness = real.nodes[real.replicas[0]]
    real.kill(old, "redis")
    patiently(lambda: old not in real.named, "another is primary")
    patiently(lambda: NOTICE in witness.notices, "the charm is told")
