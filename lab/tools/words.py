"""The words of a hook tool's call, what it prints, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml


class ToolError(Exception):
    """A tool's failure; the text goes to stderr after ``ERROR``, and ``rc`` is its exit code."""

    def __init__(self, text: str, rc: int = 1) -> None:
        super().__init__(text)
        self.rc = rc


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


def pairs(words: Sequence[str]) -> dict[str, str]:
    """Return what words of the form ``key=value`` say."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ToolError(f'expected "key=value", got "{word}"', rc=2)
        found[key] = value
    return found


def mapping(text: str) -> dict[str, str]:
    """Return the values of a file that a tool was given, in JSON or YAML."""
    # JSON is what ops sends; the YAML parser is far slower.
    try:
        loaded = json.loads(text)
    except ValueError:
        loaded = yaml.safe_load(text)
    if not isinstance(loaded, Mapping):
        raise ToolError("expected a map")
    return {str(key): "" if value is None else str(value) for key, value in loaded.items()}
