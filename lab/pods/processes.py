"""Processes, by their numbers."""

from __future__ import annotations

import os
import pwd
import select
import signal
from collections.abc import Sequence
from pathlib import Path


def identity(user: str | None) -> tuple[int | None, int | None, list[int] | None]:
    """Return uid, gid and groups of a user, nothing for None, by the /etc/passwd in sight."""
    if user is None:
        return None, None, None
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(user, entry.pw_gid)


def ends_within(pid: int, timeout_s: float | None) -> bool:
    """Return whether a process ends in time; ``None``: wait for ever."""
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))
    finally:
        os.close(handle)


def state(pid: int) -> str:
    """Return the letter of a process's state; Z, the end, also for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to all that are still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
