# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What faults cost and what they lose: a matrix of faults and sizes, and random trouble.

``make faults`` runs every cell ten times; ``make faults ARGS="--fault cut --units 3 --runs 2"``
one cell twice; ``make faults ARGS="--nemesis 3600 --seed 7"`` an hour of random trouble. While
something happens, clients write and read, and afterwards their histories are judged. Ends with 1
when anything was wrong.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trials import nemesis, trial
from trials.clients import table, wire
from trials.cluster import APP, ROOT, TROUBLE, Cluster
from trials.logs import LogMarks
from trials.scene import Scene, TrialError
from trials.trial import Trial, median_and_worst
from trials.waiting import until

SIZES = (1, 2, 3, 5)
CUT_S = 20.0
AWAY_S = 8.0
"""Until a pod that has been killed is back: it was scheduled elsewhere, its image pulled."""
CONTENTION_S = 60.0
BUSY_EACH = 4
"""Endless loops for each processor while there is contention."""
SLOW_S = 12.0
SLOW_WRITE_S = 2.5
"""Longer than Redis lets its file lag, and than the Sentinels wait for an answer."""
BUSY_S = 2.0
"""From the first run of a cell to the last: how much longer the disk is busy before the kill."""
LOAD_KEYS = 20_000
LOAD_S = 20.0
"""How long a start takes that loads as many keys."""
FREEZE_S = 12.0
"""Longer than the Sentinels need to replace the primary."""
RUNS = 10


@dataclass(frozen=True)
class Fault:
    """A row of the matrix.

    Attributes:
        name: as in ``--fault``.
        act: brings it about, and returns when it is over.
        sizes: the numbers of units with which it makes sense.
        prepare: brings the application into the state that the fault needs.
        after: how many units there are to be in the end.
        target_s: median and worst write gap that three units are to keep; None: any worst.
        may_lose: lost writes are counted but are not wrong.
        silent: the network of a primary stops without a word, as when its machine does: the last
            write that it acknowledged to each client is counted but is not wrong.
    """

    name: str
    act: Callable[[Scene], None]
    sizes: tuple[int, ...] = SIZES
    prepare: Callable[[Cluster], None] = lambda cluster: None
    after: Callable[[int], int] = lambda units: units
    target_s: tuple[float, float | None] | None = None
    may_lose: bool = False
    silent: bool = False


def _kill_process(scene: Scene) -> None:
    unit = scene.the_primary()
    scene.say(f"kill Redis of {unit}")
    scene.model.kill_process(unit, "redis", wire.SERVER)


def _fill(cluster: Cluster) -> None:
    """Give the application data of which a start can be made to take long."""
    unit = cluster.primary()
    if unit is None:
        raise TrialError("There is not one primary")
    filled = (
        f"for n = 1, {LOAD_KEYS} do redis.call('SET', 'filler:' .. n, string.rep('x', 100)) end"
    )
    cluster.ask(unit, "redis", f'EVAL "{filled}" 0', "BGREWRITEAOF")
    _wait_while(cluster, unit, "aof_rewrite_in_progress", LOAD_S)


def _wait_while(cluster: Cluster, unit: str, state: str, limit_s: float) -> None:
    """Wait until a unit's Redis has a state no more, by its name in ``INFO persistence``."""

    def lasts() -> list[str]:
        lines = cluster.ask(unit, "redis", "INFO persistence")
        return [f"{unit}: {line}" for line in lines if line.startswith(f"{state}:1")]

    found = until(lasts, limit_s, hold_s=0.0)
    if found.since_s is None:
        raise TrialError("; ".join(found.missing))


def _slow_load(scene: Scene) -> None:
    unit = scene.the_primary()
    scene.say(f"kill Redis of {unit}, which needs {LOAD_S:.0f} s to load its data")
    scene.kill_to_load_slowly(unit, LOAD_S / LOAD_KEYS)
    _wait_while(scene.cluster, unit, "loading", 10 * LOAD_S)
    # What it copies afterwards, and later trials, are not to be slow.
    scene.cluster.ask(unit, "redis", "CONFIG SET key-load-delay 0")


