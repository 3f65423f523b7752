# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Whether a hook that only tells the time would find what the last look found.

Importing ops and redis-py is most of what a hook at rest costs. So a look that finds all right
leaves a note of what the nodes said, and a later notice or update-status asks the same nodes the
same questions before anything large is imported. Where they say the very same it ends: what only
Juju knows comes with hooks of its own, and each of those drops the note.

What is compared is what a look decides by: roles, links, settings, who knows whom. What changes in
any case (offsets, memory, ages) is left out, or taken as what it means.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping

import pebbles
from constants import (
    ANSWER_BUDGET_S,
    HANDOVER_CHANNEL,
    HEARD_MS,
    MIN_FREE_BYTES,
    NODE_PORTS,
    OPERATOR_SECRET_KEY,
    OPERATOR_USER,
    REDIS,
    SECRET_LABEL,
    SENTINEL,
    SOCKET_TIMEOUT_S,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    # typing alone would take a sixth of what a hook that ends early takes to import.
    from typing import IO, Any

HOLDS_S = 1800.0
"""After which a note counts no more, for whatever no hook and no node tells."""

_INFO = frozenset(
    {
        "redis_version",
        "server_name",
        "valkey_version",
        "run_id",
        "loading",
        "role",
        "master_host",
        "master_link_status",
        "slave_priority",
        "connected_slaves",
        "min_slaves_good_slaves",
        "aof_enabled",
        "aof_last_write_status",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
    }
)
_MASTER = (
    "ip",
    "flags",
    "config-epoch",
    "quorum",
    "num-slaves",
    "num-other-sentinels",
    "down-after-milliseconds",
    "failover-timeout",
    "parallel-syncs",
)
_SLAVE = ("ip", "flags", "slave-priority", "master-link-status")
_OTHER = ("ip", "flags")


class Question:
    """Whom to ask and what."""

    def __init__(
        self,
        app: str,
        nodes: Iterable[Iterable[str]],
        settings: Iterable[str],
        volume: str,
    ):
        """Take what a look has asked.

        Args:
            app: by which the Sentinels know the primary.
            nodes: kind (``redis``, ``sentinel``) and host of each.
            settings: the run-time settings of Redis that the charm looks after.
            volume: where this unit's storage is mounted.
        """
        self.app = app
        self.nodes = sorted((kind, host) for kind, host in nodes)
        self.settings = sorted(settings)
        self.volume = volume


class _RefusedError(Exception):
    """A node answered with an error."""


def is_steady(env: Mapping[str, str]) -> bool:
    """Whether all that can be asked is as the note of the last look has it.

    A note that does not hold is dropped. The look that follows may show trouble, and when all is
    again as the note had it, that is still to be taken back.

    Args:
        env: the environment of the hook, as Juju sets it.

    Returns:
        False where there is no note, an old one, or any doubt: then the charm is to look.
    """
    try:
        with open(_path(env), encoding="utf-8") as file:
            note = json.load(file)
        if not 0 <= time.time() - note["noted_s"] < HOLDS_S:
            return False
        question = Question(**note["question"])
        heard = note["heard"]
        password = _password()
    except (OSError, ValueError, LookupError, TypeError):
        return False
    if password is not None and listen(question, password, heard) == heard:
        return True
    forget(env)
    return False


def keep(env: Mapping[str, str], question: Question, heard: object) -> None:
    """Leave a note of what was heard; without one each hook looks."""
    note = {"noted_s": time.time(), "question": vars(question), "heard": heard}
    path = _path(env)
    try:
        # Who knows the names and settings of all nodes is nobody's business.
        with open(f"{path}.new", "w", encoding="utf-8", opener=_privately) as file:
            json.dump(note, file)
        os.replace(f"{path}.new", path)
    except OSError:
        forget(env)


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def forget(env: Mapping[str, str]) -> None:
    """Drop the note: something was told that may change what is to be found."""
    try:
        os.unlink(_path(env))
    except OSError:
        # There is none. One that could not be dropped could not have been kept.
        pass


def listen(
    question: Question, password: str, expected: Mapping[str, object] | None = None
) -> dict[str, object] | None:
    """Return what the nodes, both Pebbles and the volume say now, in the form of the note.

    Args:
        question: whom to ask and what.
        password: of the charm's own user.
        expected: what the note has; the first that says other ends it, since after a switch the
            charm is wanted at once, and one of the others may be down.

    Returns:
        None where any of them gives no answer in time, refuses, or speaks TLS.
    """
    heard: dict[str, object] = {}
    told = threading.Semaphore(0)

    def run(node: tuple[str, str]) -> None:
        kind, host = node
        try:
            heard[f"{kind} {host}"] = _plain(_ask(kind, host, question, password))
        except (OSError, ValueError, LookupError, _RefusedError):
            # It is missed below.
            pass
        told.release()

    # A look-up of a name has no time limit of its own.
    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in question.nodes]
    for thread in threads:
        thread.start()
    try:
        for container in (REDIS, SENTINEL):
            heard[container] = pebbles.services(container)
        disk = os.statvfs(question.volume)
    except (OSError, ValueError, LookupError):
        return None
    deadline_s = time.monotonic() + ANSWER_BUDGET_S
    for number in range(1, len(threads) + 1):
        if not told.acquire(timeout=max(0.0, deadline_s - time.monotonic())):
            return None
        answers = {name: answer for name, answer in list(heard.items()) if " " in name}
        if len(answers) < number:
            # That one gave none.
            return None
        if expected is not None and any(expected.get(n) != a for n, a in answers.items()):
            return None
    if len(heard) != len(question.nodes) + 2 or disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES:
        return None
    return heard


