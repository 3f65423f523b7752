# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The guarded start, with real Redis and Sentinel."""

from __future__ import annotations

import time

import pytest
import redis

import constants as c
from tests.functional.conftest import NOBODY
from tests.functional.real import Node, RealCluster, patiently
from tests.functional.scripts import Apart, answers, forget_log, says, started_as


def test_the_first_primary_starts_empty_by_permit_and_the_permit_is_used_up(apart: Apart):
    cluster = apart(3)
    cluster.form()
    first = cluster.nodes[cluster.hosts[0]]
    assert cluster.primary == first.host
    assert "primary, the first of this application" in first.log("redis")
    assert not first.inside(c.BIRTH_PERMIT).exists()


def test_without_a_permit_no_empty_node_becomes_primary(apart: Apart):
    cluster = apart(1)
    (node,) = cluster.nodes.values()
    cluster.start_sentinels()
    node.start_redis()
    says(node, "waiting: this node is empty and must not be primary")
    # A few turns later it still waits.
    asked = node.directory / "charm/commands"
    turns = len(asked.read_text().splitlines())
    patiently(lambda: len(asked.read_text().splitlines()) > turns + 5, "it asks again and again")
    assert not answers(node)
    node.inside(c.BIRTH_PERMIT).touch()
    patiently(lambda: node.redis.view().is_primary, "the permit is seen")


def test_with_no_majority_it_waits_and_goes_on_when_there_is_one(apart: Apart):
    cluster = apart(3)
    first, second, _ = cluster.nodes.values()
    first.write_sentinel_conf(first.host)
    first.start_sentinel()
    first.inside(c.BIRTH_PERMIT).touch()
    second.start_redis()
    says(second, "waiting: no majority of the Sentinels names a primary")
    assert not answers(second)
    cluster.start_sentinels()
    says(second, f"replica of {first.host}")


def test_it_reads_again_who_the_peers_are(apart: Apart):
    cluster = apart(3)
    first = next(iter(cluster.nodes.values()))
    first.write_sentinel_conf(first.host, planned=(first.host,))
    first.start_sentinel()
    first.start_redis()
    says(first, "waiting: no majority")
    first.inside(c.BIRTH_PERMIT).touch()
    # Without a majority the permit alone is enough, and the first unit must not wait for others.
    patiently(lambda: first.redis.view().is_primary, "the permit is seen")
    first.kill("redis")
    forget_log(first)
    first.start_redis()
    says(first, "waiting: no majority")
    assert not answers(first)
    first.write_files(planned=(first.host,))
    patiently(lambda: first.redis.view().is_primary, "the smaller application is seen")


def test_one_that_has_waited_for_long_asks_less_often_until_something_changes(apart: Apart):
    first = next(iter(apart(3).nodes.values()))
    settings = first.inside(c.CLUSTER_ENV)
    # A second of haste, and then a question every three.
    settings.write_text(f"{settings.read_text()}\nHASTE_MS=1000 START_SLOW_S=3\n")
    asked = first.directory / "charm/commands"

    def turns() -> int:
        return len(asked.read_text().splitlines()) // 3

    first.start_redis()
    says(first, "waiting: no majority")
    patiently(lambda: turns() >= 3, "it asks at once again")
    time.sleep(2)
    before = turns()
    time.sleep(6)
    assert 1 <= turns() - before <= 3
    # One more Sentinel answers: no majority yet, but there may be soon.
    first.write_sentinel_conf(first.host)
    first.start_sentinel()
    patiently(lambda: first.sentinel.view().primary_host is not None, "it answers")
    before, begun = turns(), time.monotonic()
    patiently(lambda: turns() >= before + 4, "it asks often again", within_s=9.0)
    assert time.monotonic() - begun < 9
    first.inside(c.BIRTH_PERMIT).touch()
    patiently(lambda: first.redis.view().is_primary, "and starts")


def test_half_an_answer_of_a_sentinel_that_comes_up_names_nobody(real: RealCluster):
    node = real.nodes[real.replicas[0]]
    node.kill("redis")
    forget_log(node)
    shim = node.directory / "charm/shims/redis-cli"
    whole = shim.read_text()
    # The port opens after the first of two questions, which redis-cli gives up by then.
    late = f'case "$*" in *"-p {c.SENTINEL_PORT}") read -r _ ;; esac\nexec '
    node.script("charm/shims/redis-cli", whole.replace("exec ", late))
    try:
        node.start_redis()
        says(node, "guarded start: ")
        assert started_as(node).startswith("waiting: no majority of the Sentinels")
        assert not answers(node)
    finally:
        node.script("charm/shims/redis-cli", whole)
    says(node, f"replica of {real.primary}")


