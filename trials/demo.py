# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The charm at work, seen live: deployed, disturbed, grown, shrunk, while clients write to it.

``make demo``. One client follows Sentinel and one holds on to the address it has; both number
their writes, and after every step all that was acknowledged must be there, and every Sentinel
must be right. Ends with 1 when something is wrong.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.client import LabError, Model
from lab.packing import read_meta
from trials.clients import chart, checker, table, wire
from trials.cluster import APP, ROOT, TROUBLE, Cluster, ClusterError
from trials.waiting import HOLD_S, LOOK_EVERY_S
from trials.writers import MODES, Writers

GROWN = 5
"""How many units there are at most."""
BEFORE_S = 3.0
"""Writes that nothing disturbs, so that the picture shows what is normal."""
STEP_LIMIT_S = 60.0
GAP_SHOWN_S = 0.25
LOG_TAIL = 20


class Progress:
    """One line that changes on a terminal; a line now and then in a file."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown_s = 0.0

    def update(self, text: str) -> None:
        """Show what is so at this moment."""
        if self._live:
            width = shutil.get_terminal_size().columns
            print("\r\033[K" + text[: width - 1], end="", flush=True)
        elif time.monotonic() - self._shown_s > 5:
            self._shown_s = time.monotonic()
            print(text, flush=True)

    def say(self, text: str) -> None:
        """Show a line that stays."""
        print(("\r\033[K" if self._live else "") + text, flush=True)


@dataclass
class Step:
    """One step and what came of it.

    Attributes:
        name: what was done.
        start_s: when, on the monotonic clock.
        end_s: when it was over.
        settled_s: seconds until every Sentinel was right and the clients wrote; ``None`` if that
            never came.
        gap_s: the longest time without an acknowledged write.
        lost: acknowledged writes that are gone, of the client that follows Sentinel.
        lost_holding: the same, of the client that holds on.
        wrong: what was not as it must be, in sentences.
    """

    name: str
    start_s: float
    end_s: float = 0.0
    settled_s: float | None = None
    gap_s: float = 0.0
    lost: int = 0
    lost_holding: int = 0
    wrong: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        """Return the texts of its row in the table."""
        settled = "never" if self.settled_s is None else f"{self.settled_s:.1f} s"
        return f"{self.gap_s:.2f} s", str(self.lost), str(self.lost_holding), settled


COLUMNS = ("longest write gap", "lost", "lost, holding on", "all right after")


class Demo:
    """Runs the steps one after the other on one cluster.

    Args:
        cluster: formed.
        folder: for the records of the writers.
        progress: shows what happens.
    """

    def __init__(self, cluster: Cluster, folder: Path, progress: Progress):
        self.steps: list[Step] = []
        self._cluster = cluster
        self._model = cluster.model
        self._progress = progress
        self._writers = Writers(cluster.model, cluster.access, folder, prefix="demo-")
        self.logs = self._writers.logs
        self._lost: dict[str, set[int]] = {mode: set() for mode in MODES}
        self.started_s = time.monotonic()

    def close(self) -> None:
        """Stop the writers; one that had ended by itself is the last step's failure."""
        wrong = self._writers.stop()
        if self.steps:
            self.steps[-1].wrong += wrong

    def run(self) -> None:
        """Run all steps."""
        self._watch(f"{BEFORE_S:.0f} s of writes that nothing disturbs", BEFORE_S)
        with self._step("kill the primary's process") as step:
            self._model.kill_process(self._primary(), "redis", wire.SERVER)
            self._until_right(step, units=3)
        with self._step("kill the primary's pod") as step:
            self._model.kill_pod(self._primary())
            self._until_right(step, units=3)
        with self._step("3 -> 5 units") as step:
            self._model.add_unit(APP, GROWN - 3)
            self._until_right(step, units=GROWN)
        highest = f"{APP}/{GROWN - 1}"
        with self._step(f"make {highest} the primary") as step:
            self._act(step, self._cluster.leader(), "switchover", {"unit": highest})
            self._until_right(step, units=5)
            if self._primary() != highest:
                step.wrong.append(f"{self._primary()} is the primary, not {highest}")
        with self._step("5 -> 3 units, the primary among those that leave") as step:
            self._model.remove_unit(APP, 2)
            self._until_right(step, units=3)
        with self._step("run the actions") as step:
            for unit in self._cluster.units():
                said = self._act(step, unit, "check-service").get("result")
                if said != "Service is running":
                    step.wrong.append(f"check-service on {unit} says {said}")
            # Their values were used all the time; shown they are not.
            self._act(step, f"{APP}/0", "get-initial-admin-password")
            self._act(step, f"{APP}/0", "get-sentinel-password")
            self._until_right(step, units=3)
        self._finish()

    def _primary(self) -> str:
        primary = self._cluster.primary()
        if primary is None:
            raise ClusterError("There should be one primary")
        return primary

    def _act(
        self, step: Step, unit: str, action: str, params: dict[str, str] | None = None
    ) -> dict[str, str]:
        result = self._model.run(unit, action, params)
        if result.status != "completed":
            step.wrong.append(f"{action} on {unit} failed: {result.message}")
        return result.results

    @contextmanager
    def _step(self, name: str) -> Iterator[Step]:
        step = Step(name, time.monotonic())
        self.steps.append(step)
        self._progress.say(f"{len(self.steps)}. {name}")
        try:
            yield step
            step.end_s = time.monotonic()
            self._check(step)
        except TROUBLE as e:
            step.end_s = step.end_s or time.monotonic()
            step.wrong.append(str(e))
            raise
        gap, lost, holding, settled = step.cells()
        self._progress.say(
            f"   gap {gap}, lost {lost}, lost by the client that holds on {holding}, "
            f"all right after {settled}"
        )
        for text in step.wrong:
            self._progress.say(f"   WRONG: {text}")
        # The next step shall not meet what this one left to do.
        self._model.wait_idle(STEP_LIMIT_S)

    def _until_right(self, step: Step, units: int) -> None:
        broken: set[str] = set()

        def more() -> list[str]:
            broken.update(self._cluster.broken())
            return self._writers.silent(GAP_SHOWN_S)

        def tell(found: list[str]) -> None:
            self._show(step.start_s, found[0] if found else "all is right")

        left_s = step.start_s + STEP_LIMIT_S - time.monotonic()
        outcome = self._cluster.until_right(units, more, left_s, tell)
        if outcome.since_s is None:
            step.wrong += outcome.missing
        else:
            step.settled_s = outcome.since_s - step.start_s
        step.wrong += sorted(broken)

    def _show(self, since_s: float, text: str) -> None:
        count = len(checker.acknowledged(self.logs["follow"].read()))
        state = next(iter(self._writers.silent(GAP_SHOWN_S)), text)
        self._progress.update(f"   {time.monotonic() - since_s:5.1f} s  {count:6} writes  {state}")

    def _watch(self, text: str, seconds: float) -> None:
        start_s = time.monotonic()
        while time.monotonic() < start_s + seconds:
            self._show(start_s, text)
            time.sleep(LOOK_EVERY_S)

    def _check(self, step: Step) -> None:
        """Read everything back, and put what is newly missing down to this step."""
        written = self._writers.written()
        stored = self._writers.stored(self._cluster.access)
        step.wrong += self._writers.ended()
        new = {}
        for mode, key in self._writers.keys.items():
            missing = set(checker.lost(written[mode], stored[key])) - self._lost[mode]
            self._lost[mode] |= missing
            new[mode] = len(missing)
            if missing:
                step.wrong.append(f"{len(missing)} acknowledged writes are lost ({mode})")
        step.lost, step.lost_holding = new["follow"], new["hold"]
        step.gap_s = checker.longest_gap_s(written["follow"], step.start_s, step.end_s)

    def _finish(self) -> None:
        """Look once more when the writers have ended: nothing may have gone since its step."""
        last = self.steps[-1]
        self._watch("the last writes", HOLD_S)
        self._check(last)
        last.wrong += self._cluster.not_active(3)


