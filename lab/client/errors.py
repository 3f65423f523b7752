"""What a request comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class LabError(Exception):
    """The lab refused a request; the text says why."""


class LabTimeout(LabError):
    """What was waited for did not come; the text has the status and the end of the log."""


@dataclass(frozen=True)
class ActionResult:
    """What became of an action; ``status`` is ``completed`` or ``failed``."""

    status: str
    results: dict[str, Any]
    message: str
    log: list[str]
