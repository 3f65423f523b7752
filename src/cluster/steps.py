# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a plan consists of: frozen values named by a verb, and what is waited for."""

from __future__ import annotations

import texts
from engine.steps import Step
from values import dataclass

SEEN_HERE = frozenset({texts.WHY_NO_ANSWER, texts.WHY_NOT_SERVING, texts.WHY_NOT_COMPLETE})
"""What is waited for when these are the reasons shows in the pod itself."""


@dataclass(frozen=True)
class RecordPrimary(Step):
    """Write in the peer relation who is primary."""

    host: str


@dataclass(frozen=True)
class RecordUnits(Step):
    """Write in the peer relation which units are to stay; all units wake by it."""

    hosts: tuple[str, ...]


@dataclass(frozen=True)
class MarkInitialised(Step):
    """Write in the peer relation that this application has had a primary."""


@dataclass(frozen=True)
class PublishDataTime(Step):
    """Tell the other units how new the data of this one is; None: it has none."""

    time_s: float | None


@dataclass(frozen=True)
class PublishEmpty(Step):
    """Tell the other units that this one waits without data, or does not any more."""

    is_empty: bool


@dataclass(frozen=True)
class StartEmpty(Step):
    """Have the application begin anew, since no unit has any data left. Leader only."""


@dataclass(frozen=True)
class WriteFiles(Step):
    """Bring the files and the layer of a container to the present configuration."""

    container: str


@dataclass(frozen=True)
class WriteSentinelConf(Step):
    """Write the first ``sentinel.conf`` of this unit; from then on it is Sentinel's own."""

    primary: str


@dataclass(frozen=True)
class RefreshSentinelConf(Step):
    """Bring ``sentinel.conf`` to the present users and passwords before Sentinel starts.

    It is also to be patient with the primary for a while.
    """


@dataclass(frozen=True)
class RenewSentinel(Step):
    """Restart this unit's Sentinel with a new ``sentinel.conf`` that names another primary."""

    primary: str


@dataclass(frozen=True)
class PermitBirth(Step):
    """Let the guarded start make an empty primary: the first one, of a new application."""


@dataclass(frozen=True)
class StartService(Step):
    """Start a service of a container that is not active."""

    container: str
    service: str


@dataclass(frozen=True)
class StopService(Step):
    """Stop a service of the image that is in the way of one of the charm's."""

    container: str
    service: str


@dataclass(frozen=True)
class SetRedis(Step):
    """Change a run-time setting of one Redis."""

    host: str
    name: str
    value: str


@dataclass(frozen=True)
class Follow(Step):
    """Make the Redis of a host a replica of another."""

    host: str
    primary: str


@dataclass(frozen=True)
class SetSentinel(Step):
    """Change an option of one Sentinel."""

    host: str
    name: str
    value: str


@dataclass(frozen=True)
class SetQuorum(Step):
    """Tell one Sentinel how many must agree that the primary is down."""

    host: str
    quorum: int


@dataclass(frozen=True)
class ClaimHandover(Step):
    """Make sure that nobody else is handing over from the same primary, until this hook ends."""

    binds = True

    source: str


@dataclass(frozen=True)
class ReleaseHandover(Step):
    """Let others hand over, since it cannot be done now."""


@dataclass(frozen=True)
class Handover(Step):
    """Move the primary role without losing a write; the target is the only one eligible."""

    told = True
    binds = True

    source: str
    target: str
    executor: str
    """The host whose Sentinel fails over."""


@dataclass(frozen=True)
class Readmit(Step):
    """Make replicas eligible again as soon as they follow the new primary.

    Until then nobody could replace that one.
    """

    hosts: tuple[str, ...]
    primary: str


@dataclass(frozen=True)
class ForceFailover(Step):
    """Have the Sentinel of a host fail over on its own authority: the primary is gone for good."""

    told = True

    host: str


@dataclass(frozen=True)
class Forget(Step):
    """Have one Sentinel forget all it knows of nodes that left (``SENTINEL RESET``)."""

    host: str
    replicas: int
    others: int


@dataclass(frozen=True)
class Retire(Step):
    """End this unit's Sentinel and Redis for good; it is leaving."""
