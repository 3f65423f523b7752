# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Decisions on TLS: which certificate each node serves, whom it trusts, when it changes. Pure.

Every unit publishes a record: what it wants (TLS or plain text), the authorities of its own
certificates, those that its nodes trust already, and what its Redis and its Sentinel serve now.
From these records alone each unit knows when its next move breaks no connection:

- It serves a certificate only when every unit trusts the authority of it.
- Redis goes from plain text to TLS, or back, when every unit wants that. What is connected stays.
- Sentinel follows when every Redis has gone, by a restart, and one unit at a time: the leader
  names the one whose turn it is.
- When every Sentinel has followed, what is left of the old connections is cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import constants as c
from engine.steps import Step
from engine.world import World
from nodes.access import Mode, Transport
from tls.view import PLAIN, Material, Serves, TlsRecord
from values import dataclass

WARN_BEFORE_S = 7 * 24 * 3600


@dataclass(frozen=True)
class KeepMaterial(Step):
    """Keep this unit's certificate of files, for a pod that will find no usable ones."""

    material: Material


@dataclass(frozen=True)
class SwitchRedis(Step):
    """Have the Redis of this unit serve something else from the next connection on."""

    serve: Serves


@dataclass(frozen=True)
class RestartSentinel(Step):
    """Restart the Sentinel of this unit, so that it serves something else."""

    serve: Serves


@dataclass(frozen=True)
class CutOldConnections(Step):
    """End the connections that this unit's Redis took before it went to TLS, or back."""


@dataclass(frozen=True)
class PublishTls(Step):
    """Tell the other units how far this one is."""

    record: TlsRecord


@dataclass(frozen=True)
class GiveTurn(Step):
    """Name the unit whose Sentinel may restart; an empty host takes the turn back."""

    host: str


