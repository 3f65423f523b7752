# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A stranger that says nothing: prints all that is sent to the ports of Redis and Sentinel."""

from __future__ import annotations

import selectors
import socket
import sys

PORTS = (6379, 26379)


def main(address: str) -> None:
    """Print, for each port of the address, what comes in, as it comes."""
    selector = selectors.DefaultSelector()
    for port in PORTS:
        server = socket.create_server((address, port))
        selector.register(server, selectors.EVENT_READ, port)
    print("listening", flush=True)
    while True:
        for key, _ in selector.select():
            heard = key.fileobj
            assert isinstance(heard, socket.socket)
            if heard.getsockname()[1] == key.data and _listens(heard):
                client, _ = heard.accept()
                selector.register(client, selectors.EVENT_READ, key.data)
                print(key.data, "connected", flush=True)
                continue
            try:
                data = heard.recv(4096)
            except OSError:
                data = b""
            if data:
                print(key.data, data, flush=True)
            else:
                selector.unregister(heard)
                heard.close()


def _listens(heard: socket.socket) -> bool:
    return bool(heard.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


if __name__ == "__main__":
    main(sys.argv[1])
