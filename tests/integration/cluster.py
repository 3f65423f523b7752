# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A deployed application as its tests see it: by the pods' addresses, from outside."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import redis

from tests.integration.engines import Engine
from trials.clients import topology, wire

APP = "redis-k8s"
SETTLE_S = 120.0
IDLE_S = 15 * 60.0
LOOK_EVERY_S = 1.0
HOLD_S = 5.0
"""How long all must be right: what was asked for begins within this time."""


class Cluster:
    """Looks at, and acts on, the application in the model of the test.

    Args:
        engine: the client of Juju.
        kubectl: the command of Kubernetes, with the words that it always needs.
    """

    def __init__(self, engine: Engine, kubectl: Sequence[str]):
        self.engine = engine
        self._kubectl = tuple(kubectl)
        self._access: wire.Access | None = None

    def addresses(self) -> dict[str, str]:
        """Return the addresses of the pods, by unit."""
        return {name: unit.address for name, unit in self.engine.units(APP).items()}

    def leader(self) -> str:
        """Return the unit that leads the application."""
        return next(name for name, unit in self.engine.units(APP).items() if unit.leader)

    def run(self, unit: str, action: str, /, **params: Any) -> Mapping[str, Any]:
        """Return the results of an action that must succeed."""
        return self.engine.run(unit, action, params)

    def delete_pod(self, unit: str) -> None:
        """Delete the pod of a unit, and wait until it has gone."""
        words = ["-n", self.engine.namespace, "delete", "pod", unit.replace("/", "-")]
        subprocess.run([*self._kubectl, *words], check=True, timeout=SETTLE_S)

    # Redis

    def access(self) -> wire.Access:
        """Return the passwords, asked for once."""
        if self._access is None:
            unit = min(self.addresses())
            admin = self.run(unit, "get-initial-admin-password")["redis-password"]
            sentinel = self.run(unit, "get-sentinel-password")["sentinel-password"]
            self._access = wire.Access(APP, (), admin, sentinel)
        return self._access

    def forget_passwords(self) -> None:
        """Ask for the passwords anew, the next time that they are needed."""
        self._access = None

    def trust(self, authority: str) -> None:
        """Trust the authority of certificates (PEM), where a node speaks TLS."""
        self._access = replace(self.access(), ca=authority, either=True)

    def without(self, *, tls: bool) -> list[str]:
        """Return which ports do not speak TLS, or plain text, though they should."""
        found = []
        for unit, address in self.addresses().items():
            for port in (wire.REDIS_PORT, wire.SENTINEL_PORT):
                try:
                    if wire.speaks_tls(address, port) != tls:
                        found.append(f"{unit}:{port} speaks {'plain text' if tls else 'TLS'}")
                except OSError as e:
                    found.append(f"{unit}:{port}: {e}")
        return found

    def client(self, unit: str) -> redis.Redis:
        """Return a client of the Redis of one unit."""
        access = self.access()
        address = self.addresses()[unit]
        return wire.connect(address, wire.REDIS_PORT, access.redis_password, access)

    def write(self, key: str, value: str) -> None:
        """Write what a replica has acknowledged too, so that no later step may lose it."""
        client: Any = self.client(self.primary())
        client.set(key, value)
        assert client.wait(1, 5000) >= 1

    def read_everywhere(self, key: str) -> set[Any]:
        """Return the values of a key on all units."""
        return {self.client(unit).get(key) for unit in self.addresses()}

    def look(self) -> dict[str, topology.NodeView]:
        """Return what every unit says, with pods' names for hosts.

        The Sentinels use full names, whose end depends on the Kubernetes cluster.
        """
        addresses = self.addresses()
        hosts = {unit: unit.replace("/", "-") for unit in addresses}
        seen = topology.Reader(self.access()).look(hosts, addresses)
        return {unit: _with_short_names(view) for unit, view in seen.items()}

    def primaries(self) -> list[str]:
        """Return the units whose Redis is a primary: none in the middle of a failover."""
        views = self.look()
        return [unit for unit, v in views.items() if v.redis and v.redis.role == "primary"]

    def primary(self) -> str:
        """Return the one unit whose Redis is the primary."""
        found = self.primaries()
        assert len(found) == 1, f"There should be one primary, not {found}"
        return found[0]

    # Waiting

    def until(
        self, missing: Callable[[], object], limit_s: float = SETTLE_S, hold_s: float = 0.0
    ) -> None:
        """Wait until nothing is missing, for ``hold_s`` without a break; else the test fails."""
        deadline_s = time.monotonic() + limit_s
        since_s = None
        while True:
            found, now_s = missing(), time.monotonic()
            since_s = None if found else now_s if since_s is None else since_s
            if since_s is not None and now_s - since_s >= hold_s:
                return
            assert now_s < deadline_s, found or "it was right for moments only"
            self.engine.sleep(LOOK_EVERY_S)

    def rolled(self, act: Callable[[], object]) -> None:
        """Do what rolls the pods, and wait until each is another one and all is right again."""
        before = self.addresses()
        act()
        self.until(lambda: sorted(before.items() & self.addresses().items()), IDLE_S)
        self.wait_until_right(len(before))

    def wait_for_another_primary(self, former: str) -> None:
        """Wait until one unit is the primary, and not the former one."""

        def missing() -> str:
            found = self.primaries()
            right = len(found) == 1 and found != [former]
            return "" if right else f"The primary is {found}, it was {former}"

        self.until(missing)

    def wait_for_units(self, units: int) -> None:
        """Wait for so many units, all active and idle."""

        def missing() -> list[str]:
            found = self.engine.units(APP)
            wrong = [f"{n}: {u}" for n, u in found.items() if not _is_right(u.workload, u.agent)]
            return wrong + ([] if len(found) == units else [f"{len(found)} units"])

        self.until(missing, IDLE_S, HOLD_S)

    def wait_until_right(self, units: int) -> None:
        """Wait for active, idle units, each of whose Sentinels knows exactly the others."""
        self.wait_for_units(units)
        self.until(lambda: "\n".join(topology.problems(self.look(), units)))


def _is_right(workload: str, agent: str) -> bool:
    return (workload, agent) == ("active", "idle")


def _short(host: str) -> str:
    return host.split(".")[0]


def _with_short_names(view: topology.NodeView) -> topology.NodeView:
    redis_view, sentinel = view.redis, view.sentinel
    if redis_view and redis_view.primary_host:
        redis_view = replace(redis_view, primary_host=_short(redis_view.primary_host))
    if sentinel:
        sentinel = replace(sentinel, primary_host=_short(sentinel.primary_host))
    return replace(view, redis=redis_view, sentinel=sentinel)
