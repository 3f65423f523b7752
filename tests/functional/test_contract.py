# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the adapters promise, on real Redis and Sentinel and on the fake that unit tests use."""

from __future__ import annotations

import threading

import pytest
import redis

from cluster.settings import FAILOVER_TIMEOUT_MS
from constants import REDIS_PORT, REPLICATION_USER, SENTINEL_PERIODS_MS
from errors import RedisClientError, Refusal, RefusedError, UnreachableError
from nodes import redis_client as redis_client_module
from nodes import sentinel as sentinel_module
from nodes.access import Access
from nodes.redis_client import RedisNode, ask, ask_all, connect, pipelined
from nodes.sentinel import Sentinel, handover, readmit
from tests.fakes import Cluster
from tests.functional.conftest import NOBODY, STRANGER
from tests.functional.real import CREDENTIALS, RealCluster

AnyCluster = Cluster | RealCluster
PAUSE_MS = 1000


def move(cluster: AnyCluster, target: str) -> None:
    """Hand over to a target as the plan does: it alone is eligible, and its Sentinel knows."""
    source = cluster.primary
    make_eligible(cluster, target)
    handover(source, target, target, cluster.access, PAUSE_MS)
    cluster.eventually(lambda: cluster.named == {target}, "all Sentinels name the target")


def make_eligible(cluster: AnyCluster, target: str | None) -> None:
    """Make one replica, or none, eligible, and wait until all Sentinels have seen it."""
    wanted = {h: 100 if h == target else 0 for h in cluster.replicas}
    for host, priority in wanted.items():
        cluster.redis(host).set({"replica-priority": str(priority)})

    def is_seen() -> bool:
        views = [cluster.sentinel(h).view() for h in cluster.hosts]
        return all({r.host: r.priority for r in v.replicas} == wanted for v in views)

    cluster.eventually(is_seen, "the Sentinels know who is eligible")


# One Redis


def test_a_primary_shows_its_role_and_the_replicas_in_step(cluster: AnyCluster):
    if isinstance(cluster, RealCluster):
        # This machine's disk may have been slow before.
        cluster.nodes[cluster.primary].client().latency_reset()
    view = cluster.redis(cluster.primary).view(["min-replicas-to-write"])
    assert (view.role, view.primary_host, view.link_up) == ("primary", None, False)
    assert view.connected_replicas == 2
    assert view.settings == {"min-replicas-to-write": "1"}
    assert view.persists
    assert view.slow_write_ms == 0
    assert view.version == "7.0.15" or isinstance(cluster, RealCluster)


def test_a_primary_without_a_fence_still_counts_its_replicas(cluster: AnyCluster):
    cluster.redis(cluster.primary).set({"min-replicas-to-write": "0"})
    assert cluster.redis(cluster.primary).view().connected_replicas == 2


def test_a_replica_shows_whom_it_follows(cluster: AnyCluster):
    view = cluster.redis(cluster.replicas[0]).view()
    assert (view.role, view.primary_host, view.link_up) == ("replica", cluster.primary, True)
    assert view.priority == 100
    assert view.settings == {}


def test_a_replica_in_step_reaches_the_offset_of_its_primary(cluster: AnyCluster):
    before = cluster.redis(cluster.primary).view().offset_bytes
    cluster.write(cluster.primary, "one-more")
    assert cluster.redis(cluster.primary).view().offset_bytes > before

    def is_level() -> bool:
        views = [cluster.redis(h).view() for h in (cluster.primary, cluster.replicas[0])]
        return views[0].offset_bytes == views[1].offset_bytes

    cluster.eventually(is_level, "the offsets are equal")
    assert "one-more" in cluster.keys(cluster.replicas[0])


def test_a_replica_whose_primary_is_gone_shows_that_its_link_is_down(cluster: AnyCluster):
    replica = cluster.replicas[0]
    cluster.kill(cluster.primary, "redis")
    cluster.eventually(lambda: not cluster.redis(replica).view().link_up, "the link is down")


def test_a_changed_setting_shows(cluster: AnyCluster):
    host = cluster.replicas[0]
    cluster.redis(host).set({"replica-priority": "0"})
    assert cluster.redis(host).view(["replica-priority"]).settings == {"replica-priority": "0"}
    assert cluster.redis(host).view().priority == 0


