# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The scripts and configuration files of templates/, run by real Redis and Sentinel."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

import constants as c
import render
from sentinel import handover
from tests.functional.conftest import NOBODY
from tests.functional.real import CREDENTIALS, IMAGE, PATIENCE_S, Node, RealCluster, patiently

NOTICE = f"notify {c.NOTICE_KEY}"
Apart = Callable[..., RealCluster]


def started_as(node: Node) -> str:
    """Return what the latest guarded start has said so far."""
    return node.log("redis").rsplit("guarded start: ", 1)[-1].splitlines()[0]


def says(node: Node, text: str) -> None:
    patiently(lambda: text in node.log("redis"), f"the guarded start says: {text}")


def forget_log(node: Node) -> None:
    (node.directory / "redis.log").unlink(missing_ok=True)


def is_up(node: Node) -> bool:
    return node.redis.view() is not None


def answers(node: Node) -> bool:
    try:
        return is_up(node)
    except Exception:
        return False


# Guarded start


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
    locked_out.set_option("auth-pass", node.world.credentials.watcher)
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
    settings.write_text(settings.read_text() + "NOTICED_TURNS=1000000\n")
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


def test_a_primary_whose_absence_was_noticed_waits_until_no_failover_can_come(real: RealCluster):
    node = real.nodes[real.primary]
    settings = node.inside(c.CLUSTER_ENV)
    settings.write_text(settings.read_text() + "NOTICED_TURNS=3\n")
    real.hurry()
    for host in real.replicas:
        real.redis(host).set({"replica-priority": "0"})

    def nobody_is_eligible() -> bool:
        views = [real.sentinel(h).view() for h in real.hosts]
        return not any(r.priority for v in views for r in v.replicas)

    patiently(nobody_is_eligible, "the Sentinels know that nobody is eligible")
    node.kill("redis")
    patiently(
        lambda: all(real.sentinel(h).view().primary_down_ms for h in real.hosts), "it is noticed"
    )
    forget_log(node)
    node.start_redis()
    # It waits for the failover that comes, or for the end of the one that finds nobody.
    says(node, "waiting: ")
    assert not answers(node)
    patiently(lambda: node.redis.view().is_primary, "with nobody to promote it goes on")


# Beside a starting Redis


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


# Sentinel's scripts


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


def test_the_charm_is_told_of_a_crash_and_of_the_failover(real: RealCluster):
    old = real.primary
    witness = real.nodes[real.replicas[0]]
    real.kill(old, "redis")
    patiently(lambda: old not in real.named, "another is primary")
    patiently(lambda: NOTICE in witness.notices, "the charm is told")


# Exporter


def test_the_exporter_gets_its_password_by_a_file_only(real: RealCluster):
    node = real.nodes[real.hosts[0]]
    node.script("charm/exporter", '#!/bin/sh\necho "$@" >/charm/args\nenv >/charm/env\n')
    for file in render.redis_files(
        node.world, dataclasses.replace(IMAGE, exporter="/charm/exporter")
    ):
        node.inside(file.path).write_text(file.text)
        node.inside(file.path).chmod(file.mode)
    assert node.run(c.START_EXPORTER) == 0
    arguments = (node.directory / "charm/args").read_text()
    environment = (node.directory / "charm/env").read_text()
    assert f":{c.EXPORTER_PORT}" in arguments
    assert CREDENTIALS.exporter not in arguments + environment
    path = next(
        line.split("=")[1]
        for line in environment.splitlines()
        if line.startswith("REDIS_PASSWORD_FILE=")
    )
    assert CREDENTIALS.exporter in node.inside(path).read_text()
    assert node.inside(path).stat().st_mode & 0o007 == 0


# Configuration files


def test_redis_can_rewrite_its_configuration_and_the_charms_file_stays(real: RealCluster):
    node = real.nodes[real.replicas[0]]
    before = node.inside(c.REDIS_CONF).read_text()
    node.client().config_set("maxmemory-samples", 7)
    node.client().config_rewrite()
    assert "maxmemory-samples 7" in node.inside(c.LIVE_CONF).read_text()
    assert node.inside(c.REDIS_CONF).read_text() == before


def client(
    host: str, port: int, user: str | None = None, password: str | None = None
) -> redis.Redis:
    retry = Retry(NoBackoff(), 0)
    return redis.Redis(host, port, username=user, password=password, retry=retry)


