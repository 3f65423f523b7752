# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Names and addresses as a real cluster has them, and what they do to the units.

Pods search their node's domain too, where nobody answers; the name server repeats for some
seconds what it said; addresses are used again; the namespace is not named as the model.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from lab import LabError
from tests.lab import listener
from tests.lab.cluster import ROOT, Cluster
from trials.cluster import ClusterError

CACHE_S = 5.0
NAMESPACE = "controller-of-names"
SETTINGS = {
    "namespace": NAMESPACE,
    "node_domain": "node.example",
    "upstream": "silent",
    "dns_cache_s": CACHE_S,
    "reuse_addresses": True,
    "lease_s": 5.0,
}
CLIENTS = "10.1.0.2"
STRANGER = ROOT / "lab/tests/probe-charm"
LATE_S = CACHE_S + 10
"""How late, at most, a line says what holds: the name server's cache, and a few turns."""


def hosts_file(trio: Cluster, unit: str, container: str = "redis") -> dict[str, str]:
    """Return the address by host."""
    done = trio.model.exec(unit, container, ["cat", "/etc/hosts"])
    lines = [line.partition("#")[0].split() for line in done.stdout.splitlines()]
    return {host: words[0] for words in lines for host in words[1:]}


def is_unfit(trio: Cluster, unit: str) -> list[str]:
    """Return why a unit that has started again may not be promoted yet."""
    try:
        said = trio.ask(unit, "redis", "CONFIG GET replica-priority", "INFO replication")
    except (ClusterError, LabError) as e:
        return [f"{unit} does not answer: {e}"]
    is_fit = said[1] == "100" and "master_link_status:up" in said
    return [] if is_fit else [f"{unit} is not in sync"]


def lose_lines(trio: Cluster, unit: str) -> None:
    """Have a unit without a line for the peer that has just gone.

    Kubernetes writes /etc/hosts anew as a container starts, and by then the name server has
    forgotten that peer.
    """
    time.sleep(CACHE_S + 1)
    trio.model.kill_process(unit, "redis", "pebble")


@contextlib.contextmanager
def gone(trio: Cluster, unit: str, hold_s: float) -> Iterator[None]:
    """Have a pod away for a time, which the test has to stay within."""
    begun_s = time.monotonic()
    trio.model.kill_pod(unit, hold_s=hold_s)
    yield
    assert time.monotonic() < begun_s + hold_s, "it was back before the test had ended"
    trio.model.return_pod(unit)


@contextlib.contextmanager
def heard(trio: Cluster, address: str, beside: str | None = None) -> Iterator[list[str]]:
    """Listen at an address of the model; the lines are there in the end."""
    process = trio.model.spawn(
        [sys.executable, listener.__file__, address],
        beside=beside,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        assert process.stdout.readline() == "listening\n"
        yield lines
    finally:
        process.kill()
        lines += process.stdout.read().splitlines()
        process.wait()


def test_the_namespace_need_not_be_named_as_the_model(trio: Cluster):
    for unit in trio.units():
        assert f".{NAMESPACE}.svc." in trio.host(unit)
        assert trio.host(unit) in hosts_file(trio, trio.leader())


def test_whoever_gets_the_address_of_a_dead_peer_gets_no_password(trio: Cluster):
    unit = trio.primary()
    others = [other for other in trio.units() if other != unit]
    host, address = trio.host(unit), trio.units()[unit]["address"]
    trio.model.elect(others[0])
    with gone(trio, unit, hold_s=60):
        time.sleep(LATE_S)
        trio.model.deploy(STRANGER, app="stranger")
        strangers = trio.model.wait(
            lambda status: any(
                each["address"] for each in status["applications"]["stranger"]["units"].values()
            ),
            30,
        )["applications"]["stranger"]["units"]
        (stranger,) = strangers
        assert strangers[stranger]["address"] == address
        with heard(trio, address, beside=stranger) as lines:
            for other in others:
                trio.tick(other)
            time.sleep(10)
        assert lines == []
        for other in others:
            for container in ("charm", "redis", "sentinel"):
                assert hosts_file(trio, other, container)[host].startswith("239.255.")
    trio.model.remove_application("stranger")


def test_a_peer_is_followed_while_another_is_not_there(trio: Cluster):
    primary, (away, moved) = trio.primary(), trio.replicas()
    trio.model.elect(primary)
    with gone(trio, away, hold_s=60):
        before = trio.units()[moved]["address"]
        trio.model.kill_pod(moved)

        def is_late() -> list[str]:
            address = trio.units()[moved]["address"]
            kept = hosts_file(trio, primary).get(trio.host(moved))
            is_right = address not in ("", before) and kept == address
            return [] if is_right else [f"{moved} is at {address}, and {kept} is kept"]

        trio.until(is_late, limit_s=LATE_S + 10)


def test_a_peer_that_is_not_there_stops_no_failover(trio: Cluster):
    """A Sentinel that asks for it below the node's domain waits, and can't watch the primary."""
    old, (away, other) = trio.primary(), trio.replicas()
    trio.model.elect(other)
    with gone(trio, away, hold_s=70):
        lose_lines(trio, other)
        trio.until(lambda: is_unfit(trio, other), hold_s=2)
        trio.until(trio.not_served)
        trio.model.freeze(old, "redis", "redis-server")
        try:
            trio.until(
                lambda: [] if trio.recorded_primary() == other else ["there is no failover"],
                limit_s=20,
            )
        finally:
            trio.model.thaw(old, "redis", "redis-server")


def test_a_wildcard_in_the_nodes_domain_leads_nobody_there(trio: Cluster):
    unit = trio.replicas()[0]
    others = [other for other in trio.units() if other != unit]
    trio.model.elect(others[0])
    trio.model.settings({"upstream": "wildcard"})
    try:
        with heard(trio, CLIENTS) as lines, gone(trio, unit, hold_s=60):
            lose_lines(trio, others[1])
            time.sleep(LATE_S)
            for other in others:
                trio.tick(other)
            kept = [hosts_file(trio, other) for other in others]
        assert lines == []
        assert not any(CLIENTS in addresses.values() for addresses in kept)
    finally:
        trio.model.settings({"upstream": "silent"})