@pytest.mark.parametrize(
    ("name", "value"), [("replica-priority", "high"), ("no-such-setting", "1")]
)
def test_a_setting_that_redis_does_not_take_is_refused(cluster: AnyCluster, name, value):
    with pytest.raises(RefusedError, match=cluster.primary):
        cluster.redis(cluster.primary).set({name: value})


def test_a_node_can_be_made_to_follow_another(cluster: AnyCluster):
    first, second = cluster.replicas
    cluster.redis(first).follow(second)
    view = cluster.redis(first).view()
    assert view.primary_host == second
    cluster.redis(first).follow(cluster.primary)
    cluster.eventually(lambda: cluster.redis(first).view().link_up, "the link is up again")


def test_following_lifts_a_pause(cluster: AnyCluster):
    source = cluster.primary
    pause(cluster, source, 60000)
    with pytest.raises(redis.TimeoutError):
        cluster.write(source, "held")
    cluster.redis(source).follow(cluster.replicas[0])
    with pytest.raises(redis.ReadOnlyError):
        cluster.write(source, "not held, but refused")


def pause(cluster: AnyCluster, host: str, pause_ms: int) -> None:
    with connect(host, REDIS_PORT, cluster.access) as client:
        ask(client, "CLIENT", "PAUSE", pause_ms, "WRITE")


def test_writes_to_a_replica_are_refused(cluster: AnyCluster):
    with pytest.raises(redis.ReadOnlyError):
        cluster.write(cluster.replicas[0], "stray")


def test_a_fenced_primary_refuses_writes_and_says_so(cluster: AnyCluster):
    primary = cluster.primary
    cluster.redis(primary).set({"min-replicas-to-write": "3"})
    assert cluster.redis(primary).view(["min-replicas-to-write"]).is_fenced
    with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
        cluster.write(primary, "fenced")
    cluster.redis(primary).set({"min-replicas-to-write": "1"})
    assert not cluster.redis(primary).view(["min-replicas-to-write"]).is_fenced


# Nodes that do not answer


def test_a_wrong_password_is_refused(cluster: AnyCluster):
    host = cluster.primary
    with pytest.raises(RefusedError, match=f"{host}:6379 refused") as caught:
        RedisNode(host, Access(cluster.app, "wrong-pw")).view()
    assert "wrong-pw" not in str(caught.value)
    assert caught.value.refusal is Refusal.LOGIN
    with pytest.raises(RefusedError, match=f"{host}:26379 refused"):
        Sentinel(host, Access(cluster.app, "wrong-pw")).view()


def test_a_missing_right_is_a_refused_login(real: RealCluster):
    replication = Access(real.app, CREDENTIALS["replication"], user=REPLICATION_USER)
    with pytest.raises(RefusedError) as caught:
        RedisNode(real.primary, replication).view()
    assert caught.value.refusal is Refusal.LOGIN


def test_a_node_that_is_not_there_is_unreachable(cluster: AnyCluster):
    with pytest.raises(UnreachableError, match=f"{NOBODY}:6379"):
        cluster.redis(NOBODY).view()
    with pytest.raises(UnreachableError, match=f"{NOBODY}:26379"):
        cluster.sentinel(NOBODY).view()


def test_a_process_that_ended_is_unreachable(cluster: AnyCluster):
    host = cluster.replicas[0]
    cluster.kill(host)
    with pytest.raises(UnreachableError, match=host):
        cluster.redis(host).view()
    with pytest.raises(UnreachableError, match=host):
        cluster.sentinel(host).view()


def test_a_name_that_does_not_resolve_is_unreachable(cluster: AnyCluster):
    with pytest.raises(UnreachableError, match="redis-k8s-9.invalid"):
        cluster.redis("redis-k8s-9.invalid").view()


def test_a_frozen_node_is_unreachable_and_does_not_hold_up_the_others(cluster: AnyCluster):
    frozen = cluster.replicas[0]
    cluster.freeze(frozen)
    answers = ask_all(cluster.hosts, lambda host: cluster.redis(host).view())
    cluster.thaw(frozen)
    assert isinstance(answers[frozen], UnreachableError)
    others = [answers[h] for h in cluster.hosts if h != frozen]
    assert not any(isinstance(answer, RedisClientError) for answer in others)


# One Sentinel


