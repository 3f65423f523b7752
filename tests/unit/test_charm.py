# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The charm with ops.testing, on the in-memory cluster: what became of cluster and statuses."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ops import ModelError, Unit, hookcmds, testing

import constants as c
import pulse
import texts
from cluster.leaving import LEAVE_PATIENCE_S
from cluster.settings import sentinel_options
from engine import status
from engine.world import Config, World
from pod import workload
from service import labels, room
from service.view import ServiceView
from tests.unit.juju import APP, DOWN_AFTER_MS, PASSWORDS, Juju, host
from tests.unit.worlds import IMAGE

ACTIVE = testing.ActiveStatus()
Deploy = Callable[..., Juju]


def wake_runs(juju: Juju, number: int) -> bool:
    """Whether the hook asked for another turn, which is how an event is taken up again."""
    return c.WAKE_SERVICE in juju.services(number, c.SENTINEL) | juju.services(number, c.REDIS)


def is_quiet(juju: Juju) -> bool:
    """Whether a hook on each unit changes nothing any more."""
    return all(juju.update_status(n).unit_status == ACTIVE for n in range(juju.size))


# Birth


def born(juju: Juju) -> Juju:
    """Run Juju's first events on all units until they are at rest."""
    settle(juju)
    return juju


def test_before_the_peer_relation_there_is_nothing_to_do(deploy: Deploy):
    juju = deploy(1)
    after = juju.run(0, lambda on, _: on.config_changed(), relations=set())
    assert after.unit_status == testing.WaitingStatus(texts.NO_PEERS)


@pytest.mark.parametrize("exporter", [False, True])
def test_the_service_gets_its_ports(deploy: Deploy, exporter: bool, monkeypatch):
    path = "/bin/redis_exporter" if exporter else None
    image = replace(IMAGE, exporter=path)
    monkeypatch.setattr(workload.Workload, "image", lambda _: image)
    after = deploy(1).run(0, lambda on, _: on.config_changed())
    wanted = {c.REDIS_PORT, c.SENTINEL_PORT} | ({c.EXPORTER_PORT} if exporter else set())
    assert after.opened_ports == {testing.TCPPort(port) for port in wanted}


def test_the_ports_wait_for_the_container_and_cost_nothing_at_rest(deploy: Deploy, monkeypatch):
    juju = deploy(1)
    juju.set_container(0, c.REDIS, can_connect=False)
    assert juju.run(0, lambda on, _: on.config_changed()).opened_ports == set()
    juju.set_container(0, c.REDIS, can_connect=True)
    after = juju.run(0, lambda on, _: on.pebble_ready(juju.container(0, c.REDIS)))
    assert testing.TCPPort(c.REDIS_PORT) in after.opened_ports
    monkeypatch.setattr(Unit, "set_ports", lambda *_: pytest.fail("asked again"))
    juju.run(0, lambda on, _: on.update_status(), stored_states=after.stored_states)


def test_a_refusal_of_ports_stops_nothing(deploy: Deploy, monkeypatch):
    def refuse(*_: int) -> None:
        error = hookcmds.Error(returncode=1, cmd=["open-port"], stderr="ERROR no")
        raise ModelError("ERROR connection is shut down") from error

    # For the second time in this hook.
    monkeypatch.setenv("REDIS_K8S_TOOLS_THAT_FAILED", "open-port")

    monkeypatch.setattr(Unit, "set_ports", refuse)
    assert deploy(1).run(0, lambda on, _: on.config_changed()).opened_ports == set()


def test_the_leader_first_makes_the_passwords_and_names_itself(deploy: Deploy):
    juju = deploy(3)
    juju.begin(0)
    assert juju.app_data["leader-host"] == host(0)
    assert juju.secret is not None
    content = juju.secret.latest_content or juju.secret.tracked_content
    assert set(content) == {*PASSWORDS, "seal", "serial", "next", "previous"}
    # Nothing runs on what a failing hook could take back.
    assert juju.services(0, c.REDIS) == set()
    assert wake_runs(juju, 0) is False


def test_the_next_event_starts_everything_on_the_leader(deploy: Deploy):
    juju = deploy(3)
    juju.begin(0)
    juju.begin(0)
    assert c.REDIS in juju.services(0, c.REDIS)
    assert c.SENTINEL in juju.services(0, c.SENTINEL)
    assert juju.path(0, c.REDIS, c.BIRTH_PERMIT).exists()


