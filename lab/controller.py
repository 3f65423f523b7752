"""The process that holds one model: its sandbox, its state, its agents, and the socket for users.

A request is one line of JSON, ``{"op": NAME, ...}``; the answer is one line, either
``{"result": …}`` or ``{"error": TEXT}``. Every connection carries one request.
"""

from __future__ import annotations

import faulthandler
import heapq
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lab import sandbox
from lab.agent import SYSTEM_PATH, Agent
from lab.images import Image
from lab.model import Application, Model, ModelError, Storage, Unit
from lab.network import Network, NetworkError
from lab.packing import read_meta
from lab.pods import Pod, PodError, Volume

SOCKET = "controller.sock"
WATCH_S = 10.0
FILL_CHUNK = 1 << 20
READY_POLL_S = 1.0
LEADS_S = 30.0


class Controller:
    """Everything that lives in the model's sandbox."""

    def __init__(self, model_dir: Path) -> None:
        self.model_dir = model_dir
        self.model = Model(model_dir.name)
        self.network = Network(model_dir.name)
        self._agents: dict[str, Agent] = {}
        self._volumes: dict[str, Volume] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = itertools.count()
        self._timer_changed = threading.Condition()
        self._volume_lock = threading.Lock()
        for work in (self._keep_time, self._keep_leases):
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()

    # What the agents need.

    def volume(self, storage: Storage) -> Volume:
        """Return the volume of a storage, made when it has none yet."""
        with self._volume_lock:
            if storage.id not in self._volumes:
                size = self.model.settings.storage_mb or None
                self._volumes[storage.id] = Volume(storage.id.replace("/", "-"), size)
            return self._volumes[storage.id]

    def pods_changed(self, app: str) -> None:
        """Let the Services' names point to the pods that are up, or ready."""
        up: list[str] = []
        ready: list[str] = []
        with self.model.lock:
            for name, agent in self._agents.items():
                if name.partition("/")[0] == app and agent.unit.address:
                    up.append(agent.unit.address)
                    if agent.ready:
                        ready.append(agent.unit.address)
        self.network.set_name(self.model.service(f"{app}-endpoints"), *up)
        self.network.set_name(self.model.service(app), *ready)

    def unit_gone(self, unit: Unit) -> None:
        """Forget a unit whose pod has ended, and its application with the last unit."""
        with self.model.lock:
            self._agents.pop(unit.name, None)
            for action in unit.actions:
                action.status, action.message = "failed", "unit removed"
            self.model.drop_unit(unit)
            app = self.model.apps.get(unit.app)
            if app is not None and app.removed and not app.units:
                self._drop_app(app.name)

    def _drop_app(self, name: str) -> None:
        storages = [s for s in self.model.storages.values() if s.unit.startswith(f"{name}/")]
        self.model.drop_app(name)
        for storage in storages:
            if volume := self._volumes.pop(storage.id, None):
                volume.remove()

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        """Do some work in a thread of its own after ``delay_s`` seconds."""
        with self._timer_changed:
            at = time.monotonic() + delay_s
            heapq.heappush(self._timers, (at, next(self._timer_numbers), work))
            self._timer_changed.notify()

    def _keep_time(self) -> None:
        while True:
            with self._timer_changed:
                wait = self._timers[0][0] - time.monotonic() if self._timers else None
                if wait is None or wait > 0:
                    self._timer_changed.wait(wait)
                    continue
                _, _, work = heapq.heappop(self._timers)
            threading.Thread(target=work, daemon=True).start()

    def _keep_leases(self) -> None:
        model = self.model
        with model.lock:
            while True:
                waits = [3600.0]
                waits.append(model.leases.expire() - model.clock())
                now = datetime.now(timezone.utc)
                if moment := model.secrets.due(now):
                    waits.append((moment - now).total_seconds())
                model.work.wait(max(0.01, min(waits)))

    def _agent(self, name: str) -> Agent:
        self.model.unit(name)
        return self._agents[name]

    def _start_agents(self, units: list[Unit]) -> None:
        for unit in units:
            self._agents[unit.name] = Agent(self, unit)
        for unit in units:
            self._agents[unit.name].start()

    # Requests of the user; each name after op_ is the request's.

    def op_settings(self, values: dict[str, Any]) -> None:
        """Change settings of the model."""
        with self.model.lock:
            settings = self.model.settings
            settings.update(values)
            network = self.network
            network.namespace = settings.namespace or self.model.name
            network.cluster_domain = settings.cluster_domain
            network.node_domain = settings.node_domain
            network.upstream = settings.upstream
            network.dns_appear_s = settings.dns_appear_s
            network.dns_vanish_s = settings.dns_vanish_s
            network.dns_cache_s = settings.dns_cache_s
            network.dns_mode = settings.dns_mode
            network.reuse_addresses = settings.reuse_addresses
            network.use_names()

    def op_deploy(
        self,
        charm_dir: str,
        app: str,
        units: int,
        config: dict,
        resources: dict,
        base: str,
        python: str,
        images: dict[str, dict[str, Any]],
    ) -> None:
        """Add an application with its first units."""
        meta = read_meta(Path(charm_dir))
        with self.model.lock:
            name = app or meta.name
            found = self.model.add_app(name, charm_dir, meta, config, resources)
            found.base, found.python = base, python
            found.images = {key: Image.from_json(image) for key, image in images.items()}
            self._start_agents(self.model.add_units(name, units))

    def op_add_unit(self, app: str, count: int) -> list[str]:
        """Raise the scale of an application."""
        with self.model.lock:
            units = self.model.add_units(app, count)
            self._start_agents(units)
            return [unit.name for unit in units]

    def op_remove_unit(self, app: str, count: int) -> list[str]:
        """Lower the scale of an application; the settings say which units go."""
        return [unit.name for unit in self.model.choose_leavers(app, count)]

    def op_remove_application(self, app: str) -> None:
        """Remove all units, then the application and its storages."""
        model = self.model
        with model.lock:
            found = model.app(app)
            found.removed = True
            found.scale = 0
            for relation in model.relations.values():
                if app in relation.ends and not relation.peer:
                    relation.life = "dying"
            for unit in found.units.values():
                model.set_dying(unit)
            if not found.units:
                self._drop_app(app)
            model.touch()

    def op_config(self, app: str, values: dict[str, Any] | None) -> dict[str, Any]:
        """Set options, if any are given, and return all of them."""
        if values:
            self.model.set_config(app, values)
        with self.model.lock:
            found = self.model.app(app)
            return {**dict.fromkeys(found.meta.config), **found.settings()}

    def op_refresh(
        self,
        app: str,
        charm_dir: str,
        resources: dict,
        images: dict[str, dict[str, Any]],
        base: str,
        python: str,
    ) -> None:
        """Roll all pods of an application onto another charm.

        ``resources`` and ``images`` are those of the charm that it has when none is given: they
        are for a resource that the application does not have yet.
        """
        meta = read_meta(Path(charm_dir))
        with self.model.lock:
            self.model.refresh(app, charm_dir, meta)
            found = self.model.app(app)
            found.base, found.python = base, python
            for name in resources.keys() - found.resources.keys():
                found.resources[name] = resources[name]
                if name in images:
                    found.images[name] = Image.from_json(images[name])
        self._roll(app)

    def op_resources(self, app: str) -> dict[str, Any]:
        """Return the ``types`` of the charm's resources by name, and the names ``given``."""
        with self.model.lock:
            found = self.model.app(app)
            types = {name: spec.get("type") for name, spec in found.meta.resources.items()}
            return {"types": types, "given": sorted(found.resources)}

    def op_attach_resource(
        self, app: str, name: str, value: str, image: dict[str, Any] | None
    ) -> None:
        """Give an application another resource and roll its pods."""
        with self.model.lock:
            found = self.model.app(app)
            found.resources[name] = value
            if image is not None:
                found.images[name] = Image.from_json(image)
            found.charm_version += 1
        self._roll(app)

    def _roll(self, app: str) -> None:
        with self.model.lock:
            found = self.model.app(app)
            found.rolling += 1
            self.model.touch()
        self.later(0.0, lambda: self._roll_pods(found))

    def _roll_pods(self, app: Application) -> None:
        """Restart the pods one by one, the highest ordinal first, each when the last is ready."""
        model, version = self.model, app.charm_version
        rolled: list[Agent] = []
        for unit in sorted(app.units.values(), key=lambda unit: -unit.number):
            agent = self._agents.get(unit.name)
            if agent is None or unit.life != "alive" or app.charm_version != version:
                continue
            with model.lock:
                # A pod that is not up, or ends already, has the new charm when it comes back.
                old = agent.pod
                if old is not None and not agent.is_ending:
                    agent.end_pod(graceful=True, hold_s=0.0)
            rolled.append(agent)
            # A unit that leaves meanwhile holds nobody up; those of before must still be ready.
            while agent.pod is old or not all(
                each.is_pod_ready() for each in rolled if each.unit.name in self._agents
            ):
                if unit.name not in self._agents:
                    break
                with model.lock:
                    model.seen.wait(READY_POLL_S)
        with model.lock:
            app.rolling -= 1
            model.touch()

    def op_run(
        self, unit: str, action: str, params: dict[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        """Run an action and return what became of it."""
        model = self.model
        with model.lock:
            asked = model.add_action(unit, action, params)
            done = model.seen.wait_for(lambda: asked.status != "pending", timeout_s)
            if not done:
                raise ModelError(f"action {action} on {unit} still runs after {timeout_s:g} s")
            return {
                "status": asked.status,
                "results": asked.results,
                "message": asked.message,
                "log": asked.log,
            }

    def op_integrate(self, first: str, second: str) -> str:
        """Relate two applications."""
        relation = self.model.relations.integrate(first, second)
        return " ".join(f"{app}:{end.name}" for app, end in relation.ends.items())

    def op_remove_relation(self, first: str, second: str) -> None:
        """End the relation of two applications."""
        self.model.relations.end(first, second)

    def op_status(self, after: int, timeout_s: float) -> dict[str, Any]:
        """Return the status, and its version, as soon as that is beyond ``after``."""
        model = self.model
        with model.lock:
            model.seen.wait_for(lambda: model.version > after, min(timeout_s, WATCH_S))
            return {"version": model.version, "status": model.statuses.everything()}

    def op_log(self, since: int, timeout_s: float) -> dict[str, Any]:
        """Return log lines after the first ``since``, as soon as there are any."""
        model = self.model
        with model.lock:
            model.seen.wait_for(lambda: model.log.end > since, min(timeout_s, WATCH_S))
            lines, end = model.log.since(since)
            return {"lines": lines, "end": end}

    def op_status_log(self, unit: str) -> list[dict[str, str]]:
        """Return the statuses that a unit has had."""
        return self.model.statuses.log_of(unit)

    def op_hooks(self, since: int) -> list[dict[str, Any]]:
        """Return the records of runs of dispatch."""
        return self.model.records_since(since)

    def op_databags(self, app: str) -> dict[str, Any]:
        """Return all databags of an application's relations."""
        return self.model.relations.databags(app)

    def op_secrets(self, app: str) -> dict[str, Any]:
        """Return all secrets of an application and its units, with their content."""
        return self.model.secrets.of_app(app)

    def op_add_secret(self, content: dict[str, str]) -> str:
        """Keep a secret of the user."""
        return f"secret:{self.model.secrets.add_of_user(content)}"

    def op_change_secret(
        self, secret: str, content: dict[str, str] | None, app: str, granted: bool
    ) -> None:
        """Change the content or the grants of a secret of the user."""
        self.model.secrets.change_of_user(secret, content, app, granted)

    def op_remove_secret(self, secret: str) -> None:
        """Delete a secret of the user."""
        self.model.secrets.remove_of_user(secret)

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

    # Trouble.

    def _pod(self, unit: str) -> Pod:
        pod = self._agent(unit).pod
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
        self._agent(unit).end_pod(graceful, hold_s)

    def op_freeze(self, unit: str, container: str | None, match: str | None) -> None:
        """Stop processes, the whole pod without container."""
        pod = self._pod(unit)
        if match is not None:
            for pid in self._matching(unit, container or "charm", match):
                pod.freeze(pid=pid)
            return
        pod.freeze(container)
        if container is None:
            self._agent(unit).set_frozen(True)

    def op_thaw(self, unit: str, container: str | None, match: str | None) -> None:
        """Let stopped processes go on."""
        pod = self._pod(unit)
        if match is not None:
            for pid in self._matching(unit, container or "charm", match):
                pod.thaw(pid=pid)
            return
        pod.thaw(container)
        if container is None:
            self._agent(unit).set_frozen(False)

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
        self._agent(unit).set_connected(not pod.is_cut)

    def op_heal(self, unit: str) -> None:
        """Undo every cut of a pod."""
        self._pod(unit).heal()
        self._agent(unit).set_connected(True)

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
                return self.volume(found).path
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

    # The socket.

    def serve(self, ready: socket.socket) -> None:
        """Answer requests for ever."""
        while True:
            connection, _ = ready.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                with connection.makefile("rb") as lines:
                    line = lines.readline()
                if not line:
                    # A client that only asks whether somebody listens.
                    return
                request = json.loads(line)
                method = getattr(self, "op_" + request.pop("op"))
                answer = {"result": method(**request)}
            except (ModelError, PodError, NetworkError, sandbox.SandboxError, OSError) as e:
                answer = {"error": str(e)}
            except Exception as e:
                # A mistake of the lab itself is for the log of the controller, and for the user.
                traceback.print_exc()
                answer = {"error": f"the lab failed: {e!r}"}
            try:
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                # The client has gone and wants no answer any more.
                return


def main(model_dir: Path) -> None:
    """Run the controller of the model in ``model_dir`` until it is killed."""
    sandbox.prepare()
    # Where every thread is goes to the log on SIGUSR1, for a model that hangs.
    faulthandler.register(signal.SIGUSR1)
    controller = Controller(model_dir)
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The model's directory may be deep; a socket's path has at most 107 bytes.
    folder = os.open(model_dir, os.O_PATH | os.O_DIRECTORY)
    ready.bind(f"/proc/self/fd/{folder}/{SOCKET}.new")
    ready.listen(128)
    os.rename(model_dir / f"{SOCKET}.new", model_dir / SOCKET)
    os.close(folder)
    # A switch every 5 ms would let a hook tool wait behind every other thread.
    sys.setswitchinterval(0.001)
    controller.serve(ready)
