"""Processes on a model's network and in its pods."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab import sandbox
from lab.client.errors import LabError
from lab.client.link import Link


class Inside(Link):
    """Runs commands in containers, and starts processes of its own on the model's network."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._spawned: list[subprocess.Popen] = []

    def exec(
        self,
        unit: str,
        container: str,
        argv: Sequence[str],
        stdin: str | None = None,
        timeout_s: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a container and wait for its end.

        Raises:
            LabError: the container does not run, or the command takes too long.
        """
        found = self._ask(
            "exec",
            unit=unit,
            container=container,
            argv=list(argv),
            stdin=stdin,
            timeout_s=timeout_s,
            wait_s=timeout_s,
        )
        return subprocess.CompletedProcess(list(argv), **found)

    def spawn(
        self, argv: Sequence[str], *, beside: str | None = None, **kwargs: Any
    ) -> subprocess.Popen:
        """Start a process on the model's network, with its names; it ends with the model.

        Args:
            argv: the command.
            beside: a unit whose pod's own network the process uses, so that a cut of the pod
                cuts it off too; it sees no file of the pod and outlives it. Without it the
                process has the place of any other client.
            kwargs: as for ``subprocess.Popen``.
        """
        pid = json.loads((self.dir / "controller.json").read_text(encoding="utf-8"))["pid"]
        pod_pid = 0 if beside is None else self._ask("pod_pid", unit=beside)
        if os.geteuid() != 0:
            program = str(Path(__file__).parents[1] / "enter.py")
            command = [sys.executable, program, str(pid), str(pod_pid)]
            return self._note(subprocess.Popen([*command, *argv], **kwargs))
        handle = os.pidfd_open(pid)
        spaces = sandbox.CLONE_NEWNS | sandbox.CLONE_NEWNET | sandbox.CLONE_NEWPID
        kwargs.setdefault("cwd", os.getcwd())

        def start() -> subprocess.Popen:
            sandbox.unshare(sandbox.CLONE_FS)
            sandbox.setns(handle, spaces)
            if pod_pid:
                network = os.open(f"/proc/{pod_pid}/ns/net", os.O_RDONLY)
                sandbox.setns(network, sandbox.CLONE_NEWNET)
                os.close(network)
            return subprocess.Popen(list(argv), **kwargs)

        try:
            return self._note(sandbox.in_thread(start))
        finally:
            os.close(handle)

    def _note(self, process: subprocess.Popen) -> subprocess.Popen:
        self._spawned = [each for each in self._spawned if each.poll() is None] + [process]
        return process

    def _beside(self, argv: Sequence[str], timeout_s: float) -> tuple[int, str]:
        """Run a command beside the pods, where the machine's programs are; code and stderr."""
        process = self.spawn(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, said = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as e:
            process.kill()
            process.communicate()
            raise LabError(f"{argv[0]} took longer than {timeout_s:g} s") from e
        return process.returncode, said

    def _end_spawned(self) -> None:
        # The model's first process does not end before each of these has been waited for, which
        # only their parent can.
        for process in self._spawned:
            process.kill()
            process.wait()
        self._spawned.clear()