def _oom(scene: Scene) -> None:
    unit = scene.the_primary()
    scene.say(f"the Redis container of {unit} takes too much memory")
    scene.model.oom(unit, "redis")


def _kill_pod(scene: Scene) -> None:
    unit = scene.the_primary()
    scene.say(f"kill the pod of {unit}")
    scene.model.kill_pod(unit)


def _lose_pod(scene: Scene) -> None:
    unit = scene.the_primary()
    scene.say(f"kill the pod of {unit}, which comes back in {AWAY_S:.0f} s")
    scene.model.kill_pod(unit, hold_s=AWAY_S)


def _delete_pod(scene: Scene) -> None:
    unit = scene.the_primary()
    scene.say(f"delete the pod of {unit}")
    scene.model.kill_pod(unit, graceful=True)


def _freeze(scene: Scene) -> None:
    scene.freeze(scene.the_primary(), FREEZE_S)


def _slow_disk(scene: Scene) -> None:
    scene.slow_disk(scene.the_primary(), SLOW_S, SLOW_WRITE_S)


def _busy_disk(scene: Scene) -> None:
    # Redis itself would ask the disk once a second, and each run is killed at another moment.
    scene.kill_on_a_busy_disk(scene.the_primary(), 1.2 + BUSY_S * (scene.number % RUNS) / RUNS)


def _cut(scene: Scene) -> None:
    scene.cut(scene.the_primary(), CUT_S)


def _cut_in(scene: Scene) -> None:
    scene.cut(scene.the_primary(), CUT_S, "in")


def _cut_out(scene: Scene) -> None:
    scene.cut(scene.the_primary(), CUT_S, "out")


def _cut_pair(scene: Scene) -> None:
    unit = scene.the_primary()
    companion = next(name for name in scene.cluster.alive() if name != unit)
    scene.cut_pair(unit, companion, CUT_S)


def _all_pods(scene: Scene) -> None:
    for unit in scene.cluster.alive():
        scene.say(f"kill the pod of {unit}")
        scene.model.kill_pod(unit)


def _switchover(scene: Scene) -> None:
    leader = scene.cluster.leader()
    scene.say(f"switchover on {leader}")
    result = scene.model.run(leader, "switchover")
    if result.status != "completed":
        scene.wrong.append(f"The switchover failed: {result.message}")


def _remove_primary(scene: Scene) -> None:
    scene.say(f"remove {scene.the_primary()}")
    scene.model.remove_unit(APP)


def _remove_several(scene: Scene) -> None:
    units = len(scene.cluster.alive())
    count = units - _after_several(units)
    scene.say(f"remove {count} of {units} units, with {scene.the_primary()}")
    scene.model.remove_unit(APP, count)


def _after_several(units: int) -> int:
    # A majority goes, with the primary.
    return (units - 1) // 2


def _kill_the_leader_in_a_removal(scene: Scene) -> None:
    leader = scene.cluster.leader()
    scene.say(f"remove {scene.the_primary()}")
    scene.model.remove_unit(APP)
    # Each run has another moment: the handover is under way, done, being forgotten.
    time.sleep(0.2 + 0.4 * (scene.number % RUNS))
    scene.say(f"kill the pod of the leader {leader}")
    scene.model.kill_pod(leader)


def _add_while_failing_over(scene: Scene) -> None:
    _lose_pod(scene)
    # From before the Sentinels notice until after they have decided.
    time.sleep(0.5 + 0.7 * (scene.number % RUNS))
    scene.say("add a unit")
    scene.model.add_unit(APP)


def _empty_volume(scene: Scene) -> None:
    scene.empty(scene.the_primary())


