# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A client that reads from replicas what the writers wrote last, and records what it got.

It asks the Sentinels for the replicas, stays with one for a while, and goes to the next; after
an error at once.
"""

import itertools
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError

from trials.clients import wire
from trials.clients.process import ClientProcess, Record, run_client

LAST = 5
"""How many numbers one read asks for."""
STAY = 25
"""How many reads go to one replica before the next one's turn."""
RETRY_S = 0.1


@dataclass(frozen=True)
class Read(Record):
    """One attempt to read the last numbers of a list.

    Attributes:
        key: the list.
        numbers: what came back; empty with an error.
        start_s: before the request, or before the search for a replica that came first.
        end_s: after the answer or the error; both on the machine's monotonic clock.
        host: where it was asked; empty when no replica was found.
        error: ``None`` for a read that was answered, else class and text of the error.
    """

    key: str
    numbers: Sequence[int]
    start_s: float
    end_s: float
    host: str
    error: str | None = None


class Reader:
    """Reads from the replicas of one application, one after the other."""

    def __init__(self, access: wire.Access, keys: Sequence[str]):
        self._access = access
        self._keys = itertools.cycle(keys)
        self._sentinels = wire.Sentinels(access)
        self._turns = itertools.count()
        self._host = ""
        self._left = 0
        self._connection: redis.Redis | None = None

    def read(self) -> Read:
        """Return what came of one attempt."""
        key = next(self._keys)
        start_s = time.monotonic()
        try:
            reply: Any = self._connected().lrange(key, -LAST, -1)
        except (wire.NoPrimaryError, RedisError, OSError) as e:
            failed = self._host
            self._drop()
            error = f"{type(e).__name__}: {e}"
            return Read(key, (), start_s, time.monotonic(), failed, error)
        found = Read(key, [int(n) for n in reply], start_s, time.monotonic(), self._host)
        self._left -= 1
        if self._left == 0:
            self._drop()
        return found

    def _connected(self) -> redis.Redis:
        if self._connection is None:
            hosts = sorted(self._sentinels.replica_hosts())
            if not hosts:
                raise wire.NoPrimaryError("There is no replica in sync")
            self._host = hosts[next(self._turns) % len(hosts)]
            self._left = STAY
            self._connection = wire.connect(
                self._host, wire.REDIS_PORT, self._access.redis_password, self._access
            )
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(RedisError, OSError):
                self._connection.close()
        self._connection = None
        self._host = ""


class ReaderProcess(ClientProcess):
    """A reader that runs on the model's network, as whoever started it sees it.

    Args:
        spawn: starts a process there: ``model.spawn``, or ``subprocess.Popen``.
        access: the application to read from.
        keys: the lists of the writers, read in turn.
        log: the file for the records; made anew.
        period_s: the time from one read to the next.
    """

    def __init__(
        self,
        spawn: Callable[..., subprocess.Popen],
        access: wire.Access,
        *,
        keys: Sequence[str],
        log: Path,
        period_s: float = 0.02,
    ):
        settings = {"keys": list(keys), "period_s": period_s}
        super().__init__(spawn, "trials.clients.reader", access, log=log, settings=settings)


def main() -> None:
    """Run a reader with the settings on standard input; see `run_client`."""
    settings = wire.read_settings()
    reader = Reader(wire.Access.from_mapping(settings), settings["keys"])

    def read() -> tuple[str, float]:
        result = reader.read()
        return result.to_json(), RETRY_S if result.error else settings["period_s"]

    run_client(read, settings)


if __name__ == "__main__":
    main()
