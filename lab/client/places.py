"""Where models and what outlives them are kept."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def home() -> Path:
    """Return the directory of all models: ``$LAB_HOME``, or one in /tmp for this user."""
    return Path(os.environ.get("LAB_HOME") or f"/tmp/juju-lab-{os.getuid()}").absolute()


def cache() -> Path:
    """Return the directory of what outlives models: ``$LAB_CACHE``, or the project's."""
    return Path(os.environ.get("LAB_CACHE") or ROOT / ".cache" / "lab").absolute()