def digest(*texts: str) -> str:
    """Return a short name for texts, which changes when they do."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def redis_settings(serves: Serves) -> dict[str, str]:
    """Return the settings by which a Redis serves this, in an order that works."""
    if serves.mode is Mode.PLAIN:
        return {"tls-replication": "no", "tls-port": "0", "port": str(c.REDIS_PORT)}
    return {
        "tls-cert-file": f"{serves.cert_dir}/cert.pem",
        "tls-key-file": f"{serves.cert_dir}/key.pem",
        "tls-ca-cert-file": serves.ca_path,
        # Who may come in is decided by passwords; clients need no certificate of their own.
        "tls-auth-clients": "no",
        "tls-replication": "yes",
        "port": "0",
        "tls-port": str(c.REDIS_PORT),
    }


def served_by(settings: Mapping[str, str]) -> Serves:
    """Return what a Redis with these settings serves: the inverse of ``redis_settings``."""
    if settings["tls-port"] == "0":
        return PLAIN
    cert = settings["tls-cert-file"].removeprefix(f"{c.TLS_DIR}/").removesuffix("/cert.pem")
    ca = settings["tls-ca-cert-file"].removeprefix(f"{c.TLS_DIR}/ca-").removesuffix(".pem")
    return Serves(cert, ca)


def wants(world: World) -> Mode:
    """Return what the operator wants."""
    return Mode.TLS if world.tls.wanted else Mode.PLAIN


def authorities(world: World) -> tuple[str, ...]:
    """Return the certificates of all authorities to trust, in a fixed order."""
    found = set(_own_authorities(world))
    for host, record in world.tls.records.items():
        if host in world.planned and host != world.host:
            found |= set(record.authorities)
    return tuple(sorted(found))


def bundle(world: World) -> str:
    """Return the text of the file with all authorities to trust."""
    return "".join(f"{each.strip()}\n" for each in authorities(world))


def authorities_of(world: World, host: str | None) -> str:
    """Return the authorities by which clients know the Redis of a host; empty: it has no TLS."""
    record = world.tls.records.get(host or "")
    serves = None if record is None else record.redis
    return bundle(world) if serves is not None and serves.mode is Mode.TLS else ""


def redis_serves(world: World) -> Serves | None:
    """Return what the Redis of this unit is to serve now; None: it cannot start yet."""
    now = world.tls.redis
    running = c.REDIS in world.redis_container.running
    if not running or now is None:
        return _at_start(world, c.REDIS)
    wanted = wants(world)
    if now.mode is wanted:
        return _kept_up(world, now)
    return _fresh(world, wanted) if _all_want(world, wanted) and _trusted(world) else now


def sentinel_serves(world: World) -> Serves | None:
    """Return what the Sentinel of this unit is to serve, once it is its turn; None as above."""
    now = world.tls.sentinel
    running = c.SENTINEL in world.sentinel_container.running
    wanted = wants(world)
    gone = _all_want(world, wanted) and all(
        (record := _record(world, host)) and _mode(record.redis) is wanted
        for host in world.planned
    )
    if not running or now is None:
        possible = wanted is Mode.PLAIN or world.tls.material is not None
        return _fresh(world, wanted) if gone and possible else _at_start(world, c.SENTINEL)
    if now.mode is wanted:
        return _kept_up(world, now)
    return _fresh(world, wanted) if gone else now


def is_changing(world: World) -> bool:
    """Whether nodes may speak either TLS or plain text now, so that each has to be tried."""
    return world.tls.active and bool(changing(world))


def changing(world: World) -> frozenset[str]:
    """Return the hosts whose nodes do not both serve yet what is wanted, as far as is known."""
    wanted = wants(world)
    return frozenset(
        host
        for host in (*world.planned, *world.leaving)
        if (record := _record(world, host)) is None or not _is_through(record, wanted)
    )


def expires(world: World) -> float:
    """Return when the certificate that this unit serves ends, in seconds since 1970; 0: never."""
    record = _record(world, world.host)
    return record.expires if record else 0.0


def unit_steps(world: World) -> Iterator[Step]:
    """Bring this unit's nodes to what they are to serve, and say how far it is."""
    if not world.tls.active or world.stopping or world.credentials is None:
        return
    if world.tls.material is not None and not world.tls.kept:
        yield KeepMaterial(world.tls.material)
    if not (world.redis_container.current and world.sentinel_container.current):
        # The files come first; a node starts with what they say.
        return
    redis, sentinel = world.tls.redis, world.tls.sentinel
    wanted_redis, wanted_sentinel = redis_serves(world), sentinel_serves(world)
    if redis is not None and wanted_redis is not None and redis != wanted_redis:
        yield SwitchRedis(wanted_redis)
    restart = sentinel is not None and sentinel != wanted_sentinel
    # While the record that counts says so, the leader gives the turn to nobody else.
    if restart and wanted_sentinel and world.tls.waits and world.tls.turn == world.host:
        yield RestartSentinel(wanted_sentinel)
    old = _record(world, world.host) or TlsRecord()
    wanted = wants(world)
    through = changing(world).isdisjoint(world.planned)
    connections = old.connections or Mode.PLAIN
    if through and redis is not None and connections is not wanted:
        yield CutOldConnections()
        connections = wanted
    trusts = old.trusts
    loaded = digest(bundle(world))
    if all(
        each is None or each.mode is Mode.PLAIN or each.authorities == loaded
        for each in (redis, sentinel)
    ):
        trusts = tuple(digest(each) for each in authorities(world))
    serves_tls = Mode.TLS in (_mode(redis), _mode(old.redis))
    able = wanted is Mode.PLAIN or world.tls.material is not None or serves_tls
    record = TlsRecord(
        wants=wanted if able else Mode.PLAIN,
        authorities=_own_authorities(world),
        trusts=trusts,
        redis=redis or old.redis,
        sentinel=sentinel or old.sentinel,
        restart=restart,
        connections=connections,
        expires=world.tls.material.expires if world.tls.material else old.expires,
    )
    if sentinel is None and c.SENTINEL in world.sentinel_container.running:
        # It is coming up: its turn is not over.
        return
    if record != old:
        yield PublishTls(record)


def leader_steps(world: World) -> Iterator[Step]:
    """Give the turn to one unit after the other."""
    if not world.is_leader or not world.tls.active:
        return
    records = {host: _record(world, host) for host in world.planned}
    waiting = [host for host, record in records.items() if record and record.restart]
    turn = world.tls.turn
    if turn in waiting or (turn is None and not waiting):
        return
    if waiting and world.failing_over and not is_changing(world):
        # While nodes change, only going on brings Sentinels and nodes together again.
        return
    yield GiveTurn(waiting[0] if waiting else "")


