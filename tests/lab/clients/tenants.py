# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Applications that use Redis by the relation ``valkey-client``, as their charms saw it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.lab.clients.shops import HERE, Shop
from tests.lab.cluster import Cluster

FORMS = ("v1", "v0")


def charm(folder: Path, form: str) -> Path:
    """Return the directory of the charm that asks in one form of the interface."""
    made = folder / f"tenant-{form}"
    if not made.exists():
        shutil.copytree(HERE / "tenant-charm", made)
        shutil.copyfile(made / "forms" / f"{form}.py", made / "src/asks.py")
        shutil.copyfile(made / "forms" / f"{form}.txt", made / "requirements.txt")
        shutil.copyfile(HERE / "shop-charm/src/app.py", made / "src/app.py")
    return made


class Tenant(Shop):
    """One such application, deployed.

    Args:
        cluster: whose Redis it is to use.
        name: of the application.
        folder: for its charm.
        form: in which it asks.
        units: how many.
    """

    ours, theirs = "valkey-client", "valkey"

    def __init__(self, cluster: Cluster, name: str, folder: Path, form: str, units: int = 1):
        super().__init__(cluster, name, charm(folder, form), units)

    def answer(self) -> dict[str, Any]:
        """Return what its charm was answered: ``url``, ``readers``, ``sentinels``."""
        return json.loads(self._read("answer.json") or "{}")
