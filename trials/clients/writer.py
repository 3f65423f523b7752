# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A client that writes the numbers 1, 2, 3, ... to a list and records what came of each.

``follow`` does as the documents of Sentinel say: after any error it asks the Sentinels for the
primary, and connects there. ``hold`` is the client that does not listen: it stays with the
address it has, connects to it again when the connection breaks, and asks the Sentinels only when
that address does not answer or refuses to write since it is a replica. ``stay`` knows one address
and asks nobody: a client in the primary's own pod, which a cut leaves alone with it.
Source: https://redis.io/docs/latest/develop/reference/sentinel-clients/
"""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import redis
from redis.exceptions import ReadOnlyError, RedisError

from trials.clients import wire
from trials.clients.process import ClientProcess, Record, run_client

RETRY_S = 0.05
Mode = Literal["follow", "hold", "stay"]


@dataclass(frozen=True)
class Write(Record):
    """One attempt to write.

    Attributes:
        number: what was written; a number is tried once, so that one without an answer stays
            recognisable.
        start_s: before the request, or before the search for a primary that came first.
        end_s: after the answer or the error; both on the machine's monotonic clock.
        host: where it was sent; empty when no primary was found.
        error: ``None`` for a write that was acknowledged, else class and text of the error.
    """

    number: int
    start_s: float
    end_s: float
    host: str
    error: str | None = None


class Writer:
    """Writes numbers to the primary of one application, one after the other.

    Args:
        access: the application; ``stay`` writes to the first host of it.
        key: the list that takes the numbers.
        mode: see above.
        address: where that first host is; the host's own name when empty.
    """

    def __init__(self, access: wire.Access, key: str, mode: Mode, address: str = ""):
        self._access = access
        self._key = key
        self._mode = mode
        self._address = address
        self._sentinels = wire.Sentinels(access)
        self._host = access.hosts[0] if mode == "stay" else ""
        self._connection: redis.Redis | None = None

    def write(self, number: int) -> Write:
        """Return what came of one attempt; the record has the error, if there was one."""
        start_s = time.monotonic()
        try:
            self._connected().rpush(self._key, number)
        except (wire.NoPrimaryError, RedisError, OSError) as e:
            failed = self._host
            self._drop(e)
            error = f"{type(e).__name__}: {e}"
            return Write(number, start_s, time.monotonic(), failed, error)
        return Write(number, start_s, time.monotonic(), self._host)

    def learn(self, access: wire.Access) -> None:
        """Use these passwords from the next connection on."""
        self._access = access
        self._sentinels = wire.Sentinels(access)

    def _connected(self) -> redis.Redis:
        if self._connection is not None:
            return self._connection
        if not self._host:
            self._host = self._sentinels.primary_host()
        self._connection = wire.connect(
            self._address or self._host,
            wire.REDIS_PORT,
            self._access.redis_password,
            self._access,
        )
        return self._connection

    def _drop(self, error: Exception) -> None:
        connected = self._connection is not None
        if self._connection is not None:
            with suppress(RedisError, OSError):
                self._connection.close()
            self._connection = None
        if self._mode == "stay":
            return
        # Whoever holds on comes back to the address unless it could not be reached at all or is
        # a replica now.
        if self._mode == "follow" or not connected or isinstance(error, ReadOnlyError):
            self._host = ""


class WriterProcess(ClientProcess):
    """A writer that runs on the model's network, as whoever started it sees it.

    Args:
        spawn: starts a process there: ``model.spawn``, or ``subprocess.Popen``.
        access: the application to write to.
        key: the list that takes the numbers; a key for each writer.
        log: the file for the records; made anew.
        mode: ``follow``, ``hold`` or ``stay``.
        address: as for `Writer`.
        period_s: the shortest time from one write to the next.
    """

    def __init__(
        self,
        spawn: Callable[..., subprocess.Popen],
        access: wire.Access,
        *,
        key: str,
        log: Path,
        mode: Mode = "follow",
        address: str = "",
        period_s: float = 0.005,
    ):
        self.key = key
        settings = {"key": key, "mode": mode, "address": address, "period_s": period_s}
        super().__init__(spawn, "trials.clients.writer", access, log=log, settings=settings)


def main() -> None:
    """Run a writer with the settings on standard input; see `run_client`."""
    settings = wire.read_settings()
    access = wire.Access.from_mapping(settings)
    writer = Writer(access, settings["key"], settings["mode"], settings["address"])
    number = 0

    def write() -> tuple[str, float]:
        nonlocal number
        number += 1
        result = writer.write(number)
        took_s = result.end_s - result.start_s
        wait_s = RETRY_S if result.error else max(0.0, settings["period_s"] - took_s)
        return result.to_json(), wait_s

    def learn(more: dict[str, Any]) -> None:
        writer.learn(wire.Access.from_mapping({**settings, **more}))

    run_client(write, settings, learn)


if __name__ == "__main__":
    main()
