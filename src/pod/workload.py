# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Pebble: the files, layers and services of one workload container.

Pebble acts as root. Where the user who runs Redis may write, on the volume and in LIVE_DIR, root
would follow a link that he has put there; so what the charm reads and writes there it has done
by processes of that user.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeVar

import ops
from ops import pebble

import pebbles
from constants import (
    BIRTH_PERMIT,
    CONFIG_DIR,
    LIVE_DIR,
    SENTINEL_CONF,
    SENTINEL_DIR,
    SENTINEL_SERVES,
    STORAGE_DIR,
    TLS_DIR,
    WAKE_FOR,
    WAKE_SERVICE,
)
from engine.world import ContainerView, File, Holder, Image
from errors import WorkloadError
from pod import image
from tls.view import Serves, parse
from values import dataclass

T = TypeVar("T")

logger = logging.getLogger(__name__)

_OWNER_MARK = f"{SENTINEL_DIR}/owner"
_EXEC_TIMEOUT_S = 5.0
_EMPTY_LOG_BYTES = 96
"""The first file of an append-only file has 88 to 90 bytes; with one key it has 98 at least."""
_WRITE = 'umask 077 && mkdir -p "${0%/*}" && cat >"$0.new" && mv -f "$0.new" "$0"'
_HOLDERS = f"""
ls -l /proc/[0-9]*/fd 2>/dev/null | awk -v wanted=" $* " '
    /^\\/proc\\// {{ split($0, part, "/"); pid = part[3] }}
    match($0, /socket:\\[[0-9]+\\]$/) {{
        inode = substr($0, RSTART + 8, RLENGTH - 9)
        if (index(wanted, " " inode " ")) print inode, pid
    }}' | while read -r inode pid; do
    own=no names= at=$pid
    for file in {LIVE_DIR}/*.pid; do
        [ -f "$file" ] && read -r started <"$file" && [ "$started" = "$pid" ] && own=yes
    done
    while [ "$at" -gt 1 ] && read -r name </proc/$at/comm; do
        names="$names/$name"
        at=$(awk '/^PPid:/ {{ print $2 }}' /proc/$at/status)
    done
    echo "$inode $pid $own $names"
done
"""
"""Prints for each of some sockets whose it is: the process, whether that is one of the charm's by
what it has written of itself, and its name with those of the processes it descends from."""
_NAME_LIMIT = 15
"""The kernel keeps so much of a process's name."""


@dataclass(frozen=True)
class _User:
    """Who runs the charm's services in a container."""

    name: str | None
    group: str | None


def _is_own(service: pebble.Service) -> bool:
    """Whether a service of a plan is one of the charm's; those run from its own directory."""
    return service.command.startswith(f"{CONFIG_DIR}/")


