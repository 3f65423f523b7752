# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a charm costs: the hooks of a deployment and of a quiet model, for several sizes.

``make bench``, ``make bench CHARM=DIR``, or ``make bench BESIDE=DIR`` for the charm and another
one in turn, with their ratio and the bars (``beside``). It knows nothing of the charm but that its
units become active, and that check-service, where there is one, is an action that changes nothing.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.client import Model, cache
from lab.model import HookRecord
from lab.packing import pack, read_meta
from trials import beside
from trials.clients import table

ROOT = Path(__file__).parents[1]
SIZES = (1, 3, 5, 9)
HOLD_S = 3.0
"""How long all units must be active and idle before a deployment counts as done."""
POLL_S = 0.1
LIMIT_S = 120.0
FIELD = {"profile": "field"}
"""Hook tools, pods and names take the time that they take in the field."""
LIMIT_PER_UNIT_S = 20.0
STUCK_S = 12.0
"""After so long without a hook nothing but update-status is to come."""
LOOK = "check-service"


@dataclass
class Cost:
    """What some runs of dispatch cost together."""

    hooks: int = 0
    failed: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    tools: int = 0

    def add(self, record: HookRecord) -> None:
        """Count one more run."""
        self.hooks += 1
        self.failed += record.rc != 0
        self.cpu_s += record.cpu_s
        self.wall_s += record.wall_s
        self.tools += sum(record.tools.values())


@dataclass
class Costs:
    """Costs in all, by the name of the hook, and how often each hook tool was called."""

    total: Cost = field(default_factory=Cost)
    by_hook: dict[str, Cost] = field(default_factory=dict)
    by_tool: dict[str, int] = field(default_factory=dict)

    @property
    def cpu_per_hook_s(self) -> float:
        """Processor time of one run; 0 without any."""
        return self.total.cpu_s / max(1, self.total.hooks)


def costs(records: Sequence[HookRecord]) -> Costs:
    """Return what these runs cost."""
    found = Costs()
    tools: Counter[str] = Counter()
    for record in records:
        found.total.add(record)
        found.by_hook.setdefault(record.name, Cost()).add(record)
        tools.update(record.tools)
    found.by_tool = dict(tools.most_common())
    return found


@dataclass
class Run:
    """One deployment of one size.

    Attributes:
        units: how many.
        active_s: from the call until all units were active and idle and stayed so, without the
            time in which they waited for update-status; ``None`` if that never came, and then
            ``states`` says what they were.
        stuck: how often they waited for update-status, and got it at once.
        deploy: the hooks until then.
        rest: the update-status hooks on the quiet model that come after another one.
        look: those that come after an action; none where the charm has no such action.
        states: the units' last statuses.
    """

    units: int
    active_s: float | None
    stuck: int
    deploy: Costs
    rest: Costs
    look: Costs
    states: dict[str, str]

    @property
    def cpu_per_unit_s(self) -> float:
        """Processor time of the deployment's hooks for each unit."""
        return self.deploy.total.cpu_s / self.units


def _states(model: Model, app: str) -> dict[str, str]:
    units = model.status()["applications"][app]["units"]
    return {
        name: f"{unit['workload']['current']} {unit['agent']['current']}"
        for name, unit in units.items()
    }


class Watch:
    """Tells when a deployment has come to its end, from what the units show.

    Attributes:
        stuck: how often nobody had anything to do though not all were active.
    """

    def __init__(self, units: int):
        self.stuck = 0
        self._units = units
        self._active_s: float | None = None
        self._idle_s: float | None = None
        self._waited_s = 0.0
        self._done = False

    def see(self, states: Sequence[str], now_s: float) -> str:
        """Return "done", "stuck" (update-status is to come now) or "" for what is seen now."""
        active = list(states) == ["active idle"] * self._units
        idle = len(states) == self._units and all(each.endswith(" idle") for each in states)
        self._active_s = (self._active_s or now_s) if active else None
        self._idle_s = (self._idle_s or now_s) if idle and not active else None
        if self._active_s is not None and now_s - self._active_s >= HOLD_S:
            self._done = True
            return "done"
        if self._idle_s is not None and now_s - self._idle_s >= STUCK_S:
            self.stuck += 1
            self._waited_s += now_s - self._idle_s
            self._idle_s = None
            return "stuck"
        return ""

    def taken_s(self, start_s: float) -> float | None:
        """Return how long it took from ``start_s``, without waiting; None if it is not over."""
        if self._active_s is None or not self._done:
            return None
        return self._active_s - start_s - self._waited_s


def wait_for(model: Model, app: str, units: int, limit_s: float) -> Watch:
    """Wait until a deployment has come to its end, or its time is over."""
    watch = Watch(units)
    deadline_s = time.monotonic() + limit_s
    while (now_s := time.monotonic()) < deadline_s:
        states = _states(model, app)
        seen = watch.see(list(states.values()), now_s)
        if seen == "done":
            break
        if seen == "stuck":
            # Juju's own comes within five minutes.
            for name in states:
                model.update_status(name)
        time.sleep(POLL_S)
    return watch


