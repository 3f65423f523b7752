# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Two charms side by side: what each costs in the same run, their ratio, and the bars for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from trials.clients import table

if TYPE_CHECKING:
    from trials.bench import Costs, Run

DEPLOYMENT_BAR = 0.6
REST_BAR = 0.8
CALLS_BAR = 8
"""How much of the other charm's the first may cost, and how many calls in a hook at rest."""


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        label: what it is about.
        of: the figure of one run; ``None`` where there is none.
        ratio: the bar for the ratio of the two charms.
        most: the bar for the first charm's own figure.
    """

    label: str
    of: Callable[[Run], float | None]
    ratio: float | None = None
    most: float | None = None


def _cpu_ms(found: Costs) -> float | None:
    return _each(found, found.total.cpu_s * 1000)


def _wall_ms(found: Costs) -> float | None:
    return _each(found, found.total.wall_s * 1000)


def _calls(found: Costs) -> float | None:
    return _each(found, found.total.tools)


def _each(found: Costs, total: float) -> float | None:
    """Return the part of one hook; None without any."""
    return total / found.total.hooks if found.total.hooks else None


LINES = (
    Line("deploy: until active, s", lambda run: run.active_s, ratio=DEPLOYMENT_BAR),
    Line("deploy: CPU of all hooks, s", lambda run: run.deploy.total.cpu_s, ratio=DEPLOYMENT_BAR),
    Line("deploy: hooks", lambda run: run.deploy.total.hooks),
    Line("deploy: hook tool calls", lambda run: run.deploy.total.tools),
    Line("deploy: times that update-status had to help", lambda run: run.stuck),
    Line("at rest: CPU, ms", lambda run: _cpu_ms(run.rest), ratio=REST_BAR),
    Line("at rest: wall, ms", lambda run: _wall_ms(run.rest), ratio=REST_BAR),
    Line("at rest: hook tool calls", lambda run: _calls(run.rest), most=CALLS_BAR),
    Line("after an action: CPU, ms", lambda run: _cpu_ms(run.look), ratio=REST_BAR),
    Line("after an action: wall, ms", lambda run: _wall_ms(run.look), ratio=REST_BAR),
    Line("after an action: hook tool calls", lambda run: _calls(run.look), most=CALLS_BAR),
)


def show(results: Mapping[str, Sequence[Run]]) -> str:
    """Return the tables of two charms, for each size: costs, hooks, and hook tools.

    Args:
        results: the runs by the charm's name, the first charm being the one with the bars.
    """
    (first, ours), (second, theirs) = results.items()
    parts = []
    for units in dict.fromkeys(run.units for run in ours):
        pair = [[run for run in runs if run.units == units] for runs in (ours, theirs)]
        parts.append(
            f"{units} units, {len(pair[0])} turns each: median (lowest to highest)\n"
            + table.render(
                ("", first, second, "ratio", "bar", ""), [_row(line, *pair) for line in LINES]
            )
        )
        head = ("hook of the deployment", *_twice(first, second, ("runs", "CPU ms", "calls")))
        parts.append(table.render(head, _hooks(*pair)))
        head = ("hook tool", *_twice(first, second, ("deploy", "at rest", "after an action")))
        parts.append(table.render(head, _tools(*pair)))
    return "\n\n".join(parts)


def _twice(first: str, second: str, titles: Sequence[str]) -> list[str]:
    return [f"{name}: {title}" for name in (first, second) for title in titles]


def _row(line: Line, ours: Sequence[Run], theirs: Sequence[Run]) -> list[str]:
    figures = [[line.of(run) for run in runs] for runs in (ours, theirs)]
    middles = [_middle(values) for values in figures]
    mine, other = middles
    ratio = mine / other if mine is not None and other else None
    verdict = ["", ""]
    if line.ratio is not None:
        verdict = [f"<= {line.ratio:.2f}", _met(ratio, line.ratio)]
    elif line.most is not None:
        verdict = [f"<= {line.most:g} calls", _met(mine, line.most)]
    cells = [_cell(values) for values in figures]
    return [line.label, *cells, "-" if ratio is None else f"{ratio:.2f}", *verdict]


def _met(value: float | None, bar: float) -> str:
    return "met" if value is not None and value <= bar else "not met"


def _middle(values: Sequence[float | None]) -> float | None:
    """Return the median; None if a run has no such figure, since it may be the worst."""
    known = [value for value in values if value is not None]
    return median(known) if known and len(known) == len(values) else None


def _cell(values: Sequence[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    if len(known) < len(values) or not known:
        return f"none in {len(values) - len(known)} of {len(values)}"
    low, middle, high = (f"{value:.4g}" for value in (known[0], median(known), known[-1]))
    return middle if low == high else f"{middle} ({low} to {high})"


def _hooks(ours: Sequence[Run], theirs: Sequence[Run]) -> list[list[str]]:
    """Return the hooks of a deployment, the dearest first: runs, CPU of them all, calls."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 6)
    for place, runs in ((0, ours), (3, theirs)):
        for run in runs:
            for name, cost in run.deploy.by_hook.items():
                figures = (cost.hooks, cost.cpu_s * 1000, cost.tools)
                for offset, value in enumerate(figures):
                    sums[name][place + offset] += value / len(runs)
    ordered = sorted(sums.items(), key=lambda item: -max(item[1][1], item[1][4]))
    return [[name, *(f"{value:.1f}" if value else "-" for value in s)] for name, s in ordered]


def _tools(ours: Sequence[Run], theirs: Sequence[Run]) -> list[list[str]]:
    """Return how often each tool is called: in a deployment, and in one hook of either kind."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 6)
    for place, runs in ((0, ours), (3, theirs)):
        for run in runs:
            kinds = ((run.deploy, 1), (run.rest, run.rest.total.hooks))
            for offset, (found, hooks) in enumerate((*kinds, (run.look, run.look.total.hooks))):
                for name, count in found.by_tool.items():
                    sums[name][place + offset] += count / max(1, hooks) / len(runs)
    ordered = sorted(sums.items(), key=lambda item: (-item[1][0] - item[1][3], item[0]))
    return [[name, *(f"{value:.1f}" if value else "-" for value in s)] for name, s in ordered]
