# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""One trial: clients write and read, something is done to the application, and all is judged.

What is done is the caller's, see `faults` and `nemesis`; this module holds the model that it is
done to (`Bench`), what a trial records (`Trial`) and what counts as wrong.
"""

import dataclasses
import itertools
import json
import shutil
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.client import LabError, LabTimeout, Model
from lab.packing import read_meta
from trials.authority import Authority
from trials.clients import checker, history, topology, wire
from trials.clients.checker import RecordLog, WriteLog
from trials.clients.reader import Read, ReaderProcess
from trials.clients.writer import Mode, Write, WriterProcess

APP = "redis-k8s"
MOST_UNITS = 8
"""The clients know the hosts of so many units, also of those that come later."""
OUTSIDE: tuple[Mode, ...] = ("follow", "hold")
WARM_S = 1.0
"""Writes that nothing disturbs, before."""
HOLD_S = 1.5
"""How long all must be right without a break before it counts."""
LOOK_EVERY_S = 0.2
SETTLE_LIMIT_S = 90.0
CALM_LIMIT_S = 45.0
DEPLOY_LIMIT_S = 120.0
CLIENT_LIMIT_S = 20.0
SILENT_S = 0.5
GRACE_S = 1.0
"""What a cut-off primary may take beyond ``min-replicas-max-lag``."""
CONTAINERS = ("redis", "sentinel")
KILLED = -signal.SIGKILL

# The clients' own errors are RuntimeErrors.
TROUBLE = (LabError, RuntimeError, OSError)


class TrialError(RuntimeError):
    """The trial could not be made, or not to its end; the text says why."""


@dataclass
class Trial:
    """What came of one trial.

    Attributes:
        name: of the cell, or of the round.
        number: which one of its cell.
        units: how many there were before.
        gap_s: the longest time without an acknowledged write, of the client that follows.
        gap_hold_s: the same, of the client that holds on.
        lost: acknowledged writes that are gone, of the client that follows Sentinel.
        lost_hold: the same, of the client that holds on.
        lost_inside: the same, of clients in the pod of a primary that was cut off.
        inside_s: for how long a cut-off primary went on acknowledging; ``None`` without a cut.
        two_primaries_s: how long two hosts both acknowledged.
        settled_s: from the end of the disturbance until all was right; ``None``: never.
        waited_for: what was the last not to be right.
        reads: answers that the client of the replicas got.
        wrong: what was not as it must be, in sentences.
        kept: the folder with the logs and the history, if they were kept.
        story: what was done, with the seconds from the start.
    """

    name: str
    number: int
    units: int
    gap_s: float = 0.0
    gap_hold_s: float = 0.0
    lost: int = 0
    lost_hold: int = 0
    lost_inside: int = 0
    inside_s: float | None = None
    two_primaries_s: float = 0.0
    settled_s: float | None = None
    waited_for: list[str] = field(default_factory=list)
    reads: int = 0
    wrong: list[str] = field(default_factory=list)
    kept: str = ""
    story: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the figures in one line."""
        settled = "never" if self.settled_s is None else f"{self.settled_s:.1f} s"
        inside = "" if self.inside_s is None else f", cut off {self.inside_s:.1f} s"
        return (
            f"{self.name}, {self.units} units, {self.number}: gap {self.gap_s:.2f} s, "
            f"lost {self.lost} / {self.lost_hold}, two primaries {self.two_primaries_s:.1f} s"
            f"{inside}, settled {settled}" + ("" if not self.wrong else "  WRONG")
        )


