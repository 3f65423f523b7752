# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Opens connections to Redis and Sentinel, names their failures, reads and sets one node.

The words master and slave stay inside this module and ``sentinel``.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

import texts
from constants import (
    ANSWER_BUDGET_S,
    CLAIM_LIMIT_S,
    HANDOVER_CHANNEL,
    OPERATOR_USER,
    RECENT_S,
    REDIS_PORT,
    SOCKET_TIMEOUT_S,
)
from engine.world import RedisView
from errors import RedisClientError, Refusal, RefusedError, UnreachableError
from nodes.access import Access, Mode, Transport

K = TypeVar("K")
T = TypeVar("T")


def speaks_tls(host: str, port: int) -> bool:
    """Find out whether a node speaks TLS, without telling it a password.

    Raises:
        OSError: no answer, of neither kind.
    """
    with socket.create_connection((host, port), SOCKET_TIMEOUT_S) as probe:
        probe.sendall(b"PING\r\n")
        try:
            # -NOAUTH in plain text; a TLS node sends an alert or hangs up.
            return probe.recv(1) not in (b"-", b"+")
        except ConnectionError:
            return True


class _TlsConnection(redis.SSLConnection):
    """Trusts the authorities of the application and no other.

    redis-py adds those of the system, which nobody asked for, and takes a twentieth of a second
    to read them, for each connection.
    """

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = bool(self.check_hostname)
        context.load_verify_locations(cadata=self.ca_data)
        return context.wrap_socket(sock, server_hostname=self.host)


def _tls_options(host: str, port: int, transport: Transport) -> dict[str, Any]:
    mode = transport.mode
    if mode is Mode.PLAIN or (mode is Mode.EITHER and not speaks_tls(host, port)):
        return {}
    if not transport.authorities:
        raise OSError("it speaks TLS, and no authority is known yet")
    return {
        "ssl": True,
        "ssl_ca_data": transport.authorities,
        "ssl_check_hostname": transport.names_hosts,
    }


@contextlib.contextmanager
def connect(host: str, port: int, access: Access) -> Iterator[redis.Redis]:
    """Yield a client of one node, logged in, and close it.

    Args:
        host: DNS name of the unit; or 127.0.0.1.
        port: of Redis or of Sentinel.
        access: to the application.

    Raises:
        UnreachableError: no answer.
        RefusedError: the answer is an error.
    """
    try:
        options = _tls_options(host, port, access.transport)
    except OSError as e:
        raise UnreachableError(texts.NODE_SILENT.format(host=host, port=port, error=e)) from e
    client = redis.Redis(
        **options,
        host=host,
        port=port,
        username=access.user,
        password=access.password,
        decode_responses=True,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        protocol=2,
        # One attempt: a hook that must not wait has its own plan for a silent host.
        retry=Retry(NoBackoff(), 0),
        # No CLIENT SETINFO: Redis 7.0 does not know it.
        driver_info=None,
        single_connection_client=False,
    )
    if options:
        client.connection_pool.connection_class = _TlsConnection
    try:
        yield client
    # AuthenticationError and BusyLoadingError are ConnectionErrors in redis-py, so they go first.
    except (redis.AuthenticationError, NoPermissionError) as e:
        raise _refused(host, port, e, Refusal.LOGIN) from e
    except redis.BusyLoadingError as e:
        raise _refused(host, port, e, Refusal.LOADING) from e
    except redis.ResponseError as e:
        raise _refused(host, port, e, Refusal.OTHER) from e
    except (redis.RedisError, OSError) as e:
        raise UnreachableError(texts.NODE_SILENT.format(host=host, port=port, error=e)) from e
    finally:
        client.close()


