# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Hook tools that fail, at the cost that they have: no unit in error, nothing lost, all right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import APP, ROOT, Cluster

Make = Callable[..., Cluster]
HARD_S = 400.0
"""For a step of a life in which each hook is begun anew a dozen times."""
COST: dict[str, Any] = {"tool_cost_ms": 5}
REST = {"relation-ids", "relation-list", "relation-get", "is-leader", "goal-state"}
REST |= {"secret-get", "config-get"}
"""What is asked at rest."""


def made_to_fail(cluster: Cluster) -> set[str]:
    """Return the tools that have failed."""
    lines = [line for line in cluster.model.log() if "made to fail: " in line]
    return {line.split("made to fail: ")[1].split(":")[0] for line in lines}


def rotate(cluster: Cluster, faults: str) -> None:
    """Change the exporter's password.

    Its action writes by two tools. When one fails after the other Juju takes both back and the
    operator orders it again, so no tool fails here; the hooks that follow are as before.
    """
    cluster.model.settings({"tool_faults": ""})
    result = cluster.model.run(cluster.leader(), "rotate-passwords", {"user": "exporter"})
    cluster.model.settings({"tool_faults": faults})
    assert result.status == "completed", result


def switch(cluster: Cluster, unit: str) -> None:
    """Make a unit the primary; the action may have to be ordered again."""

    def refused() -> list[str]:
        result = cluster.model.run(cluster.leader(), "switchover", {"unit": unit})
        return [] if cluster.primary() == unit else [f"switchover: {result.message}"]

    cluster.until(refused)


FIRST = ("goal-state", "secret-get", "secret-add", "is-leader", "relation-set", "status-set")


def test_tools_that_fail_once_in_each_hook_of_a_short_life(make_cluster: Make):
    cluster = make_cluster(1, tool_faults=",".join(f"{n}:first-hooks" for n in FIRST), **COST)
    cluster.model.add_unit(APP, 1)
    cluster.settle(2)
    switch(cluster, f"{APP}/1")
    cluster.model.remove_unit(APP, 1)
    cluster.settle(1)
    assert made_to_fail(cluster) == {*FIRST}


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("faults", ["*:first-hooks", "*:once-per-hook"])
def test_each_tool_fails_once_in_each_hook_of_a_life(tmp_path: Path, faults: str):
    cluster = Cluster("each-tool", tmp_path, tool_faults=faults, **COST)
    try:
        cluster.forming_limit_s = HARD_S
        cluster.form(3)
        switch(cluster, cluster.replicas()[0])
        cluster.settle(3, limit_s=HARD_S)
        cluster.model.add_unit(APP, 1)
        cluster.settle(4, limit_s=HARD_S)
        rotate(cluster, faults)
        cluster.settle(4, limit_s=HARD_S)
        cluster.model.remove_unit(APP, 1)
        cluster.settle(3, limit_s=HARD_S)
        cluster.model.refresh(APP, ROOT)
        cluster.settle(3, limit_s=HARD_S)
        assert made_to_fail(cluster) >= REST
    finally:
        cluster.destroy()


def test_units_go_on_while_goal_state_fails(trio: Cluster):
    trio.model.settings({"tool_faults": "goal-state:always"})
    try:
        trio.model.kill_pod(trio.primary())
        trio.settle()
    finally:
        trio.model.settings({"tool_faults": ""})


def test_passwords_that_are_refused_for_a_while_stay(trio: Cluster):
    before = trio.secret_values()
    trio.model.settings({"tool_faults": "secret-get:always"})
    try:
        for unit in trio.units():
            trio.tick(unit)
            assert trio.shows(unit, "waiting", "Waiting for Juju to give the passwords") == []
    finally:
        trio.model.settings({"tool_faults": ""})
    trio.settle(tick=True)
    assert trio.secret_values() == before


def tools_at_rest(cluster: Cluster, unit: str) -> dict[str, int]:
    """Run update-status on a unit; return the calls of each hook tool that it took."""
    since = len(cluster.model.hooks())
    cluster.tick(unit)
    (record,) = [
        each
        for each in cluster.model.hooks(since)
        if (each.unit, each.name) == (unit, "update-status")
    ]
    return dict(record.tools)


def test_at_rest_a_hook_asks_each_thing_once_and_says_nothing(trio: Cluster):
    trio.model.wait_idle(60, hold_s=3.0)
    for unit in trio.units():
        trio.tick(unit)
        # Any other hook may bring something new, so the next one looks.
        assert trio.model.run(unit, "check-service").status == "completed"
        tools = tools_at_rest(trio, unit)
        assert set(tools) <= REST
        assert sum(tools.values()) <= 8, tools
        # It found all right, so the one after it asks the nodes alone, by the charm's password.
        assert tools_at_rest(trio, unit) == {"secret-get": 1}


def test_a_hook_that_hears_something_new_looks(trio: Cluster):
    trio.model.wait_idle(60, hold_s=3.0)
    unit = trio.replicas()[0]
    trio.tick(unit)
    trio.tick(unit)
    assert tools_at_rest(trio, unit) == {"secret-get": 1}
    assert trio.ask(unit, "sentinel", f"SENTINEL SET {APP} quorum 3") == ["OK"]
    assert "relation-get" in tools_at_rest(trio, unit)
    # Quorums are the leader's to set.
    trio.settle(tick=True)
