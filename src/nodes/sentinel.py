# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Asks and commands the Sentinel processes, answers in our words.

What Sentinel does and does not do is in its documentation,
https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/, and, measured, in
docs/reference/sentinel.md of this project.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import redis

import texts
from constants import (
    ELIGIBLE,
    HEARD_MS,
    MOMENT_MS,
    OFFSETS_BUDGET_S,
    READMIT_BUDGET_S,
    REDIS_PORT,
    SENTINEL_PERIODS_MS,
    SENTINEL_PORT,
    SWITCH_BUDGET_S,
)
from engine.world import KnownReplica, SentinelView
from errors import RefusedError, UnreachableError
from nodes.access import Access
from nodes.redis_client import RedisNode, ask, ask_all, connect, flat, pipelined

T = TypeVar("T")

logger = logging.getLogger(__name__)

_UNKNOWN = "No such master with that name"
_POLL_S = 0.02


class Sentinel:
    """Asks and commands the Sentinel of one host, in our words.

    Every method raises UnreachableError when there is no answer and RefusedError when the answer
    is an error.
    """

    def __init__(self, host: str, access: Access):
        self.host = host
        self._name = access.master_name
        self._access = access

    def _connect(self) -> contextlib.AbstractContextManager[redis.Redis]:
        return connect(self.host, SENTINEL_PORT, self._access)

    def view(self) -> SentinelView:
        """Return what it knows of the application, in one round trip."""
        with self._connect() as client:
            primary, replicas, others, majority, debug, info = pipelined(
                client,
                ("SENTINEL", "MASTER", self._name),
                ("SENTINEL", "REPLICAS", self._name),
                ("SENTINEL", "SENTINELS", self._name),
                ("SENTINEL", "CKQUORUM", self._name),
                ("SENTINEL", "DEBUG"),
                ("INFO", "sentinel"),
            )
            if isinstance(primary, Exception):
                if _UNKNOWN in str(primary):
                    return SentinelView(primary_host=None)
                raise primary
            for reply in (replicas, others, debug, info):
                if isinstance(reply, Exception):
                    raise reply
        state = flat(primary)
        flags = state["flags"].split(",")
        options = {
            name: state[name]
            for name in ("down-after-milliseconds", "failover-timeout", "parallel-syncs")
        }
        debug_values = {name.lower(): value for name, value in flat(debug).items()}
        options |= {name: debug_values[name] for name in SENTINEL_PERIODS_MS}
        return SentinelView(
            primary_host=state["ip"],
            config_epoch=int(state["config-epoch"]),
            quorum=int(state["quorum"]),
            failing_over="failover_in_progress" in flags,
            # The key is there only while it thinks so; the first millisecond counts as one.
            primary_down_ms=max(1, int(state.get("s-down-time", 1))) if "s_down" in flags else 0,
            hears_primary="disconnected" not in flags
            and int(state["last-ok-ping-reply"]) < HEARD_MS,
            has_majority=not isinstance(majority, Exception),
            in_tilt=str(info.get("sentinel_tilt", "0")) != "0",
            replicas=tuple(_known_replica(flat(reply)) for reply in replicas),
            others=frozenset(flat(reply)["ip"] for reply in others),
            options=options,
        )

    def set_option(self, name: str, value: str) -> None:
        """Change one option, as Sentinel names it."""
        with self._connect() as client:
            if name in SENTINEL_PERIODS_MS:
                ask(client, "SENTINEL", "DEBUG", name, value)
            else:
                ask(client, "SENTINEL", "SET", self._name, name, value)

    def unwatch(self) -> None:
        """Stop watching the application, so that the others get no more hello from here."""
        with self._connect() as client, contextlib.suppress(redis.ResponseError):
            ask(client, "SENTINEL", "REMOVE", self._name)

    def force_failover(self) -> None:
        """Promote the best replica it knows, without a vote; only when the primary is gone."""
        with self._connect() as client:
            ask(client, "SENTINEL", "FAILOVER", self._name)

    def forget(self, replicas: int, others: int, budget_s: float) -> None:
        """Forget all nodes but the primary, and return when those that live are known again.

        Args:
            replicas: how many replicas are to be found again.
            others: how many other Sentinels are to be found again.
            budget_s: seconds; the rediscovery takes about one INFO period.

        Raises:
            UnreachableError: also when they are not known again within the budget.
        """
        with self._connect() as client:
            ask(client, "SENTINEL", "RESET", self._name)

            def known_again() -> bool:
                state = flat(ask(client, "SENTINEL", "MASTER", self._name))
                return (
                    int(state["num-slaves"]) == replicas
                    and int(state["num-other-sentinels"]) == others
                )

            if not _within(budget_s, known_again):
                raise UnreachableError(f"{self.host}: not all nodes are known again after a reset")


