# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Which module of src may import which, and how long a module, a class and a function may be.

An import inside a function counts; one for types alone (``if TYPE_CHECKING``) does only where it
says so. What a hook at rest loads is measured in ``test_events.py`` and ``test_pulse.py``.
"""

from __future__ import annotations

import ast
import enum
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

import capabilities
from engine.capability import found

SRC = Path(capabilities.__file__).parent
PATHS = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SRC.rglob("*.py"))
}
MODULES = {name: path for name, path in PATHS.items() if path.name != "__init__.py"}
ROOMS = {name for name in PATHS if name not in MODULES} - {"engine", "model", "nodes", "pod"}
"""Packages of capabilities."""


class Kind(enum.Enum):
    """What a module is for."""

    WORDS = "names, numbers, texts, errors, and what makes a value"
    WAKING = "whether a hook has anything to do; before ops is imported"
    VALUES = "what is seen, and what can be done"
    LIST = "the capabilities, by name"
    DECISION = "values in, values out; no clock, no network, no file"
    ADAPTER = "speaks to the nodes, to Pebble, to Juju; decides nothing"
    HAND = "a capability's own look and apply, with its own adapters"
    LOOP = "one hook: looks, asks the plan, acts"
    WIRING = "events and actions"


MAY_IMPORT = {
    Kind.WORDS: {Kind.WORDS},
    Kind.WAKING: {Kind.WORDS, Kind.WAKING},
    Kind.VALUES: {Kind.WORDS, Kind.VALUES},
    Kind.LIST: {Kind.WORDS, Kind.VALUES},
    Kind.DECISION: {Kind.WORDS, Kind.VALUES, Kind.LIST, Kind.DECISION},
    Kind.ADAPTER: {Kind.WORDS, Kind.VALUES, Kind.ADAPTER},
    Kind.HAND: {Kind.WORDS, Kind.VALUES, Kind.DECISION, Kind.ADAPTER, Kind.HAND},
    Kind.LOOP: {*Kind} - {Kind.WIRING, Kind.HAND},
    Kind.WIRING: {*Kind},
}
KINDS = {
    Kind.WORDS: {"constants", "texts", "errors", "values", "clients.keys", "tenants.keys"},
    Kind.WAKING: {"main", "events", "foreign", "lean", "pebbles", "pulse", "seen"},
    Kind.VALUES: {
        "engine.capability",
        "engine.purpose",
        "engine.steps",
        "engine.world",
        "cluster.steps",
        "nodes.access",
        "passwords.users",
        "passwords.secret",
        "service.view",
        "clients.view",
        "tenants.view",
        "tls.view",
    },
    Kind.LIST: {"capabilities"},
    Kind.DECISION: {
        "engine.plan",
        "engine.status",
        "engine.turns",
        "clients.plan",
        "clients.rights",
        "clients.status",
        "tls.status",
        "cluster.facts",
        "cluster.forgetting",
        "cluster.handover",
        "cluster.leader",
        "cluster.leaving",
        "cluster.lost",
        "cluster.own",
        "cluster.revival",
        "cluster.settings",
        "cluster.start",
        "passwords.rotation",
        "tls.plan",
        "service.labels",
        "tenants.asked",
        "tenants.plan",
        "tenants.rights",
        "tenants.status",
    },
    Kind.ADAPTER: {name for name in MODULES if name.partition(".")[0] in ("nodes", "pod", "model")}
    - {"nodes.access"},
    Kind.HAND: {
        "clients.apply",
        "clients.databags",
        "clients.look",
        "cluster.apply",
        "cluster.command",
        "passwords.apply",
        "passwords.logins",
        "passwords.look",
        "service.kube",
        "service.look",
        "service.room",
        "tenants.apply",
        "tenants.databags",
        "tenants.look",
        "tls.apply",
        "tls.certificates",
        "tls.look",
        "tls.material",
        "tls.transport",
    },
    Kind.LOOP: {"engine.hands", "engine.hook", "engine.look"},
    Kind.WIRING: {"charm", "actions"},
}
KIND = {name: kind for kind, names in KINDS.items() for name in names}

OUTSIDE = {
    "ops": {Kind.WIRING, Kind.LOOP},
    "redis": set(),
    "jinja2": set(),
    "cryptography": set(),
    "charmlibs": set(),
    "dpcharmlibs": set(),
}
"""Who may import a package that the charm carries; all others are exceptions below."""

SHUT: dict[Kind, set[str]] = {
    Kind.DECISION: {"logging", "os", "pathlib", "random", "socket", "subprocess", "time"},
    Kind.VALUES: {"logging", "os", "pathlib", "socket", "subprocess", "time"},
}
"""What no decision has to do with, in the standard library."""

EXCEPTIONS = {
    ("main", "ops"): "the end of the way that a hook goes when it has something to do",
    ("main", "charm"): "the same",
    ("main", "model.hooktools"): "says in Juju's log why a hook ended",
    ("engine.status", "ops"): "its classes of statuses",
    (
        "tls.status",
        "time",
    ): "the day on which a certificate ends is told; no plan follows from it",
    ("clients.databags", "ops"): "databags and secrets of relations are read and written by ops",
    ("model.granted", "ops"): "Juju is spoken to by ops",
    ("model.hooktools", "ops"): "the same",
    ("model.look", "ops"): "the same",
    ("model.peers", "ops"): "the same",
    ("pod.workload", "ops"): "Pebble is spoken to by ops",
    ("tenants.databags", "dpcharmlibs"): "the models by which the other side reads the answers",
    ("tls.certificates", "ops"): "the secret with the key",
    ("tls.certificates", "charmlibs"): "the relation with who signs",
    ("tls.material", "cryptography"): "whether a key and its certificate fit",
    ("nodes.redis_client", "redis"): "Redis is spoken to by redis-py",
    ("nodes.sentinel", "redis"): "so is Sentinel",
    ("passwords.logins", "redis"): "a login that is refused is an answer here",
    ("pod.render", "jinja2"): "the templates",
    ("pod.render", "cluster.settings"): "a file says what the decisions settle for the same world",
    ("pod.render", "tls.plan"): "the same",
    (
        "pod.workload",
        "pebbles",
    ): "one way to ask which start of Pebble this is, before ops and after",
    ("nodes.look", "pulse"): "the note of what the nodes said is made of a look's own questions",
}
"""(who, what): why a rule of kinds does not hold."""

NEIGHBOURS = {
    ("clients.view", "passwords.users"): "a client has a user, which is a row like any other",
    ("clients.plan", "passwords.users"): "the same",
    ("clients.plan", "passwords.rotation"): "that row comes to the nodes as passwords do",
    ("clients.plan", "service.labels"): "where clients are led is where the Service leads",
    ("clients.plan", "tls.plan"): "clients are told what Redis serves, and whom to trust",
    ("clients.status", "passwords.rotation"): "who has not taken a new password yet",
    ("tenants.view", "passwords.users"): "a request has a user, which is a row like any other",
    ("tenants.plan", "passwords.users"): "the same",
    ("tenants.look", "passwords.users"): "the same",
    ("tenants.databags", "passwords.users"): "the same",
    ("tenants.plan", "passwords.rotation"): "that row comes to the nodes as passwords do",
    (
        "tenants.plan",
        "clients.plan",
    ): "one name leads both; one change of the secret in a hook",
    ("tenants.rights", "clients.rights"): "with its own keys it may do what a client may with all",
    ("tenants.plan", "service.labels"): "where they are led is where the Service leads",
    ("tenants.plan", "tls.plan"): "they are told what Redis serves, and whom to trust",
    ("tenants.apply", "tls.plan"): "the same",
    ("cluster.start", "passwords.rotation"): "the first record needs passwords: one hook has both",
    ("cluster.start", "tls.plan"): "no process starts that would speak plain text by mistake",
}
"""(who, what) between rooms of capabilities: why."""

MOST_LINES = {"module": 450, "class": 300, "function": 60, "charm": 150}


@dataclass
class Imports:
    """What a module imports, by name."""

    at_run: set[str] = field(default_factory=set)
    for_types: set[str] = field(default_factory=set)


@cache
def _nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def imports(name: str) -> Imports:
    nodes, seen = _nodes(MODULES[name]), Imports()
    types = {
        id(inner)
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in nodes:
        (seen.for_types if id(node) in types else seen.at_run).update(_named(node))
    return seen


def _named(node: ast.AST) -> Iterator[str]:
    """Yield the modules of src that a statement imports, and packages that are not of src."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "a module is named in full"
        whole = node.module or ""
        names = [
            f"{whole}.{a.name}" if f"{whole}.{a.name}" in PATHS else whole for a in node.names
        ]
    else:
        return
    yield from (name if name in PATHS else name.partition(".")[0] for name in names)


