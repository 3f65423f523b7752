# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The whole charm in a model of its own, with clients that write to it all the time."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lab import LabError, sandbox
from trials import cluster, waiting
from trials.clients import checker, topology, wire
from trials.clients.checker import WriteLog
from trials.clients.writer import Mode, Write
from trials.cluster import APP, PORTS, ROOT
from trials.waiting import HOLD_S
from trials.writers import Writers

__all__ = ["APP", "LIMIT_S", "PORTS", "ROOT", "Cluster", "cli", "holders"]

LIMIT_S = 90.0
"""A bound for a busy machine; nothing here takes half of it on an idle one."""
TICK_S = 5.0
QUIET_S = 1.0
"""A client that got no acknowledgement for so long is not served."""
PERIOD_S = 0.01
LOG_TAIL = 120


def cli(kind: str, *words: str) -> list[str]:
    """Return the command, for a container, that asks its ``redis`` or its ``sentinel``."""
    return ["sh", "-c", f'exec {wire.CLI} "$@"', "sh", "-p", str(PORTS[kind]), *words]


class Cluster(cluster.Cluster):
    """One application in one model, with clients that write; what is wrong fails the test.

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
        super().__init__(name, settings=settings, config=config)
        self.forming_limit_s = LIMIT_S
        self._folder = folder
        self._writers: Writers | None = None

    # From nothing to nothing.

    def form(
        self,
        units: int,
        resources: Mapping[str, str] | None = None,
        tell: Callable[[list[str]], None] = waiting.ignore,
    ) -> None:
        """Deploy, wait until all is right, and start the clients."""
        Cluster.living.append(self)
        super().form(units, resources, tell)
        self._writers = Writers(self.model, self.access, self._folder, period_s=PERIOD_S)
        self.until(self.not_served)

    def destroy(self) -> None:
        """End everything; nothing may be left."""
        Cluster.living.remove(self)
        wrong = [] if self._writers is None else self._writers.stop()
        super().destroy()
        assert wrong == []
        assert sandbox.leftovers(self.model.dir) == []

    # Looking.

    @property
    def writers(self) -> Writers:
        assert self._writers is not None, "the cluster has not been formed"
        return self._writers

    @property
    def logs(self) -> Mapping[Mode, WriteLog]:
        """The records of the clients that write, by their mode."""
        return self.writers.logs

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
        ticked_s = 0.0

        def found() -> list[str]:
            nonlocal ticked_s
            if tick and time.monotonic() - ticked_s > TICK_S:
                ticked_s = time.monotonic()
                for unit in self.units():
                    self.model.update_status(unit)
            return missing()

        outcome = waiting.until(found, limit_s, hold_s)
        assert outcome.since_s is not None, outcome.missing

    def follow_passwords(self) -> None:
        """Ask who the administrator is, by which passwords.

        The clients that write stay connected as they are.
        """
        asked = topology.ask_access(self.model, APP)
        self.learn(
            redis_user=asked.redis_user,
            redis_password=asked.redis_password,
            sentinel_password=asked.sentinel_password,
        )

    def learn(self, **changes: Any) -> None:
        """Reach the application in another way from now on, and have the clients do so."""
        super().learn(**changes)
        self.writers.tell(**dataclasses.asdict(self.access))

    def settle(self, units: int = 3, tick: bool = False, limit_s: float = LIMIT_S) -> None:
        """Wait until all is right and served, with as many units; then nothing may be lost."""
        self.until(lambda: self.wrong(units), hold_s=HOLD_S, tick=tick, limit_s=limit_s)
        self.check()

    def wrong(self, units: int) -> list[str]:
        """Return what is not right with statuses, roles, links, Sentinels and service."""
        return self.not_active(units) + self.problems(units) + self.not_served()

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
        return self.writers.silent(QUIET_S)

    def check(self) -> None:
        """Nothing that was acknowledged may be lost, and no hook may ever have failed."""
        # The records first: what is written after they were read may be stored as well.
        written = self.writers.written()
        stored = self.writers.stored(self.access)
        assert self.writers.ended() == []
        for mode, writes in written.items():
            assert checker.acknowledged(writes), f"nothing was ever acknowledged ({mode})"
            lost = set(checker.lost(writes, stored[self.writers.keys[mode]]))
            lost -= self._uncopied(writes, lost)
            if lost:
                around = [w for w in writes if {w.number - 1, w.number, w.number + 1} & lost]
                shown = [(w.number, f"{w.end_s:.2f}", w.host, w.error) for w in around]
                raise AssertionError(
                    f"{len(lost)} of {len(writes)} writes lost ({mode}): "
                    f"{shown[:4]} … {shown[-4:]}"
                )
        errors = self.errors()
        assert errors == [], errors

    def _uncopied(self, writes: Sequence[Write], lost: Collection[int]) -> set[int]:
        """Return those of the lost writes that a silent end of their host excuses.

        It is the last one before the end, and only of hosts whose pod a test has killed.
        """
        silent = [line for line in self.model.log() if "its network silent" in line]
        excused = set(checker.unreplicated(writes, lost))
        return {
            write.number
            for write in writes
            if write.number in excused
            and any(f"unit-{write.host.partition('.')[0]}:" in line for line in silent)
        }

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