class Workload:
    """One workload container.

    Every method but ``view`` raises WorkloadError when Pebble does not answer or refuses: the
    container restarts, the disk is full, a program is missing.
    """

    def __init__(self, container: ops.Container):
        self._container = container
        self.name = container.name

    def view(self, fingerprint: str | None) -> ContainerView:
        """Return what runs in the container; not ready when Pebble does not answer.

        Args:
            fingerprint: of the configuration that its files should be of; None: whatever is
                there may stay.
        """
        client = self._container.pebble
        boot = self._boot()
        try:
            services = client.get_services()
            planned = client.get_plan().services
        except (pebble.Error, OSError) as e:
            logger.debug("Pebble of %s gives no answer: %s", self.name, e)
            return ContainerView()
        # An image may bring services of its own, under the same names too. What the charm puts
        # into the plan runs from its own directory, and nothing else is the charm's to start.
        own = {name: service for name, service in planned.items() if _is_own(service)}
        running = frozenset(s.name for s in services if s.is_running())
        wake = own.get(WAKE_SERVICE)
        return ContainerView(
            ready=True,
            boot=boot,
            current=wake is not None and fingerprint in (None, wake.summary),
            running=running & own.keys(),
            services=frozenset(own),
            foreign=running - own.keys(),
        )

    def _boot(self) -> str:
        try:
            return pebbles.boot_id(self.name)
        except (OSError, ValueError, LookupError) as e:
            logger.debug("Pebble of %s does not say when it was started: %s", self.name, e)
            return ""

    def image(self) -> Image:
        """Return what the image of the container has, by one look."""

        def look() -> Image:
            try:
                return image.found(self._run(*image.COMMAND))
            except pebble.APIError as e:
                if "find executable" in str(e):
                    return image.WITHOUT_SHELL
                raise

        return self._call(look)

    def holders(self, inodes: Collection[str]) -> dict[str, Holder]:
        """Return which process of the container has each of some sockets; absent: none has."""

        def look() -> dict[str, Holder]:
            text = self._run("sh", "-c", _HOLDERS, "sh", *inodes)
            planned = self._container.pebble.get_plan().services
            active = (s.name for s in self._container.pebble.get_services() if s.is_running())
            programs = {
                name: shlex.split(planned[name].command)[0].rpartition("/")[2][:_NAME_LIMIT]
                for name in active
                if name in planned and not _is_own(planned[name])
            }
            return dict(self._holder(line, programs) for line in text.splitlines())

        return self._call(look)

    def _holder(self, line: str, programs: Mapping[str, str]) -> tuple[str, Holder]:
        inode, pid, own, text = line.split(" ", 3)
        names = text.split("/")[1:]
        return inode, Holder(
            container=self.name,
            name="".join(filter(str.isprintable, names[0] if names else "?")),
            pid=int(pid),
            service=next((s for s in sorted(programs) if programs[s] in names), None),
            is_own=own == "yes",
        )

    def write(self, files: Iterable[File], user: str, group: str) -> None:
        """Write files.

        Args:
            files: below the charm's directory.
            user: who runs Redis.
            group: who may read the files.
        """

        def push() -> None:
            self._make_dir(CONFIG_DIR, group)
            self._container.make_dir(
                LIVE_DIR, make_parents=True, permissions=0o700, user=user, group=group
            )
            for file in files:
                if file.path.startswith(TLS_DIR):
                    self._make_dir(TLS_DIR, group)
                    self._make_dir(file.path.rpartition("/")[0], group)
                self._container.push(
                    file.path, file.text, permissions=file.mode, user_id=0, group=group
                )

        self._call(push)

    def add_layer(self, layer: pebble.LayerDict) -> None:
        """Put the charm's layer into the plan; running services go on as they are."""
        self._call(lambda: self._container.add_layer("redis-k8s", layer, combine=True))

    def restart_if_changed(self, service: str, layer: pebble.LayerDict) -> None:
        """Restart a running service that a layer gives another environment.

        Args:
            service: that other services don't depend on.
            layer: not yet in the plan, so that a hook that ends here does this again.
        """

        def restart() -> None:
            planned = self._container.get_plan().services.get(service)
            wanted = layer.get("services", {}).get(service)
            if planned is None or wanted is None:
                return
            if planned.environment == wanted.get("environment", {}):
                return
            if self._container.get_service(service).is_running():
                # The new environment is not in the plan yet; the script reads its file again.
                self._container.pebble.restart_services([service], timeout=0)

        self._call(restart)

    def start(self, service: str) -> None:
        """Start a service, without waiting for what becomes of it."""
        # With a wait, Pebble looks on for a second whether the service stays up.
        self._call(lambda: self._container.pebble.start_services([service], timeout=0))

    def stop(self, *services: str) -> None:
        """Stop services and wait until they have ended."""
        self._call(lambda: self._container.stop(*services))

    def own_storage(self, user: str, group: str) -> None:
        """Give the volume to the user that runs Redis; its root belongs to whoever made it."""
        self._call(lambda: self._run("chown", "-R", "-h", f"{user}:{group}", STORAGE_DIR))

    def own_sentinel_state(self, user: str, group: str) -> None:
        """Give the volume's root and the Sentinel's part of it to the user that runs Sentinel."""

        def own() -> None:
            self._run("chown", "-h", f"{user}:{group}", STORAGE_DIR)
            if self._container.exists(SENTINEL_DIR):
                self._run("chown", "-R", "-h", f"{user}:{group}", SENTINEL_DIR)

        self._call(own)

    def data_time(self) -> float | None:
        """Return when the data that Redis would load was last written, in seconds.

        0: it would load an append-only file in which there is nothing; None: no file at all.
        """

        def newest() -> float | None:
            log = self._data_files(f"{STORAGE_DIR}/appendonlydir")
            # Redis passes a snapshot over that lies beside an append-only file.
            files = log or self._data_files(STORAGE_DIR)
            if log and sum(file.size or 0 for file in log) <= _EMPTY_LOG_BYTES:
                return 0.0
            return max((file.last_modified.timestamp() for file in files), default=None)

        return self._call(newest)

    def _data_files(self, directory: str) -> list[pebble.FileInfo]:
        if not self._container.exists(directory):
            return []
        return [
            file
            for file in self._container.list_files(directory)
            if file.name.endswith((".aof", ".rdb")) and not file.name.startswith("temp-")
        ]

    def permit_birth(self) -> None:
        """Let the guarded start make an empty primary, once."""
        self._call(lambda: self._write_as_user(File(BIRTH_PERMIT, "")))

    def has_sentinel_conf(self, owner_mark: str) -> bool:
        """Whether the volume holds the ``sentinel.conf`` of this unit and this application."""

        def look() -> bool:
            if not self._container.exists(SENTINEL_CONF):
                return False
            try:
                return self._container.pull(_OWNER_MARK).read() == owner_mark
            except pebble.PathError:
                return False

        return self._call(look)

    def write_sentinel_conf(self, conf: File, owner_mark: str) -> None:
        """Write the first ``sentinel.conf`` and whose it is."""

        def write() -> None:
            self._write_as_user(conf)
            self._write_as_user(File(_OWNER_MARK, owner_mark))

        self._call(write)

    def sentinel_serves(self) -> Serves | None:
        """Return what the Sentinel was started to serve; None: it has not been started."""

        def pull() -> Serves | None:
            try:
                # It goes on to the other units, so nothing else may be read as if it were this.
                return parse(self._container.pull(SENTINEL_SERVES).read().strip())
            except pebble.PathError:
                return None

        return self._call(pull)

    def restart(self, service: str) -> None:
        """Restart a service, without waiting for what becomes of it."""
        self._call(lambda: self._container.pebble.restart_services([service], timeout=0))

    def sentinel_conf(self) -> str:
        """Return ``sentinel.conf`` as it is on the volume."""
        return self._call(lambda: self._run("cat", SENTINEL_CONF, by=self._user()))

    def refresh_sentinel_conf(self, conf: File) -> None:
        """Write ``sentinel.conf`` anew; its Sentinel must not be running."""
        self._call(lambda: self._write_as_user(conf))

    def drop_sentinel_state(self) -> None:
        """Remove the Sentinel's state: a later unit of this number must not begin with it."""
        self._call(lambda: self._container.remove_path(SENTINEL_DIR, recursive=True))

    def notify_later(self, units: int | None = None) -> bool:
        """Have Pebble send the charm a notice; False if one is under way.

        Args:
            units: what the hook waits for shows in this pod, where so many units are to be known:
                the notice comes when it does. None: it may come true anywhere; in a moment.
        """

        def start() -> bool:
            running = self._container.get_service(WAKE_SERVICE).is_running()
            text = "soon\n" if units is None else f"here {units}\n"
            # In root's own directory; the script reads it.
            self._container.push(WAKE_FOR, text, permissions=0o644, user_id=0, group_id=0)
            if running:
                return False
            self._container.pebble.start_services([WAKE_SERVICE], timeout=0)
            return True

        return self._call(start)

    def _make_dir(self, path: str, group: str) -> None:
        self._container.make_dir(
            path, make_parents=True, permissions=0o750, user_id=0, group=group
        )

    def _user(self) -> _User:
        """Return who runs the charm's services here; its layer says so, once it is there."""
        wake = self._container.pebble.get_plan().services.get(WAKE_SERVICE)
        if wake is None:
            raise WorkloadError(f"Pebble of {self.name}: the charm's services are not there yet")
        return _User(wake.user, wake.group)

    def _write_as_user(self, file: File) -> None:
        """Write a file that only he reads."""
        self._run("sh", "-c", _WRITE, file.path, stdin=file.text, by=self._user())

    def _run(self, *words: str, stdin: str | None = None, by: _User | None = None) -> str:
        """Run a program to its end, as a user or as root, and return its output."""
        process = self._container.exec(
            [*words],
            stdin=stdin,
            user=by.name if by else None,
            group=by.group if by else None,
            timeout=_EXEC_TIMEOUT_S,
            # A user's home, where Pebble would start it, need not be there.
            working_dir="/",
        )
        return process.wait_output()[0]

    def _call(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except pebble.ExecError as e:
            # Its own text has the output, and that may be a file with passwords.
            program = e.command[0]
            raise WorkloadError(
                f"Pebble of {self.name}: {program} ended with {e.exit_code}: {e.stderr}"
            ) from None
        except (pebble.Error, ops.ModelError, OSError) as e:
            raise WorkloadError(f"Pebble of {self.name}: {e}") from e