def ask_all(
    nodes: Iterable[K], ask: Callable[[K], T], budget_s: float = ANSWER_BUDGET_S
) -> dict[K, T | RedisClientError]:
    """Ask all nodes at once and return what came back in time.

    A look-up of a name has no time limit of its own, so each node has a thread that is left
    behind when the budget is spent; it is a daemon and holds up no exit.

    Args:
        nodes: each is asked once.
        ask: raises RedisClientError for a node that does not answer; anything else is a bug.
        budget_s: seconds for all of them together.

    Returns:
        By node: the answer, or the error that says why there is none.
    """
    answers: queue.SimpleQueue[tuple[K, T | BaseException]] = queue.SimpleQueue()

    def run(node: K) -> None:
        try:
            answers.put((node, ask(node)))
        except BaseException as e:  # handed over to the thread that waits
            answers.put((node, e))

    pending = set(nodes)
    results: dict[K, T | RedisClientError] = {}
    for node in pending:
        threading.Thread(target=run, args=(node,), daemon=True).start()
    deadline = time.monotonic() + budget_s
    while pending:
        try:
            node, answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if isinstance(answer, BaseException) and not isinstance(answer, RedisClientError):
            raise answer
        pending.discard(node)
        results[node] = answer
    for node in pending:
        results[node] = UnreachableError(f"{node} gives no answer within {budget_s} s")
    return results


def pipelined(client: redis.Redis, *commands: tuple[Any, ...]) -> list[Any]:
    """Send several commands in one go; an error reply stands in the place of its answer."""
    with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        return pipe.execute(raise_on_error=False)


def _refused(host: str, port: int, error: Exception, refusal: Refusal) -> RefusedError:
    text = texts.NODE_REFUSED.format(host=host, port=port, error=error)
    return RefusedError(text, refusal)


def ask(client: redis.Redis, *command: Any) -> Any:
    """Send one command and return its reply."""
    return client.execute_command(*command)


def flat(reply: Any) -> dict[str, str]:
    """Turn a reply of alternating names and values into a mapping of texts."""
    if isinstance(reply, dict):
        return {str(k): str(v) for k, v in reply.items()}
    return {str(k): str(v) for k, v in zip(reply[::2], reply[1::2], strict=True)}


def _count_claims(client: redis.Redis) -> int:
    """Count the charm's subscriptions on a node, but for those of claimants that died.

    It subscribes to nothing else. Asked only where there is a claim, since the list has all that
    the users subscribe to as well.
    """
    found = ask(client, "CLIENT LIST", "TYPE", "pubsub")
    return sum(
        each["user"] == OPERATOR_USER and int(each["age"]) <= CLAIM_LIMIT_S for each in found
    )


def _version(info: Mapping[str, Any]) -> str:
    """Return the version, after the name of a server that calls itself something else than Redis.

    What such a server has in ``redis_version`` is the Redis that it is compatible with: every
    Valkey says 7.2.4.
    """
    name = str(info.get("server_name", "redis"))
    version = str(info.get(f"{name}_version", info["redis_version"]))
    return version if name == "redis" else f"{name} {version}"


def _slow_write_ms(latest: Iterable[Any], now_s: int) -> int:
    """Return how long the latest slow write to the append-only file took, if it was just now.

    Args:
        latest: the reply of LATENCY LATEST: name, time in seconds, latest and longest in ms.
        now_s: by the clock of that Redis.
    """
    return max(
        (
            int(took_ms)
            for name, time_s, took_ms, *_ in latest
            if str(name).startswith("aof-write") and now_s - int(time_s) < RECENT_S
        ),
        default=0,
    )


def restore_user(
    host: str, port: int, admin: str, admin_password: str, rights: str, access: Access
) -> None:
    """Give the charm's user its rights and its password back, as the administrator.

    Args:
        host: of the node.
        port: of Redis or of Sentinel.
        admin: who may do everything on that node.
        admin_password: of that user.
        rights: that the charm's user is to have.
        access: the charm's own, which the node refuses.

    Raises:
        UnreachableError: no answer.
        RefusedError: the administrator's login is refused too.
    """
    digest = hashlib.sha256(access.password.encode()).hexdigest()
    rules = ("reset", "on", f"#{digest}", *rights.split())
    with connect(host, port, replace(access, user=admin, password=admin_password)) as client:
        ask(client, "ACL", "SETUSER", access.user, *rules)


