"""What pods are made of, and what comes of their processes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from resource import struct_rusage

from lab import sandbox
from lab.images import Image

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHARM = "charm"
PYTHON_BIN = "/charm/python/bin"
"""Where the container ``charm`` has the ``python3`` of its base, before the machine's own."""


class PodError(Exception):
    """A pod or container could not do what was asked; the text says which and why."""


@dataclass(frozen=True)
class Mount:
    """Something of the controller's files that a container sees at ``target``."""

    source: Path
    target: str


@dataclass(frozen=True)
class ContainerSpec:
    """A workload container.

    Attributes:
        env: what the image's environment adds to Juju's variables for Pebble.
        index: the container's place by name; it decides Pebble's port, 38813 + index.
        image: what the root is made of; None for the machine's own.
    """

    name: str
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    index: int = 0
    image: Image | None = None


@dataclass(frozen=True)
class PodSpec:
    """A pod.

    Attributes:
        name: such as ``app-0``; also its host name.
        hosts: the names of its address in its /etc/hosts, the full one first.
        charm_dir: the unpacked charm; each pod sees a copy that it may change.
        python_dir: with the base's Python as ``bin/python3``; None for the machine's own.
        tools: names of the hook tools.
        mounts: what the container ``charm`` sees of the unit's storages.
        log_dir: where the output of the containers is added to; else it goes with the pod.
        account: files by which its containers use the API of Kubernetes; None for none.
        memory_mb: what the processes of a workload container may take; 0 for no limit.
    """

    name: str
    app: str
    model: str
    hosts: tuple[str, ...]
    containers: tuple[ContainerSpec, ...]
    charm_dir: Path
    tools: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    log_dir: Path | None = None
    python_dir: Path | None = None
    memory_mb: int = 0
    account: Path | None = None

    @property
    def unit_tag(self) -> str:
        """The unit's name in paths, such as ``unit-app-0``."""
        return f"unit-{self.name}"


@dataclass(frozen=True)
class Finished:
    """What became of a process.

    Attributes:
        usage: CPU seconds and more, of the process and of those it has waited for.
    """

    returncode: int
    stdout: str
    stderr: str
    usage: struct_rusage


class Volume:
    """A storage: a directory of the model that outlives pods, as a provisioner makes it.

    It is owned by root with mode 0755 and holds ``lost+found``.
    """

    def __init__(self, name: str, size_mb: int | None = None) -> None:
        """Make the volume; with ``size_mb`` it can be filled up, in MiB."""
        self.path = sandbox.RUN / "volumes" / name
        self.path.mkdir(parents=True)
        self._limited = size_mb is not None
        if self._limited:
            sandbox.mount("volume", self.path, "tmpfs", data=f"size={size_mb}m,mode=0755")
        (self.path / "lost+found").mkdir(mode=0o700)

    def remove(self) -> None:
        """Delete the volume and all that is in it."""
        if self._limited:
            sandbox.umount(self.path)
        shutil.rmtree(self.path)
