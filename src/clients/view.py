# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What one unit sees of the applications that use Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from passwords.users import GUEST_PREFIX
from values import dataclass


@dataclass(frozen=True)
class Client:
    """An application that is related, by one relation."""

    id: int
    """Of the relation."""
    app: str
    can: Mapping[str, bool] = field(default_factory=dict)
    """By unit: it can take a user from a secret. None of them: the relation is new, or its
    application has no units."""
    taken: Mapping[str, str] = field(default_factory=dict)
    """By unit: the version of the user that it has; absent: none."""
    said: Mapping[str, str] = field(default_factory=dict)
    """What this unit has said to it."""
    told: Mapping[str, str] = field(default_factory=dict)
    """What the leader has told it for all units. Leader only."""

    @property
    def user(self) -> str:
        """The user that it has on Redis, if it has one."""
        return f"{GUEST_PREFIX}{self.id}"

    @property
    def is_able(self) -> bool:
        """Whether any of its units can take a user."""
        return any(self.can.values())

    @property
    def is_old(self) -> bool:
        """Whether any of its units cannot."""
        return not all(self.can.values())

    def has_taken(self, version: int) -> bool:
        """Whether all of its units that can take a user have taken this version of it."""
        return all(self.taken.get(u) == str(version) for u, can in self.can.items() if can)


@dataclass(frozen=True)
class ClientsView:
    """All of them."""

    related: tuple[Client, ...] | None = None
    """By their relations; None: it was not asked, or Juju gave no answer."""
    remembered: str | None = None
    """The host that this unit has told all of them, as it remembers; None: there was none of
    them. It counts where ``related`` is None."""
    waits: bool = False
    """This unit remembers that one of them is still to be served. As ``remembered``."""
    name: str = ""
    """The host by which all are led to the primary, whoever that is; empty: there is none."""
    open_to: frozenset[str] = frozenset()
    """The applications that may come in without a password, if they cannot take one."""
    taken: frozenset[str] = frozenset()
    """The users whose applications have taken the latest password. Leader only."""
    is_on: bool = False
    """There is any of them, or what one has left."""