@pytest.mark.parametrize(
    ("named", "becomes"), [(0, "primary, named by a majority, with its data"), (1, "replica of ")]
)
def test_one_that_stays_believes_a_unit_that_leaves_and_knows_more(
    apart: Apart, named: int, becomes: str
):
    """Its own Sentinel has been down, and is all that is planned, so a majority."""
    stays, leaves = apart(2).nodes.values()
    stays.write_sentinel_conf(stays.host, planned=(stays.host,))
    stays.start_sentinel()
    stays.write_files(planned=(stays.host,), leaving=frozenset({leaves.host}))
    stays.inside(c.BIRTH_PERMIT).touch()
    stays.start_redis()
    patiently(lambda: stays.redis.view().is_primary, "it was primary once")
    stays.kill("redis")
    forget_log(stays)
    stays.kill("sentinel")
    stays.write_sentinel_conf((stays, leaves)[named].host, planned=(stays.host,))
    stays.start_sentinel()
    leaves.write_sentinel_conf(leaves.host, planned=(leaves.host,))
    conf = leaves.inside(c.SENTINEL_CONF)
    conf.write_text(f"{conf.read_text()}\nsentinel config-epoch {leaves.world.app} 1\n")
    leaves.start_sentinel()
    patiently(lambda: leaves.sentinel.view().config_epoch == 1, "it knows of a later failover")
    stays.start_redis()
    says(stays, "waiting: a unit that leaves knows of a later failover")
    assert not answers(stays)
    leaves.kill("sentinel")
    says(stays, becomes)


def test_a_named_primary_with_data_comes_back_as_primary(real: RealCluster):
    node = real.nodes[real.primary]
    real.write(node.host, "kept")
    node.kill("redis")
    left = [node.inside(f"{c.STORAGE_DIR}/{d}temp-1.rdb") for d in ("", "appendonlydir/")]
    for file in left:
        file.write_text("what it was about to write")
    node.start_redis()
    patiently(lambda: node.redis.view().is_primary, "it is primary again")
    assert not any(file.exists() for file in left)
    assert "named by a majority, with its data" in started_as(node)
    assert "kept" in real.keys(node.host)
    assert real.primary == node.host
    # A restarted primary may be promoted again later.
    assert node.redis.view(["replica-priority"]).settings == {"replica-priority": "100"}


@pytest.mark.parametrize("size", [1, 3])
def test_a_snapshot_alone_is_data_too(apart: Apart, size: int):
    """Redis passes it over where it is to write an append-only file."""
    cluster = apart(size)
    cluster.start_sentinels()
    node = cluster.nodes[cluster.hosts[0]]
    node.inside(c.BIRTH_PERMIT).touch()
    for each in cluster.nodes.values():
        each.start_redis()
    patiently(lambda: node.redis.view().connected_replicas == size - 1, "all are there")
    cluster.write(node.host, "restored")
    node.client().save()
    snapshot = node.inside(f"{c.STORAGE_DIR}/dump.rdb").read_bytes()
    for each in cluster.nodes.values():
        each.kill("redis")
        each.wipe()
    for each in list(cluster.nodes.values())[:2]:
        each.inside(f"{c.STORAGE_DIR}/dump.rdb").write_bytes(snapshot)
    for host in cluster.nodes:
        cluster.start(host)
    patiently(lambda: cluster.keys(node.host) == {"restored"}, "the snapshot is loaded")

    def is_written() -> bool:
        cluster.write(node.host, "later")
        return True

    patiently(is_written, "it serves")
    wanted = {"appendonly": "yes", "replica-priority": "100"}
    for each in cluster.nodes.values():
        patiently(lambda each=each: each.redis.view(wanted).settings == wanted, "it is fit")
    for each in cluster.nodes.values():
        each.kill("redis")
    # It is in the append-only file now, with what came later.
    node.inside(f"{c.STORAGE_DIR}/dump.rdb").unlink(missing_ok=True)
    for host in cluster.nodes:
        cluster.start(host)
    patiently(lambda: cluster.keys(node.host) == {"restored", "later"}, "all is there")


