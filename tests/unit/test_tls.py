# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""TLS goes on, changes and goes off: whatever the order of hooks, nodes understand each other."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

import constants as c
import tls
from tls import CutOldConnections, GiveTurn, PublishTls, RestartSentinel, SwitchRedis
from world import ContainerView, Credentials, Material, TlsRecord, TlsView, World

HOSTS = ("redis-k8s-0", "redis-k8s-1", "redis-k8s-2")
CREDENTIALS = Credentials("a", "b", "c", "d", "e", "f", "g")


def material(host: str, ca: str = "ca-1", number: int = 1) -> Material:
    return Material("cert", "key", ca, f"{host}-{number}", 4e9, True)


@dataclass
class Unit:
    redis: str = tls.PLAIN
    sentinel: str = tls.PLAIN
    issuer: dict[str, str] = field(default_factory=dict)
    """By name of a certificate."""
    bundles: dict[str, frozenset[str]] = field(default_factory=dict)
    """By digest: the authorities in a file."""
    material: Material | None = None


@dataclass
class Application:
    wanted: bool = False
    units: dict[str, Unit] = field(default_factory=lambda: {host: Unit() for host in HOSTS})
    records: dict[str, TlsRecord] = field(default_factory=dict)
    turn: str = ""
    leader: str = HOSTS[0]

    def hook(self, host: str) -> int:
        unit, taken = self.units[host], 0
        mine, turn = self.records.get(host), self.turn
        waits = mine is not None and mine.restart
        steps: list[tls.Step] = []
        for _ in range(20):
            records = {**self.records, **({host: mine} if mine else {})}
            world = World(
                app="redis-k8s",
                host=host,
                is_leader=host == self.leader,
                planned=HOSTS,
                credentials=CREDENTIALS,
                recorded_primary=HOSTS[0],
                redis_container=ContainerView(True, True, frozenset({c.REDIS})),
                sentinel_container=ContainerView(True, True, frozenset({c.SENTINEL})),
                tls=TlsView(
                    wanted=self.wanted,
                    active=self.wanted or bool(records),
                    material=unit.material if self.wanted else None,
                    records=records,
                    turn=turn or None,
                    waits=waits,
                    redis=unit.redis,
                    sentinel=unit.sentinel,
                ),
            )
            if world.tls.material:
                unit.issuer[world.tls.material.name] = world.tls.material.ca
            authorities = tls.authorities(world)
            unit.bundles[tls.digest(tls.bundle(world))] = frozenset(authorities)
            steps = [*tls.unit_steps(world), *tls.leader_steps(world)]
            if not steps:
                break
            for step in steps:
                taken += 1
                match step:
                    case SwitchRedis(serve):
                        unit.redis = serve
                    case RestartSentinel(serve):
                        assert turn == host
                        unit.sentinel = serve
                    case PublishTls(record):
                        mine = record
                    case GiveTurn(to):
                        turn = to
                    case CutOldConnections():
                        wanted = tls.TLS if self.wanted else tls.PLAIN
                        assert {tls.mode(u.sentinel) for u in self.units.values()} == {wanted}
                    case _:
                        raise AssertionError(step)
                self.check()
        else:
            raise AssertionError(f"the hook does not end: {steps}")
        if mine:
            self.records[host] = mine
        self.turn = turn
        return taken

    def check(self) -> None:
        """Whoever speaks TLS trusts the certificate of everyone who does."""
        for unit in self.units.values():
            for served in (unit.redis, unit.sentinel):
                if tls.mode(served) != tls.TLS:
                    continue
                trusted = unit.bundles[served.split("/")[1]]
                for other in self.units.values():
                    for theirs in (other.redis, other.sentinel):
                        if tls.mode(theirs) == tls.TLS:
                            assert other.issuer[theirs.split("/")[0]] in trusted

    def run(self, order: random.Random) -> None:
        quiet = 0
        for _ in range(600):
            host = order.choice(HOSTS)
            quiet = 0 if self.hook(host) else quiet + 1
            if order.random() < 0.05:
                self.leader = order.choice(HOSTS)
            if quiet > 30:
                return
        raise AssertionError("it does not end")

    def serves(self) -> set[str]:
        return {served for u in self.units.values() for served in (u.redis, u.sentinel)}


@pytest.mark.parametrize("seed", range(40))
def test_on_change_of_authority_and_off_in_any_order(seed: int):
    order = random.Random(seed)
    app = Application()
    app.run(order)
    assert app.records == {}

    app.wanted = True
    for host, unit in app.units.items():
        unit.material = material(host)
    app.run(order)
    assert {s.split("/")[0] for s in app.serves()} == {f"{host}-1" for host in HOSTS}

    # The new certificates come one by one.
    for host in order.sample(HOSTS, 3):
        app.units[host].material = material(host, "ca-2", 2)
        for _ in range(order.randrange(6)):
            app.hook(order.choice(HOSTS))
    app.run(order)
    assert {s.split("/")[0] for s in app.serves()} == {f"{host}-2" for host in HOSTS}
    # The old authority is trusted by nobody any more.
    assert {s.split("/")[1] for s in app.serves()} == {tls.digest("ca-2\n")}

    app.wanted = False
    app.run(order)
    assert app.serves() == {tls.PLAIN}
    assert {record.connections for record in app.records.values()} == {tls.PLAIN}


def test_one_unit_without_a_certificate_holds_the_others_in_plain_text():
    app = Application(wanted=True)
    for host in HOSTS[:2]:
        app.units[host].material = material(host)
    app.run(random.Random(1))
    assert app.serves() == {tls.PLAIN}
    app.units[HOSTS[2]].material = material(HOSTS[2])
    app.run(random.Random(1))
    assert tls.PLAIN not in app.serves()


def test_a_certificate_that_turns_bad_leaves_what_runs():
    app = Application(wanted=True)
    for host in HOSTS:
        app.units[host].material = material(host)
    app.run(random.Random(1))
    before = app.serves()
    app.units[HOSTS[1]].material = None
    app.run(random.Random(1))
    assert app.serves() == before


def test_turning_back_half_way_ends_in_plain_text():
    for seed in range(20):
        order = random.Random(seed)
        app = Application(wanted=True)
        for host in HOSTS:
            app.units[host].material = material(host)
        for _ in range(order.randrange(25)):
            app.hook(order.choice(HOSTS))
        app.wanted = False
        app.run(order)
        assert app.serves() == {tls.PLAIN}
