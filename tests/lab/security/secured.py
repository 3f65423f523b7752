# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A cluster whose clients follow new passwords, and speak TLS."""

from __future__ import annotations

from tests.lab.cluster import Cluster


class Secured(Cluster):
    """As `Cluster`; its clients go over to TLS and back."""

    def errors(self) -> list[str]:
        """Return the hooks that failed.

        ops logs it as an error, too, when Juju refuses a secret that the operator holds back; the
        charm takes that as an answer.
        """
        return [line for line in super().errors() if "juju.worker.uniter" in line]

    def use_tls(self, ca: str, either: bool = False) -> None:
        """Have all clients speak TLS from their next connection on, or plain text.

        Args:
            ca: of the authorities to trust; empty: plain text.
            either: find out for each node what it speaks.
        """
        self.learn(ca=ca, either=either)
