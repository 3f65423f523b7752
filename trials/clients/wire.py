# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the client programs share: their settings, and connections that never retry by themselves.

A program reads its settings as one line of JSON on its standard input, so that the passwords are
in no argument list and no environment.
"""

import json
import socket
import ssl
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

REDIS_PORT = 6379
SENTINEL_PORT = 26379
SOCKET_TIMEOUT_S = 0.5
SERVER = "-server "
"""In the command line of each Redis and each Sentinel, whatever its program is called."""
CLI = "$(command -v redis-cli || command -v valkey-cli)"
"""For a shell in a container: its command-line client."""
DOWN_FLAGS = ("s_down", "o_down")
"""Flags of a node that a Sentinel takes for down."""


class NoPrimaryError(Exception):
    """No Sentinel could say who is primary; the text has what each said."""


@dataclass(frozen=True)
class Access:
    """How clients reach one Redis application.

    Attributes:
        name: what the Sentinels call the primary: the name of the application.
        hosts: where the Sentinels are; those that do not exist (yet) are allowed.
        redis_password: of the administrator on Redis; ``None`` logs in without one.
        sentinel_password: of the user ``default`` on Sentinel; ``None`` likewise.
        ca: certificates of the authorities to trust, in PEM format, for TLS; empty: plain text.
        either: TLS where the node speaks it, else plain text; for the time of a change.
        redis_user: the administrator on Redis.
    """

    name: str
    hosts: tuple[str, ...]
    redis_password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    ca: str = field(default="", repr=False)
    either: bool = False
    redis_user: str = "default"

    def to_json(self, **more: Any) -> str:
        """Return the line that a client program reads, with the program's own settings."""
        return json.dumps({**asdict(self), **more})

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> "Access":
        """Return the access that ``to_json`` wrote; other keys are left alone."""
        return cls(
            name=settings["name"],
            hosts=tuple(settings["hosts"]),
            redis_password=settings.get("redis_password"),
            sentinel_password=settings.get("sentinel_password"),
            ca=settings.get("ca", ""),
            either=settings.get("either", False),
            redis_user=settings.get("redis_user", "default"),
        )


def read_settings() -> dict[str, Any]:
    """Return the settings on standard input.

    Raises:
        SystemExit: there is no line, or it is no JSON object.
    """
    line = sys.stdin.readline()
    try:
        settings = json.loads(line)
    except ValueError as e:
        raise SystemExit("One line of JSON with the settings is expected on standard input") from e
    if not isinstance(settings, dict):
        raise SystemExit("The settings are a JSON object")
    return settings


def _options(password: str | None) -> dict[str, Any]:
    # redis-py tries a failed command again by itself unless told not to: the measured gaps would
    # be its own, and a write could happen twice.
    return {
        "password": password,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": SOCKET_TIMEOUT_S,
        "decode_responses": True,
        "retry": Retry(NoBackoff(), 0),
        "driver_info": None,
        "protocol": 2,
    }


class _TlsConnection(redis.SSLConnection):
    """Does not read the authorities of the system for each connection, which costs a gap."""

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=self.ca_data)
        return context.wrap_socket(sock)


def connect(
    host: str, port: int, password: str | None, access: "Access | None" = None
) -> redis.Redis:
    """Return a client with one connection to a Redis or a Sentinel.

    Args:
        host: its name.
        port: its port.
        password: of the administrator.
        access: says who that is on Redis, whether to use TLS, and whom to trust. The name in
            the certificate is not compared, since one of files may be the same for all units.

    Raises:
        redis.RedisError: nobody answered there in time, or the password was refused.
    """
    options = {"host": host, "port": port, **_options(password)}
    if access and port == REDIS_PORT and password is not None:
        options["username"] = access.redis_user
    if access and access.ca and not (access.either and not speaks_tls(host, port)):
        options |= {"connection_class": _TlsConnection, "ssl_ca_data": access.ca}
    # Its pool would replace a broken connection by a new one to the same address, unseen.
    return redis.Redis(
        connection_pool=redis.ConnectionPool(**options), single_connection_client=True
    )


def speaks_tls(host: str, port: int) -> bool:
    """Tell whether a node answers plain text by hanging up.

    Raises:
        OSError: nobody answered.
    """
    with socket.create_connection((host, port), SOCKET_TIMEOUT_S) as probe:
        probe.sendall(b"PING\r\n")
        try:
            return probe.recv(1) not in (b"-", b"+")
        except ConnectionError:
            return True


def pairs(reply: Any) -> dict[str, str]:
    """Return the mapping that Sentinel sends as a flat list of names and values."""
    return dict(zip(reply[::2], reply[1::2], strict=True))


class Sentinels:
    """Asks the Sentinels of one application, one after the other, who is primary.

    The one that answered is asked first the next time, and one that did not is asked last, so
    that a dead host costs its time-out once.
    Source: https://redis.io/docs/latest/develop/reference/sentinel-clients/
    """

    def __init__(self, access: Access):
        self._access = access
        self._hosts = list(access.hosts)

    def primary_host(self) -> str:
        """Return the host that the first Sentinel with an opinion names.

        Raises:
            NoPrimaryError: no Sentinel answered, or those that did take the primary for down.
        """
        reasons = []
        for host in tuple(self._hosts):
            self._hosts.remove(host)
            try:
                primary = self._ask(host)
            except (RedisError, OSError) as e:
                reasons.append(f"{host}: {e}")
                self._hosts.append(host)
                continue
            self._hosts.insert(0, host)
            if any(flag in primary["flags"] for flag in DOWN_FLAGS):
                reasons.append(f"{host}: the primary is {primary['flags']}")
                continue
            return primary["ip"]
        raise NoPrimaryError(f"No Sentinel names a primary ({'; '.join(reasons)})")

    def replica_hosts(self) -> list[str]:
        """Return the replicas that clients may read from, as the first Sentinel that answers says.

        Raises:
            NoPrimaryError: no Sentinel answered.
        """
        reasons = []
        for host in tuple(self._hosts):
            try:
                with connect(
                    host, SENTINEL_PORT, self._access.sentinel_password, self._access
                ) as client:
                    replies: Any = client.execute_command(
                        "SENTINEL", "REPLICAS", self._access.name
                    )
            except (RedisError, OSError) as e:
                reasons.append(f"{host}: {e}")
                continue
            return [
                replica["ip"]
                for replica in map(pairs, replies)
                if replica["master-link-status"] == "ok"
                and not any(flag in replica["flags"] for flag in DOWN_FLAGS)
            ]
        raise NoPrimaryError(f"No Sentinel names the replicas ({'; '.join(reasons)})")

    def _ask(self, host: str) -> dict[str, str]:
        with connect(host, SENTINEL_PORT, self._access.sentinel_password, self._access) as client:
            return pairs(client.execute_command("SENTINEL", "MASTER", self._access.name))
