# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What one unit sees of TLS: its certificate, what each node serves, how far every unit is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field

from constants import TLS_DIR
from nodes.access import Mode
from values import dataclass

_WIRE = re.compile(r"plain|([0-9a-z]+)/([0-9a-z]+)")


@dataclass(frozen=True)
class Serves:
    """What a node serves: plain text, or TLS with a certificate."""

    cert: str = ""
    """The name of the certificate (``Material.name``); empty: plain text."""
    authorities: str = ""
    """The name of those that it trusts itself."""

    @property
    def mode(self) -> Mode:
        """How it is spoken to."""
        return Mode.TLS if self.cert else Mode.PLAIN

    @property
    def cert_dir(self) -> str:
        """The directory of the certificate and its key."""
        return f"{TLS_DIR}/{self.cert}"

    @property
    def ca_path(self) -> str:
        """The file with the authorities that it trusts."""
        return f"{TLS_DIR}/ca-{self.authorities}.pem"

    def __repr__(self) -> str:
        """Return it as it stands in databags and files."""
        return f"{self.cert}/{self.authorities}" if self.cert else "plain"


PLAIN = Serves()


def parse(text: str) -> Serves | None:
    """Return what a text of a databag or a file says that a node serves; None: nothing."""
    found = _WIRE.fullmatch(text)
    return Serves(found[1] or "", found[2] or "") if found else None


@dataclass(frozen=True)
class Material:
    """A certificate with its key and its authority, found to be right."""

    cert: str
    """In PEM format, with the chain below the authority."""
    key: str = field(repr=False)
    ca: str = field(repr=False)
    name: str
    """Changes when the certificate or the key does."""
    expires: float
    """In seconds since 1970."""
    names_hosts: bool
    """It was issued for this unit, so that clients may compare its names."""


@dataclass(frozen=True)
class TlsRecord:
    """What one unit publishes of its TLS."""

    wants: Mode | None = None
    """What its operator wants; None: it has not said so."""
    authorities: tuple[str, ...] = field(default=(), repr=False)
    """In PEM format: of the certificates that it serves and is about to serve."""
    trusts: tuple[str, ...] = field(default=(), repr=False)
    """Digests of the authorities that its Redis and its Sentinel both trust."""
    redis: Serves | None = None
    """What its Redis serves; None: it has never run."""
    sentinel: Serves | None = None
    """As ``redis``."""
    restart: bool = False
    """Its Sentinel waits for its turn to restart."""
    connections: Mode | None = None
    """Of which no other kind of connection is left; None: nothing was ever cut."""
    expires: float = 0.0
    """Of its certificate, in seconds since 1970."""


@dataclass(frozen=True)
class TlsView:
    """What one unit sees of TLS."""

    wanted: bool = False
    """The option ``enable-tls``."""
    active: bool = False
    """TLS is on, or was, so that there is something to look after."""
    material: Material | None = None
    """What the unit is to serve; None: there is none, or it is wrong."""
    kept: bool = True
    """It is in this unit's secret, for a pod that finds no usable files; or need not be."""
    problem: str | None = None
    """Why there is none."""
    awaited: bool = False
    """The authority has been asked for it."""
    records: Mapping[str, TlsRecord] = field(default_factory=dict)
    """By host."""
    turn: str | None = None
    """The host whose Sentinel may restart."""
    waits: bool = False
    """When this hook began, this unit's record said that its Sentinel waits for its turn."""
    redis: Serves | None = None
    """What this unit's Redis serves; None: it gave no answer."""
    sentinel: Serves | None = None
    """What this unit's Sentinel serves; None: it does not run."""