def test_nobody_gets_in_without_a_password(real: RealCluster):
    for port in (c.REDIS_PORT, c.SENTINEL_PORT):
        with pytest.raises(redis.AuthenticationError):
            client(real.hosts[0], port).execute_command("PING")


@pytest.mark.parametrize(
    ("user", "password", "command"),
    [
        (c.REPLICATION_USER, CREDENTIALS.replication, ["SET", "k", "v"]),
        (c.REPLICATION_USER, CREDENTIALS.replication, ["CONFIG", "GET", "*"]),
        (c.WATCHER_USER, CREDENTIALS.watcher, ["GET", "k"]),
        (c.WATCHER_USER, CREDENTIALS.watcher, ["CONFIG", "GET", "*"]),
        (c.EXPORTER_USER, CREDENTIALS.exporter, ["GET", "k"]),
        (c.EXPORTER_USER, CREDENTIALS.exporter, ["CONFIG", "SET", "maxmemory", "1"]),
    ],
)
def test_users_of_the_machinery_have_no_right_to_data_and_settings(
    real: RealCluster, user, password, command
):
    with pytest.raises(NoPermissionError):
        client(real.primary, c.REDIS_PORT, user, password).execute_command(*command)


def test_a_sentinel_may_not_command_another(real: RealCluster):
    peer = client(real.hosts[0], c.SENTINEL_PORT, c.PEERS_USER, CREDENTIALS.peers)
    with pytest.raises(NoPermissionError):
        peer.execute_command("SENTINEL", "RESET", "redis-k8s")


def test_users_have_all_the_rights_that_a_failover_takes(real: RealCluster):
    for node in real.nodes.values():
        for port in (c.REDIS_PORT, c.SENTINEL_PORT):
            node.client(port).acl_log_reset()
    real.kill(real.primary, "redis")
    real.settle()
    denied = [
        (node.host, port, entry)
        for node in real.nodes.values()
        for port in (c.REDIS_PORT, c.SENTINEL_PORT)
        for entry in node.client(port).acl_log()
    ]
    assert denied == []


def test_no_password_is_among_the_arguments_of_a_program(real: RealCluster):
    node = real.nodes[real.primary]
    node.kill("redis")
    node.start_redis()
    patiently(lambda: NOTICE in node.notices, "the watch has ended")
    commands = (node.directory / "charm/commands").read_text()
    assert f"-p {c.SENTINEL_PORT}" in commands
    for password in (v for v in dataclasses.astuple(CREDENTIALS) if v and isinstance(v, str)):
        assert password not in commands


# Handover when a pod is stopped


def stand_by(node: Node) -> subprocess.Popen[bytes]:
    """Start the service that hands over when Pebble stops it, and wait until it would."""
    (node.directory / "hand-over.log").unlink(missing_ok=True)
    process = node.spawn(c.HAND_OVER, log="hand-over")

    def sleeps() -> bool:
        # It starts to sleep after it has set its trap.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return [Path(f"/proc/{child}/comm").read_text() for child in children] == ["sleep\n"]
        return False  # One has ended since.

    patiently(sleeps, "it stands by")
    return process


