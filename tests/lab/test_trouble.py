# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the world does to a unit: a status says so, no hook fails, and it ends by itself.

Every test ends in the fixture: all right again by itself, nothing lost, no unit ever in error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.cluster import APP, PORTS, Cluster
from trials.clients import wire

SETTINGS = {"storage_mb": 64, "lease_s": 5.0}
CONFIG = {"down-after": 5000}
"""A Redis that stands still for longer is replaced, and loses what it acknowledges before it
hears of that. No trouble here takes as long, but a busy machine held a process up for 1.3 s."""


@contextmanager
def update_status_comes(trio: Cluster) -> Iterator[None]:
    """Let Juju run update-status; its period is minutes, and a test has seconds."""
    yield
    trio.settle(tick=True)


def test_a_replica_that_no_peer_reaches(trio: Cluster):
    unit = trio.replicas()[0]
    others = [other for other in trio.units() if other != unit]
    trio.model.cut(unit, others=others)
    trio.until(lambda: trio.shows(unit, "waiting", "Waiting for majority"), tick=True)
    assert trio.not_served() == []
    with update_status_comes(trio):
        trio.model.heal(unit)


def test_a_primary_that_nobody_reaches(trio: Cluster):
    old = trio.primary()
    trio.model.elect(trio.replicas()[0])
    trio.model.cut(old)
    trio.until(lambda: [] if trio.recorded_primary() != old else ["the record is old"])
    trio.until(trio.not_served)
    trio.model.heal(old)


def test_a_name_that_does_not_resolve_yet(trio: Cluster):
    """Whatever the units do until the name is there, none of them fails, and all are served."""
    unit, primary = trio.replicas()[0], trio.primary()
    ask = ["getent", "-s", "hosts:dns", "hosts", trio.host(unit)]

    def resolves() -> bool:
        return trio.model.exec(primary, "redis", ask).returncode == 0

    assert resolves()
    trio.model.settings({"dns_appear_s": 10.0})
    try:
        trio.model.kill_pod(unit)
        assert not resolves()
        trio.until(lambda: [] if resolves() else ["the name does not resolve"], tick=True)
        trio.until(trio.not_served)
    finally:
        trio.model.settings({"dns_appear_s": 0.0})


@pytest.mark.long
def test_a_name_that_is_gone(trio: Cluster):
    unit = trio.replicas()[0]
    trio.model.elect(trio.primary())
    trio.model.kill_pod(unit, hold_s=10)
    trio.tick(trio.leader())
    assert trio.not_served() == []


def test_a_name_server_that_does_not_answer_stops_no_failover(trio: Cluster):
    old = trio.primary()
    trio.model.elect(trio.replicas()[0])
    trio.model.settings({"dns_mode": "silent"})
    try:
        for unit in trio.units():
            trio.tick(unit)
        assert trio.not_active(3) == []
        assert trio.not_served() == []
        trio.model.freeze(old, "redis", wire.SERVER)
        trio.until(lambda: [] if trio.recorded_primary() != old else ["the record is old"])
    finally:
        trio.model.settings({"dns_mode": "ok"})
    trio.model.thaw(old, "redis", wire.SERVER)


def test_a_replica_leaves_the_address_that_its_primary_had(trio: Cluster):
    """A connection to an address that nobody has any more lasts as long as repl-timeout."""
    unit = trio.replicas()[0]
    host = trio.host(trio.primary())
    gone = "10.255.255.1"
    rename = f"sed -E 's/^[0-9.]+ ({re.escape(host)} )/{gone} \\1/' /etc/hosts"

    def stuck() -> list[str]:
        done = trio.model.exec(
            unit, "redis", ["sh", "-c", f'text=$({rename}) && echo "$text" >/etc/hosts']
        )
        assert done.returncode == 0, done
        trio.ask(unit, "redis", "CONFIG SET repl-timeout 3600", "CLIENT KILL TYPE master")
        state = trio.ask(unit, "redis", "INFO replication")
        return [] if "master_link_status:down" in state else ["the name was kept too soon"]

    trio.until(stuck)
    trio.until(
        lambda: (
            []
            if "master_link_status:up" in trio.ask(unit, "redis", "INFO replication")
            else ["it waits for the address that is gone"]
        )
    )
    # That is how it was ended; it is as it was a moment later.
    trio.until(
        lambda: (
            []
            if trio.ask(unit, "redis", "CONFIG GET repl-timeout") == ["repl-timeout", "10"]
            else ["repl-timeout stays low"]
        )
    )


@pytest.mark.parametrize("kind", PORTS)
def test_a_wrong_password_for_the_charm_is_mended(trio: Cluster, kind: str):
    unit = trio.replicas()[0]

    def passwords() -> list[str]:
        """The digests are the words that begin with #; the flags beside them may differ."""
        lines = trio.ask(unit, kind, "ACL LIST")
        return [word for line in lines for word in line.split() if word.startswith("#")]

    before = passwords()
    trio.ask(unit, kind, "ACL SETUSER operator resetpass >another-password")
    assert passwords() != before
    trio.tick(unit)
    assert passwords() == before


