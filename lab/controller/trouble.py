"""Requests that make trouble, and those that look into pods."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from lab.agent import SYSTEM_PATH
from lab.controller.requests import Requests
from lab.model import ModelError
from lab.pods import Pod

FILL_CHUNK = 1 << 20
LEADS_S = 30.0


class Trouble(Requests):
    """Processes, containers, pods, links, disks and leaders."""

    def op_exec(
        self, unit: str, container: str, argv: list[str], stdin: str | None, timeout_s: float
    ) -> dict[str, Any]:
        """Run a command in a container."""
        pod = self._pod(unit)
        env = {"PATH": SYSTEM_PATH + ":/charm/bin", "LANG": "C.UTF-8", "TERM": "xterm"}
        if container != "charm":
            env["PEBBLE"] = "/charm/container/pebble"
            env["PEBBLE_SOCKET"] = "/charm/container/pebble.socket"
        try:
            done = pod.run(container, argv, env=env, stdin=stdin, timeout_s=timeout_s)
        except subprocess.TimeoutExpired as e:
            raise ModelError(f"{argv[0]} took longer than {timeout_s:g} s") from e
        return {"returncode": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def _pod(self, unit: str) -> Pod:
        pod = self.controller.agent(unit).pod
        if pod is None:
            raise ModelError(f"the pod of {unit} is not up")
        return pod

    def op_pod_pid(self, unit: str) -> int:
        """Return a process that lives as long as the pod, in the controller's numbers."""
        return self._pod(unit).processes("charm")[0][0]

    def _matching(self, unit: str, container: str, match: str) -> list[int]:
        pids = [p for p, argv in self._pod(unit).processes(container) if match in " ".join(argv)]
        if not pids:
            raise ModelError(f"no process of {unit} in {container} matches {match!r}")
        return pids

    def op_pids(self, unit: str, container: str, match: str) -> list[int]:
        """Return the processes whose command holds ``match``, in the controller's numbers."""
        return self._matching(unit, container, match)

    def op_kill_process(self, unit: str, container: str, match: str) -> int:
        """Kill with SIGKILL every process whose command holds ``match``; return how many."""
        pids = self._matching(unit, container, match)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return len(pids)

    def op_oom(self, unit: str, container: str) -> None:
        """Kill a workload container with all its processes, as for too much memory.

        Since Kubernetes 1.28 the kernel ends Pebble too when they take more than the limit.
        """
        pod = self._pod(unit)
        if container not in pod.workloads:
            raise ModelError(f"{unit} has no workload container {container}")
        pod.kill_container(container)

    def op_kill_pod(self, unit: str, graceful: bool, hold_s: float) -> None:
        """Delete a pod; the next one comes up by itself."""
        self.controller.agent(unit).end_pod(graceful, hold_s)

    def op_return_pod(self, unit: str) -> None:
        """Bring up the next pod of a unit at once, however long it was to be away."""
        self.controller.agent(unit).return_pod()

    def op_freeze(self, unit: str, container: str | None, match: str | None) -> None:
        """Stop processes, the whole pod without container."""
        pod = self._pod(unit)
        if match is not None:
            for pid in self._matching(unit, container or "charm", match):
                pod.freeze(pid=pid)
            return
        pod.freeze(container)
        if container is None:
            self.controller.agent(unit).set_frozen(True)

    def op_thaw(self, unit: str, container: str | None, match: str | None) -> None:
        """Let stopped processes go on."""
        pod = self._pod(unit)
        if match is not None:
            for pid in self._matching(unit, container or "charm", match):
                pod.thaw(pid=pid)
            return
        pod.thaw(container)
        if container is None:
            self.controller.agent(unit).set_frozen(False)

    def op_cut(self, unit: str, others: list[str], direction: str | None) -> None:
        """Lose packets of a pod: all, those of some other pods, or one direction."""
        pod = self._pod(unit)
        pods = [self._pod(name) for name in others] or None
        if direction is None:
            pod.cut(from_pods=pods)
        elif direction in ("in", "out"):
            pod.cut_one_way(direction, from_pods=pods)
        else:
            raise ModelError(f"direction is in or out, not {direction!r}")
        self.controller.agent(unit).set_connected(not pod.is_cut)

    def op_heal(self, unit: str) -> None:
        """Undo every cut of a pod."""
        self._pod(unit).heal()
        self.controller.agent(unit).set_connected(True)

    def op_resolved(self, unit: str) -> None:
        """Retry a failed hook now."""
        with self.model.lock:
            self.model.unit(unit).retry_at = self.model.clock()
            self.model.touch()

    def op_elect(self, unit: str) -> None:
        """Make a unit the leader of its application, between two hooks of the leader before.

        Juju promises each leader that asks that it stays it for 30 s, longer than a hook takes.
        """
        chosen = self.model.unit(unit)
        with self.model.lock:
            self.model.seen.wait_for(
                lambda: not self.model.leases.leads_in_a_hook(chosen.app), LEADS_S
            )
            self.model.leases.elect(chosen)

    def op_update_status(self, unit: str) -> None:
        """Let update-status be due now."""
        with self.model.lock:
            self.model.unit(unit).update_status_at = self.model.clock()
            self.model.touch()

    def _storage_path(self, unit: str, storage: str) -> Path:
        self.model.unit(unit)
        for found in self.model.storages.values():
            if found.unit == unit and storage in (found.name, found.id):
                return self.controller.volume(found).path
        raise ModelError(f"{unit} has no storage {storage}")

    def op_fill_disk(self, unit: str, storage: str) -> int:
        """Fill a storage to the last byte; return how many bytes that took."""
        path = self._storage_path(unit, storage)
        if not self.model.settings.storage_mb:
            raise ModelError("fill-disk needs the setting storage_mb, before the unit is added")
        size = 0
        with (path / ".filled").open("wb", buffering=0) as file:
            for chunk in (FILL_CHUNK, 4096, 1):
                try:
                    while True:
                        size += file.write(b"\0" * chunk)
                except OSError:
                    # It is full for this size; the next smaller one takes what is left.
                    continue
        return size

    def op_empty_disk(self, unit: str, storage: str) -> None:
        """Delete all that a storage holds, as if the unit got a new volume."""
        for path in self._storage_path(unit, storage).iterdir():
            if path.name == "lost+found":
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def op_free_disk(self, unit: str, storage: str) -> None:
        """Give back what ``fill_disk`` took."""
        (self._storage_path(unit, storage) / ".filled").unlink(missing_ok=True)
