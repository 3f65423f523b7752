# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What this unit sees of TLS: its certificate, what every unit says, what its nodes serve."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.world import World
from errors import AdapterError
from nodes.access import operator
from tls import plan
from tls.view import TlsRecord, TlsView

if TYPE_CHECKING:
    import ops
    from charmlibs.interfaces.tls_certificates import TLSCertificatesRequiresV4

    from engine.hook import Hook
    from model.peers import Peers
    from tls import certificates

logger = logging.getLogger(__name__)


@dataclass
class Note:
    """What a hook remembers of TLS."""

    library: TLSCertificatesRequiresV4 | None = None
    """Its side of the relation certificates; None where that has no part."""
    waits: bool | None = None
    """When the hook began, this unit's record said that its Sentinel waits to restart."""
    found: certificates.Found | None = None
    """The certificate, once it was looked for."""


def join(charm: ops.CharmBase, hook: Hook) -> None:
    """Have the library of the relation certificates observe its events."""
    from tls import certificates

    extra = [each.strip() for each in str(hook.config["certificate-extra-sans"]).split(",")]
    namespace = hook.host.split(".", 1)[1]
    service = f"{hook.model.app.name}.{namespace.split('.', 1)[1]}"
    names = (hook.host, namespace, service, *(each for each in extra if each))
    on = charm.on
    hook.note(Note).library = certificates.requirer(
        charm, names, [on.config_changed, on.upgrade_charm, on.update_status]
    )


def look(hook: Hook, peers: Peers, world: World) -> World:
    """Add the certificate to serve, and how far every unit is; nothing before the passwords."""
    if world.credentials is None:
        return world
    records = {hook.hosts.of(unit): record for unit, record in peers.tls_records().items()}
    note = hook.note(Note)
    if note.waits is None:
        note.waits = records.get(world.host, TlsRecord()).restart
    view = TlsView(
        wanted=world.config.tls,
        active=True,
        records=records,
        turn=peers.turn,
        waits=note.waits,
    )
    world = replace(world, tls=view)
    if plan.needs_certificate(world):
        if note.found is None:
            note.found = _find(hook, records.get(world.host, TlsRecord()))
        found = note.found
        view = replace(view, material=found.material, kept=found.kept)
        if view.wanted:
            awaited = found.material is None and not found.problem
            view = replace(view, problem=found.problem or None, awaited=awaited)
        world = replace(world, tls=view)
    return replace(world, transport=plan.transport(world))


def _find(hook: Hook, known: TlsRecord) -> certificates.Found:
    """Return this unit's certificate, and what is wrong; neither: it has been asked for."""
    from tls import certificates

    library = hook.note(Note).library
    if library is None:
        return certificates.attached(hook.model, known)
    try:
        return certificates.Found(certificates.issued(library, known))
    except certificates.WaitingForIssueError:
        return certificates.Found(None)
    except certificates.NoMaterialError as e:
        return certificates.Found(None, str(e))


def ask(hook: Hook, world: World) -> World:
    """Add what the nodes of this unit serve."""
    from tls import transport

    redis_serves = sentinel_serves = None
    try:
        if world.own_redis is not None:
            redis_serves = transport.read(world.host, operator(world))
        if world.own_sentinel is not None:
            sentinel_serves = hook.sentinel.sentinel_serves()
    except AdapterError as e:
        logger.info("%s", e)
    view = replace(world.tls, redis=redis_serves, sentinel=sentinel_serves)
    world = replace(world, tls=view)
    return replace(world, transport=plan.transport(world))
