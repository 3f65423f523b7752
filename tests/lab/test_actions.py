# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Actions and options on a running cluster."""

from __future__ import annotations

import pytest

from constants import DOWN_AFTER_LIMITS_MS
from tests.lab.cluster import APP, PORTS, Cluster, cli
from trials.clients import wire


def test_check_service_says_what_is_so_and_changes_nothing(trio: Cluster):
    model, primary = trio.model, trio.primary()

    def state() -> tuple[object, ...]:
        statuses = {unit: shown["workload"] for unit, shown in trio.units().items()}
        return statuses, model.databags(APP), trio.views()

    before = state()
    for unit in trio.units():
        results = model.run(unit, "check-service").results
        assert results["result"] == "Service is running"
        assert results["role"] == ("primary" if unit == primary else "replica")
        if unit == primary:
            assert results["replicas-in-step"] == "2"
        else:
            assert (results["primary"], results["link"]) == (trio.host(primary), "up")
            assert results["primary-unit"] == primary
        expected = {
            "sentinel": "running",
            "sentinel-primary": trio.host(primary),
            "sentinel-primary-unit": primary,
            "sentinel-quorum": "2",
            "sentinel-majority": "yes",
            "sentinel-replicas": "2",
            "sentinel-others": "2",
        }
        assert {name: results[name] for name in expected} == expected
    assert state() == before


def test_check_service_tells_of_a_redis_that_stands_still(trio: Cluster):
    unit = trio.replicas()[0]
    trio.model.freeze(unit, "redis", wire.SERVER)
    try:
        results = trio.model.run(unit, "check-service").results
        assert results["result"] == "Service is not running"
        assert "role" not in results
        assert results["sentinel"] == "running"
    finally:
        trio.model.thaw(unit, "redis", wire.SERVER)


def test_check_service_tells_of_a_sentinel_that_stands_still(trio: Cluster):
    unit = trio.replicas()[0]
    trio.model.freeze(unit, "sentinel", wire.SERVER)
    try:
        results = trio.model.run(unit, "check-service").results
        assert results["result"] == "Service is running"
        assert results["sentinel"] == "no answer"
    finally:
        trio.model.thaw(unit, "sentinel", wire.SERVER)


@pytest.mark.parametrize(
    ("kind", "action", "key"),
    [
        ("redis", "get-initial-admin-password", "redis-password"),
        ("sentinel", "get-sentinel-password", "sentinel-password"),
    ],
)
def test_the_passwords_log_in_everywhere(trio: Cluster, kind: str, action: str, key: str):
    given = {trio.model.run(unit, action).results[key] for unit in trio.units()}
    assert len(given) == 1
    text = f"AUTH default {given.pop()}\nPING\n"
    for unit in trio.units():
        said = trio.model.exec(unit, kind, cli(kind), stdin=text).stdout
        assert said.split() == ["OK", "PONG"]


def test_switchover_moves_the_primary_to_a_unit(trio: Cluster):
    target = trio.replicas()[-1]
    result = trio.model.run(trio.leader(), "switchover", {"unit": target})
    assert (result.status, result.results["primary"]) == ("completed", target)
    assert trio.primary() == target
    trio.until(lambda: [] if trio.recorded_primary() == target else ["the record is old"])


def test_switchover_chooses_a_replica_by_itself(trio: Cluster):
    before = trio.primary()
    result = trio.model.run(trio.leader(), "switchover")
    assert result.status == "completed", result
    assert trio.primary() == result.results["primary"] != before


def test_switchover_to_the_primary_changes_nothing(trio: Cluster):
    primary = trio.primary()
    epochs = [v.sentinel and v.sentinel.epoch for v in trio.views().values()]
    result = trio.model.run(trio.leader(), "switchover", {"unit": primary})
    assert (result.status, result.results["primary"]) == ("completed", primary)
    assert [v.sentinel and v.sentinel.epoch for v in trio.views().values()] == epochs


