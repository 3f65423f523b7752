# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Waiting until all is right, with a clock that goes as fast as we want."""

from collections.abc import Callable, Iterable

import pytest

from trials import waiting

LATE = ["one is late"]


class Clock:
    """Goes on only by what is slept."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(waiting, "time", made)
    return made


def looks(*found: list[str], then: Iterable[str] = ()) -> Callable[[], list[str]]:
    rest = list(found)
    return lambda: list(rest.pop(0)) if rest else list(then)


def test_it_counts_from_the_first_look_that_missed_nothing():
    outcome = waiting.until(looks(LATE, LATE), 10.0, hold_s=1.0)
    assert outcome.since_s == pytest.approx(100.0 + 2 * waiting.LOOK_EVERY_S)
    assert outcome.missing == LATE


def test_a_break_begins_the_count_anew():
    outcome = waiting.until(looks([], [], LATE), 10.0, hold_s=1.0)
    assert outcome.since_s == pytest.approx(100.0 + 3 * waiting.LOOK_EVERY_S)


def test_what_never_comes_is_told():
    assert waiting.until(looks(then=LATE), 1.0) == waiting.Outcome(None, LATE)


def test_right_for_moments_only_is_not_right():
    turns = [[], LATE] * 50
    outcome = waiting.until(looks(*turns), 3.1, hold_s=1.0)
    assert outcome.since_s is None
    assert outcome.missing in (LATE, ["it was right for moments only", *LATE])


def test_without_a_hold_one_look_is_enough(clock: Clock):
    assert waiting.until(looks(), 0.0, hold_s=0.0) == waiting.Outcome(100.0, [])
    assert clock.now_s == 100.0


def test_each_look_but_the_last_is_shown():
    shown: list[list[str]] = []
    waiting.until(looks(LATE), 10.0, hold_s=0.3, tell=shown.append)
    assert shown == [LATE, [], []]
