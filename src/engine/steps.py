# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What every step is: a frozen value, named by a verb, that says all that is to be done."""

from __future__ import annotations

from values import dataclass


class Step:
    """Something that one unit is to do. It is logged, so a password in it is not shown."""

    binds = False
    """What stands after it in a plan is for whoever has taken it: if it fails, nothing follows."""
    told = False
    """Why it failed is told to people."""


@dataclass(frozen=True)
class AskAgain(Step):
    """Ask for another turn in a moment."""

    reason: str
