"""A model with the probe charm, and what tests ask of it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Model, sandbox

PROBE = Path(__file__).parent / "probe-charm"
PEBBLE = "/charm/bin/pebble"
IDLE_S = 60.0


@pytest.fixture(scope="session", autouse=True)
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep these models away from the user's."""
    before = os.environ.get("LAB_HOME")
    os.environ["LAB_HOME"] = str(tmp_path_factory.mktemp("lab"))
    yield
    if before is None:
        del os.environ["LAB_HOME"]
    else:
        os.environ["LAB_HOME"] = before


@pytest.fixture
def model(request: pytest.FixtureRequest) -> Iterator[Model]:
    """A model of this test's own, empty."""
    made = Model("t-" + request.node.name.replace("_", "-")[:30].strip("-["))
    yield made
    made.destroy()
    assert sandbox.leftovers(made.dir) == []


@pytest.fixture(scope="module")
def shared() -> Iterator[Model]:
    """A model with three units of the probe charm, for tests that leave it as it was."""
    made = Model("shared")
    made.destroy()
    made.deploy(PROBE, units=3, resources={"one-image": "/", "text": str(PROBE / "config.yaml")})
    made.wait_idle(IDLE_S)
    yield made
    made.destroy()
    assert sandbox.leftovers(made.dir) == []


class Recorder:
    """What ran since it was made."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.start = len(model.hooks())

    def names(self, unit: str) -> list[str]:
        return [h.name for h in self.model.hooks(self.start) if h.unit == unit]

    def wait(self, unit: str, name: str, times: int = 1, timeout_s: float = 20.0) -> None:
        """Wait until a hook has run so often."""
        self.model.wait(
            lambda _: self.names(unit).count(name) >= times, timeout_s, f"{unit} {name}"
        )

    def settled(self, unit: str) -> list[str]:
        self.model.wait_idle(IDLE_S, hold_s=0.5)
        return self.names(unit)


def on_hooks(model: Model, **commands: str) -> None:
    """Let hooks run shell commands; ``_`` in a hook's name stands for ``-``."""
    hooks = {name.replace("_", "-"): command for name, command in commands.items()}
    model.config("probe", {"hooks": json.dumps(hooks)})
    model.wait_idle(IDLE_S, hold_s=0.3)


def sh(model: Model, unit: str, command: str) -> str:
    """Run a command with the hook tools, in an action of the charm."""
    results = model.run(unit, "sh", {"command": command}).results
    assert results["code"] == "0", results
    return results.get("out", "")


def python(model: Model, unit: str, code: str) -> object:
    """Run Python code against ops, in an action of the charm, and return its ``result``."""
    result = model.run(unit, "python", {"code": code})
    assert result.status == "completed", (result, model.log()[-20:])
    return json.loads(result.results["result"])


def agent_of(status: dict, unit: str) -> str:
    return status["applications"]["probe"]["units"][unit]["agent"]["current"]


def leader_of(status: dict) -> str:
    units = status["applications"]["probe"]["units"]
    return next(name for name, unit in units.items() if unit["leader"])


def file_of(model: Model, unit: str, path: str) -> str:
    return model.exec(unit, "charm", ["cat", path]).stdout