class RedisNode:
    """Asks and commands the Redis of one host, in our words."""

    def __init__(self, host: str, access: Access):
        self.host = host
        self._access = access

    def _connect(self) -> contextlib.AbstractContextManager[redis.Redis]:
        return connect(self.host, REDIS_PORT, self._access)

    def view(self, settings: Iterable[str] = ()) -> RedisView:
        """Return role, replication and the run-time settings asked for.

        Raises:
            UnreachableError: no answer.
            RefusedError: it is loading its data, or the password is wrong.
        """
        commands: list[tuple[Any, ...]] = [
            ("ROLE",),
            ("INFO", "everything"),
            ("PUBSUB NUMSUB", HANDOVER_CHANNEL),
            ("LATENCY LATEST",),
        ]
        names = sorted(settings)
        if names:
            commands.append(("CONFIG GET", *names))
        with self._connect() as client:
            replies = pipelined(client, *commands)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
            role, info, claims, latest = replies[:4]
            handover_claims = _count_claims(client) if claims[0][1] else 0
        if info["loading"]:
            # It answers these questions while it loads, as if it had nothing and no replicas.
            text = texts.NODE_LOADS.format(host=self.host, port=REDIS_PORT)
            raise RefusedError(text, Refusal.LOADING)
        is_primary = role[0] == "master"
        return RedisView(
            role="primary" if is_primary else "replica",
            primary_host=None if is_primary else str(info["master_host"]),
            link_up=not is_primary and info["master_link_status"] == "up",
            offset_bytes=int(info["master_repl_offset" if is_primary else "slave_repl_offset"]),
            priority=int(info.get("slave_priority", -1)),
            connected_replicas=int(info.get("min_slaves_good_slaves", info["connected_slaves"])),
            handover_claims=handover_claims,
            persists=info.get("aof_last_write_status", "ok") == "ok",
            has_log=info.get("aof_enabled", 1) == 1,
            rewrites_log=bool(
                info.get("aof_rewrite_in_progress") or info.get("aof_rewrite_scheduled")
            ),
            slow_write_ms=_slow_write_ms(latest, int(info["server_time_usec"]) // 1_000_000),
            version=_version(info),
            uptime_s=int(info["uptime_in_seconds"]),
            settings=flat(replies[4]) if names else {},
        )

    def set(self, settings: Mapping[str, str]) -> None:
        """Change run-time settings.

        Raises:
            UnreachableError: no answer.
            RefusedError: a value is not accepted.
        """
        with self._connect() as client:
            for name, value in settings.items():
                ask(client, "CONFIG SET", name, value)

    def follow(self, primary_host: str) -> None:
        """Make it a replica of another host and let its paused clients go on.

        Raises:
            UnreachableError: no answer.
            RefusedError: an error reply.
        """
        with self._connect() as client:
            ask(client, "REPLICAOF", primary_host, REDIS_PORT)
            ask(client, "CLIENT UNPAUSE")

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Hold the claim on handing over from this node, while the context lasts.

        The claim is a subscription, so it ends with the process that made it, and costs nothing
        to ask for. Two that come at once may both see each other and both give way.

        Raises:
            UnreachableError: no answer.
            RefusedError: somebody else holds it.
        """
        with self._connect() as client:
            claim = client.pubsub()
            try:
                claim.subscribe(HANDOVER_CHANNEL)
                claim.get_message(timeout=SOCKET_TIMEOUT_S)
                if _count_claims(client) > 1:
                    raise RefusedError(texts.NODE_HANDED_OVER.format(host=self.host))
                yield
            finally:
                claim.close()
