"""Follows one container's Pebble, as the unit agent and the kubelet do.

The agent asks every 5 s for Pebble's boot id, and a new one means ``pebble-ready``; a long poll
brings notices at once. The kubelet probes Pebble's health and kills a container that is not alive.
Source: Juju, internal/worker/uniter/pebblepoller.go and pebblenotices.go.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from lab.model import Hook

POLL_S = 5.0
PROBE_TIMEOUT_S = 1.0
PROBE_FAILURES = 3


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(path: str, query: str, timeout_s: float) -> tuple[int, Any]:
    """Return HTTP status and result of one request to a Pebble.

    Raises:
        OSError: it does not answer in time.
    """
    connection = _Connection(path, timeout_s)
    try:
        return _ask(connection, query)
    finally:
        connection.close()


def _ask(connection: _Connection, query: str) -> tuple[int, Any]:
    try:
        connection.request("GET", query)
        response = connection.getresponse()
        return response.status, json.loads(response.read())["result"]
    except (http.client.HTTPException, ValueError, KeyError) as e:
        raise ConnectionError(f"no answer from Pebble: {e}") from e


class Watcher:
    """The thread that follows one container from the start of its pod to the end.

    ``post`` gets each event. One notice is outstanding at a time: the next one is posted after
    ``done`` was called for it. ``kill`` is called when the container fails its liveness probe,
    and ``frozen`` tells whether the node stands still, so that nobody probes.
    """

    def __init__(
        self,
        container: str,
        socket_path: str,
        post: Callable[[Hook], None],
        kill: Callable[[str], None],
        frozen: Callable[[], bool],
    ) -> None:
        self.container = container
        self._path = socket_path
        self._post = post
        self._kill = kill
        self._frozen = frozen
        self._boot_id = ""
        self._after = ""
        self._failures = 0
        self._waiting: str = ""
        self._changed = threading.Condition()
        self._again = False
        self._stopped = False
        self._polling: _Connection | None = None
        name = f"pebble-{container}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it may still be in its last request."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._interrupt()

    def done(self, hook: Hook) -> None:
        """Note that the hook of a notice has ended well."""
        with self._changed:
            if hook.notice_id == self._waiting:
                self._waiting = ""
                self._changed.notify_all()

    def ready_again(self) -> None:
        """Report ready once more at the next poll, since the hook failed."""
        with self._changed:
            self._boot_id = ""

    def replay(self) -> None:
        """Begin anew, as an agent that has restarted: ready, then every notice there is."""
        with self._changed:
            self._again = True
            self._changed.notify_all()
        self._interrupt()

    def is_ready(self) -> bool:
        """Return whether the container passes its readiness probe now."""
        try:
            return get(self._path, "/v1/health?level=ready", PROBE_TIMEOUT_S)[0] == 200
        except OSError:
            return False

    def _interrupt(self) -> None:
        connection = self._polling
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                # It has ended by itself meanwhile.
                return

    def _run(self) -> None:
        tick = time.monotonic()
        answers = False
        backlog: list[dict[str, Any]] = []
        while not self._stopped:
            with self._changed:
                if self._again:
                    self._again, self._boot_id, self._after, self._waiting = False, "", "", ""
                    backlog.clear()
                    tick = time.monotonic()
            if time.monotonic() >= tick:
                answers = self._poll()
                tick = max(tick + POLL_S, time.monotonic())
            if answers and not self._waiting and not backlog:
                try:
                    backlog = self._notices(max(0.1, tick - time.monotonic()))
                except OSError:
                    answers = False
                    continue
            while backlog and not self._waiting and not self._again:
                self._tell(backlog.pop(0))
            with self._changed:
                idle = self._waiting or not answers
                if idle and not self._again and not self._stopped:
                    self._changed.wait(max(0.0, tick - time.monotonic()))

    def _poll(self) -> bool:
        """Ask for the boot id and for the health; return whether Pebble answers."""
        if self._frozen():
            return True
        try:
            status, _ = get(self._path, "/v1/health?level=alive", PROBE_TIMEOUT_S)
            healthy = status == 200
            boot_id = get(self._path, "/v1/system-info", POLL_S)[1]["boot-id"]
        except OSError:
            healthy, boot_id = False, None
        with self._changed:
            self._failures = 0 if healthy else self._failures + 1
            fresh = boot_id is not None and boot_id != self._boot_id
            if fresh:
                # The notices of a Pebble that has restarted are still those of before.
                self._boot_id = boot_id
        if self._failures >= PROBE_FAILURES and not self._stopped:
            self._failures = 0
            self._kill(self.container)
        if fresh and not self._stopped:
            name = f"{self.container}-pebble-ready"
            self._post(Hook("pebble-ready", name, workload=self.container))
        return boot_id is not None

    def _notices(self, timeout_s: float) -> list[dict[str, Any]]:
        query = {"users": "all", "types": "custom,change-update", "timeout": f"{timeout_s:.3f}s"}
        if self._after:
            query["after"] = self._after
        # One connection for all polls would outlive a Pebble that restarts between two of them.
        connection = _Connection(self._path, timeout_s + POLL_S)
        self._polling = connection
        try:
            status, found = _ask(connection, f"/v1/notices?{urllib.parse.urlencode(query)}")
        finally:
            self._polling = None
            connection.close()
        if status != 200:
            raise ConnectionError(f"Pebble refuses to tell notices: {found}")
        return found or []

    def _tell(self, notice: dict[str, Any]) -> None:
        """Post the event of one notice, if it has one."""
        hook = None
        if notice["type"] == "custom":
            hook = Hook(
                "pebble-custom-notice",
                f"{self.container}-pebble-custom-notice",
                workload=self.container,
                notice_id=notice["id"],
                notice_key=notice["key"],
            )
        else:
            data = notice.get("last-data") or {}
            wanted = {"perform-check": "Error", "recover-check": "Done"}.get(data.get("kind", ""))
            if wanted and self._change_status(notice["key"]) == wanted:
                kind = "pebble-check-failed" if wanted == "Error" else "pebble-check-recovered"
                hook = Hook(
                    kind,
                    f"{self.container}-{kind}",
                    workload=self.container,
                    notice_id=notice["id"],
                    check=data.get("check-name", ""),
                )
        with self._changed:
            if self._again:
                return
            self._after = notice["last-repeated"]
            if hook is not None:
                self._waiting = hook.notice_id
        if hook is not None:
            self._post(hook)

    def _change_status(self, change_id: str) -> str:
        try:
            status, change = get(self._path, f"/v1/changes/{change_id}", POLL_S)
        except OSError:
            return ""
        return change.get("status", "") if status == 200 else ""
