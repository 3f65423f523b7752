# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A container with a real Pebble and a root that is made of chosen programs, users and layers.

It has processes, mounts and users of its own; its files lie in a directory of this machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import ops
from ops import pebble

from lab.programs import tools_dir
from pod import image

ROOT_ID, USER_ID, OTHER_ID = 0, 1234, 1235
DEBIAN = ("redis-server", "redis-cli", *image.TOOLS)
_ENTER = """
set -e
ip link set lo up
root=$1
shift
for entry in lib lib32 lib64; do
    [ ! -e "/$entry" ] || { mkdir -p "$root/$entry"; mount --rbind "/$entry" "$root/$entry"; }
done
mount --rbind /usr/lib "$root/usr/lib"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" /bin/env -i PATH=/usr/local/bin:/usr/bin:/bin "$@"
"""


class Container:
    """One container while its Pebble runs.

    Attributes:
        root: where its files lie.
        ops: the container as a charm has it.
    """

    def __init__(self, root: Path, process: subprocess.Popen[bytes], user: str):
        self.root = root
        self.user = user
        self._process = process
        client = pebble.Client(str(root / "charm/socket"))
        self.ops = ops.Container("redis", MagicMock(), client)

    def as_user(self, script: str, user: str | None = None) -> str:
        """Run a shell script as the user that runs Redis, or another; return its output."""
        who = user or self.user
        words = ["sh", "-c", script]
        process = self.ops.exec(words, user=who, group=who, working_dir="/", timeout=30)
        return process.wait_output()[0]

    def as_root(self, script: str) -> str:
        return self.ops.exec(["sh", "-c", script], working_dir="/", timeout=30).wait_output()[0]

    def path(self, inside: str) -> Path:
        return self.root / inside.lstrip("/")


@contextlib.contextmanager
def container(
    programs: Iterable[str] = DEBIAN,
    user: str = "redis",
    links: dict[str, str] | None = None,
    layer: dict[str, Any] | None = None,
) -> Iterator[Container]:
    """Start a container.

    Args:
        programs: of this machine, that its image has in /usr/bin.
        user: the name of a user and a group of the image.
        links: more programs, by their path in the image: another name of one of this machine.
        layer: the image's layer.
    """
    with tempfile.TemporaryDirectory(prefix="pebble-") as directory:
        root = Path(directory)
        root.chmod(0o755)
        for name in ("usr/bin", "usr/local/bin", "usr/lib", "proc", "dev", "etc", "charm", "tmp",
                     "var/lib/redis", "var/lib/pebble/default/layers"):  # fmt: skip
            (root / name).mkdir(parents=True)
        (root / "bin").symlink_to("usr/bin")
        for path, name in {
            "usr/bin/env": "env",
            **{f"usr/bin/{name.rpartition('/')[2]}": name for name in programs},
            **(links or {}),
        }.items():
            found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
            assert found, name
            shutil.copy2(found, root / path.lstrip("/"))
        shutil.copy2(tools_dir() / "pebble", root / "charm/pebble")
        users = {"root": ROOT_ID, user: USER_ID, "other": OTHER_ID}
        for file, line in (
            ("passwd", "{0}:x:{1}:{1}::/nonexistent:/bin/sh\n"),
            ("group", "{0}:x:{1}:\n"),
        ):
            text = "".join(line.format(name, number) for name, number in users.items())
            (root / "etc" / file).write_text(text)
        if layer:
            path = root / "var/lib/pebble/default/layers/001-image.yaml"
            path.write_text(ops.pebble.Layer(layer).to_yaml())  # type: ignore[arg-type]
        namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--net"]
        if os.geteuid():
            namespaces += ["--map-root-user", "--map-auto"]
        log = (root / "log").open("wb")
        process = subprocess.Popen(
            ["unshare", *namespaces, "sh", "-c", _ENTER, "sh", str(root),
             "/bin/env", "PEBBLE=/var/lib/pebble/default", "PEBBLE_SOCKET=/charm/socket",
             "/charm/pebble", "run", "--create-dirs", "--hold", "--verbose"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        made = Container(root, process, user)
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    made.ops.pebble.get_system_info()
                    break
                except pebble.ConnectionError:
                    assert process.poll() is None, (root / "log").read_text()
                    assert time.monotonic() < deadline, "Pebble does not answer"
                    time.sleep(0.05)
            yield made
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            log.close()