def breaches(name: str) -> Iterator[tuple[str, str]]:
    """Yield what a module imports against the rules of kinds, exceptions or not."""
    kind, seen = KIND[name], imports(name)
    decides = kind is Kind.DECISION
    for other in seen.at_run | (seen.for_types if decides else set()):
        if other in OUTSIDE:
            fits = kind in OUTSIDE[other]
        elif other in PATHS:
            fits = KIND[other] in MAY_IMPORT[kind]
        else:
            assert other in sys.stdlib_module_names, f"{name}: what is {other}?"
            fits = other not in SHUT.get(kind, ())
        if not fits:
            yield name, other


def neighbours(name: str) -> Iterator[tuple[str, str]]:
    """Yield what a module of a capability imports of another capability."""
    room = name.partition(".")[0]
    for other in imports(name).at_run if room in ROOMS else ():
        if other.partition(".")[0] in ROOMS - {room}:
            yield name, other


def test_every_module_is_of_one_kind():
    assert sorted(name for names in KINDS.values() for name in names) == sorted(MODULES)


def test_packages_themselves_import_nothing():
    empty = [path for name, path in PATHS.items() if name not in MODULES]
    assert [p for p in empty if any(list(_named(n)) for n in _nodes(p))] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_what_its_kind_may(name: str):
    assert sorted(set(breaches(name)) - EXCEPTIONS.keys()) == []


