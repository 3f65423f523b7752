# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Waiting until all is right, and stays so."""

import time
from collections.abc import Callable
from dataclasses import dataclass

LOOK_EVERY_S = 0.2
HOLD_S = 1.5
"""How long all must be right without a break before it counts."""


@dataclass(frozen=True)
class Outcome:
    """What came of waiting.

    Attributes:
        since_s: since when nothing is missing, on the monotonic clock; ``None``: it never held.
        missing: what was the last to be missing, in sentences.
    """

    since_s: float | None
    missing: list[str]


def ignore(found: list[str]) -> None:
    """Show nobody what is missing."""


def until(
    missing: Callable[[], list[str]],
    limit_s: float,
    hold_s: float = HOLD_S,
    tell: Callable[[list[str]], None] = ignore,
) -> Outcome:
    """Wait until nothing is missing, without a break.

    Args:
        missing: says what is not as it should be, in sentences.
        limit_s: how long to wait.
        hold_s: for how long nothing may be missing.
        tell: is shown what is missing at each look.
    """
    deadline_s = time.monotonic() + limit_s
    since_s: float | None = None
    last: list[str] = []
    while True:
        asked_s = time.monotonic()
        found = missing()
        since_s = None if found else since_s or asked_s
        last = found or last
        now_s = time.monotonic()
        if since_s is not None and now_s - since_s >= hold_s:
            return Outcome(since_s, last)
        if now_s > deadline_s:
            return Outcome(None, found or ["it was right for moments only", *last])
        tell(found)
        time.sleep(max(0.0, LOOK_EVERY_S - (now_s - asked_s)))
