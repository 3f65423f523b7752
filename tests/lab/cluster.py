# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The whole charm in a model of its own, with clients that write to it all the time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from lab import LabError, Model, sandbox
from trials.clients import checker, topology, wire
from trials.clients.checker import WriteLog
from trials.clients.topology import NodeView
from trials.clients.writer import WriterProcess

ROOT = Path(__file__).parents[2]
APP = "redis-k8s"
PORTS = {"redis": wire.REDIS_PORT, "sentinel": wire.SENTINEL_PORT}
MOST_UNITS = 8
"""Hosts that the clients know: those of units that come later too."""
LOOK_EVERY_S = 0.2
HOLD_S = 0.5
"""How long all must be right without a break before it counts."""
LIMIT_S = 90.0
"""A bound for a busy machine; nothing here takes half of it on an idle one."""
TICK_S = 5.0
QUIET_S = 1.0
"""A client that got no acknowledgement for so long is not served."""
LOG_TAIL = 120


def cli(kind: str, *words: str) -> list[str]:
    """Return the command, for a container, that asks its ``redis`` or its ``sentinel``."""
    return ["sh", "-c", f'exec {wire.CLI} "$@"', "sh", "-p", str(PORTS[kind]), *words]


class Cluster:
    """One application in one model.

    Args:
        name: of the model.
        folder: for the records of the clients.
        config: of the application.
        settings: of the model.
    """

    living: ClassVar[list[Cluster]] = []
    """Those that may have something to say about a test that failed."""

    def __init__(
        self, name: str, folder: Path, config: Mapping[str, Any] | None = None, **settings: Any
    ):
        self.model = Model(name)
        self._config = dict(config or {})
        self.forming_limit_s = LIMIT_S
        self._folder = folder
        self._settings = settings
        self._writers: dict[str, WriterProcess] = {}
        self._logs: dict[str, WriteLog] = {}
        self._probe: topology.Probe | None = None
        self._access: wire.Access | None = None

    # From nothing to nothing.

    def form(self, units: int) -> None:
        """Deploy, wait until all is right, and start the clients."""
        Cluster.living.append(self)
        self.model.deploy(ROOT, app=APP, units=units, config=self._config, settings=self._settings)
        self.until(lambda: self.not_active(units), limit_s=self.forming_limit_s)
        asked = topology.ask_access(self.model, APP)
        first = f"{APP}-0."
        hosts = tuple(asked.hosts[0].replace(first, f"{APP}-{n}.", 1) for n in range(MOST_UNITS))
        self._access = wire.Access(APP, hosts, asked.redis_password, asked.sentinel_password)
        self._probe = topology.Probe(self.model, APP, self._access)
        self.until(lambda: self._wrong(units), hold_s=HOLD_S, limit_s=self.forming_limit_s)
        for mode in ("follow", "hold"):
            log = self._folder / f"{self.model.name}-{mode}"
            self._writers[mode] = WriterProcess(
                self.model.spawn, self._access, key=mode, log=log, mode=mode, period_s=0.01
            )
            self._logs[mode] = WriteLog(log)
        self.until(self.not_served)

    def destroy(self) -> None:
        """End everything; nothing may be left."""
        Cluster.living.remove(self)
        if self._probe is not None:
            self._probe.close()
        try:
            for writer in self._writers.values():
                writer.stop()
        finally:
            self.model.destroy()
        assert sandbox.leftovers(self.model.dir) == []

    # Looking.

    @property
    def access(self) -> wire.Access:
        assert self._access is not None, "the cluster has not been formed"
        return self._access

    def units(self) -> dict[str, dict[str, Any]]:
        """Return what Juju says of every unit, by name."""
        return self.model.status()["applications"][APP]["units"]

    def views(self) -> dict[str, NodeView]:
        """Return what Redis and Sentinel of every staying unit say, by unit."""
        assert self._probe is not None, "the cluster has not been formed"
        return self._probe.look()[0]

    def primary(self) -> str:
        """Return the unit that is primary, when all agree on it."""
        found: list[str] = []

        def unclear() -> list[str]:
            views = self.views()
            roles = {unit: v.redis.role for unit, v in views.items() if v.redis}
            found[:] = [unit for unit, role in roles.items() if role == "primary"]
            return [] if len(found) == 1 else [f"there is no one primary: {roles}"]

        self.until(unclear)
        return found[0]

    def replicas(self) -> list[str]:
        primary = self.primary()
        return sorted(unit for unit in self.units() if unit != primary)

    def leader(self) -> str:
        return next(name for name, unit in self.units().items() if unit["leader"])

    def host(self, unit: str) -> str:
        return self.units()[unit]["host"]

    def bags(self) -> dict[str, dict[str, str]]:
        """Return the databags of the peer relation, by application and unit."""
        bags = self.model.databags(APP)
        (found,) = [each for name, each in bags.items() if name.startswith("redis-peers")]
        return found

    def recorded_primary(self) -> str | None:
        """Return the unit that the peer relation names as primary."""
        host = self.bags()[APP].get("leader-host")
        return f"{APP}/{host.split('.')[0].rsplit('-', 1)[1]}" if host else None

    def secret_values(self) -> set[str]:
        """Return every password in every secret of the application.

        Beside them stands only the serial of their state, which the databag shows too. The next
        and the previous ones, while there are some, are maps in JSON.
        """
        found: set[str] = set()
        for secret in self.model.secrets(APP).values():
            for content in secret["revisions"].values():
                found |= {
                    text
                    for key, text in content.items()
                    if key.endswith("-password") or key == "seal"
                }
                for key in ("next", "previous"):
                    found |= set(json.loads(content.get(key, "{}")).values())
        return found

    def password(self, kind: str) -> str:
        """Return that of the administrator of ``redis`` or of ``sentinel``."""
        found = {"redis": self.access.redis_password, "sentinel": self.access.sentinel_password}
        return str(found[kind])

    def ask(self, unit: str, kind: str, *commands: str, password: str = "") -> list[str]:
        """Send commands to the Redis or the Sentinel of a unit as its administrator.

        Args:
            unit: whose it is.
            kind: ``redis`` or ``sentinel``.
            commands: one a line.
            password: if it is not the one that the application gives.

        Returns:
            The lines of all replies.
        """
        password = password or self.password(kind)
        # By standard input, so that the password is no argument of a process.
        text = "\n".join([f"AUTH default {password}", *commands]) + "\n"
        done = self.model.exec(unit, kind, cli(kind), stdin=text)
        lines = done.stdout.splitlines()
        assert lines[:1] == ["OK"], (done.stdout, done.stderr)
        return lines[1:]

    # Waiting.

    def until(
        self,
        missing: Callable[[], list[str]],
        limit_s: float = LIMIT_S,
        hold_s: float = 0.0,
        tick: bool = False,
    ) -> None:
        """Wait until nothing is missing, for ``hold_s`` without a break.

        Args:
            missing: says what is not as it should be, in sentences.
            limit_s: after which the test fails with those sentences.
            hold_s: how long it must stay so.
            tick: let every unit run update-status now and then, as Juju does every 5 minutes.
        """
        deadline_s = time.monotonic() + limit_s
        held_since_s: float | None = None
        ticked_s = 0.0
        while True:
            looked_s = time.monotonic()
            if tick and looked_s - ticked_s > TICK_S:
                ticked_s = looked_s
                for unit in self.units():
                    self.model.update_status(unit)
            found = missing()
            if found:
                held_since_s = None
            elif held_since_s is None:
                held_since_s = looked_s
            now_s = time.monotonic()
            if held_since_s is not None and now_s - held_since_s >= hold_s:
                return
            assert now_s < deadline_s, found or "it was right for moments only"
            time.sleep(max(0.0, LOOK_EVERY_S - (now_s - looked_s)))

    def settle(self, units: int = 3, tick: bool = False, limit_s: float = LIMIT_S) -> None:
        """Wait until all is right and served, with as many units; then nothing may be lost."""
        self.until(lambda: self.wrong(units), hold_s=HOLD_S, tick=tick, limit_s=limit_s)
        self.check()

    def wrong(self, units: int) -> list[str]:
        """Return what is not right with statuses, roles, links, Sentinels and service."""
        return self.not_active(units) + self._wrong(units) + self.not_served()

    def _wrong(self, units: int) -> list[str]:
        assert self._probe is not None, "the cluster has not been formed"
        views, planned, found = self._probe.look()
        if planned != units:
            found.append(f"{planned} units are planned, not {units}")
        return found + topology.problems(views, planned)

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

    def shows(self, unit: str, current: str, words: str) -> list[str]:
        """Return what the status of a unit, or of the application, says, if it is not this."""
        app = self.model.status()["applications"][APP]
        status = app["status"] if unit == APP else app["units"][unit]["workload"]
        if status["current"] == current and words in status["message"]:
            return []
        return [f"{unit} is {status['current']}: {status['message']}; not {current}: {words}"]

    def showed(self, unit: str, current: str, words: str) -> list[str]:
        """Return the same of all statuses that a unit has had; it may have left meanwhile."""
        had = self.model.status_log(unit)
        if any(each["current"] == current and words in each["message"] for each in had):
            return []
        return [f"{unit} was never {current}: {words}; but {had[-5:]}"]

    def not_served(self) -> list[str]:
        """Return since when clients get no acknowledgement, and what they get instead."""
        found = []
        for mode, log in self._logs.items():
            writes = log.read()
            good_s = next((w.end_s for w in reversed(writes) if w.error is None), 0.0)
            if time.monotonic() - good_s > QUIET_S:
                error = (writes[-1].error if writes else None) or "no answer yet"
                found.append(f"no write ({mode}) since {good_s:.1f} on the clock: {error}")
        return found

    def check(self) -> None:
        """Nothing that was acknowledged may be lost, and no hook may ever have failed."""
        # The records first: what is written after they were read may be stored as well.
        written = {mode: list(log.read()) for mode, log in self._logs.items()}
        stored = checker.stored_numbers(self.model.spawn, self.access, list(written))
        for mode, writes in written.items():
            assert self._writers[mode].running(), f"the client ({mode}) ended by itself"
            assert checker.acknowledged(writes), f"nothing was ever acknowledged ({mode})"
            lost = set(checker.lost(writes, stored[mode]))
            if lost:
                around = [w for w in writes if {w.number - 1, w.number, w.number + 1} & lost]
                shown = [(w.number, f"{w.end_s:.2f}", w.host, w.error) for w in around]
                raise AssertionError(
                    f"{len(lost)} of {len(writes)} writes lost ({mode}): "
                    f"{shown[:4]} … {shown[-4:]}"
                )
        assert self.errors() == []

    def errors(self) -> list[str]:
        """Return the lines of the log by which a unit went into error."""
        return [line for line in self.model.log() if " ERROR " in line]

    # Acting.

    def switch_to(self, unit: str) -> None:
        """Make a unit the primary."""
        result = self.model.run(self.leader(), "switchover", {"unit": unit})
        assert result.status == "completed", result
        assert self.primary() == unit

    def tick(self, unit: str) -> None:
        """Let a unit run update-status, and wait until it has."""
        since = len(self.model.hooks())
        self.model.update_status(unit)

        def missing() -> list[str]:
            names = {hook.name for hook in self.model.hooks(since) if hook.unit == unit}
            return [] if "update-status" in names else [f"{unit} ran {names}, no update-status"]

        self.until(missing)

    def evidence(self) -> str:
        """Return what explains a failure: statuses, the end of every log."""
        parts = [f"--- model {self.model.name}"]
        try:
            parts.append(json.dumps(self.units(), indent=1))
            parts += self.model.log()[-LOG_TAIL:]
            for unit in self.units():
                for container in PORTS:
                    parts.append(f"--- {unit} {container}")
                    command = ["/charm/bin/pebble", "logs", "-n", "60"]
                    try:
                        parts.append(self.model.exec(unit, container, command).stdout)
                    except LabError as e:
                        parts.append(str(e))
        except LabError as e:
            parts.append(str(e))
        return "\n".join(parts)


def holders(values: Iterable[str], texts: Mapping[str, str]) -> list[str]:
    """Return the names of the texts that hold one of the values."""
    wanted = list(values)
    return sorted(name for name, text in texts.items() if any(value in text for value in wanted))
