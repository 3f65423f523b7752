# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Clusters for the tests of the whole charm."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from tests.lab.cluster import Cluster

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the logs of the cluster beside the assertion that failed."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
        for cluster in Cluster.living:
            report.sections.append(("what the cluster says", cluster.evidence()))
    return report


@pytest.fixture(scope="session", autouse=True)
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep these models away from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(tmp_path_factory.mktemp("charm")))
        patch.delenv("LAB_MODEL_DIR", raising=False)
        yield


class Shared:
    """One formed cluster for the tests of a module; a new one after a test that failed."""

    def __init__(self, make: Callable[[], Cluster]):
        self._make = make
        self._cluster: Cluster | None = None

    def get(self) -> Cluster:
        if self._cluster is None:
            self._cluster = self._make()
            self._cluster.form(3)
        return self._cluster

    def drop(self) -> None:
        if self._cluster is not None:
            cluster, self._cluster = self._cluster, None
            cluster.destroy()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest):
    """The cluster of this module, made when the first test wants it."""
    name = request.module.__name__.rsplit("test_", 1)[1].replace("_", "-")
    settings = getattr(request.module, "SETTINGS", {})
    config = getattr(request.module, "CONFIG", {})
    found = Shared(lambda: Cluster(name, tmp_path_factory.mktemp(name), config, **settings))
    yield found
    found.drop()


@pytest.fixture
def trio(shared: Shared, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three units, right before the test and by themselves right again after it."""
    if request.session.stash.get(FAILED, False):
        shared.drop()
        request.session.stash[FAILED] = False
    cluster = shared.get()
    yield cluster
    if request.node.stash.get(FAILED, False):
        request.session.stash[FAILED] = True
        return
    try:
        cluster.settle()
        cluster.model.wait_idle(60, hold_s=0.3)
    except BaseException:
        request.session.stash[FAILED] = True
        raise


@pytest.fixture
def make_cluster(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Cluster]]:
    """Make clusters of this test's own."""
    made: list[Cluster] = []

    def make(units: int, **settings: Any) -> Cluster:
        name = f"own-{os.getpid()}-{len(made)}"
        made.append(Cluster(name, tmp_path_factory.mktemp("own"), **settings))
        made[-1].form(units)
        return made[-1]

    yield make
    for cluster in made:
        cluster.destroy()
