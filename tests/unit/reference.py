# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The tables of docs/reference/statuses.md, as values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/reference/statuses.md"


@dataclass(frozen=True)
class Row:
    """What one row says of a text."""

    status: str
    """``blocked``, …; ``failed`` of an action; ``reason`` of what follows one of the others."""
    text: str
    """With ``...`` for what differs."""
    meaning: str
    do: str

    def fits(self, text: str) -> bool:
        """Whether a text that is shown is the one of this row."""
        parts = (re.escape(part) for part in self.text.split("..."))
        # A text may end with dots of its own.
        return text == self.text or re.fullmatch(".+".join(parts), text) is not None


def rows() -> list[Row]:
    """Return the rows of all tables."""
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| status |")
    ]
    assert {len(each) for each in cells} == {4}, cells
    return [Row(*each) for each in cells]


def has(status: str, text: str) -> bool:
    """Whether the reference has a text with this status."""
    return any(row.status == status and row.fits(text) for row in rows())
