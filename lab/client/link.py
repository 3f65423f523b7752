"""The socket of a model's controller, as its users see it."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from lab import sandbox
from lab.client.errors import LabError
from lab.client.places import home


class Link:
    """A model by its name, and the way to its controller."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dir = home() / name

    def _runs(self) -> bool:
        return any(line.startswith("process") for line in sandbox.leftovers(self.dir))

    def _answers(self) -> bool:
        try:
            with self._connect():
                return True
        except OSError:
            return False

    def _connect(self) -> socket.socket:
        # Through the open directory, since a socket's path has at most 107 bytes.
        folder = os.open(self.dir, os.O_PATH | os.O_DIRECTORY)
        try:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(f"/proc/self/fd/{folder}/controller.sock")
            except OSError:
                connection.close()
                raise
            return connection
        finally:
            os.close(folder)

    def _ask(self, op: str, wait_s: float = 0.0, **arguments: Any) -> Any:
        """Send a request; ``wait_s`` is what it may take beyond the usual 60 s."""
        try:
            connection = self._connect()
        except OSError as e:
            raise LabError(f"model {self.name} does not run") from e
        with connection:
            connection.settimeout(60.0 + wait_s)
            try:
                connection.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
                with connection.makefile("rb") as lines:
                    text = lines.readline()
            except OSError as e:
                raise LabError(f"the controller of {self.name} gives no answer: {e}") from e
        if not text:
            raise LabError(f"the controller of {self.name} has ended")
        answer = json.loads(text)
        if "error" in answer:
            raise LabError(answer["error"])
        return answer["result"]
