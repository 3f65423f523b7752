"""Trouble for a model: what dies, stands still, is cut off or full."""

from __future__ import annotations

from collections.abc import Sequence

from lab.client.errors import LabError
from lab.client.inside import Inside


class Trouble(Inside):
    """Makes trouble for pods, processes, links, disks and leaders."""

    def kill_process(self, unit: str, container: str, match: str) -> int:
        """Kill with SIGKILL every process whose command line holds ``match``."""
        return self._ask("kill_process", unit=unit, container=container, match=match)

    def oom(self, unit: str, container: str) -> None:
        """Kill a workload container as the kernel does when it takes too much memory.

        All its processes go, Pebble too, and all its files but those on storages.
        """
        self._ask("oom", unit=unit, container=container)

    def kill_pod(self, unit: str, graceful: bool = False, hold_s: float = 0.0) -> None:
        """Delete a pod; a new one with a new address comes up by itself after ``hold_s``."""
        self._ask("kill_pod", unit=unit, graceful=graceful, hold_s=hold_s)

    def return_pod(self, unit: str) -> None:
        """Bring up the next pod of a unit at once, however long it was to be away."""
        self._ask("return_pod", unit=unit)

    def pids(self, unit: str, container: str, match: str = "") -> list[int]:
        """Return the processes whose command line holds ``match``, as ``spawn`` sees them.

        Process 1 of the container is the first, if it is among them; ``/proc/PID/root`` is the
        container's root.
        """
        return self._ask("pids", unit=unit, container=container, match=match)

    def slow_disk(
        self, unit: str, container: str, match: str, seconds: float, delay_s: float
    ) -> None:
        """Have each write of a process to the files it has open take long; return when it is over.

        Args:
            unit: whose it is.
            container: in which it runs.
            match: part of its command line, which the first such process has.
            seconds: for how long.
            delay_s: what each write, and each wait for the disk, takes longer.

        Raises:
            LabError: the machine has no strace, or it may not do that here.
        """
        program = (
            "files=$(find /proc/$0/fd -lname '/*' ! -lname '/dev/*' -printf '-P %l ') && "
            "exec timeout $1 strace -f -q -o /dev/null -p $0 $files "
            "-e trace=write,fdatasync -e inject=write,fdatasync:delay_enter=$2"
        )
        pid = self.pids(unit, container, match)[0]
        argv = ["sh", "-c", program, str(pid), str(seconds), f"{delay_s * 1e6:.0f}"]
        code, said = self._beside(argv, timeout_s=seconds + 30)
        # 124: timeout has ended it; 0: the process has ended before.
        if code not in (0, 124):
            raise LabError(f"the disk could not be slowed: {said or code}")

    def kill_on_a_busy_disk(self, unit: str, container: str, match: str, after_s: float) -> None:
        """Kill a process with SIGKILL while the disk has not finished what it was given.

        Args:
            unit: whose it is.
            container: in which it runs.
            match: part of its command line, which the first such process has.
            after_s: how long the disk has been busy by then.

        Raises:
            LabError: the machine has no strace, or it may not do that here.
        """
        program = (
            "{ strace -f -q -o /dev/null -p $0 "
            "-e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_enter=60000000 & } && "
            # Together: strace would hold on to a process that it has delayed.
            "sleep $1 && kill -0 $! && kill -9 $0 $!"
        )
        pid = self.pids(unit, container, match)[0]
        code, said = self._beside(["sh", "-c", program, str(pid), f"{after_s:.2f}"], timeout_s=30)
        if code:
            raise LabError(f"the disk could not be kept busy: {said or code}")

    def freeze(self, unit: str, container: str | None = None, match: str | None = None) -> None:
        """Stop the processes of a pod, of one container, or those that ``match``."""
        self._ask("freeze", unit=unit, container=container, match=match)

    def thaw(self, unit: str, container: str | None = None, match: str | None = None) -> None:
        """Undo ``freeze`` with the same arguments."""
        self._ask("thaw", unit=unit, container=container, match=match)

    def cut(self, unit: str, others: Sequence[str] = (), direction: str | None = None) -> None:
        """Lose packets silently.

        Args:
            unit: whose pod it is.
            others: lose only what goes between this unit and these.
            direction: ``in`` or ``out`` for one way; both without it. With no ``others`` and
                both ways the unit's agent loses its controller too.
        """
        self._ask("cut", unit=unit, others=list(others), direction=direction)

    def heal(self, unit: str) -> None:
        """Undo every cut of a unit's pod."""
        self._ask("heal", unit=unit)

    def resolved(self, unit: str) -> None:
        """Retry a failed hook at once."""
        self._ask("resolved", unit=unit)

    def elect(self, unit: str) -> None:
        """Make a unit the leader of its application."""
        self._ask("elect", unit=unit)

    def update_status(self, unit: str) -> None:
        """Let a unit run update-status as soon as nothing else is due."""
        self._ask("update_status", unit=unit)

    def fill_disk(self, unit: str, storage: str) -> int:
        """Fill a storage to the last byte; it needs the setting ``storage_mb``."""
        return self._ask("fill_disk", unit=unit, storage=storage)

    def empty_disk(self, unit: str, storage: str) -> None:
        """Delete all that a storage holds, as if the unit got a new volume."""
        self._ask("empty_disk", unit=unit, storage=storage)

    def free_disk(self, unit: str, storage: str) -> None:
        """Undo ``fill_disk``."""
        self._ask("free_disk", unit=unit, storage=storage)
