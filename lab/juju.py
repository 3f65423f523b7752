"""The programs ``juju`` and ``kubectl``, as far as tests of a deployment call them, on the lab.

``python -m lab.juju WORDS`` takes the words of ``juju`` as the package jubilant gives them, and
``python -m lab.juju kubectl WORDS`` those by which a pod is deleted. A model is started beforehand
(``Model.start``), and who wants to reach its pods runs inside it (``Model.spawn``).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lab import images
from lab.client import LabError, Model
from lab.packing import PackingError

DEAD_AFTER_S = 60.0


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code; what is refused goes to stderr, as in Juju."""
    given = _parser().parse_args(argv)
    command: Callable[[Model, argparse.Namespace], int | None] = given.command
    try:
        return command(Model(given.model.rpartition(":")[2]), given) or 0
    except (LabError, PackingError, images.ImageError, OSError) as e:
        print(f"ERROR {e}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="juju", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def add(name: str, command: Any, *words: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name)
        sub.set_defaults(command=command)
        sub.add_argument("-n" if name == "kubectl" else "--model", dest="model", required=True)
        for word in words:
            sub.add_argument(word)
        return sub

    deploy = add("deploy", _deploy, "charm", "app")
    deploy.add_argument("--num-units", type=int, default=1)
    refresh = add("refresh", _refresh, "app")
    refresh.add_argument("--path", required=True)
    for sub in (deploy, refresh):
        sub.add_argument("--resource", action="append", default=[])
        sub.add_argument("--base")
    add("attach-resource", _attach, "app", "resource")
    add("scale-application", _scale, "app").add_argument("scale", type=int)
    add("config", _config, "app").add_argument("values", nargs="*")
    add("status", _status).add_argument("--format", choices=["json"], required=True)
    run = add("run", _run, "unit", "action")
    run.add_argument("--format", choices=["json"], required=True)
    run.add_argument("--params")
    add("kubectl", _delete_pod, "verb", "kind", "pod")
    return parser


def _pairs(words: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _deploy(model: Model, given: argparse.Namespace) -> None:
    named = _pairs(given.resource)
    resources = {name: images.standing_for(value) or value for name, value in named.items()}
    model.deploy(given.charm, given.app, given.num_units, resources=resources, base=given.base)


def _refresh(model: Model, given: argparse.Namespace) -> None:
    # A name of an image that stays as it is changes nothing; nothing else is refreshed here.
    model.refresh(given.app, given.path, given.base)


def _attach(model: Model, given: argparse.Namespace) -> None:
    for name, path in _pairs([given.resource]).items():
        model.attach_resource(given.app, name, path)


def _scale(model: Model, given: argparse.Namespace) -> None:
    missing = given.scale - model.status()["applications"][given.app]["scale"]
    if missing > 0:
        model.add_unit(given.app, missing)
    elif missing < 0:
        model.remove_unit(given.app, -missing)


def _config(model: Model, given: argparse.Namespace) -> None:
    model.config(given.app, _pairs(given.values))


def _run(model: Model, given: argparse.Namespace) -> int:
    params = yaml.safe_load(Path(given.params).read_text()) if given.params else {}
    done = model.run(given.unit, given.action, params)
    task = {"id": "1", "status": done.status, "results": done.results, "message": done.message}
    print(json.dumps({given.unit: {**task, "log": done.log}}))
    if done.status == "completed":
        return 0
    print("ERROR the following task failed:\n - id 1", file=sys.stderr)
    return 1


def _status(model: Model, given: argparse.Namespace) -> None:
    found = model.status()
    about = {"name": found["model"], "type": "caas", "controller": "lab", "cloud": "lab"}
    apps = {name: _application(app) for name, app in found["applications"].items()}
    print(json.dumps({"model": {**about, "version": ""}, "machines": {}, "applications": apps}))


def _application(app: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "charm": app["charm"],
        "charm-name": app["charm"],
        "charm-origin": "local",
        "charm-rev": 0,
        "exposed": False,
        "scale": app["scale"],
        "application-status": app["status"],
        "units": {name: _unit(unit, app["ports"]) for name, unit in app["units"].items()},
    }


def _unit(unit: Mapping[str, Any], ports: Sequence[str]) -> dict[str, Any]:
    workload = unit["workload"]
    if unit["agent"]["current"] == "error":
        # Juju shows it in the place of what the charm has set.
        workload = unit["agent"]
    return {
        "workload-status": workload,
        "juju-status": unit["agent"],
        "leader": unit["leader"],
        "address": unit["address"],
        "open-ports": list(ports),
    }


def _delete_pod(model: Model, given: argparse.Namespace) -> None:
    if (given.verb, given.kind) != ("delete", "pod"):
        raise LabError(f"there is no kubectl {given.verb} {given.kind} here")
    app, _, number = given.pod.rpartition("-")
    unit = f"{app}/{number}"
    before = model.status()["applications"][app]["units"][unit]["address"]
    model.kill_pod(unit, graceful=True)

    def gone(status: Mapping[str, Any]) -> bool:
        return status["applications"][app]["units"][unit]["address"] != before

    model.wait(gone, DEAD_AFTER_S, f"the end of the pod {given.pod}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
