# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What adapters raise for what the world does; anything else that is raised is a bug."""


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


class SecretError(AdapterError):
    """A secret of the operator cannot be read."""
