# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import constants as c
from tests.fakes import Cluster
from tests.functional.real import RealCluster


def _own_addresses() -> tuple[socket.socket, str]:
    """Return a block of loopback addresses that no other run of these tests uses.

    The block is held by a bound socket, so the kernel frees it when this process ends.
    """
    for number in range(255):
        holder = socket.socket()
        try:
            holder.bind((f"127.0.{number}.1", c.SENTINEL_PORT))
        except OSError:
            holder.close()
        else:
            return holder, f"127.0.{number}"
    raise RuntimeError("all blocks of loopback addresses are in use")


_HOLDER, BLOCK = _own_addresses()
HOSTS = tuple(f"{BLOCK}.{number}" for number in (11, 12, 13))
STRANGER = f"{BLOCK}.14"
NOBODY = f"{BLOCK}.19"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Show the logs of the nodes beside a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and isinstance(item, pytest.Function):
        for fixture in ("shared_cluster", "real", "cluster"):
            cluster = item.funcargs.get(fixture)
            if isinstance(cluster, RealCluster):
                for node in cluster.nodes.values():
                    for name in ("redis", "sentinel"):
                        title = f"{name} of {node.host}"
                        report.sections.append((title, node.log(name)[-3000:]))
                break


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """Three real nodes; forming them takes seconds, so tests share them and settle them."""
    cluster = RealCluster(tmp_path_factory.mktemp("real"), HOSTS)
    try:
        cluster.form()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def real(shared_cluster: RealCluster) -> RealCluster:
    """Return three real nodes at rest."""
    shared_cluster.settle()
    return shared_cluster


@pytest.fixture(params=["fake", "real"])
def cluster(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Cluster | RealCluster:
    """Return three nodes at rest: once of the fake, once of the real thing."""
    if request.param == "fake":
        return Cluster(HOSTS).form().install(monkeypatch)
    return request.getfixturevalue("real")


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Callable[..., RealCluster]]:
    """Return a maker of a real cluster of its own, of which nothing runs yet.

    It uses other addresses than the shared one, which may run beside it.
    """
    made: list[RealCluster] = []

    def make(size: int = 3) -> RealCluster:
        hosts = [f"{BLOCK}.{21 + number}" for number in range(size)]
        made.append(RealCluster(tmp_path, hosts))
        return made[-1]

    try:
        yield make
    finally:
        for cluster in made:
            cluster.close()
