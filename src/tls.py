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
from collections.abc import Iterator
from dataclasses import dataclass

import constants as c
from world import Material, TlsRecord, World

PLAIN = "plain"
TLS = "tls"
WARN_BEFORE_S = 7 * 24 * 3600


@dataclass(frozen=True)
class KeepMaterial:
    """Keep this unit's certificate of files, for a pod that will find no usable ones."""

    material: Material


@dataclass(frozen=True)
class SwitchRedis:
    """Have the Redis of this unit serve something else from the next connection on."""

    serve: str


@dataclass(frozen=True)
class RestartSentinel:
    """Restart the Sentinel of this unit, so that it serves something else."""

    serve: str


@dataclass(frozen=True)
class CutOldConnections:
    """End the connections that this unit's Redis took before it went to TLS, or back."""


@dataclass(frozen=True)
class PublishTls:
    """Tell the other units how far this one is."""

    record: TlsRecord


@dataclass(frozen=True)
class GiveTurn:
    """Name the unit whose Sentinel may restart; an empty host takes the turn back."""

    host: str


Step = KeepMaterial | SwitchRedis | RestartSentinel | CutOldConnections | PublishTls | GiveTurn


def digest(*texts: str) -> str:
    """Return a short name for texts, which changes when they do."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def mode(served: str | None) -> str | None:
    """Return ``plain`` or ``tls`` for what a node serves; None: not known."""
    if not served:
        return None
    return PLAIN if served == PLAIN else TLS


def cert_dir(served: str) -> str:
    """Return the directory of the certificate and the key that a node serves."""
    return f"{c.TLS_DIR}/{served.split('/')[0]}"


def ca_path(served: str) -> str:
    """Return the file with the authorities that a node trusts."""
    return f"{c.TLS_DIR}/ca-{served.split('/')[1]}.pem"


def served_by_paths(tls_port: str, cert_file: str, ca_file: str) -> str:
    """Return what a node serves, from its settings."""
    if tls_port == "0":
        return PLAIN
    cert = cert_file.removeprefix(f"{c.TLS_DIR}/").removesuffix("/cert.pem")
    ca = ca_file.removeprefix(f"{c.TLS_DIR}/ca-").removesuffix(".pem")
    return f"{cert}/{ca}"


def redis_settings(served: str) -> dict[str, str]:
    """Return the settings by which a Redis serves this, in an order that works.

    Args:
        served: as in ``TlsRecord.redis``.
    """
    if mode(served) == PLAIN:
        return {"tls-replication": "no", "tls-port": "0", "port": str(c.REDIS_PORT)}
    return {
        "tls-cert-file": f"{cert_dir(served)}/cert.pem",
        "tls-key-file": f"{cert_dir(served)}/key.pem",
        "tls-ca-cert-file": ca_path(served),
        # Who may come in is decided by passwords; clients need no certificate of their own.
        "tls-auth-clients": "no",
        "tls-replication": "yes",
        "port": "0",
        "tls-port": str(c.REDIS_PORT),
    }


def wants(world: World) -> str:
    """Return what the operator wants."""
    return TLS if world.tls.wanted else PLAIN


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


def redis_serves(world: World) -> str:
    """Return what the Redis of this unit is to serve now."""
    now = world.tls.redis
    running = c.REDIS in world.redis_container.running
    if not running or now is None:
        return _at_start(world, "redis")
    wanted = wants(world)
    if mode(now) == wanted:
        return _kept_up(world, now)
    return _fresh(world, wanted) if _all_want(world, wanted) and _trusted(world) else now


def sentinel_serves(world: World) -> str:
    """Return what the Sentinel of this unit is to serve, once it is its turn."""
    now = world.tls.sentinel
    running = c.SENTINEL in world.sentinel_container.running
    wanted = wants(world)
    gone = _all_want(world, wanted) and all(
        (record := _record(world, host)) and mode(record.redis) == wanted for host in world.planned
    )
    if not running or now is None:
        possible = wanted == PLAIN or world.tls.material is not None
        return _fresh(world, wanted) if gone and possible else _at_start(world, "sentinel")
    if mode(now) == wanted:
        return _kept_up(world, now)
    return _fresh(world, wanted) if gone else now


def is_changing(world: World) -> bool:
    """Whether nodes may speak either TLS or plain text now, so that each has to be tried."""
    wanted = wants(world)
    return world.tls.active and not all(
        (record := _record(world, host))
        and mode(record.redis) == mode(record.sentinel) == record.wants == wanted
        for host in {*world.planned, *world.leaving}
    )


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
    if redis is not None and redis != wanted_redis:
        yield SwitchRedis(wanted_redis)
    restart = sentinel is not None and sentinel != wanted_sentinel
    # While the record that counts says so, the leader gives the turn to nobody else.
    if restart and world.tls.waits and world.tls.turn == world.host:
        yield RestartSentinel(wanted_sentinel)
    old = _record(world, world.host) or TlsRecord()
    wanted = wants(world)
    through = all(
        (record := _record(world, host))
        and mode(record.redis) == mode(record.sentinel) == record.wants == wanted
        for host in world.planned
    )
    connections = old.connections or PLAIN
    if through and redis is not None and connections != wanted:
        yield CutOldConnections()
        connections = wanted
    trusts = old.trusts
    loaded = digest(bundle(world))
    if all(
        mode(served) != TLS or str(served).endswith(f"/{loaded}") for served in (redis, sentinel)
    ):
        trusts = tuple(digest(each) for each in authorities(world))
    able = (
        wanted == PLAIN or world.tls.material is not None or TLS in (mode(redis), mode(old.redis))
    )
    record = TlsRecord(
        wants=wanted if able else PLAIN,
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
        and TLS in (mode(record.redis), mode(record.sentinel))
        and 0 < record.expires < now_s + WARN_BEFORE_S
    )


def _record(world: World, host: str) -> TlsRecord | None:
    return world.tls.records.get(host)


def _own_authorities(world: World) -> tuple[str, ...]:
    """Those of the certificate this unit wants to serve, and of the one that it still serves."""
    old = _record(world, world.host) or TlsRecord()
    material = world.tls.material
    served = {mode(each) for each in (world.tls.redis, world.tls.sentinel)}
    # Before its nodes are asked, what it said last counts.
    served |= {mode(each) for each in (old.redis, old.sentinel) if None in served}
    if material is None:
        return old.authorities if TLS in served or TLS == wants(world) else ()
    certs = {
        str(node).split("/")[0]
        for node in (world.tls.redis or old.redis, world.tls.sentinel or old.sentinel)
        if mode(node) == TLS
    }
    if certs <= {material.name}:
        return (material.ca,)
    return tuple(sorted({material.ca, *old.authorities}))


def _all_want(world: World, wanted: str) -> bool:
    return all((r := _record(world, h)) and r.wants == wanted for h in world.planned)


def _trusted(world: World) -> bool:
    """Whether every unit trusts the authority of the certificate that this one wants to serve."""
    if not world.tls.wanted:
        return True
    material = world.tls.material
    return material is not None and all(
        (r := _record(world, h)) and digest(material.ca) in r.trusts for h in world.planned
    )


def _fresh(world: World, wanted: str) -> str:
    material = world.tls.material
    if wanted == PLAIN or material is None:
        return PLAIN
    return f"{material.name}/{digest(bundle(world))}"


def _kept_up(world: World, now: str) -> str:
    """Return what a node serves that stays in its mode: a renewed certificate, once trusted."""
    if mode(now) == PLAIN:
        return PLAIN
    material = world.tls.material
    cert = material.name if material and _trusted(world) else now.split("/")[0]
    authorities_now = digest(bundle(world)) if bundle(world) else now.split("/")[1]
    return f"{cert}/{authorities_now}"


def needs_certificate(world: World) -> bool:
    """Whether this unit has to know its certificate: to go to TLS, or to start in it once more."""
    return wants(world) == TLS or TLS in (
        _mode_at_start(world, c.REDIS),
        _mode_at_start(world, c.SENTINEL),
    )


def _mode_at_start(world: World, node: str) -> str:
    """Return the mode of the others of its kind, as far as it is known; else what is wanted."""
    own = _record(world, world.host)
    primary = _record(world, world.recorded_primary or "")
    modes = [mode(getattr(record, node)) for record in (own, primary) if record]
    return next((each for each in modes if each), wants(world))


def _at_start(world: World, node: str) -> str:
    """Return what a node serves that starts; empty: it cannot yet."""
    if _mode_at_start(world, node) == PLAIN:
        return PLAIN
    if world.tls.material is None:
        # On the way to plain text the certificate may be gone for good. Then it goes ahead: the
        # others come after as soon as this unit says what it wants.
        return PLAIN if wants(world) == PLAIN else ""
    return _fresh(world, TLS)