def test_switchover_is_the_leaders(trio: Cluster):
    primary, leader = trio.primary(), trio.leader()
    other = next(unit for unit in trio.units() if unit != leader)
    result = trio.model.run(other, "switchover")
    assert (result.status, result.message) == ("failed", "Run this action on the leader")
    assert trio.primary() == primary


@pytest.mark.parametrize("unit", [f"{APP}/9", "postgresql/0", "nonsense", f"{APP}/x"])
def test_switchover_refuses_what_is_no_unit(trio: Cluster, unit: str):
    primary = trio.primary()
    result = trio.model.run(trio.leader(), "switchover", {"unit": unit})
    assert result.status == "failed"
    assert "is not a unit of this application" in result.message
    assert trio.primary() == primary


def test_switchover_to_a_unit_that_is_not_fit_leaves_all_as_it_is(trio: Cluster):
    primary, target = trio.primary(), trio.replicas()[0]
    trio.model.freeze(target, "redis", wire.SERVER)
    try:
        result = trio.model.run(trio.leader(), "switchover", {"unit": target})
        assert result.status == "failed"
        assert result.message.startswith("The primary stays as it is")
    finally:
        trio.model.thaw(target, "redis", wire.SERVER)
    assert trio.primary() == primary


def down_after(trio: Cluster) -> set[int]:
    """Return the values that the Sentinels have."""
    found = set()
    for unit in trio.units():
        lines = trio.ask(unit, "sentinel", f"SENTINEL MASTER {APP}")
        found.add(int(lines[lines.index("down-after-milliseconds") + 1]))
    return found


def runs(trio: Cluster) -> list[str]:
    """Return what changes when a process starts anew, of every Redis and Sentinel."""
    return [
        line
        for unit in trio.units()
        for kind in PORTS
        for line in trio.ask(unit, kind, "INFO server")
        if line.startswith("run_id")
    ]


def test_down_after_reaches_every_sentinel_without_a_restart(trio: Cluster):
    before = runs(trio)
    default = trio.model.config(APP)["down-after"]
    assert down_after(trio) == {default}
    for value in (default + 1000, default):
        trio.model.config(APP, {"down-after": value})
        trio.until(lambda: [f"{ms} ms" for ms in down_after(trio) ^ {value}])  # noqa: B023
    assert len(before) == 6
    assert runs(trio) == before


def test_a_bad_down_after_is_refused_and_what_runs_stays(trio: Cluster):
    low, high = DOWN_AFTER_LIMITS_MS
    before = (runs(trio), down_after(trio), trio.recorded_primary())
    for value in (low - 1, high + 1):
        trio.model.config(APP, {"down-after": value})
        words = f"Set down-after to a value from {low} to {high}"
        for unit in trio.units():
            trio.until(lambda: trio.shows(unit, "blocked", words))  # noqa: B023
        assert (runs(trio), down_after(trio), trio.recorded_primary()) == before
        assert trio.not_served() == []
    trio.model.config(APP, {"down-after": None})


def test_options_of_redis_reach_all_units_and_outlive_a_start(trio: Cluster):
    wanted = {"maxmemory": "64M", "maxmemory-policy": "allkeys-lru", "timeout": 3600}
    shown = ["maxmemory", "67108864", "maxmemory-policy", "allkeys-lru", "timeout", "3600"]

    def missing() -> list[str]:
        names = " ".join(wanted)
        found = {unit: trio.ask(unit, "redis", f"CONFIG GET {names}") for unit in trio.alive()}
        return [
            f"{unit}: {lines}" for unit, lines in found.items() if sorted(lines) != sorted(shown)
        ]

    trio.model.config(APP, wanted)
    trio.until(missing)
    trio.model.kill_process(trio.replicas()[0], "redis", wire.SERVER)
    trio.settle()
    assert missing() == []
    # A wrong value changes nothing.
    trio.model.config(APP, {"maxmemory-policy": "lru"})
    trio.until(lambda: trio.shows(APP, "blocked", "Set maxmemory-policy to one of"))
    assert missing() == []
    trio.model.config(APP, dict.fromkeys(wanted))
    trio.until(lambda: [] if missing() else ["the options are still set"])
