"""What the user sees of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.model.entities import Application, Status, Unit

if TYPE_CHECKING:
    from lab.model.model import Model

STATUSES = 1000
"""How many of its last statuses are remembered of each unit."""
SEVERITY = ("error", "blocked", "maintenance", "waiting", "active", "unknown")
"""Statuses from the one that an application shows first to the one it shows last."""


class Statuses:
    """The statuses of units and applications, and those that units have had."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._had: dict[str, list[Status]] = {}

    def set_workload(self, unit: Unit, status: Status) -> None:
        """Take over what a unit's charm says of itself."""
        with self._model.lock:
            unit.workload = status
            history = self._had.setdefault(unit.name, [])
            if not history or (history[-1].current, history[-1].message) != (
                status.current,
                status.message,
            ):
                history.append(status)
                del history[:-STATUSES]

    def log_of(self, unit_name: str) -> list[dict[str, str]]:
        """Return what a unit's charm has said of itself so far, also of a unit that has left."""
        with self._model.lock:
            return [
                {"current": each.current, "message": each.message}
                for each in self._had.get(unit_name, ())
            ]

    def of_unit(self, unit: Unit) -> dict[str, Any]:
        """Return a unit's part of ``status``."""
        return {
            "workload": {"current": unit.workload.current, "message": unit.workload.message},
            "agent": {"current": unit.agent.current, "message": unit.agent.message},
            "leader": self._model.leases.is_leader(unit),
            "address": unit.address,
            "host": unit.host,
            "life": unit.life,
            "version": unit.version,
        }

    def of_app(self, app: Application) -> Status:
        """Return what the charm set for the application, else the worst of its units."""
        if app.status.current != "unset":
            return app.status
        shown = [
            Status("error", u.agent.message) if u.agent.current == "error" else u.workload
            for u in app.units.values()
        ]
        if not shown:
            return Status("waiting", "waiting for units") if not app.removed else Status("unknown")
        order = {name: rank for rank, name in enumerate(SEVERITY)}
        return min(shown, key=lambda status: order.get(status.current, len(SEVERITY)))

    def everything(self) -> dict[str, Any]:
        """Return the state of everything, as ``Model.status`` of the client documents it."""
        with self._model.lock:
            apps: dict[str, Any] = {}
            for name, app in sorted(self._model.apps.items()):
                status = self.of_app(app)
                units = sorted(app.units.values(), key=lambda unit: unit.number)
                apps[name] = {
                    "status": {"current": status.current, "message": status.message},
                    "charm": app.meta.name,
                    "scale": app.scale,
                    "rolling": app.rolling > 0,
                    "containers": list(app.meta.containers),
                    "base": app.base,
                    "ports": sorted({port for u in app.units.values() for port in u.ports}),
                    "units": {unit.name: self.of_unit(unit) for unit in units},
                }
            relations = [
                {
                    "id": relation.id,
                    "endpoints": [f"{app}:{end.name}" for app, end in relation.ends.items()],
                    "interface": next(iter(relation.ends.values())).interface,
                    "life": relation.life,
                }
                for relation in self._model.relations.values()
            ]
            return {"model": self._model.name, "applications": apps, "relations": relations}
