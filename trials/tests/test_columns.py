# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What Redis adds to the lab's table of statuses."""

from collections.abc import Mapping
from typing import Any

import pytest

from lab import Model
from lab.cli import main as cli
from trials import columns
from trials.clients.topology import NodeView, RedisView
from trials.columns import RedisColumns

ACTIVE = {"current": "active", "message": ""}
UNIT = {
    "workload": ACTIVE,
    "agent": {"current": "idle", "message": ""},
    "leader": True,
    "address": "10.1.0.11",
    "host": "a-0",
    "life": "alive",
    "version": "",
}


def status(*containers: str) -> dict[str, Any]:
    app = {
        "status": ACTIVE,
        "charm": "a",
        "scale": 1,
        "containers": list(containers),
        "units": {"a/0": UNIT},
    }
    return {"model": "m", "applications": {"a": app}, "relations": []}


class Probe:
    """Stands in for the probe of a running application; ``open`` has those not closed."""

    open: list["Probe"] = []
    refuses = False

    def __init__(self, model: Model, app: str):
        Probe.open.append(self)

    def look(self) -> tuple[dict[str, NodeView], int, list[str]]:
        if Probe.refuses:
            raise RuntimeError("it tells no password yet")
        return {"a/0": NodeView("a-0", RedisView("primary"))}, 1, []

    def close(self) -> None:
        Probe.open.remove(self)


@pytest.fixture(autouse=True)
def probe(monkeypatch: pytest.MonkeyPatch) -> type[Probe]:
    monkeypatch.setattr(Probe, "open", [])
    monkeypatch.setattr(columns.topology, "Probe", Probe)
    return Probe


def test_the_roles_stand_in_the_table_and_the_probe_is_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(Model, "status", lambda self: status("redis", "sentinel"))
    assert cli(["status"], columns=RedisColumns) == 0
    head, unit = capsys.readouterr().out.splitlines()[6:8]
    assert "Role" in head.split() and "primary" in unit.split()
    assert Probe.open == []


def test_the_lab_alone_shows_no_roles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(Model, "status", lambda self: status("redis", "sentinel"))
    assert cli(["status"]) == 0
    assert "Role" not in capsys.readouterr().out
    assert Probe.open == []


@pytest.mark.parametrize("containers", [("redis",), ("other",)])
def test_of_other_applications_nothing_is_asked(containers: tuple[str, ...]):
    found: Mapping[str, Any] = RedisColumns(Model("m")).of(status(*containers))
    assert found == {} and Probe.open == []


def test_of_an_application_that_tells_no_password_yet_there_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(Probe, "refuses", True)
    assert RedisColumns(Model("m")).of(status("redis", "sentinel")) == {}
    assert Probe.open == []