def _known_replica(state: Mapping[str, str]) -> KnownReplica:
    flags = state["flags"].split(",")
    return KnownReplica(
        host=state["ip"],
        priority=int(state["slave-priority"]),
        link_up=state["master-link-status"] == "ok",
        down="s_down" in flags or "disconnected" in flags,
    )


def _within(budget_s: float, condition: Callable[[], bool]) -> bool:
    """Poll until a condition holds; say whether it did within the budget."""
    deadline = time.monotonic() + budget_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def handover(source: str, target: str, executor_host: str, access: Access, pause_ms: int) -> None:
    """Move the primary role from a living node to its replica; no acknowledged write is lost.

    Writes are held (``CLIENT PAUSE … WRITE``) until the target has all of them; then a
    Sentinel fails over, and the old primary becomes a replica before its clients go on: by this
    function, or if that dies by Sentinel's script. A pause ends by itself, so that whoever dies
    in the middle leaves a primary that serves. The caller holds the claim (``RedisNode.claim``).

    Args:
        source: host of the primary.
        target: host of the only replica that may be promoted.
        executor_host: host whose Sentinel fails over.
        access: to the application.
        pause_ms: how long the writes may stand if nobody lifts the pause; below the time in
            which Sentinel reports an sdown, since a paused node answers no Sentinel.

    Raises:
        RefusedError: the moment is not right; the source goes on as before.
        UnreachableError: a node stopped answering; the source goes on when the pause ends.
    """
    with (
        connect(source, REDIS_PORT, access) as old,
        connect(target, REDIS_PORT, access) as new,
        connect(executor_host, SENTINEL_PORT, access) as executor,
    ):
        master_name = access.master_name
        _await_moment(executor, master_name, target)
        _require_calm(executor, master_name, source)
        ordered = False
        paused_at = time.monotonic()

        def hold() -> None:
            """Hold the writes; again and again until the switch, however slow the machine is."""
            _again(lambda: ask(old, "CLIENT", "PAUSE", pause_ms, "WRITE"))

        hold()
        try:
            if not _is_primary(old):
                raise RefusedError(texts.NODE_NO_PRIMARY.format(host=source))
            if not _within(OFFSETS_BUDGET_S, lambda: _offset(old) == _offset(new)):
                raise RefusedError(texts.NODE_LAGS.format(host=target, source=source))
            _require_calm(executor, master_name, source)
            _require_alone(executor, master_name, target)
            hold()
            ordered = True
            with contextlib.suppress(redis.TimeoutError):
                ask(executor, "SENTINEL", "FAILOVER", master_name)
            chosen = _await_promotion(executor, access, hold)
            if chosen == source:
                raise RefusedError(texts.NODE_GAVE_UP.format(host=source))
            # Before Sentinel has seen the promotion, since the pause must not outlast the time in
            # which it reports an sdown.
            _again(lambda: ask(old, "REPLICAOF", chosen, REDIS_PORT))
            held_s = time.monotonic() - paused_at
            logger.info("%s is primary; writes were held for %.2f s", chosen, held_s)
        finally:
            # After success too: what waited goes on, and is told that this is a replica now.
            # While a failover may be under way the pause stays: it ends with it, or by itself.
            if not (ordered and _is_primary(old) and _is_failing_over(executor, master_name)):
                _again(lambda: ask(old, "CLIENT", "UNPAUSE"))


def readmit(hosts: Iterable[str], primary: str, access: Access) -> None:
    """Make replicas eligible for promotion once they are in sync with a new primary.

    Those that are not, within READMIT_BUDGET_S, are left as they are.

    Args:
        hosts: of replicas; those that do not answer are passed over.
        primary: host that they are to follow.
        access: to the application.
    """

    def wait_and_set(host: str) -> None:
        node = RedisNode(host, access)

        def is_readmitted() -> bool:
            view = node.view()
            if not (view.primary_host == primary and view.link_up and view.is_logged):
                return False
            node.set({"replica-priority": str(ELIGIBLE)})
            return True

        _within(READMIT_BUDGET_S, lambda: _again(is_readmitted, UnreachableError))

    ask_all(hosts, wait_and_set, READMIT_BUDGET_S)