def _empty_majority(scene: Scene) -> None:
    alive = scene.cluster.alive()
    primary = scene.the_primary()
    others = [unit for unit in alive if unit != primary]
    for unit in [primary, *others[: len(alive) // 2]]:
        scene.empty(unit)


def _contention(scene: Scene) -> None:
    count = BUSY_EACH * (os.cpu_count() or 1)
    scene.say(f"{count} busy processes for {CONTENTION_S:.0f} s")
    loop = (
        f"import time\nend = time.monotonic() + {CONTENTION_S}\nwhile time.monotonic() < end: pass"
    )
    marks = LogMarks.now(scene.model)
    busy = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(count)]
    for process in busy:
        process.wait()
    printed = b"".join(data for _, data in marks.printed())
    scene.say(f"over; the primary was taken for down {printed.count(b'+sdown master')} times")
    if b"+try-failover" in printed:
        scene.wrong.append("the Sentinels failed over from a primary that served")


def _to_zero_and_back(scene: Scene) -> None:
    units = len(scene.cluster.alive())
    scene.say("remove every unit")
    scene.model.remove_unit(APP, units)
    scene.model.wait(lambda s: not s["applications"][APP]["units"], 60, "the last unit to leave")
    scene.say(f"add {units} units")
    scene.model.add_unit(APP, units)


def _highest_is_primary(cluster: Cluster) -> None:
    cluster.move_primary(cluster.alive()[-1])


def _lowest_leads_and_highest_is_primary(cluster: Cluster) -> None:
    cluster.model.elect(cluster.alive()[0])
    cluster.move_primary(cluster.alive()[-1])


SOME = (2, 3, 5)
MANY = (3, 5)
PLANNED_S = (0.6, 1.5)
FAULTS = {
    fault.name: fault
    for fault in (
        Fault("switchover", _switchover, SOME, target_s=PLANNED_S),
        Fault("delete-pod", _delete_pod, target_s=PLANNED_S),
        Fault(
            "remove-primary",
            _remove_primary,
            SOME,
            prepare=_highest_is_primary,
            after=lambda units: units - 1,
            target_s=PLANNED_S,
        ),
        Fault(
            "remove-several",
            _remove_several,
            MANY,
            prepare=_highest_is_primary,
            after=_after_several,
        ),
        Fault("to-zero", _to_zero_and_back, (1, 3)),
        Fault("kill-process", _kill_process, target_s=(1.2, None)),
        Fault("slow-load", _slow_load, SOME, prepare=_fill, target_s=(3.5, None)),
        Fault("oom", _oom, target_s=(2.5, None)),
        Fault("kill-pod", _kill_pod, target_s=(2.5, None), silent=True),
        Fault("lose-pod", _lose_pod, target_s=(2.5, None), silent=True),
        Fault("all-pods", _all_pods, SOME, silent=True),
        Fault("freeze", _freeze),
        Fault("slow-disk", _slow_disk),
        Fault("busy-disk", _busy_disk),
        Fault("cut", _cut, target_s=(3.5, None), silent=True),
        Fault("cut-in", _cut_in),
        Fault("cut-out", _cut_out, silent=True),
        # The client that holds on to its address reaches the side that is to stop.
        Fault("cut-pair", _cut_pair, (5,), may_lose=True),
        Fault(
            "leader-in-removal",
            _kill_the_leader_in_a_removal,
            SOME,
            prepare=_lowest_leads_and_highest_is_primary,
            after=lambda units: units - 1,
            silent=True,
        ),
        Fault(
            "add-in-failover",
            _add_while_failing_over,
            after=lambda units: units + 1,
            silent=True,
        ),
        Fault("empty-volume", _empty_volume, SOME, silent=True),
        Fault("empty-majority", _empty_majority, MANY, silent=True),
        Fault("contention", _contention, MANY),
    )
}
"""By name; the planned changes come first."""


class Results:
    """The trials so far, in a folder that is made for them.

    Args:
        folder: where the JSON and whatever trials keep goes.
        about: what the trials have in common.
        keep: whether trials that end right keep their logs too.
        one_name: whether a client writes by the name of the Service, too.
    """

    def __init__(
        self, folder: Path, about: dict[str, Any], keep: bool = False, one_name: bool = False
    ):
        self.folder = folder
        self.keep = keep
        self.one_name = one_name
        self.trials: list[Trial] = []
        self._about = about
        folder.mkdir(parents=True)

    def add(self, found: Trial) -> None:
        """Take over a trial: print its figures, and write all so far."""
        self.trials.append(found)
        print(found.line(), flush=True)
        for text in found.wrong:
            print(f"    WRONG: {text}", flush=True)
        if found.kept:
            print(f"    its logs: {found.kept}", flush=True)
        report = {
            **self._about,
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
            "trials": [asdict(one) for one in self.trials],
        }
        target = self.folder / "results.json"
        target.with_suffix(".new").write_text(json.dumps(report, indent=1) + "\n")
        target.with_suffix(".new").rename(target)

    @property
    def wrong(self) -> list[Trial]:
        """The trials in which something was wrong."""
        return [one for one in self.trials if one.wrong]


HEAD = (
    "fault",
    "units",
    "runs",
    "gap s",
    "worst",
    "target",
    "lost follow",
    "hold",
    "two primaries s",
    "cut off s",
    "settled s",
    "worst",
    "active later s",
    "worst",
    "wrong",
)


def summary(trials: Sequence[Trial]) -> str:
    """Return the table of all cells: medians and worsts."""
    cells: dict[tuple[str, int], list[Trial]] = defaultdict(list)
    for one in trials:
        cells[one.name, one.units].append(one)
    rows = []
    for (name, units), cell in cells.items():
        gap, worst_gap = median_and_worst([one.gap_s for one in cell])
        settled, worst_settled = median_and_worst([one.settled_s for one in cell])
        shown, worst_shown = median_and_worst([one.shown_s for one in cell])
        _, inside = median_and_worst([t.inside_s for t in cell if t.inside_s is not None])
        rows.append(
            (
                name,
                str(units),
                str(len(cell)),
                _seconds(gap, "-"),
                _seconds(worst_gap, "-"),
                _target(name, units, gap, worst_gap),
                str(sum(one.lost for one in cell)),
                str(sum(one.lost_hold for one in cell)),
                _seconds(max(one.two_primaries_s for one in cell), "-"),
                _seconds(inside, "-"),
                _seconds(settled, "never"),
                _seconds(worst_settled, "never"),
                _seconds(shown, "never"),
                _seconds(worst_shown, "never"),
                str(sum(bool(one.wrong) for one in cell)),
            )
        )
    return table.render(HEAD, rows)


def _seconds(value: float | None, absent: str) -> str:
    return absent if value is None else f"{value:.2f}"


def _target(name: str, units: int, gap: float | None, worst: float | None) -> str:
    fault = FAULTS.get(name)
    if units != 3 or fault is None or fault.target_s is None or gap is None or worst is None:
        return ""
    median_s, worst_s = fault.target_s
    kept = gap <= median_s and (worst_s is None or worst <= worst_s)
    bar = f"{median_s:g}" if worst_s is None else f"{median_s:g} / {worst_s:g}"
    return bar + ("" if kept else " missed")


def run_once(cluster: Cluster, fault: Fault, units: int, number: int, results: Results) -> None:
    """Make one trial, on the cluster as it is if the last one left it right, else on a new one."""
    folder = results.folder / f"{fault.name}-{units}-{number}".replace(" ", "-")
    try:
        if not results.trials or results.trials[-1].wrong:
            cluster.form(units)
        cluster.restore(units)
        fault.prepare(cluster)
    except TROUBLE as e:
        LogMarks(cluster.model).keep(folder)
        wrong = [f"It could not begin: {e}"]
        results.add(Trial(fault.name, number, units, wrong=wrong, kept=str(folder)))
        return
    results.add(
        trial.run(
            cluster,
            fault.act,
            name=fault.name,
            number=number,
            units_after=fault.after(units),
            folder=folder,
            may_lose=fault.may_lose,
            silent=fault.silent,
            keep=results.keep,
            one_name=results.one_name,
        )
    )


def run_matrix(
    cluster: Cluster, names: Sequence[str], sizes: Sequence[int], runs: int, results: Results
) -> None:
    """Make all trials of the cells that make sense."""
    for units in sizes:
        for name in names:
            if units in FAULTS[name].sizes:
                for number in range(1, runs + 1):
                    run_once(cluster, FAULTS[name], units, number, results)


def run_nemesis(
    cluster: Cluster, seconds: float, seed: int, only: int | None, results: Results
) -> None:
    """Make rounds of random trouble for so many seconds; each that has begun is ended.

    Args:
        cluster: on which.
        seconds: for how long.
        seed: of the plan.
        only: one round of the plan, which alone is made, with the units that it begins with.
        results: takes the trials.
    """
    deadline_s = time.monotonic() + seconds
    for plan in nemesis.rounds(seed):
        if only is not None and plan.number < only:
            continue
        if time.monotonic() > deadline_s or (only is not None and plan.number > only):
            return
        print(plan.text(), flush=True)
        fault = Fault(
            "round",
            nemesis.act(plan),
            after=lambda _, plan=plan: plan.units_after,
            may_lose=plan.may_lose,
            silent=plan.silent,
        )
        run_once(cluster, fault, plan.units, plan.number, results)


def _pairs(pairs: Sequence[str]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in pairs)


def main() -> int:
    """Run what was asked for; return 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--fault", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--units", nargs="+", type=int, choices=SIZES, default=list(SIZES))
    parser.add_argument("--runs", type=int, default=RUNS, help="of each cell")
    parser.add_argument("--nemesis", type=float, metavar="SECONDS", help="random trouble instead")
    parser.add_argument("--seed", type=int, help="of the nemesis; a new one when left out")
    parser.add_argument("--round", type=int, help="of the nemesis: this one alone")
    parser.add_argument("--charm", type=Path, default=ROOT, help="the charm's directory")
    parser.add_argument("--image", default="", help="of the containers, see lab/README.md")
    parser.add_argument("--model", default="faults", help="the model's name")
    parser.add_argument("--set", nargs="+", default=[], metavar="K=V", help="settings of the lab")
    parser.add_argument("--config", nargs="+", default=[], metavar="K=V", help="of the charm")
    parser.add_argument("--tls", action="store_true", help="everything speaks TLS")
    parser.add_argument("--folder", type=Path, help="for the results")
    parser.add_argument("--keep", action="store_true", help="keep the logs of every trial")
    parser.add_argument("--one-name", action="store_true", help="a client by the Service too")
    options = parser.parse_args()
    seed = options.seed
    if seed is None:
        seed = int.from_bytes(os.urandom(3), "big")
    settings = {"profile": "field", **_pairs(options.set)}
    config = _pairs(options.config)
    about: dict[str, Any] = {"settings": settings, "config": config, "tls": options.tls}
    about["image"] = options.image
    if options.nemesis is not None:
        about["seed"] = seed
        print(f"seed {seed}")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    results = Results(
        options.folder or ROOT / "build" / "faults" / stamp, about, options.keep, options.one_name
    )
    cluster = Cluster(
        options.model, options.charm.resolve(), settings, config, options.tls, options.image
    )
    stopped = False
    try:
        if options.nemesis is not None:
            run_nemesis(cluster, options.nemesis, seed, options.round, results)
        else:
            run_matrix(cluster, options.fault, options.units, options.runs, results)
    except KeyboardInterrupt:
        stopped = True
    finally:
        cluster.destroy()
    print()
    print(summary(results.trials))
    for one in results.wrong:
        print(f"WRONG: {one.name}, {one.units} units, {one.number}: {'; '.join(one.wrong)}")
        print(f"    {one.kept}")
    print(f"{len(results.trials)} trials, {len(results.wrong)} wrong: {results.folder}")
    if stopped:
        return 130
    return 1 if results.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
