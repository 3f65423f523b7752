# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Options and fixtures of the tests that run on a Juju controller on Kubernetes.

``make integration ARGS="--charm ./redis-k8s_ubuntu@24.04-amd64.charm"``; without ``--charm``
charmcraft packs the charm first. ``--client operator`` acts by pytest-operator, which adds options
of its own (``--model``, ``--keep-models``, …) and refuses Juju 4.0.
"""

from __future__ import annotations

import secrets
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jubilant
import pytest
import yaml

from tests.integration.cluster import Cluster
from tests.integration.engines import Engine, JubilantEngine, OperatorEngine

ROOT = Path(__file__).parents[2]
IMAGE = "redis-image"
PLATFORM = "ubuntu@24.04:amd64"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("redis-k8s")
    group.addoption("--charm", help="a packed charm to test, instead of one packed now")
    group.addoption(f"--{IMAGE}", help="the image to deploy, instead of the one in metadata.yaml")
    group.addoption("--client", choices=("jubilant", "operator"), default="jubilant")
    group.addoption("--juju", default="juju", help="the program that jubilant calls")
    group.addoption("--kubectl", default="kubectl", help="such as 'microk8s kubectl'")


@pytest.fixture(scope="module")
def charm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packed charm to deploy."""
    given = request.config.getoption("--charm")
    if given:
        assert Path(given).exists(), f"There is no packed charm at {given}"
        return Path(given).resolve()
    target = tmp_path_factory.mktemp("charm")
    pack = ["charmcraft", "pack", "--platform", PLATFORM, "--output", str(target)]
    subprocess.run(pack, cwd=ROOT, check=True)
    (packed,) = target.glob("*.charm")
    return packed


@pytest.fixture(scope="module")
def resources(request: pytest.FixtureRequest) -> dict[str, str]:
    """The resources to deploy with."""
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text())
    upstream = metadata["resources"][IMAGE]["upstream-source"]
    return {IMAGE: request.config.getoption(f"--{IMAGE}") or upstream}


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A model of its own, or with ``--model`` one that is there, and the client to act on it."""
    option = request.config.getoption
    if option("--client") == "operator":
        loop = request.getfixturevalue("event_loop")
        yield OperatorEngine(request.getfixturevalue("ops_test"), loop)
        return
    juju = jubilant.Juju(model=option("--model"), cli_binary=option("--juju"))
    if juju.model is not None:
        yield JubilantEngine(juju)
        return
    juju.add_model(f"redis-{secrets.token_hex(4)}")
    yield JubilantEngine(juju)
    if not option("--keep-models"):
        juju.destroy_model(str(juju.model), destroy_storage=True, force=True)


@pytest.fixture(scope="module")
def cluster(engine: Engine, request: pytest.FixtureRequest) -> Cluster:
    return Cluster(engine, shlex.split(request.config.getoption("--kubectl")))
