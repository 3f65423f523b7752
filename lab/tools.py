"""Hook tools: what each one prints, and what becomes of it when the hook ends.

Arguments, outputs and error texts are those of Juju 3.6 as ops 3.9 uses them. A tool's effect
is either there at once (statuses, logs, tracked revisions) or kept in the ``HookContext`` until
``commit``, which happens only when dispatch ended with 0.
Source: https://documentation.ubuntu.com/juju/3.6/reference/hook-command/
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml

from lab.model import (
    ROTATION,
    Action,
    Application,
    Hook,
    Model,
    ModelError,
    Relation,
    Secret,
    Status,
    ToldRelation,
    Unit,
)

SETTABLE = ("maintenance", "blocked", "waiting", "active")
ACTION_KEY = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
ACTION_RESERVED = ("stdout", "stdout-encoding", "stderr", "stderr-encoding")
SECRET_KEY = re.compile(r"[a-z](-?[a-z0-9]){2,}")
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s))+")
PORT = re.compile(r"(\d+)(?:/(tcp|udp))?|icmp")


class ToolError(Exception):
    """A tool's failure; the text goes to stderr after ``ERROR``, and ``rc`` is its exit code."""

    def __init__(self, text: str, rc: int = 1) -> None:
        super().__init__(text)
        self.rc = rc


class CommitError(Exception):
    """What the hook wrote was refused when it ended, so the hook counts as failed."""


@dataclass(frozen=True)
class Reply:
    """What a tool prints and its exit code."""

    stdout: str
    stderr: str
    rc: int


@dataclass
class SecretChange:
    """What a hook asked to change of a secret; ``None`` leaves a field as it is."""

    content: dict[str, str] | None = None
    label: str | None = None
    description: str | None = None
    rotate: str | None = None
    expires: datetime | None = None


@dataclass
class Flags:
    """Options and arguments of one call."""

    values: dict[str, str]
    words: list[str]

    def on(self, name: str) -> bool:
        """Return whether a boolean option is given and true."""
        return self.values.get(name, "false").lower() in ("true", "1", "t")

    def get(self, name: str) -> str | None:
        """Return the value of an option, or ``None``."""
        return self.values.get(name)

    def word(self, index: int, missing: str | None = None) -> str:
        """Return an argument; without it fail with ``missing``, or return the empty string."""
        if index < len(self.words):
            return self.words[index]
        if missing is not None:
            raise ToolError(missing, rc=2)
        return ""


ALIASES = {"-r": "relation", "-s": "storage", "-o": "output"}


def parse(argv: Sequence[str], valued: str = "", boolean: str = "") -> Flags:
    """Read options and arguments in any order, as Juju's flag parser does.

    Args:
        argv: the words after the tool's name.
        valued: names of options that take a value, separated by spaces; ``format`` always is one.
        boolean: names of options that stand alone or take ``=true`` or ``=false``.

    Raises:
        ToolError: with code 2, for an unknown option or one without its value.
    """
    with_value = {"format", "output", *valued.split()}
    alone = set(boolean.split())
    flags = Flags({}, [])
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            flags.words.extend(rest)
            break
        if not word.startswith("-") or word == "-":
            flags.words.append(word)
            continue
        option, equals, value = word.partition("=")
        name = ALIASES.get(option, option.lstrip("-"))
        if name in alone:
            flags.values[name] = value if equals else "true"
        elif name in with_value:
            if not equals:
                if not rest:
                    raise ToolError(f"option needs an argument: {option}", rc=2)
                value = rest.pop(0)
            flags.values[name] = value
        else:
            raise ToolError(f"option provided but not defined: {option}", rc=2)
    return flags


def show(value: Any, flags: Flags) -> str:
    """Return a value as ``--format`` asks: ``json``, ``yaml``, or smart, which is the default."""
    form = flags.get("format") or "smart"
    if form == "json":
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
    if form not in ("smart", "yaml"):
        raise ToolError(f'invalid value "{form}" for option --format: unknown format', rc=2)
    if form == "smart":
        if value is None or value == []:
            return ""
        if isinstance(value, bool):
            return f"{value}\n"
        if isinstance(value, (str, int, float)):
            return f"{value}\n"
        if isinstance(value, list):
            return "".join(f"{item}\n" for item in value)
    return yaml.safe_dump(value, default_flow_style=False)


