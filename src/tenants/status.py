# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the application's status says of those that ask for users."""

from __future__ import annotations

import texts
from engine.world import World


def refused(world: World) -> str | None:
    """Return who asks for what it does not get, and why; None: nobody does."""
    if not world.tenants.related:
        return None
    from tenants import plan

    for app, why in plan.problems(world):
        return texts.BAD_REQUEST.format(app=app, why=why)
    return None
