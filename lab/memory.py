"""A limit on the memory of a container, as the kubelet sets it: by a control group.

From Kubernetes 1.28 on the whole group is killed when its processes together take more than the
limit. Version 2 of control groups does that by itself (``memory.oom.group``); version 1 kills one
process, and the lab all others.
Source: https://docs.kernel.org/admin-guide/cgroup-v2.html, and cgroup-v1/memory.html there.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path


class MemoryLimitError(Exception):
    """This machine gives the lab no control group for memory; the text says why."""


class MemoryLimit:
    """The control group of one run of one container."""

    def __init__(self, group: str, name: str, limit_mb: int) -> None:
        """Make the group.

        Args:
            group: the model's own group, which holds those of its containers.
            name: of the container's group, unique in the model.
            limit_mb: in MiB, for all processes together, swapped out or not.

        Raises:
            MemoryLimitError: the machine does not let it.
        """
        top, self._unified = _hierarchy()
        self._path = top / group / name
        limit = str(limit_mb << 20)
        try:
            if self._unified:
                (top / "cgroup.subtree_control").write_text("+memory")
                self._path.parent.mkdir(exist_ok=True)
                (self._path.parent / "cgroup.subtree_control").write_text("+memory")
            self._path.mkdir(parents=True)
            if self._unified:
                self._write("memory.max", limit)
                self._write("memory.oom.group", "1")
                swap, allowed = "memory.swap.max", "0"
            else:
                self._write("memory.limit_in_bytes", limit)
                swap, allowed = "memory.memsw.limit_in_bytes", limit
            if (self._path / swap).exists():
                self._write(swap, allowed)
        except OSError as e:
            raise MemoryLimitError(f"memory cannot be limited here: {e}") from e

    def take(self, pid: int, kill_all: Callable[[], None]) -> None:
        """Put a process, and all that it will start, under the limit.

        Args:
            pid: in the caller's numbers.
            kill_all: called, in a thread, where the kernel has killed one process only.
        """
        self._write("cgroup.procs", str(pid))
        if not self._unified:
            told = os.eventfd(0, os.EFD_CLOEXEC)
            control = os.open(self._path / "memory.oom_control", os.O_RDONLY)
            self._write("cgroup.event_control", f"{told} {control}")
            waits = threading.Thread(
                target=self._wait, args=(told, control, kill_all), daemon=True
            )
            waits.start()

    def _wait(self, told: int, control: int, kill_all: Callable[[], None]) -> None:
        # It also returns when the group is removed.
        os.eventfd_read(told)
        os.close(told)
        os.close(control)
        if self._path.exists():
            kill_all()

    def remove(self) -> None:
        """Remove the group, whose processes have ended."""
        # What of them the kernel has not let go of yet keeps it until the model ends.
        with contextlib.suppress(OSError):
            self._path.rmdir()

    def _write(self, name: str, text: str) -> None:
        (self._path / name).write_text(text)


def forget(group: str) -> None:
    """Remove what a model has left, if it has left anything."""
    try:
        top = _hierarchy()[0] / group
    except MemoryLimitError:
        return
    with contextlib.suppress(OSError):
        for path in sorted(top.glob("*/")):
            path.rmdir()
        top.rmdir()


def _hierarchy() -> tuple[Path, bool]:
    """Return where control groups for memory are made, and whether they are of version 2."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        point = Path(before.split()[4])
        kind, _, options = after.split()
        if kind == "cgroup" and "memory" in options.split(","):
            return point, False
        if kind == "cgroup2" and "memory" in (point / "cgroup.controllers").read_text().split():
            return point, True
    raise MemoryLimitError("memory cannot be limited here: no control groups for it are mounted")
