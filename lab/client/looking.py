"""What is so in a model, and waiting until it is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from lab.client.errors import LabTimeout
from lab.client.link import Link
from lab.model import HookRecord

STATUS_EVERY_S = 0.05
PREDICATE_EVERY_S = 0.5
LOG_TAIL = 30


class Looking(Link):
    """Statuses, logs, databags and secrets of a model."""

    def status(self) -> dict[str, Any]:
        """Return applications, units and relations with their statuses.

        The mapping has ``model``; ``applications``, by name, each with ``status`` (``current``,
        ``message``), ``charm``, ``base``, ``ports`` (such as ``80/tcp``), ``scale``, ``rolling``,
        ``containers`` and ``units``; and
        ``relations``, each with ``id``, ``endpoints``, ``interface`` and ``life``. A unit, by
        its name, has ``workload`` and ``agent`` (``current``, ``message``), ``leader``,
        ``address``, ``host``, ``life`` (``alive``, ``dying``, ``dead``) and ``version``.
        An agent is ``allocating``, ``idle``, ``executing``, ``error`` or ``lost``.
        """
        return self._ask("status", after=-1, timeout_s=0.0)["status"]

    def wait(
        self, predicate: Callable[[dict[str, Any]], bool], timeout_s: float, what: str = ""
    ) -> dict[str, Any]:
        """Wait until a status satisfies ``predicate``, and return it.

        Raises:
            LabTimeout: none did in time.
        """
        deadline = time.monotonic() + timeout_s
        version = -1
        while True:
            left = deadline - time.monotonic()
            # A predicate may also ask for what is no part of the status, so it is tried regularly.
            wait_s = max(0.0, min(left, PREDICATE_EVERY_S))
            answer = self._ask("status", after=version, timeout_s=wait_s)
            version, status = answer["version"], answer["status"]
            if predicate(status):
                return status
            if left <= 0:
                raise LabTimeout(self._timeout_text(what or "what was waited for", timeout_s))
            # A status changes many times a second while hooks run; this is how often we look.
            time.sleep(min(STATUS_EVERY_S, left))

    def wait_idle(self, timeout_s: float, hold_s: float = 1.0) -> dict[str, Any]:
        """Wait until every unit that is wanted is idle and none is leaving, for ``hold_s``.

        Raises:
            LabTimeout: that did not happen; a unit in error is never idle.
        """
        since: float | None = None
        deadline = time.monotonic() + timeout_s
        version = -1
        while True:
            wait_s = deadline - time.monotonic()
            if since is not None:
                wait_s = min(wait_s, since + hold_s - time.monotonic())
            answer = self._ask("status", after=version, timeout_s=max(0.0, wait_s))
            now = time.monotonic()
            if answer["version"] != version:
                version = answer["version"]
                since = (since or now) if _settled(answer["status"]) else None
            if since is not None and now >= since + hold_s:
                return answer["status"]
            if now >= deadline:
                raise LabTimeout(self._timeout_text("idle units", timeout_s))
            time.sleep(min(STATUS_EVERY_S, max(0.0, deadline - now)))

    def _timeout_text(self, what: str, timeout_s: float) -> str:
        status = json.dumps(self.status(), indent=1)
        tail = "\n".join(self.log()[-LOG_TAIL:])
        return f"{what}: not within {timeout_s:g} s\n{status}\n{tail}"

    def status_log(self, unit: str) -> list[dict[str, str]]:
        """Return what a unit's charm has said of itself, as ``juju show-status-log`` does.

        Each has ``current`` and ``message``, oldest first; those of a unit that has left stay.
        """
        return self._ask("status_log", unit=unit)

    def hooks(self, since: int = 0) -> list[HookRecord]:
        """Return the runs of dispatch from index ``since`` on, in the order of their ends."""
        return [HookRecord(**record) for record in self._ask("hooks", since=since)]

    def log(self, since: int = 0) -> list[str]:
        """Return the lines of the debug log after the first ``since``."""
        return self._ask("log", since=since, timeout_s=0.0)["lines"]

    def follow_log(self, since: int, timeout_s: float) -> tuple[list[str], int]:
        """Wait for lines after the first ``since``; return them and how many there are in all."""
        answer = self._ask("log", since=since, timeout_s=timeout_s)
        return answer["lines"], answer["end"]

    def databags(self, app: str) -> dict[str, dict[str, dict[str, str]]]:
        """Return ``{"endpoint:id": {unit or app: {key: value}}}``."""
        return self._ask("databags", app=app)

    def objects(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the ``pods`` or ``services`` of the model's namespace, by name."""
        return self._ask("objects", kind=kind)

    def api_requests(self, since: int = 0) -> list[str]:
        """Return what the API of Kubernetes was asked: method, path, code, caller's address."""
        return self._ask("api_requests", since=since)

    def secrets(self, app: str) -> dict[str, dict[str, Any]]:
        """Return all secrets of an application and its units, with content, by id."""
        return self._ask("secrets", app=app)


def _settled(status: Mapping[str, Any]) -> bool:
    for app in status["applications"].values():
        if app["rolling"] or len(app["units"]) != app["scale"]:
            return False
        for unit in app["units"].values():
            if unit["agent"]["current"] != "idle" or unit["life"] != "alive":
                return False
    return True