@pytest.mark.long
@pytest.mark.parametrize("kind", PORTS)
def test_wrong_passwords_that_the_charm_cannot_mend(trio: Cluster, kind: str):
    unit = trio.replicas()[0]
    wrong = "another-password"
    users = ("operator", "default")
    trio.ask(unit, kind, *(f"ACL SETUSER {user} resetpass >{wrong}" for user in users))
    words = f"{kind.capitalize()} refuses the charm: give users default and operator"
    trio.until(lambda: trio.shows(unit, "blocked", words), tick=True)
    assert trio.not_served() == []
    with update_status_comes(trio):
        right = trio.password(kind)
        trio.ask(unit, kind, f"ACL SETUSER default resetpass >{right}", password=wrong)


@pytest.mark.long
def test_a_replica_that_the_primary_refuses(trio: Cluster):
    unit = trio.replicas()[0]
    trio.ask(unit, "redis", "CONFIG SET masterauth another-password", "CLIENT KILL TYPE master")
    trio.until(
        lambda: trio.shows(unit, "waiting", "Waiting for the replica to be in sync"), tick=True
    )
    assert trio.not_served() == []
    # A restart reads the file of the charm again.
    trio.model.kill_process(unit, "redis", wire.SERVER)


@pytest.mark.parametrize("role", ["primary", "replica"])
def test_a_full_disk(trio: Cluster, role: str):
    unit = trio.primary() if role == "primary" else trio.replicas()[0]
    trio.model.fill_disk(unit, "database")
    try:
        trio.until(lambda: trio.shows(unit, "blocked", "The volume is full"), tick=True)
    finally:
        trio.model.free_disk(unit, "database")
    trio.settle(tick=True)


@pytest.mark.long
def test_a_slow_disk(trio: Cluster):
    unit = trio.replicas()[0]
    trio.model.slow_disk(unit, "redis", wire.SERVER, seconds=4, delay_s=0.8)
    assert trio.not_served() == []
    trio.until(lambda: trio.shows(unit, "active", "The volume is slow"), tick=True)


@pytest.mark.long
def test_a_primary_that_gets_no_more_memory(trio: Cluster):
    unit = trio.primary()
    limit = (
        "pid=$(pidof redis-server); "
        "used=$(sed -n 's/^VmSize:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$pid/status); "
        "owner=$(stat -c %u /proc/$pid); group=$(stat -c %g /proc/$pid); "
        "setpriv --reuid $owner --regid $group --clear-groups "
        "prlimit --pid $pid --as=$(((used + 65536) * 1024))"
    )
    done = trio.model.exec(unit, "redis", ["sh", "-c", limit])
    assert done.returncode == 0, done
    trio.ask(unit, "redis", "SETRANGE too-large 400000000 x")
    said = trio.model.exec(unit, "redis", ["/charm/bin/pebble", "logs", "-n", "all", "redis"])
    assert "Out Of Memory allocating" in said.stdout


def test_a_sentinel_that_answers_nothing(trio: Cluster):
    unit = trio.replicas()[0]
    trio.model.freeze(unit, "sentinel", wire.SERVER)
    trio.until(lambda: trio.shows(unit, "waiting", "Waiting for Sentinel to answer"), tick=True)
    assert trio.not_served() == []
    with update_status_comes(trio):
        trio.model.thaw(unit, "sentinel", wire.SERVER)


@pytest.mark.long
def test_a_sentinel_that_answers_nothing_does_not_stop_the_others(trio: Cluster):
    leader = trio.leader()
    unit = next(unit for unit in trio.units() if unit != leader)
    trio.model.freeze(unit, "sentinel", wire.SERVER)
    try:
        for other in trio.units():
            if other != unit:
                trio.ask(other, "sentinel", f"SENTINEL SET {APP} quorum 9")
        trio.tick(leader)
        quorums = {u: v.sentinel and v.sentinel.quorum for u, v in trio.views().items()}
        assert quorums == {u: None if u == unit else 2 for u in trio.units()}
    finally:
        trio.model.thaw(unit, "sentinel", wire.SERVER)
    trio.settle(tick=True)


@pytest.mark.long
def test_a_redis_that_answers_nothing(trio: Cluster):
    unit = trio.replicas()[0]
    trio.model.freeze(unit, "redis", wire.SERVER)
    trio.until(lambda: trio.shows(unit, "waiting", "Waiting for Redis..."), tick=True)
    assert trio.not_served() == []
    with update_status_comes(trio):
        trio.model.thaw(unit, "redis", wire.SERVER)