def test_another_unit_waits_for_the_leader(deploy: Deploy):
    juju = deploy(3)
    assert juju.begin(1).unit_status == testing.WaitingStatus(texts.NO_PRIMARY)
    assert juju.services(1, c.REDIS) == set()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_units_form_one_cluster(deploy: Deploy, size):
    juju = born(deploy(size))
    assert juju.cluster.primaries == [host(0)]
    assert juju.cluster.is_at_rest()
    assert juju.app_data["initialised"] == "true"
    quorums = {watcher.quorum for watcher in juju.cluster.sentinels.values()}
    assert quorums == {size // 2 + 1}


def test_only_the_first_primary_may_start_empty(deploy: Deploy):
    juju = born(deploy(3))
    assert not juju.path(1, c.REDIS, c.BIRTH_PERMIT).exists()
    assert not juju.path(2, c.REDIS, c.BIRTH_PERMIT).exists()


def test_passwords_of_the_earlier_revision_keep_their_values_and_leave_the_databag(deploy: Deploy):
    juju = deploy(1)
    juju.app_data = {
        "redis-password": "old-admin",
        "sentinel-password": "old-sentinel",
        "leader-host": host(0),
    }
    juju.begin(0)
    # A unit of that revision would make others if it found none.
    assert juju.app_data["redis-password"] == "old-admin"
    juju.unit_data[0]["credentials-serial"] = "1"
    juju.begin(0)
    assert "redis-password" not in juju.app_data
    assert "sentinel-password" not in juju.app_data
    results = juju.action(0, "get-initial-admin-password")
    assert results == {"redis-password": "old-admin", "username": "default"}
    assert juju.action(0, "get-sentinel-password") == {"sentinel-password": "old-sentinel"}


def test_without_pebble_the_unit_says_so_and_nothing_fails(deploy: Deploy):
    juju = deploy(1)
    juju.set_container(0, c.REDIS, can_connect=False)
    juju.set_container(0, c.SENTINEL, can_connect=False)
    juju.begin(0)
    assert juju.begin(0).unit_status == testing.WaitingStatus(
        "Waiting for Kubernetes to start container redis and container sentinel"
    )


def test_without_storage_nothing_starts(deploy: Deploy):
    juju = deploy(1)
    juju.begin(0)
    after = juju.run(0, lambda on, _: on.update_status(), storages=set())
    assert after.unit_status == testing.WaitingStatus(texts.NO_STORAGE)
    assert juju.services(0, c.REDIS) == set()


# At rest


def test_at_rest_all_units_are_active_and_a_hook_changes_nothing(juju: Juju):
    assert is_quiet(juju)
    juju.cluster.asked.clear()
    before = dict(juju.app_data)
    assert juju.update_status(0).app_status == ACTIVE
    for number in (1, 2):
        juju.update_status(number)
    assert commands(juju) <= READS
    assert juju.app_data == before


def kept(juju: Juju, number: int, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run a hook that tells nothing, not the pod's first; return the notes that it leaves."""
    notes: list[Any] = []
    before = juju.update_status(number)
    monkeypatch.setattr(pulse, "keep", lambda env, question, heard: notes.append(heard))
    juju.run(number, lambda on, _: on.update_status(), stored_states=before.stored_states)
    return notes


def test_a_look_that_finds_all_right_leaves_a_note_for_the_next(juju: Juju, monkeypatch):
    for number in range(juju.size):
        (heard,) = kept(juju, number, monkeypatch)
        assert f"redis {host(number)}" in heard
        assert f"sentinel {host(0)}" in heard


def test_a_look_with_trouble_leaves_none(juju: Juju, monkeypatch):
    juju.cluster.redises[host(1)].persists = False
    assert kept(juju, 1, monkeypatch) == []


def test_a_look_with_something_to_say_leaves_none(juju: Juju, monkeypatch):
    stale = ServiceView(stale=True)
    monkeypatch.setattr(room.Room, "look", lambda _, world: replace(world, service=stale))
    assert kept(juju, 1, monkeypatch) == []
    assert juju.update_status(1).unit_status == testing.ActiveStatus(
        texts.SERVICE_STALE.format(app=APP)
    )


def test_a_look_that_had_something_to_do_leaves_none(juju: Juju, monkeypatch):
    juju.cluster.sentinels[host(1)].quorum = 3
    assert kept(juju, 1, monkeypatch) == []


def test_what_changes_in_the_middle_of_a_look_leaves_none(juju: Juju, monkeypatch):
    numbers = itertools.count()
    monkeypatch.setattr(pulse, "listen", lambda *_: {"redis": next(numbers)})
    assert kept(juju, 1, monkeypatch) == []


def test_another_hook_leaves_none(juju: Juju, monkeypatch):
    notes: list[object] = []
    monkeypatch.setattr(pulse, "keep", lambda *note: notes.append(note))
    juju.run(1, lambda on, _: on.config_changed())
    assert notes == []


@pytest.mark.parametrize("led_already", [False, True])
def test_who_may_have_become_primary_asks_its_own_nodes_first(
    juju: Juju, monkeypatch, led_already: bool
):
    roles = {f"{APP}-{n}": "primary" if n == 0 else "replica" for n in range(3)}
    wrong = {} if led_already else {f"{APP}-0": "replica", f"{APP}-1": "primary"}
    taken: list[labels.ServiceStep] = []
    asked: list[set[str]] = []

    def look(_: room.Room, world: World) -> World:
        asked.append({host for host, _, _ in juju.cluster.asked})
        return replace(world, service=ServiceView({**roles, **({} if taken else wrong)}))

    monkeypatch.setattr(room.Room, "may_lead", lambda *_: True)
    monkeypatch.setattr(room.Room, "look", look)
    monkeypatch.setattr(room.Room, "take", lambda _, step, world: taken.append(step))
    juju.cluster.asked.clear()
    juju.update_status(0)
    moved = labels.Label(((f"{APP}-0", "primary"), (f"{APP}-1", "replica")), host(0))
    assert taken == ([] if led_already else [moved])
    assert asked[0] == {host(0)}
    assert asked[1] == {host(n) for n in range(3)}


def test_juju_shows_the_version_of_redis(juju: Juju):
    assert juju.update_status(0).workload_version == juju.cluster.redis(host(0)).view().version


READS = {
    "ROLE",
    "INFO",
    "CONFIG GET",
    "PUBSUB NUMSUB",
    "LATENCY LATEST",
    "SENTINEL MASTER",
    "SENTINEL REPLICAS",
    "SENTINEL SENTINELS",
    "SENTINEL CKQUORUM",
    "SENTINEL DEBUG",
}


def commands(juju: Juju) -> set[str]:
    """Return the kinds of commands that were sent."""
    kinds = set()
    for _, _, words in juju.cluster.asked:
        kind = " ".join(words[:2])
        kinds.add(words[0] if words[0] in ("ROLE", "INFO") else kind)
    return kinds


def test_a_unit_that_does_not_lead_asks_only_itself_and_the_primary(juju: Juju):
    juju.cluster.asked.clear()
    juju.update_status(2)
    assert {asked for asked, _, _ in juju.cluster.asked} == {host(0), host(2)}


def test_the_leader_asks_all(juju: Juju):
    juju.cluster.asked.clear()
    juju.update_status(0)
    assert {asked for asked, _, _ in juju.cluster.asked} == {host(n) for n in range(3)}


# redis-peers-relation-changed, as specified


def failed_over(juju: Juju) -> str:
    """Let the Sentinels replace the primary; return the new one."""
    cluster = juju.cluster
    old = cluster.primary
    cluster.kill(old, "redis")
    cluster.eventually(lambda: old not in cluster.named, "the Sentinels name another")
    cluster.start_redis(old)
    cluster.settle()
    return cluster.primary


def test_a_recorded_primary_that_is_one_stays(juju: Juju):
    juju.changed(0, by=1)
    assert juju.app_data["leader-host"] == host(0)


def test_the_leader_records_whom_the_sentinels_name(juju: Juju):
    new = failed_over(juju)
    assert new != host(0)
    juju.changed(0, by=1)
    assert juju.app_data["leader-host"] == new


def test_a_unit_that_does_not_lead_records_nothing(juju: Juju):
    failed_over(juju)
    juju.changed(1, by=2)
    assert juju.app_data["leader-host"] == host(0)


def test_without_an_answer_the_record_stays(juju: Juju):
    failed_over(juju)
    for number in range(3):
        juju.cluster.kill(host(number), "sentinel")
    after = juju.changed(0, by=1)
    assert juju.app_data["leader-host"] == host(0)
    assert after.unit_status != ACTIVE


def lose_the_majority(juju: Juju) -> None:
    for number in (1, 2):
        juju.cluster.kill(host(number))
    juju.cluster.advance(3 * DOWN_AFTER_MS / 1000)


def test_without_a_majority_the_unit_waits_and_comes_back_to_it(juju: Juju):
    lose_the_majority(juju)
    after = juju.changed(0, by=1)
    few = testing.WaitingStatus(
        "Waiting for majority: 1 of 3 Sentinels answer, 2 are needed; "
        "no answer from redis-k8s/1, redis-k8s/2"
    )
    assert after.unit_status == after.app_status == few
    assert wake_runs(juju, 0)


def test_with_the_majority_back_the_unit_is_active_again(juju: Juju):
    lose_the_majority(juju)
    juju.changed(0, by=1)
    for number in (1, 2):
        juju.cluster.start(host(number))
    juju.cluster.settle()
    assert is_quiet(juju)


def test_the_quorum_goes_to_every_sentinel(juju: Juju):
    for watcher in juju.cluster.sentinels.values():
        watcher.quorum = 1
    assert juju.changed(0, by=1).unit_status == ACTIVE
    assert [s.quorum for s in juju.cluster.sentinels.values()] == [2, 2, 2]


def test_a_silent_sentinel_does_not_stop_the_others(juju: Juju, caplog):
    caplog.set_level(logging.DEBUG)
    for watcher in juju.cluster.sentinels.values():
        watcher.quorum = 1
    juju.cluster.kill(host(2), "sentinel")
    juju.changed(0, by=1)
    assert [s.quorum for s in juju.cluster.sentinels.values()] == [2, 2, 1]
    assert f"{host(2)}:26379 gives no answer" in caplog.text


def test_a_second_primary_is_demoted_by_its_own_unit(juju: Juju):
    juju.cluster.redises[host(2)].primary = None
    juju.update_status(2)
    assert juju.cluster.redises[host(2)].primary == host(0)


# redis-peers-relation-departed, leader


def remove(juju: Juju, *numbers: int) -> None:
    """Run Juju's hooks of a removal: each unit's own, the leader's, its end."""
    juju.dying |= set(numbers)
    for number in numbers:
        for _ in range(3):
            juju.departed(number, number)
        juju.stop(number)
        juju.gone.add(number)
        juju.dying.discard(number)
        juju.cluster.remove_stranger(host(number))
        juju.cluster.hosts = tuple(h for h in juju.cluster.hosts if h != host(number))
        if number != juju.leader:
            juju.departed(juju.leader, number)


def staying(juju: Juju) -> list[int]:
    return [n for n in range(juju.size) if n not in juju.gone]


def settle(juju: Juju) -> None:
    """Give each unit a hook a second until all are active."""
    shown = []
    for _ in range(40):
        shown = [juju.update_status(n).unit_status for n in staying(juju)]
        if all(each == ACTIVE for each in shown):
            return
        juju.cluster.advance(1.0)
    raise AssertionError(f"the units stay as they are: {shown}")


def known_hosts(juju: Juju) -> set[str]:
    return {
        known
        for watcher in juju.cluster.sentinels.values()
        for known in (*watcher.replicas, *watcher.others)
    }


def test_a_replica_that_left_is_forgotten_and_the_quorum_follows(deploy: Deploy):
    juju = deploy(4).form()
    remove(juju, 3)
    settle(juju)
    assert host(3) not in known_hosts(juju)
    assert {s.quorum for s in juju.cluster.sentinels.values()} == {2}


@pytest.mark.parametrize("leader", [0, 1])
def test_a_primary_that_leaves_hands_over_and_no_write_is_lost(deploy: Deploy, leader):
    juju = deploy(3).form()
    juju.leader = leader
    with juju.cluster.writer() as writer:
        juju.dying = {0}
        juju.departed(0, 0)
        assert juju.cluster.redises[host(0)].primary == host(1)
        juju.stop(0)
        assert not juju.cluster.redises[host(0)].running
        juju.gone, juju.dying, juju.leader = {0}, set(), 1
        juju.cluster.remove_stranger(host(0))
        juju.cluster.hosts = (host(1), host(2))
        settle(juju)
        writer.go_on()
    assert writer.lost() == set()
    assert juju.app_data["leader-host"] == host(1)
    assert host(0) not in known_hosts(juju)


def test_several_leave_with_the_primary_and_the_leader(deploy: Deploy):
    juju = deploy(5).form()
    with juju.cluster.writer() as writer:
        juju.leader = 3
        remove(juju, 0, 1, 2)
        settle(juju)
        writer.go_on()
    assert writer.lost() == set()
    assert known_hosts(juju) == {host(3), host(4)}
    assert {s.quorum for s in juju.cluster.sentinels.values()} == {2}


def test_the_stop_hook_ends_both_processes_and_leaves_no_sentinel_state(deploy: Deploy):
    juju = deploy(3).form()
    juju.dying = {2}
    juju.departed(2, 2)
    juju.stop(2)
    assert not juju.cluster.redises[host(2)].running
    assert not juju.cluster.sentinels[host(2)].running
    assert not juju.path(2, c.SENTINEL, c.SENTINEL_CONF).exists()


def leaves_alone(deploy: Deploy) -> Juju:
    """Return two units at rest of which the primary leaves, and the other has just died."""
    juju = deploy(2).form()
    juju.leader = 1
    juju.dying = {0}
    juju.cluster.kill(host(1))
    return juju


def later(juju: Juju, seconds: float, do: Callable[[], None]) -> None:
    """Have something happen while a hook runs."""
    due = juju.cluster.now + seconds

    def look() -> None:
        if juju.cluster.now >= due:
            juju.cluster.hooks.remove(look)
            do()

    juju.cluster.hooks.append(look)


def test_a_primary_does_not_leave_before_another_has_its_data(deploy: Deploy, monkeypatch):
    juju = leaves_alone(deploy)
    shown = []
    owing = status.owing
    monkeypatch.setattr(status, "owing", lambda why: shown.append(owing(why)) or shown[-1])

    def back() -> None:
        juju.cluster.start_sentinel(host(1), host(0), 1)
        juju.cluster.start_redis(host(1))

    later(juju, 100, back)
    began = juju.cluster.now
    with juju.cluster.writer() as writer:
        juju.stop(0)
        assert juju.cluster.redises[host(1)].primary is None
        juju.cluster.hosts = (host(1),)
        writer.go_on()
    assert writer.lost() == set()
    assert not juju.cluster.redises[host(0)].running
    assert not juju.cluster.sentinels[host(0)].running
    assert 100 < juju.cluster.now - began < 120
    unfit = texts.WHY_NOBODY_FIT.format(units="redis-k8s/1 gives no answer")
    assert testing.WaitingStatus(f"Leaving: {unfit}") in shown


def test_a_primary_that_waits_in_vain_leaves_in_the_end(deploy: Deploy):
    juju = leaves_alone(deploy)
    began = juju.cluster.now
    juju.stop(0)
    assert not juju.cluster.redises[host(0)].running
    assert LEAVE_PATIENCE_S < juju.cluster.now - began < LEAVE_PATIENCE_S + 20


def test_a_primary_that_waits_goes_when_all_go(deploy: Deploy):
    juju = leaves_alone(deploy)
    later(juju, 30, lambda: juju.dying.add(1))
    began = juju.cluster.now
    juju.stop(0)
    assert not juju.cluster.redises[host(0)].running
    # As for any application that may come back from its volumes.
    assert juju.path(0, c.SENTINEL, c.SENTINEL_CONF).exists()
    assert juju.cluster.now - began < 40


def test_while_it_waits_juju_may_give_no_answer(deploy: Deploy, monkeypatch):
    juju = leaves_alone(deploy)
    asked = hookcmds.goal_state

    def away() -> hookcmds.GoalState:
        raise hookcmds.Error(returncode=1, cmd=["goal-state"], stderr="connection is shut down")

    later(juju, 10, lambda: monkeypatch.setattr(hookcmds, "goal_state", away))
    later(juju, 30, lambda: monkeypatch.setattr(hookcmds, "goal_state", asked))
    later(juju, 30, lambda: juju.dying.add(1))
    juju.stop(0)
    assert not juju.cluster.redises[host(0)].running


def test_the_last_unit_keeps_its_sentinel_state_for_when_it_comes_back(deploy: Deploy):
    juju = deploy(1).form()
    juju.dying = {0}
    juju.stop(0)
    assert not juju.cluster.redises[host(0)].running
    assert juju.path(0, c.SENTINEL, c.SENTINEL_CONF).exists()


def test_the_stop_hook_of_a_pod_that_comes_back_ends_nothing_for_good(juju: Juju):
    juju.stop(2)
    assert juju.path(2, c.SENTINEL, c.SENTINEL_CONF).exists()
    assert juju.cluster.sentinels[host(2)].primary == host(0)


def test_during_a_failover_the_unit_waits_and_comes_back_to_it(juju: Juju):
    juju.cluster.redises[host(1)].frozen = True
    watcher = juju.cluster.sentinels[host(0)]
    juju.cluster.sentinel(host(0)).force_failover()
    assert watcher.failover
    juju.dying = {2}
    after = juju.departed(0, 2)
    assert after.unit_status == testing.WaitingStatus(
        "A failover is under way: another unit takes over from redis-k8s/0"
    )
    assert wake_runs(juju, 0)


def test_a_handover_that_redis_refuses_blocks_with_the_reason(juju: Juju):
    juju.dying = {0}
    refuse(juju, "SENTINEL FAILOVER", "NOGOODSLAVE No suitable replica to promote")
    after = juju.departed(0, 0)
    assert isinstance(after.unit_status, testing.BlockedStatus)
    assert "NOGOODSLAVE" in after.unit_status.message
    assert juju.cluster.redises[host(0)].paused_until == 0.0
    assert juju.cluster.primaries == [host(0)]


def refuse(juju: Juju, command: str, reason: str) -> None:
    """Have every node refuse a command."""
    import redis

    def check(_: str, words: tuple[object, ...]) -> None:
        if " ".join(map(str, words)).startswith(command):
            raise redis.ResponseError(reason)

    juju.cluster.before_command = check


# Failures of what is around


def test_a_pod_that_lost_its_files_gets_them_again(juju: Juju):
    before = juju.file(1, c.REDIS, c.REDIS_CONF)
    juju.cluster.kill(host(1))
    juju.set_container(1, c.REDIS, layers={}, service_statuses={})
    juju.set_container(1, c.SENTINEL, layers={}, service_statuses={})
    juju.path(1, c.REDIS, c.REDIS_CONF).unlink()
    conf = juju.path(1, c.SENTINEL, c.SENTINEL_CONF)
    kept = conf.read_text() + "sentinel myid 0123\n"
    conf.write_text(kept)
    juju.update_status(1)
    assert juju.file(1, c.REDIS, c.REDIS_CONF) == before
    # The Sentinel is the same one as before.
    assert "sentinel myid 0123" in conf.read_text()
    settle(juju)
    assert juju.cluster.redises[host(1)].primary == host(0)


def test_a_sentinel_conf_of_another_application_is_not_used(juju: Juju):
    juju.cluster.kill(host(1))
    juju.set_container(1, c.REDIS, layers={}, service_statuses={})
    juju.set_container(1, c.SENTINEL, layers={}, service_statuses={})
    conf = juju.path(1, c.SENTINEL, c.SENTINEL_CONF)
    conf.write_text("sentinel monitor other 10.1.1.1 6379 2\n")
    (conf.parent / "owner").write_text("somebody else")
    juju.update_status(1)
    assert "other" not in conf.read_text()
    assert f"sentinel monitor redis-k8s {host(0)} 6379 2" in conf.read_text()


@pytest.mark.parametrize(
    "harm",
    [
        lambda cluster: cluster.kill(host(2)),
        lambda cluster: cluster.freeze(host(2)),
        lambda cluster: cluster.cut.add(host(2)),
        lambda cluster: cluster.unresolvable.add(host(2)),
        lambda cluster: cluster.passwords.update(
            {("redis", host(2)): "changed", ("sentinel", host(2)): "changed"}
        ),
        lambda cluster: setattr(cluster.redises[host(2)], "loading", True),
    ],
    ids=["dead", "frozen", "cut off", "no such name", "wrong password", "loading"],
)
def test_a_peer_in_trouble_fails_no_hook_and_the_leader_goes_on(juju: Juju, harm):
    harm(juju.cluster)
    for number in range(3):
        juju.update_status(number)
        juju.changed(number, by=(number + 1) % 3)
    assert juju.cluster.primaries == [host(0)]
    assert juju.app_data["leader-host"] == host(0)


def test_all_nodes_silent_fails_no_hook(juju: Juju):
    for number in range(3):
        juju.cluster.freeze(host(number))
    for number in range(3):
        shown = juju.update_status(number).unit_status
        assert shown == testing.WaitingStatus("Waiting for Sentinel to answer on port 26379")


def test_an_adapter_error_in_a_step_leaves_the_others_their_chance(juju: Juju, caplog):
    for watcher in juju.cluster.sentinels.values():
        watcher.quorum = 1
    refuse(juju, "CONFIG SET", "no")
    juju.cluster.redises[host(0)].settings["min-replicas-max-lag"] = "9"
    juju.update_status(0)
    assert [s.quorum for s in juju.cluster.sentinels.values()] == [2, 2, 2]
    assert "SetRedis failed" in caplog.text


def test_a_pebble_that_goes_away_in_the_middle_fails_no_hook(juju: Juju):
    juju.set_container(1, c.REDIS, can_connect=False)
    juju.set_container(1, c.SENTINEL, can_connect=False)
    assert juju.update_status(1).unit_status == testing.WaitingStatus(
        "Waiting for Kubernetes to start container redis and container sentinel"
    )


def test_a_changed_password_of_the_charms_user_is_given_back(juju: Juju):
    juju.cluster.passwords["redis", host(1)] = "changed by hand"
    after = juju.update_status(1)
    assert ("redis", host(1)) not in juju.cluster.passwords
    assert after.unit_status == ACTIVE


def test_a_login_that_cannot_be_mended_blocks_and_says_what_to_do(juju: Juju):
    juju.cluster.passwords["redis", host(1)] = "changed by hand"
    juju.cluster.admin_passwords["redis", host(1)] = "changed too"
    assert juju.update_status(1).unit_status == testing.BlockedStatus(
        "Redis refuses the charm: give users default and operator all rights and their passwords"
    )


def test_redis_that_cannot_persist_blocks(juju: Juju):
    juju.cluster.redises[host(1)].persists = False
    assert juju.update_status(1).unit_status == testing.BlockedStatus(
        "Redis cannot write to its volume: kubectl logs redis-k8s-1 -c redis says why"
    )


def test_a_full_volume_blocks(juju: Juju, monkeypatch):
    usage = (1, 1, c.MIN_FREE_BYTES - 1)
    shown = type("Usage", (), dict(zip(("total", "used", "free"), usage, strict=True)))
    monkeypatch.setattr("shutil.disk_usage", lambda path: shown)
    assert juju.update_status(1).unit_status == testing.BlockedStatus(
        "The volume is full (1023 KiB left): free space on it, or grow its claim with kubectl"
    )


def test_redis_that_loads_its_data_is_no_service_yet(juju: Juju):
    juju.cluster.redises[host(1)].loading = True
    assert juju.update_status(1).unit_status == testing.MaintenanceStatus(texts.LOADING)
    assert juju.action(1, "check-service")["result"] == "Service is not running"


# Configuration


def test_a_changed_option_reaches_the_sentinels_and_redis(juju: Juju):
    juju.config = {"down-after": 5000}
    for number in range(3):
        juju.run(number, lambda on, _: on.config_changed())
    wanted = sentinel_options(World("redis-k8s", host(0), config=Config(5000)))
    for watcher in juju.cluster.sentinels.values():
        assert watcher.options["down-after-milliseconds"] == "5000"
        assert watcher.options | watcher.periods_ms == wanted
    assert juju.cluster.redises[host(1)].settings["min-replicas-max-lag"] == "3"


def test_options_of_redis_reach_each_unit_and_its_next_start(juju: Juju):
    juju.config = {"maxmemory": "64M", "maxmemory-policy": "allkeys-lru"}
    for number in range(3):
        juju.run(number, lambda on, _: on.config_changed())
        settings = juju.cluster.redises[host(number)].settings
        assert settings["maxmemory"] == "67108864"
        assert settings["maxmemory-policy"] == "allkeys-lru"
        lines = juju.file(number, c.REDIS, c.REDIS_CONF).splitlines()
        assert {"maxmemory 67108864", "maxmemory-policy allkeys-lru"} <= set(lines)
    assert is_quiet(juju)


def test_a_wrong_option_of_redis_blocks_and_changes_nothing(juju: Juju):
    files = juju.file(0, c.REDIS, c.REDIS_CONF)
    juju.config = {"maxmemory": "64M", "maxmemory-policy": "lru"}
    after = juju.run(0, lambda on, _: on.config_changed())
    assert isinstance(after.unit_status, testing.BlockedStatus)
    assert "maxmemory-policy" in after.unit_status.message
    assert juju.cluster.redises[host(0)].settings["maxmemory"] == "0"
    assert juju.file(0, c.REDIS, c.REDIS_CONF) == files


@pytest.mark.parametrize("value", [-1, 0, 5, 10**9])
def test_a_value_out_of_bounds_blocks_and_changes_nothing(juju: Juju, value):
    before = {h: dict(s.options) for h, s in juju.cluster.sentinels.items()}
    files = juju.file(0, c.REDIS, c.REDIS_CONF)
    juju.config = {"down-after": value}
    for number in range(3):
        after = juju.run(number, lambda on, _: on.config_changed())
        assert isinstance(after.unit_status, testing.BlockedStatus)
        assert "down-after" in after.unit_status.message
    assert {h: s.options for h, s in juju.cluster.sentinels.items()} == before
    assert juju.file(0, c.REDIS, c.REDIS_CONF) == files


def test_a_value_set_right_again_is_active_again(juju: Juju):
    juju.config = {"down-after": 5}
    juju.update_status(0)
    juju.config = {}
    assert is_quiet(juju)


# Actions


def test_check_service_on_the_primary(juju: Juju):
    assert juju.action(0, "check-service") == {
        "result": "Service is running",
        "role": "primary",
        "replicas-in-step": "2",
        "sentinel": "running",
        "sentinel-primary": host(0),
        "sentinel-primary-unit": "redis-k8s/0",
        "sentinel-quorum": "2",
        "sentinel-majority": "yes",
        "sentinel-replicas": "2",
        "sentinel-others": "2",
    }


def test_check_service_on_a_replica(juju: Juju):
    results = juju.action(1, "check-service")
    assert results["result"] == "Service is running"
    assert (results["role"], results["primary"], results["link"]) == ("replica", host(0), "up")
    assert results["primary-unit"] == results["sentinel-primary-unit"] == "redis-k8s/0"


def test_check_service_says_when_a_replica_is_not_in_sync(juju: Juju):
    juju.cluster.kill(host(0), "redis")
    juju.cluster.advance(0.1)
    results = juju.action(1, "check-service")
    assert (results["result"], results["link"]) == ("Service is not running", "down")


def test_check_service_with_nothing_running(juju: Juju):
    juju.cluster.kill(host(1))
    results = juju.action(1, "check-service")
    assert results == {"result": "Service is not running", "sentinel": "no answer"}


def test_check_service_changes_nothing(juju: Juju):
    juju.cluster.sentinels[host(0)].quorum = 1
    juju.cluster.asked.clear()
    juju.action(0, "check-service")
    assert commands(juju) <= READS


@pytest.mark.parametrize("number", [0, 1])
def test_every_unit_returns_the_passwords(juju: Juju, number):
    results = juju.action(number, "get-initial-admin-password")
    assert results == {"redis-password": "admin-pw", "username": "default"}
    assert juju.action(number, "get-sentinel-password") == {
        "sentinel-password": "sentinel-admin-pw"
    }


def test_before_there_are_passwords_the_actions_say_so(deploy: Deploy):
    with pytest.raises(testing.ActionFailed, match="has not made the passwords yet"):
        deploy(1).action(0, "get-initial-admin-password")


def test_a_switchover_moves_the_primary_and_loses_nothing(juju: Juju):
    with juju.cluster.writer() as writer:
        assert juju.action(0, "switchover", unit="redis-k8s/2") == {"primary": "redis-k8s/2"}
        settle(juju)
        writer.go_on()
    assert juju.cluster.primaries == [host(2)]
    assert writer.lost() == set()
    assert juju.app_data["leader-host"] == host(2)


def test_a_switchover_without_a_unit_chooses_one(juju: Juju):
    chosen = juju.action(0, "switchover")["primary"]
    assert chosen in ("redis-k8s/1", "redis-k8s/2")
    settle(juju)
    assert juju.cluster.primaries != [host(0)]


def test_a_switchover_to_the_primary_is_done_already(juju: Juju):
    assert juju.action(0, "switchover", unit="redis-k8s/0") == {"primary": "redis-k8s/0"}


@pytest.mark.parametrize(
    ("number", "unit", "reason"),
    [
        (1, "redis-k8s/2", "Run this action on the leader"),
        (0, "redis-k8s/9", "redis-k8s/9 is not a unit of this application"),
        (0, "nonsense", "nonsense is not a unit of this application"),
    ],
)
def test_a_switchover_that_cannot_be_says_why(juju: Juju, number, unit, reason):
    with pytest.raises(testing.ActionFailed, match=reason):
        juju.action(number, "switchover", unit=unit)
    assert juju.cluster.primaries == [host(0)]


def test_a_switchover_with_nobody_in_sync_fails_and_says_why(juju: Juju):
    juju.cluster.kill(host(2), "redis")
    with pytest.raises(testing.ActionFailed, match="no replica is in sync"):
        juju.action(0, "switchover", unit="redis-k8s/2")
    assert juju.cluster.primaries == [host(0)]


def test_a_switchover_that_sentinel_refuses_fails_and_says_why(juju: Juju):
    refuse(juju, "SENTINEL FAILOVER", "NOGOODSLAVE No suitable replica to promote")
    with pytest.raises(testing.ActionFailed, match="NOGOODSLAVE"):
        juju.action(0, "switchover", unit="redis-k8s/2")
    assert juju.cluster.primaries == [host(0)]


# Secrets


def test_no_password_is_in_a_databag_a_plan_a_status_or_a_log(deploy: Deploy, caplog):
    caplog.set_level(logging.DEBUG)
    juju = born(deploy(3))
    assert juju.secret is not None
    content = juju.secret.latest_content or juju.secret.tracked_content
    assert content is not None
    passwords = [content[key] for key in (*PASSWORDS, "seal")]
    assert len(set(passwords)) == len(PASSWORDS) + 1
    assert all(len(password) >= 32 for password in passwords)
    places = [caplog.text, repr(juju.app_data), repr(juju.unit_data)]
    for number in range(3):
        after = juju.update_status(number)
        places.append(repr(after.unit_status) + repr(after.app_status))
        for name in (c.REDIS, c.SENTINEL):
            places.append(str(juju.container(number, name).plan.to_dict()))
    for password in passwords:
        assert not any(password in place for place in places)


def test_files_with_passwords_are_for_their_user_only(deploy: Deploy):
    juju = born(deploy(1))
    for container, path in (
        (c.REDIS, c.REDIS_CONF),
        (c.REDIS, c.USERS_ACL),
        (c.REDIS, c.CLUSTER_ENV),
        (c.SENTINEL, c.CLUSTER_ENV),
    ):
        # The group is that of the user.
        assert juju.path(0, container, path).stat().st_mode & 0o777 == 0o640
