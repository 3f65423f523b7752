# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Options and fixtures of the tests that run on a Juju controller on Kubernetes.

``make integration ARGS="--charm ./redis-k8s_ubuntu@24.04-amd64.charm"``; without ``--charm``
charmcraft packs the charm first. pytest-operator adds options of its own, such as ``--model``.
"""

from pathlib import Path

import pytest
import yaml
from pytest_operator.plugin import OpsTest

ROOT = Path(__file__).parents[2]
IMAGE = "redis-image"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("redis-k8s")
    group.addoption("--charm", help="a packed charm to test, instead of one packed now")
    group.addoption(f"--{IMAGE}", help="the image to deploy, instead of the one in metadata.yaml")


@pytest.fixture(scope="module")
async def charm(ops_test: OpsTest, request: pytest.FixtureRequest) -> Path:
    """The packed charm to deploy."""
    given = request.config.getoption("--charm")
    packed = Path(given) if given else await ops_test.build_charm(ROOT)
    assert packed.is_file(), f"There is no packed charm at {packed}"
    return packed.resolve()


@pytest.fixture(scope="module")
def resources(request: pytest.FixtureRequest) -> dict[str, str]:
    """The resources to deploy with."""
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text())
    upstream = metadata["resources"][IMAGE]["upstream-source"]
    return {IMAGE: request.config.getoption(f"--{IMAGE}") or upstream}
