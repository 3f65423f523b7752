# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Images that differ from the one that the charm names: one unit each, from a tree of its own."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lab import Model, images, sandbox
from lab.client import cache
from tests.lab.cluster import APP, LIMIT_S, PORTS, ROOT

UNIT = f"{APP}/0"
LAYER = Path("var/lib/pebble/default/layers/001-charmed-redis.yaml")


class Tree:
    """An image as a directory: that which the charm names, with changes."""

    def __init__(self, path: Path):
        self.path = path
        found = images.image("charmed-redis", cache())
        subprocess.run(["cp", "-a", f"{found.root}/.", path], check=True)

    def drop(self, *names: str) -> None:
        for name in names:
            (self.path / name).unlink()

    def rename_user(self, old: str, new: str) -> None:
        for name in ("passwd", "group"):
            file = self.path / "etc" / name
            file.write_text(file.read_text().replace(f"\n{old}:", f"\n{new}:"))

    def add_services(self, **commands: str) -> None:
        """Add services to the image's layer, which are to start with their container."""
        layer = yaml.safe_load((self.path / LAYER).read_text())
        for name, command in commands.items():
            service = {"override": "replace", "startup": "enabled", "command": command}
            layer["services"][name] = service
        (self.path / LAYER).write_text(yaml.safe_dump(layer))


class Deployed:
    """One unit on an image."""

    def __init__(self, model: Model):
        self.model = model

    def status(self) -> tuple[str, str]:
        status = self.model.status()["applications"][APP]["units"][UNIT]["workload"]
        return status["current"], status["message"]

    def until(self, what: str, condition: Callable[[], bool], tick: bool = False) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if time.monotonic() > deadline:
                said = [line for line in self.model.log() if " DEBUG " not in line]
                raise AssertionError("\n".join([what, str(self.status()), *said[-40:]]))
            if tick:
                self.model.update_status(UNIT)
            time.sleep(0.5)

    def lose_port_to(self, start: str) -> None:
        """Stop Redis and start another in the container sentinel, until that has the port.

        The charm may be quicker, and its own Redis have the port again.
        """
        for _ in range(20):
            self.sh("redis", "/charm/bin/pebble stop redis")
            self.sh("sentinel", start)
            if self.sh("sentinel", "sleep 0.5; redis-cli PING || :") == "PONG\n":
                return
        raise AssertionError(f"the port was never lost to: {start}")

    def until_status(self, current: str, message: str = "", tick: bool = False) -> None:
        def holds() -> bool:
            found = self.status()
            return found[0] == current and message in found[1]

        self.until(f"{current} {message}", holds, tick)

    def sh(self, container: str, script: str) -> str:
        done = self.model.exec(UNIT, container, ["sh", "-c", script])
        assert done.returncode == 0, done
        return done.stdout

    def running(self, container: str) -> set[str]:
        """Return the services that Pebble has running there."""
        lines = self.sh(container, "/charm/bin/pebble services").splitlines()[1:]
        return {line.split()[0] for line in lines if line.split()[2] == "active"}

    def without_password(self, kind: str) -> str:
        """Return what a port answers to whoever has no password."""
        script = f"redis-cli -p {PORTS[kind]} INFO 2>&1 || :"
        return self.sh(kind, script)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "image")


@pytest.fixture
def deploy() -> Iterator[Callable[[Tree], Deployed]]:
    model = Model(f"images-{os.getpid()}")

    def make(tree: Tree) -> Deployed:
        model.deploy(ROOT, app=APP, resources={"redis-image": str(tree.path)})
        return Deployed(model)

    yield make
    model.destroy()
    assert sandbox.leftovers(model.dir) == []


def test_services_of_the_image_never_run_and_none_keeps_a_port(
    tree: Tree, deploy: Callable[[Tree], Deployed]
):
    tree.add_services(
        redis="redis-server",
        redis_exporter="/bin/redis_exporter",
        sentinel="redis-server --port 26379",
        cache="redis-server",
        agent="sleep 100000",
    )
    unit = deploy(tree)
    unit.until_status("active")
    for container, others in (("redis", {"sentinel"}), ("sentinel", {"redis", "redis_exporter"})):
        assert container in unit.running(container)
        assert unit.running(container) & {*others, "cache", "agent"} == set()
        assert "NOAUTH" in unit.without_password(container)

    # One that somebody has started takes the port of a Redis that is down, and gives it back.
    unit.sh("sentinel", "/charm/bin/pebble start agent")
    # The charm may stop it within the second for which Pebble watches a start.
    unit.lose_port_to("/charm/bin/pebble start cache || :")
    # A status from before says active too, so the port is what tells.
    unit.until("Redis has its port", lambda: "NOAUTH" in unit.without_password("redis"), tick=True)
    unit.until_status("active", tick=True)
    assert "redis" in unit.running("redis")
    # What is in nobody's way goes on.
    assert unit.running("sentinel") & {"cache", "agent"} == {"agent"}


def test_a_stranger_on_a_port_is_named_until_he_goes(
    tree: Tree, deploy: Callable[[Tree], Deployed]
):
    unit = deploy(tree)
    unit.until_status("active")
    unit.lose_port_to("redis-server --port 6379 --daemonize yes --pidfile /tmp/stranger")
    unit.until_status("blocked", "Port 6379 is taken by redis-server (process ", tick=True)
    pid = unit.sh("sentinel", "cat /tmp/stranger").strip()
    assert f"(process {pid} in container sentinel)" in unit.status()[1]
    unit.sh("sentinel", f"kill {pid}")
    unit.until_status("active", tick=True)


def test_an_image_without_an_exporter_gives_no_metrics_and_all_else(
    tree: Tree, deploy: Callable[[Tree], Deployed]
):
    tree.drop("usr/bin/redis_exporter")
    unit = deploy(tree)
    unit.until_status("active")
    assert unit.running("redis") == {"redis", "handover", "sync"}


def test_an_image_whose_user_is_another_runs_by_that_user(
    tree: Tree, deploy: Callable[[Tree], Deployed]
):
    tree.rename_user("redis", "valkey")
    unit = deploy(tree)
    unit.until_status("active")
    for container in PORTS:
        plan = yaml.safe_load(unit.sh(container, "/charm/bin/pebble plan"))["services"]
        assert plan[container]["user"] == plan[container]["group"] == "valkey"
        owner = unit.sh(container, "stat -c %U:%G:%a /var/lib/redis/sentinel/sentinel.conf")
        assert owner == "valkey:valkey:600\n"
        owners = unit.sh(container, "stat -c %U:%G /etc/redis-k8s /etc/redis-k8s/cluster.env")
        assert set(owners.split()) == {"root:valkey"}
    number = unit.sh("redis", "id -u valkey").strip()
    for container in PORTS:
        # Some processes end meanwhile.
        about = unit.sh(container, "cat /proc/[0-9]*/status 2>/dev/null || :")
        assert re.findall(r"Name:\tredis-server\n(?:.*\n)*?Uid:\t(\d+)", about) == [number]


def test_an_image_without_a_client_blocks_the_unit_until_another_is_attached(
    tree: Tree, deploy: Callable[[Tree], Deployed]
):
    tree.drop("usr/bin/redis-cli")
    unit = deploy(tree)
    unit.until_status(
        "blocked", "The image of container redis has no redis-cli or valkey-cli: attach another"
    )
    assert unit.running("redis") == unit.running("sentinel") == set()
    unit.model.attach_resource(APP, "redis-image", "charmed-redis")
    unit.until_status("active")
