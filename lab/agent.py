"""A unit's agent: it runs the unit's hooks one at a time, and ends and restarts its pod.

One thread a unit. It waits on the model until the resolver names a hook, runs the charm's
dispatch in the pod's ``charm`` container, and answers the hook tools while dispatch runs.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import dumps, loads
from pathlib import Path
from typing import Protocol

from lab import resolver
from lab.model import Action, Hook, Model, ModelError, Status, Storage, Unit
from lab.network import Network
from lab.pods import PYTHON_BIN, ContainerSpec, Mount, Pod, PodError, PodSpec, Volume
from lab.tools import TOOLS, Cache, CommitError, HookContext, Reply
from lab.watcher import Watcher

CUT_OFF = "ERROR connection is shut down\n"
GRACE_S = 30.0
WORKER_RESTART_S = 3.0
LATE_DEPARTED_S = 1.0
RESTART_BACKOFF_S = (0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
RESTART_FORGOTTEN_S = 600.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
API_ADDRESS = "10.152.183.2:17070"


class Host(Protocol):
    """What an agent needs of the controller it belongs to."""

    model: Model
    network: Network
    model_dir: Path

    def volume(self, storage: Storage) -> Volume:
        """Return the volume of a storage, made when it has none yet."""
        ...

    def pods_changed(self, app: str) -> None:
        """Bring the names of an application's Services up to date."""
        ...

    def unit_gone(self, unit: Unit) -> None:
        """Forget a unit whose pod has ended for good."""
        ...

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        """Do some work after a time."""
        ...


@dataclass(frozen=True)
class _End:
    """A request to end the pod; ``hold_s`` passes before the next one starts."""

    graceful: bool
    hold_s: float


