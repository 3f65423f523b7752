# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a fault may do to a cluster, and the story of it."""

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials.clients import checker, wire
from trials.clients.checker import WriteLog
from trials.clients.writer import WriterProcess
from trials.cluster import Cluster
from trials.waiting import until

CLIENT_LIMIT_S = 20.0
CONF = "/etc/redis-k8s/redis.conf"
LIVE_CONF = "/etc/redis-k8s/live/redis.conf"
SERVED_WRITES = 20
"""A client with more acknowledged writes is served."""


class TrialError(RuntimeError):
    """The trial could not be made, or not to its end; the text says why."""


@dataclass(frozen=True)
class Inside:
    """A primary that was cut off, and the client that was cut off with it."""

    host: str
    process: WriterProcess
    cut_s: float
    healed_s: float
    units: int


class Scene:
    """What a fault may use: the cluster, the trial's clock, and what is more than one call."""

    def __init__(self, cluster: Cluster, number: int, folder: Path):
        self.cluster = cluster
        self.model = cluster.model
        self.number = number
        self.start_s = time.monotonic()
        self.over_s = self.start_s
        self.story: list[str] = []
        self.wrong: list[str] = []
        self.inside: list[Inside] = []
        self._folder = folder
        self._lock = threading.Lock()
        self._numbers = itertools.count()

    def say(self, text: str) -> None:
        """Note what happens now. The disturbance is over with the last note."""
        with self._lock:
            self.over_s = time.monotonic()
            self.story.append(f"{self.over_s - self.start_s:6.2f} s  {text}")

    def the_primary(self) -> str:
        """Return the primary.

        Raises:
            TrialError: there is none, or more than one.
        """
        primary = self.cluster.primary()
        if primary is None:
            raise TrialError("There is not one primary")
        return primary

    def cut(self, unit: str, seconds: float, direction: str | None = None) -> None:
        """Cut a unit off for a while; a client in the pod of a primary is cut off with it."""
        status = self.cluster.units()[unit]
        # A unit that leaves does not count: nobody is refused anything for it.
        stays = len(self.cluster.alive())
        client = self._client_inside(unit, status) if self.cluster.primary() == unit else None
        self.say(f"cut {unit} " + (f"one way, {direction}" if direction else "both ways"))
        self.model.cut(unit, direction=direction)
        cut_s = time.monotonic()
        time.sleep(seconds)
        healed_s = time.monotonic()
        self.model.heal(unit)
        self.say(f"heal {unit}")
        if client is not None:
            self.inside.append(Inside(status["host"], client, cut_s, healed_s, stays))

    def cut_pair(self, unit: str, companion: str, seconds: float) -> None:
        """Cut two units off from all others for a while; clients outside reach both sides."""
        units = self.cluster.units()
        pair = (unit, companion)
        rest = [name for name in units if name not in pair]
        client = self._client_inside(unit, units[unit])
        self.say(f"cut {unit} and {companion} off from the others")
        cut_s = time.monotonic()
        for each in pair:
            self.model.cut(each, rest)
        time.sleep(seconds)
        healed_s = time.monotonic()
        for each in pair:
            self.model.heal(each)
        self.say(f"heal {unit} and {companion}")
        self.inside.append(Inside(units[unit]["host"], client, cut_s, healed_s, len(units)))

    def _client_inside(self, unit: str, status: Mapping[str, Any]) -> WriterProcess:
        access = dataclasses.replace(self.cluster.access, hosts=(status["host"],))
        key = f"inside-{next(self._numbers)}"
        client = WriterProcess(
            lambda argv, **kwargs: self.model.spawn(argv, beside=unit, **kwargs),
            access,
            key=f"{self._folder.name}-{key}",
            log=self._folder / key,
            mode="stay",
            address=status["address"],
        )
        wait_for_writes(WriteLog(client.log), "a client beside the primary")
        return client

    def freeze(self, unit: str, seconds: float) -> None:
        """Stop a unit's Redis with SIGSTOP for a while."""
        self.say(f"freeze Redis of {unit}")
        self.model.freeze(unit, "redis", wire.SERVER)
        time.sleep(seconds)
        self.model.thaw(unit, "redis", wire.SERVER)
        self.say(f"thaw {unit}")

    def slow_disk(self, unit: str, seconds: float, delay_s: float) -> None:
        """Have every write of a unit's Redis to its files take long for a while."""
        self.say(f"each write of {unit} to its disk takes {delay_s:g} s")
        self.model.slow_disk(unit, "redis", wire.SERVER, seconds, delay_s)
        self.say(f"the disk of {unit} is as it was")

    def kill_on_a_busy_disk(self, unit: str, after_s: float) -> None:
        """Kill a unit's Redis while its disk has not finished what it was given."""
        self.say(f"the disk of {unit} does not come to an end; Redis is killed in {after_s:.1f} s")
        self.model.kill_on_a_busy_disk(unit, "redis", wire.SERVER, after_s)

    def kill_to_load_slowly(self, unit: str, key_s: float) -> None:
        """Kill a unit's Redis, whose next start, and no later one, takes so long for each key.

        Raises:
            TrialError: the settings for that could not be written, or it does not start.
        """
        lines = f"key-load-delay {key_s * 1e6:.0f}\nloading-process-events-interval-bytes 1024"
        self._in_shell(unit, f"printf '%s\\n' '{lines}' >>{CONF}")
        self.model.kill_process(unit, "redis", wire.SERVER)
        # The guarded start copies the file to this one.
        copied = f"grep -q key-load-delay {LIVE_CONF} && echo yes || true"
        wait(lambda: "yes" in self._in_shell(unit, copied), f"the start of {unit}")
        self._in_shell(unit, f"sed -i '/^key-load-delay /d;/^loading-process-/d' {CONF}")

    def _in_shell(self, unit: str, script: str) -> str:
        said = self.model.exec(unit, "redis", ["sh", "-c", script])
        if said.returncode:
            raise TrialError(f"{unit}: {script}: {said.stderr}")
        return said.stdout

    def empty(self, unit: str) -> None:
        """Kill a unit's pod; the next one finds its volume empty."""
        self.say(f"kill {unit} and empty its volume")
        self.model.kill_pod(unit, hold_s=0.5)
        self.model.empty_disk(unit, "database")


def wait(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds that clients need.

    Raises:
        TrialError: it never did.
    """
    found = until(lambda: [] if holds() else [what], CLIENT_LIMIT_S, hold_s=0.0)
    if found.since_s is None:
        raise TrialError(f"{what}: not within {CLIENT_LIMIT_S:.0f} s")


def wait_for_writes(log: WriteLog, what: str) -> None:
    """Wait until a client is served.

    Raises:
        TrialError: it never was.
    """
    wait(lambda: len(checker.acknowledged(log.read())) > SERVED_WRITES, what)