@pytest.mark.parametrize("name", [name for name in MODULES if name.partition(".")[0] in ROOMS])
def test_a_room_does_not_reach_into_another(name: str):
    assert sorted(set(neighbours(name)) - NEIGHBOURS.keys()) == []


def test_no_exception_is_left_over():
    assert {pair for name in MODULES for pair in breaches(name)} >= EXCEPTIONS.keys()
    assert {pair for name in MODULES for pair in neighbours(name)} >= NEIGHBOURS.keys()


def test_only_the_ends_know_every_room():
    """What is neither of a room nor of the list knows no hand of one; the engine goes by names."""
    own = {name for name in MODULES if KIND[name] is Kind.HAND}
    others = {name for name in MODULES if name.partition(".")[0] not in ROOMS}
    assert {(n, o) for n in others for o in imports(n).at_run & own} == set()


def test_what_the_list_names_is_there_and_of_the_right_kind():
    decisions, hands = set(), set()
    for each in capabilities.CAPABILITIES:
        decisions |= {each.rests, each.urgent, *(n for ns in each.steps.values() for n in ns)}
        texts = {text for text in vars(each).values() if isinstance(text, str)}
        hands |= texts - {each.name, each.rests, each.urgent}
        assert {KIND[module] for module in each.apply} == {Kind.HAND}
    for names, kind in ((decisions - {""}, Kind.DECISION), (hands - {""}, Kind.HAND)):
        assert all(callable(found(name)) for name in names)
        assert {KIND[name.partition(":")[0]] for name in names} == {kind}
    assert {each.name for each in capabilities.CAPABILITIES} <= ROOMS


def test_the_tests_have_the_folders_of_src():
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/test_*.py")}
    assert folders <= PATHS.keys() - MODULES.keys()


def _lines(node: ast.ClassDef | ast.FunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("name", MODULES)
def test_no_module_class_or_function_is_too_long_to_read(name: str):
    assert len(MODULES[name].read_text().splitlines()) <= MOST_LINES["module"]
    nodes = _nodes(MODULES[name])
    most = MOST_LINES["charm" if name == "charm" else "class"]
    classes = {n.name: _lines(n) for n in nodes if isinstance(n, ast.ClassDef)}
    functions = {n.name: _lines(n) for n in nodes if isinstance(n, ast.FunctionDef)}
    assert {n: lines for n, lines in classes.items() if lines > most} == {}
    assert {n: lines for n, lines in functions.items() if lines > MOST_LINES["function"]} == {}
