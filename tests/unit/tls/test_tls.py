# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""TLS goes on, changes and goes off: whatever the order of hooks, nodes understand each other."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, field

import pytest

import constants as c
from engine.world import ContainerView, World
from nodes.access import Mode
from passwords import users
from passwords.users import Credentials
from tls import plan as tls
from tls.plan import CutOldConnections, GiveTurn, PublishTls, RestartSentinel, SwitchRedis
from tls.view import PLAIN, Material, Serves, TlsRecord, TlsView

HOSTS = ("redis-k8s-0", "redis-k8s-1", "redis-k8s-2")
CREDENTIALS = Credentials({name: f"{name}-pw" for name in users.NAMES})


def material(host: str, ca: str = "ca-1", number: int = 1) -> Material:
    return Material("cert", "key", ca, f"{host}-{number}", 4e9, True)


@dataclass
class Unit:
    redis: Serves = PLAIN
    sentinel: Serves = PLAIN
    issuer: dict[str, str] = field(default_factory=dict)
    """By name of a certificate."""
    bundles: dict[str, frozenset[str]] = field(default_factory=dict)
    """By digest: the authorities in a file."""
    material: Material | None = None
    down: bool = False
    """Its pod is new: nothing runs yet."""


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
            running = frozenset({c.REDIS, c.SENTINEL} if not unit.down else ())
            world = World(
                app="redis-k8s",
                host=host,
                is_leader=host == self.leader,
                planned=HOSTS,
                credentials=CREDENTIALS,
                recorded_primary=HOSTS[0],
                # The files are not brought where nothing may start.
                redis_container=ContainerView(True, not unit.down, running),
                sentinel_container=ContainerView(True, not unit.down, running),
                tls=TlsView(
                    wanted=self.wanted,
                    active=self.wanted or bool(records),
                    records=records,
                    turn=turn or None,
                    waits=waits,
                    redis=None if unit.down else unit.redis,
                    sentinel=None if unit.down else unit.sentinel,
                ),
            )
            if tls.needs_certificate(world):
                view = dataclasses.replace(world.tls, material=unit.material)
                world = dataclasses.replace(world, tls=view)
            if world.tls.material:
                unit.issuer[world.tls.material.name] = world.tls.material.ca
            authorities = tls.authorities(world)
            unit.bundles[tls.digest(tls.bundle(world))] = frozenset(authorities)
            redis, sentinel = tls.redis_serves(world), tls.sentinel_serves(world)
            if unit.down and redis and sentinel:
                unit.redis, unit.sentinel, unit.down = redis, sentinel, False
                self.check()
                taken += 1
                continue
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
                        wanted = Mode.TLS if self.wanted else Mode.PLAIN
                        assert {u.sentinel.mode for u in self.units.values()} == {wanted}
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
        up = [unit for unit in self.units.values() if not unit.down]
        for unit in up:
            for served in (unit.redis, unit.sentinel):
                if served.mode is not Mode.TLS:
                    continue
                trusted = unit.bundles[served.authorities]
                for other in up:
                    for theirs in (other.redis, other.sentinel):
                        if theirs.mode is Mode.TLS:
                            assert other.issuer[theirs.cert] in trusted

    def run(self, order: random.Random) -> None:
        quiet = 0
        for turns in range(600):
            host = order.choice(HOSTS)
            quiet = 0 if self.hook(host) else quiet + 1
            if order.random() < 0.05:
                self.leader = order.choice(HOSTS)
            unit = self.units[order.choice(HOSTS)]
            # One that starts with a certificate of an authority that is new to the others is
            # trusted a moment later.
            known = unit.material and unit.material.name in {unit.redis.cert, unit.sentinel.cert}
            if known and turns < 100 and order.random() < 0.05:
                unit.down, quiet = True, 0
            if quiet > 30:
                return
        raise AssertionError("it does not end")

    def serves(self) -> set[Serves]:
        assert not [host for host, unit in self.units.items() if unit.down]
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
    assert {s.cert for s in app.serves()} == {f"{host}-1" for host in HOSTS}

    # The new certificates come one by one.
    for host in order.sample(HOSTS, 3):
        app.units[host].material = material(host, "ca-2", 2)
        for _ in range(order.randrange(6)):
            app.hook(order.choice(HOSTS))
    app.run(order)
    assert {s.cert for s in app.serves()} == {f"{host}-2" for host in HOSTS}
    # The old authority is trusted by nobody any more.
    assert {s.authorities for s in app.serves()} == {tls.digest("ca-2\n")}

    app.wanted = False
    app.run(order)
    assert app.serves() == {PLAIN}
    assert {record.connections for record in app.records.values()} == {Mode.PLAIN}


def test_one_unit_without_a_certificate_holds_the_others_in_plain_text():
    app = Application(wanted=True)
    for host in HOSTS[:2]:
        app.units[host].material = material(host)
    app.run(random.Random(1))
    assert app.serves() == {PLAIN}
    app.units[HOSTS[2]].material = material(HOSTS[2])
    app.run(random.Random(1))
    assert PLAIN not in app.serves()


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
        assert app.serves() == {PLAIN}


@pytest.mark.parametrize("has_certificate", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_a_pod_made_anew_half_way_to_plain_text_comes_back(seed: int, has_certificate: bool):
    """Also where the authority is gone, and with it the certificate."""
    order = random.Random(seed)
    app = Application(wanted=True)
    for host in HOSTS:
        app.units[host].material = material(host)
    app.run(order)
    app.wanted = False
    for _ in range(order.randrange(12)):
        app.hook(order.choice(HOSTS))
    unit = app.units[order.choice(HOSTS)]
    unit.down = True
    if not has_certificate:
        unit.material = None
    app.run(order)
    assert app.serves() == {PLAIN}


def test_a_certificate_of_files_is_kept_before_anything_else():
    world = World(
        app="redis-k8s",
        host=HOSTS[0],
        planned=HOSTS,
        credentials=CREDENTIALS,
        tls=TlsView(wanted=True, active=True, material=material(HOSTS[0]), kept=False),
    )
    assert next(tls.unit_steps(world)) == tls.KeepMaterial(material(HOSTS[0]))
    kept = dataclasses.replace(world, tls=dataclasses.replace(world.tls, kept=True))
    assert list(tls.unit_steps(kept)) == []
