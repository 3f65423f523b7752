# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The whole charm on the image that it names, which brings services of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from lab import LabError, Model, sandbox
from tests.lab.cluster import APP, PORTS, ROOT

UNITS = 3
LIMIT_S = 120.0
EVERY_S = 0.05
ASKER = r"""
import json, selectors, socket, sys, time
places, every_s = json.loads(sys.stdin.readline())
ended = selectors.DefaultSelector()
ended.register(sys.stdin, selectors.EVENT_READ)
rounds, answers = 0, {}
def ask(host, port):
    try:
        with socket.create_connection((host, port), 1) as client:
            client.settimeout(1)
            client.sendall(b"PING\r\n")
            return client.recv(64).decode(errors="replace").split(" ")[0].strip()
    except OSError:
        return ""
while not ended.select(every_s):
    rounds += 1
    for host, port in places:
        if said := ask(host, port):
            seen = answers.setdefault(f"{host}:{port} {said}", 0)
            answers[f"{host}:{port} {said}"] = seen + 1
print(json.dumps([rounds, answers]))
"""
"""Asks each place without a password, again and again, until its standard input ends."""


class Askers:
    """Those who ask all the time, from outside and from within each pod."""

    def __init__(self, model: Model):
        self._model = model
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, places: Sequence[tuple[str, int]], **where: Any) -> None:
        process = self._model.spawn(
            [sys.executable, "-c", ASKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **where,
        )
        assert process.stdin
        process.stdin.write(json.dumps([places, EVERY_S]) + "\n")
        process.stdin.flush()
        self._processes[name] = process

    def enter_pods(self) -> None:
        """Have one ask within each pod that is up and has none yet."""
        for unit, shown in self._model.status()["applications"][APP]["units"].items():
            if shown["address"] and unit not in self._processes:
                places = [(host, port) for host in ("127.0.0.1", "::1") for port in PORTS.values()]
                self.start(unit, places, beside=unit)

    def stop(self) -> dict[str, tuple[int, dict[str, int]]]:
        """Return by name how often was asked, and how often each answer came."""
        found = {}
        for name, process in self._processes.items():
            out, _ = process.communicate(timeout=30)
            found[name] = tuple(json.loads(out))
        return found


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model("image")
    yield made
    made.destroy()
    assert sandbox.leftovers(made.dir) == []


def is_active(model: Model) -> bool:
    units = model.status()["applications"][APP]["units"].values()
    return all(unit["workload"]["current"] == "active" for unit in units)


def test_no_port_answers_anybody_without_a_password_at_any_moment(model: Model):
    """The image's own Redis has none: who is in the pod would get in, whatever the charm does."""
    model.start()
    askers = Askers(model)
    names = [f"{APP}-{n}.{APP}-endpoints.{model.name}.svc.cluster.local" for n in range(UNITS)]
    askers.start("outside", [(name, port) for name in names for port in PORTS.values()])
    model.deploy(ROOT, app=APP, units=UNITS, resources={"redis-image": "charmed-redis"})
    deadline_s = time.monotonic() + LIMIT_S
    while not is_active(model) and time.monotonic() < deadline_s:
        askers.enter_pods()
        time.sleep(EVERY_S)
    found = askers.stop()
    assert found.keys() == {"outside", *(f"{APP}/{n}" for n in range(UNITS))}
    answers = {f"{who} {text}" for who, (_, said) in found.items() for text in said}
    assert [text for text in answers if not text.endswith(" -NOAUTH")] == []
    assert is_active(model), model.status()
    for who, (rounds, said) in found.items():
        ports = {int(place.split(" ")[0].rpartition(":")[2]) for place in said}
        assert ports == set(PORTS.values()), f"{who} never saw them answer"
        assert rounds > 20, who


def test_the_services_of_the_image_never_run(model: Model):
    model.deploy(ROOT, app=APP, units=1, resources={"redis-image": "charmed-redis"})
    model.wait(lambda _: is_active(model), LIMIT_S, "an active unit")
    lines: dict[str, list[str]] = {}
    for container in PORTS:
        done = model.exec(f"{APP}/0", container, ["/charm/bin/pebble", "services"])
        lines[container] = [" ".join(line.split()[:3]) for line in done.stdout.splitlines()]
    # Where the charm has no service of that name, the image's own is there, and stands.
    assert {"redis disabled inactive", "redis_exporter disabled inactive"} <= {*lines["sentinel"]}
    assert {"redis enabled active", "redis_exporter enabled active"} <= {*lines["redis"]}
    with pytest.raises(LabError, match="no process"):
        model.pids(f"{APP}/0", "sentinel", "redis-server *:6379")
