# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A cluster whose clients follow new passwords, and speak TLS."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any
from unittest import mock

from tests.lab.cluster import APP, PORTS, Cluster
from trials.clients import topology, wire
from trials.clients.checker import WriteLog


class Secured(Cluster):
    """As `Cluster`; its clients learn what changes."""

    def form(self, units: int, resources: Mapping[str, str] | None = None) -> None:
        """Deploy with file resources, wait until all is right, and start the clients."""
        deploy = functools.partial(self.model.deploy, resources=resources)
        with mock.patch.object(self.model, "deploy", deploy):
            super().form(units)

    @property
    def logs(self) -> Mapping[str, WriteLog]:
        """The records of the clients that write, by their mode."""
        return self._logs

    def ask(self, unit: str, kind: str, *commands: str, password: str = "") -> list[str]:
        """Send commands as the administrator, in TLS when the clients speak it."""
        found = {"redis": self.access.redis_password, "sentinel": self.access.sentinel_password}
        text = "\n".join([f"AUTH default {password or found[kind]}", *commands]) + "\n"
        program = f"exec {wire.CLI} -p {PORTS[kind]}"
        if self.access.ca:
            program = f". /etc/redis-k8s/cluster.env; {program} --tls --cacert $CA_FILE"
        done = self.model.exec(unit, kind, ["sh", "-c", program], stdin=text)
        lines = done.stdout.splitlines()
        assert lines[:1] == ["OK"], (done.stdout, done.stderr)
        return lines[1:]

    def errors(self) -> list[str]:
        """Return the hooks that failed.

        ops logs it as an error, too, when Juju refuses a secret that the operator holds back; the
        charm takes that as an answer.
        """
        return [line for line in super().errors() if "juju.worker.uniter" in line]

    def follow_passwords(self) -> None:
        """Ask for the present passwords; the clients that write stay connected by the old ones."""
        asked = topology.ask_access(self.model, APP)
        self._learn(redis_password=asked.redis_password, sentinel_password=asked.sentinel_password)

    def use_tls(self, ca: str, either: bool = False) -> None:
        """Have all clients speak TLS from their next connection on, or plain text.

        Args:
            ca: of the authorities to trust; empty: plain text.
            either: find out for each node what it speaks.
        """
        self._learn(ca=ca, either=either)

    def _learn(self, **changes: Any) -> None:
        self._access = dataclasses.replace(self.access, **changes)
        if self._probe is not None:
            self._probe.close()
        self._probe = topology.Probe(self.model, APP, self._access)
        for writer in self._writers.values():
            writer.tell(**dataclasses.asdict(self._access))
