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
from trials.clients import chart, checker, table, topology, wire
from trials.clients.checker import WriteLog
from trials.clients.writer import WriterProcess

ROOT = Path(__file__).parents[1]
APP = "redis-k8s"
MOST_UNITS = 5
BEFORE_S = 3.0
"""Writes that nothing disturbs, so that the picture shows what is normal."""
LOOK_EVERY_S = 0.2
HOLD_S = 1.0
"""How long all must be right without a break before it counts."""
STEP_LIMIT_S = 60.0
GAP_SHOWN_S = 0.25
LOG_TAIL = 20


class DemoError(Exception):
    """The demo can't go on; the text says why."""


# The clients' own errors are RuntimeErrors.
TROUBLE = (DemoError, LabError, RuntimeError)


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
    """Runs the steps one after the other on one model.

    Args:
        model: with the application deployed.
        folder: for the records of the writers.
        progress: shows what happens.
    """

    def __init__(self, model: Model, folder: Path, progress: Progress):
        self.steps: list[Step] = []
        self._model = model
        self._progress = progress
        access = topology.ask_access(model, APP)
        first = access.hosts[0]
        # The hosts of units that come later too, as a client would have them in its settings.
        hosts = [first.replace(f"{APP}-0", f"{APP}-{n}", 1) for n in range(MOST_UNITS)]
        self._access = wire.Access(
            APP, tuple(hosts), access.redis_password, access.sentinel_password
        )
        self._probe = topology.Probe(model, APP, self._access)
        self._writers = {
            mode: WriterProcess(
                model.spawn, self._access, key=f"demo-{mode}", log=folder / mode, mode=mode
            )
            for mode in ("follow", "hold")
        }
        self.logs = {mode: WriteLog(folder / mode) for mode in self._writers}
        self._lost: dict[str, set[int]] = {mode: set() for mode in self._writers}
        self.started_s = time.monotonic()

    def close(self) -> None:
        """Stop the writers and the probe."""
        for writer in self._writers.values():
            writer.stop()
        self._probe.close()

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
            self._model.add_unit(APP, 2)
            self._until_right(step, units=5)
        highest = f"{APP}/{MOST_UNITS - 1}"
        with self._step(f"make {highest} the primary") as step:
            leader = next(name for name, unit in self._units().items() if unit["leader"])
            self._act(step, leader, "switchover", {"unit": highest})
            self._until_right(step, units=5)
            if self._primary() != highest:
                step.wrong.append(f"{self._primary()} is the primary, not {highest}")
        with self._step("5 -> 3 units, the primary among those that leave") as step:
            self._model.remove_unit(APP, 2)
            self._until_right(step, units=3)
        with self._step("run the actions") as step:
            for unit in sorted(self._units()):
                said = self._act(step, unit, "check-service").get("result")
                if said != "Service is running":
                    step.wrong.append(f"check-service on {unit} says {said}")
            # Their values were used all the time; shown they are not.
            self._act(step, f"{APP}/0", "get-initial-admin-password")
            self._act(step, f"{APP}/0", "get-sentinel-password")
            self._until_right(step, units=3)
        self._finish()

    def _units(self) -> dict[str, dict]:
        return self._model.status()["applications"][APP]["units"]

    def _primary(self) -> str:
        views, _, _ = self._probe.look()
        found = [unit for unit, v in views.items() if v.redis and v.redis.role == "primary"]
        if len(found) != 1:
            raise DemoError(f"There should be one primary, there are {len(found)}")
        return found[0]

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
        deadline_s = step.start_s + STEP_LIMIT_S
        right_since_s: float | None = None
        broken: set[str] = set()
        while True:
            asked_s = time.monotonic()
            found = self._problems(units, broken) + self._not_writing()
            if found:
                right_since_s = None
            elif right_since_s is None:
                right_since_s = asked_s
            now_s = time.monotonic()
            if right_since_s is not None and now_s - right_since_s >= HOLD_S:
                step.settled_s = right_since_s - step.start_s
                break
            if now_s > deadline_s:
                step.wrong += found or ["it was right for moments only"]
                break
            self._show(step.start_s, found[0] if found else "all is right")
            time.sleep(max(0.0, LOOK_EVERY_S - (now_s - asked_s)))
        step.wrong += sorted(broken)

    def _problems(self, units: int, broken: set[str]) -> list[str]:
        views, planned, found = self._probe.look()
        for name, unit in self._units().items():
            if unit["agent"]["current"] == "error":
                broken.add(f"{name} was in error: {unit['agent']['message']}")
        if planned != units:
            found.append(f"{planned} units are planned, not {units}")
        return found + topology.problems(views, planned)

    def _not_writing(self) -> list[str]:
        """Return since when the clients get no acknowledgement, and what they get instead."""
        found = []
        for mode, log in self.logs.items():
            writes = log.read()
            good = next((w.end_s for w in reversed(writes) if w.error is None), self.started_s)
            still_s = time.monotonic() - good
            if still_s > GAP_SHOWN_S:
                error = (writes[-1].error if writes else None) or "no answer yet"
                found.append(f"no write ({mode}) for {still_s:.1f} s: {error}")
        return found

    def _show(self, since_s: float, text: str) -> None:
        count = len(checker.acknowledged(self.logs["follow"].read()))
        state = next(iter(self._not_writing()), text)
        self._progress.update(f"   {time.monotonic() - since_s:5.1f} s  {count:6} writes  {state}")

    def _watch(self, text: str, seconds: float) -> None:
        start_s = time.monotonic()
        while time.monotonic() < start_s + seconds:
            self._show(start_s, text)
            time.sleep(LOOK_EVERY_S)

    def _check(self, step: Step) -> None:
        """Read everything back, and put what is newly missing down to this step."""
        written = {mode: list(log.read()) for mode, log in self.logs.items()}
        stored = checker.stored_numbers(
            self._model.spawn, self._access, [w.key for w in self._writers.values()]
        )
        new = {}
        for mode, writer in self._writers.items():
            missing = set(checker.lost(written[mode], stored[writer.key])) - self._lost[mode]
            self._lost[mode] |= missing
            new[mode] = len(missing)
            if missing:
                step.wrong.append(f"{len(missing)} acknowledged writes are lost ({mode})")
            if not writer.running():
                step.wrong.append(f"The writer ({mode}) ended by itself")
        step.lost, step.lost_holding = new["follow"], new["hold"]
        step.gap_s = checker.longest_gap_s(written["follow"], step.start_s, step.end_s)

    def _finish(self) -> None:
        """Look once more when the writers have ended: nothing may have gone since its step."""
        last = self.steps[-1]
        self._watch("the last writes", HOLD_S)
        self._check(last)
        status = self._model.status()["applications"][APP]["units"]
        for name, unit in sorted(status.items()):
            if unit["workload"]["current"] != "active":
                last.wrong.append(
                    f"{name} is {unit['workload']['current']}: {unit['workload']['message']}"
                )


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