def test_a_sentinel_shows_all_it_knows(cluster: AnyCluster):
    host = cluster.hosts[0]
    view = cluster.sentinel(host).view()
    assert view.primary_host == cluster.primary
    assert view.quorum == 2
    assert view.others == set(cluster.hosts) - {host}
    assert {r.host for r in view.replicas} == set(cluster.replicas)
    assert all((r.priority, r.link_up, r.down) == (100, True, False) for r in view.replicas)
    assert (view.failing_over, view.primary_down_ms, view.has_majority) == (False, 0, True)
    assert not view.in_tilt
    assert view.options == {
        "down-after-milliseconds": "2000",
        "failover-timeout": FAILOVER_TIMEOUT_MS,
        "parallel-syncs": "9",
        **SENTINEL_PERIODS_MS,
    }


@pytest.mark.parametrize(
    ("name", "value"), [("down-after-milliseconds", "2500"), ("info-period", "900")]
)
def test_a_changed_option_shows(cluster: AnyCluster, name, value):
    watcher = cluster.sentinel(cluster.hosts[0])
    before = watcher.view().options[name]
    watcher.set_option(name, value)
    assert watcher.view().options[name] == value
    watcher.set_option(name, before)


def test_a_changed_quorum_shows(cluster: AnyCluster):
    watcher = cluster.sentinel(cluster.hosts[0])
    watcher.set_option("quorum", "3")
    assert watcher.view().quorum == 3


@pytest.mark.parametrize(("name", "value"), [("quorum", "0"), ("no-such-option", "1")])
def test_an_option_that_sentinel_does_not_take_is_refused(cluster: AnyCluster, name, value):
    with pytest.raises(RefusedError, match=cluster.hosts[0]):
        cluster.sentinel(cluster.hosts[0]).set_option(name, value)


def test_a_quorum_out_of_reach_is_no_majority(cluster: AnyCluster):
    watcher = cluster.sentinel(cluster.hosts[0])
    watcher.set_option("quorum", "4")
    assert not watcher.view().has_majority


def test_a_sentinel_can_stop_watching(cluster: AnyCluster):
    watcher = cluster.sentinel(cluster.replicas[0])
    watcher.unwatch()
    assert watcher.view().primary_host is None
    watcher.unwatch()  # twice is no error
    cluster.settle()


def test_a_sentinel_sees_that_a_replica_went_down(cluster: AnyCluster):
    replica, watcher = cluster.replicas[0], cluster.sentinel(cluster.primary)
    cluster.kill(replica, "redis")

    def is_seen() -> bool:
        return [r.host for r in watcher.view().replicas if r.down] == [replica]

    cluster.eventually(is_seen, "the Sentinel thinks the replica down")


def test_without_a_majority_nothing_fails_over_and_the_time_is_counted(cluster: AnyCluster):
    primary, (left, gone) = cluster.primary, cluster.replicas
    cluster.kill(gone)
    cluster.kill(primary)
    watcher = cluster.sentinel(left)
    cluster.eventually(lambda: watcher.view().primary_down_ms > 1000, "the primary is down")
    view = watcher.view()
    assert (view.primary_host, view.has_majority) == (primary, False)
    assert not cluster.redis(left).view().is_primary


def test_a_forced_failover_needs_no_majority(cluster: AnyCluster):
    primary, (left, gone) = cluster.primary, cluster.replicas
    cluster.kill(gone)
    cluster.kill(primary)
    watcher = cluster.sentinel(left)
    cluster.eventually(lambda: watcher.view().primary_down_ms > 0, "the primary is down")

    def force() -> bool:
        """Refused for as long as it tries by itself, by what others said of the one before."""
        watcher.force_failover()
        return True

    cluster.eventually(force, "it fails over")
    cluster.eventually(lambda: cluster.redis(left).view().is_primary, "the replica is promoted")
    cluster.eventually(lambda: watcher.view().primary_host == left, "its Sentinel names it")


def test_a_failover_with_nobody_to_promote_is_refused(cluster: AnyCluster):
    make_eligible(cluster, None)
    with pytest.raises(RefusedError, match="NOGOODSLAVE"):
        cluster.sentinel(cluster.hosts[0]).force_failover()


