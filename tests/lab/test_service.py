# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A client that knows one name writes to the primary, whoever that is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import APP, Cluster
from trials.clients import checker, wire
from trials.clients.checker import WriteLog
from trials.clients.writer import WriterProcess
from trials.writers import named

SETTINGS = {"service_delay_s": 0.1}
GAP_S = 30.0
"""Many times what it takes on a machine that does nothing else."""


class Client:
    """A writer that knows the Service's name."""

    def __init__(self, cluster: Cluster, folder: Path):
        self._cluster = cluster
        self._process: WriterProcess = named(
            cluster.model, cluster.access, folder, f"{folder.name}-", period_s=0.01
        )
        self._log = WriteLog(folder / "name")
        cluster.until(self.not_served)

    def not_served(self, since_s: float = 0.0) -> list[str]:
        """Say that nothing was acknowledged since then; a condition for ``until``."""
        good = [w for w in checker.acknowledged(self._log.read()) if w.start_s > since_s]
        last = self._log.read()[-1:] or ["nothing tried"]
        return [] if len(good) > 20 else [f"by its name it is not served: {last[0]}"]

    def gap_s(self, since_s: float) -> float:
        return checker.longest_gap_s(self._log.read(), since_s, time.monotonic())

    def acknowledged(self, since_s: float, until_s: float) -> int:
        writes = checker.acknowledged(self._log.read())
        return sum(since_s < w.start_s and w.end_s < until_s for w in writes)

    def check(self) -> None:
        """Nothing that was acknowledged is lost."""
        written = list(self._log.read())
        key = self._process.key
        stored = checker.stored_numbers(self._cluster.model.spawn, self._cluster.access, [key])
        assert checker.lost(written, stored[key]) == []

    def stop(self) -> None:
        self._process.stop()


@pytest.fixture
def client(trio: Cluster, tmp_path: Path) -> Iterator[Client]:
    made = Client(trio, tmp_path)
    yield made
    made.stop()


def wrong_roles(cluster: Cluster) -> list[str]:
    """Say what is wrong with the labels of the pods and the selector of the Service."""
    primary = cluster.primary()
    pods = cluster.model.objects("pods")
    found = {unit: pods[unit.replace("/", "-")] for unit in cluster.units()}
    roles = {unit: pod["metadata"]["labels"].get("role") for unit, pod in found.items()}
    wanted = {unit: "primary" if unit == primary else "replica" for unit in roles}
    selector = cluster.model.objects("services")[APP]["spec"]["selector"]
    return [] if (roles, selector.get("role")) == (wanted, "primary") else [f"{roles} {selector}"]


def kill(trio: Cluster) -> None:
    """Kill the process until another unit is primary, or it came back faster."""
    trio.model.kill_process(trio.primary(), "redis", wire.SERVER)


def move(trio: Cluster) -> None:
    trio.switch_to(trio.replicas()[0])


def delete(trio: Cluster) -> None:
    trio.model.kill_pod(trio.primary(), graceful=True)


def lose(trio: Cluster) -> None:
    trio.model.kill_pod(trio.primary(), hold_s=6)


@pytest.mark.parametrize("trouble", [kill, move, delete, lose])
def test_the_one_name_leads_to_the_primary_whatever_happens_to_it(
    trio: Cluster, client: Client, trouble
):
    trio.until(lambda: wrong_roles(trio))
    since_s = time.monotonic()
    trouble(trio)
    trio.settle()
    trio.until(lambda: client.not_served(since_s) + wrong_roles(trio))
    print(f"{trouble.__name__}: {client.gap_s(since_s):.2f} s without an acknowledged write")
    assert client.gap_s(since_s) < GAP_S
    client.check()


def test_a_hook_at_rest_asks_kubernetes_nothing(trio: Cluster):
    trio.until(lambda: wrong_roles(trio))
    trio.model.wait_idle(60, hold_s=0.5)
    before = len(trio.model.api_requests())
    for unit in trio.units():
        trio.tick(unit)
    assert trio.model.api_requests(before) == []


def test_a_stale_label_leads_no_writer_to_a_node_that_would_lose_what_it_takes(
    trio: Cluster, client: Client
):
    trio.until(lambda: wrong_roles(trio))
    old = trio.primary()
    hooks = len(trio.model.hooks())
    trio.model.settings({"kube_api": "silent"})
    # Not frozen: what a primary acknowledges that has stood still no label and no fence undoes.
    trio.switch_to(trio.replicas()[0])
    # It keeps the label, which nobody can move, and is a replica now.
    trio.settle()
    settled_s = time.monotonic()
    time.sleep(1.0)
    assert role_of(trio, old) == "primary"
    assert client.acknowledged(settled_s, time.monotonic()) == 0
    client.check()
    trio.model.settings({"kube_api": "ok"})
    trio.until(lambda: client.not_served(settled_s) + wrong_roles(trio), tick=True)
    client.check()
    assert {hook.rc for hook in trio.model.hooks(hooks)} == {0}


def role_of(cluster: Cluster, unit: str) -> str | None:
    pod = cluster.model.objects("pods")[unit.replace("/", "-")]
    return pod["metadata"]["labels"].get("role")


def test_with_trust_there_are_services_that_go_with_the_application(trio: Cluster, client: Client):
    trio.model.trust(APP)
    wanted = [APP, f"{APP}-endpoints", f"{APP}-primary", f"{APP}-replicas"]

    def missing() -> list[str]:
        found = sorted(trio.model.objects("services"))
        return [] if found == wanted else [f"there are {found}"]

    trio.until(missing)
    owners = [
        trio.model.objects("services")[name]["metadata"]["ownerReferences"][0]["kind"]
        for name in wanted[2:]
    ]
    assert owners == ["StatefulSet", "StatefulSet"]
    trio.model.trust(APP, False)
    trio.settle()
    client.check()


@pytest.mark.parametrize("mode", ["forbidden", "off", "absent"])
def test_without_kubernetes_everything_else_serves_as_before(tmp_path: Path, mode: str):
    cluster = Cluster(f"kube-{mode}", tmp_path, kube_api=mode)
    try:
        cluster.form(1)
        cluster.settle(1)
        told = [line for line in cluster.model.log() if "does not follow the primary" in line]
        assert len(told) == 1
        assert "role" not in cluster.model.objects("services")[APP]["spec"]["selector"]
        assert {hook.rc for hook in cluster.model.hooks()} == {0}
    finally:
        cluster.destroy()
