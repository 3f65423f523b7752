# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What runs beside a Redis that starts."""

from __future__ import annotations

import secrets
from typing import Any

import constants as c
from tests.functional.real import Node, RealCluster, patiently
from tests.functional.scripts import NOTICE, forget_log, is_up


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


KEYS = 4000


def fill(node: Node) -> None:
    with node.client() as client, client.pipeline(transaction=False) as batch:
        for number in range(KEYS):
            batch.set(f"filler:{number}", secrets.token_hex(50))
        batch.execute()


def slow_to_load(node: Node) -> None:
    """Have the Redis of a node need 20 s for its data, from its next start on."""
    with node.client() as client:
        client.bgrewriteaof()
        patiently(lambda: has_rewritten(client.info("persistence")), "all is in its base file")
    conf = node.inside(c.REDIS_CONF)
    slow = "key-load-delay 5000\nloading-process-events-interval-bytes 1024\n"
    conf.write_text(conf.read_text() + slow)


def soon_loaded(node: Node) -> None:
    """Let the rest of the data take no longer than usual, and what is copied later too."""
    with node.client() as client:
        client.config_set("key-load-delay", 0)


def has_rewritten(info: dict[str, Any]) -> bool:
    under_way = info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"]
    return not under_way and info["aof_base_size"] > 50 * KEYS


def test_a_replica_takes_over_from_a_primary_that_takes_long_to_load(real: RealCluster):
    old = real.nodes[real.primary]
    fill(old)
    with old.client() as client:
        client.set("last", "acknowledged")
        assert client.wait(2, 5000) == 2
    slow_to_load(old)
    old.kill("redis")
    old.start_redis()
    patiently(lambda: real.named_by_others(old.host).isdisjoint({old.host}), "another is named")
    # Long before it has its data; until then, and after, it takes no write.
    with old.client() as client:
        assert client.info("persistence")["loading"] == 1
    assert "it takes long to load" in old.log("redis")
    patiently(lambda: len(real.named) == 1, "all agree")
    new = real.nodes[real.primary]
    assert new.host != old.host
    with new.client() as client:
        assert client.get("last") == "acknowledged"
        assert client.dbsize() > KEYS
    soon_loaded(old)
    patiently(lambda: old.redis.view().link_up, "it follows when it has loaded")
    assert old.redis.view().primary_host == new.host


def test_a_primary_that_loads_soon_stays_the_primary(real: RealCluster):
    old = real.nodes[real.primary]
    forget_log(old)
    old.kill("redis")
    old.start_redis()
    patiently(lambda: NOTICE in old.notices, "the charm is told")
    assert real.primary == old.host
    assert "it takes long to load" not in old.log("redis")


def test_with_nobody_to_take_over_it_goes_on_loading_and_is_the_primary(real: RealCluster):
    old = real.nodes[real.primary]
    fill(old)
    slow_to_load(old)
    for host in real.replicas:
        real.redis(host).set({"replica-priority": str(c.NOT_ELIGIBLE)})
    patiently(lambda: all_ineligible(real), "the Sentinels know")
    forget_log(old)
    old.kill("redis")
    old.start_redis()
    patiently(lambda: "was asked to fail over: NOGOODSLAVE" in old.log("redis"), "it has asked")
    soon_loaded(old)
    patiently(lambda: NOTICE in old.notices, "it serves")
    assert real.primary == old.host
    assert old.redis.view().is_primary


def all_ineligible(real: RealCluster) -> bool:
    views = [real.sentinel(host).view() for host in real.hosts]
    return all(r.priority == c.NOT_ELIGIBLE for view in views for r in view.replicas)


def test_a_replica_that_was_away_goes_on_where_it_was(real: RealCluster):
    """Three megabytes later; with the usual backlog of one it would copy all anew."""
    away, primary = real.nodes[real.replicas[0]], real.nodes[real.primary]
    with primary.client() as client:
        before = client.info("stats")
        away.freeze("redis")
        client.client_kill_filter(_type="replica")
        # The other one comes back at once, and until then no write is taken.
        patiently(lambda: bool(client.set("meanwhile", "x")), "another replica is in step")
        for number in range(30):
            client.set(f"meanwhile:{number}", "x" * 100_000)
        away.thaw()
        patiently(lambda: away.redis.view().link_up, "it is in sync")
        patiently(lambda: len(client.info("replication")["slave1"]) > 0, "both are")
        after = client.info("stats")
    with away.client() as client:
        assert client.get("meanwhile:29") is not None
    assert after["sync_full"] == before["sync_full"]
    assert after["sync_partial_ok"] >= before["sync_partial_ok"] + 2
