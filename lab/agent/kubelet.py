"""What the kubelet does with one unit's pod: it probes, and restarts what has ended."""

from __future__ import annotations

import os
import signal
import time

from lab.agent.state import Host, State

RESTART_BACKOFF_S = (0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
RESTART_FORGOTTEN_S = 600.0


class Kubelet:
    """Restarts the containers of a unit's pods, and knows whether these are ready."""

    def __init__(self, host: Host, state: State) -> None:
        self._host = host
        self._state = state
        self._model = state.model
        self._deaths: dict[str, tuple[int, float]] = {}
        self._up_at = 0.0
        self._probed = (0, False)

    def begin(self) -> None:
        """Begin with a new pod."""
        self._deaths.clear()
        self._up_at, self._probed = self._model.clock(), (0, False)

    def is_pod_ready(self) -> bool:
        """Return whether every container of the pod passes its readiness probe.

        With ``probe_s``: whether it did when the kubelet last looked. It first does when Pebble
        answers and the agent is up; what would say that the charm has not started comes later.
        Source: Juju, worker/caasprober and worker/uniter/probe.go.
        """
        if self._state.pod is None:
            return False
        every_s = self._model.settings.probe_s
        if not every_s:
            return self._is_ready_now()
        number = int((self._model.clock() - self._up_at) / every_s)
        if number == 0:
            return True
        if self._probed[0] != number:
            self._probed = (number, self._is_ready_now())
        return self._probed[1]

    def _is_ready_now(self) -> bool:
        return self._state.ready and all(
            watcher.is_ready() for watcher in self._state.watchers.values()
        )

    def container_died(self, name: str, returncode: int) -> None:
        """Restart a container as the kubelet does: at once, then after a growing time."""
        pod = self._state.pod
        if pod is None:
            return
        self._state.log("WARNING", "kubelet", f"container {name} ended with {returncode}")
        self._host.cluster.look()
        count, last = self._deaths.get(name, (0, 0.0))
        now = time.monotonic()
        count = 0 if now - last > RESTART_FORGOTTEN_S else count
        self._deaths[name] = (count + 1, now)
        delay = RESTART_BACKOFF_S[min(count, len(RESTART_BACKOFF_S) - 1)]

        def restart() -> None:
            if self._state.pod is pod and self._state.end is None:
                pod.restart_container(name)
                if name == "charm":
                    with self._model.lock:
                        self._state.charm_died = True
                        self._model.touch()

        self._host.later(delay, restart)

    def kill_container(self, name: str) -> None:
        """Kill a container that fails its liveness probe."""
        pod = self._state.pod
        if pod is not None and (processes := pod.processes(name)):
            self._state.log("WARNING", "kubelet", f"container {name} failed liveness probe")
            os.kill(processes[0][0], signal.SIGKILL)
