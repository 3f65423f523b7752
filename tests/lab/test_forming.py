# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""From nothing to a cluster that serves, and nothing secret in sight."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import APP, PORTS, Cluster, cli, holders

MEANT = re.compile(r"\S*action-set( (redis-password|sentinel-password|username)=\S+)+ ")
"""The two results that are passwords; Juju takes the results of actions as arguments only."""


class Arguments:
    """Notes the arguments of every process of the machine for as long as it is entered."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Arguments:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    data = Path("/proc", name, "cmdline").read_bytes()
                    self.seen.add(data.replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    # It has ended between the two.
                    continue


@pytest.fixture(scope="module")
def arguments() -> Iterator[Arguments]:
    """The arguments of all processes while the shared cluster forms and is used."""
    with Arguments() as found:
        yield found


def test_one_unit_is_a_cluster(make_cluster: Callable[..., Cluster]):
    cluster = make_cluster(1)
    cluster.check()
    (view,) = cluster.views().values()
    assert view.redis and view.redis.role == "primary"
    assert view.sentinel and (view.sentinel.quorum, view.sentinel.others) == (1, 0)


def test_three_units_form_by_themselves(arguments: Arguments, trio: Cluster):
    views = trio.views()
    primary = trio.primary()
    host = trio.host(primary)
    assert trio.recorded_primary() == primary == trio.leader()
    for unit, view in views.items():
        assert view.redis and view.sentinel
        if unit != primary:
            assert (view.redis.primary_host, view.redis.link_up) == (host, True)
        assert view.sentinel.primary_host == host
        assert (view.sentinel.quorum, view.sentinel.replicas, view.sentinel.others) == (2, 2, 2)
        assert view.sentinel.checked == "OK"
    assert trio.wrong(3) == []


def test_the_service_has_the_ports(trio: Cluster):
    ports = set(trio.model.status()["applications"][APP]["ports"])
    assert {"6379/tcp", "26379/tcp"} <= ports <= {"6379/tcp", "26379/tcp", "9121/tcp"}
    # Nothing asks for them again.
    since = len(trio.model.hooks())
    unit = trio.leader()
    trio.tick(unit)
    (hook,) = [h for h in trio.model.hooks(since) if (h.unit, h.name) == (unit, "update-status")]
    assert not {"open-port", "opened-ports"} & set(hook.tools)


@pytest.mark.parametrize("kind", PORTS)
def test_nobody_gets_in_without_a_password(trio: Cluster, kind: str):
    for unit in trio.units():
        assert "NOAUTH" in trio.model.exec(unit, kind, cli(kind, "INFO")).stdout


def test_no_secret_is_where_others_look(arguments: Arguments, trio: Cluster):
    model = trio.model
    # With what a failover, a restart and an action leave behind.
    trio.switch_to(trio.replicas()[0])
    trio.settle()
    model.kill_process(trio.primary(), "redis", "redis-server")
    trio.settle()
    secrets = trio.secret_values()
    assert len(secrets) >= 7
    texts = {
        "the databags": json.dumps(model.databags(APP)),
        "the debug log": "\n".join(model.log()),
        "the statuses": json.dumps(model.status()),
        "the arguments": "\n".join(line for line in arguments.seen if not MEANT.fullmatch(line)),
    }
    for unit in trio.units():
        for container in PORTS:
            pebble = "/charm/bin/pebble"
            for words in (["plan"], ["logs", "-n", "all"], ["notices"], ["changes"]):
                done = model.exec(unit, container, [pebble, *words])
                assert done.returncode == 0, done
                texts[f"pebble {words[0]} of {unit} {container}"] = done.stdout
    # What the search relies on: the logs and the arguments have something in them.
    assert "redis-server" in texts["the arguments"]
    assert "guarded start" in texts[f"pebble logs of {trio.primary()} redis"]
    assert holders(secrets, texts) == []


def test_no_other_user_of_a_container_reads_a_secret(trio: Cluster):
    patterns = "\n".join(trio.secret_values())
    search = ["grep", "-rlsFf", "-", "/etc/redis-k8s", "/var", "/tmp", "/run"]
    other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *search]
    for unit in trio.units():
        for container in PORTS:
            found = trio.model.exec(unit, container, search, stdin=patterns).stdout
            assert "/etc/redis-k8s/cluster.env" in found
            assert trio.model.exec(unit, container, other, stdin=patterns).stdout == ""
