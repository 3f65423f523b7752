"""Which calls of a hook tool fail, by the setting ``tool_faults``."""

import pytest

from lab.model import Model, ModelError
from lab.toolfaults import ToolFaults


def failing(rules: str, calls: list[tuple[str, str, str, str]]) -> list[bool]:
    """Return which of the calls (tool, unit, hook, run) fail."""
    faults = ToolFaults()
    faults.use(rules)
    return [faults.error([tool], unit, hook, run) is not None for tool, unit, hook, run in calls]


CALLS = [
    ("goal-state", "a/0", "start", "1"),
    ("goal-state", "a/0", "start", "1"),
    ("is-leader", "a/0", "start", "1"),
    ("goal-state", "a/1", "start", "2"),
    ("goal-state", "a/0", "start", "3"),
    ("goal-state", "b/0", "start", "4"),
]


@pytest.mark.parametrize(
    ("rules", "fails"),
    [
        ("", [False] * 6),
        ("goal-state:1", [True, False, False, False, False, False]),
        ("goal-state:3", [True, True, False, True, False, False]),
        ("goal-state:every=2", [False, True, False, False, True, False]),
        ("goal-state:always", [True, True, False, True, True, True]),
        ("goal-state:once-per-hook", [True, False, False, True, True, True]),
        ("goal-state:first-hooks", [True, False, False, True, False, True]),
        ("*:first-hooks", [True, False, True, True, False, True]),
        ("is-leader:1, goal-state:1", [True, False, True, False, False, False]),
        ("goal-state@a:always", [True, True, False, True, True, False]),
        ("goal-state@b:1", [False, False, False, False, False, True]),
        ("*@a:once-per-hook", [True, False, True, True, True, False]),
    ],
)
def test_which_calls_fail(rules, fails):
    assert failing(rules, CALLS) == fails


@pytest.mark.parametrize("text", ["goal-state", "goal-state:often", "goal-state:0", "x:every="])
def test_a_rule_that_says_nothing_is_refused(text):
    with pytest.raises(ModelError, match="expected TOOL:N"):
        Model("m").settings.update({"tool_faults": text})


def test_goal_state_fails_with_what_juju_says():
    faults = ToolFaults()
    faults.use("goal-state:always,config-get:always")
    assert faults.error(["goal-state"], "a/0", "start", "1") == 'unit "a/9" not found'
    assert faults.error(["config-get"], "a/0", "start", "1") == "connection is shut down"
