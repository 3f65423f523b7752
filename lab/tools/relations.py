"""Hook tools about relations and networks."""

from __future__ import annotations

from lab.model import Relation, ToldRelation
from lab.tools.scope import Cache, Family, Scope
from lab.tools.words import ToolError, mapping, pairs, parse, show


class RelationTools(Family):
    """Relations, their databags and the addresses for them; what is set waits for the commit."""

    NAMES = (
        "network-get",
        "relation-get",
        "relation-ids",
        "relation-list",
        "relation-model-get",
        "relation-set",
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._apps: Cache = {}
        self._bags: Cache = {}

    def relation_ids(self, argv: list[str], _: str) -> str:
        """Return the relations of an endpoint, without those that are broken."""
        flags = parse(argv)
        name = flags.words[0] if flags.words else ""
        if not name and self.hook.relation_id is not None:
            name = self.model.relations[self.hook.relation_id].ends[self.app.name].name
        broken = self.hook.relation_id if self.hook.kind == "relation-broken" else None
        ids = [
            f"{name}:{relation.id}"
            for relation in self.model.relations.values()
            if self.scope.reachable(relation)
            and relation.ends[self.app.name].name == name
            and relation.id != broken
        ]
        return show(ids, flags)

    def relation_list(self, argv: list[str], _: str) -> str:
        """Return the units this unit was told of, or the remote application."""
        flags = parse(argv, "relation", "app")
        relation, told = self.scope.relation(flags)
        if flags.on("app"):
            return show(relation.remote(self.app.name), flags)
        members = set(told.members)
        if self.hook.relation_id == relation.id and self.hook.remote_unit:
            if self.hook.kind == "relation-departed":
                members.discard(self.hook.remote_unit)
            elif self.hook.kind in ("relation-joined", "relation-changed"):
                members.add(self.hook.remote_unit)
        return show(sorted(members), flags)

    def relation_get(self, argv: list[str], _: str) -> str:
        """Return a databag or one of its keys."""
        flags = parse(argv, "relation", "app")
        relation, told = self.scope.relation(flags)
        key = flags.word(0, "") if flags.words else "-"
        entity = flags.word(1)
        if not entity:
            same = self.hook.relation_id == relation.id
            entity = self.hook.remote_app if flags.on("app") else self.hook.remote_unit
            if not same or not entity:
                raise ToolError("no unit id specified", rc=2)
        if flags.on("app"):
            entity = entity.partition("/")[0]
        data = self._read_bag(relation, told, entity)
        if key in ("-", ""):
            return show(data, flags)
        return show(data.get(key), flags)

    def _read_bag(self, relation: Relation, told: ToldRelation, entity: str) -> dict[str, str]:
        is_app = "/" not in entity
        own = entity in (self.unit.name, self.app.name)
        app = entity.partition("/")[0]
        if app not in relation.ends or (not is_app and entity not in relation.bags):
            raise ToolError("permission denied")
        foreign_reader = is_app and own and not relation.peer
        if foreign_reader and not self.model.leases.is_leader(self.unit):
            raise ToolError("permission denied")
        place = (relation.id, entity)
        live = self.model.relations.bag(relation, entity).data
        if own:
            merged = {**live, **self._bags.get(place, {})}
            return {k: v for k, v in sorted(merged.items()) if v != ""}
        # Members' bags stay as first read until the unit's own hook; all others for this hook.
        cache = self.scope.members if not is_app and entity in told.members else self._apps
        return cache.setdefault(place, dict(sorted(live.items())))

    def relation_set(self, argv: list[str], stdin: str) -> str:
        """Keep values for a databag until the hook ends."""
        flags = parse(argv, "relation file", "app")
        relation, _ = self.scope.relation(flags)
        values: dict[str, str] = {}
        if (file := flags.get("file")) is not None:
            text = stdin if file == "-" else self.scope.path(file).read_text(encoding="utf-8")
            values.update(mapping(text))
        values.update(pairs(flags.words))
        entity = self.app.name if flags.on("app") else self.unit.name
        if flags.on("app") and not self.model.leases.is_leader(self.unit):
            raise ToolError("cannot write relation settings")
        self._bags.setdefault((relation.id, entity), {}).update(values)
        return ""

    def relation_model_get(self, argv: list[str], _: str) -> str:
        """Return the model at the other end, which is always this one."""
        flags = parse(argv, "relation")
        self.scope.relation(flags)
        return show({"uuid": self.model.uuid}, flags)

    def network_get(self, argv: list[str], _: str) -> str:
        """Return the pod's address to bind to and the Service's to be reached at."""
        flags = parse(
            argv, "relation", "bind-address ingress-address egress-subnets primary-address"
        )
        binding = flags.word(0, "no arguments specified")
        meta = self.app.meta
        if binding not in meta.endpoints and binding not in meta.bindings | {"juju-info"}:
            raise ToolError(f'no network config found for binding "{binding}"')
        if flags.get("relation") is not None:
            self.scope.relation(flags)
        address = {"hostname": "", "value": self.unit.address, "cidr": ""}
        found = {
            "bind-addresses": [
                {"mac-address": "", "interface-name": "", "addresses": [address]},
            ],
            "egress-subnets": [f"{self.app.service_ip}/32"],
            "ingress-addresses": [self.app.service_ip],
        }
        if flags.on("bind-address") or flags.on("primary-address"):
            return show(self.unit.address, flags)
        if flags.on("ingress-address"):
            return show(self.app.service_ip, flags)
        if flags.on("egress-subnets"):
            return show(found["egress-subnets"], flags)
        return show(found, flags)

    def needs_leader(self) -> bool:
        """Return whether the application's databag is written."""
        return any(entity == self.app.name for _, entity in self._bags)

    def commit(self) -> None:
        """Write the databags, but of relations that have gone."""
        for (relation_id, entity), values in self._bags.items():
            if relation_id in self.model.relations:
                self.model.relations.write_bag(self.model.relations[relation_id], entity, values)
