# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A deployed application as its tests see it: by the pods' addresses, from outside."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import redis
from pytest_operator.plugin import OpsTest

from lab.clients import topology, wire

APP = "redis-k8s"
SETTLE_S = 120.0
IDLE_S = 15 * 60.0


class Cluster:
    """Looks at, and acts on, the application in the model of the test."""

    def __init__(self, ops_test: OpsTest):
        assert ops_test.model is not None
        self.model = ops_test.model
        self._access: wire.Access | None = None

    async def addresses(self) -> dict[str, str]:
        """Return the addresses of the pods, by unit."""
        status: Any = await self.model.get_status()
        return {name: unit.address for name, unit in status.applications[APP].units.items()}

    async def run(self, unit: str, action: str, /, **params: Any) -> Mapping[str, Any]:
        """Return the results of an action that must succeed."""
        started = await self.model.units[unit].run_action(action, **params)
        done = await started.wait()
        assert done.status == "completed", f"{action} on {unit}: {done.message}"
        return done.results

    async def access(self) -> wire.Access:
        """Return the passwords, asked for once."""
        if self._access is None:
            admin = await self.run(f"{APP}/0", "get-initial-admin-password")
            sentinel = await self.run(f"{APP}/0", "get-sentinel-password")
            self._access = wire.Access(
                APP, (), admin["redis-password"], sentinel["sentinel-password"]
            )
        return self._access

    async def look(self) -> dict[str, topology.NodeView]:
        """Return what every unit says, with pods' names for hosts.

        The Sentinels use full names, whose end depends on the Kubernetes cluster.
        """
        addresses = await self.addresses()
        hosts = {unit: unit.replace("/", "-") for unit in addresses}
        seen = topology.Reader(await self.access()).look(hosts, addresses)
        return {unit: _with_short_names(view) for unit, view in seen.items()}

    async def primaries(self) -> list[str]:
        """Return the units whose Redis is a primary: none in the middle of a failover."""
        views = await self.look()
        return [unit for unit, v in views.items() if v.redis and v.redis.role == "primary"]

    async def primary(self) -> str:
        """Return the one unit whose Redis is the primary."""
        found = await self.primaries()
        assert len(found) == 1, f"There should be one primary, not {found}"
        return found[0]

    async def wait_for_another_primary(self, former: str) -> None:
        """Wait until one unit is the primary, and not the former one."""
        deadline_s = time.monotonic() + SETTLE_S
        while len(found := await self.primaries()) != 1 or found == [former]:
            assert time.monotonic() < deadline_s, f"The primary is {found}, it was {former}"
            await asyncio.sleep(1)

    async def leader(self) -> str:
        """Return the unit that leads the application."""
        for unit in self.model.applications[APP].units:
            if await unit.is_leader_from_status():
                return unit.name
        raise AssertionError(f"{APP} has no leader")

    async def client(self, unit: str) -> redis.Redis:
        """Return a client of the Redis of one unit."""
        address = (await self.addresses())[unit]
        return wire.connect(address, wire.REDIS_PORT, (await self.access()).redis_password)

    async def wait_until_right(self, units: int) -> None:
        """Wait for active, idle units, each of whose Sentinels knows exactly the others."""
        await self.model.wait_for_idle(
            apps=[APP], status="active", timeout=IDLE_S, wait_for_exact_units=units
        )
        deadline_s = time.monotonic() + SETTLE_S
        while found := topology.problems(await self.look(), units):
            assert time.monotonic() < deadline_s, "\n".join(found)
            await asyncio.sleep(1)


def _short(host: str) -> str:
    return host.split(".")[0]


def _with_short_names(view: topology.NodeView) -> topology.NodeView:
    redis_view, sentinel = view.redis, view.sentinel
    if redis_view and redis_view.primary_host:
        redis_view = replace(redis_view, primary_host=_short(redis_view.primary_host))
    if sentinel:
        sentinel = replace(sentinel, primary_host=_short(sentinel.primary_host))
    return replace(view, redis=redis_view, sentinel=sentinel)