def test_a_dead_primary_is_replaced_and_comes_back_as_a_replica(cluster: AnyCluster):
    old = cluster.primary
    cluster.write(old, "before-the-crash")
    cluster.eventually(
        lambda: "before-the-crash" in cluster.keys(cluster.hosts[1]), "it is replicated"
    )
    cluster.kill(old, "redis")
    cluster.eventually(lambda: old not in cluster.named, "all Sentinels name another")
    cluster.start(old)
    cluster.settle()
    assert not cluster.redis(old).view().is_primary
    assert "before-the-crash" in cluster.keys(old)


def test_a_departed_node_is_remembered_until_it_is_forgotten(cluster: AnyCluster):
    cluster.add_stranger(STRANGER)
    watcher = cluster.sentinel(cluster.primary)

    def knows_it() -> bool:
        view = watcher.view()
        return STRANGER in view.others and STRANGER in {r.host for r in view.replicas}

    cluster.eventually(knows_it, "the fourth node is known")
    cluster.remove_stranger(STRANGER)
    with pytest.raises(UnreachableError):
        cluster.redis(STRANGER).view()
    assert knows_it()
    watcher.forget(replicas=2, others=2, budget_s=10.0)
    view = watcher.view()
    assert view.others == set(cluster.hosts) - {cluster.primary}
    assert {r.host for r in view.replicas} == set(cluster.replicas)


def test_forgetting_says_when_not_all_are_known_again(cluster: AnyCluster):
    with pytest.raises(UnreachableError, match="not all nodes are known again"):
        cluster.sentinel(cluster.primary).forget(replicas=3, others=2, budget_s=0.3)


# Handover


def test_a_handover_under_a_writer_loses_nothing(cluster: AnyCluster):
    source, target = cluster.primary, cluster.replicas[0]
    with cluster.writer() as writer:
        move(cluster, target)
        writer.go_on()
    assert cluster.primary == target
    assert not cluster.redis(source).view().is_primary
    assert writer.lost() == set()


def test_two_handovers_in_a_row_lose_nothing(cluster: AnyCluster):
    first = cluster.primary
    with cluster.writer() as writer:
        move(cluster, cluster.replicas[0])
        cluster.settle()
        move(cluster, first)
        writer.go_on()
    assert writer.lost() == set()


def test_after_a_handover_all_come_to_rest(cluster: AnyCluster):
    target = cluster.replicas[-1]
    move(cluster, target)
    cluster.settle()
    assert cluster.primary == target


def is_writable(cluster: AnyCluster, host: str) -> bool:
    cluster.write(host, "is-writable")
    return True


@pytest.mark.parametrize(
    ("fails_at", "error"),
    [
        (("ROLE",), UnreachableError),
        (("INFO", "replication"), UnreachableError),
        (("SENTINEL", "MASTER"), UnreachableError),
        (("SENTINEL", "FAILOVER"), RefusedError),
    ],
)
def test_a_handover_that_fails_in_the_pause_lifts_it(
    cluster: AnyCluster, monkeypatch, fails_at, error
):
    source, target = cluster.primary, cluster.replicas[0]
    make_eligible(cluster, target)
    paused, failed = threading.Event(), threading.Event()

    def fail(client, *command):
        if command[:2] == ("CLIENT", "PAUSE"):
            # Longer than the test waits: a write that works shows that it was lifted.
            command = ("CLIENT", "PAUSE", 60000, "WRITE")
            paused.set()
        elif paused.is_set() and not failed.is_set() and command[: len(fails_at)] == fails_at:
            failed.set()
            raise error("as the test wants it")
        return ask(client, *command)

    monkeypatch.setattr(sentinel_module, "ask", fail)
    with pytest.raises(error, match="as the test wants it"):
        handover(source, target, target, cluster.access, PAUSE_MS)
    assert failed.is_set()
    assert is_writable(cluster, source)
    assert cluster.redis(source).view().is_primary


def test_after_a_handover_the_others_are_readmitted_when_they_follow(
    cluster: AnyCluster, monkeypatch
):
    # However busy the machine is: how long the charm waits for them is not what is tested.
    monkeypatch.setattr(sentinel_module, "READMIT_BUDGET_S", 60)
    source, (target, other) = cluster.primary, cluster.replicas
    make_eligible(cluster, target)
    handover(source, target, target, cluster.access, PAUSE_MS)
    assert cluster.redis(other).view().priority == 0
    readmit([other, NOBODY], target, cluster.access)
    assert cluster.redis(other).view().priority == 100