def expiring(world: World, now_s: float) -> bool:
    """Whether the certificate that this unit serves ends within days."""
    record = _record(world, world.host)
    return (
        world.tls.active
        and record is not None
        and Mode.TLS in (_mode(record.redis), _mode(record.sentinel))
        and 0 < record.expires < now_s + WARN_BEFORE_S
    )


def _record(world: World, host: str) -> TlsRecord | None:
    return world.tls.records.get(host)


def _mode(serves: Serves | None) -> Mode | None:
    """Return how a node is spoken to; None: not known."""
    return serves.mode if serves else None


def _is_through(record: TlsRecord, wanted: Mode) -> bool:
    return _mode(record.redis) is _mode(record.sentinel) is record.wants is wanted


def _own_authorities(world: World) -> tuple[str, ...]:
    """Those of the certificate this unit wants to serve, and of the one that it still serves."""
    old = _record(world, world.host) or TlsRecord()
    material = world.tls.material
    served = {_mode(each) for each in (world.tls.redis, world.tls.sentinel)}
    # Before its nodes are asked, what it said last counts.
    served |= {_mode(each) for each in (old.redis, old.sentinel) if None in served}
    if material is None:
        return old.authorities if Mode.TLS in (*served, wants(world)) else ()
    certs = {
        node.cert
        for node in (world.tls.redis or old.redis, world.tls.sentinel or old.sentinel)
        if node is not None and node.mode is Mode.TLS
    }
    if certs <= {material.name}:
        return (material.ca,)
    return tuple(sorted({material.ca, *old.authorities}))


def _all_want(world: World, wanted: Mode) -> bool:
    return all((r := _record(world, h)) and r.wants is wanted for h in world.planned)


def _trusted(world: World) -> bool:
    """Whether every unit trusts the authority of the certificate that this one wants to serve."""
    if not world.tls.wanted:
        return True
    material = world.tls.material
    return material is not None and all(
        (r := _record(world, h)) and digest(material.ca) in r.trusts for h in world.planned
    )


def _fresh(world: World, wanted: Mode) -> Serves:
    material = world.tls.material
    if wanted is Mode.PLAIN or material is None:
        return PLAIN
    return Serves(material.name, digest(bundle(world)))


def _kept_up(world: World, now: Serves) -> Serves:
    """Return what a node serves that stays in its mode: a renewed certificate, once trusted."""
    if now.mode is Mode.PLAIN:
        return PLAIN
    material = world.tls.material
    return Serves(
        cert=material.name if material and _trusted(world) else now.cert,
        authorities=digest(bundle(world)) if bundle(world) else now.authorities,
    )


def needs_certificate(world: World) -> bool:
    """Whether this unit has to know its certificate: to go to TLS, or to start in it once more."""
    return Mode.TLS in (
        wants(world),
        _mode_at_start(world, c.REDIS),
        _mode_at_start(world, c.SENTINEL),
    )


def _mode_at_start(world: World, node: str) -> Mode:
    """Return the mode of the others of its kind, as far as it is known; else what is wanted."""
    own = _record(world, world.host)
    primary = _record(world, world.recorded_primary or "")
    modes = [_mode(getattr(record, node)) for record in (own, primary) if record]
    return next((each for each in modes if each), wants(world))


def _at_start(world: World, node: str) -> Serves | None:
    """Return what a node serves that starts; None: it cannot yet."""
    if _mode_at_start(world, node) is Mode.PLAIN:
        return PLAIN
    if world.tls.material is None:
        # On the way to plain text the certificate may be gone for good. Then it goes ahead: the
        # others come after as soon as this unit says what it wants.
        return PLAIN if wants(world) is Mode.PLAIN else None
    return _fresh(world, Mode.TLS)


def rests(_: World) -> bool:
    """Never: the others' databags say how far they are."""
    return False


def transport_mode(world: World) -> Mode:
    """Return how the charm and its scripts speak to nodes."""
    return Mode.EITHER if is_changing(world) else wants(world)


def transport(world: World) -> Transport:
    """Return how the charm speaks to the nodes as they are now."""
    material = world.tls.material
    return Transport(
        mode=transport_mode(world),
        authorities=bundle(world),
        names_hosts=material is not None and material.names_hosts,
    )
