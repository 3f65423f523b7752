"""What ``juju debug-log`` shows."""

from __future__ import annotations

import threading
import time
from collections import deque

LOG_LINES = 50_000


class DebugLog:
    """The last lines of all agents and charms.

    Args:
        lock: of the model.
        seen: is notified of new lines.

    Attributes:
        end: how many lines there have been.
    """

    def __init__(self, lock: threading.RLock, seen: threading.Condition) -> None:
        self.end = 0
        self._lock = lock
        self._seen = seen
        self._lines: deque[str] = deque(maxlen=LOG_LINES)

    def write(self, who: str, level: str, source: str, text: str) -> None:
        """Add lines in the form of ``juju debug-log``: who, time, level, source and text."""
        stamp = time.strftime("%H:%M:%S")
        with self._lock:
            for line in text.splitlines() or [""]:
                self._lines.append(f"{who}: {stamp} {level} {source} {line}")
                self.end += 1
            self._seen.notify_all()

    def since(self, since: int) -> tuple[list[str], int]:
        """Return the lines after the first ``since`` ones, and how many there have been."""
        with self._lock:
            first = self.end - len(self._lines)
            skip = max(0, since - first)
            return list(self._lines)[skip:], self.end