Cache = dict[tuple[int, str], dict[str, str]]


@dataclass
class HookContext:
    """One run of dispatch, as its hook tools see and change the model.

    Attributes:
        members: the agent's cache of members' unit databags; it outlives the hook.
        path: gives the controller's path of a file that the charm named.
        resource: gives the path in the charm's container of a resource, fetched if need be.
        action: the action that runs, or ``None`` in a hook.
        calls: how often each tool was called.
    """

    id: str
    model: Model
    unit: Unit
    hook: Hook
    members: Cache
    path: Callable[[str], Path]
    resource: Callable[[str], str]
    action: Action | None = None
    calls: Counter[str] = field(default_factory=Counter)
    action_failed: bool = False
    _apps: Cache = field(default_factory=dict)
    _bags: dict[tuple[int, str], dict[str, str]] = field(default_factory=dict)
    _added: dict[str, Secret] = field(default_factory=dict)
    _changed: dict[str, SecretChange] = field(default_factory=dict)
    _grants: list[tuple[str, int, str, bool]] = field(default_factory=list)
    _removed: list[tuple[str, int | None]] = field(default_factory=list)
    _ports: dict[str, bool] = field(default_factory=dict)
    _state: dict[str, str | None] = field(default_factory=dict)
    _storages: Counter[str] = field(default_factory=Counter)
    _leader_settings: dict[str, str] = field(default_factory=dict)

    def run(self, argv: Sequence[str], stdin: str | None) -> Reply:
        """Run one tool; ``argv[0]`` is its bare name."""
        name = argv[0]
        self.calls[name] += 1
        method = TOOLS.get(name)
        if method is None:
            return Reply("", f"ERROR unknown command {name}\n", 1)
        try:
            with self.model.lock:
                return Reply(method(self, list(argv[1:]), stdin or ""), "", 0)
        except ToolError as e:
            return Reply("", f"ERROR {e}\n", e.rc)
        except ModelError as e:
            return Reply("", f"ERROR {e}\n", 1)

    # Helpers.

    @property
    def _app(self) -> Application:
        return self.model.apps[self.unit.app]

    def _need_leader(self) -> None:
        if not self.model.is_leader(self.unit):
            raise ToolError("this unit is not the leader")

    def _reachable(self, relation: Relation) -> ToldRelation | None:
        """Return what the charm knows of a relation, or ``None`` if it knows nothing yet."""
        told = self.unit.told.relations.get(relation.id)
        current = self.hook.relation_id == relation.id
        if self._app.name not in relation.ends:
            return None
        if told is None or not (told.created or current) or (told.broken and not current):
            return None
        return told

    def _relation(self, flags: Flags) -> tuple[Relation, ToldRelation]:
        text = flags.get("relation")
        if text is None:
            if self.hook.relation_id is None:
                raise ToolError("no relation id specified", rc=2)
            text = str(self.hook.relation_id)
        name, _, number = text.rpartition(":")
        relation = self.model.relations.get(int(number)) if number.isdigit() else None
        told = self._reachable(relation) if relation else None
        named = relation and relation.ends.get(self._app.name)
        # A bare name before the colon is checked only if it is an endpoint of this charm.
        mismatch = named and name in self._app.meta.endpoints and named.name != name
        if relation is None or told is None or mismatch:
            raise ToolError(f'invalid value "{text}" for option -r: relation not found', rc=2)
        return relation, told

    # Relations.

    def relation_ids(self, argv: list[str], _: str) -> str:
        """Return the relations of an endpoint, without those that are broken."""
        flags = parse(argv)
        name = flags.words[0] if flags.words else ""
        if not name and self.hook.relation_id is not None:
            name = self.model.relations[self.hook.relation_id].ends[self._app.name].name
        broken = self.hook.relation_id if self.hook.kind == "relation-broken" else None
        ids = [
            f"{name}:{relation.id}"
            for relation in self.model.relations.values()
            if self._reachable(relation)
            and relation.ends[self._app.name].name == name
            and relation.id != broken
        ]
        return show(ids, flags)

    def relation_list(self, argv: list[str], _: str) -> str:
        """Return the units this unit was told of, or the remote application."""
        flags = parse(argv, "relation", "app")
        relation, told = self._relation(flags)
        if flags.on("app"):
            return show(relation.remote(self._app.name), flags)
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
        relation, told = self._relation(flags)
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
        own = entity in (self.unit.name, self._app.name)
        app = entity.partition("/")[0]
        if app not in relation.ends or (not is_app and entity not in relation.bags):
            raise ToolError("permission denied")
        foreign_reader = is_app and own and not relation.peer
        if foreign_reader and not self.model.is_leader(self.unit):
            raise ToolError("permission denied")
        place = (relation.id, entity)
        live = self.model.bag(relation, entity).data
        if own:
            merged = {**live, **self._bags.get(place, {})}
            return {k: v for k, v in sorted(merged.items()) if v != ""}
        # Members' bags stay as first read until the unit's own hook; all others for this hook.
        cache = self.members if not is_app and entity in told.members else self._apps
        return cache.setdefault(place, dict(sorted(live.items())))

    def relation_set(self, argv: list[str], stdin: str) -> str:
        """Keep values for a databag until the hook ends."""
        flags = parse(argv, "relation file", "app")
        relation, _ = self._relation(flags)
        values: dict[str, str] = {}
        if (file := flags.get("file")) is not None:
            text = stdin if file == "-" else self.path(file).read_text(encoding="utf-8")
            values.update(self._mapping(text))
        values.update(_pairs(flags.words))
        entity = self._app.name if flags.on("app") else self.unit.name
        if flags.on("app") and not self.model.is_leader(self.unit):
            raise ToolError("cannot write relation settings")
        self._bags.setdefault((relation.id, entity), {}).update(values)
        return ""

    @staticmethod
    def _mapping(text: str) -> dict[str, str]:
        # JSON is what ops sends; the YAML parser is far slower.
        try:
            loaded = json.loads(text)
        except ValueError:
            loaded = yaml.safe_load(text)
        if not isinstance(loaded, Mapping):
            raise ToolError("expected a map")
        return {str(key): "" if value is None else str(value) for key, value in loaded.items()}

    def relation_model_get(self, argv: list[str], _: str) -> str:
        """Return the model at the other end, which is always this one."""
        flags = parse(argv, "relation")
        self._relation(flags)
        return show({"uuid": self.model.uuid}, flags)

    def network_get(self, argv: list[str], _: str) -> str:
        """Return the pod's address to bind to and the Service's to be reached at."""
        flags = parse(
            argv, "relation", "bind-address ingress-address egress-subnets primary-address"
        )
        binding = flags.word(0, "no arguments specified")
        meta = self._app.meta
        if binding not in meta.endpoints and binding not in meta.bindings | {"juju-info"}:
            raise ToolError(f'no network config found for binding "{binding}"')
        if flags.get("relation") is not None:
            self._relation(flags)
        address = {"hostname": "", "value": self.unit.address, "cidr": ""}
        found = {
            "bind-addresses": [
                {"mac-address": "", "interface-name": "", "addresses": [address]},
            ],
            "egress-subnets": [f"{self._app.service_ip}/32"],
            "ingress-addresses": [self._app.service_ip],
        }
        if flags.on("bind-address") or flags.on("primary-address"):
            return show(self.unit.address, flags)
        if flags.on("ingress-address"):
            return show(self._app.service_ip, flags)
        if flags.on("egress-subnets"):
            return show(found["egress-subnets"], flags)
        return show(found, flags)

    # The unit and its application.

    def is_leader(self, argv: list[str], _: str) -> str:
        """Return whether this unit is the leader."""
        return show(self.model.is_leader(self.unit), parse(argv))

    def config_get(self, argv: list[str], _: str) -> str:
        """Return the options that are set or have a default, or one of them."""
        flags = parse(argv, "", "all a")
        settings = self._app.settings()
        if flags.words:
            return show(settings.get(flags.words[0]), flags)
        if flags.on("all") or flags.on("a"):
            settings = {**dict.fromkeys(self._app.meta.config), **settings}
        return show(settings, flags)

    def status_set(self, argv: list[str], _: str) -> str:
        """Set the status of the unit, or of the application by its leader, at once."""
        flags = parse(argv, "", "application")
        current = flags.word(0, "invalid args, require <status> [message]")
        if current not in SETTABLE:
            raise ToolError(f'invalid status "{current}", expected one of {list(SETTABLE)}')
        status = Status(current, flags.word(1))
        if flags.on("application"):
            self._need_leader()
            self._app.status = status
        else:
            self.model.set_workload(self.unit, status)
        self.model.show()
        return ""

    def status_get(self, argv: list[str], _: str) -> str:
        """Return the status of the unit, or to the leader that of the application."""
        flags = parse(argv, "", "application include-data")

        def described(status: Status) -> dict[str, Any]:
            found: dict[str, Any] = {"message": status.message, "status": status.current}
            return {**found, "status-data": {}} if flags.on("include-data") else found

        if flags.on("application"):
            self._need_leader()
            units = self._app.units.values()
            found: dict[str, Any] = {
                "application-status": {
                    **described(self.model.app_status(self._app)),
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
            return {"status": status, "since": _utc(unit.workload.since)}

        def living(app: Application) -> dict[str, dict[str, str]]:
            return {u.name: goal(u) for u in app.units.values() if u.life != "dead"}

        relations: dict[str, dict[str, Any]] = {}
        for relation in self.model.relations.values():
            if relation.peer or self._app.name not in relation.ends:
                continue
            remote = self.model.apps[relation.remote(self._app.name)]
            status = self.model.app_status(remote)
            named = relations.setdefault(relation.ends[self._app.name].name, {})
            joined = "joined" if relation.life == "alive" else "dying"
            named[remote.name] = {"status": joined, "since": _utc(status.since)}
            named.update(living(remote))
        return show({"units": living(self._app), "relations": relations}, flags)

    def juju_log(self, argv: list[str], _: str) -> str:
        """Write to the debug log at once."""
        flags = parse(argv, "log-level l", "debug")
        level = (flags.get("log-level") or flags.get("l") or "INFO").upper()
        level = "DEBUG" if flags.on("debug") else level
        prefix = ""
        if self.hook.relation_id is not None and self.hook.relation_id in self.model.relations:
            relation = self.model.relations[self.hook.relation_id]
            prefix = f"{relation.ends[self._app.name].name}:{relation.id}: "
        text = prefix + " ".join(flags.words)
        self.model.write_log(self.unit.tag, level, f"unit.{self.unit.name}.juju-log", text)
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
            return self.resource(name)
        except ModelError as e:
            raise ToolError(f"could not download resource: {e}") from e

    def credential_get(self, argv: list[str], _: str) -> str:
        """Refuse: no application of the lab is trusted with the cloud."""
        parse(argv)
        raise ToolError("cannot access cloud credentials: permission denied")

    def juju_reboot(self, argv: list[str], _: str) -> str:
        """Refuse: a pod is not rebooted by its charm."""
        parse(argv, "", "now")
        if self.action is not None:
            raise ToolError("juju-reboot is not supported when running an action.")
        raise ToolError("juju-reboot is not supported on Kubernetes")

    def leader_get(self, argv: list[str], _: str) -> str:
        """Return the leader's settings of Juju before 4."""
        flags = parse(argv)
        settings = {**self._app.leader_settings, **self._leader_settings}
        settings = {key: value for key, value in settings.items() if value}
        key = flags.word(0) or "-"
        return show(settings if key == "-" else settings.get(key), flags)

    def leader_set(self, argv: list[str], _: str) -> str:
        """Keep the leader's settings until the hook ends."""
        flags = parse(argv)
        if not self.model.is_leader(self.unit):
            raise ToolError("cannot write leadership settings: not the leader")
        self._leader_settings.update(_pairs(flags.words))
        return ""

    # Ports, storage, state.

    def _port(self, argv: list[str], opened: bool) -> str:
        flags = parse(argv, "endpoints")
        text = flags.word(0, "no port or range specified")
        match = PORT.fullmatch(text)
        if match is None:
            raise ToolError(f'expected <port>[/<protocol>] or icmp; got "{text}"', rc=2)
        port = text if text == "icmp" else f"{match[1]}/{match[2] or 'tcp'}"
        if match[1] and not 1 <= int(match[1]) <= 65535:
            raise ToolError(f"port range bounds must be between 1 and 65535, got {match[1]}")
        self._ports[port] = opened
        return ""

    def open_port(self, argv: list[str], _: str) -> str:
        """Keep an opened port until the hook ends."""
        return self._port(argv, True)

    def close_port(self, argv: list[str], _: str) -> str:
        """Keep a closed port until the hook ends."""
        return self._port(argv, False)

    def opened_ports(self, argv: list[str], _: str) -> str:
        """Return the ports that are open, without what this hook asked for."""
        flags = parse(argv, "", "endpoints")
        ports = sorted(self.unit.ports)
        if flags.on("endpoints"):
            return show([f"{port} (*)" for port in ports], flags)
        return show(ports, flags)

    def storage_list(self, argv: list[str], _: str) -> str:
        """Return the storages that are attached, or about to be, in this hook."""
        flags = parse(argv)
        attached = self.unit.told.storages | {self.hook.storage_id}
        name = flags.word(0)
        ids = [
            storage.id
            for storage in self.model.storages.values()
            if storage.id in attached and (not name or storage.name == name)
        ]
        return show(sorted(ids), flags)

    def storage_get(self, argv: list[str], _: str) -> str:
        """Return kind and location of a storage."""
        flags = parse(argv, "storage")
        wanted = flags.get("storage") or self.hook.storage_id
        if not wanted:
            raise ToolError("no storage instance specified", rc=2)
        storage = self.model.storages.get(wanted)
        attached = self.unit.told.storages | {self.hook.storage_id}
        if storage is None or storage.unit != self.unit.name or storage.id not in attached:
            raise ToolError(f'invalid value "{wanted}" for option -s: storage not found', rc=2)
        found = {"kind": "filesystem", "location": storage.location}
        if flags.words:
            if flags.words[0] not in found:
                raise ToolError(f'unknown attribute "{flags.words[0]}"')
            return show(found[flags.words[0]], flags)
        return show(found, flags)

    def storage_add(self, argv: list[str], _: str) -> str:
        """Keep a wish for more storages until the hook ends."""
        flags = parse(argv)
        if not flags.words:
            raise ToolError("storage add requires a storage directive", rc=2)
        for word in flags.words:
            name, _equals, count = word.partition("=")
            if name not in self._app.meta.storage:
                raise ToolError(f'storage "{name}" not found')
            if not (count or "1").isdigit():
                raise ToolError(f'cannot parse count: "{count}"')
            self._storages[name] += int(count or "1")
        return ""

    def _current_state(self) -> dict[str, str]:
        merged = {**self.unit.state, **self._state}
        return {key: value for key, value in merged.items() if value is not None}

    def state_get(self, argv: list[str], _: str) -> str:
        """Return values kept in the controller for this unit."""
        flags = parse(argv, "", "strict")
        state = self._current_state()
        key = flags.word(0) or "-"
        if key == "-":
            return show(state, flags)
        if key not in state and flags.on("strict"):
            raise ToolError(f'"{key}" not found')
        return show(state.get(key, ""), flags)

    def state_set(self, argv: list[str], stdin: str) -> str:
        """Keep values for the controller until the hook ends."""
        flags = parse(argv, "file")
        if (file := flags.get("file")) is not None:
            text = stdin if file == "-" else self.path(file).read_text(encoding="utf-8")
            self._state.update(self._mapping(text))
        self._state.update(_pairs(flags.words))
        return ""

    def state_delete(self, argv: list[str], _: str) -> str:
        """Keep the end of a value until the hook ends."""
        self._state[parse(argv).word(0, "missing key")] = None
        return ""

    # Actions.

    def _need_action(self) -> Action:
        if self.action is None:
            raise ToolError("not running an action")
        return self.action

    def action_get(self, argv: list[str], _: str) -> str:
        """Return the parameters, or one by its dotted name."""
        flags = parse(argv)
        found: Any = self._need_action().params
        for part in flags.word(0).split(".") if flags.words else ():
            found = found.get(part) if isinstance(found, Mapping) else None
        return show(found, flags)

    def action_set(self, argv: list[str], _: str) -> str:
        """Add results, nested by the dots of their keys."""
        action = self._need_action()
        for key, value in _pairs(parse(argv).words).items():
            if not ACTION_KEY.fullmatch(key):
                raise ToolError(
                    f'key "{key}" must start and end with lowercase alphanumeric, '
                    "and contain only lowercase alphanumeric, hyphens and periods"
                )
            *parents, last = key.split(".")
            if key in ACTION_RESERVED:
                raise ToolError(f'cannot set reserved action key "{key}"')
            place = action.results
            for parent in parents:
                inner = place.get(parent)
                if not isinstance(inner, dict):
                    inner = place[parent] = {}
                place = inner
            place[last] = value
        return ""

    def action_log(self, argv: list[str], _: str) -> str:
        """Show a message of progress at once."""
        action = self._need_action()
        action.log.append(" ".join(parse(argv).words))
        self.model.show()
        return ""

    def action_fail(self, argv: list[str], _: str) -> str:
        """Mark the action as failed; it goes on."""
        action = self._need_action()
        action.message = (
            parse(argv).word(0) or "action failed without reason given, check action for errors"
        )
        self.action_failed = True
        return ""

    # Secrets.

    def _content(self, words: Sequence[str]) -> dict[str, str]:
        content: dict[str, str] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise ToolError(f'key value pair "{word}" not valid')
            if key.endswith("#file"):
                key = key.removesuffix("#file")
                value = self.path(value).read_text(encoding="utf-8")
            if not SECRET_KEY.fullmatch(key):
                raise ToolError(f'key "{key}" not valid')
            content[key] = value
        return content

    def _secret_change(self, flags: Flags, words: Sequence[str]) -> SecretChange:
        rotate = flags.get("rotate")
        if rotate is not None and rotate != "never" and rotate not in ROTATION:
            raise ToolError(f'rotate policy "{rotate}" not valid')
        return SecretChange(
            content=self._content(words) or None,
            label=flags.get("label"),
            description=flags.get("description"),
            rotate=rotate,
            expires=_moment(flags.get("expire")),
        )

    def _find(self, text: str | None, label: str | None) -> Secret:
        if text:
            short = text.rpartition("/")[2].removeprefix("secret:")
            return self._added.get(short) or self.model.secret(text)
        known = [*self._added.values(), *self.model.secrets.values()]
        for secret in known:
            if secret.owner in (self.unit.name, self.unit.app) and self._label(secret) == label:
                return secret
        for secret in known:
            if secret.labels.get(self.unit.name) == label:
                return secret
        raise ToolError(f'consumer label "{label}" not found')

    def _label(self, secret: Secret) -> str:
        change = self._changed.get(secret.id)
        return change.label if change and change.label is not None else secret.label

    def _owned(self, text: str | None, label: str | None = None) -> Secret:
        secret = self._find(text, label)
        if not self.model.owns(secret, self.unit):
            raise ToolError(f'secret "{secret.id}" not found')
        return secret

    def secret_add(self, argv: list[str], _: str) -> str:
        """Keep a new secret until the hook ends, and return its id."""
        flags = parse(argv, "label description expire rotate owner file")
        change = self._secret_change(flags, flags.words)
        if not change.content:
            raise ToolError("missing secret value")
        owner = self.unit.name if flags.get("owner") == "unit" else self.unit.app
        if owner == self.unit.app:
            self._need_leader()
        taken = {
            self._label(secret)
            for secret in (*self.model.secrets.values(), *self._added.values())
            if secret.owner == owner
        }
        if change.label and change.label in taken:
            raise ToolError(f'secret with label "{change.label}" already exists')
        secret = Secret(self.model.new_secret_id(), owner, {1: change.content})
        _apply(
            secret,
            SecretChange(None, change.label, change.description, change.rotate, change.expires),
        )
        self._added[secret.id] = secret
        return f"secret:{secret.id}\n"

    def secret_set(self, argv: list[str], _: str) -> str:
        """Keep a change of a secret until the hook ends."""
        flags = parse(argv, "label description expire rotate owner file")
        secret = self._owned(flags.word(0, "missing secret URI"))
        change = self._secret_change(flags, flags.words[1:])
        pending = self._changed.setdefault(secret.id, SecretChange())
        for name, value in vars(change).items():
            if value is not None:
                setattr(pending, name, value)
        return ""

    def secret_get(self, argv: list[str], _: str) -> str:
        """Return the content of the tracked revision, or with refresh or peek of the latest."""
        flags = parse(argv, "label", "refresh peek")
        text, key = flags.word(0) or None, flags.word(1) or None
        label = flags.get("label")
        if text is None and label is None:
            raise ToolError("require either a secret URI or label")
        secret = self._find(text, label)
        if not self.model.may_read(secret, self.unit) and secret.id not in self._added:
            raise ToolError("permission denied")
        if text is not None and label is not None:
            # The label of an application's own secret is the owner's, for all units.
            if secret.owner in (self.unit.name, self.unit.app):
                secret.label = label
            else:
                secret.labels[self.unit.name] = label
        newest = flags.on("refresh") or flags.on("peek")
        pending = self._changed.get(secret.id)
        if secret.id in self._added:
            content = secret.revisions[secret.latest]
            if pending and pending.content is not None:
                content = pending.content
        else:
            tracked = self.model.track(secret, self.unit, flags.on("refresh"))
            content = secret.revisions.get(secret.latest if newest else tracked)
            if newest and pending and pending.content is not None:
                content = pending.content
        if content is None:
            raise ToolError(f'secret revision "{secret.id}" not found')
        if key is not None:
            if key not in content:
                raise ToolError(f'secret key value for "{key}" not found')
            return show(content[key], flags)
        return show(dict(sorted(content.items())), flags)

    def secret_info_get(self, argv: list[str], _: str) -> str:
        """Return to its owner what is known about a secret, without its content."""
        flags = parse(argv, "label")
        if not flags.words and flags.get("label") is None:
            raise ToolError("require either a secret URI or label")
        secret = self._owned(flags.word(0) or None, flags.get("label"))
        pending = self._changed.get(secret.id, SecretChange())
        fresh = pending.content is not None and pending.content != secret.revisions[secret.latest]
        rotation = pending.rotate or secret.rotate
        expiry = pending.expires or secret.expires
        info: dict[str, Any] = {
            "revision": secret.latest + (1 if fresh else 0),
            "label": self._label(secret),
            "owner": "unit" if "/" in secret.owner else "application",
        }
        if description := pending.description or secret.description:
            info["description"] = description
        info["rotation"] = rotation or "never"
        if expiry:
            info["expiry"] = _rfc3339(expiry)
        if secret.rotates:
            info["rotates"] = _rfc3339(secret.rotates)
        access = [
            {
                "target": f"{'unit' if '/' in name else 'application'}-{name.replace('/', '-')}",
                "scope": f"relation-{relation}",
                "role": "view",
            }
            for relation, names in sorted(secret.grants.items())
            for name in sorted(names)
        ]
        if access:
            info["access"] = access
        return show({secret.id: info}, flags)

    def _grant(self, argv: list[str], given: bool) -> str:
        flags = parse(argv, "relation unit app")
        secret = self._owned(flags.word(0, "missing secret URI"))
        if flags.get("relation") is None:
            if given:
                raise ToolError("missing relation id", rc=2)
            name = flags.get("unit") or flags.get("app") or ""
            for relation_id in secret.grants:
                self._grants.append((secret.id, relation_id, name, False))
            return ""
        relation, _ = self._relation(flags)
        name = flags.get("unit") or relation.remote(self._app.name)
        if name.partition("/")[0] != relation.remote(self._app.name):
            raise ToolError(f'"{name}" is not in relation {relation.id}')
        self._grants.append((secret.id, relation.id, name, given))
        return ""

    def secret_grant(self, argv: list[str], _: str) -> str:
        """Keep a grant along a relation until the hook ends."""
        return self._grant(argv, True)

    def secret_revoke(self, argv: list[str], _: str) -> str:
        """Keep the end of a grant until the hook ends."""
        return self._grant(argv, False)

    def secret_remove(self, argv: list[str], _: str) -> str:
        """Keep the removal of a secret or of one revision until the hook ends."""
        flags = parse(argv, "revision")
        secret = self._owned(flags.word(0, "missing secret URI"))
        revision = flags.get("revision")
        if revision is not None and not revision.isdigit():
            raise ToolError(f'invalid value "{revision}" for option --revision', rc=2)
        self._removed.append((secret.id, int(revision) if revision else None))
        return ""

    def secret_ids(self, argv: list[str], _: str) -> str:
        """Return the secrets this unit manages; nothing is null, as in Juju."""
        owned = [s.id for s in self.model.secrets.values() if self.model.owns(s, self.unit)]
        return show(sorted(owned) or None, parse(argv))

    # The end of the hook.

    def commit(self) -> None:
        """Give the model all that the hook asked for, in one step.

        Raises:
            CommitError: if something is refused now, such as a write by a unit that has lost
                the leadership meanwhile; then nothing is kept.
        """
        model, app = self.model, self._app
        with model.lock:
            for_leader = (
                any(entity == app.name for _, entity in self._bags)
                or any(secret.owner == app.name for secret in self._added.values())
                or bool(self._leader_settings)
            )
            touched = {
                *self._changed,
                *(g[0] for g in self._grants),
                *(r[0] for r in self._removed),
            }
            for secret_id in touched:
                secret = self._added.get(secret_id) or model.secrets.get(secret_id)
                for_leader = for_leader or (secret is not None and secret.owner == app.name)
            if for_leader and not model.is_leader(self.unit):
                raise CommitError("this unit is no longer the leader")
            for secret_id, revision in self._removed:
                secret = model.secrets.get(secret_id) or self._added.get(secret_id)
                if secret is None or (revision is not None and revision not in secret.revisions):
                    # Juju finds it only now, in the hook that Juju repeats for ever.
                    raise CommitError(f'secret revision "{secret_id}/{revision}" not found')
            for (relation_id, entity), values in self._bags.items():
                if relation_id in model.relations:
                    model.write_bag(model.relations[relation_id], entity, values)
            self._commit_secrets()
            for port, opened in self._ports.items():
                (self.unit.ports.add if opened else self.unit.ports.discard)(port)
            for key, value in self._state.items():
                if value is None:
                    self.unit.state.pop(key, None)
                else:
                    self.unit.state[key] = value
            for name, count in self._storages.items():
                for _ in range(count):
                    model.add_storage(self.unit, name)
            app.leader_settings.update(self._leader_settings)

    def _commit_secrets(self) -> None:
        model = self.model
        model.secrets.update(self._added)
        for secret_id, change in self._changed.items():
            if secret_id in model.secrets:
                _apply(model.secrets[secret_id], change)
        for secret_id, relation_id, name, given in self._grants:
            if secret_id in model.secrets:
                granted = model.secrets[secret_id].grants.setdefault(relation_id, set())
                (granted.add if given else granted.discard)(name)
        for secret_id, revision in self._removed:
            secret = model.secrets.get(secret_id)
            if secret is None:
                continue
            if revision is not None:
                secret.revisions.pop(revision, None)
            if revision is None or not secret.revisions:
                del model.secrets[secret_id]
        if self._added or self._changed or self._removed or self._grants:
            model.touch()


def _apply(secret: Secret, change: SecretChange) -> None:
    now = datetime.now(timezone.utc)
    if change.label is not None:
        secret.label = change.label
    if change.description is not None:
        secret.description = change.description
    if change.rotate is not None:
        secret.rotate = "" if change.rotate == "never" else change.rotate
        secret.rotates = now + ROTATION[secret.rotate] if secret.rotate else None
    if change.expires is not None:
        secret.expires = change.expires
    if change.content is not None and change.content != secret.revisions[secret.latest]:
        secret.revisions[secret.latest + 1] = change.content


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ToolError(f'expected "key=value", got "{word}"', rc=2)
        pairs[key] = value
    return pairs


def _utc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str | None) -> datetime | None:
    """Return the moment that a duration such as ``1h30m`` or an RFC 3339 time names."""
    if text is None:
        return None
    if DURATION.fullmatch(text):
        sizes = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
        parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s)", text)
        seconds = sum(float(number) * sizes[size] for number, size in parts)
        return datetime.now(timezone.utc) + timedelta(seconds=seconds)
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise ToolError(f'expire time or duration "{text}" not valid') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


TOOLS: Mapping[str, Callable[[HookContext, list[str], str], str]] = {
    name: getattr(HookContext, name.replace("-", "_"))
    for name in (
        "action-fail",
        "action-get",
        "action-log",
        "action-set",
        "application-version-set",
        "close-port",
        "config-get",
        "credential-get",
        "goal-state",
        "is-leader",
        "juju-log",
        "juju-reboot",
        "leader-get",
        "leader-set",
        "network-get",
        "open-port",
        "opened-ports",
        "relation-get",
        "relation-ids",
        "relation-list",
        "relation-model-get",
        "relation-set",
        "resource-get",
        "secret-add",
        "secret-get",
        "secret-grant",
        "secret-ids",
        "secret-info-get",
        "secret-remove",
        "secret-revoke",
        "secret-set",
        "state-delete",
        "state-get",
        "state-set",
        "status-get",
        "status-set",
        "storage-add",
        "storage-get",
        "storage-list",
    )
}
