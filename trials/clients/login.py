# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A client that logs in all the time, by a new connection each time, and records what came of it.

It goes from node to node, Redis and Sentinel in turn. After the line with its settings it takes
more lines of JSON with the passwords to use from then on, as a client that follows a secret does.
"""

import itertools
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from trials.clients import wire
from trials.clients.checker import RecordLog


@dataclass(frozen=True)
class Login:
    """One attempt to log in.

    Attributes:
        end_s: when it was over, on the machine's monotonic clock.
        node: host and port.
        error: ``None`` for one that succeeded, else class and text of the error.
    """

    end_s: float
    node: str
    error: str | None = None


class LoginLog(RecordLog[Login]):
    """Follows the file that this client fills."""

    def __init__(self, path: Path):
        super().__init__(path, Login)


def log_in(access: wire.Access, host: str, port: int) -> Login:
    """Return what came of one login."""
    password = access.redis_password if port == wire.REDIS_PORT else access.sentinel_password
    error = None
    try:
        with wire.connect(host, port, password, access) as client:
            client.ping()
    except (RedisError, OSError) as e:
        error = f"{type(e).__name__}: {e}"
    return Login(time.monotonic(), f"{host}:{port}", error)


def main() -> None:
    """Log in until standard input is closed; see `trials.clients.process.ClientProcess`."""
    settings = wire.read_settings()
    known: list[dict[str, Any]] = [settings]
    ended = threading.Event()

    def follow() -> None:
        for line in sys.stdin:
            known[:] = [{**settings, **json.loads(line)}]
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    nodes = itertools.cycle(
        [(h, p) for h in settings["hosts"] for p in (wire.REDIS_PORT, wire.SENTINEL_PORT)]
    )
    with open(settings["log"], "a", encoding="utf-8") as log:
        while not ended.wait(settings["period_s"]):
            login = log_in(wire.Access.from_mapping(known[0]), *next(nodes))
            print(json.dumps(asdict(login)), file=log, flush=True)


if __name__ == "__main__":
    main()
