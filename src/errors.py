# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What adapters raise for what the world does; anything else that is raised is a bug."""

from __future__ import annotations

import enum


class Refusal(enum.Enum):
    """Why a node that is there refuses to answer."""

    LOGIN = "the user, the password or a right"
    LOADING = "it loads its data"
    OTHER = "anything else, which may pass"


class AdapterError(Exception):
    """Something outside did not do what it was asked; the next look decides what follows."""


class WorkloadError(AdapterError):
    """Pebble did not answer, or refused."""


class RedisClientError(AdapterError):
    """A Redis or a Sentinel did not do what it was asked."""


class UnreachableError(RedisClientError):
    """No answer: no such name, no route, refused connection, time-out, broken reply."""


class RefusedError(RedisClientError):
    """The node answered with an error: a wrong password, a missing right, a wrong moment."""

    def __init__(self, text: str, refusal: Refusal = Refusal.OTHER):
        super().__init__(text)
        self.refusal = refusal


class SecretError(AdapterError):
    """A secret of the operator cannot be read."""


class CredentialsRefusedError(AdapterError):
    """Juju does not give this unit the passwords of the application."""
