# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""One handle on the application in a model of the lab: deploy it, look at it, bring it right."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from typing import Any

from lab import LabError, LabTimeout, Model
from lab.packing import read_meta
from trials.authority import Authority
from trials.clients import topology, wire
from trials.waiting import HOLD_S, LOOK_EVERY_S, Outcome, ignore, until

ROOT = Path(__file__).parents[1]
APP = "redis-k8s"
PORTS = {"redis": wire.REDIS_PORT, "sentinel": wire.SENTINEL_PORT}
CONTAINERS = tuple(PORTS)
MOST_UNITS = 8
"""The clients know the hosts of so many units, also of those that come later."""
FORMING_LIMIT_S = 120.0
SETTLE_LIMIT_S = 90.0
CALM_LIMIT_S = 45.0
KILLED = -SIGKILL


class ClusterError(RuntimeError):
    """The application is not, or does not do, what was asked for; the text says why."""


# The clients' own errors are RuntimeErrors.
TROUBLE = (LabError, RuntimeError, OSError)


class Cluster:
    """One application in one model.

    Args:
        name: of the model.
        charm: the charm's directory.
        settings: of the model.
        config: of the application.
        tls: whether everything speaks TLS, with certificates from files.
        image: what the containers start from; empty for the one that the charm names.

    Attributes:
        model: the model.
        forming_limit_s: how long to wait for active units, and then until all is right.
    """

    def __init__(
        self,
        name: str,
        charm: Path = ROOT,
        settings: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        tls: bool = False,
        image: str = "",
    ):
        self.model = Model(name)
        self.forming_limit_s = FORMING_LIMIT_S
        self._charm = charm
        self._settings = dict(settings or {})
        self._config = dict(config or {})
        self._images = read_meta(charm).made_from(image)
        self._authority = Authority("the authority of the trials") if tls else None
        self._probe: topology.Probe | None = None
        self._access: wire.Access | None = None
        self._looking = threading.Lock()

    @property
    def access(self) -> wire.Access:
        """How clients reach the application."""
        assert self._access is not None, "nothing is deployed"
        return self._access

    # From nothing to nothing.

    def form(
        self,
        units: int,
        resources: Mapping[str, str] | None = None,
        tell: Callable[[list[str]], None] = ignore,
    ) -> None:
        """Deploy anew, whatever was there, and wait until all is right.

        Args:
            units: how many.
            resources: more of them, by name, as ``Model.deploy`` takes them.
            tell: is shown what is not right yet.

        Raises:
            ClusterError: that never came.
        """
        self._clear()
        with TemporaryDirectory() as folder:
            config, given = self._config, {**self._images, **(resources or {})}
            if self._authority is not None:
                config = {**config, "enable-tls": True}
                given |= self._authority.issue("redis").write(Path(folder))
            self.deploy(units, config, given)
        self._form(lambda: self.not_active(units), 0.0, tell)
        asked = topology.ask_access(self.model, APP)
        first = f"{APP}-0."
        hosts = tuple(asked.hosts[0].replace(first, f"{APP}-{n}.", 1) for n in range(MOST_UNITS))
        ca = self._authority.pem if self._authority else ""
        self._access = dataclasses.replace(asked, hosts=hosts, ca=ca)
        self._probe = topology.Probe(self.model, APP, self._access)
        self._form(lambda: self.problems(units), HOLD_S, tell)

    def deploy(
        self,
        units: int,
        config: Mapping[str, Any],
        resources: Mapping[str, str],
        base: str | None = None,
    ) -> None:
        """Deploy the charm, and wait for nothing; the arguments are those of ``Model.deploy``."""
        self.model.deploy(
            self._charm,
            app=APP,
            units=units,
            config=config,
            resources=resources,
            settings=self._settings,
            base=base,
        )

    def _form(
        self, missing: Callable[[], list[str]], hold_s: float, tell: Callable[[list[str]], None]
    ) -> None:
        found = until(missing, self.forming_limit_s, hold_s, tell)
        if found.since_s is None:
            raise ClusterError(f"the units did not get right: {'; '.join(found.missing)}")

    def destroy(self) -> None:
        """End the model; fine when there is none."""
        self._clear()

    def _clear(self) -> None:
        self.close()
        self.model.destroy()

    def close(self) -> None:
        """Look no longer; the model stays."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def learn(self, **changes: Any) -> None:
        """Reach the application in another way from now on, see ``wire.Access``."""
        self._access = dataclasses.replace(self.access, **changes)
        self.close()
        self._probe = topology.Probe(self.model, APP, self._access)

    # Looking.

    def units(self) -> dict[str, dict[str, Any]]:
        """Return the status of the units, by name in the order of their numbers."""
        units = self.model.status()["applications"][APP]["units"]
        return {name: units[name] for name in sorted(units, key=_number)}

    def alive(self) -> list[str]:
        """Return the units that stay, in the order of their numbers."""
        return [name for name, unit in self.units().items() if unit["life"] == "alive"]

    def leader(self) -> str:
        """Return the leader, or the first unit while there is none."""
        units = self.units()
        return next((name for name, unit in units.items() if unit["leader"]), next(iter(units)))

    def host(self, unit: str) -> str:
        """Return the host of a unit."""
        return self.units()[unit]["host"]

    def views(self) -> dict[str, topology.NodeView]:
        """Return what Redis and Sentinel of every staying unit say, by unit."""
        return self._look()[0]

    def primary(self) -> str | None:
        """Return the unit whose Redis alone says that it is primary, if there is just one."""
        found = [n for n, v in self.views().items() if v.redis and v.redis.role == "primary"]
        return found[0] if len(found) == 1 else None

    def problems(self, units: int) -> list[str]:
        """Return what is not right with roles, links and Sentinels at this moment."""
        views, planned, found = self._look()
        if planned != units:
            found.append(f"{planned} units are planned, not {units}")
        return found + topology.problems(views, planned)

    def _look(self) -> tuple[dict[str, topology.NodeView], int, list[str]]:
        assert self._probe is not None, "nothing is deployed"
        # Its process answers one question at a time.
        with self._looking:
            return self._probe.look()

    def not_active(self, units: int) -> list[str]:
        """Return the statuses that are not active; every unit, and the application."""
        app = self.model.status()["applications"][APP]
        shown = {name: unit["workload"] for name, unit in app["units"].items()}
        shown[APP] = app["status"]
        found = [
            f"{name} is {status['current']}: {status['message']}"
            for name, status in shown.items()
            if status["current"] != "active"
        ]
        if len(app["units"]) != units:
            found.append(f"there are {len(app['units'])} units, not {units}")
        return found

    def broken(self) -> set[str]:
        """Return the units that are in error, in sentences.

        A hook that was killed with its pod, or cut off from the controller, which answers all that
        it asks, is shown as failed too and run again, which is not the charm's failure.
        """
        failed = {
            name: unit["agent"]["message"]
            for name, unit in self.units().items()
            if unit["agent"]["current"] == "error"
        }
        if failed:
            last = {record.unit: record for record in self.model.hooks()}
            excused = {n for n, record in last.items() if record.rc == KILLED or record.cut_off}
            failed = {name: said for name, said in failed.items() if name not in excused}
        return {f"{name} was in error: {said}" for name, said in failed.items()}

    def password(self, kind: str) -> str:
        """Return that of the administrator of ``redis`` or of ``sentinel``."""
        access = self.access
        return str({"redis": access.redis_password, "sentinel": access.sentinel_password}[kind])

    def ask(
        self, unit: str, kind: str, *commands: str, user: str = "", password: str = ""
    ) -> list[str]:
        """Send commands to the Redis or the Sentinel of a unit, as its administrator if not told.

        Args:
            unit: whose it is.
            kind: ``redis`` or ``sentinel``.
            commands: one a line.
            user: who asks.
            password: of that user, or of the administrator if it is not the one that the
                application gives.

        Returns:
            The lines of all replies.

        Raises:
            ClusterError: it does not answer, or takes no such password.
        """
        program = f"exec {wire.CLI} -p {PORTS[kind]}"
        if self.access.ca:
            program = f". /etc/redis-k8s/cluster.env; {program} --tls --cacert $CA_FILE"
        # By standard input, so that the password is no argument of a process.
        user = user or (self.access.redis_user if kind == "redis" else "default")
        text = "\n".join([f"AUTH {user} {password or self.password(kind)}", *commands]) + "\n"
        done = self.model.exec(unit, kind, ["sh", "-c", program], stdin=text)
        lines = done.stdout.splitlines()
        if lines[:1] != ["OK"]:
            raise ClusterError(f"{unit}, {kind}: {done.stdout} {done.stderr}")
        return lines[1:]

    def max_lag_s(self) -> float:
        """Return ``min-replicas-max-lag`` of the first unit's Redis."""
        return float(self.ask(self.alive()[0], "redis", "CONFIG GET min-replicas-max-lag")[-1])

    # Waiting and acting.

    def until_right(
        self,
        units: int,
        more: Callable[[], list[str]] = list,
        limit_s: float = SETTLE_LIMIT_S,
        tell: Callable[[list[str]], None] = ignore,
    ) -> Outcome:
        """Wait until all is right for a while.

        Args:
            units: how many there should be.
            more: tells what else is not right.
            limit_s: how long to wait.
            tell: is shown what is not right yet.
        """
        return until(lambda: self.problems(units) + more(), limit_s, tell=tell)

    def until_calm(self) -> list[str]:
        """Wait until no unit has anything to do and all are active; return what is not so."""
        deadline_s = time.monotonic() + CALM_LIMIT_S
        while True:
            # A wake-up that a hook has asked for comes seconds later.
            with suppress(LabTimeout):
                self.model.wait_idle(max(0.1, deadline_s - time.monotonic()), hold_s=0.5)
            found = [
                f"{name} stays {unit['workload']['current']}, {unit['agent']['current']}: "
                f"{unit['workload']['message'] or unit['agent']['message']}"
                for name, unit in self.units().items()
                if unit["workload"]["current"] != "active" or unit["agent"]["current"] != "idle"
            ]
            if not found or time.monotonic() > deadline_s:
                return found
            time.sleep(LOOK_EVERY_S)

    def restore(self, units: int) -> None:
        """Bring the application to a number of units, all right and idle.

        Raises:
            ClusterError: that never came.
        """
        there = self.model.status()["applications"][APP]["scale"]
        if there < units:
            self.model.add_unit(APP, units - there)
        elif there > units:
            self.model.remove_unit(APP, there - units)
        outcome = self.until_right(units)
        found = outcome.missing if outcome.since_s is None else self.until_calm()
        if found:
            raise ClusterError(f"{units} units did not get right: {'; '.join(found)}")

    def move_primary(self, unit: str) -> None:
        """Make a unit the primary, and wait until all is right; nothing if it is.

        Raises:
            ClusterError: it did not become so.
        """
        if self.primary() == unit:
            return
        result = self.model.run(self.leader(), "switchover", {"unit": unit})
        if result.status != "completed":
            raise ClusterError(f"{unit} does not become primary: {result.message}")
        self.restore(len(self.alive()))
        if self.primary() != unit:
            raise ClusterError(f"{self.primary()} is primary, not {unit}")


def _number(unit: str) -> int:
    return int(unit.rpartition("/")[2])