KILL = ("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
"""What Sentinel does to a replica that it tells to follow; the last that is answered."""


@pytest.mark.parametrize("cut", ["INFO", "CONFIG SET"])
def test_a_replica_that_hangs_up_since_it_is_told_to_follow_is_asked_again(
    real: RealCluster, monkeypatch, cut: str
):
    replica = real.replicas[0]
    real.redis(replica).set({"replica-priority": "0"})
    sent: list[str] = []

    def pipelined_and_cut(client, *commands):
        sent.extend(words[0] for words in commands)
        if cut in sent[-len(commands) :] and sent.count(cut) == 1:
            commands = (KILL, *commands)
        return pipelined(client, *commands)

    monkeypatch.setattr(redis_client_module, "pipelined", pipelined_and_cut)
    monkeypatch.setattr(
        redis_client_module, "ask", lambda client, *words: pipelined_and_cut(client, words)[0]
    )
    readmit([replica], real.primary, real.access)
    assert sent.count(cut) == 2
    assert real.redis(replica).view().priority == 100


def test_a_replica_that_does_not_follow_the_new_primary_is_not_readmitted(cluster: AnyCluster):
    other = cluster.replicas[1]
    make_eligible(cluster, cluster.replicas[0])
    readmit([other], cluster.replicas[0], cluster.access)
    assert cluster.redis(other).view().priority == 0


def test_a_new_primary_that_dies_at_once_is_replaced(real: RealCluster):
    source, (target, other) = real.primary, real.replicas
    make_eligible(real, target)
    handover(source, target, target, real.access, PAUSE_MS)
    readmit([other], target, real.access)
    before = {host: len(real.nodes[host].log("sentinel")) for host in real.hosts}
    real.kill(target)
    real.eventually(lambda: target not in real.named_by_others(target), "another is primary")
    for host, length in before.items():
        assert "-failover-abort-no-good-slave" not in real.nodes[host].log("sentinel")[length:]


def test_a_target_that_does_not_catch_up_leaves_all_as_it_was(cluster: AnyCluster, monkeypatch):
    source, target = cluster.primary, cluster.replicas[0]
    make_eligible(cluster, target)
    monkeypatch.setattr(sentinel_module, "_offset", lambda client: id(client))
    with pytest.raises(RefusedError, match="does not catch up"):
        handover(source, target, target, cluster.access, PAUSE_MS)
    assert is_writable(cluster, source)
    assert cluster.primary == source


def test_a_handover_with_nobody_eligible_leaves_all_as_it_was(cluster: AnyCluster):
    source, target = cluster.primary, cluster.replicas[0]
    make_eligible(cluster, None)
    with pytest.raises(RefusedError, match="NOGOODSLAVE"):
        handover(source, target, target, cluster.access, PAUSE_MS)
    assert is_writable(cluster, source)
    assert cluster.primary == source


def test_a_handover_from_a_node_that_is_not_primary_is_refused(cluster: AnyCluster):
    source, target = cluster.replicas
    with pytest.raises(RefusedError, match="as primary: the handover is refused"):
        handover(source, target, target, cluster.access, PAUSE_MS)
    assert is_writable(cluster, cluster.primary)


def test_a_handover_to_a_silent_target_never_holds_the_writes(cluster: AnyCluster):
    with pytest.raises(UnreachableError, match=NOBODY):
        handover(cluster.primary, NOBODY, NOBODY, cluster.access, PAUSE_MS)
    assert is_writable(cluster, cluster.primary)


def test_a_claim_is_seen_and_refused_to_a_second_until_it_ends(cluster: AnyCluster):
    node = cluster.redis(cluster.primary)
    assert node.view().handover_claims == 0
    with node.claim():
        assert node.view().handover_claims == 1
        with pytest.raises(RefusedError, match="being handed over by another unit"), node.claim():
            raise AssertionError("two hold the claim")
        assert node.view().handover_claims == 1
    cluster.eventually(lambda: node.view().handover_claims == 0, "the claim is given back")
    with node.claim():
        pass


def test_a_claim_of_one_who_died_over_it_counts_no_more(
    cluster: AnyCluster, monkeypatch: pytest.MonkeyPatch
):
    node = cluster.redis(cluster.primary)
    with node.claim():
        assert node.view().handover_claims == 1
        # As if so much time had passed.
        monkeypatch.setattr("nodes.redis_client.CLAIM_LIMIT_S", -1)
        assert node.view().handover_claims == 0
        with node.claim():
            pass


def test_a_claim_ends_when_what_it_was_for_fails(cluster: AnyCluster):
    node = cluster.redis(cluster.primary)
    with pytest.raises(KeyError), node.claim():
        raise KeyError("as the test wants it")
    cluster.eventually(lambda: node.view().handover_claims == 0, "the claim is given back")


def test_a_node_that_is_not_there_cannot_be_claimed(cluster: AnyCluster):
    with pytest.raises(UnreachableError, match=NOBODY), cluster.redis(NOBODY).claim():
        raise AssertionError("nobody is there")


def test_after_a_failed_handover_another_works(cluster: AnyCluster):
    source, target = cluster.primary, cluster.replicas[0]
    make_eligible(cluster, None)
    with pytest.raises(RefusedError, match="NOGOODSLAVE"):
        handover(source, target, target, cluster.access, PAUSE_MS)
    move(cluster, target)


def test_a_handover_during_a_failover_is_refused_and_does_not_disturb_it(cluster: AnyCluster):
    source, target = cluster.primary, cluster.replicas[0]
    make_eligible(cluster, target)
    watcher = cluster.sentinel(target)
    with cluster.writer() as writer:
        watcher.force_failover()
        with pytest.raises(RefusedError):
            handover(source, target, target, cluster.access, PAUSE_MS)
        cluster.eventually(lambda: cluster.named == {target}, "the failover went on")
        writer.go_on()


def test_two_handovers_at_once_move_the_primary_once_and_lose_nothing(real: RealCluster):
    source, target = real.primary, real.replicas[0]
    make_eligible(real, target)
    problems: list[Exception] = []

    def attempt() -> None:
        try:
            with real.redis(source).claim():
                handover(source, target, target, real.access, PAUSE_MS)
        except RedisClientError as e:
            problems.append(e)

    with real.writer() as writer:
        attempts = [threading.Thread(target=attempt) for _ in range(2)]
        for each in attempts:
            each.start()
        for each in attempts:
            each.join()
        if len(problems) == 2:
            # Both gave way; either may come again.
            handover(source, target, target, real.access, PAUSE_MS)
        real.eventually(lambda: real.named == {target}, "the target is primary")
        writer.go_on()
    assert all("being handed over" in str(p) or "no time" in str(p) for p in problems)
    assert writer.lost() == set()


def test_who_dies_in_the_pause_leaves_a_primary_that_serves(cluster: AnyCluster, monkeypatch):
    source, target = cluster.primary, cluster.replicas[0]
    make_eligible(cluster, target)

    def die(client, *command):
        if command[:2] == ("CLIENT", "UNPAUSE"):
            return None
        if command[:2] == ("INFO", "replication"):
            raise KeyboardInterrupt
        return ask(client, *command)

    monkeypatch.setattr(sentinel_module, "ask", die)
    with pytest.raises(KeyboardInterrupt):
        handover(source, target, target, cluster.access, PAUSE_MS)

    def is_writable_again() -> bool:
        try:
            return is_writable(cluster, source)
        except redis.RedisError:
            return False

    cluster.eventually(is_writable_again, "the pause ended by itself")
    assert cluster.redis(source).view().is_primary


def test_who_dies_after_the_order_leaves_it_to_the_sentinels(cluster: AnyCluster, monkeypatch):
    source, target = cluster.primary, cluster.replicas[0]
    make_eligible(cluster, target)
    ordered = threading.Event()

    def die(client, *command):
        if ordered.is_set():
            raise KeyboardInterrupt
        if command[:2] == ("SENTINEL", "FAILOVER"):
            ordered.set()
        return ask(client, *command)

    monkeypatch.setattr(sentinel_module, "ask", die)
    with cluster.writer() as writer:
        with pytest.raises(KeyboardInterrupt):
            handover(source, target, target, cluster.access, PAUSE_MS)
        monkeypatch.setattr(sentinel_module, "ask", ask)
        cluster.eventually(lambda: cluster.named == {target}, "the Sentinels went on")
        cluster.eventually(
            lambda: not cluster.redis(source).view().is_primary, "the old one was demoted"
        )
        writer.go_on()
    assert writer.lost() == set()
