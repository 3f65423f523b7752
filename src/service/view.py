# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What one unit knows of the labels of the pods and of the Services."""

from __future__ import annotations

from collections.abc import Mapping

from values import dataclass

PRIMARY, REPLICA = "primary", "replica"
"""The values of the label ``role``."""


@dataclass(frozen=True)
class ServiceView:
    """The labels of the pods, and what the Services lack."""

    roles: Mapping[str, str] | None = None
    """By pod: its label, empty without one. None: there is nothing to change, as far as this unit
    remembers, or Kubernetes gave no answer."""
    to_select: bool = False
    """The Service of the application is to be made to follow the label. Leader only."""
    to_offer: bool = False
    """Services of our own are to be made, where the application is trusted. Leader only."""
    pending: bool = False
    """Something is to be changed, and Kubernetes gave no answer."""
    waits: bool = False
    """It is to be asked again soon."""
    leads: bool | None = None
    """The Service of the application leads to the primary, as far as this unit knows, or does
    not; None: this unit does not know."""
    stale: bool = False
    """The Service follows the label, and Kubernetes does not let the label move."""


@dataclass(frozen=True)
class Memory:
    """What a unit has done; it is lost with its pod, as the labels of that are."""

    primary: str = ""
    """The host whose pod was labelled as the primary, and all others not."""
    role: str = ""
    """The label of this unit's own pod."""
    selects: bool = False
    """The Service follows the label."""
    offered: bool = False
    """Services of our own were made, or it was found that they must not be."""
    hopeless: bool = False
    """There is no Kubernetes, or it refused; only an operator changes that."""
    failures: int = 0
    """How often in a row Kubernetes gave no answer."""
    failed_s: float = 0.0
    """When it last did not, in seconds since 1970."""
    told: str = ""
    """The last trouble that the log tells of."""