def _plain(answer: object) -> Any:
    """Return it as it reads in the note."""
    return json.loads(json.dumps(answer))


def _path(env: Mapping[str, str]) -> str:
    return os.path.join(env.get("JUJU_CHARM_DIR", "."), ".steady")


def _password() -> str | None:
    """Return the password of the charm's own user; None where Juju does not give it."""
    import subprocess

    answer = subprocess.run(
        ["secret-get", "--label", SECRET_LABEL, "--format=json"],
        check=False,
        capture_output=True,
    )
    if answer.returncode:
        return None
    return str(json.loads(answer.stdout)[OPERATOR_SECRET_KEY])


def _ask(kind: str, host: str, question: Question, password: str) -> object:
    """Return what one node says of what is compared.

    Raises:
        OSError: no answer.
        ValueError: it is none that Redis gives; TLS is not spoken here.
        LookupError: something is missing in it.
        _RefusedError: it is an error.
    """
    commands: list[tuple[str, ...]] = [("AUTH", OPERATOR_USER, password)]
    if kind == REDIS:
        commands += [
            ("INFO", "everything"),
            ("PUBSUB", "NUMSUB", HANDOVER_CHANNEL),
            ("LATENCY", "LATEST"),
            ("CONFIG", "GET", *question.settings),
        ]
    else:
        commands += [
            ("SENTINEL", "MASTER", question.app),
            ("SENTINEL", "REPLICAS", question.app),
            ("SENTINEL", "SENTINELS", question.app),
            ("SENTINEL", "CKQUORUM", question.app),
            ("SENTINEL", "DEBUG"),
            ("INFO", "sentinel"),
        ]
    with socket.create_connection((host, NODE_PORTS[kind]), SOCKET_TIMEOUT_S) as node:
        node.sendall(b"".join(_encoded(command) for command in commands))
        with node.makefile("rb") as stream:
            _, *replies = [_reply(stream) for _ in commands]
    return _of_redis(*replies) if kind == REDIS else _of_sentinel(*replies)


def _of_redis(
    info: str, claims: list[str], latest: list[list[str]], settings: list[str]
) -> object:
    found = {name: text for name, text in _lines(info) if name in _INFO}
    slow = [[name, at] for name, at, *_ in latest if name.startswith("aof-write")]
    return [found, claims, slow, _pairs(settings)]


def _of_sentinel(
    primary: list[str],
    replicas: list[list[str]],
    others: list[list[str]],
    majority: str,
    debug: list[str],
    info: str,
) -> object:
    state = _pairs(primary)
    heard = int(state["last-ok-ping-reply"]) < HEARD_MS
    return [
        {name: state[name] for name in _MASTER},
        heard,
        _sorted(replicas, _SLAVE),
        _sorted(others, _OTHER),
        majority,
        _pairs(debug),
        dict(_lines(info)).get("sentinel_tilt"),
    ]


def _sorted(entries: Iterable[list[str]], names: tuple[str, ...]) -> list[list[str]]:
    return sorted([state[name] for name in names] for state in map(_pairs, entries))


def _pairs(reply: list[str]) -> dict[str, str]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _lines(info: str) -> Iterable[tuple[str, str]]:
    for line in info.splitlines():
        name, colon, text = line.partition(":")
        if colon:
            yield name, text


def _encoded(command: tuple[str, ...]) -> bytes:
    words = [word.encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def _reply(stream: IO[bytes]) -> Any:
    """Read one reply; numbers stay texts.

    Source: https://redis.io/docs/latest/develop/reference/protocol-spec/, version 2.
    """
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("it hung up")
    kind, text = line[:1], line[1:-2].decode()
    if kind == b"-":
        raise _RefusedError(text)
    if kind in (b"+", b":"):
        return text
    if kind == b"$":
        size = int(text)
        if size < 0:
            return ""
        body = stream.read(size + 2)
        if len(body) != size + 2:
            raise ConnectionError("it hung up")
        return body[:-2].decode()
    if kind == b"*":
        return [_reply(stream) for _ in range(int(text))]
    raise ValueError(f"no reply of Redis: {kind!r}")