def deploy(model: Model, charm: Path, progress: Progress, image: str = "") -> None:
    """Deploy three units and wait until they serve.

    Raises:
        DemoError: they never did; the text has the statuses.
    """
    start_s = time.monotonic()
    meta = read_meta(charm)
    progress.say(f"Deploying 3 units of {meta.name} in the lab, with real Redis and Pebble")
    if image:
        progress.say(f"   made from image {image}")
    model.deploy(charm, app=APP, units=3, resources=meta.made_from(image))
    units: dict = {}
    while time.monotonic() < start_s + 2 * STEP_LIMIT_S:
        units = model.status()["applications"][APP]["units"]
        states = [unit["workload"]["current"] for unit in units.values()]
        if states.count("active") == 3 and not topology.settled(model, APP):
            progress.say(f"   3 units serve after {time.monotonic() - start_s:.1f} s")
            model.wait_idle(STEP_LIMIT_S)
            return
        progress.update(
            "   "
            + "  ".join(
                f"{name} {unit['workload']['current']}: {unit['workload']['message']}".strip(": ")
                for name, unit in sorted(units.items())
            )
        )
        time.sleep(LOOK_EVERY_S)
    raise DemoError(f"The units never came up: {units}")


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


def run(model: Model, charm: Path, svg: Path, progress: Progress, image: str = "") -> bool:
    """Run the demo on a fresh model, show its results, and tell whether all was right."""
    deploy(model, charm, progress, image)
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(model, Path(folder), progress)
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

    if options.model in Model.list():
        Model(options.model).destroy()
    model = Model(options.model)
    right = False
    try:
        right = run(model, options.charm.resolve(), options.svg, progress, options.image)
    except TROUBLE as e:
        print(f"WRONG: {e}")
    except KeyboardInterrupt:
        return 130
    finally:
        if not right:
            keep_log(model, options.svg.with_suffix(".log"))
        if options.keep:
            print(f"The model {model.name} is kept: .venv/bin/python -m trials --help")
        else:
            model.destroy()
    print(f"{'All right' if right else 'NOT RIGHT'} in {time.monotonic() - start_s:.0f} s")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
