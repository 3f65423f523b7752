"""What lives in a model's sandbox, and goes on without being asked."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from lab.agent import Agent
from lab.kubernetes.cluster import Cluster
from lab.model import Model, Storage, Unit
from lab.network import Network
from lab.pods import Volume


class Controller:
    """Everything that lives in the model's sandbox."""

    def __init__(self, model_dir: Path) -> None:
        self.model_dir = model_dir
        self.model = Model(model_dir.name)
        self.network = Network(model_dir.name)
        self.agents: dict[str, Agent] = {}
        self.cluster = Cluster(self.model, self.network, self.agents)
        self._volumes: dict[str, Volume] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = itertools.count()
        self._timer_changed = threading.Condition()
        self._volume_lock = threading.Lock()
        for work in (self._keep_time, self._keep_leases):
            threading.Thread(target=work, name=work.__name__.strip("_"), daemon=True).start()

    def volume(self, storage: Storage) -> Volume:
        """Return the volume of a storage, made when it has none yet."""
        with self._volume_lock:
            if storage.id not in self._volumes:
                size = self.model.settings.storage_mb or None
                self._volumes[storage.id] = Volume(storage.id.replace("/", "-"), size)
            return self._volumes[storage.id]

    def pods_changed(self, app: str) -> None:
        """Let the Services of an application lead to the pods that are up, or ready."""
        up: list[str] = []
        with self.model.lock:
            for name, agent in self.agents.items():
                if name.partition("/")[0] == app and agent.unit.address:
                    up.append(agent.unit.address)
        self.network.set_name(self.model.service(f"{app}-endpoints"), *up)
        self.cluster.look()

    def unit_gone(self, unit: Unit) -> None:
        """Forget a unit whose pod has ended, and its application with the last unit."""
        with self.model.lock:
            self.agents.pop(unit.name, None)
            for action in unit.actions:
                action.status, action.message = "failed", "unit removed"
            self.model.drop_unit(unit)
            app = self.model.apps.get(unit.app)
            if app is not None and app.removed and not app.units:
                self.drop_app(app.name)

    def drop_app(self, name: str) -> None:
        """Delete an application that has no unit any more, with its volumes."""
        storages = [s for s in self.model.storages.values() if s.unit.startswith(f"{name}/")]
        self.model.drop_app(name)
        self.cluster.drop_app(name)
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

    def agent(self, name: str) -> Agent:
        """Return the agent of a unit.

        Raises:
            UnknownError: there is no such unit.
        """
        self.model.unit(name)
        return self.agents[name]

    def start_agents(self, units: list[Unit]) -> None:
        """Bring up new units."""
        for unit in units:
            self.agents[unit.name] = Agent(self, unit)
        for unit in units:
            self.agents[unit.name].start()
