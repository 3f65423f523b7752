"""A model's applications and units, and who hears of what changed."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from lab import toolfaults
from lab.model.checks import checked_config, checked_params, minimum
from lab.model.entities import Action, Application, HookRecord, Storage, Unit
from lab.model.errors import ModelError, UnknownError
from lab.model.leases import Leases
from lab.model.log import DebugLog
from lab.model.relations import Relations
from lab.model.secrets import Secrets
from lab.model.settings import Settings
from lab.model.statuses import Statuses
from lab.packing import CharmMeta

STORAGE_CHANGED = (
    "Juju on containers does not support updating storage on a statefulset: the new charm's "
    "metadata contains updated storage declarations"
)
"""Any difference counts, in a description too."""


class Model:
    """All applications, relations, secrets and storages of one model.

    What belongs to one kind of thing is with it: ``relations``, ``secrets``, ``leases``,
    ``statuses``, ``log``.

    ``work`` is notified when an agent may have something to do, ``seen`` whenever something
    changed that a watcher can see.
    """

    def __init__(
        self,
        name: str,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.uuid = str(uuid.uuid4())
        self.settings = settings or Settings()
        self.tool_faults = toolfaults.ToolFaults()
        self.clock = clock
        self.lock = threading.RLock()
        self.work = threading.Condition(self.lock)
        self.seen = threading.Condition(self.lock)
        self.version = 0
        self.apps: dict[str, Application] = {}
        self.log = DebugLog(self.lock, self.seen)
        self.leases = Leases(self)
        self.statuses = Statuses(self)
        self.relations = Relations(self)
        self.secrets = Secrets(self)
        self.storages: dict[str, Storage] = {}
        self.records: list[HookRecord] = []
        self._next_storage = 0
        self._next_service = 10

    # What changed, and who hears of it.

    def touch(self) -> None:
        """Tell agents and watchers that something changed."""
        with self.lock:
            self.version += 1
            self.work.notify_all()
            self.seen.notify_all()

    def show(self) -> None:
        """Tell watchers alone that something changed that asks no agent to act."""
        with self.lock:
            self.version += 1
            self.seen.notify_all()

    # Applications and units.

    def app(self, name: str) -> Application:
        """Return an application.

        Raises:
            UnknownError: if there is none of that name.
        """
        try:
            return self.apps[name]
        except KeyError:
            raise UnknownError(f'application "{name}" not found') from None

    def unit(self, name: str) -> Unit:
        """Return a unit.

        Raises:
            UnknownError: if there is none of that name.
        """
        app = self.apps.get(name.partition("/")[0])
        if app is None or name not in app.units:
            raise UnknownError(f'unit "{name}" not found')
        return app.units[name]

    def units(self) -> Iterator[Unit]:
        """Return every unit of every application."""
        for app in self.apps.values():
            yield from app.units.values()

    def add_app(
        self,
        name: str,
        charm_dir: str,
        meta: CharmMeta,
        config: Mapping[str, Any],
        resources: Mapping[str, str],
    ) -> Application:
        """Add an application without units, and its peer relations.

        Raises:
            ModelError: if the name is taken, or an option or a resource is not declared.
        """
        with self.lock:
            if name in self.apps:
                raise ModelError(f'application "{name}" already exists')
            app = Application(name, charm_dir, meta)
            app.config = checked_config(meta, config)
            for resource in resources:
                if resource not in meta.resources:
                    raise ModelError(f'charm "{meta.name}" has no resource "{resource}"')
            app.resources = dict(resources)
            app.service_ip = self.next_service_address()
            self.apps[name] = app
            for endpoint in meta.endpoints.values():
                if endpoint.role == "peer":
                    self.relations.add({name: endpoint})
            self.touch()
            return app

    def add_units(self, app_name: str, count: int) -> list[Unit]:
        """Raise the scale and return the new units, whose ordinals are the lowest free ones."""
        with self.lock:
            app = self.app(app_name)
            if app.removed:
                raise ModelError(f'application "{app_name}" is being removed')
            taken = {unit.number for unit in app.units.values()}
            made: list[Unit] = []
            number = 0
            while len(made) < count:
                if number not in taken:
                    made.append(self._add_unit(app, number))
                number += 1
            app.scale += count
            self.touch()
            return made

    def _add_unit(self, app: Application, number: int) -> Unit:
        name = f"{app.name}/{number}"
        host = f"{app.name}-{number}.{self.service(f'{app.name}-endpoints')}"
        unit = Unit(name, app.name, number, host)
        app.units[name] = unit
        if not app.leader:
            self.leases.give(app, unit)
        owned = {s.name: s for s in self.storages.values() if s.unit == name}
        for storage, spec in app.meta.storage.items():
            if storage not in owned:
                for _ in range(minimum(spec)):
                    self.add_storage(unit, storage)
        for relation in self.relations.values():
            if app.name in relation.ends:
                self.relations.fresh_bag(relation, unit, app)
        return unit

    def service(self, name: str) -> str:
        """Return the full name of a Service of the model."""
        settings = self.settings
        return f"{name}.{settings.namespace or self.name}.svc.{settings.cluster_domain}"

    def next_service_address(self) -> str:
        """Return an address for a Service; none is given twice."""
        with self.lock:
            number = self._next_service
            self._next_service += 1
            return f"10.152.{183 + number // 250}.{number % 250 + 1}"

    def trust(self, app_name: str, trusted: bool) -> None:
        """Let an application do what it likes with the cluster, or no longer."""
        with self.lock:
            app = self.app(app_name)
            if app.trusted != trusted:
                app.trusted = trusted
                app.config_version += 1
                self.touch()

    def add_storage(self, unit: Unit, name: str) -> Storage:
        """Add a storage instance to a unit; pods mount it from their next start on."""
        app = self.apps[unit.app]
        spec = app.meta.storage[name]
        number = sum(1 for s in self.storages.values() if s.unit == unit.name and s.name == name)
        location = str(spec.get("location") or f"/var/lib/juju/storage/{name}")
        if not spec.get("location") or "multiple" in spec:
            location = f"{location}/{number}"
        storage = Storage(f"{name}/{self._next_storage}", name, unit.name, location)
        self._next_storage += 1
        self.storages[storage.id] = storage
        return storage

    def choose_leavers(self, app_name: str, count: int) -> list[Unit]:
        """Lower the scale, mark the units that go as dying, and return them."""
        with self.lock:
            app = self.app(app_name)
            alive = sorted(
                (unit for unit in app.units.values() if unit.life == "alive"),
                key=lambda unit: unit.number,
            )
            if count > len(alive):
                raise ModelError(f"cannot remove {count} units of {len(alive)}")
            highest = self.settings.leavers == "highest"
            leavers = alive[len(alive) - count :] if highest else alive[:count]
            app.scale -= count
            for unit in leavers:
                self.set_dying(unit)
            self.touch()
            return leavers

    def set_dying(self, unit: Unit) -> None:
        """Begin the removal of a unit; with ``departed=early`` its peers hear of it now."""
        with self.lock:
            if unit.life != "alive":
                return
            unit.life = "dying"
            if self.settings.departed == "early":
                self.relations.leave_scopes(unit)
            self.touch()

    def drop_unit(self, unit: Unit) -> None:
        """Delete a dead unit with its secrets; its storages stay for the next of its ordinal."""
        with self.lock:
            app = self.apps[unit.app]
            app.units.pop(unit.name, None)
            self.secrets.drop_of(unit.name)
            for secret in self.secrets.values():
                secret.consumers.pop(unit.name, None)
                secret.labels.pop(unit.name, None)
            for relation in self.relations.values():
                if self.settings.departed == "never" and unit.name in relation.scope:
                    relation.ghosts.add(unit.name)
                if self.settings.departed != "late" or not relation.peer:
                    relation.scope.discard(unit.name)
            if app.leader == unit.name:
                self.leases.take_away(app)
            for storage in self.storages.values():
                if storage.unit == unit.name:
                    storage.mounted = False
            self.relations.drop_finished()
            self.touch()

    def drop_app(self, name: str) -> None:
        """Delete an application that has no unit any more, with all it owned."""
        with self.lock:
            self.apps.pop(name, None)
            self.secrets.drop_of(name)
            for relation in [r for r in self.relations.values() if name in r.ends]:
                self.relations.delete(relation)
            for storage in [s for s in self.storages.values() if s.unit.startswith(f"{name}/")]:
                del self.storages[storage.id]
            self.touch()

    # Configuration, charm and actions.

    def set_config(self, app_name: str, values: Mapping[str, Any]) -> None:
        """Set options; ``None`` brings the default back.

        Raises:
            ModelError: for an unknown option or a value of the wrong type.
        """
        with self.lock:
            app = self.app(app_name)
            before = app.settings()
            cleared = {name for name, value in values.items() if value is None}
            given = {name: value for name, value in values.items() if value is not None}
            for name in cleared:
                if name not in app.meta.config:
                    raise ModelError(f'unknown option "{name}"')
            app.config.update(checked_config(app.meta, given))
            for name in cleared:
                app.config.pop(name, None)
            if app.settings() != before:
                app.config_version += 1
                self.touch()

    def refresh(self, app_name: str, charm_dir: str, meta: CharmMeta) -> None:
        """Give an application another charm; its next pods start with it.

        Raises:
            ModelError: if it is a charm of another name, or Juju would refuse it: a relation
                would lose its endpoint, or a storage is declared otherwise.
        """
        with self.lock:
            app = self.app(app_name)
            if meta.name != app.meta.name:
                raise ModelError(f'cannot refresh "{app_name}" to a charm named "{meta.name}"')
            for relation in self.relations.values():
                old = relation.ends.get(app_name)
                if old is not None and meta.endpoints.get(old.name) != old:
                    ends = " ".join(f"{name}:{end.name}" for name, end in relation.ends.items())
                    raise ModelError(
                        f'cannot upgrade application "{app_name}" to charm "{meta.name}": '
                        f'would break relation "{ends}"'
                    )
            if meta.storage != app.meta.storage:
                raise ModelError(STORAGE_CHANGED)
            known = app.meta.endpoints
            app.charm_dir, app.meta = charm_dir, meta
            app.charm_version += 1
            app.config = {name: v for name, v in app.config.items() if name in meta.config}
            for name, endpoint in meta.endpoints.items():
                if endpoint.role == "peer" and name not in known:
                    self.relations.add({app_name: endpoint})
            self.touch()

    def add_action(self, unit_name: str, name: str, params: Mapping[str, Any]) -> Action:
        """Queue an action for a unit, its parameters checked and completed with defaults.

        Raises:
            ModelError: if the charm has no such action, or the parameters do not fit.
        """
        with self.lock:
            unit = self.unit(unit_name)
            spec = self.apps[unit.app].meta.actions.get(name)
            if spec is None:
                raise ModelError(f'action "{name}" not defined on unit "{unit_name}"')
            action = Action(str(uuid.uuid4()), name, checked_params(name, spec, params))
            unit.actions.append(action)
            self.touch()
            return action

    # Runs of dispatch.

    def record(self, unit: str, name: str, rc: int, started: float, **costs: Any) -> None:
        """Keep what one run of dispatch cost; ``costs`` are the rest of ``HookRecord``."""
        with self.lock:
            self.records.append(HookRecord(len(self.records), unit, name, rc, started, **costs))
            self.show()

    def records_since(self, since: int) -> list[dict[str, Any]]:
        """Return the records from index ``since`` on, as mappings."""
        with self.lock:
            return [asdict(record) for record in self.records[since:]]
