# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Every volume of the application is lost: it waits for a decision, and begins anew by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from trials.cluster import APP, Cluster
from trials.waiting import until

AWAY_S = 3.0
LIMIT_S = 180.0
"""A unit with data is set free a minute after the primary was lost."""
WORDS = "No unit has any data"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster("test-lost-volumes")
    try:
        cluster.form(3)
        yield cluster
    finally:
        cluster.destroy()


def lose(cluster: Cluster, units: list[str]) -> None:
    """Kill all pods; those of some units find their volumes empty when they are back."""
    for unit in cluster.alive():
        cluster.model.kill_pod(unit, hold_s=AWAY_S)
    for unit in units:
        cluster.model.empty_disk(unit, "database")


def is_right(cluster: Cluster) -> None:
    """Wait until all is right and shows it."""
    found = cluster.until_right(3, lambda: cluster.not_active(3), LIMIT_S)
    assert found.since_s is not None, (found.missing, cluster.model.log()[-60:])


def says_so(cluster: Cluster) -> None:
    """Wait until the application is blocked by it."""

    def missing() -> list[str]:
        status = cluster.model.status()["applications"][APP]["status"]
        at = status["current"], status["message"].startswith(WORDS)
        return [] if at == ("blocked", True) else [str(status)]

    found = until(missing, LIMIT_S, hold_s=0.0)
    assert found.since_s is not None, (found.missing, cluster.model.log()[-60:])


def test_nobody_begins_without_data_before_the_operator_says_so(cluster: Cluster):
    lose(cluster, cluster.alive())
    says_so(cluster)
    assert cluster.primary() is None
    leader = cluster.leader()
    wrong = cluster.model.run(leader, "start-empty", {"application": "other"})
    assert (wrong.status, APP in wrong.message) == ("failed", True)
    begun = cluster.model.run(leader, "start-empty", {"application": APP})
    assert begun.status == "completed", begun.message
    is_right(cluster)
    again = cluster.model.run(cluster.leader(), "start-empty", {"application": APP})
    assert (again.status, "has data" in again.message) == ("failed", True)


@pytest.mark.long
def test_a_cache_begins_by_itself_but_not_while_one_unit_has_data(cluster: Cluster):
    cluster.model.config(APP, {"start-empty": True})
    primary, *_, kept = cluster.alive()
    assert cluster.ask(primary, "redis", "SET kept yes", "WAIT 2 5000") == ["OK", "2"]
    lose(cluster, [unit for unit in cluster.alive() if unit != kept])
    is_right(cluster)
    assert cluster.ask(kept, "redis", "GET kept") == ["yes"]
    lose(cluster, cluster.alive())
    is_right(cluster)
    assert cluster.ask(kept, "redis", "GET kept") == [""]
