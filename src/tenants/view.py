# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the leader sees of the applications that ask for users."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field

from passwords.users import GUEST_PREFIX
from tenants import keys
from values import dataclass


@dataclass(frozen=True)
class Request:
    """One request of an application."""

    id: str
    """Empty: it is the one request of a relation of form v0."""
    resource: str
    salt: str = ""
    alias: str = keys.RESOURCE
    """What the form v0 calls the resource."""
    problem: str = ""
    """Why it is not served; empty: it may be."""


@dataclass(frozen=True)
class Told:
    """What one request has been answered."""

    values: Mapping[str, str]
    """By key, the ids of secrets among them."""
    version: int = 0
    """Of the password in the secret of the user; 0: it has none."""
    authorities: str | None = None
    """By their digest, those in the secret of TLS; empty: it says that there is no TLS; None:
    there is no such secret."""
    taken: int = 0
    """The version of the password that is the oldest anybody still has, as far as known."""


@dataclass(frozen=True)
class Tenant:
    """An application that is related, by one relation."""

    id: int
    """Of the relation."""
    app: str
    form: str = ""
    """``v0`` or ``v1``; empty: it has not asked for anything yet."""
    requests: tuple[Request, ...] = ()
    problem: str = ""
    """Why not all of its requests can be told from each other; empty: they can."""
    told: Mapping[str, Told] = field(default_factory=dict)
    """By the id of the request."""
    told_form: str = ""

    @property
    def users(self) -> str:
        """What the names of all of its users begin with."""
        return f"{GUEST_PREFIX}{self.id}-"

    def user(self, request_id: str) -> str:
        """Return the user on Redis that belongs to a request."""
        return f"{self.users}{request_id or keys.V0}"

    def has_any(self, names: Collection[str]) -> bool:
        """Whether any of some users are its own."""
        return any(name.startswith(self.users) for name in names)

    @property
    def answered_in(self) -> str:
        """The form that it is to be answered in: its own, where there is such a form."""
        return self.form if self.form in (keys.V0, keys.V1) else self.told_form


@dataclass(frozen=True)
class TenantsView:
    """All of them."""

    related: tuple[Tenant, ...] | None = None
    """By their relations; None: it was not asked, or Juju gave no answer."""
    remembered: str | None = None
    """Where this unit has told all of them to go, as it remembers (``plan.told_place``); None:
    there was none of them. It counts where ``related`` is None."""
    waits: bool = False
    """This unit remembers that one of them is still to be served. As ``remembered``."""
    name: str = ""
    """The host by which all are led to the primary, whoever that is; empty: there is none."""
    taken: frozenset[str] = frozenset()
    """The users whose applications have taken the latest password."""
    is_on: bool = False
    """There is any of them, or what one has left, and this unit leads."""