class _Lines:
    """Passes on whole lines of what a process prints, and keeps all of it when asked to."""

    def __init__(self, write: Callable[[str], None], keep: bool) -> None:
        self._write = write
        self._rest = b""
        self.kept: list[bytes] | None = [] if keep else None

    def feed(self, data: bytes) -> None:
        if self.kept is not None:
            self.kept.append(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._write(line.decode(errors="replace"))

    def end(self) -> str:
        if self._rest:
            self._write(self._rest.decode(errors="replace"))
        return b"".join(self.kept or []).decode(errors="replace")


class Agent:
    """The agent of one unit, from the unit's first pod to its last.

    ``ready`` is true from the commit of ``start`` in this pod until the pod ends.
    """

    def __init__(self, host: Host, unit: Unit) -> None:
        self.unit = unit
        self.pod: Pod | None = None
        self.ready = False
        self._host = host
        self._model = host.model
        self._network = host.network
        self._events: list[Hook] = []
        self._watchers: dict[str, Watcher] = {}
        self._members: Cache = {}
        self._end: _End | None = None
        self._agent_done = threading.Event()
        self._ending: threading.Thread | None = None
        self._lost = False
        self._charm_died = False
        self._connected = True
        self._frozen = False
        self._pause_until = 0.0
        self._up_at = 0.0
        self._probed = (0, False)
        self._listener: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._interrupted: Hook | None = None
        self._deaths: dict[str, tuple[int, float]] = {}
        self._thread = threading.Thread(target=self._run, name=unit.name, daemon=True)

    def start(self) -> None:
        """Bring up the unit's first pod and go on from there."""
        self._thread.start()

    # What others ask of the agent.

    def end_pod(self, graceful: bool, hold_s: float) -> None:
        """Delete the pod; a new one comes up after ``hold_s`` seconds.

        Args:
            graceful: SIGTERM to all containers and ``stop``, as for ``kubectl delete pod``;
                otherwise everything is killed at once, as when a node loses power.
            hold_s: how long no new pod comes up.
        """
        with self._model.lock:
            pod = self.pod
            if pod is None or self._end is not None:
                raise ModelError(f"the pod of {self.unit.name} is not up")
            self._end = _End(graceful, hold_s)
            if graceful:
                self._ending = threading.Thread(
                    target=pod.terminate, args=(GRACE_S, self._agent_done), daemon=True
                )
                self._ending.start()
                self._signal_hook(signal.SIGTERM)
            else:
                self._lost = True
            self._model.touch()
        if not graceful:
            pod.kill()

    def set_connected(self, connected: bool) -> None:
        """Note that the pod's network to the controller is cut, or healed.

        Back again, the agent's worker starts anew: ``start``, then all that Pebble has to tell.
        """
        with self._model.lock:
            if connected == self._connected:
                return
            self._connected = connected
            if connected:
                self._restart_worker()
            self._update_presence()

    def set_frozen(self, frozen: bool) -> None:
        """Note that the agent's own processes stand still, or run again."""
        with self._model.lock:
            self._frozen = frozen
            self._update_presence()

    @property
    def is_ending(self) -> bool:
        """Whether somebody has asked for the end of the pod."""
        return self._end is not None

    def is_pod_ready(self) -> bool:
        """Return whether every container of the pod passes its readiness probe.

        With ``probe_s``: whether it did when the kubelet last looked. It first does when Pebble
        answers and the agent is up; what would say that the charm has not started comes later.
        Source: Juju, worker/caasprober and worker/uniter/probe.go.
        """
        if self.pod is None:
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
        return self.ready and all(watcher.is_ready() for watcher in self._watchers.values())

    def _update_presence(self) -> None:
        up = self.pod is not None and not self._lost
        self._model.leases.set_present(self.unit, up and self._connected and not self._frozen)
        self._show_idle()
        self._model.touch()

    # The life of a pod.

    def _run(self) -> None:
        hold_s = 0.0
        try:
            while True:
                # A pod that is held for longer than it takes to start is up at once after that.
                time.sleep(max(hold_s, self._model.settings.pod_start_s))
                self._start_pod()
                end = self._serve()
                if end is None:
                    self._leave()
                    return
                if end.graceful:
                    self._stop()
                self._forget_pod()
                hold_s = end.hold_s
        except Exception as e:
            # Without its agent the unit would stay as it is with no hint why.
            self._log("ERROR", "juju.worker.uniter", f"agent of {self.unit.name} ended: {e!r}")
            self.unit.agent = Status("lost", repr(e))
            self._model.show()
            raise

    def _start_pod(self) -> None:
        unit, model = self.unit, self._model
        with model.lock:
            spec = self._pod_spec()
            interrupted, self._interrupted = self._interrupted, None
        pod = Pod(spec, self._network)
        pod.prepare_files()
        self._listen(pod)
        pod.on_death(self._container_died)
        pod.start()
        self._network.set_name(unit.host, pod.ip)
        with model.lock:
            self.pod, self._end, self._lost, self._charm_died = pod, None, False, False
            self._connected, self._frozen, self._pause_until = True, False, 0.0
            self._agent_done.clear()
            self._members.clear()
            self._events.clear()
            self._deaths.clear()
            self._up_at, self._probed = model.clock(), (0, False)
            unit.address = pod.ip
            for storage in model.storages.values():
                storage.mounted = storage.mounted or storage.unit == unit.name
            resolver.pod_started(model, unit, interrupted)
            for name in model.apps[unit.app].meta.containers:
                path = pod.pebble_socket(name)
                self._watchers[name] = Watcher(
                    name, path, self._post, self._kill_container, lambda: self._frozen
                )
            self._update_presence()
        for watcher in self._watchers.values():
            watcher.start()
        self._host.pods_changed(unit.app)

    def _pod_spec(self) -> PodSpec:
        unit, model = self.unit, self._model
        app = model.apps[unit.app]
        storages = [s for s in model.storages.values() if s.unit == unit.name]
        volumes = {s.id: self._host.volume(s).path for s in storages}
        containers = tuple(
            ContainerSpec(
                name,
                tuple(
                    Mount(volumes[storage.id], mount.location)
                    for mount in mounts
                    for storage in storages
                    if storage.name == mount.storage
                ),
                app.images[resource].env if resource in app.images else {},
                index,
                app.images.get(resource),
            )
            for index, (name, mounts) in enumerate(app.meta.containers.items())
            for resource in [app.meta.images.get(name, "")]
        )
        return PodSpec(
            name=unit.pod,
            app=app.name,
            model=model.name,
            hosts=(unit.host,),
            containers=containers,
            charm_dir=Path(app.charm_dir),
            python_dir=Path(app.python),
            tools=tuple(TOOLS),
            mounts=tuple(Mount(volumes[s.id], s.location) for s in storages),
            log_dir=self._host.model_dir / "logs" / unit.pod,
            memory_mb=model.settings.memory_mb,
        )

    def _stop(self) -> None:
        """Run ``stop`` while the workloads are ending, then let the pod end too."""
        unit = self.unit
        self.ready = False
        self._stop_watchers()
        # A unit that is dying has its own stop in its removal; SIGTERM brings none.
        alive = unit.told.started and unit.life == "alive" and unit.failed is None
        if alive and self._connected:
            rc, context = self._execute(Hook("stop", "stop"))
            if rc == 0 and context is not None:
                try:
                    context.commit()
                except CommitError as e:
                    self._log("ERROR", "juju.worker.uniter.context", f"stop: {e}")

    def _forget_pod(self) -> None:
        """Wait until the pod has ended; its volumes must not have two pods at once."""
        self.ready = False
        self._stop_watchers()
        self._agent_done.set()
        if self._ending is not None:
            self._ending.join()
            self._ending = None
        self._up().kill()
        self._network.drop_name(self.unit.host)
        with self._model.lock:
            self.pod = None
            self.unit.address = ""
            self._events.clear()
            self._update_presence()
            if self._listener is not None:
                self._listener.close()
                self._listener = None
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
        self._up().terminate(GRACE_S)
        self._forget_pod()
        self._host.unit_gone(unit)

    def _stop_watchers(self) -> None:
        for watcher in self._watchers.values():
            watcher.stop()
        self._watchers = {}

    def _up(self) -> Pod:
        if self.pod is None:
            raise PodError(f"the pod of {self.unit.name} is not up")
        return self.pod

    # Containers that end.

    def _container_died(self, name: str, returncode: int) -> None:
        """Restart a container as the kubelet does: at once, then after a growing time."""
        pod = self.pod
        if pod is None:
            return
        self._log("WARNING", "kubelet", f"container {name} ended with {returncode}")
        count, last = self._deaths.get(name, (0, 0.0))
        now = time.monotonic()
        count = 0 if now - last > RESTART_FORGOTTEN_S else count
        self._deaths[name] = (count + 1, now)
        delay = RESTART_BACKOFF_S[min(count, len(RESTART_BACKOFF_S) - 1)]

        def restart() -> None:
            if self.pod is pod and self._end is None:
                pod.restart_container(name)
                if name == "charm":
                    with self._model.lock:
                        self._charm_died = True
                        self._model.touch()

        self._host.later(delay, restart)

    def _kill_container(self, name: str) -> None:
        """Kill a container that fails its liveness probe."""
        pod = self.pod
        if pod is not None and (processes := pod.processes(name)):
            self._log("WARNING", "kubelet", f"container {name} failed liveness probe")
            os.kill(processes[0][0], signal.SIGKILL)

    def _post(self, hook: Hook) -> None:
        with self._model.lock:
            if hook not in self._events:
                self._events.append(hook)
                self._model.touch()

    def _restart_worker(self) -> None:
        """Begin as a unit agent's worker that was started again."""
        self._pause_until = self._model.clock() + WORKER_RESTART_S
        self._members.clear()
        self._events.clear()
        resolver.queue_start(self.unit)
        for watcher in self._watchers.values():
            watcher.replay()

    # Hooks.

    def _serve(self) -> _End | None:
        """Run hooks until the pod is to end; return how, or ``None`` if the unit is dead."""
        model, unit = self._model, self.unit
        while True:
            with model.lock:
                hook = None
                while hook is None:
                    if self._end is not None:
                        return self._end
                    now = model.clock()
                    if self._charm_died:
                        self._charm_died = False
                        self._restart_worker()
                    elif self._connected and not self._frozen and now >= self._pause_until:
                        hook = resolver.next_hook(model, unit, self._events, now)
                        if hook is None and resolver.is_finished(unit):
                            return None
                    if hook is None:
                        self._show_idle()
                        model.work.wait(self._next_time(now))
            self._run_hook(hook)

    def _next_time(self, now: float) -> float | None:
        unit = self.unit
        if not self._connected or self._frozen:
            return None
        moments = [unit.update_status_at]
        if unit.failed is not None:
            moments = [unit.retry_at]
        if now < self._pause_until:
            moments.append(self._pause_until)
        # Waiting for ever and waiting for a very long time are the same to an agent.
        return max(0.0, min(min(moments) - now, 3600.0))

    def _show_idle(self) -> None:
        unit = self.unit
        if self.pod is None or self._lost:
            status = Status("allocating" if not unit.told.installed else "lost", "no pod")
        elif not self._connected or self._frozen:
            status = Status("lost", "agent is not communicating with the server")
        elif unit.failed is not None:
            kind = "action" if unit.failed.kind == "action" else "hook"
            status = Status("error", f'{kind} failed: "{unit.failed.name}"')
        else:
            status = Status("idle")
        if (status.current, status.message) != (unit.agent.current, unit.agent.message):
            unit.agent = status
            self._model.show()

    def _run_hook(self, hook: Hook) -> None:
        """Run a hook and give the model what became of it."""
        model, unit = self._model, self.unit
        action = next((a for a in unit.actions if a.id == hook.action_id), None)
        with model.lock:
            self._events = [event for event in self._events if event != hook]
            if hook.remote_unit and hook.relation_id is not None:
                self._members.pop((hook.relation_id, hook.remote_unit), None)
        rc, context = self._execute(hook, action)
        with model.lock:
            if rc != 0 and (self._end is not None or self._is_charm_dead(rc)):
                self._cut_off(hook, action)
                return
            if rc == 0 and context is not None:
                try:
                    if not self._connected:
                        raise CommitError("connection is shut down")
                    context.commit()
                except (CommitError, ModelError) as e:
                    source = "juju.worker.uniter.context"
                    self._log("ERROR", source, f"cannot write the changes of {hook.name}: {e}")
                    rc = 1
            if action is not None:
                self._finish_action(action, rc, context)
            elif rc == 0:
                resolver.committed(model, unit, hook)
                if hook.kind == "start":
                    self.ready = True
                    self._host.pods_changed(unit.app)
                if watcher := self._watchers.get(hook.workload):
                    watcher.done(hook)
            else:
                self._hook_failed(hook, rc)

    def _is_charm_dead(self, rc: int) -> bool:
        """Return whether a hook ended because the container it ran in did."""
        pod = self.pod
        if rc != -signal.SIGKILL:
            return False
        try:
            return pod is None or not pod.processes("charm")
        except PodError:
            return True

    def _cut_off(self, hook: Hook, action: Action | None) -> None:
        """Note that a hook has ended because its pod or container did."""
        if action is not None:
            self._finish_action(action, 1, None)
            return
        if hook.workload:
            return
        if self._end is None:
            # Only the container went, so the hook waits and runs again in the same pod.
            resolver.failed(self._model, self.unit, hook)
        elif not self._end.graceful:
            self._interrupted = hook

    def _hook_failed(self, hook: Hook, rc: int) -> None:
        model, unit = self._model, self.unit
        source = "juju.worker.uniter.operation"
        self._log("ERROR", source, f'hook "{hook.name}" failed: exit status {rc}')
        if rc in (-signal.SIGKILL, -signal.SIGTERM):
            # Juju takes this for an end from outside: the hook stays queued.
            if not unit.queue or unit.queue[0] != hook:
                unit.queue.appendleft(hook)
            self._pause_until = model.clock() + WORKER_RESTART_S
            return
        if hook.kind == "pebble-ready":
            if watcher := self._watchers.get(hook.workload):
                watcher.ready_again()
            return
        if hook.workload:
            self._restart_worker()
            return
        resolver.failed(model, unit, hook)

    def _finish_action(self, action: Action, rc: int, context: HookContext | None) -> None:
        if context is None:
            action.status, action.message = "failed", "action terminated"
        elif rc != 0:
            action.status = "failed"
            action.message = action.message or f"exit status {rc}"
        else:
            action.status = "failed" if context.action_failed else "completed"
        action.results.setdefault("return-code", rc)
        self.unit.actions.remove(action)
        self._model.touch()

    def _execute(self, hook: Hook, action: Action | None = None) -> tuple[int, HookContext | None]:
        """Run dispatch to its end; return its exit code and the context, if it was started."""
        model, unit = self._model, self.unit
        pod = self._up()
        kind = "action" if action is not None else "hook"
        context = HookContext(
            id=f"{unit.name}-{hook.name}-{uuid.uuid4().hex}",
            model=model,
            unit=unit,
            hook=hook,
            members=self._members,
            path=lambda inside: pod.path("charm", inside),
            resource=lambda name: self._resource(pod, name),
            action=action,
        )
        with model.lock:
            unit.agent = Status("executing", f"running {hook.name} {kind}")
            env = self._environment(hook, action, context.id)
            model.show()
        log = f"unit.{unit.name}.{hook.name}"
        out = _Lines(lambda line: self._log("DEBUG", log, line), action is not None)
        err = _Lines(lambda line: self._log("WARNING", log, line), action is not None)
        started, begun = time.time(), time.monotonic()
        charm = env["JUJU_CHARM_DIR"]
        try:
            process = pod.popen(
                "charm",
                [f"{charm}/dispatch"],
                env=env,
                cwd=charm,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except (PodError, OSError) as e:
            self._log("ERROR", "juju.worker.uniter", f"cannot run {hook.name}: {e}")
            return 127, None
        with model.lock:
            self._process = process
            if self._end is not None and hook.kind != "stop":
                self._signal_hook(signal.SIGTERM)
        self._attend(process, context, out, err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        rc = process.returncode = os.waitstatus_to_exitcode(status)
        with model.lock:
            self._process = None
            cut_off = not self._connected
        texts = out.end(), err.end()
        if action is not None:
            for name, text in zip(("stdout", "stderr"), texts, strict=True):
                if text:
                    action.results[name] = text
        cpu = usage.ru_utime + usage.ru_stime
        counted = dict(context.calls)
        name = hook.name
        costs = {"wall_s": wall, "cpu_s": cpu, "tools": counted, "cut_off": cut_off}
        model.record(unit.name, name, rc, started, **costs)
        self._log("INFO", "juju.worker.uniter.operation", f'ran "{name}" {kind}, exit {rc}')
        return rc, context

    def _signal_hook(self, number: signal.Signals) -> None:
        if self._process is not None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return

    def _attend(
        self, process: subprocess.Popen[bytes], context: HookContext, out: _Lines, err: _Lines
    ) -> None:
        """Pass on what dispatch prints and answer its hook tools until it has ended."""
        assert process.stdout is not None and process.stderr is not None
        assert self._listener is not None
        handle = os.pidfd_open(process.pid)
        streams = {process.stdout.fileno(): out, process.stderr.fileno(): err}
        listener = self._listener.fileno()
        poll = select.poll()
        for fd in (handle, listener, *streams):
            poll.register(fd, select.POLLIN)
        for fd in streams:
            os.set_blocking(fd, False)
        try:
            ended = False
            while not ended:
                for fd, _ in poll.poll():
                    if fd == listener:
                        self._answer(context)
                    elif fd == handle:
                        ended = True
                    elif not _drain(fd, streams[fd]):
                        poll.unregister(fd)
            # A process that dispatch has left behind may hold its pipes for ever.
            for fd, lines in streams.items():
                _drain(fd, lines)
        finally:
            os.close(handle)
            process.stdout.close()
            process.stderr.close()

    # Hook tools.

    def _listen(self, pod: Pod) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = pod.agent_dir / "agent.socket"
        listener.bind(str(path))
        listener.listen(64)
        self._listener = listener

    def _answer(self, context: HookContext) -> None:
        """Answer one call of a hook tool."""
        assert self._listener is not None
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(5.0)
            try:
                with connection.makefile("rb") as lines:
                    request = loads(lines.readline())
                if not self._connected:
                    reply = Reply("", CUT_OFF, 1)
                elif request["context_id"] != context.id:
                    reply = Reply("", f"ERROR unknown context {request['context_id']}\n", 1)
                else:
                    reply = self._run_tool(context, request["argv"], request["stdin"])
                connection.sendall(dumps(vars(reply)).encode() + b"\n")
            except (OSError, ValueError, KeyError) as e:
                self._log("ERROR", "juju.worker.uniter", f"bad call of a hook tool: {e!r}")

    def _run_tool(self, context: HookContext, argv: list[str], stdin: str | None) -> Reply:
        """Run a tool in the time that one takes, or let it fail."""
        model, unit = self._model, self.unit
        with model.lock:
            faults = model.tool_faults
            faults.use(model.settings.tool_faults)
            error = faults.error(argv, unit.name, context.hook.name, context.id)
            listed = set(model.apps[unit.app].units)
            cost_s = model.settings.tool_cost_ms / 1000
        if cost_s:
            time.sleep(cost_s)
        if argv[0] == "goal-state":
            # Juju lists the units, then asks for each.
            with model.lock:
                gone = sorted(listed - set(model.apps[unit.app].units))
            error = f'unit "{gone[0]}" not found' if gone else error
        if error is not None:
            context.calls[argv[0]] += 1
            self._log("DEBUG", "juju.worker.uniter", f"made to fail: {argv[0]}: {error}")
            return Reply("", f"ERROR {error}\n", 1)
        return context.run(argv, stdin)

    def _resource(self, pod: Pod, name: str) -> str:
        """Put a resource into the pod and return its path there."""
        app = self._model.apps[self.unit.app]
        spec = app.meta.resources.get(name)
        if spec is None or name not in app.resources:
            raise ModelError(f'resource "{name}" not found')
        folder = pod.agent_dir / "resources" / name
        folder.mkdir(parents=True, exist_ok=True)
        if spec.get("type") == "oci-image":
            file = "content.yaml"
            (folder / file).write_text(f"registrypath: {app.resources[name]}\n", encoding="utf-8")
        else:
            file = str(spec.get("filename") or name)
            shutil.copyfile(app.resources[name], folder / file)
        return f"/var/lib/juju/agents/{self.unit.tag}/resources/{name}/{file}"

    def _environment(self, hook: Hook, action: Action | None, context_id: str) -> dict[str, str]:
        unit, model = self.unit, self._model
        home = f"/var/lib/juju/agents/{unit.tag}"
        env = {
            "CHARM_DIR": f"{home}/charm",
            "JUJU_CHARM_DIR": f"{home}/charm",
            "JUJU_CONTEXT_ID": context_id,
            "JUJU_HOOK_NAME": "" if action is not None else hook.name,
            "JUJU_DISPATCH_PATH": f"{'hooks' if action is None else 'actions'}/{hook.name}",
            "JUJU_AGENT_SOCKET_ADDRESS": f"{home}/agent.socket",
            "JUJU_AGENT_SOCKET_NETWORK": "unix",
            "JUJU_UNIT_NAME": unit.name,
            "JUJU_MODEL_UUID": model.uuid,
            "JUJU_MODEL_NAME": model.name,
            "JUJU_API_ADDRESSES": API_ADDRESS,
            "JUJU_VERSION": model.settings.juju_version,
            "CLOUD_API_VERSION": "1.34.0",
            "JUJU_MACHINE_ID": "",
            "JUJU_PRINCIPAL_UNIT": "",
            "JUJU_AVAILABILITY_ZONE": "",
            "JUJU_CHARM_HTTP_PROXY": "",
            "JUJU_CHARM_HTTPS_PROXY": "",
            "JUJU_CHARM_FTP_PROXY": "",
            "JUJU_CHARM_NO_PROXY": "",
            "PATH": f"/var/lib/juju/tools/{unit.tag}:{PYTHON_BIN}:{SYSTEM_PATH}:/charm/bin",
            "LANG": "C.UTF-8",
            "TERM": "tmux-256color",
            "DEBIAN_FRONTEND": "noninteractive",
            "APT_LISTCHANGES_FRONTEND": "none",
            "KUBERNETES_SERVICE_HOST": "10.152.183.1",
            "KUBERNETES_SERVICE_PORT": "443",
            "KUBERNETES_SERVICE_PORT_HTTPS": "443",
            "KUBERNETES_PORT": "tcp://10.152.183.1:443",
        }
        env.update(self._event_variables(hook, action))
        return env

    def _event_variables(self, hook: Hook, action: Action | None) -> Mapping[str, str]:
        if action is not None:
            return {
                "JUJU_ACTION_NAME": action.name,
                "JUJU_ACTION_UUID": action.id,
                "JUJU_ACTION_TAG": f"action-{action.id}",
            }
        if hook.relation_id is not None:
            relation = self._model.relations.get(hook.relation_id)
            name = relation.ends[self.unit.app].name if relation else ""
            found = {
                "JUJU_RELATION": name,
                "JUJU_RELATION_ID": f"{name}:{hook.relation_id}",
                "JUJU_REMOTE_APP": hook.remote_app,
                "JUJU_REMOTE_UNIT": hook.remote_unit,
            }
            if hook.departing_unit:
                found["JUJU_DEPARTING_UNIT"] = hook.departing_unit
            return found
        if hook.workload:
            found = {"JUJU_WORKLOAD_NAME": hook.workload}
            if hook.kind == "pebble-custom-notice":
                found["JUJU_NOTICE_ID"] = hook.notice_id
                found["JUJU_NOTICE_TYPE"] = "custom"
                found["JUJU_NOTICE_KEY"] = hook.notice_key
            elif hook.check:
                found["JUJU_PEBBLE_CHECK_NAME"] = hook.check
            return found
        if hook.secret_id:
            found = {"JUJU_SECRET_ID": hook.secret_id, "JUJU_SECRET_LABEL": hook.secret_label}
            if hook.secret_revision:
                found["JUJU_SECRET_REVISION"] = str(hook.secret_revision)
            return found
        if hook.storage_id:
            return {
                "JUJU_STORAGE_ID": hook.storage_id,
                "JUJU_STORAGE_LOCATION": self._model.storages[hook.storage_id].location,
                "JUJU_STORAGE_KIND": "filesystem",
            }
        return {}

    def _log(self, level: str, source: str, text: str) -> None:
        self._model.log.write(self.unit.tag, level, source, text)


def _drain(fd: int, lines: _Lines) -> bool:
    """Read what a pipe has now; return whether more may come."""
    while True:
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        lines.feed(data)
