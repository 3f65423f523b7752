# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.juju import Juju


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Juju]]:
    """Return a maker of an application of which no hook has run yet.

    Every connection that a test opens must be closed in the end.
    """
    made: list[Juju] = []

    def make(size: int = 3) -> Juju:
        made.append(Juju(monkeypatch, tmp_path, size))
        return made[-1]

    yield make
    for juju in made:
        assert juju.cluster.open_clients == 0


@pytest.fixture
def juju(deploy: Callable[..., Juju]) -> Juju:
    """Return three units at rest, the first one leader and primary."""
    return deploy(3).form()
