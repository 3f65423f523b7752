"""Relations and their databags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lab.model.entities import Application, Bag, Relation, Unit
from lab.model.errors import ModelError, UnknownError
from lab.packing import Endpoint

if TYPE_CHECKING:
    from lab.model.model import Model


class Relations(dict[int, Relation]):
    """All relations of a model, by their ids."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model
        self._next = 0

    def add(self, ends: dict[str, Endpoint]) -> Relation:
        """Add a relation of endpoints by their applications; its bags are fresh."""
        relation = Relation(self._next, ends)
        self._next += 1
        self[relation.id] = relation
        for name in ends:
            app = self._model.apps[name]
            relation.bags[name] = Bag()
            for unit in app.units.values():
                self.fresh_bag(relation, unit, app)
        return relation

    def integrate(self, first: str, second: str) -> Relation:
        """Relate ``app[:endpoint]`` with another; endpoints may be left out if only one fits.

        Raises:
            ModelError: if no pair, or more than one, fits, or they are related already.
        """
        with self._model.lock:
            pairs = [
                (one, two)
                for one in self._ends(first)
                for two in self._ends(second)
                if one[1].interface == two[1].interface
                and {one[1].role, two[1].role} == {"provider", "requirer"}
            ]
            if not pairs:
                raise ModelError(f"no relations found between {first} and {second}")
            if len(pairs) > 1:
                raise ModelError(f"ambiguous relation: {first} {second} could be any of several")
            one, two = pairs[0]
            ends = {one[0]: one[1], two[0]: two[1]}
            if len(ends) == 1:
                raise ModelError("an application cannot be related to itself")
            if any(r.ends == ends for r in self.values()):
                raise ModelError(f"relation {first} {second} already exists")
            relation = self.add(ends)
            self._model.touch()
            return relation

    def _ends(self, text: str) -> Iterable[tuple[str, Endpoint]]:
        name, _, wanted = text.partition(":")
        app = self._model.app(name)
        if wanted and wanted not in app.meta.endpoints:
            raise ModelError(f'application "{name}" has no "{wanted}" relation')
        return [
            (name, endpoint)
            for endpoint in app.meta.endpoints.values()
            if not wanted or endpoint.name == wanted
        ]

    def end(self, first: str, second: str) -> None:
        """Begin the end of a relation: departed and broken follow on both sides.

        Raises:
            UnknownError: if there is no such relation.
        """
        with self._model.lock:
            for relation in self.values():
                if relation.peer or relation.life != "alive":
                    continue
                sides = {first.partition(":")[0]: first, second.partition(":")[0]: second}
                if set(sides) == set(relation.ends) and all(
                    relation.ends[app].name == (text.partition(":")[2] or relation.ends[app].name)
                    for app, text in sides.items()
                ):
                    relation.life = "dying"
                    self.drop_finished()
                    self._model.touch()
                    return
            raise UnknownError(f'relation "{first} {second}" not found')

    def drop_finished(self) -> None:
        """Delete the relations that are ending and that every unit has been told of."""
        for relation in list(self.values()):
            told = (
                unit.told.relations.get(relation.id)
                for name in relation.ends
                if name in self._model.apps
                for unit in self._model.apps[name].units.values()
            )
            if relation.life == "dying" and all(t is None or t.broken for t in told):
                self.delete(relation)

    def delete(self, relation: Relation) -> None:
        """Delete a relation, with the grants along it."""
        del self[relation.id]
        for secret in self._model.secrets.values():
            secret.grants.pop(relation.id, None)

    def bag(self, relation: Relation, entity: str) -> Bag:
        """Return the databag of a unit or an application, made when it has none."""
        return relation.bags.setdefault(entity, Bag())

    def write_bag(self, relation: Relation, entity: str, values: Mapping[str, str]) -> None:
        """Merge values into a databag; an empty value deletes its key."""
        with self._model.lock:
            bag = self.bag(relation, entity)
            merged = {**bag.data, **values}
            merged = {key: value for key, value in merged.items() if value != ""}
            if merged != bag.data:
                bag.data = merged
                bag.version += 1
                self._model.touch()

    def fresh_bag(self, relation: Relation, unit: Unit, app: Application) -> None:
        """Give a unit the databag that it begins with."""
        # A unit that has the ordinal of a former one starts with a bag of its own.
        former = relation.bags.get(unit.name, Bag())
        data = {"egress-subnets": f"{app.service_ip}/32", "ingress-address": app.service_ip}
        if self._model.settings.juju_version.startswith("3."):
            data["private-address"] = app.service_ip
        relation.bags[unit.name] = Bag(data, former.version + 1)
        relation.bags.setdefault(app.name, Bag())

    def leave_scopes(self, unit: Unit) -> None:
        """Take a unit out of its relations, so that the others get relation-departed."""
        with self._model.lock:
            for relation in self.values():
                relation.scope.discard(unit.name)
            self._model.touch()

    def databags(self, app_name: str) -> dict[str, Any]:
        """Return ``{"endpoint:id": {unit or application: {key: value}}}`` of an application."""
        with self._model.lock:
            self._model.app(app_name)
            return {
                f"{relation.ends[app_name].name}:{relation.id}": {
                    entity: dict(bag.data) for entity, bag in sorted(relation.bags.items())
                }
                for relation in self.values()
                if app_name in relation.ends
            }
