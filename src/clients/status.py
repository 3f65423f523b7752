# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the application's status says of its clients."""

from __future__ import annotations

import texts
from clients import plan
from engine.world import World
from passwords import rotation


def refused(world: World) -> str | None:
    """Return who cannot log in, and what to do; None: all who are related can."""
    apps = ", ".join(plan.refused(world))
    if not apps:
        return None
    return (texts.OLD_LIBRARY_TLS if world.config.tls else texts.OLD_LIBRARY).format(apps=apps)


def rotating(world: World) -> str | None:
    """Return whose new password is waited for, if for nothing else."""
    users = rotation.awaited_guests(world)
    if not (users and rotation.is_settled(world)):
        return None
    apps = sorted(
        [
            *(each.app for each in world.clients.related or () if each.user in users),
            *(each.app for each in world.tenants.related or () if each.has_any(users)),
        ]
    )
    return texts.ROTATING_CLIENT.format(apps=", ".join(apps or users))


def is_open(world: World) -> str | None:
    """Return for whom Redis is open to everybody; None: it is not."""
    apps = ", ".join(plan.let_in(world))
    return texts.OPEN.format(apps=apps) if apps else None
