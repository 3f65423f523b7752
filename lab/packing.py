"""Turn a charm directory into what `charmcraft pack` would have put into the unit's pod.

A packed charm holds what the part's ``prime`` names, the metadata files, in the flat directory
``venv`` the packages of ``requirements.txt``, and charmcraft's ``dispatch``, which starts the
entry point by its first line, with the ``python3`` of the container.
Source: the ``charm`` plugin of charmcraft, https://canonical-charmcraft.readthedocs-hosted.com/
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.bases import OWN, BaseError, interpreter

PRIMED = (
    "lib",
    "src",
    "templates",
    "hooks",
    "version",
    "icon.svg",
    "README.md",
    "LICENSE",
)
"""What is packed of a charm whose part has no list ``prime``."""

DECLARED = ("metadata.yaml", "config.yaml", "actions.yaml", "charmcraft.yaml")
"""What charmcraft adds whatever ``prime`` says."""


class PackingError(Exception):
    """The directory is no charm, or its Python packages could not be installed."""


@dataclass(frozen=True)
class Endpoint:
    """One relation endpoint of a charm; ``role`` is ``peer``, ``provider`` or ``requirer``."""

    name: str
    role: str
    interface: str


@dataclass(frozen=True)
class StorageMount:
    """Where a container sees a storage."""

    storage: str
    location: str


@dataclass(frozen=True)
class CharmMeta:
    """What the model needs to know of a charm, read from its YAML files.

    ``storage``, ``resources``, ``config`` and ``actions`` map a name to its declaration as
    written in the charm; ``containers`` maps a container to its storage mounts, ``images`` one
    to the resource that it is made from.
    """

    name: str
    containers: Mapping[str, tuple[StorageMount, ...]] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    bindings: frozenset[str] = frozenset()
    storage: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    actions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)

    @property
    def hooks(self) -> frozenset[str]:
        """Names of the storages and endpoints that hooks can be named after."""
        return frozenset(self.endpoints) | frozenset(self.storage)

    def made_from(self, image: str) -> dict[str, str]:
        """Return the resources with which all containers start from an image; none for ''."""
        kinds = {name: spec.get("type") for name, spec in self.resources.items()}
        return {name: image for name, kind in kinds.items() if image and kind == "oci-image"}


def read_meta(charm_dir: Path) -> CharmMeta:
    """Return what the YAML files of a charm declare.

    Raises:
        PackingError: if there is no metadata or a file is no YAML mapping.
    """
    everything = _load(charm_dir / "charmcraft.yaml")
    metadata = _load(charm_dir / "metadata.yaml") or everything
    if "name" not in metadata:
        raise PackingError(f"{charm_dir} is no charm: metadata.yaml has no name")
    config = _load(charm_dir / "config.yaml") or everything.get("config") or {}
    actions = _load(charm_dir / "actions.yaml") or everything.get("actions") or {}
    endpoints = {
        name: Endpoint(name, role, str((spec or {}).get("interface", name)))
        for key, role in (("peers", "peer"), ("provides", "provider"), ("requires", "requirer"))
        for name, spec in (metadata.get(key) or {}).items()
    }
    containers = {
        name: tuple(
            StorageMount(mount["storage"], mount["location"])
            for mount in (spec or {}).get("mounts") or ()
        )
        for name, spec in sorted((metadata.get("containers") or {}).items())
    }
    return CharmMeta(
        name=str(metadata["name"]),
        containers=containers,
        endpoints=endpoints,
        bindings=frozenset(metadata.get("extra-bindings") or ()),
        storage=metadata.get("storage") or {},
        resources=metadata.get("resources") or {},
        config=config.get("options") or {},
        actions={name: spec or {} for name, spec in actions.items() if isinstance(name, str)},
        images={
            name: str(spec["resource"])
            for name, spec in (metadata.get("containers") or {}).items()
            if (spec or {}).get("resource")
        },
    )


def _load(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as e:
        raise PackingError(f"{path} is no YAML: {e}") from e
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise PackingError(f"{path} is no mapping")
    return content


def pack(source: Path, target: Path, cache: Path, base: str = OWN) -> None:
    """Write the deployable form of a charm to ``target``, which must not exist.

    Args:
        source: a charm's source directory, a packed charm's directory, or a ``.charm`` file.
        target: becomes the charm directory. Its ``venv`` shares files with ``cache`` where the
            file system allows, so nobody may write there: pods see it as an overlay's lower layer.
        cache: where Python packages are kept, for each content of requirements.txt.
        base: whose Python the packages are installed for; what is packed already stays as it is.

    Raises:
        PackingError: if ``source`` is no charm, pip fails, or this machine has not the Python
            of the base; the text has pip's last lines.
    """
    if source.is_file():
        if not zipfile.is_zipfile(source):
            raise PackingError(f"{source} is no charm: it is no zip file")
        with zipfile.ZipFile(source) as archive:
            for member in archive.infolist():
                path = Path(archive.extract(member, target))
                if mode := member.external_attr >> 16 & 0o777:
                    path.chmod(mode)
        return
    if not (source / "metadata.yaml").exists() and not (source / "charmcraft.yaml").exists():
        raise PackingError(f"{source} is no charm: it has neither metadata nor charmcraft.yaml")
    if (source / "dispatch").exists() and (source / "venv").exists():
        shutil.copytree(source, target, symlinks=True)
        return
    requirements = source / "requirements.txt"
    content = requirements.read_text(encoding="utf-8") if requirements.exists() else ""
    packages = python_packages(content, cache, base)
    part = _charm_part(source)
    target.mkdir(parents=True)
    for name in dict.fromkeys((*part.get("prime", PRIMED), *DECLARED)):
        origin = source / name
        if origin.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(origin, target / name, ignore=ignore)
        elif origin.exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, target / name)
    _split_metadata(target)
    if (source / "dispatch").exists():
        shutil.copy2(source / "dispatch", target / "dispatch")
    else:
        _write_dispatch(target / "dispatch", part.get("charm-entrypoint", "src/charm.py"))
    shutil.copytree(packages, target / "venv", symlinks=True, copy_function=_link)


def _charm_part(source: Path) -> dict[str, Any]:
    """Return what charmcraft.yaml says of the part with the plugin ``charm``."""
    parts = _load(source / "charmcraft.yaml").get("parts") or {}
    for name, part in parts.items():
        if (part or {}).get("plugin", name) == "charm":
            return part or {}
    return {}


def _write_dispatch(path: Path, entry_point: str) -> None:
    # Only who packs needs charmcraft.
    from charmcraft.const import DISPATCH_CONTENT

    text = DISPATCH_CONTENT.format(entrypoint_relative_path=entry_point)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def _link(origin: str, target: str) -> None:
    try:
        os.link(origin, target, follow_symlinks=False)
    except OSError:
        # Another file system, or a kernel that forbids links to files of others.
        shutil.copy2(origin, target, follow_symlinks=False)


def _split_metadata(charm_dir: Path) -> None:
    """Write the three files that charmcraft makes of a charmcraft.yaml that has it all."""
    if (charm_dir / "metadata.yaml").exists():
        return
    everything = _load(charm_dir / "charmcraft.yaml")
    build_only = {"type", "parts", "platforms", "bases", "base", "build-base", "charm-libs"}
    for file, content in (
        ("config.yaml", everything.pop("config", None)),
        ("actions.yaml", everything.pop("actions", None)),
        ("metadata.yaml", {k: v for k, v in everything.items() if k not in build_only}),
    ):
        if content:
            (charm_dir / file).write_text(yaml.safe_dump(content), encoding="utf-8")


def python_packages(requirements: str, cache: Path, base: str = OWN) -> Path:
    """Return a flat directory with these packages, made now or taken from the cache.

    Args:
        requirements: the text of a requirements.txt; empty for the standard library alone.
        cache: the directory of all such directories; safe to share between processes.
        base: whose Python they are for.

    Raises:
        PackingError: if pip fails, or this machine has not the Python of the base.
    """
    try:
        python = interpreter(base)
    except BaseError as e:
        raise PackingError(str(e)) from e
    own = f"{sys.version}\n{sys.base_prefix}" if base == OWN else str(python.resolve())
    home = cache / "packages"
    home.mkdir(parents=True, exist_ok=True)
    wanted = home / hashlib.sha256(f"{own}\n{requirements}".encode()).hexdigest()[:16]
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if wanted.exists():
            return wanted
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            made = Path(scratch) / "venv"
            made.mkdir()
            if requirements.strip():
                listed = Path(scratch) / "requirements.txt"
                listed.write_text(requirements, encoding="utf-8")
                pip = [sys.executable, "-m", "pip", "--python", str(python)]
                options = ["--quiet", "--disable-pip-version-check", f"--target={made}"]
                _run([*pip, "install", *options, "-r", str(listed)])
            os.rename(made, wanted)
    return wanted


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise PackingError(f"{' '.join(argv[:4])} … failed:\n{tail}")
