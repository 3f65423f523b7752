# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Pebble: the files, layers and services of one workload container."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import ops
from ops import pebble

from constants import (
    BIRTH_PERMIT,
    CONFIG_DIR,
    EXPORTER_PATHS,
    SENTINEL_CONF,
    SENTINEL_DIR,
    SENTINEL_SERVES,
    STORAGE_DIR,
    TLS_DIR,
    WAKE_SERVICE,
    WORKLOAD_USER,
)
from errors import WorkloadError
from world import ContainerView, File

logger = logging.getLogger(__name__)

_OWNER_MARK = f"{SENTINEL_DIR}/owner"
_EXEC_TIMEOUT_S = 5.0
_EMPTY_LOG_BYTES = 96
"""The first file of an append-only file has 88 to 90 bytes; with one key it has 98 at least."""


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
        try:
            services = client.get_services()
            planned = client.get_plan().services
        except (pebble.Error, OSError) as e:
            logger.debug("Pebble of %s gives no answer: %s", self.name, e)
            return ContainerView()
        # An image may bring services of its own, under the same names too. What the charm puts
        # into the plan runs from its own directory, and nothing else is the charm's to start.
        own = {n: s for n, s in planned.items() if s.command.startswith(f"{CONFIG_DIR}/")}
        wake = own.get(WAKE_SERVICE)
        return ContainerView(
            ready=True,
            current=wake is not None and fingerprint in (None, wake.summary),
            running=frozenset(s.name for s in services if s.is_running() and s.name in own),
            services=frozenset(own),
        )

    def exporter(self) -> str | None:
        """Return the path of the exporter in the image; None where it has none."""
        return self._call(
            lambda: next((p for p in EXPORTER_PATHS if self._container.exists(p)), None)
        )

    def write(self, files: Iterable[File]) -> None:
        """Write files."""

        def push() -> None:
            for directory in (CONFIG_DIR, f"{CONFIG_DIR}/live"):
                self._make_dir(directory)
            for file in files:
                if file.path.startswith(TLS_DIR):
                    self._make_dir(file.path.rpartition("/")[0])
                self._push(file)

        self._call(push)

    def add_layer(self, layer: Any) -> None:
        """Put the charm's layer into the plan; running services go on as they are."""
        self._call(lambda: self._container.add_layer("redis-k8s", layer, combine=True))

    def restart_if_changed(self, service: str, layer: Any) -> None:
        """Restart a running service that a layer gives another environment.

        Args:
            service: that other services don't depend on.
            layer: not yet in the plan, so that a hook that ends here does this again.
        """

        def restart() -> None:
            planned = self._container.get_plan().services.get(service)
            wanted = layer["services"].get(service)
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

    def own_storage(self) -> None:
        """Give the volume to the user that runs Redis; its root belongs to whoever made it."""
        owner = f"{WORKLOAD_USER}:{WORKLOAD_USER}"
        command = ["chown", "-R", owner, STORAGE_DIR]
        self._call(lambda: self._container.exec(command, timeout=_EXEC_TIMEOUT_S).wait())

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
        self._call(lambda: self._push(File(BIRTH_PERMIT, "")))

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

        def push() -> None:
            self._make_dir(SENTINEL_DIR)
            self._push(conf)
            self._push(File(_OWNER_MARK, owner_mark))

        self._call(push)

    def sentinel_serves(self) -> str | None:
        """Return what the Sentinel was started to serve; None: it has not been started."""

        def pull() -> str | None:
            try:
                return self._container.pull(SENTINEL_SERVES).read().strip()
            except pebble.PathError:
                return None

        return self._call(pull)

    def restart(self, service: str) -> None:
        """Restart a service, without waiting for what becomes of it."""
        self._call(lambda: self._container.pebble.restart_services([service], timeout=0))

    def sentinel_conf(self) -> str:
        """Return ``sentinel.conf`` as it is on the volume."""
        return self._call(lambda: self._container.pull(SENTINEL_CONF).read())

    def refresh_sentinel_conf(self, conf: File) -> None:
        """Write ``sentinel.conf`` anew; its Sentinel must not be running."""
        self._call(lambda: self._push(conf))

    def drop_sentinel_state(self) -> None:
        """Remove the Sentinel's state: a later unit of this number must not begin with it."""
        self._call(lambda: self._container.remove_path(SENTINEL_DIR, recursive=True))

    def notify_later(self) -> bool:
        """Have Pebble send the charm a notice in a moment; False if one is under way."""

        def start() -> bool:
            if self._container.get_service(WAKE_SERVICE).is_running():
                return False
            self._container.pebble.start_services([WAKE_SERVICE], timeout=0)
            return True

        return self._call(start)

    def _make_dir(self, path: str) -> None:
        self._container.make_dir(
            path, make_parents=True, permissions=0o700, user=WORKLOAD_USER, group=WORKLOAD_USER
        )

    def _push(self, file: File) -> None:
        self._container.push(
            file.path,
            file.text,
            permissions=file.mode,
            user=WORKLOAD_USER,
            group=WORKLOAD_USER,
        )

    def _call(self, call: Any) -> Any:
        try:
            return call()
        except (pebble.Error, ops.ModelError, OSError) as e:
            raise WorkloadError(f"Pebble of {self.name}: {e}") from e
