# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A client program seen from both sides: by whoever starts and ends it, and by itself.

It gets its settings on standard input, ends when that is closed, and adds one line of JSON to a
file for each of its operations.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trials.clients import wire

# One operation can take a search for the primary, a name that does not resolve, and a time-out.
END_S = 20


@dataclass(frozen=True)
class Record:
    """What came of one operation."""

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(asdict(self))


class ClientProcess:
    """A client that runs on the model's network, as whoever started it sees it.

    Args:
        spawn: starts a process there: ``model.spawn``, or ``subprocess.Popen``.
        module: the program.
        access: the application it talks to.
        log: the file for the records; made anew.
        settings: the program's own settings.
    """

    def __init__(
        self,
        spawn: Callable[..., subprocess.Popen],
        module: str,
        access: wire.Access,
        *,
        log: Path,
        settings: Mapping[str, Any],
    ):
        self.log = log
        log.write_text("")
        self._name = module.rpartition(".")[2]
        self._process = spawn(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdin is not None
        self._process.stdin.write(access.to_json(log=str(log.resolve()), **settings) + "\n")
        self._process.stdin.flush()

    def tell(self, **settings: Any) -> None:
        """Send it another line of settings, for a client that reads more than one."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(settings) + "\n")
        self._process.stdin.flush()

    def running(self) -> bool:
        """Tell whether it still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it after the operation that is under way; fine when it has ended.

        Raises:
            RuntimeError: it had ended by itself, with an error.
        """
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            code = self._process.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code:
            raise RuntimeError(f"The {self._name} that fills {self.log.name} ended with {code}")


def run_client(
    operate: Callable[[], tuple[str, float]],
    settings: Mapping[str, Any],
    learn: Callable[[dict[str, Any]], None] = lambda _: None,
) -> None:
    """Repeat an operation until standard input is closed, or SIGTERM comes.

    Args:
        operate: does it once; returns the line for the log and the seconds until the next time.
        settings: ``log`` is the file, where each line shows at once.
        learn: is called with the settings of each later line on standard input.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait_for_the_end_of_input() -> None:
        for line in sys.stdin:
            learn(json.loads(line))
        stop.set()

    threading.Thread(target=wait_for_the_end_of_input, daemon=True).start()
    wait_s = 0.0
    with open(settings["log"], "a", encoding="utf-8") as log:
        while not stop.wait(wait_s):
            line, wait_s = operate()
            print(line, file=log, flush=True)
