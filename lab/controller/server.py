"""The socket of a model, and the process behind it."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import sandbox
from lab.controller.applications import Applications
from lab.controller.core import Controller
from lab.controller.looking import Looking
from lab.controller.trouble import Trouble
from lab.model import ModelError
from lab.network import NetworkError
from lab.pods import PodError

SOCKET = "controller.sock"


class Server:
    """Answers the requests of a model's users."""

    def __init__(self, controller: Controller) -> None:
        self._requests: dict[str, Callable[..., Any]] = {}
        for family in (Applications, Looking, Trouble):
            self._requests.update(family(controller).table())

    def serve(self, ready: socket.socket) -> None:
        """Answer requests for ever."""
        while True:
            connection, _ = ready.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                with connection.makefile("rb") as lines:
                    line = lines.readline()
                if not line:
                    # A client that only asks whether somebody listens.
                    return
                request = json.loads(line)
                answer = {"result": self._requests[request.pop("op")](**request)}
            except (ModelError, PodError, NetworkError, sandbox.SandboxError, OSError) as e:
                answer = {"error": str(e)}
            except Exception as e:
                # A mistake of the lab itself is for the log of the controller, and for the user.
                traceback.print_exc()
                answer = {"error": f"the lab failed: {e!r}"}
            try:
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                # The client has gone and wants no answer any more.
                return


def main(model_dir: Path) -> None:
    """Run the controller of the model in ``model_dir`` until it is killed."""
    sandbox.prepare()
    # Where every thread is goes to the log on SIGUSR1, for a model that hangs.
    faulthandler.register(signal.SIGUSR1)
    server = Server(Controller(model_dir))
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The model's directory may be deep; a socket's path has at most 107 bytes.
    folder = os.open(model_dir, os.O_PATH | os.O_DIRECTORY)
    ready.bind(f"/proc/self/fd/{folder}/{SOCKET}.new")
    ready.listen(128)
    os.rename(model_dir / f"{SOCKET}.new", model_dir / SOCKET)
    os.close(folder)
    # A switch every 5 ms would let a hook tool wait behind every other thread.
    sys.setswitchinterval(0.001)
    server.serve(ready)