def median_and_worst(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Return median and maximum; ``None`` is worse than any number, and both without values."""
    if not values:
        return None, None
    numbers = sorted(float("inf") if value is None else value for value in values)
    found = statistics.median(numbers), numbers[-1]
    middle, worst = (None if value == float("inf") else value for value in found)
    return middle, worst


class Bench:
    """A model with the application, for trials one after the other.

    Args:
        name: of the model; an old one of that name is destroyed.
        charm: the charm's directory.
        settings: of the model.
        config: of the application.
        tls: whether everything speaks TLS, with certificates from files.
        image: what the containers start from; empty for the one that the charm names.
    """

    def __init__(
        self,
        name: str,
        charm: Path,
        settings: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        tls: bool = False,
        image: str = "",
    ):
        self.model = Model(name)
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

    @property
    def ca(self) -> str:
        """The certificate of the authority, in PEM format; empty: plain text."""
        return self._authority.pem if self._authority else ""

    def deploy(self, units: int) -> None:
        """Deploy anew, whatever was there, and wait until all is right.

        Raises:
            TrialError: that never came.
        """
        self.destroy()
        with TemporaryDirectory() as folder:
            config, resources = self._config, dict(self._images)
            if self._authority is not None:
                config = {**config, "enable-tls": True}
                resources |= self._authority.issue("redis").write(Path(folder))
            self.model.deploy(
                self._charm,
                app=APP,
                units=units,
                config=config,
                resources=resources,
                settings=self._settings,
            )
        self.model.wait(
            lambda s: all(
                unit["workload"]["current"] == "active"
                for unit in s["applications"][APP]["units"].values()
            ),
            DEPLOY_LIMIT_S,
            "active units",
        )
        access = topology.ask_access(self.model, APP)
        first = access.hosts[0]
        hosts = [first.replace(f"{APP}-0", f"{APP}-{n}", 1) for n in range(MOST_UNITS)]
        self._access = wire.Access(
            APP, tuple(hosts), access.redis_password, access.sentinel_password, self.ca
        )
        self._probe = topology.Probe(self.model, APP, self._access)
        self.restore(units)

    def destroy(self) -> None:
        """End the model; fine when there is none."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None
        self.model.destroy()

    def restore(self, units: int) -> None:
        """Bring the application to a number of units, all right and idle.

        Raises:
            TrialError: that never came.
        """
        there = self.model.status()["applications"][APP]["scale"]
        if there < units:
            self.model.add_unit(APP, units - there)
        elif there > units:
            self.model.remove_unit(APP, there - units)
        right_s, found = self.until_right(units, lambda: [], SETTLE_LIMIT_S)
        found = self.until_calm() if right_s is not None else found
        if found:
            raise TrialError(f"{units} units did not get right: {'; '.join(found)}")

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

    def primary(self) -> str | None:
        """Return the unit whose Redis alone says that it is primary, if there is just one."""
        views, _, _ = self._look()
        found = [name for name, v in views.items() if v.redis and v.redis.role == "primary"]
        return found[0] if len(found) == 1 else None

    def problems(self, units: int) -> list[str]:
        """Return what is not right at this moment."""
        views, planned, found = self._look()
        if planned != units:
            found.append(f"{planned} units are planned, not {units}")
        return found + topology.problems(views, planned)

    def _look(self) -> tuple[dict[str, topology.NodeView], int, list[str]]:
        assert self._probe is not None, "nothing is deployed"
        # Its process answers one question at a time.
        with self._looking:
            return self._probe.look()

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

    def until_right(
        self, units: int, more: Callable[[], list[str]], limit_s: float
    ) -> tuple[float | None, list[str]]:
        """Wait until all is right for a while.

        Args:
            units: how many there should be.
            more: tells what else is not right.
            limit_s: how long to wait.

        Returns:
            Since when it was right, on the monotonic clock, or ``None``; and what was the last
            not to be right.
        """
        deadline_s = time.monotonic() + limit_s
        since_s: float | None = None
        last: list[str] = []
        while True:
            asked_s = time.monotonic()
            found = self.problems(units) + more()
            since_s = None if found else since_s or asked_s
            last = found or last
            now_s = time.monotonic()
            if since_s is not None and now_s - since_s >= HOLD_S:
                return since_s, last
            if now_s > deadline_s:
                return None, found or ["it was right for moments only", *last]
            time.sleep(max(0.0, LOOK_EVERY_S - (now_s - asked_s)))

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

    def max_lag_s(self) -> float:
        """Return ``min-replicas-max-lag`` of the first unit's Redis.

        Raises:
            TrialError: it does not say.
        """
        program = f"exec {wire.CLI}"
        if self.ca:
            program = f". /etc/redis-k8s/cluster.env; {program} --tls --cacert $CA_FILE"
        said = self.model.exec(
            self.alive()[0],
            "redis",
            ["sh", "-c", program],
            stdin=f"AUTH {self.access.redis_password}\nCONFIG GET min-replicas-max-lag\n",
        )
        words = said.stdout.split()
        if "min-replicas-max-lag" not in words:
            raise TrialError("Redis does not say its min-replicas-max-lag")
        return float(words[-1])

    def move_primary(self, unit: str) -> None:
        """Make a unit the primary, and wait until all is right; nothing if it is.

        Raises:
            TrialError: it did not become so.
        """
        if self.primary() == unit:
            return
        result = self.model.run(self.leader(), "switchover", {"unit": unit})
        if result.status != "completed":
            raise TrialError(f"{unit} does not become primary: {result.message}")
        self.restore(len(self.alive()))
        if self.primary() != unit:
            raise TrialError(f"{self.primary()} is primary, not {unit}")


@dataclass(frozen=True)
class Inside:
    """A primary that was cut off, and the client that was cut off with it."""

    host: str
    process: WriterProcess
    cut_s: float
    healed_s: float
    units: int


class Scene:
    """What a fault may use: the bench, the trial's clock, and what is more than one call."""

    def __init__(self, bench: Bench, number: int, folder: Path):
        self.bench = bench
        self.model = bench.model
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
        primary = self.bench.primary()
        if primary is None:
            raise TrialError("There is not one primary")
        return primary

    def cut(self, unit: str, seconds: float, direction: str | None = None) -> None:
        """Cut a unit off for a while; a client in the pod of a primary is cut off with it."""
        status = self.bench.units()[unit]
        # A unit that leaves does not count: nobody is refused anything for it.
        stays = len(self.bench.alive())
        client = self._client_inside(unit, status) if self.bench.primary() == unit else None
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
        units = self.bench.units()
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
        access = dataclasses.replace(self.bench.access, hosts=(status["host"],))
        key = f"inside-{next(self._numbers)}"
        client = WriterProcess(
            lambda argv, **kwargs: self.model.spawn(argv, beside=unit, **kwargs),
            access,
            key=f"{self._folder.name}-{key}",
            log=self._folder / key,
            mode="stay",
            address=status["address"],
        )
        log = WriteLog(client.log)
        _wait(lambda: len(checker.acknowledged(log.read())) > 20, "a client beside the primary")
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

    def empty(self, unit: str) -> None:
        """Kill a unit's pod; the next one finds its volume empty."""
        self.say(f"kill {unit} and empty its volume")
        self.model.kill_pod(unit, hold_s=0.5)
        self.model.empty_disk(unit, "database")


class _Clients:
    """The clients of one trial and their records."""

    def __init__(self, bench: Bench, folder: Path):
        self.keys: dict[Mode, str] = {mode: f"{folder.name}-{mode}" for mode in OUTSIDE}
        self._bench = bench
        self._folder = folder
        spawn, access = bench.model.spawn, bench.access
        self._writers = {
            mode: WriterProcess(spawn, access, key=key, log=folder / mode, mode=mode)
            for mode, key in self.keys.items()
        }
        self._reader = ReaderProcess(
            spawn, access, keys=list(self.keys.values()), log=folder / "reader"
        )
        self.logs: dict[Mode, WriteLog] = {mode: WriteLog(folder / mode) for mode in OUTSIDE}
        self.reads = RecordLog(folder / "reader", Read)

    def warm_up(self) -> None:
        for log in self.logs.values():
            _wait(lambda log=log: len(checker.acknowledged(log.read())) > 20, "the writers")
        if len(self._bench.alive()) > 1:
            _wait(lambda: any(r.error is None for r in self.reads.read()), "the reader")
        time.sleep(WARM_S)

    def silent(self) -> list[str]:
        """Return which client gets no acknowledgements now, in sentences."""
        found = []
        for mode, log in self.logs.items():
            writes = log.read()
            last_s = next((w.end_s for w in reversed(writes) if w.error is None), 0.0)
            if time.monotonic() - last_s > SILENT_S:
                found.append(f"no write ({mode}): {writes[-1].error or 'no answer'}")
        return found

    def stop(self) -> list[str]:
        """End all; return which had ended by themselves."""
        wrong = []
        for process in (*self._writers.values(), self._reader):
            if not process.running():
                wrong.append(f"The client that fills {process.log.name} ended by itself")
            try:
                process.stop()
            except RuntimeError as e:
                wrong.append(str(e))
        return wrong


def _number(unit: str) -> int:
    return int(unit.rpartition("/")[2])


def _wait(holds: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + CLIENT_LIMIT_S
    while not holds():
        if time.monotonic() > deadline_s:
            raise TrialError(f"{what}: not within {CLIENT_LIMIT_S:.0f} s")
        time.sleep(0.05)


def run(
    bench: Bench,
    act: Callable[[Scene], None],
    *,
    name: str,
    number: int,
    units_after: int,
    folder: Path,
    may_lose: bool = False,
    keep: bool = False,
) -> Trial:
    """Make one trial on a bench that is right; return what came of it.

    Args:
        bench: with the application, all right.
        act: disturbs it; returns when the disturbance is over.
        name: of the trial, for its record.
        number: the same.
        units_after: how many units there are to be in the end.
        folder: for the records and logs; kept only if something was wrong. Its name is in the
            keys of the clients, so it is used once on a bench.
        may_lose: lost writes are counted but are not wrong.
        keep: keep the folder also when all was right.
    """
    folder.mkdir(parents=True)
    trial = Trial(name, number, len(bench.alive()))
    logs = LogMarks.now(bench.model)
    clients = _Clients(bench, folder)
    scene = Scene(bench, number, folder)
    try:
        try:
            clients.warm_up()
            _disturb(bench, clients, scene, trial, act, units_after)
        finally:
            for inside in scene.inside:
                inside.process.stop()
            trial.wrong += clients.stop()
        _judge(bench, clients, scene, trial, may_lose)
    except TROUBLE as e:
        trial.wrong.append(str(e))
    trial.story = scene.story
    if trial.wrong or keep:
        trial.kept = str(folder)
        logs.keep(folder)
        (folder / "trial.json").write_text(json.dumps(asdict(trial), indent=1) + "\n")
    else:
        shutil.rmtree(folder)
    return trial


def _disturb(
    bench: Bench,
    clients: _Clients,
    scene: Scene,
    trial: Trial,
    act: Callable[[Scene], None],
    units_after: int,
) -> None:
    broken: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        # A unit may be in error for a moment only, while the disturbance still lasts.
        while not ended.wait(LOOK_EVERY_S):
            with suppress(LabError):
                broken.update(bench.broken())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    scene.start_s = scene.over_s = time.monotonic()
    try:
        act(scene)
        right_s, found = bench.until_right(units_after, clients.silent, SETTLE_LIMIT_S)
        trial.waited_for = found
        if right_s is None:
            trial.wrong += found
        else:
            trial.settled_s = max(0.0, right_s - scene.over_s)
            trial.wrong += bench.until_calm()
    finally:
        ended.set()
        watcher.join()
        trial.wrong += [*scene.wrong, *sorted(broken)]


def _judge(
    bench: Bench, clients: _Clients, scene: Scene, trial: Trial, may_lose: bool
) -> history.Verdict:
    writes: dict[str, list[Write]] = {
        clients.keys[mode]: log.read() for mode, log in clients.logs.items()
    }
    inside = {client.process.key: WriteLog(client.process.log).read() for client in scene.inside}
    stored = checker.stored_numbers(bench.model.spawn, bench.access, [*writes, *inside])
    reads = clients.reads.read()
    verdict = history.judge(history.History({**writes, **inside}, reads, stored))
    follow, hold = (clients.keys[mode] for mode in OUTSIDE)
    ends_s = [w.end_s for w in writes[follow]]
    trial.gap_s, trial.gap_hold_s = (
        checker.longest_gap_s(writes[key], scene.start_s, max(ends_s, default=0.0))
        for key in (follow, hold)
    )
    trial.lost, trial.lost_hold = len(verdict.lost[follow]), len(verdict.lost[hold])
    trial.lost_inside = sum(len(verdict.lost[key]) for key in inside)
    trial.two_primaries_s = verdict.two_primaries_s
    trial.reads = sum(read.error is None for read in reads)
    trial.wrong += history.problems(verdict)
    if not may_lose:
        for key in (follow, hold):
            if verdict.lost[key]:
                trial.wrong.append(f"{len(verdict.lost[key])} acknowledged writes lost ({key})")
    allowed_s = bench.max_lag_s() + GRACE_S
    if trial.two_primaries_s > allowed_s:
        pairs = sorted({" and ".join(o.hosts) for o in verdict.overlaps})
        trial.wrong.append(
            f"two primaries acknowledged for {trial.two_primaries_s:.1f} s: {'; '.join(pairs)}"
        )
    for cut in scene.inside:
        length_s = history.acknowledged_after_s(
            inside[cut.process.key], cut.host, cut.cut_s, cut.healed_s
        )
        trial.inside_s = max(length_s, trial.inside_s or 0.0)
        # With fewer than three nothing is refused: nobody else becomes primary either.
        if cut.units >= 3 and length_s > allowed_s:
            trial.wrong.append(f"{cut.host}, cut off, acknowledged for {length_s:.1f} s")
    return verdict


@dataclass(frozen=True)
class LogMarks:
    """Where all logs of a model ended at some moment; without values: their beginnings.

    Attributes:
        model: whose.
        lines: of the debug log.
        sizes: of what the containers printed, by file.
    """

    model: Model
    lines: int = 0
    sizes: Mapping[Path, int] = field(default_factory=dict)

    @classmethod
    def now(cls, model: Model) -> "LogMarks":
        """Return where they end now."""
        _, lines = model.follow_log(sys.maxsize, 0.0)
        return cls(model, lines, {path: path.stat().st_size for path in _container_logs(model)})

    def printed(self) -> Iterator[tuple[Path, bytes]]:
        """Yield the log of each container, and what has come to it since then."""
        for path in _container_logs(self.model):
            with path.open("rb") as file:
                file.seek(self.sizes.get(path, 0))
                yield path, file.read()

    def keep(self, folder: Path) -> None:
        """Write what came since then, and how things are, into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in self.printed():
            (folder / f"{path.parent.name}-{path.name}").write_bytes(data)
        with suppress(LabError):
            text = "\n".join(self.model.log(self.lines))
            (folder / "debug.log").write_text(text + "\n")
            (folder / "status.json").write_text(json.dumps(self.model.status(), indent=1) + "\n")


def _container_logs(model: Model) -> list[Path]:
    return [p for name in CONTAINERS for p in (model.dir / "logs").glob(f"*/{name}.log")]
