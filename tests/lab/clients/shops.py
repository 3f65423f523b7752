# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Applications that use Redis by the relation ``redis``, as their charms and programs saw it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from lab import LabError
from tests.lab.cluster import APP, ROOT, Cluster
from trials.clients import checker
from trials.clients.writer import Write

HERE = Path(__file__).parent
NOW = ROOT / "lib/charms/redis_k8s/v0/redis.py"
BEFORE = HERE / "library-before.py"
HOME = "/srv/shop"


def charm(folder: Path, library: Path = NOW) -> Path:
    """Return the directory of the charm, with a library.

    Args:
        folder: for it.
        library: ``NOW`` or ``BEFORE``.
    """
    made = folder / f"shop-{library.stem}"
    if not made.exists():
        shutil.copytree(HERE / "shop-charm", made)
        place = made / "lib/charms/redis_k8s/v0/redis.py"
        place.parent.mkdir(parents=True)
        shutil.copyfile(library, place)
    return made


class Shop:
    """One such application, deployed.

    Args:
        cluster: whose Redis it is to use.
        name: of the application.
        made: the directory of its charm.
        units: how many.
    """

    ours, theirs = "redis", "redis"
    """The endpoints."""

    def __init__(self, cluster: Cluster, name: str, made: Path, units: int = 1):
        self.cluster, self.name = cluster, name
        self._model = cluster.model
        self._records: list[Write] = []
        self._offset = 0
        self._model.deploy(made, app=name, units=units)
        cluster.until(self._not_up)

    @property
    def unit(self) -> str:
        """The one that is looked at."""
        return f"{self.name}/0"

    def _not_up(self) -> list[str]:
        unit = self._model.status()["applications"][self.name]["units"][self.unit]
        at = unit["agent"]["current"], unit["workload"]["current"]
        return [] if at == ("idle", "waiting") else [f"{self.unit} is {at}"]

    def integrate(self) -> float:
        """Relate it with Redis; return when, on the machine's monotonic clock."""
        now_s = time.monotonic()
        self._model.integrate(f"{APP}:{self.ours}", f"{self.name}:{self.theirs}")
        return now_s

    def part(self) -> None:
        """End the relation."""
        self._model.remove_relation(f"{APP}:{self.ours}", f"{self.name}:{self.theirs}")

    def there(self) -> list[str]:
        """Say that it has not gone yet, or that its relation has not."""
        status = self._model.status()
        related = [r for r in status["relations"] if any(self.name in e for e in r["endpoints"])]
        return [*related, *(name for name in status["applications"] if name == self.name)]

    def remove(self) -> None:
        """Remove the application."""
        self._model.remove_application(self.name)

    # What it saw.

    def _read(self, name: str, offset: int = 0) -> str:
        command = ["tail", "-c", f"+{offset + 1}", f"{HOME}/{name}"]
        try:
            return self._model.exec(self.unit, "app", command).stdout
        except LabError:
            return ""

    def given(self) -> dict[str, Any]:
        """Return what its charm gave its program: ``url``, ``ca``, ``sentinels``, ``name``."""
        return json.loads(self._read("redis.json") or "{}")

    def told(self) -> list[dict[str, Any]]:
        """Return what its charm was told: ``told_s`` and ``host`` (with the port) of each."""
        return [json.loads(line) for line in self._read("told").splitlines()]

    def writes(self) -> list[Write]:
        """Return what became of its writes so far."""
        text = self._read("writes", self._offset)
        whole = text[: text.rfind("\n") + 1]
        self._offset += len(whole)
        self._records += [Write(**json.loads(line)) for line in whole.splitlines()]
        return list(self._records)

    def not_served(self, since_s: float = 0.0) -> list[str]:
        """Say that nothing that was begun since then was acknowledged; for ``until``."""
        writes = self.writes()
        good = [w for w in checker.acknowledged(writes) if w.start_s > since_s]
        last = writes[-1] if writes else self.given()
        return [] if len(good) > 5 else [f"{self.unit} is not served: {last}"]

    def first_s(self, since_s: float) -> float:
        """Return when the first write that was begun since then was acknowledged, counted so."""
        good = [w.end_s for w in checker.acknowledged(self.writes()) if w.start_s > since_s]
        return good[0] - since_s

    def gap_s(self, since_s: float) -> float:
        """Return the longest time without an acknowledgement since then."""
        return checker.longest_gap_s(self.writes(), since_s, time.monotonic())

    def errors(self, since_s: float = 0.0) -> set[str]:
        """Return what went wrong with its writes since then."""
        return {w.error for w in self.writes() if w.error and w.start_s > since_s}

    def lost(self) -> list[int]:
        """Return the numbers that were acknowledged and are not there."""
        written = self.writes()
        spawn, access = self._model.spawn, self.cluster.access
        stored = checker.stored_numbers(spawn, access, [self.unit])
        return checker.lost(written, stored[self.unit])
