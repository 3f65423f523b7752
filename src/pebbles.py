# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the Pebbles of this unit say, asked before ops is imported or beside it."""

from __future__ import annotations

import json
import socket

from constants import PEBBLE_SOCKET, SOCKET_TIMEOUT_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    # typing alone would take a sixth of what a hook that ends early takes to import.
    from typing import Any


def boot_id(container: str) -> str:
    """Return what tells one start of a container's Pebble from the next.

    Raises:
        OSError: no answer.
        ValueError: it is none that Pebble gives.
        LookupError: likewise.
    """
    return str(_get(container, "/v1/system-info")["boot-id"])


def services(container: str) -> dict[str, str]:
    """Return the state of each service that a container's Pebble knows, such as ``active``.

    Raises:
        OSError: no answer.
        ValueError: it is none that Pebble gives.
        LookupError: likewise.
    """
    return {each["name"]: each["current"] for each in _get(container, "/v1/services")}


def _get(container: str, path: str) -> Any:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as pebble:
        pebble.settimeout(SOCKET_TIMEOUT_S)
        pebble.connect(PEBBLE_SOCKET.format(container))
        pebble.sendall(f"GET {path} HTTP/1.0\r\nHost: pebble\r\n\r\n".encode())
        with pebble.makefile("rb") as stream:
            _, _, body = stream.read().partition(b"\r\n\r\n")
    return json.loads(body)["result"]
