"""The life of a unit's pods, one after the other, and of the agent in them."""

from __future__ import annotations

import signal
import threading

from lab import resolver
from lab.agent.dispatch import Dispatch
from lab.agent.kubelet import Kubelet
from lab.agent.spec import pod_spec
from lab.agent.state import End, Host, State
from lab.agent.uniter import Uniter
from lab.model import Hook, ModelError, Status, Unit
from lab.pods import Pod
from lab.watcher import Watcher

GRACE_S = 30.0
LATE_DEPARTED_S = 1.0


class Agent:
    """The agent of one unit, from the unit's first pod to its last."""

    def __init__(self, host: Host, unit: Unit) -> None:
        self.unit = unit
        self._host = host
        self._model = host.model
        self._network = host.network
        self._state = State(unit, host.model)
        self._dispatch = Dispatch(self._state)
        self._uniter = Uniter(host, self._state, self._dispatch)
        self._kubelet = Kubelet(host, self._state)
        self._agent_done = threading.Event()
        self._returned = threading.Event()
        self._ending: threading.Thread | None = None
        self._thread = threading.Thread(target=self._run, name=unit.name, daemon=True)

    @property
    def pod(self) -> Pod | None:
        """The pod; ``None`` while there is none."""
        return self._state.pod

    @property
    def ready(self) -> bool:
        """True from the commit of ``start`` in this pod until the pod ends."""
        return self._state.ready

    def is_pod_ready(self) -> bool:
        """Return whether every container of the pod passes its readiness probe."""
        return self._kubelet.is_pod_ready()

    def start(self) -> None:
        """Bring up the unit's first pod and go on from there."""
        self._thread.start()

    def end_pod(self, graceful: bool, hold_s: float) -> None:
        """Delete the pod; a new one comes up after ``hold_s`` seconds.

        Args:
            graceful: SIGTERM to all containers and ``stop``, as for ``kubectl delete pod``;
                otherwise everything is killed at once, as when a node loses power.
            hold_s: how long no new pod comes up.
        """
        with self._model.lock:
            pod = self._state.pod
            if pod is None or self._state.end is not None:
                raise ModelError(f"the pod of {self.unit.name} is not up")
            self._state.end = End(graceful, hold_s)
            if graceful:
                self._ending = threading.Thread(
                    target=pod.terminate, args=(GRACE_S, self._agent_done), daemon=True
                )
                self._ending.start()
                self._dispatch.signal(signal.SIGTERM)
            else:
                self._state.lost = True
                self._state.log("INFO", "kubelet", "the pod is lost, and its network silent")
            self._model.touch()
            self._host.cluster.look()
        if not graceful:
            pod.kill()

    def return_pod(self) -> None:
        """Bring up the next pod now, if one is held."""
        with self._model.lock:
            if self._state.pod is not None and self._state.end is None:
                raise ModelError(f"the pod of {self.unit.name} is up")
            self._returned.set()

    def set_connected(self, connected: bool) -> None:
        """Note that the pod's network to the controller is cut, or healed.

        Back again, the agent's worker starts anew: ``start``, then all that Pebble has to tell.
        """
        with self._model.lock:
            if connected == self._state.connected:
                return
            self._state.connected = connected
            if connected:
                self._uniter.restart_worker()
            else:
                self._state.log("INFO", "kubelet", "the pod is cut off, and its network silent")
            self._update_presence()

    def set_frozen(self, frozen: bool) -> None:
        """Note that the agent's own processes stand still, or run again."""
        with self._model.lock:
            self._state.frozen = frozen
            self._update_presence()

    @property
    def is_ending(self) -> bool:
        """Whether somebody has asked for the end of the pod."""
        return self._state.end is not None

    def _update_presence(self) -> None:
        up = self._state.pod is not None and not self._state.lost
        self._model.leases.set_present(
            self.unit, up and self._state.connected and not self._state.frozen
        )
        self._uniter.show_idle()
        self._model.touch()

    def _run(self) -> None:
        hold_s = 0.0
        try:
            while True:
                # A pod that is held for longer than it takes to start is up at once after that.
                self._returned.wait(max(hold_s, self._model.settings.pod_start_s))
                self._start_pod()
                self._returned.clear()
                end = self._uniter.serve()
                if end is None:
                    self._leave()
                    return
                if end.graceful:
                    self._stop()
                self._forget_pod()
                hold_s = end.hold_s
        except Exception as e:
            # Without its agent the unit would stay as it is with no hint why.
            self._state.log(
                "ERROR", "juju.worker.uniter", f"agent of {self.unit.name} ended: {e!r}"
            )
            self.unit.agent = Status("lost", repr(e))
            self._model.show()
            raise

    def _start_pod(self) -> None:
        unit, model = self.unit, self._model
        with model.lock:
            spec = pod_spec(self._host, unit)
            interrupted, self._state.interrupted = self._state.interrupted, None
        pod = Pod(spec, self._network)
        pod.prepare_files()
        self._dispatch.listen(pod)
        pod.on_death(self._kubelet.container_died)
        pod.start()
        self._network.set_name(unit.host, pod.ip)
        with model.lock:
            self._state.begin(pod)
            self._kubelet.begin()
            self._agent_done.clear()
            unit.address = pod.ip
            for storage in model.storages.values():
                storage.mounted = storage.mounted or storage.unit == unit.name
            resolver.pod_started(model, unit, interrupted)
            for name in model.apps[unit.app].meta.containers:
                path = pod.pebble_socket(name)
                self._state.watchers[name] = Watcher(
                    name,
                    path,
                    self._post,
                    self._kubelet.kill_container,
                    lambda: self._state.frozen,
                )
            self._update_presence()
        for watcher in self._state.watchers.values():
            watcher.start()
        self._host.pods_changed(unit.app)

    def _stop(self) -> None:
        """Run ``stop`` while the workloads are ending, then let the pod end too."""
        self._state.ready = False
        self._stop_watchers()
        self._uniter.stop()

    def _forget_pod(self) -> None:
        """Wait until the pod has ended; its volumes must not have two pods at once."""
        self._state.ready = False
        self._stop_watchers()
        self._agent_done.set()
        if self._ending is not None:
            self._ending.join()
            self._ending = None
        self._state.up().kill()
        self._network.drop_name(self.unit.host)
        with self._model.lock:
            self._state.pod = None
            self.unit.address = ""
            self._state.events.clear()
            self._update_presence()
            self._dispatch.close()
        self._host.cluster.drop_pod(self.unit)
        self._host.pods_changed(self.unit.app)

    def _leave(self) -> None:
        """End the pod of a unit that has run all its hooks, when its fellow leavers have too."""
        unit, model = self.unit, self._model
        with model.lock:
            unit.life = "dead"
            model.touch()
            app = model.apps[unit.app]
            while any(other.life == "dying" for other in app.units.values()):
                model.work.wait()
        if model.settings.departed == "late":
            self._host.later(LATE_DEPARTED_S, lambda: model.relations.leave_scopes(unit))
        self._stop_watchers()
        self._state.up().terminate(GRACE_S)
        self._forget_pod()
        self._host.unit_gone(unit)

    def _stop_watchers(self) -> None:
        for watcher in self._state.watchers.values():
            watcher.stop()
        self._state.watchers = {}

    def _post(self, hook: Hook) -> None:
        with self._model.lock:
            if hook not in self._state.events:
                self._state.events.append(hook)
                self._model.touch()