def update_status(model: Model, unit: str) -> list[HookRecord]:
    """Let one unit run update-status, and return its record; empty if none came in time."""
    before = len(model.hooks())
    model.update_status(unit)
    deadline_s = time.monotonic() + LIMIT_PER_UNIT_S
    while time.monotonic() < deadline_s:
        for record in model.hooks(since=before):
            if (record.unit, record.name) == (unit, "update-status"):
                return [record]
        time.sleep(POLL_S)
    return []


def measure(
    charm: Path,
    app: str,
    units: int,
    rounds: int,
    image: str = "",
    settings: Mapping[str, str] = FIELD,
) -> Run:
    """Deploy a packed charm, let it rest, and return what that cost.

    Args:
        charm: a charm that `pack` made, so that installing its packages is no part of it.
        app: the name of the application.
        units: how many units.
        rounds: how many update-status hooks each unit runs at rest.
        image: what the containers start from; empty for the one that the charm names.
        settings: of the lab.
    """
    limit_s = LIMIT_S + LIMIT_PER_UNIT_S * units
    model = Model(f"bench-{os.getpid()}-{units}")
    try:
        # No update-status but those that are asked for.
        model.start({"update_status_s": 86400, **settings})
        start_s = time.monotonic()
        meta = read_meta(charm)
        model.deploy(charm, app=app, units=units, resources=meta.made_from(image))
        watch = wait_for(model, app, units, limit_s)
        active_s = watch.taken_s(start_s)
        deployed = model.hooks()
        rest: list[HookRecord] = []
        look: list[HookRecord] = []
        # One at a time: at rest means that nothing else wants the processor.
        for name in list(_states(model, app)) * (rounds if active_s is not None else 0):
            if LOOK in meta.actions:
                model.run(name, LOOK)
                look += update_status(model, name)
            rest += update_status(model, name)
        return Run(
            units=units,
            active_s=active_s,
            stuck=watch.stuck,
            deploy=costs(deployed),
            rest=costs(rest),
            look=costs(look),
            states=_states(model, app),
        )
    finally:
        model.destroy()


def growth(runs: Sequence[Run]) -> dict[str, float]:
    """Return how much more a unit of nine costs than one of three, as factors.

    Returns:
        ``deploy`` and ``rest`` (CPU of the hooks of a deployment, and of one update-status);
        empty when one of the two sizes was not measured. A unit gets two hooks for each of its
        peers, so the first grows with any charm.
    """
    by_size = {run.units: run for run in runs}
    if not {3, 9} <= by_size.keys():
        return {}
    three, nine = by_size[3], by_size[9]
    pairs = {
        "deploy": (three.cpu_per_unit_s, nine.cpu_per_unit_s),
        "rest": (three.rest.cpu_per_hook_s, nine.rest.cpu_per_hook_s),
    }
    return {name: more / less for name, (less, more) in pairs.items() if less}


