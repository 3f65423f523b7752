# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""One trial: clients write and read, something is done to the application, and all is judged.

What is done is the caller's, see `faults` and `nemesis`; this module has what a trial records
(`Trial`) and what counts as wrong.
"""

import json
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab import LabError
from trials.clients import checker, history
from trials.clients.checker import RecordLog, WriteLog
from trials.clients.reader import Read, ReaderProcess
from trials.clients.writer import Write
from trials.cluster import CALM_LIMIT_S, TROUBLE, Cluster
from trials.logs import LogMarks
from trials.scene import Scene, wait, wait_for_writes
from trials.waiting import LOOK_EVERY_S, until
from trials.writers import MODES, Writers, named, stop

WARM_S = 1.0
"""Writes that nothing disturbs, before."""
GRACE_S = 1.0
"""What a cut-off primary may take beyond ``min-replicas-max-lag``."""


@dataclass
class Trial:
    """What came of one trial.

    Attributes:
        name: of the cell, or of the round.
        number: which one of its cell.
        units: how many there were before.
        gap_s: the longest time without an acknowledged write, of the client that follows.
        gap_hold_s: the same, of the client that holds on.
        gap_name_s: the same, of a client that knows the one name only; ``None`` without it.
        lost: acknowledged writes that are gone, of the client that follows Sentinel.
        lost_hold: the same, of the client that holds on.
        lost_name: the same, of the client that knows the one name only.
        unreplicated: those among the lost of follow and hold that no replica can have had.
        lost_inside: the same as ``lost``, of clients in the pod of a primary that was cut off.
        inside_s: for how long a cut-off primary went on acknowledging; ``None`` without a cut.
        two_primaries_s: how long two hosts both acknowledged.
        settled_s: from the end of the disturbance until all was right; ``None``: never.
        shown_s: from then until every unit and the application showed active; ``None``: never.
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
    gap_name_s: float | None = None
    lost: int = 0
    lost_hold: int = 0
    lost_name: int = 0
    unreplicated: int = 0
    lost_inside: int = 0
    inside_s: float | None = None
    two_primaries_s: float = 0.0
    settled_s: float | None = None
    shown_s: float | None = None
    waited_for: list[str] = field(default_factory=list)
    reads: int = 0
    wrong: list[str] = field(default_factory=list)
    kept: str = ""
    story: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the figures in one line."""
        settled = "never" if self.settled_s is None else f"{self.settled_s:.1f} s"
        if self.shown_s is not None:
            settled += f", active {self.shown_s:.1f} s later"
        name = "" if self.gap_name_s is None else f", by name {self.gap_name_s:.2f} s"
        inside = "" if self.inside_s is None else f", cut off {self.inside_s:.1f} s"
        return (
            f"{self.name}, {self.units} units, {self.number}: gap {self.gap_s:.2f} s{name}, "
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


class _Clients:
    """The clients of one trial and their records."""

    def __init__(self, cluster: Cluster, folder: Path, one_name: bool):
        self._cluster = cluster
        self.by_name = (
            named(cluster.model, cluster.access, folder, f"{folder.name}-") if one_name else None
        )
        self.writers = Writers(cluster.model, cluster.access, folder, prefix=f"{folder.name}-")
        keys = list(self.writers.keys.values())
        self._reader = ReaderProcess(
            cluster.model.spawn, cluster.access, keys=keys, log=folder / "reader"
        )
        self.reads = RecordLog(folder / "reader", Read)

    def warm_up(self) -> None:
        for log in self.writers.logs.values():
            wait_for_writes(log, "the writers")
        if self.by_name is not None:
            wait_for_writes(WriteLog(self.by_name.log), "the writer by name")
        if len(self._cluster.alive()) > 1:
            wait(lambda: any(r.error is None for r in self.reads.read()), "the reader")
        time.sleep(WARM_S)

    def stop(self) -> list[str]:
        """End all; return which had ended by themselves."""
        others = [self._reader, *([self.by_name] if self.by_name else [])]
        return [*self.writers.stop(), *stop(others)]


def run(
    cluster: Cluster,
    act: Callable[[Scene], None],
    *,
    name: str,
    number: int,
    units_after: int,
    folder: Path,
    may_lose: bool = False,
    silent: bool = False,
    keep: bool = False,
    one_name: bool = False,
) -> Trial:
    """Make one trial on a cluster that is right; return what came of it.

    Args:
        cluster: with the application, all right.
        act: disturbs it; returns when the disturbance is over.
        name: of the trial, for its record.
        number: the same.
        units_after: how many units there are to be in the end.
        folder: for the records and logs; kept only if something was wrong. Its name is in the
            keys of the clients, so it is used once on a cluster.
        may_lose: lost writes are counted but are not wrong.
        silent: the network of a primary stops without a word, so that the last write that it
            acknowledged to each client may be lost, see `checker.unreplicated`.
        keep: keep the folder also when all was right.
        one_name: one more client writes, which knows the name of the Service only.
    """
    folder.mkdir(parents=True)
    trial = Trial(name, number, len(cluster.alive()))
    logs = LogMarks.now(cluster.model)
    clients = _Clients(cluster, folder, one_name)
    scene = Scene(cluster, number, folder)
    try:
        try:
            clients.warm_up()
            _disturb(cluster, clients, scene, trial, act, units_after)
        finally:
            for inside in scene.inside:
                inside.process.stop()
            trial.wrong += clients.stop()
        _judge(cluster, clients, scene, trial, may_lose=may_lose, silent=silent)
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
    cluster: Cluster,
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
                broken.update(cluster.broken())

    active_since_s: float | None = None

    def not_active() -> list[str]:
        nonlocal active_since_s
        asked_s = time.monotonic()
        found = cluster.not_active(units_after)
        active_since_s = None if found else active_since_s or asked_s
        return found

    def not_writing() -> list[str]:
        not_active()
        return clients.writers.silent()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    scene.start_s = scene.over_s = time.monotonic()
    try:
        act(scene)
        outcome = cluster.until_right(units_after, not_writing)
        trial.waited_for = outcome.missing
        if outcome.since_s is None:
            trial.wrong += outcome.missing
        else:
            trial.settled_s = max(0.0, outcome.since_s - scene.over_s)
            until(not_active, CALM_LIMIT_S, hold_s=0.0)
            if active_since_s is not None:
                trial.shown_s = max(0.0, active_since_s - outcome.since_s)
            trial.wrong += cluster.until_calm()
    finally:
        ended.set()
        watcher.join()
        trial.wrong += [*scene.wrong, *sorted(broken)]


def _judge(
    cluster: Cluster,
    clients: _Clients,
    scene: Scene,
    trial: Trial,
    *,
    may_lose: bool,
    silent: bool,
) -> history.Verdict:
    keys = clients.writers.keys
    writes: dict[str, list[Write]] = {
        keys[mode]: found for mode, found in clients.writers.written().items()
    }
    inside = {client.process.key: WriteLog(client.process.log).read() for client in scene.inside}
    by_name = clients.by_name
    by_name_writes = [] if by_name is None else WriteLog(by_name.log).read()
    more = [] if by_name is None else [by_name.key]

    def excuse(key: str, of: Sequence[Write], lost: Sequence[int]) -> int:
        """Say what must not be lost; return how many of it no replica can have had."""
        unreplicated = len(checker.unreplicated(of, lost))
        count = len(lost) - (unreplicated if silent else 0)
        if count and not may_lose:
            trial.wrong.append(f"{count} acknowledged writes lost ({key})")
        return unreplicated

    stored = clients.writers.stored(cluster.access, [*inside, *more])
    reads = clients.reads.read()
    verdict = history.judge(history.History({**writes, **inside}, reads, stored))
    follow, hold = (keys[mode] for mode in MODES)
    ends_s = [w.end_s for w in writes[follow]]
    trial.gap_s, trial.gap_hold_s = (
        checker.longest_gap_s(writes[key], scene.start_s, max(ends_s, default=0.0))
        for key in (follow, hold)
    )
    if by_name is not None:
        # It does not know which host it writes to, so it has no part in who was primary when.
        trial.gap_name_s = checker.longest_gap_s(
            by_name_writes, scene.start_s, max((w.end_s for w in by_name_writes), default=0.0)
        )
        lost_name = checker.lost(by_name_writes, stored[by_name.key])
        trial.lost_name = len(lost_name)
        excuse(by_name.key, by_name_writes, lost_name)
    trial.lost, trial.lost_hold = len(verdict.lost[follow]), len(verdict.lost[hold])
    trial.lost_inside = sum(len(verdict.lost[key]) for key in inside)
    trial.two_primaries_s = verdict.two_primaries_s
    trial.reads = sum(read.error is None for read in reads)
    trial.wrong += history.problems(verdict)
    trial.unreplicated = sum(excuse(key, writes[key], verdict.lost[key]) for key in (follow, hold))
    allowed_s = cluster.max_lag_s() + GRACE_S
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
