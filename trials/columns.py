# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What Redis and Sentinel of each unit say, for the table of ``status``."""

from collections.abc import Mapping
from typing import Any

from lab import LabError, Model
from trials.clients import topology


class RedisColumns:
    """More about the units of applications that our clients understand."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._probes: dict[str, topology.Probe] = {}

    def of(self, status: Mapping[str, Any]) -> dict[str, dict[str, str]]:
        """Return columns by unit; nothing of an application that does not answer yet."""
        found: dict[str, dict[str, str]] = {}
        for name, app in status["applications"].items():
            if {"redis", "sentinel"} <= set(app["containers"]) and app["units"]:
                try:
                    if name not in self._probes:
                        self._probes[name] = topology.Probe(self._model, name)
                    views, _, _ = self._probes[name].look()
                    found.update(topology.as_columns(views))
                except (RuntimeError, LabError):
                    # Its units are still starting and tell no passwords.
                    self._close(name)
        return found

    def _close(self, name: str) -> None:
        if probe := self._probes.pop(name, None):
            probe.close()

    def close(self) -> None:
        """End what asks the Redis."""
        for name in list(self._probes):
            self._close(name)