def end(process: subprocess.Popen[bytes]) -> int:
    """Stop a service as Pebble does, which is its whole process group; return its exit code."""
    os.killpg(process.pid, signal.SIGTERM)
    code = process.wait(timeout=PATIENCE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return code


def test_a_primary_whose_pod_is_stopped_hands_over_and_loses_nothing(real: RealCluster):
    node = real.nodes[real.primary]
    process = stand_by(node)
    with real.writer() as writer:
        assert end(process) == 0
        assert not node.redis.view().is_primary, node.log("hand-over")
        # The new primary may be the next to die.
        others = [host for host in real.hosts if real.redis(host).view().primary_host]
        assert {real.redis(host).view().priority for host in others} == {100}
        node.kill()
        patiently(lambda: len(real.named_by_others(node.host)) == 1, "the others agree")
        writer.go_on()
    (new,) = real.named_by_others(node.host)
    assert new != node.host
    assert writer.acknowledged <= real.keys(str(new))


def test_a_stopped_pod_hands_over_by_no_sentinel_that_has_lost_its_state(real: RealCluster):
    real.sentinel(real.replicas[0]).force_failover()
    real.settle()
    node = real.nodes[real.primary]
    first, last = sorted(real.replicas)
    # The others tell such a Sentinel within two seconds; this node is shown the moment before.
    shim = node.inside("/charm/shims/redis-cli")
    text = shim.read_text()
    begin = text.index("exec ")
    blank = f"""
case "$*" in
    *"-h {last} -p {c.SENTINEL_PORT} SENTINEL MASTER "*)
        {text[begin:].strip().removeprefix("exec ")} | sed '/^config-epoch$/{{n; s/.*/0/}}'
        exit
        ;;
esac
"""
    node.script("charm/shims/redis-cli", text[:begin] + blank + text[begin:])
    try:
        assert end(stand_by(node)) == 0
    finally:
        node.script("charm/shims/redis-cli", text)
    assert f"the Sentinel of {first} was asked to fail over: OK" in node.log("hand-over")
    assert not node.redis.view().is_primary


def test_a_replica_whose_pod_is_stopped_has_nothing_to_hand_over(real: RealCluster):
    node = real.nodes[real.replicas[0]]
    assert end(stand_by(node)) == 0
    assert real.primary != node.host
    assert "handover:" not in node.log("hand-over")


def test_with_nobody_in_sync_the_primary_stays_and_serves_to_its_end(real: RealCluster):
    node = real.nodes[real.primary]
    real.hurry()
    for host in real.replicas:
        real.kill(host, "redis")
    node.redis.set({"min-replicas-to-write": "0"})
    assert end(stand_by(node)) == 0
    assert "still the primary" in node.log("hand-over")
    real.write(node.host, "is-writable")


def test_a_handover_by_the_charm_is_waited_for_and_not_disturbed(real: RealCluster):
    node = real.nodes[real.primary]
    process = stand_by(node)
    with node.redis.claim():
        os.killpg(process.pid, signal.SIGTERM)
        node.redis.follow(real.replicas[0])
        assert process.wait(timeout=PATIENCE_S) == 0
    assert "was asked to fail over" not in node.log("hand-over")


def test_a_claim_of_one_who_died_over_it_is_not_waited_for(real: RealCluster):
    node = real.nodes[real.primary]
    settings = node.inside(c.CLUSTER_ENV)
    # As if so much time had passed.
    settings.write_text(f"{settings.read_text()}\nCLAIM_LIMIT_S=-1\n")
    with node.redis.claim():
        assert end(stand_by(node)) == 0
    assert "was asked to fail over" in node.log("hand-over")


# Another turn, and names


def test_a_wake_comes_soon_and_what_goes_on_for_long_less_often(apart: Apart):
    (node,) = apart(1).nodes.values()
    node.script("charm/shims/sleep", '#!/bin/sh\necho "$1" >>/charm/slept\n')
    for _ in range(16):
        assert node.run(c.WAKE) == 0
    slept = node.directory / "charm/slept"
    assert slept.read_text().split() == ["2"] * 15 + ["30"]
    assert node.notices == [NOTICE] * 16
    # A quiet minute starts anew, and so does a machine.
    count = node.inside(f"{c.CONFIG_DIR}/live/wakes")
    uptime_s = int(float(Path("/proc/uptime").read_text().split()[0]))
    for last_s in (max(0, uptime_s - 62), uptime_s + 1000):
        count.write_text(f"{last_s} 99\n")
        assert node.run(c.WAKE) == 0
        assert slept.read_text().split()[-1] == "2"


def test_a_clock_that_is_set_back_makes_no_wake_late(apart: Apart):
    (node,) = apart(1).nodes.values()
    node.script("charm/shims/sleep", '#!/bin/sh\necho "$1" >>/charm/slept\n')
    node.script("charm/shims/date", "#!/bin/sh\necho 2000000000\n")
    for _ in range(16):
        assert node.run(c.WAKE) == 0
    # A minute of the machine's goes by, and the clock is set back by years.
    node.script("charm/shims/date", "#!/bin/sh\necho 1000000000\n")
    count = node.inside(f"{c.CONFIG_DIR}/live/wakes")
    last_s, wakes = count.read_text().split()
    count.write_text(f"{int(last_s) - 62} {wakes}\n")
    assert node.run(c.WAKE) == 0
    assert (node.directory / "charm/slept").read_text().split()[-1] == "2"


def test_a_wake_for_this_pod_comes_when_it_is_right(real: RealCluster):
    node = next(iter(real.nodes.values()))
    waits_for = node.inside(c.WAKE_FOR)
    # One unit too many is planned: it has not come yet.
    waits_for.write_text(f"here {len(real.nodes) + 1}\n")
    began_s = time.monotonic()
    notices = len(node.notices)
    assert node.run(c.WAKE) == 0
    assert time.monotonic() - began_s > 6
    waits_for.write_text(f"here {len(real.nodes)}\n")
    began_s = time.monotonic()
    assert node.run(c.WAKE) == 0
    assert time.monotonic() - began_s < 6
    assert len(node.notices) == notices + 2


@contextlib.contextmanager
def disk(node: Node, effect: str) -> Iterator[None]:
    """Have each of a Redis' waits for the disk end otherwise: an effect as strace injects them."""
    pid = node.pid("redis")
    calls = "fsync,fdatasync"
    argv = ["strace", "-f", "-q", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={calls}"]
    tracer = subprocess.Popen([*argv, "-e", f"inject={calls}:{effect}"])
    status = Path(f"/proc/{pid}/status")
    try:
        patiently(lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text(), "strace is there")
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def alone(cluster: RealCluster) -> Node:
    """Start the only node of an application, as its primary."""
    (node,) = cluster.nodes.values()
    cluster.start_sentinels()
    node.inside(c.BIRTH_PERMIT).touch()
    node.start_redis()
    patiently(lambda: node.redis.view().is_primary, "it is primary")
    return node


def test_what_is_acknowledged_while_the_disk_is_busy_outlives_the_process(apart: Apart):
    node = alone(apart(1))
    client = node.client()
    acknowledged = 0
    with disk(node, "delay_enter=5000000"):
        # Redis would have begun to wait for the disk after one second, and go on for two more.
        end = time.monotonic() + 2
        while time.monotonic() < end:
            acknowledged = client.incr("count")
        node.kill("redis")
    node.start_redis()
    patiently(lambda: node.redis.view().is_primary, "it is primary again")
    assert client.get("count") == str(acknowledged)


def test_a_disk_that_does_not_keep_the_log_stops_the_writes(apart: Apart):
    node = alone(apart(1))
    client = node.client()
    fails = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"]
    argv = ["strace", "-f", "-q", "-o", "/dev/null", *fails, c.SYNC_LOG]
    with disk(node, "error=EIO"):
        process = node.spawn(*argv, log="sync")

        def is_refused() -> bool:
            try:
                client.incr("count")
            except redis.ResponseError as e:
                return "MISCONF" in str(e)
            return False

        try:
            patiently(is_refused, "Redis takes no more writes")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert "could not be kept" in node.log("sync")


def test_the_log_is_kept_through_a_rewrite(apart: Apart):
    cluster = apart(1)
    (node,) = cluster.nodes.values()
    process = node.spawn(c.SYNC_LOG, log="sync")
    try:
        client = alone(cluster).client()
        for _ in range(3):
            client.incr("count")
            client.bgrewriteaof()
            patiently(lambda: not client.info()["aof_rewrite_in_progress"], "it is rewritten")
            time.sleep(1)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert client.config_get("appendfsync") == {"appendfsync": "no"}
    assert node.log("sync") == ""


def test_a_sentinel_that_started_again_wakes_the_charm(real: RealCluster):
    """It has forgotten its periods over that, and nobody else need have noticed."""
    node = real.nodes[real.replicas[0]]
    before = len(node.notices)
    node.kill("sentinel")
    real.start(node.host)
    patiently(lambda: len(node.notices) > before, "the charm is told")


def test_addresses_are_kept_while_the_dns_says_nothing_and_dropped_with_their_unit(apart: Apart):
    cluster = apart(2)
    node = next(iter(cluster.nodes.values()))
    node.planned = (node.host, "peer.invalid")
    node.write_files()
    kept = "10.9.9.9 peer.invalid # redis-k8s"
    left = "10.9.9.8 left.invalid # redis-k8s"
    others = "10.1.1.1 of-kubernetes"
    before = "\n".join([kept, left, f"10.9.9.7 {node.host} # redis-k8s", others])
    start = f"echo '{before}' >/etc/hosts; exec {c.KEEP_NAMES}"
    process = node.spawn("sh", "-c", start, log="names")
    hosts = Path(f"/proc/{process.pid}/root/etc/hosts")

    def has(*lines: str) -> Callable[[], bool]:
        return lambda: [line for line in hosts.read_text().splitlines() if line] == list(lines)

    try:
        # Its Sentinel does not answer, and may still look the unit up.
        patiently(has(others, kept, left), "only its own address is not kept")
        node.write_sentinel_conf(node.host)
        node.start_sentinel()
        patiently(has(others, kept), "a unit that Sentinel does not know is dropped")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
