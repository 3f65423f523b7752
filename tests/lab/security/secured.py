# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A cluster whose clients follow new passwords, and speak TLS."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.lab.cluster import APP, Cluster
from trials.clients import topology


class Secured(Cluster):
    """As `Cluster`; its clients learn what changes."""

    def errors(self) -> list[str]:
        """Return the hooks that failed.

        ops logs it as an error, too, when Juju refuses a secret that the operator holds back; the
        charm takes that as an answer.
        """
        return [line for line in super().errors() if "juju.worker.uniter" in line]

    def follow_passwords(self) -> None:
        """Ask for the present passwords; the clients that write stay connected by the old ones."""
        asked = topology.ask_access(self.model, APP)
        self.learn(redis_password=asked.redis_password, sentinel_password=asked.sentinel_password)

    def use_tls(self, ca: str, either: bool = False) -> None:
        """Have all clients speak TLS from their next connection on, or plain text.

        Args:
            ca: of the authorities to trust; empty: plain text.
            either: find out for each node what it speaks.
        """
        self.learn(ca=ca, either=either)

    def learn(self, **changes: Any) -> None:
        """Reach the application in another way from now on, and have the clients do so."""
        super().learn(**changes)
        self.writers.tell(**dataclasses.asdict(self.access))