def picture(demo: Demo) -> str:
    """Return the SVG of the writes of the client that follows Sentinel."""
    writes = demo.logs["follow"].read()
    start_s, end_s = demo.started_s, time.monotonic()
    acked = checker.acknowledged(writes)
    if acked:
        end_s = acked[-1].end_s
    lost = sum(step.lost for step in demo.steps)
    gaps = checker.gaps(writes, acked[0].end_s if acked else start_s, end_s, GAP_SHOWN_S)
    return chart.draw(
        chart.Chart(
            title="Writes to redis-k8s while it is killed, grown and shrunk",
            subtitle=f"{len(acked):,} writes acknowledged to a client that follows Sentinel, "
            f"{lost} of them lost. Red: longer than {GAP_SHOWN_S} s without one.",
            unit="writes per second",
            rates=checker.per_second(writes, start_s, end_s, 0.5),
            gaps=[(gap.start_s - start_s, gap.end_s - start_s) for gap in gaps],
            columns=COLUMNS,
            steps=[
                chart.Step(
                    step.name,
                    step.start_s - start_s,
                    step.end_s - start_s,
                    step.cells(),
                    not step.wrong,
                )
                for step in demo.steps
            ],
            end_s=end_s - start_s,
        )
    )


def deploy(cluster: Cluster, name: str, progress: Progress, image: str = "") -> None:
    """Deploy three units and wait until they serve.

    Raises:
        ClusterError: they never did; the text has what is not right.
    """
    start_s = time.monotonic()
    progress.say(f"Deploying 3 units of {name} in the lab, with real Redis and Pebble")
    if image:
        progress.say(f"   made from image {image}")
    cluster.form(3, tell=lambda found: progress.update("   " + "  ".join(found)))
    progress.say(f"   3 units serve after {time.monotonic() - start_s:.1f} s")
    cluster.model.wait_idle(STEP_LIMIT_S)