def _await_moment(executor: redis.Redis, master_name: str, target: str) -> None:
    """Return when the executor's next INFO to the target is due just after a promotion.

    Without such a moment it returns all the same: the handover is then slower, not less safe.
    """
    earliest, latest = MOMENT_MS

    def is_due() -> bool:
        for reply in ask(executor, "SENTINEL", "REPLICAS", master_name):
            state = flat(reply)
            if state["ip"] == target:
                return earliest <= int(state["info-refresh"]) <= latest
        return False

    if not _within(2 * latest / 1000, is_due):
        logger.info("No moment at which %s is asked for INFO soon; going on", target)


def _require_calm(executor: redis.Redis, master_name: str, source: str) -> None:
    state = _state(executor, master_name)
    if state["ip"] != source or state["flags"] != "master":
        raise RefusedError(texts.NODE_NOT_CALM.format(host=state["ip"], state=_words(state)))


def _words(state: Mapping[str, str]) -> str:
    """Return what a Sentinel thinks of the node that it names as primary."""
    known = {
        "s_down": "down",
        "o_down": "down, as others do",
        "disconnected": "not connected",
        "failover_in_progress": "about to be replaced",
    }
    flags = state["flags"].split(",")
    return ", ".join(words for flag, words in known.items() if flag in flags) or "primary"


def _require_alone(executor: redis.Redis, master_name: str, target: str) -> None:
    """Make sure that the executor would promote nobody but the target.

    A node that has just started may have become eligible since the plan was made; it may lack
    what the target has.
    """
    for reply in ask(executor, "SENTINEL", "REPLICAS", master_name):
        replica = _known_replica(flat(reply))
        if replica.host != target and replica.priority != 0 and not replica.down:
            raise RefusedError(texts.NODE_ELIGIBLE.format(host=replica.host, target=target))


def _await_promotion(executor: redis.Redis, access: Access, hold: Callable[[], None]) -> str:
    """Return the host that Sentinel has chosen, once it is primary; the old one if it gave up.

    It is the target unless another became eligible in the last moment: what counts is who it is,
    since the source must follow it before its clients go on.

    Raises:
        RefusedError: it takes too long.
    """
    promoted: str | None = None

    def is_over() -> bool:
        nonlocal promoted
        hold()
        try:
            state = _state(executor, access.master_name)
        except redis.TimeoutError:
            # It is busy, or its disk is; what it was asked for it does all the same.
            return False
        if "failover_in_progress" not in state["flags"]:
            # Over already, or given up: then the source is still the one that is named.
            promoted = state["ip"]
            return True
        for reply in ask(executor, "SENTINEL", "REPLICAS", access.master_name):
            replica = flat(reply)
            if "promoted" in replica["flags"].split(","):
                with connect(replica["ip"], REDIS_PORT, access) as new:
                    if _is_primary(new):
                        promoted = replica["ip"]
                        return True
        return False

    if not _within(SWITCH_BUDGET_S, is_over) or promoted is None:
        raise RefusedError(texts.NODE_NOT_PROMOTED.format(seconds=SWITCH_BUDGET_S))
    return promoted


def _again(call: Callable[[], T], cut: type[Exception] = redis.ConnectionError) -> T:
    """Call, and once more if the connection is cut.

    Sentinel cuts all clients of a node that it makes a replica, this one among them.

    Args:
        call: on a node.
        cut: what it raises then.
    """
    try:
        return call()
    except cut:
        return call()


def _state(executor: redis.Redis, master_name: str) -> dict[str, str]:
    return flat(ask(executor, "SENTINEL", "MASTER", master_name))


def _is_failing_over(executor: redis.Redis, master_name: str) -> bool:
    return "failover_in_progress" in _state(executor, master_name)["flags"]


def _is_primary(client: redis.Redis) -> bool:
    return _again(lambda: ask(client, "ROLE"))[0] == "master"


def _offset(client: redis.Redis) -> int:
    info: dict[str, Any] = ask(client, "INFO", "replication")
    return int(info["master_repl_offset" if info["role"] == "master" else "slave_repl_offset"])
