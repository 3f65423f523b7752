# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the demo and the benchmark make of their figures, with plain values."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab.model import HookRecord
from trials import bench, beside, demo
from trials.clients import chart, table

SVG = "{http://www.w3.org/2000/svg}"
GOOD = chart.Step("kill the primary's <pod>", 2.0, 5.0, ("0.60 s", "0"))
CHART = chart.Chart(
    title="Writes & gaps",
    subtitle="two",
    unit="writes per second",
    rates=[(0.5, 200.0), (1.5, 180.0), (2.5, 0.0), (3.5, 190.0)],
    gaps=[(2.0, 3.0)],
    columns=("longest write gap", "lost"),
    steps=[GOOD, chart.Step("grow", 6.0, 9.0, ("0.04 s", "3"), good=False)],
    end_s=10.0,
)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_picture_is_xml_with_all_texts_in_it():
    shown = texts(chart.draw(CHART))
    assert {"Writes & gaps", "kill the primary's <pod>", "0.60 s", "lost", "grow"} <= set(shown)


def test_the_picture_marks_gaps_and_wrong_steps():
    root = ElementTree.fromstring(chart.draw(CHART))
    gaps = [r for r in root.iter(f"{SVG}rect") if r.get("fill") == chart.BAD]
    wrong = [c for c in root.iter(f"{SVG}circle") if c.get("fill") == chart.BAD]
    assert len(gaps) == len(CHART.gaps)
    # On the axis and in the table.
    assert len(wrong) == 2


def test_everything_stays_inside_the_picture():
    root = ElementTree.fromstring(chart.draw(CHART))
    height = float(root.get("height", "0"))
    for element in root.iter(f"{SVG}text"):
        assert 0 <= float(element.get("x", "-1")) <= chart.WIDTH
        assert 0 <= float(element.get("y", "-1")) <= height


def test_a_picture_without_a_single_write_is_a_picture():
    empty = chart.Chart("t", "s", "u", rates=[], gaps=[], columns=(), steps=[], end_s=0.0)
    assert "t" in texts(chart.draw(empty))


def test_a_table_is_aligned():
    text = table.render(("step", "gap"), [("kill", "1 s"), ("a longer one", "10.5 s")])
    assert text.splitlines() == [
        "step             gap",
        "------------  ------",
        "kill             1 s",
        "a longer one  10.5 s",
    ]


def test_a_step_that_never_settled_says_so():
    step = demo.Step("kill", 1.0, gap_s=0.615, lost=2)
    assert step.cells() == ("0.61 s", "2", "0", "never")


def record(name: str, cpu_s: float, rc: int = 0) -> HookRecord:
    return HookRecord(
        0, "a/0", name, rc, 0.0, cpu_s * 2, cpu_s, {"config-get": 2, "status-set": 1}
    )


def run(
    units: int, cpu_s: Sequence[float], rest_s: float, active_s: float | None = 1.0
) -> bench.Run:
    return bench.Run(
        units=units,
        active_s=active_s,
        stuck=0,
        deploy=bench.costs([record("start", cpu) for cpu in cpu_s]),
        rest=bench.costs([record("update-status", rest_s)]),
        look=bench.costs([record("update-status", rest_s * 2)]),
        states={},
    )


def test_costs_are_added_up_by_hook_and_by_tool():
    found = bench.costs([record("start", 0.5), record("start", 1.0, rc=1), record("stop", 2.0)])
    assert (found.total.hooks, found.total.failed, found.total.cpu_s) == (3, 1, 3.5)
    assert found.total.tools == 9
    assert (found.by_hook["start"].hooks, found.by_hook["start"].wall_s) == (2, 3.0)
    assert found.by_tool == {"config-get": 6, "status-set": 3}


def test_growth_is_counted_for_each_unit():
    runs = [run(3, [1.0] * 6, 0.2), run(9, [1.0] * 27, 0.3)]
    assert bench.growth(runs) == pytest.approx({"deploy": 1.5, "rest": 1.5})
    assert bench.growth(runs[:1]) == {}


