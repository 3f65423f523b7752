# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The two clients by which the tests act on Juju: one set of tests runs with either.

pytest-operator speaks to Juju 3.6 alone, jubilant, which calls the program ``juju``, to 4.0 too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import jubilant
from pytest_operator.plugin import OpsTest

T = TypeVar("T")


@dataclass(frozen=True)
class Unit:
    """What Juju says of a unit; ``address`` is its pod's, empty without one."""

    workload: str
    message: str
    agent: str
    address: str
    leader: bool


class Engine(Protocol):
    """A model on a real Juju, through one of its clients."""

    @property
    def namespace(self) -> str:
        """Where the pods are."""
        ...

    def deploy(self, charm: Path, app: str, resources: Mapping[str, str], units: int) -> None:
        """Deploy a packed charm."""
        ...

    def refresh(self, app: str, charm: Path, resources: Mapping[str, str]) -> None:
        """Refresh an application to a packed charm."""
        ...

    def attach(self, app: str, name: str, file: Path) -> None:
        """Give an application a file for a resource."""
        ...

    def scale(self, app: str, units: int) -> None:
        """Change how many units there are."""
        ...

    def config(self, app: str, values: Mapping[str, Any]) -> None:
        """Set options."""
        ...

    def units(self, app: str) -> dict[str, Unit]:
        """Return the units by name."""
        ...

    def run(self, unit: str, action: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the results of an action.

        Raises:
            AssertionError: it failed.
        """
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, and let the client do what keeps its connection."""
        ...


class JubilantEngine:
    """By the program ``juju``, or one that takes the same words."""

    def __init__(self, juju: jubilant.Juju):
        self._juju = juju

    @property
    def namespace(self) -> str:
        """Where the pods are: the name of the model, without that of a controller."""
        return str(self._juju.model).rpartition(":")[2]

    def deploy(self, charm: Path, app: str, resources: Mapping[str, str], units: int) -> None:
        """Deploy a packed charm."""
        self._juju.deploy(charm, app, resources=dict(resources), num_units=units)

    def refresh(self, app: str, charm: Path, resources: Mapping[str, str]) -> None:
        """Refresh an application to a packed charm."""
        self._juju.refresh(app, path=charm, resources=dict(resources))

    def attach(self, app: str, name: str, file: Path) -> None:
        """Give an application a file for a resource."""
        self._juju.cli("attach-resource", app, f"{name}={file}")

    def scale(self, app: str, units: int) -> None:
        """Change how many units there are."""
        self._juju.cli("scale-application", app, str(units))

    def config(self, app: str, values: Mapping[str, Any]) -> None:
        """Set options."""
        self._juju.config(app, dict(values))

    def units(self, app: str) -> dict[str, Unit]:
        """Return the units by name."""
        return {
            name: Unit(
                unit.workload_status.current,
                unit.workload_status.message,
                unit.juju_status.current,
                unit.address,
                unit.leader,
            )
            for name, unit in self._juju.status().get_units(app).items()
        }

    def run(self, unit: str, action: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the results of an action."""
        try:
            return self._juju.run(unit, action, dict(params)).results
        except jubilant.TaskError as e:
            raise AssertionError(f"{action} on {unit}: {e.task.message}") from e

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class OperatorEngine:
    """By pytest-operator, whose client runs on an event loop."""

    def __init__(self, ops_test: OpsTest, loop: asyncio.AbstractEventLoop):
        assert ops_test.model is not None
        self._model = ops_test.model
        self._loop = loop

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    @property
    def namespace(self) -> str:
        """Where the pods are."""
        return str(self._model.name)

    def deploy(self, charm: Path, app: str, resources: Mapping[str, str], units: int) -> None:
        """Deploy a packed charm."""
        more: Any = {"resources": dict(resources), "num_units": units}
        self._wait(self._model.deploy(charm, application_name=app, **more))

    def refresh(self, app: str, charm: Path, resources: Mapping[str, str]) -> None:
        """Refresh an application to a packed charm."""
        found = self._model.applications[app]
        self._wait(found.refresh(path=charm, resources=dict(resources)))

    def attach(self, app: str, name: str, file: Path) -> None:
        """Give an application a file for a resource."""
        with file.open("rb") as content:
            self._model.applications[app].attach_resource(name, str(file), content)

    def scale(self, app: str, units: int) -> None:
        """Change how many units there are."""
        self._wait(self._model.applications[app].scale(units))

    def config(self, app: str, values: Mapping[str, Any]) -> None:
        """Set options."""
        texts = {name: _option(value) for name, value in values.items()}
        self._wait(self._model.applications[app].set_config(texts))

    def units(self, app: str) -> dict[str, Unit]:
        """Return the units by name."""
        status: Any = self._wait(self._model.get_status())
        return {
            name: Unit(
                unit.workload_status.status,
                unit.workload_status.info,
                unit.agent_status.status,
                unit.address or "",
                bool(unit.leader),
            )
            for name, unit in (status.applications[app].units or {}).items()
        }

    def run(self, unit: str, action: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the results of an action."""

        async def ask() -> Any:
            started = await self._model.units[unit].run_action(action, **params)
            return await started.wait()

        done = self._wait(ask())
        assert done.status == "completed", f"{action} on {unit}: {done.message}"
        return done.results

    def sleep(self, seconds: float) -> None:
        """Wait, and let the client answer its controller."""
        self._wait(asyncio.sleep(seconds))


def _option(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
