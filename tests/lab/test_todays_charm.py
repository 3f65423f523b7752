# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The stand-in for the charm of today forms a cluster of real Redis and Sentinel."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lab.client import Model
from tests.lab.cluster import APP, cli
from trials import bench, waiting

TODAYS = Path(__file__).parent / "todays-charm"
PASSWORDS = {"redis": "redis-password", "sentinel": "sentinel-password"}


def form(model: Model, units: int) -> bench.Watch:
    """Deploy it and wait as `make bench` does."""
    model.deploy(TODAYS, app=APP, units=units)
    return bench.wait_for(model, APP, units, bench.LIMIT_S)


def ask(model: Model, unit: str, kind: str, words: str) -> list[str]:
    """Return what Redis or Sentinel answers."""
    (bags,) = [each for name, each in model.databags(APP).items() if "redis-peers" in name]
    text = f"AUTH {bags[APP][PASSWORDS[kind]]}\n{words}\n"
    return model.exec(unit, kind, cli(kind), stdin=text).stdout.splitlines()[1:]


@pytest.mark.parametrize("units", [1, 3, pytest.param(5, marks=pytest.mark.long)])
def test_it_becomes_active_with_one_primary_and_sentinels_that_agree(units: int):
    model = Model(f"todays-{os.getpid()}-{units}")
    try:
        start_s = time.monotonic()
        assert form(model, units).taken_s(start_s) is not None, model.log()[-60:]
        assert [hook for hook in model.hooks() if hook.rc] == []
        names = [f"{APP}/{number}" for number in range(units)]
        roles = [ask(model, name, "redis", "ROLE")[0] for name in names]
        assert roles == ["master"] + ["slave"] * (units - 1)
        usable = f"OK {units} usable Sentinels. Quorum and failover authorization can be reached"

        def missing() -> list[str]:
            answers = {n: ask(model, n, "sentinel", f"SENTINEL CKQUORUM {APP}") for n in names}
            return [f"{name}: {text}" for name, text in answers.items() if text != [usable]]

        assert waiting.until(missing, 30.0).missing == []
        # A hook at rest costs what a hook of that charm costs: it asks, writes and logs.
        assert model.run(names[0], "check-service").results["result"] == "Service is running"
        (record,) = bench.update_status(model, names[0])
        for tool in ("relation-get", "relation-set", "resource-get", "status-set", "juju-log"):
            assert record.tools[tool], record
    finally:
        model.destroy()
