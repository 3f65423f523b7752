"""The lab's command line, in Juju's words."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml

from lab.client import LabError, Model
from lab.images import ImageError
from lab.packing import PackingError
from lab.programs import MissingProgram
from lab.sandbox import SandboxError

WATCH_S = 1.0
LOG_POLL_S = 5.0
_REFUSALS = (
    LabError,
    ImageError,
    PackingError,
    MissingProgram,
    SandboxError,
    FileNotFoundError,
)


class Columns(Protocol):
    """More about units in the table of ``status``, from somebody who knows what they run."""

    def of(self, status: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        """Return columns by unit."""
        ...

    def close(self) -> None:
        """End what was started to know them."""
        ...


class NoColumns:
    """Adds nothing."""

    def __init__(self, model: Model) -> None: ...

    def of(self, status: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        """Return nothing."""
        return {}

    def close(self) -> None:
        """Do nothing."""


def main(
    argv: Sequence[str] | None = None,
    program: str = "python -m lab",
    columns: Callable[[Model], Columns] = NoColumns,
) -> int:
    """Run one command and return its exit code; what is refused goes to stderr as one line.

    Args:
        argv: the words after the program's name; those of this process when left out.
        program: its name, for the help.
        columns: makes what adds to the table of ``status``.
    """
    arguments = _parser(program).parse_args(argv, argparse.Namespace(columns=columns))
    model = Model(arguments.model)
    try:
        return arguments.command(model, arguments) or 0
    except _REFUSALS as e:
        print(f"ERROR {e}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not flush it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    default = os.environ.get("LAB_MODEL", "lab")
    parser.add_argument(
        "-m", "--model", default=default, help="the model's name ($LAB_MODEL, or lab)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Any, text: str, *words: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        for word in words:
            sub.add_argument(word)
        return sub

    deploy = add("deploy", _deploy, "deploy a charm, into a new model if need be", "charm_dir")
    deploy.add_argument("app", nargs="?", help="the application's name; the charm's without it")
    deploy.add_argument("-n", "--num-units", type=int, default=1)
    for option, text in (
        ("config", "an option, k=v"),
        ("resource", "name=file, name=image or name=directory, see lab/README.md"),
        ("set", "a setting of the lab, k=v, such as departed=late"),
    ):
        deploy.add_argument(f"--{option}", action="append", default=[], metavar="K=V", help=text)
    deploy.add_argument("--base", help="whose Python the charm runs on, such as ubuntu@24.04")
    deploy.add_argument("--trust", action="store_true", help="see trust")

    status = add("status", _status, "show applications and units")
    status.add_argument("--watch", action="store_true", help="show it again every second")
    status.add_argument("--format", choices=("tabular", "json"), default="tabular")

    for name, command, text in (
        ("add-unit", _add_unit, "add units"),
        ("remove-unit", _remove_unit, "remove units; the settings say which"),
    ):
        sub = add(name, command, text, "app")
        sub.add_argument("-n", "--num-units", type=int, default=1)
    add("remove-application", _remove_application, "remove an application", "app")

    run = add("run", _run, "run an action", "unit", "action")
    run.add_argument("params", nargs="*", metavar="k=v")
    run.add_argument("--wait", type=float, default=60, metavar="SECONDS")

    config = add("config", _config, "show or set options", "app")
    config.add_argument("values", nargs="*", metavar="k=v")
    config.add_argument("--reset", action="append", default=[], metavar="K")

    text = "roll the pods onto another charm revision"
    refresh = add("refresh", _refresh, text, "app", "charm_dir")
    refresh.add_argument("--base", help="a new base; without it the old one stays")
    add("attach-resource", _attach, "give a resource, name=file or name=image", "app", "resource")
    trust = add("trust", _trust, "let an application do what it likes with the cluster", "app")
    trust.add_argument("--remove", action="store_true", help="no longer")
    add("integrate", _integrate, "relate two applications", "first", "second")
    add("remove-relation", _remove_relation, "end a relation", "first", "second")

    log = add("debug-log", _debug_log, "show the log of units and hooks")
    log.add_argument("--replay", action="store_true", help="from the beginning")
    log.add_argument("--no-tail", action="store_true", help="end when all has been shown")
    log.add_argument("-n", "--lines", type=int, default=10, help="how many old lines to show")

    execute = add("exec", _exec, "run a command in a container", "unit", "container")
    execute.add_argument("-i", "--stdin", action="store_true", help="pass on standard input")
    execute.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD")

    kill = add("kill", _kill, "kill a pod, or with --process a process", "unit")
    kill.add_argument("--container", help="where the process is")
    kill.add_argument("--process", metavar="TEXT", help="part of its command line")
    kill.add_argument("--graceful", action="store_true", help="as kubectl delete pod does it")
    kill.add_argument("--hold", type=float, default=0.0, metavar="SECONDS", help="without a pod")

    oom = add("oom", _oom, "kill a container as for too much memory", "unit")
    oom.add_argument("container")

    for name, command, text in (
        ("freeze", _freeze, "stop the processes of a pod, a container, or some"),
        ("thaw", _thaw, "undo freeze"),
    ):
        sub = add(name, command, text, "unit")
        sub.add_argument("--container")
        sub.add_argument("--process", metavar="TEXT")

    cut = add("cut", _cut, "lose all packets of a pod", "unit")
    cut.add_argument("--from", dest="others", action="append", default=[], metavar="UNIT")
    cut.add_argument("--only", choices=("in", "out"), help="one direction")
    add("heal", _heal, "undo cut", "unit")
    add("elect", _elect, "make a unit the leader", "unit")
    add("resolved", _resolved, "retry a failed hook now", "unit")
    add("update-status", _update_status, "run update-status soon", "unit")
    add("fill-disk", _fill_disk, "fill a storage", "unit", "storage")
    add("free-disk", _free_disk, "undo fill-disk", "unit", "storage")
    add("empty-disk", _empty_disk, "delete all that a storage holds", "unit", "storage")
    settings = add("settings", _settings, "change settings of the lab")
    settings.add_argument("values", nargs="+", metavar="k=v")
    add("models", _models, "list the models")
    add("destroy", _destroy, "end a model and remove all of it")
    return parser


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise LabError(f"expected k=v, got {word!r}")
        pairs[key] = value
    return pairs


def _deploy(model: Model, given: argparse.Namespace) -> None:
    model.deploy(
        given.charm_dir,
        app=given.app,
        units=given.num_units,
        config=_pairs(given.config),
        resources=_pairs(given.resource),
        settings=_pairs(given.set),
        base=given.base,
        trust=given.trust,
    )


def _trust(model: Model, given: argparse.Namespace) -> None:
    model.trust(given.app, not given.remove)


def _status(model: Model, given: argparse.Namespace) -> None:
    columns: Columns = given.columns(model)
    try:
        while True:
            status = model.status()
            if given.format == "json":
                text = json.dumps(status, indent=2)
            else:
                text = table(status, columns.of(status))
            if not given.watch:
                print(text)
                return
            # Home, the text with the rest of each line erased, then the rest of the screen.
            screen = text.replace("\n", "\x1b[K\n")
            print(f"\x1b[H{screen}\x1b[K\n\x1b[J", end="", flush=True)
            time.sleep(WATCH_S)
    finally:
        columns.close()


def table(status: Mapping[str, Any], extra: Mapping[str, Mapping[str, str]]) -> str:
    """Return the status as ``juju status`` shows it.

    Args:
        status: as ``Model.status`` returns it.
        extra: more columns, by unit.
    """
    blocks = [[["Model", "Applications"], [status["model"], str(len(status["applications"]))]]]
    apps = [["App", "Version", "Status", "Scale", "Charm", "Message"]]
    names = list(dict.fromkeys(name for columns in extra.values() for name in columns))
    titles = [name.capitalize() for name in names]
    units = [["Unit", "Workload", "Agent", "Address", *titles, "Message"]]
    for app, found in status["applications"].items():
        scale = f"{len(found['units'])}/{found['scale']}"
        scale = str(found["scale"]) if len(found["units"]) == found["scale"] else scale
        message = found["status"]["message"]
        # As Juju does: what one of the units says stands for all.
        version = next((u["version"] for u in found["units"].values() if u["version"]), "")
        status_now = found["status"]["current"]
        apps.append([app, version, status_now, scale, found["charm"], message])
        for name, unit in found["units"].items():
            workload, agent = unit["workload"], unit["agent"]
            shown, message = workload["current"], workload["message"]
            state = agent["current"]
            if state == "error":
                shown, state, message = "error", "idle", agent["message"]
            elif state == "executing":
                message = f"({agent['message'].split()[1]}) {message}".strip()
            elif state == "lost":
                message = agent["message"]
            if unit["life"] != "alive":
                state = unit["life"]
            columns = [extra.get(name, {}).get(column, "-") for column in names]
            label = f"{name}*" if unit["leader"] else name
            units.append([label, shown, state, unit["address"] or "-", *columns, message])
    blocks += [apps, units]
    relations = [r for r in status["relations"] if len(r["endpoints"]) == 2]
    if relations:
        rows = [["Integration", "Interface", "Status"]]
        for relation in relations:
            ends = " ".join(relation["endpoints"])
            shown = "joined" if relation["life"] == "alive" else relation["life"]
            rows.append([ends, relation["interface"], shown])
        blocks.append(rows)
    return "\n\n".join(_aligned(rows) for rows in blocks)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _add_unit(model: Model, given: argparse.Namespace) -> None:
    print(" ".join(model.add_unit(given.app, given.num_units)))


def _remove_unit(model: Model, given: argparse.Namespace) -> None:
    print("removing " + " ".join(model.remove_unit(given.app, given.num_units)))


def _remove_application(model: Model, given: argparse.Namespace) -> None:
    model.remove_application(given.app)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _run(model: Model, given: argparse.Namespace) -> int:
    params = {key: yaml.safe_load(value) for key, value in _pairs(given.params).items()}
    result = model.run(given.unit, given.action, params, timeout_s=given.wait)
    for line in result.log:
        print(line, file=sys.stderr)
    print(yaml.dump(result.results, Dumper=_Dumper, default_flow_style=False), end="")
    if result.status != "completed":
        print(f"ERROR action failed: {result.message}", file=sys.stderr)
        return 1
    return 0


def _config(model: Model, given: argparse.Namespace) -> None:
    values: dict[str, Any] = {**_pairs(given.values), **dict.fromkeys(given.reset)}
    settings = model.config(given.app, values)
    if not values:
        print(yaml.safe_dump(settings, default_flow_style=False), end="")


def _refresh(model: Model, given: argparse.Namespace) -> None:
    model.refresh(given.app, given.charm_dir, given.base)


def _attach(model: Model, given: argparse.Namespace) -> None:
    for name, path in _pairs([given.resource]).items():
        model.attach_resource(given.app, name, path)


def _integrate(model: Model, given: argparse.Namespace) -> None:
    print(model.integrate(given.first, given.second))


def _remove_relation(model: Model, given: argparse.Namespace) -> None:
    model.remove_relation(given.first, given.second)


def _debug_log(model: Model, given: argparse.Namespace) -> None:
    lines, end = model.follow_log(0, 0.0)
    shown = lines if given.replay else lines[max(0, len(lines) - given.lines) :]
    while True:
        for line in shown:
            print(line)
        sys.stdout.flush()
        if given.no_tail:
            return
        shown, end = model.follow_log(end, LOG_POLL_S)


def _exec(model: Model, given: argparse.Namespace) -> int:
    words = given.words[1:] if given.words[:1] == ["--"] else given.words
    if not words:
        raise LabError("exec needs a command")
    stdin = sys.stdin.read() if given.stdin else None
    done = model.exec(given.unit, given.container, words, stdin=stdin)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _kill(model: Model, given: argparse.Namespace) -> None:
    if given.process:
        if not given.container:
            raise LabError("kill --process needs --container")
        print(model.kill_process(given.unit, given.container, given.process))
    else:
        model.kill_pod(given.unit, graceful=given.graceful, hold_s=given.hold)


def _oom(model: Model, given: argparse.Namespace) -> None:
    model.oom(given.unit, given.container)


def _freeze(model: Model, given: argparse.Namespace) -> None:
    model.freeze(given.unit, given.container, given.process)


def _thaw(model: Model, given: argparse.Namespace) -> None:
    model.thaw(given.unit, given.container, given.process)


def _cut(model: Model, given: argparse.Namespace) -> None:
    model.cut(given.unit, given.others, given.only)


def _heal(model: Model, given: argparse.Namespace) -> None:
    model.heal(given.unit)


def _resolved(model: Model, given: argparse.Namespace) -> None:
    model.resolved(given.unit)


def _elect(model: Model, given: argparse.Namespace) -> None:
    model.elect(given.unit)


def _update_status(model: Model, given: argparse.Namespace) -> None:
    model.update_status(given.unit)


def _fill_disk(model: Model, given: argparse.Namespace) -> None:
    print(f"{model.fill_disk(given.unit, given.storage)} bytes")


def _empty_disk(model: Model, given: argparse.Namespace) -> None:
    model.empty_disk(given.unit, given.storage)


def _free_disk(model: Model, given: argparse.Namespace) -> None:
    model.free_disk(given.unit, given.storage)


def _settings(model: Model, given: argparse.Namespace) -> None:
    model.settings(_pairs(given.values))


def _models(model: Model, given: argparse.Namespace) -> None:
    for name in Model.list():
        print(name)


def _destroy(model: Model, given: argparse.Namespace) -> None:
    if not Path(model.dir).exists():
        print(f"there is no model {model.name}")
    model.destroy()
