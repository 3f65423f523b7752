# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a hook that only tells the time hears, of real nodes and a real Pebble."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import constants as c
import pebbles
import pulse
from tests.functional.container import DEBIAN, Container, container
from tests.functional.real import APP, CREDENTIALS, RealCluster, patiently

SETTINGS = ("min-replicas-to-write", "min-replicas-max-lag", "replica-priority")
SLEEPER = """\
services:
  sleeper:
    override: replace
    command: sleep 1000
    startup: enabled
"""


@pytest.fixture(scope="module")
def pebble() -> Iterator[Container]:
    """Return a container with a service that runs."""
    with container(DEBIAN, "redis") as there:
        there.ops.add_layer("sleeper", SLEEPER, combine=True)
        there.ops.replan()
        yield there


@pytest.fixture
def listen(
    real: RealCluster, pebble: Container, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[], dict[str, object] | None]:
    """Return what listens to all nodes of the cluster."""
    monkeypatch.setattr(pebbles, "PEBBLE_SOCKET", str(pebble.path("/charm/socket")))
    nodes = [(kind, host) for kind in (c.REDIS, c.SENTINEL) for host in real.hosts]
    question = pulse.Question(APP, nodes, SETTINGS, str(tmp_path))
    return lambda: pulse.listen(question, CREDENTIALS["operator"])


def test_at_rest_it_hears_the_same_while_clients_write(real: RealCluster, listen):
    heard = listen()
    assert heard is not None
    assert set(heard) == {f"{k} {h}" for k in (c.REDIS, c.SENTINEL) for h in real.hosts} | {
        c.REDIS,
        c.SENTINEL,
    }
    with real.writer() as writer:
        for _ in range(5):
            writer.go_on()
            # A busy machine is heard as well: a Sentinel waits a second for an answer.
            patiently(lambda: listen() == heard, "the same is heard")


def test_it_hears_that_a_replica_is_gone(real: RealCluster, listen):
    heard = listen()
    real.kill(real.replicas[0], "redis")
    assert listen() is None
    real.settle()
    again = listen()
    assert again is not None
    assert again != heard, "the process is another one"


def test_it_hears_that_a_node_gives_no_answer(real: RealCluster, listen):
    replica = real.replicas[0]
    real.freeze(replica)
    try:
        began_s = time.monotonic()
        assert listen() is None
        assert time.monotonic() - began_s < 10 * c.ANSWER_BUDGET_S
    finally:
        real.thaw(replica)


def test_it_hears_that_the_primary_has_moved(real: RealCluster, listen):
    heard = listen()
    before = real.primary
    real.sentinel(before).force_failover()
    patiently(lambda: before not in real.named and len(real.named) == 1, "another primary")
    patiently(lambda: listen() is not None, "all nodes answer")
    assert listen() != heard


@pytest.mark.parametrize(
    "change",
    [
        lambda real: real.redis(real.primary).set({"min-replicas-to-write": "0"}),
        lambda real: real.redis(real.replicas[0]).set({"replica-priority": "7"}),
        lambda real: real.redis(real.replicas[0]).set({"appendonly": "no"}),
        lambda real: real.sentinel(real.hosts[1]).set_option("quorum", "3"),
        lambda real: real.sentinel(real.hosts[1]).set_option("down-after-milliseconds", "4321"),
        lambda real: real.sentinel(real.hosts[1]).set_option("info-period", "4321"),
    ],
    ids=["write guard", "priority", "append-only file", "quorum", "down-after", "info-period"],
)
def test_it_hears_what_somebody_has_set(real: RealCluster, listen, change):
    heard = listen()
    change(real)
    try:
        assert listen() not in (heard, None)
    finally:
        for host in real.hosts:
            real.redis(host).set({"appendonly": "yes", "min-replicas-to-write": "1"})
            real.sentinel(host).set_option("down-after-milliseconds", "2000")
            real.quicken(real.nodes[host])


def test_it_hears_a_claim_on_a_handover(real: RealCluster, listen):
    heard = listen()
    with real.redis(real.primary).claim():
        assert listen() not in (heard, None)


def test_it_hears_that_a_service_has_stopped(pebble: Container, listen):
    heard = listen()
    pebble.ops.stop("sleeper")
    try:
        assert listen() not in (heard, None)
    finally:
        pebble.ops.start("sleeper")


def test_each_start_of_pebble_has_a_name_of_its_own(pebble: Container, monkeypatch):
    monkeypatch.setattr(pebbles, "PEBBLE_SOCKET", str(pebble.path("/charm/socket")))
    boot = pebbles.boot_id(c.REDIS)
    assert boot and pebbles.boot_id(c.REDIS) == boot
    with container(DEBIAN, "other") as another:
        monkeypatch.setattr(pebbles, "PEBBLE_SOCKET", str(another.path("/charm/socket")))
        assert pebbles.boot_id(c.REDIS) not in ("", boot)


def test_another_password_is_no_answer(real: RealCluster, pebble: Container, monkeypatch):
    monkeypatch.setattr(pebbles, "PEBBLE_SOCKET", str(pebble.path("/charm/socket")))
    question = pulse.Question(APP, [(c.REDIS, real.hosts[0])], SETTINGS, "/")
    assert pulse.listen(question, "another") is None


def test_a_volume_without_room_is_no_answer(listen, monkeypatch):
    monkeypatch.setattr(pulse, "MIN_FREE_BYTES", 1 << 62)
    assert listen() is None


def test_a_volume_that_is_gone_is_no_answer(listen, tmp_path: Path):
    with contextlib.suppress(OSError):
        tmp_path.rmdir()
    assert listen() is None
