# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Processes, pods and the leader die; nothing that was acknowledged is lost.

Every test ends in the fixture: all right again by itself, nothing lost, no unit ever in error.
"""

from __future__ import annotations

import pytest

from tests.lab.cluster import APP, Cluster
from trials.clients import wire

SETTINGS = {"lease_s": 4.0}


def recorded(trio: Cluster) -> list[str]:
    """Say what is wrong with the record; a condition for ``until``."""
    views = trio.views().values()
    named = {view.sentinel.primary_host if view.sentinel else None for view in views}
    record = trio.recorded_primary()
    if record is not None and named == {trio.host(record)}:
        return []
    return [f"the record is {record}, the Sentinels name {named}"]


def test_a_killed_primary_process_comes_back(trio: Cluster):
    trio.model.kill_process(trio.primary(), "redis", "redis-server")


@pytest.mark.long
def test_the_new_primary_dies_while_its_failover_ends(trio: Cluster):
    trio.switch_to(trio.replicas()[0])
    trio.model.kill_process(trio.primary(), "redis", "redis-server")


def test_a_killed_replica_process_comes_back_as_replica(trio: Cluster):
    primary, replica = trio.primary(), trio.replicas()[0]
    trio.model.kill_process(replica, "redis", wire.SERVER)
    trio.settle()
    assert trio.primary() == primary


def test_a_killed_sentinel_is_the_same_sentinel_again(trio: Cluster):
    unit = trio.primary()
    identity = trio.ask(unit, "sentinel", "SENTINEL MYID")
    trio.model.kill_process(unit, "sentinel", wire.SERVER)
    trio.settle()
    assert trio.ask(unit, "sentinel", "SENTINEL MYID") == identity
    assert trio.primary() == unit


def test_a_failover_is_recorded_without_update_status(trio: Cluster):
    primary = trio.primary()
    trio.model.elect(trio.replicas()[0])
    hooks = len(trio.model.hooks())
    # Frozen rather than killed: its own hooks can tell nobody.
    trio.model.freeze(primary)
    trio.until(lambda: [] if trio.recorded_primary() != primary else ["the record is old"])
    trio.model.thaw(primary)
    trio.until(lambda: recorded(trio))
    names = {hook.name for hook in trio.model.hooks(hooks)}
    assert "sentinel-pebble-custom-notice" in names
    assert "update-status" not in names


@pytest.mark.parametrize("graceful", [False, True])
def test_the_pod_of_the_primary_dies(trio: Cluster, graceful: bool):
    trio.model.kill_pod(trio.primary(), graceful=graceful)
    trio.settle()
    assert recorded(trio) == []


@pytest.mark.long
def test_the_pod_of_the_primary_stays_away_for_a_while(trio: Cluster):
    old = trio.primary()
    trio.model.kill_pod(old, hold_s=12)
    trio.until(lambda: [] if trio.recorded_primary() != old else ["the record is old"])
    trio.settle()
    assert trio.primary() != old


def test_all_pods_die_at_once(trio: Cluster):
    for unit in trio.units():
        trio.model.kill_pod(unit)


def kill_and_wait(trio: Cluster, unit: str) -> None:
    """Kill a pod and wait until the next one serves, but no longer."""
    address = trio.units()[unit]["address"]
    trio.model.kill_pod(unit)

    def not_back() -> list[str]:
        if trio.units()[unit]["address"] in ("", address):
            return [f"{unit} has no new pod"]
        view = trio.views()[unit]
        linked = view.redis and view.redis.link_up is not False
        return [] if linked and view.sentinel else [f"{unit} does not serve yet: {view}"]

    trio.until(not_back)


@pytest.mark.long
def test_ten_pod_kills_in_a_row_leave_every_sentinel_right(trio: Cluster):
    for turn in range(10):
        kill_and_wait(trio, f"{APP}/{turn % 3}")
    trio.settle()
    for view in trio.views().values():
        assert view.sentinel
        assert (view.sentinel.others, view.sentinel.checked) == (2, "OK")


@pytest.mark.long
def test_another_leader_repairs_what_is_wrong(trio: Cluster):
    leader = next(unit for unit in trio.replicas() if unit != trio.leader())
    trio.model.elect(leader)
    trio.model.wait_idle(60, hold_s=0.3)
    for unit, quorum in zip(trio.units(), (1, 3, 9), strict=True):
        assert trio.ask(unit, "sentinel", f"SENTINEL SET {APP} quorum {quorum}") == ["OK"]
    trio.tick(leader)
    assert [v.sentinel and v.sentinel.quorum for v in trio.views().values()] == [2, 2, 2]


@pytest.mark.long
def test_a_new_leader_records_the_failover_when_leader_and_primary_die(trio: Cluster):
    old = trio.primary()
    trio.model.elect(old)
    trio.until(lambda: [] if trio.leader() == old else ["not the leader yet"])
    trio.model.kill_pod(old, hold_s=15)
    trio.until(lambda: [] if trio.recorded_primary() != old else ["the record is old"])
    assert trio.leader() != old
