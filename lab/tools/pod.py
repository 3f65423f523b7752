"""Hook tools about ports, storages and the unit's stored state."""

from __future__ import annotations

import re
from collections import Counter

from lab.tools.scope import Family, Scope
from lab.tools.words import ToolError, mapping, pairs, parse, show

PORT = re.compile(r"(\d+)(?:/(tcp|udp))?|icmp")
STORAGE_HELP = """\
Usage: storage-get [options] [<key>]

Summary:
Print information for the storage instance with the specified ID.

Options:
--format  (= smart)
    Specify output format (json|smart|yaml)
-o, --output (= "")
    Specify an output file
-s  (= {storage})
    specify a storage instance by id
"""
"""Old releases of ops learn from it which storage an event is about."""


class PodTools(Family):
    """Ports, storages, and state that outlives the pod; what is asked for waits for the commit."""

    NAMES = (
        "close-port",
        "open-port",
        "opened-ports",
        "state-delete",
        "state-get",
        "state-set",
        "storage-add",
        "storage-get",
        "storage-list",
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._ports: dict[str, bool] = {}
        self._state: dict[str, str | None] = {}
        self._storages: Counter[str] = Counter()

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
        if "--help" in argv:
            return STORAGE_HELP.format(storage=self.hook.storage_id)
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
            if name not in self.app.meta.storage:
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
            text = stdin if file == "-" else self.scope.path(file).read_text(encoding="utf-8")
            self._state.update(mapping(text))
        self._state.update(pairs(flags.words))
        return ""

    def state_delete(self, argv: list[str], _: str) -> str:
        """Keep the end of a value until the hook ends."""
        self._state[parse(argv).word(0, "missing key")] = None
        return ""

    def commit(self) -> None:
        """Open and close ports, write the state, add storages."""
        for port, opened in self._ports.items():
            (self.unit.ports.add if opened else self.unit.ports.discard)(port)
        for key, value in self._state.items():
            if value is None:
                self.unit.state.pop(key, None)
            else:
                self.unit.state[key] = value
        for name, count in self._storages.items():
            for _ in range(count):
                self.model.add_storage(self.unit, name)
