"""The Pythons of charm bases: which one a base has, and where this machine has it.

Juju takes the image of the container ``charm`` from the base of the application, and what
``charmcraft pack`` installs is for the Python of the base that it packs for.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PYTHONS = {"ubuntu@20.04": "3.8", "ubuntu@22.04": "3.10", "ubuntu@24.04": "3.12"}
"""The version of Python of each base."""

OWN = ""
"""No base at all: the Python that runs the lab."""


class BaseError(Exception):
    """There is no such base, or the machine has not the Python of it."""


def interpreter(base: str = OWN) -> Path:
    """Return the Python of a base, as this machine has it on PATH or from pyenv.

    Raises:
        BaseError: for an unknown base, or one whose Python is not there.
    """
    if base == OWN:
        return Path(sys.executable)
    if base not in PYTHONS:
        raise BaseError(f"unknown base {base!r}, expected one of {', '.join(PYTHONS)}")
    version = PYTHONS[base]
    for candidate in _candidates(version):
        # What pyenv puts on PATH exists for each version, and refuses those not chosen.
        code = "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return candidate
    raise BaseError(f"python{version} of the base {base} is not installed")


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    if found := shutil.which(name):
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"))


def python_home(base: str, cache: Path) -> Path:
    """Return a directory whose ``bin/python3`` is the Python of a base, without any packages.

    Args:
        base: such as ``ubuntu@24.04``, or ``OWN``.
        cache: where these directories are kept; safe to share between processes.

    Raises:
        BaseError: as ``interpreter`` does.
    """
    python = interpreter(base)
    digest = hashlib.sha256(f"{python}\n{sys.version if base == OWN else ''}".encode())
    home = cache / "pythons"
    home.mkdir(parents=True, exist_ok=True)
    wanted = home / digest.hexdigest()[:16]
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.exists():
            with tempfile.TemporaryDirectory(dir=home) as scratch:
                made = Path(scratch) / "python"
                subprocess.run([python, "-m", "venv", "--without-pip", made], check=True)
                os.rename(made, wanted)
    return wanted


def base_of(charm_dir: Path) -> str:
    """Return the base that a charm was packed for; ``OWN`` if charmcraft did not pack it."""
    manifest = charm_dir / "manifest.yaml"
    if not manifest.exists():
        return OWN
    found: dict[str, Any] = yaml.safe_load(manifest.read_text(encoding="utf-8"))
    first = found["bases"][0]
    return f"{first['name']}@{first['channel']}"
