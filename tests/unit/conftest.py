# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import plan
from engine.steps import Step
from engine.world import World
from tests.unit import invariants
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


def _checked(decide: Callable[[World], tuple[Step, ...]]):
    @functools.wraps(decide)
    def next_steps(world: World) -> tuple[Step, ...]:
        steps = decide(world)
        invariants.check(world, steps)
        return steps

    return next_steps


# Before any test module takes the name: each plan that any test asks for is checked.
plan.next_steps = _checked(plan.next_steps)
