# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What opens the nodes of an application: a name, a login, and how they are spoken to."""

from __future__ import annotations

import enum
from dataclasses import field
from typing import TYPE_CHECKING

from constants import OPERATOR_USER
from values import dataclass

if TYPE_CHECKING:
    from engine.world import World


class Mode(enum.Enum):
    """How nodes speak."""

    PLAIN = "plain"
    TLS = "tls"
    EITHER = "either"
    """Some so and some so, while they change from one to the other."""


@dataclass(frozen=True)
class Transport:
    """How nodes are spoken to."""

    mode: Mode = Mode.PLAIN
    authorities: str = ""
    """To trust, in PEM format."""
    names_hosts: bool = False
    """The certificates were issued for the units: compare the names in them."""


@dataclass(frozen=True)
class Access:
    """What opens the nodes of one application."""

    master_name: str
    """By which its Sentinels know the primary."""
    password: str = field(repr=False)
    user: str = OPERATOR_USER
    transport: Transport = Transport()


def operator(world: World) -> Access:
    """Return the charm's own access, to the nodes as they speak now."""
    assert world.credentials, "nobody is asked before there are passwords"
    return Access(world.app, world.credentials[OPERATOR_USER], transport=world.transport)
