# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Growing and shrinking under writes, whatever the Juju version tells and removes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lab.cluster import APP, PORTS, Cluster

Make = Callable[..., Cluster]


def grow(cluster: Cluster, units: int) -> None:
    cluster.model.add_unit(APP, units - len(cluster.units()))
    cluster.settle(units)


def shrink(cluster: Cluster, units: int) -> list[str]:
    """Remove all but so many units at once, and return which went."""
    leaving = cluster.model.remove_unit(APP, len(cluster.units()) - units)
    cluster.settle(units)
    return sorted(leaving)


def to_zero_and_back(cluster: Cluster, units: int) -> None:
    """Remove every unit, add some again: the data are those of the volumes."""
    cluster.model.remove_unit(APP, len(cluster.units()))
    cluster.until(lambda: list(cluster.units()))
    cluster.model.add_unit(APP, units)
    cluster.settle(units)


def test_one_three_five_three_one_zero_three(make_cluster: Make):
    cluster = make_cluster(1, departed="early", leavers="highest")
    grow(cluster, 3)
    grow(cluster, 5)
    cluster.switch_to(f"{APP}/4")
    assert shrink(cluster, 3) == [f"{APP}/3", f"{APP}/4"]
    cluster.switch_to(f"{APP}/2")
    cluster.model.elect(f"{APP}/2")
    assert shrink(cluster, 1) == [f"{APP}/1", f"{APP}/2"]
    to_zero_and_back(cluster, 3)


@pytest.mark.long
@pytest.mark.parametrize("departed", ["late", "never"])
def test_the_lowest_leave_primary_and_leader_among_them(make_cluster: Make, departed: str):
    cluster = make_cluster(3, departed=departed, leavers="lowest")
    assert cluster.primary() == cluster.leader() == f"{APP}/0"
    assert shrink(cluster, 1) == [f"{APP}/0", f"{APP}/1"]
    grow(cluster, 3)


@pytest.mark.long
def test_five_to_one_at_once_to_zero_and_back_with_nobody_told(make_cluster: Make):
    cluster = make_cluster(5, departed="never", leavers="highest")
    cluster.switch_to(f"{APP}/3")
    shrink(cluster, 1)
    to_zero_and_back(cluster, 3)


@pytest.mark.parametrize("killed", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_primary_leaves_when_a_unit_that_stays_has_its_data(make_cluster: Make, killed: bool):
    cluster = make_cluster(2)
    stays, leaves = f"{APP}/0", f"{APP}/1"
    cluster.switch_to(leaves)
    cluster.model.kill_pod(stays, hold_s=15)
    cluster.model.remove_unit(APP)
    reason = "Leaving: no replica is in sync to take over"
    # The pod that is back may be in sync, and the unit gone, before anybody has looked.
    cluster.until(lambda: cluster.showed(leaves, "waiting", reason))
    if killed:
        cluster.model.kill_pod(leaves)
    cluster.settle(1)


@pytest.mark.long
def test_two_that_follow_each_other_are_untied(make_cluster: Make):
    """As after a handover whose target dies before any Sentinel has seen its promotion."""
    cluster = make_cluster(2)
    old, target = cluster.primary(), cluster.replicas()[0]
    cluster.ask(target, "redis", "CONFIG SET replica-priority 0")
    cluster.ask(old, "redis", f"REPLICAOF {cluster.host(target)} {PORTS['redis']}")
    cluster.settle(2)
    assert cluster.primary() == target
