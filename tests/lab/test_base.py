# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A charm on another base than the one that it was packed for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab import bases
from lab.client import cache
from lab.packing import pack
from tests.lab.cluster import APP, ROOT, Cluster

DEPLOYED, PACKED = "ubuntu@22.04", "ubuntu@24.04"
UNITS = 3
SERVED_S = 5.0


@pytest.fixture(autouse=True)
def both_pythons():
    for base in (DEPLOYED, PACKED):
        try:
            bases.interpreter(base)
        except bases.BaseError as e:
            pytest.skip(str(e))


class OnBase(Cluster):
    """As `Cluster`, on the base of the published charm."""

    def deploy(
        self,
        units: int,
        config: Mapping[str, Any],
        resources: Mapping[str, str],
        base: str | None = DEPLOYED,
    ) -> None:
        super().deploy(units, config, resources, base)

    def rolling(self) -> list[str]:
        """Return that a refresh is under way, if it is."""
        return ["pods are rolling"] * self.model.status()["applications"][APP]["rolling"]

    def addresses(self) -> dict[str, str]:
        return {name: unit["address"] for name, unit in self.units().items()}


def test_a_charm_packed_for_another_python_takes_no_unit_but_the_first(tmp_path: Path):
    wrong = tmp_path / "wrong"
    pack(ROOT, wrong, cache(), PACKED)
    cluster = OnBase("foreign-python", tmp_path)
    try:
        cluster.form(UNITS)
        before = cluster.addresses()
        *staying, first = sorted(before)
        # As `juju refresh --path`: the base stays, and nothing is said about it.
        cluster.model.refresh(APP, wrong)
        text = "Packed for Python 3.12, this pod has 3.10: "
        text += f"juju refresh {APP} --path ./redis-k8s_{DEPLOYED}-amd64.charm"
        cluster.until(lambda: cluster.shows(first, "blocked", text))
        cluster.until(cluster.not_served, hold_s=SERVED_S)
        now = cluster.addresses()
        assert {unit: now[unit] for unit in staying} == {unit: before[unit] for unit in staying}
        action = cluster.model.run(first, "check-service")
        assert (action.status, action.message) == ("failed", text)
        # What the status says, with the charm for the base that the application has.
        cluster.model.refresh(APP, ROOT)
        cluster.settle(UNITS)
        assert cluster.model.status()["applications"][APP]["base"] == DEPLOYED
    finally:
        cluster.destroy()


def test_a_refresh_may_bring_another_base(tmp_path: Path):
    cluster = OnBase("new-base", tmp_path)
    try:
        cluster.form(1)
        cluster.model.refresh(APP, ROOT, PACKED)
        cluster.until(cluster.rolling)
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        (unit,) = cluster.units()
        said = cluster.model.exec(unit, "charm", ["/charm/python/bin/python3", "-c", code])
        assert said.stdout.strip() == bases.PYTHONS[PACKED]
        cluster.settle(1)
    finally:
        cluster.destroy()
