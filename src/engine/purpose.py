# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Why a hook looks: what only its event knows, as a value."""

from __future__ import annotations

from values import dataclass


@dataclass(frozen=True)
class Routine:
    """Bring what there is nearer to what it should be."""


@dataclass(frozen=True)
class Departure:
    """Juju tells that a unit leaves, or has left."""

    host: str | None
    """Of that unit, which may be this one; None: Juju does not say who."""


@dataclass(frozen=True)
class Stop:
    """The stop hook: of a pod that ends, or the last one of a unit that is removed."""


@dataclass(frozen=True)
class Switchover:
    """The operator's order to move the primary role."""

    target: str | None
    """The host that is to be primary; None: whichever replica is fit."""


Purpose = Routine | Departure | Stop | Switchover