def show(demo: Demo, svg: Path, progress: Progress) -> bool:
    """Show the table, write the picture, and tell whether all was right."""
    rows = [(step.name, *step.cells(), "WRONG" if step.wrong else "ok") for step in demo.steps]
    print()
    print(table.render(("step", *COLUMNS, ""), rows))
    print()
    svg.write_text(picture(demo))
    wrong = [f"{step.name}: {text}" for step in demo.steps for text in step.wrong]
    for text in wrong:
        print(f"WRONG: {text}")
    for mode, log in demo.logs.items():
        print(f"{len(checker.acknowledged(log.read()))} writes acknowledged ({mode})")
    progress.say(f"The writes over time: {svg}")
    return not wrong


def run(cluster: Cluster, svg: Path, progress: Progress) -> bool:
    """Run the demo on a formed cluster, show its results, and tell whether all was right."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(cluster, Path(folder), progress)
        complete = False
        try:
            demo.run()
            complete = True
        except TROUBLE as e:
            progress.say(f"WRONG, and the end: {e}")
        finally:
            demo.close()
        return show(demo, svg, progress) and complete


def keep_log(model: Model, file: Path) -> None:
    """Write the model's log to a file and print its last warnings, if it still has one."""
    try:
        lines = model.log()
    except LabError as e:
        print(f"There is no log: {e}")
        return
    file.write_text("\n".join(lines) + "\n")
    loud = [line for line in lines if " WARNING " in line or " ERROR " in line]
    print(f"The log is in {file}. Its last warnings:", *loud[-LOG_TAIL:], sep="\n  ")


def main() -> int:
    """Run the demo; return 0 when everything was right."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--charm", type=Path, default=ROOT, help="the charm's directory")
    parser.add_argument("--image", default="", help="of the containers, see lab/README.md")
    parser.add_argument("--svg", type=Path, default=Path("demo.svg"), help="the picture")
    parser.add_argument("--model", default="demo", help="the model's name")
    parser.add_argument("--keep", action="store_true", help="leave the model running")
    options = parser.parse_args()
    progress = Progress()
    start_s = time.monotonic()

    charm = options.charm.resolve()
    cluster = Cluster(options.model, charm, image=options.image)
    model = cluster.model
    right = False
    try:
        deploy(cluster, read_meta(charm).name, progress, options.image)
        right = run(cluster, options.svg, progress)
    except TROUBLE as e:
        print(f"WRONG: {e}")
    except KeyboardInterrupt:
        return 130
    finally:
        if not right:
            keep_log(model, options.svg.with_suffix(".log"))
        if options.keep:
            cluster.close()
            print(f"The model {model.name} is kept: .venv/bin/python -m trials --help")
        else:
            cluster.destroy()
    print(f"{'All right' if right else 'NOT RIGHT'} in {time.monotonic() - start_s:.0f} s")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
