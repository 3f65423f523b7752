#!/usr/bin/env python3
# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The program: writes the numbers 1, 2, 3, ... to a list, and records what came of each.

It knows one URL. After an error it connects there anew; it needs nothing but Python.
"""

import json
import socket
import ssl
import sys
import time
from urllib.parse import unquote, urlsplit

PERIOD_S = 0.01
RETRY_S = 0.05
TIMEOUT_S = 0.5


class Redis:
    """One connection."""

    def __init__(self, url, ca):
        """Log in.

        Raises:
            OSError: nobody answers.
            RuntimeError: Redis refused; with what it said.
        """
        parts = urlsplit(url)
        at = parts.hostname, parts.port or 6379
        self._socket = socket.create_connection(at, TIMEOUT_S)
        if parts.scheme == "rediss":
            context = ssl.create_default_context(cadata=ca)
            self._socket = context.wrap_socket(self._socket, server_hostname=parts.hostname)
        self._stream = self._socket.makefile("rb")
        if parts.password:
            words = [unquote(parts.username)] if parts.username else []
            self.ask("AUTH", *words, unquote(parts.password))

    def ask(self, *words):
        """Send a command and return the line that it is answered with.

        Raises:
            OSError: no answer.
            RuntimeError: the answer is an error.
        """
        texts = [str(word).encode() for word in words]
        lines = b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)
        self._socket.sendall(b"*%d\r\n%s" % (len(texts), lines))
        line = self._stream.readline().decode()
        if not line:
            raise ConnectionError("it hung up")
        if line[0] == "-":
            raise RuntimeError(line[1:].strip())
        return line[1:].strip()

    def close(self):
        """End the connection."""
        self._socket.close()


def last_number(path):
    """Return the number that was tried last, by this program or the one before it."""
    try:
        with open(path, encoding="utf-8") as log:
            lines = log.read().splitlines()
    except FileNotFoundError:
        return 0
    return json.loads(lines[-1])["number"] if lines else 0


def main(home):
    """Write for as long as this process lives."""
    with open(f"{home}/redis.json", encoding="utf-8") as file:
        given = json.load(file)
    host = urlsplit(given["url"]).hostname
    number = last_number(f"{home}/writes")
    redis = None
    with open(f"{home}/writes", "a", encoding="utf-8") as log:
        while True:
            number += 1
            start_s, error = time.monotonic(), None
            try:
                if redis is None:
                    redis = Redis(given["url"], given["ca"])
                redis.ask("RPUSH", given["unit"], number)
            except (OSError, RuntimeError) as e:
                error = f"{type(e).__name__}: {e}"
                if redis is not None:
                    redis.close()
                redis = None
            end_s = time.monotonic()
            record = {"number": number, "start_s": start_s, "end_s": end_s, "host": host}
            print(json.dumps({**record, "error": error}), file=log, flush=True)
            time.sleep(RETRY_S if error else max(0.0, PERIOD_S - (end_s - start_s)))


if __name__ == "__main__":
    main(sys.argv[1])