def test_a_primary_that_comes_back_takes_no_write_before_most_sentinels_hear_it(
    real: RealCluster,
):
    """Those that do not may count its silence to the end, and fail over from it."""
    node = real.nodes[real.primary]
    sentinels = [real.sentinel(host) for host in real.hosts]
    before = [sentinel.view().options for sentinel in sentinels]
    deaf = {"ping-period": "60000", "down-after-milliseconds": "60000"}
    for sentinel in sentinels:
        for name, value in deaf.items():
            sentinel.set_option(name, value)
    node.kill("redis")
    node.start_redis()
    patiently(lambda: node.redis.view().is_primary, "it is primary again")
    patiently(lambda: node.redis.view().connected_replicas == 2, "its replicas are back")
    with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
        real.write(node.host, "early")
    for sentinel, options in zip(sentinels, before, strict=True):
        for name in deaf:
            sentinel.set_option(name, options[name])
    patiently(
        lambda: (
            node.redis.view(["min-replicas-to-write"]).settings["min-replicas-to-write"] == "1"
        ),
        "it is heard",
    )
    real.write(node.host, "late")


def test_a_primary_that_comes_back_takes_no_write_while_one_sentinel_takes_it_for_down(
    real: RealCluster,
):
    """That one remembers for a while that the others agreed, and they will vote for it."""
    node = real.nodes[real.primary]
    locked_out = real.sentinel(real.replicas[0])
    # With nobody to promote, it comes back at once and not by a failover.
    for host in real.replicas:
        real.redis(host).set({"replica-priority": "0"})
    patiently(
        lambda: all(r.priority == 0 for h in real.hosts for r in real.sentinel(h).view().replicas),
        "all Sentinels know",
    )
    locked_out.set_option("auth-pass", "wrong")
    patiently(lambda: locked_out.view().primary_down_ms > 0, "it takes it for down")
    node.kill("redis")
    node.start_redis()
    patiently(lambda: node.redis.view().is_primary, "it is primary again")
    patiently(lambda: node.redis.view().connected_replicas == 2, "its replicas are back")
    begun = time.monotonic()
    # The other two have heard it many times by then.
    while time.monotonic() < begun + 2:
        with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
            real.write(node.host, "early")
    assert node.world.credentials
    locked_out.set_option("auth-pass", node.world.credentials["sentinel"])
    fence = ["min-replicas-to-write"]
    patiently(lambda: node.redis.view(fence).settings[fence[0]] == "1", "it is heard by all")
    real.write(node.host, "late")


def test_a_named_but_empty_node_has_a_peer_promoted_and_follows_it(real: RealCluster):
    node = real.nodes[real.primary]
    real.write(node.host, "precious")
    patiently(lambda: "precious" in real.keys(real.replicas[0]), "it is replicated")
    node.kill("redis")
    node.wipe()
    forget_log(node)
    node.start_redis()
    patiently(lambda: not node.redis.view().is_primary, "it runs")
    says(node, "was asked to fail over: OK")
    assert "guarded start: primary" not in node.log("redis")
    patiently(lambda: node.redis.view().link_up, "it is in sync")
    assert "precious" in real.keys(node.host)
    patiently(lambda: node.host not in real.named, "another is primary")
    assert "precious" in real.keys(real.primary)


def test_a_sentinel_without_its_state_is_not_asked_to_fail_over(real: RealCluster):
    """What it numbers from 0 the others take back, with all that was written meanwhile."""
    real.sentinel(real.replicas[0]).force_failover()
    real.settle()
    node = real.nodes[real.primary]
    first, second = sorted(real.replicas)
    node.kill("redis")
    node.wipe()
    forget_log(node)
    real.kill(first, "sentinel")
    real.nodes[first].write_sentinel_conf(node.host, initialised=True)
    real.nodes[first].start_sentinel()
    node.start_redis()
    says(node, f"{second} was asked to fail over: OK")
    patiently(lambda: node.redis.view().link_up, "it is in sync")
    assert f"{first} was asked" not in node.log("redis")