def rows_of(run: Run) -> list[tuple[str, float | None]]:
    """Return the lines of a table about one run."""
    deploy, rest, look = run.deploy.total, run.rest.total, run.look.total
    each, resting, looking = (max(1, cost.hooks) for cost in (deploy, rest, look))
    return [
        ("deploy: until active, s", run.active_s),
        ("deploy: hooks", deploy.hooks),
        ("deploy: hooks that failed", deploy.failed),
        ("deploy: hook tool calls", deploy.tools),
        ("deploy: CPU of all hooks, s", deploy.cpu_s),
        ("deploy: CPU of hooks per unit, s", run.cpu_per_unit_s),
        ("deploy: CPU per hook, ms", run.deploy.cpu_per_hook_s * 1000),
        ("deploy: wall per hook, ms", deploy.wall_s / each * 1000),
        ("update-status at rest: CPU, ms", run.rest.cpu_per_hook_s * 1000),
        ("update-status at rest: wall, ms", rest.wall_s / resting * 1000),
        ("update-status at rest: tool calls", rest.tools / resting),
        ("update-status after an action: CPU, ms", run.look.cpu_per_hook_s * 1000),
        ("update-status after an action: wall, ms", look.wall_s / looking * 1000),
        ("update-status after an action: tool calls", look.tools / looking),
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "never"
    return f"{value:g}" if value == int(value) else f"{value:.1f}"


def show(results: dict[str, list[Run]]) -> str:
    """Return the table of all charms, with their ratio when there are two."""
    names = list(results)
    head = ["units", *names]
    if len(names) == 2:
        head.append(f"{names[0]} / {names[1]}")
    rows = []
    for runs in zip(*results.values(), strict=True):
        for lines in zip(*map(rows_of, runs), strict=True):
            values = [value for _, value in lines]
            row = [f"{runs[0].units}  {lines[0][0]}", *map(_number, values)]
            if len(values) == 2:
                first, second = values
                row.append(f"{first / second:.2f}" if first is not None and second else "-")
            rows.append(row)
    grown = [growth(runs) for runs in results.values()]
    for name, text in (("deploy", "deploy: CPU per unit"), ("rest", "update-status: CPU")):
        if any(grown):
            cells = [f"{factors[name]:.2f}" if name in factors else "-" for factors in grown]
            rows.append(
                [f"{text}, 9 units / 3 units", *cells, *["-"] * (len(head) - len(cells) - 1)]
            )
    return table.render(head, rows)


def show_hooks(run: Run) -> str:
    """Return the table of the hooks of one deployment, the dearest first."""
    ordered = sorted(run.deploy.by_hook.items(), key=lambda item: -item[1].cpu_s)
    rows = [
        (
            name,
            str(cost.hooks),
            f"{cost.tools / cost.hooks:.1f}",
            f"{cost.cpu_s / cost.hooks * 1000:.0f}",
            f"{cost.wall_s / cost.hooks * 1000:.0f}",
        )
        for name, cost in ordered
    ]
    return table.render(("hook", "runs", "tools each", "CPU ms each", "wall ms each"), rows)


def show_tools(run: Run) -> str:
    """Return the table of the hook tools: in one hook at rest, and in the deployment."""
    deployed, rest = run.deploy.by_tool, run.rest.by_tool
    resting = max(1, run.rest.total.hooks)
    rows = [
        (name, f"{rest.get(name, 0) / resting:.1f}", str(deployed.get(name, 0)))
        for name in sorted(
            {*deployed, *rest}, key=lambda n: (-rest.get(n, 0), -deployed.get(n, 0), n)
        )
    ]
    rows.append(("all", f"{run.rest.total.tools / resting:.1f}", str(run.deploy.total.tools)))
    return table.render(("hook tool", "calls at rest", "calls in the deployment"), rows)


def names_of(charms: Sequence[Path]) -> list[str]:
    """Return a short name for each charm: its directory's, numbered if they are the same."""
    names = [charm.name for charm in charms]
    if len(set(names)) == len(names):
        return names
    return [f"{number}:{name}" for number, name in enumerate(names, 1)]


def main() -> int:
    """Measure; return 0 when every deployment became active and no hook failed."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--charm", type=Path, nargs="+", default=[ROOT], help="charm directories")
    parser.add_argument("--image", default="", help="of the containers, see lab/README.md")
    parser.add_argument("--beside", type=Path, help="another charm, in turn with the first")
    parser.add_argument("--turns", type=int, default=3, help="deployments of each, with --beside")
    parser.add_argument("--sizes", type=int, nargs="+", help="units; 1 3 5 9, beside another 3")
    parser.add_argument("--rounds", type=int, default=3, help="update-status per unit at rest")
    parser.add_argument("--set", nargs="+", default=[], metavar="K=V", help="settings of the lab")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="all figures")
    options = parser.parse_args()
    paths = [*options.charm, *([options.beside] if options.beside else [])]
    charms = [charm.resolve() for charm in paths]
    if options.beside and len(charms) != 2:
        parser.error("--beside compares one charm with another")
    names = names_of(charms)
    settings = {**FIELD, **dict(each.split("=", 1) for each in options.set)}
    sizes = options.sizes or ([3] if options.beside else list(SIZES))
    turns = options.turns if options.beside else 1
    results: dict[str, list[Run]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        packed = {}
        for name, charm in zip(names, charms, strict=True):
            packed[name] = Path(folder) / name.replace(":", "-")
            pack(charm, packed[name], cache())
        for units in sizes:
            for turn in range(turns):
                # Each comes first in turn, so that what drifts on the machine meets both alike.
                for name in reversed(names) if turn % 2 else names:
                    print(f"{name}: {units} units ...", file=sys.stderr, flush=True)
                    app = read_meta(packed[name]).name
                    rounds, image = options.rounds, options.image
                    run = measure(packed[name], app, units, rounds, image, settings)
                    results[name].append(run)
    report: dict[str, Any] = {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version()},
        "charms": {
            name: {"directory": str(charm), "growth_3_to_9": growth(results[name])}
            | {"runs": [asdict(run) for run in results[name]]}
            for name, charm in zip(names, charms, strict=True)
        },
    }
    options.json.write_text(json.dumps(report, indent=1) + "\n")
    if options.beside:
        print(beside.show(results))
    else:
        print(show(results))
        for name, runs in results.items():
            for run in runs:
                if run.units == min(sizes, key=lambda size: abs(size - 3)):
                    print(f"\n{name}, {run.units} units: the hooks of the deployment")
                    print(show_hooks(run))
                    print(f"\n{name}, {run.units} units: the hook tools")
                    print(show_tools(run))
    wrong = [
        f"{name}, {run.units} units: {run.states if run.active_s is None else 'hooks failed'}"
        for name, runs in results.items()
        for run in runs
        if run.active_s is None or run.deploy.total.failed or run.rest.total.failed
    ]
    for text in wrong:
        print(f"WRONG: {text}")
    print(f"\nAll figures: {options.json}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
