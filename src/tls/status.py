# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the statuses say of TLS and its certificates."""

from __future__ import annotations

import time

import texts
from engine.world import World
from tls import plan


def no_certificate(world: World) -> str | None:
    """Return whose certificate is waited for; None: nobody's."""
    return texts.NO_CERTIFICATE.format(unit=world.unit(world.host)) if world.tls.awaited else None


def changes(world: World) -> str | None:
    """Return which units are awaited while TLS is being turned on or off."""
    if not plan.is_changing(world):
        return None
    on_or_off, units = "on" if world.tls.wanted else "off", world.units(plan.changing(world))
    return texts.TLS_CHANGES.format(on_or_off=on_or_off, units=units)


def expires_soon(world: World) -> str | None:
    """Return on which day the certificate of this unit expires, if that is soon."""
    if not plan.expiring(world, time.time()):
        return None
    date = time.strftime("%Y-%m-%d", time.gmtime(plan.expires(world)))
    return texts.EXPIRES_SOON.format(unit=world.unit(world.host), date=date)