def test_two_charms_stand_side_by_side():
    text = bench.show({"ours": [run(3, [1.0], 0.2)], "theirs": [run(3, [2.0], 0.2)]})
    assert "ours / theirs" in text.splitlines()[0]
    line = next(line for line in text.splitlines() if "CPU of all hooks" in line)
    assert line.split()[-3:] == ["1", "2", "0.50"]


def test_a_deployment_that_never_came_up_shows():
    nothing = bench.costs([])
    never = bench.Run(3, None, 0, nothing, nothing, nothing, {"a/0": "blocked idle"})
    assert "never" in bench.show({"ours": [never]})


def line_of(text: str, label: str) -> str:
    """Return a line of a table, with one space between its words."""
    line = next(line for line in text.splitlines() if line.startswith(label))
    return " ".join(line.split())


def test_beside_another_charm_the_medians_their_ratio_and_the_bar_are_shown():
    ours = [run(3, [cpu], 0.2, active_s) for cpu, active_s in ((1, 5), (2, 6), (9, 7))]
    theirs = [run(3, [cpu], 0.4, active_s) for cpu, active_s in ((4, 8), (4, 8), (4, 9))]
    text = beside.show({"ours": ours, "theirs": theirs})
    assert "3 units, 3 turns each" in text.splitlines()[0]
    shown = line_of(text, "deploy: CPU of all hooks")
    assert shown.endswith("s 2 (1 to 9) 4 0.50 <= 0.60 met")
    assert line_of(text, "deploy: until active").endswith("0.75 <= 0.60 not met")
    assert line_of(text, "at rest: CPU").endswith("ms 200 400 0.50 <= 0.80 met")
    assert line_of(text, "after an action: CPU").endswith("ms 400 800 0.50 <= 0.80 met")
    assert line_of(text, "at rest: hook tool calls").endswith("<= 8 calls met")
    # By hook and by tool.
    assert line_of(text, "start").split()[1:] == ["1.0", "4000.0", "3.0", "1.0", "4000.0", "3.0"]
    assert line_of(text, "config-get").split()[1:] == ["2.0"] * 6


def test_no_bar_is_met_by_a_charm_that_came_up_in_two_turns_of_three():
    ours = [run(3, [1.0], 0.2, active_s) for active_s in (1.0, None, 1.0)]
    text = beside.show({"ours": ours, "theirs": [run(3, [1.0], 0.2, 9.0)] * 3})
    assert "none in 1 of 3" in line_of(text, "deploy: until active")
    assert line_of(text, "deploy: until active").endswith("- <= 0.60 not met")


def test_a_charm_without_the_action_has_no_figures_after_it():
    bare = run(3, [1.0], 0.2)
    bare.look = bench.costs([])
    assert "none in 1 of 1" in line_of(beside.show({"a": [bare], "b": [bare]}), "after an action")


def test_a_deployment_is_over_when_its_units_have_been_active_for_a_while():
    watch = bench.Watch(2)
    assert watch.see(["active idle"], 1.0) == ""
    assert watch.see(["active idle", "active executing"], 2.0) == ""
    assert watch.see(["active idle"] * 2, 3.0) == ""
    assert watch.taken_s(1.0) is None
    assert watch.see(["active idle"] * 2, 3.0 + bench.HOLD_S) == "done"
    assert (watch.taken_s(1.0), watch.stuck) == (2.0, 0)


def test_waiting_for_update_status_is_counted_and_its_time_is_not():
    watch = bench.Watch(1)
    assert watch.see(["waiting executing"], 10.0) == ""
    assert watch.see(["waiting idle"], 11.0) == ""
    late_s = 11.0 + bench.STUCK_S
    assert watch.see(["waiting idle"], late_s - 1) == ""
    assert watch.see(["waiting idle"], late_s) == "stuck"
    assert watch.see(["waiting executing"], late_s) == ""
    assert watch.see(["active idle"], late_s + 1) == ""
    assert watch.see(["active idle"], late_s + 1 + bench.HOLD_S) == "done"
    assert (watch.taken_s(10.0), watch.stuck) == (2.0, 1)


def test_charms_of_the_same_directory_name_are_told_apart():
    # Two revisions of one charm, say.
    names = bench.names_of([Path("old/charm"), Path("new/charm")])
    assert len(set(names)) == 2