def test_who_has_not_copied_a_primary_that_came_back_may_not_be_promoted(real: RealCluster):
    """Its offset counts on from the process before, so Sentinel would prefer it."""
    node = real.nodes[real.primary]
    prompt, late = real.replicas
    node.kill("redis")
    real.redis(late).follow(NOBODY)
    node.start_redis()
    patiently(lambda: real.redis(late).view().priority == 0, "it is not eligible")
    patiently(lambda: real.write(node.host, "after") is None, "a write is taken")
    assert real.redis(prompt).view().priority == 100
    real.redis(late).follow(node.host)
    patiently(lambda: real.redis(late).view().priority == 100, "it is eligible again")
    assert "after" in real.keys(late)


def test_with_nobody_to_replace_it_a_primary_that_was_missed_comes_back_at_once(
    real: RealCluster,
):
    node = real.nodes[real.primary]
    for host in real.replicas:
        real.redis(host).set({"replica-priority": "0"})

    def is_missed() -> bool:
        views = [real.sentinel(host).view() for host in real.hosts]
        nobody = all(r.priority == 0 for view in views for r in view.replicas)
        return nobody and all(view.primary_down_ms for view in views)

    node.kill("redis")
    patiently(is_missed, "all Sentinels miss it, and none has anybody to promote")
    settings = node.inside(c.CLUSTER_ENV)
    settings.write_text(settings.read_text() + "NOTICED_LIMIT_MS=1000000000\n")
    try:
        node.start_redis()
        patiently(lambda: node.redis.view().is_primary, "it is primary again")
    finally:
        node.write_files()
    assert "named by a majority, with its data" in started_as(node)


def test_a_node_that_others_replaced_comes_back_as_a_replica_with_its_extra_data_gone(
    real: RealCluster,
):
    node = real.nodes[real.primary]
    node.kill("redis")
    patiently(lambda: node.host not in real.named, "another is primary")
    node.start_redis()
    patiently(lambda: node.redis.view().link_up, "it is in sync")
    assert started_as(node) == f"replica of {real.primary}"


def test_while_a_failover_is_under_way_it_waits_for_its_end(real: RealCluster):
    node, (target, other) = real.nodes[real.primary], real.replicas
    real.redis(other).set({"replica-priority": "0"})
    watcher = real.sentinel(other)

    def only_the_target_is_eligible() -> bool:
        known = {r.host: r.priority for r in watcher.view().replicas}
        return known == {target: 100, other: 0}

    patiently(only_the_target_is_eligible, "its Sentinel knows who is eligible")
    # The failover cannot end while its target is frozen.
    real.nodes[target].freeze("redis")
    watcher.force_failover()
    node.kill("redis")
    forget_log(node)
    node.start_redis()
    says(node, "waiting: ")
    assert not answers(node)
    real.nodes[target].thaw()
    patiently(lambda: not node.redis.view().is_primary, "it follows the new primary")
    assert started_as(node) == f"replica of {target}"


def kill_until_noticed(real: RealCluster, node: Node) -> None:
    node.kill("redis")
    patiently(
        lambda: all(real.sentinel(h).view().primary_down_ms for h in real.hosts), "it is noticed"
    )
    forget_log(node)


def test_a_primary_whose_absence_was_noticed_waits_until_no_failover_can_come(real: RealCluster):
    node = real.nodes[real.primary]
    settings = node.inside(c.CLUSTER_ENV)
    settings.write_text(settings.read_text() + "NOTICED_LIMIT_MS=5000\n")
    # All notice, and never are they enough to fail over.
    for host in real.hosts:
        real.sentinel(host).set_option("quorum", "4")
    kill_until_noticed(real, node)
    node.start_redis()
    says(node, "waiting: the Sentinels have noticed the absence of this node")
    assert not answers(node)
    patiently(lambda: node.redis.view().is_primary, "when none has come for long it goes on")


def test_a_primary_whose_absence_was_noticed_goes_on_with_nobody_to_promote(real: RealCluster):
    node = real.nodes[real.primary]
    real.hurry()
    for host in real.replicas:
        real.redis(host).set({"replica-priority": "0"})

    def nobody_is_eligible() -> bool:
        views = [real.sentinel(h).view() for h in real.hosts]
        return not any(r.priority for v in views for r in v.replicas)

    patiently(nobody_is_eligible, "the Sentinels know that nobody is eligible")
    kill_until_noticed(real, node)
    node.start_redis()
    # At once, or after the failover that finds nobody; that one lasts a tenth of a second.
    patiently(lambda: node.redis.view().is_primary, "with nobody to promote it goes on")
    assert "waiting: the Sentinels have noticed" not in node.log("redis")
