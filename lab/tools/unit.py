"""Hook tools about the unit and its application."""

from __future__ import annotations

from typing import Any

from lab.model import Application, ModelError, Status, Unit
from lab.tools.scope import Family, Scope
from lab.tools.times import utc
from lab.tools.words import ToolError, pairs, parse, show

SETTABLE = ("maintenance", "blocked", "waiting", "active")


class UnitTools(Family):
    """Leadership, options, statuses, the log, resources: most is there at once."""

    NAMES = (
        "application-version-set",
        "config-get",
        "credential-get",
        "goal-state",
        "is-leader",
        "juju-log",
        "juju-reboot",
        "leader-get",
        "leader-set",
        "resource-get",
        "status-get",
        "status-set",
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._leader_settings: dict[str, str] = {}

    def is_leader(self, argv: list[str], _: str) -> str:
        """Return whether this unit is the leader."""
        return show(self.model.leases.is_leader(self.unit), parse(argv))

    def config_get(self, argv: list[str], _: str) -> str:
        """Return the options that are set or have a default, or one of them."""
        flags = parse(argv, "", "all a")
        settings = self.app.settings()
        if flags.words:
            return show(settings.get(flags.words[0]), flags)
        if flags.on("all") or flags.on("a"):
            settings = {**dict.fromkeys(self.app.meta.config), **settings}
        return show(settings, flags)

    def status_set(self, argv: list[str], _: str) -> str:
        """Set the status of the unit, or of the application by its leader, at once."""
        flags = parse(argv, "", "application")
        current = flags.word(0, "invalid args, require <status> [message]")
        if current not in SETTABLE:
            raise ToolError(f'invalid status "{current}", expected one of {list(SETTABLE)}')
        status = Status(current, flags.word(1))
        if flags.on("application"):
            self.scope.need_leader()
            self.app.status = status
        else:
            self.model.statuses.set_workload(self.unit, status)
        self.model.show()
        return ""

    def status_get(self, argv: list[str], _: str) -> str:
        """Return the status of the unit, or to the leader that of the application."""
        flags = parse(argv, "", "application include-data")

        def described(status: Status) -> dict[str, Any]:
            found: dict[str, Any] = {"message": status.message, "status": status.current}
            return {**found, "status-data": {}} if flags.on("include-data") else found

        if flags.on("application"):
            self.scope.need_leader()
            units = self.app.units.values()
            found: dict[str, Any] = {
                "application-status": {
                    **described(self.model.statuses.of_app(self.app)),
                    "units": {unit.name: described(unit.workload) for unit in units},
                }
            }
            return show(found, flags)
        if flags.get("format") or flags.on("include-data"):
            return show(described(self.unit.workload), flags)
        return show(self.unit.workload.current, flags)

    def goal_state(self, argv: list[str], _: str) -> str:
        """Return the units that are and will be, those of related applications too."""
        flags = parse(argv)

        def goal(unit: Unit) -> dict[str, str]:
            status = "dying" if unit.life == "dying" else unit.workload.current
            return {"status": status, "since": utc(unit.workload.since)}

        def living(app: Application) -> dict[str, dict[str, str]]:
            return {u.name: goal(u) for u in app.units.values() if u.life != "dead"}

        relations: dict[str, dict[str, Any]] = {}
        for relation in self.model.relations.values():
            if relation.peer or self.app.name not in relation.ends:
                continue
            remote = self.model.apps[relation.remote(self.app.name)]
            status = self.model.statuses.of_app(remote)
            named = relations.setdefault(relation.ends[self.app.name].name, {})
            joined = "joined" if relation.life == "alive" else "dying"
            named[remote.name] = {"status": joined, "since": utc(status.since)}
            named.update(living(remote))
        return show({"units": living(self.app), "relations": relations}, flags)

    def juju_log(self, argv: list[str], _: str) -> str:
        """Write to the debug log at once."""
        flags = parse(argv, "log-level l", "debug")
        level = (flags.get("log-level") or flags.get("l") or "INFO").upper()
        level = "DEBUG" if flags.on("debug") else level
        prefix = ""
        if self.hook.relation_id is not None and self.hook.relation_id in self.model.relations:
            relation = self.model.relations[self.hook.relation_id]
            prefix = f"{relation.ends[self.app.name].name}:{relation.id}: "
        text = prefix + " ".join(flags.words)
        self.model.log.write(self.unit.tag, level, f"unit.{self.unit.name}.juju-log", text)
        return ""

    def application_version_set(self, argv: list[str], _: str) -> str:
        """Set the version of the workload at once."""
        self.unit.version = parse(argv).word(0, "no version specified")
        self.model.show()
        return ""

    def resource_get(self, argv: list[str], _: str) -> str:
        """Return the path of a resource's file."""
        flags = parse(argv)
        name = flags.word(0, "missing required resource name")
        try:
            return self.scope.resource(name)
        except ModelError as e:
            raise ToolError(f"could not download resource: {e}") from e

    def credential_get(self, argv: list[str], _: str) -> str:
        """Refuse: no application of the lab is trusted with the cloud."""
        parse(argv)
        raise ToolError("cannot access cloud credentials: permission denied")

    def juju_reboot(self, argv: list[str], _: str) -> str:
        """Refuse: a pod is not rebooted by its charm."""
        parse(argv, "", "now")
        if self.scope.action is not None:
            raise ToolError("juju-reboot is not supported when running an action.")
        raise ToolError("juju-reboot is not supported on Kubernetes")

    def leader_get(self, argv: list[str], _: str) -> str:
        """Return the leader's settings of Juju before 4."""
        flags = parse(argv)
        settings = {**self.app.leader_settings, **self._leader_settings}
        settings = {key: value for key, value in settings.items() if value}
        key = flags.word(0) or "-"
        return show(settings if key == "-" else settings.get(key), flags)

    def leader_set(self, argv: list[str], _: str) -> str:
        """Keep the leader's settings until the hook ends."""
        flags = parse(argv)
        if not self.model.leases.is_leader(self.unit):
            raise ToolError("cannot write leadership settings: not the leader")
        self._leader_settings.update(pairs(flags.words))
        return ""

    def needs_leader(self) -> bool:
        """Return whether leader settings are written."""
        return bool(self._leader_settings)

    def commit(self) -> None:
        """Write the leader's settings."""
        self.app.leader_settings.update(self._leader_settings)
