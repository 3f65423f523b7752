"""Who leads an application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.model.entities import Application, Unit

if TYPE_CHECKING:
    from lab.model.model import Model


class Leases:
    """The leases of all applications; each has one leader, or none for a while."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def give(self, app: Application, unit: Unit) -> None:
        """Give the lease of an application to a unit."""
        app.leader = unit.name
        app.leader_since = self._model.clock()
        app.leader_until = float("inf")

    def take_away(self, app: Application) -> None:
        """End the lease of an application; the lowest unit that is present has the next."""
        if app.leader in app.units:
            app.units[app.leader].told.leader = False
        app.leader = ""
        candidates = [u for u in app.units.values() if u.present and u.life == "alive"]
        if candidates:
            self.give(app, min(candidates, key=lambda unit: unit.number))

    def is_leader(self, unit: Unit) -> bool:
        """Return whether this unit holds the lease of its application now."""
        with self._model.lock:
            app = self._model.apps[unit.app]
            return app.leader == unit.name and self._model.clock() < app.leader_until

    def leads_in_a_hook(self, app_name: str) -> bool:
        """Return whether the leader of an application runs a hook at the moment."""
        with self._model.lock:
            app = self._model.apps[app_name]
            leader = app.units.get(app.leader or "")
            return leader is not None and leader.agent.current == "executing"

    def elect(self, unit: Unit) -> None:
        """Make this unit the leader; the one before hears nothing of it."""
        with self._model.lock:
            app = self._model.apps[unit.app]
            if app.leader in app.units and app.leader != unit.name:
                app.units[app.leader].told.leader = False
            self.give(app, unit)
            self._model.touch()

    def set_present(self, unit: Unit, present: bool) -> None:
        """Note that a unit's agent reaches the controller, or no longer does.

        A leader's lease is renewed every half of its length while the agent is present, and runs
        out after the last renewal when it is not.
        """
        with self._model.lock:
            app = self._model.apps[unit.app]
            if unit.present == present:
                return
            self.expire()
            unit.present = present
            now = self._model.clock()
            half = self._model.settings.lease_s / 2
            if app.leader == unit.name:
                renewed = app.leader_since + (now - app.leader_since) // half * half
                app.leader_until = float("inf") if present else renewed + 2 * half
                if present:
                    app.leader_since = now
            elif present and not app.leader and unit.life == "alive":
                self.give(app, unit)
            self._model.touch()

    def expire(self) -> float:
        """Give away the leases that ran out; return when the next one does, by ``clock``."""
        with self._model.lock:
            for app in self._model.apps.values():
                if app.leader and app.leader_until <= self._model.clock():
                    self.take_away(app)
                    self._model.touch()
            return min(
                (app.leader_until for app in self._model.apps.values()), default=float("inf")
            )
