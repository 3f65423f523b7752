# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""An in-memory cluster of Redis and Sentinel nodes that stands behind redis-py's ``Redis`` class.

It answers the commands that the adapters use, as Redis 7.0 does, and has a clock of its own that
only a sleep moves. ``tests/functional/test_contract.py`` runs the same tests on it and on real
processes, so what it says can be believed.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import redis

import constants as c
import pulse
from cluster.settings import sentinel_options
from constants import ELIGIBLE, NOT_ELIGIBLE, SENTINEL_PERIODS_MS
from engine.world import Config, World
from errors import RedisClientError
from nodes.access import Access
from nodes.redis_client import RedisNode
from nodes.sentinel import Sentinel

STEP_S = 0.05
HELLO_S = 2.0
PROMOTION_S = 0.15
"""From SENTINEL FAILOVER until the target takes writes."""
RECONFIGURE_S = 1.0
"""From the promotion being seen until the Sentinel that executes calls the failover ended."""
CONVERT_S = 10.0
"""How long a second primary lives before the Sentinels make it a replica."""
BYTES_PER_KEY = 100
NOTICED_LIMIT_MS = int(c.SCRIPT_NUMBERS["NOTICED_LIMIT_MS"])


@dataclass
class FakeRedis:
    """One Redis."""

    host: str
    running: bool = False
    starting: bool = False
    """The guarded start asks who is primary."""
    frozen: bool = False
    primary: str | None = None
    keys: list[str] = field(default_factory=list)
    """What it has, in the order it was written; it survives a restart."""
    linked: bool = False
    lagging: bool = False
    """Connected to its primary, but takes nothing over."""
    settings: dict[str, str] = field(default_factory=dict)
    paused_until: float = 0.0
    persists: bool = True
    loading: bool = False
    peers: tuple[str, ...] = ()
    """The hosts that its guarded start asks."""
    may_start_empty: bool = False
    synced_since_start: bool = False
    noticed: int = 0

    @property
    def offset(self) -> int:
        return BYTES_PER_KEY * len(self.keys)

    @property
    def priority(self) -> int:
        return int(self.settings["replica-priority"])


@dataclass
class Known:
    """A replica as a Sentinel knows it."""

    priority: int = 100
    linked: bool = True
    info_at: float = -99.0
    ok_at: float = 0.0
    wrong_since: float | None = None


@dataclass
class Failover:
    """What a Sentinel is in the middle of."""

    target: str
    started: float
    forced: bool
    promoted: float | None = None
    seen: float | None = None


@dataclass
class FakeSentinel:
    """One Sentinel; without a primary it watches nothing."""

    host: str
    running: bool = False
    frozen: bool = False
    tilt: bool = False
    primary: str | None = None
    epoch: int = 0
    quorum: int = 1
    options: dict[str, str] = field(default_factory=dict)
    periods_ms: dict[str, str] = field(
        default_factory=lambda: {
            "info-period": "10000",
            "ping-period": "1000",
        }
    )
    replicas: dict[str, Known] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)
    """By host: when it last said hello."""
    info_at: float = -99.0
    ok_at: float = 0.0
    failover: Failover | None = None
    next_try: float = 0.0

    def watch(self, primary: str, quorum: int, now: float) -> None:
        self.primary, self.quorum, self.epoch = primary, quorum, 0
        self.options = {
            "down-after-milliseconds": "30000",
            "failover-timeout": "180000",
            "parallel-syncs": "1",
        }
        self.forget(now)

    def forget(self, now: float) -> None:
        self.replicas, self.others, self.failover = {}, {}, None
        # A reset Sentinel asks for INFO only when the period is over.
        self.ok_at = self.info_at = now

    @property
    def down_after_s(self) -> float:
        return int(self.options["down-after-milliseconds"]) / 1000

    def is_down(self, ok_at: float, now: float) -> bool:
        return now - ok_at > self.down_after_s

    def primary_is_down(self, now: float) -> bool:
        return self.primary is not None and self.is_down(self.ok_at, now)

    @property
    def advertised(self) -> str | None:
        """The primary it tells the others of."""
        failover = self.failover
        return failover.target if failover and failover.seen is not None else self.primary


class Cluster:
    """All nodes of one application, and their clock."""

    def __init__(
        self,
        hosts: Iterable[str] = (),
        app: str = "redis-k8s",
        password: str = "operator-pw",
        down_after_ms: int = 2000,
    ):
        self.app = app
        self.password = password
        self.watcher_password = "watcher-pw"
        self.passwords: dict[tuple[str, str], str] = {}
        """By (``redis`` or ``sentinel``, host): a changed password of the charm's user."""
        self.admin_passwords: dict[tuple[str, str], str] = {}
        """The same of the administrator: ``admin-pw`` and ``sentinel-admin-pw`` by themselves."""
        self.hosts = tuple(hosts)
        self.down_after_ms = down_after_ms
        self.now = 1000.0
        self.redises: dict[str, FakeRedis] = {}
        self.sentinels: dict[str, FakeSentinel] = {}
        self.unresolvable: set[str] = set()
        self.cut: set[str] = set()
        """Hosts that no other host reaches."""
        self.asker: str | None = None
        """The host that the clients run on; it reaches itself also when it is cut off."""
        self.subscriptions: list[tuple[str, str, float]] = []
        """Host, channel and beginning of each."""
        self.open_clients = 0
        """How many connections were not closed yet."""
        self.asked: list[tuple[str, int, tuple[Any, ...]]] = []
        """Every command: host, port, words."""
        self.hooks: list[Callable[[], None]] = []
        """Called in every step of the clock."""
        self.before_command: Callable[[str, tuple[Any, ...]], None] = lambda host, command: None
        self._next_hello = 0.0
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy begins with: everything but the lock."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()

    # Making it

    def add(self, host: str) -> None:
        """Make room for a node; nothing of it runs yet."""
        self.redises[host] = FakeRedis(host, settings=_defaults(), peers=self.hosts)
        self.sentinels[host] = FakeSentinel(host)

    def form(self, keys: Iterable[str] = ()) -> Cluster:
        """Make all nodes of the application run, in step and at rest."""
        first = self.hosts[0]
        fence = fence_of(len(self.hosts))
        for host in self.hosts:
            self.add(host)
        for host in self.hosts:
            self.start_sentinel(host, first, len(self.hosts) // 2 + 1)
            node = self.redises[host]
            node.running = True
            node.primary = None if host == first else first
            node.keys = list(keys)
            node.linked = host != first
            node.settings["min-replicas-to-write"] = fence
        self.settle()
        return self

    def start_sentinel(self, host: str, primary: str, quorum: int) -> None:
        """Start a Sentinel; without state from before it watches what it is given."""
        node = self.sentinels[host]
        node.running = True
        if node.primary is None:
            node.watch(primary, quorum, self.now)
            # At rest it has what the charm gives it.
            world = World(self.app, host, config=Config(self.down_after_ms))
            wanted = sentinel_options(world)
            node.options = {name: wanted[name] for name in node.options}
            node.info_at = -99.0
        node.periods_ms.update(SENTINEL_PERIODS_MS)
        node.ok_at = self.now

    def start(self, host: str) -> None:
        """Start what of a node does not run; Redis through the guarded start."""
        if not self.sentinels[host].running:
            self.start_sentinel(host, self.hosts[0], len(self.hosts) // 2 + 1)
        self.start_redis(host)

    def start_redis(self, host: str) -> None:
        node = self.redises[host]
        if not node.running:
            node.starting = True
            node.noticed = 0

    def kill(self, host: str, *names: str) -> None:
        if not names or "redis" in names:
            node = self.redises[host]
            node.running = node.starting = node.linked = node.loading = False
            node.paused_until = 0.0
        if not names or "sentinel" in names:
            watcher = self.sentinels[host]
            failover, watcher.failover, watcher.running = watcher.failover, None, False
            if failover and failover.seen is not None:
                # Its file names the new primary from the moment it saw the promotion.
                self._switch(watcher, str(watcher.primary), failover.target)

    def freeze(self, host: str) -> None:
        self.redises[host].frozen = self.sentinels[host].frozen = True

    def thaw(self, host: str) -> None:
        self.redises[host].frozen = self.sentinels[host].frozen = False

    def add_stranger(self, host: str) -> None:
        """Add a replica with its Sentinel that is not among the hosts of the application."""
        primary = self.primary
        self.add(host)
        self.start_sentinel(host, primary, len(self.hosts) // 2 + 1)
        self.start_redis(host)

    def remove_stranger(self, host: str) -> None:
        del self.redises[host], self.sentinels[host]

    # What it is

    @property
    def access(self) -> Access:
        return Access(self.app, self.password)

    def redis(self, host: str) -> RedisNode:
        return RedisNode(host, self.access)

    def sentinel(self, host: str) -> Sentinel:
        return Sentinel(host, self.access)

    @property
    def named(self) -> set[str | None]:
        """The hosts that the Sentinels name as primary: one when they agree."""
        return {self.sentinels[h].primary for h in self.hosts}

    @property
    def primary(self) -> str:
        """The host that all Sentinels name."""
        (primary,) = self.named
        return str(primary)

    @property
    def replicas(self) -> list[str]:
        return [h for h in self.hosts if h != self.primary]

    @property
    def primaries(self) -> list[str]:
        """The hosts whose Redis runs as a primary."""
        return [h for h, node in self.redises.items() if node.running and node.primary is None]

    def keys(self, host: str) -> set[str]:
        return set(self.redises[host].keys)

    def is_at_rest(self) -> bool:
        """Whether all run, agree, are linked and eligible, and know each other exactly."""
        everybody = set(self.hosts)
        primaries = {self.sentinels[h].primary for h in self.hosts}
        if len(primaries) != 1:
            return False
        (primary,) = primaries
        return all(
            (node := self.redises[h]).running
            and node.priority == ELIGIBLE
            and (node.primary is None if h == primary else node.primary == primary and node.linked)
            and (watcher := self.sentinels[h]).running
            and watcher.failover is None
            and not watcher.primary_is_down(self.now)
            and set(watcher.others) == everybody - {h}
            and set(watcher.replicas) == everybody - {primary}
            and all(k.priority and k.linked for k in watcher.replicas.values())
            for h in self.hosts
        )

    def settle(self) -> None:
        """Bring all to rest again, whatever a test has left behind."""
        primary = next(h for h in self.hosts if self.redises[h].primary is None)
        for host in self.hosts:
            self.thaw(host)
            self.start(host)
            # One that watches nothing is given a new file.
            self.start_sentinel(host, primary, len(self.hosts) // 2 + 1)

        def repair() -> bool:
            for host in self.hosts:
                node = self.redises[host]
                if node.running and (node.primary is None or node.linked):
                    node.settings["replica-priority"] = str(ELIGIBLE)
            return self.is_at_rest()

        self.eventually(repair, "all nodes are at rest")

    def eventually(self, condition: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
        deadline = self.now + within_s
        while not condition():
            if self.now > deadline:
                raise AssertionError(f"not within {within_s} s: {what}")
            self.advance(STEP_S)

    # Writes

    def write(self, host: str, key: str) -> None:
        """Write a key; raises redis.RedisError when the node does not take it."""
        node = self._reached(self.redises, host)
        if node.primary is not None:
            raise redis.ReadOnlyError("READONLY You can't write against a read only replica.")
        if node.paused_until > self.now:
            raise redis.TimeoutError("Timeout reading from socket")
        if len(self._in_step(host)) < int(node.settings["min-replicas-to-write"]):
            raise redis.ResponseError("NOREPLICAS Not enough good replicas to write.")
        node.keys.append(key)

    @contextlib.contextmanager
    def writer(self) -> Iterator[FakeWriter]:
        """Write in every step of the clock to whoever the Sentinels name."""
        writer = FakeWriter(self)
        self.hooks.append(writer.write)
        writer.go_on()
        try:
            yield writer
        finally:
            self.hooks.remove(writer.write)

    # The clock

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            while seconds > 1e-9:
                step = min(seconds, STEP_S)
                seconds -= step
                self.now += step
                for hook in list(self.hooks):
                    hook()
                self._step()

    def _step(self) -> None:
        for node in self.redises.values():
            if node.starting and not node.frozen:
                self._guarded_start(node)
            self._replicate(node)
        says_hello = self.now >= self._next_hello
        if says_hello:
            self._next_hello = self.now + HELLO_S
        for watcher in self.sentinels.values():
            if watcher.running and not watcher.frozen and watcher.primary:
                self._observe(watcher)
                self._listen(watcher, says_hello)
                self._go_on_with_failover(watcher)
                self._elect(watcher)

    def reaches(self, source: str | None, nodes: dict[str, Any], host: str) -> bool:
        """Whether a process of that kind on a host answers somebody on another host."""
        node = nodes.get(host)
        if node is None or not node.running or node.frozen or host in self.unresolvable:
            return False
        return source == host or not {source, host} & self.cut

    def _in_step(self, primary: str) -> list[str]:
        return [
            h
            for h, node in self.redises.items()
            if node.running and node.primary == primary and node.linked and not node.frozen
        ]

    def _replicate(self, node: FakeRedis) -> None:
        if not node.running or node.primary is None or node.frozen:
            return
        source = self.redises.get(node.primary)
        if source is None or not self.reaches(node.host, self.redises, node.primary):
            node.linked = False
            return
        # A replica of a replica is linked only while that one is.
        node.linked = source.primary is None or source.linked
        if node.linked and not node.lagging:
            node.keys = list(source.keys)
        if node.linked and not node.synced_since_start:
            node.synced_since_start = True
            # What watch-sync does.
            node.settings["replica-priority"] = str(ELIGIBLE)

    def _guarded_start(self, node: FakeRedis) -> None:
        views = [
            self.sentinels[h]
            for h in node.peers
            if self.reaches(node.host, self.sentinels, h) and self.sentinels[h].primary
        ]
        named = [v.primary for v in views]
        primary = next((p for p in named if named.count(p) > len(node.peers) / 2), None)
        moving = any(v.failover for v in views)
        is_noticed = any(v.primary_is_down(self.now) for v in views)
        node.noticed = node.noticed + 1 if is_noticed else 0
        if primary not in (None, node.host):
            self._become(node, primary)
        elif primary and moving:
            return
        elif primary and node.keys:
            noticed_ms = 1000 * STEP_S * node.noticed
            replaceable = any(
                known.priority and not v.is_down(known.ok_at, self.now)
                for v in views
                for known in v.replicas.values()
            )
            if not node.noticed or not replaceable or noticed_ms > NOTICED_LIMIT_MS:
                self._become(node, None)
        elif node.may_start_empty and not node.keys:
            node.may_start_empty = False
            self._become(node, None)
        elif primary and not node.noticed:
            for host in node.peers:
                watcher = self.sentinels.get(host)
                if watcher and host != node.host and self._start_failover(watcher, forced=True):
                    return

    def _become(self, node: FakeRedis, primary: str | None) -> None:
        fence = fence_of(len(node.peers))
        node.settings = _defaults() | {
            "replica-priority": str(ELIGIBLE if primary is None else NOT_ELIGIBLE),
            "min-replicas-to-write": fence,
        }
        node.primary = primary
        node.running, node.starting = True, False
        node.linked = node.synced_since_start = False

    def _observe(self, watcher: FakeSentinel) -> None:
        """PING and INFO of the primary and of each replica."""
        primary = str(watcher.primary)
        period_s = int(watcher.periods_ms["info-period"]) / 1000
        if self.reaches(watcher.host, self.redises, primary):
            watcher.ok_at = self.now
            if self.now - watcher.info_at >= period_s:
                watcher.info_at = self.now
                for host, node in self.redises.items():
                    if node.running and node.primary == primary and not node.frozen:
                        watcher.replicas.setdefault(host, Known(ok_at=self.now))
        if watcher.primary_is_down(self.now) or watcher.failover:
            period_s = min(period_s, 1.0)
        for host, known in watcher.replicas.items():
            if not self.reaches(watcher.host, self.redises, host):
                known.linked = known.linked and not watcher.is_down(known.ok_at, self.now)
                continue
            known.ok_at = self.now
            if self.now - known.info_at < period_s:
                continue
            known.info_at = self.now
            node = self.redises[host]
            known.priority, known.linked = node.priority, node.linked
            failover = watcher.failover
            if failover and host == failover.target and failover.promoted and not failover.seen:
                failover.seen = self.now
                watcher.epoch = 1 + max(s.epoch for s in self.sentinels.values())
                self._on_switch(watcher, primary, host)
            self._correct(watcher, host, known, node)

    def _correct(self, watcher: FakeSentinel, host: str, known: Known, node: FakeRedis) -> None:
        """After ten seconds a Sentinel makes a known node follow the primary it names."""
        if watcher.failover or node.primary == watcher.primary:
            known.wrong_since = None
        elif known.wrong_since is None:
            known.wrong_since = self.now
        elif self.now - known.wrong_since > CONVERT_S and not watcher.primary_is_down(self.now):
            node.primary, node.linked = watcher.primary, False

    def _listen(self, watcher: FakeSentinel, says_hello: bool) -> None:
        for host, other in self.sentinels.items():
            if host == watcher.host or not other.primary:
                continue
            # Hellos travel through the Redis nodes that both know.
            heard = self.reaches(watcher.host, self.sentinels, host) and any(
                self.reaches(host, self.redises, node) for node in (other.primary, *other.replicas)
            )
            if not heard:
                continue
            if says_hello or host in watcher.others:
                watcher.others[host] = self.now
            if other.epoch > watcher.epoch and watcher.failover is None:
                watcher.epoch = other.epoch
                old, new = str(watcher.primary), str(other.advertised)
                if old != new:
                    self._switch(watcher, old, new)
                    self._on_switch(watcher, old, new)

    def _switch(self, watcher: FakeSentinel, old: str, new: str) -> None:
        watcher.replicas.pop(new, None)
        watcher.replicas[old] = Known(ok_at=self.now)
        watcher.primary, watcher.ok_at, watcher.info_at = new, self.now, self.now
        watcher.next_try = 0.0

    def _on_switch(self, watcher: FakeSentinel, old: str, new: str) -> None:
        """Do what the script of the same name does on the host of a Sentinel."""
        node = self.redises.get(old)
        if watcher.host == old and node and node.running and not node.frozen:
            node.primary, node.linked, node.paused_until = new, False, 0.0

    def _go_on_with_failover(self, watcher: FakeSentinel) -> None:
        failover = watcher.failover
        if failover is None:
            return
        target = self.redises.get(failover.target)
        if target is None or not self.reaches(watcher.host, self.redises, failover.target):
            if self.now - failover.started > int(watcher.options["failover-timeout"]) / 1000:
                watcher.failover = None
            return
        if failover.promoted is None:
            if self.now - failover.started >= PROMOTION_S:
                failover.promoted = self.now
                target.primary, target.linked = None, False
        elif failover.seen is not None and self.now - failover.seen >= RECONFIGURE_S:
            old, watcher.failover = str(watcher.primary), None
            self._switch(watcher, old, failover.target)
            for host in watcher.replicas:
                if host != old and self.reaches(watcher.host, self.redises, host):
                    self.redises[host].primary = failover.target

    def _elect(self, watcher: FakeSentinel) -> None:
        if not watcher.primary_is_down(self.now) or watcher.failover or watcher.tilt:
            return
        if self.now < watcher.next_try:
            return
        awake = [
            self.sentinels[h]
            for h in watcher.others
            if self.reaches(watcher.host, self.sentinels, h)
        ]
        agree = 1 + sum(
            o.primary == watcher.primary and o.primary_is_down(self.now) for o in awake
        )
        majority = (1 + len(watcher.others)) // 2 + 1
        if agree < watcher.quorum or 1 + len(awake) < max(majority, watcher.quorum):
            return
        again = self.now + 2 * int(watcher.options["failover-timeout"]) / 1000
        for each in (watcher, *awake):
            each.next_try = again
        self._start_failover(watcher, forced=False)

    def _start_failover(self, watcher: FakeSentinel, forced: bool) -> bool:
        """Begin a failover, if a replica is fit for it."""
        fit = [
            h
            for h, known in watcher.replicas.items()
            if known.priority
            and not watcher.is_down(known.ok_at, self.now)
            and self.reaches(watcher.host, self.redises, h)
        ]
        if not watcher.running or watcher.failover or not fit:
            return False
        target = min(fit, key=lambda h: (watcher.replicas[h].priority, -self.redises[h].offset, h))
        watcher.failover = Failover(target, self.now, forced)
        return True

    # What clients see

    def install(self, monkeypatch: Any) -> Cluster:
        """Stand behind redis-py, with the cluster's clock in the place of the adapters'."""
        from nodes import sentinel

        monkeypatch.setattr(redis, "Redis", self._client)
        monkeypatch.setattr(pulse, "listen", self._heard)
        monkeypatch.setattr(sentinel, "time", self)
        return self

    def _heard(self, question: pulse.Question, password: str) -> dict[str, object] | None:
        """Say what ``pulse.listen`` says; this cluster has no sockets."""
        access = Access(self.app, password)
        heard: dict[str, object] = {}
        try:
            for kind, host in question.nodes:
                view: Any
                if kind == c.SENTINEL:
                    view = replace(Sentinel(host, access).view(), primary_down_ms=0)
                else:
                    view = RedisNode(host, access).view(question.settings)
                    view = replace(view, offset_bytes=0, uptime_s=0)
                heard[f"{kind} {host}"] = repr(view)
        except RedisClientError:
            return None
        return heard

    def _client(self, host: str, port: int, username: str, password: str, **_: Any) -> FakeClient:
        return FakeClient(self, host, port, username, password)

    def _reached(self, nodes: dict[str, Any], host: str) -> Any:
        if host in self.unresolvable or host not in nodes:
            raise redis.ConnectionError(
                f"Error -2 connecting to {host}. Name or service not known."
            )
        node = nodes[host]
        if node.frozen or (host != self.asker and self.cut & {host, self.asker}):
            raise redis.TimeoutError("Timeout connecting to server")
        if not node.running:
            raise redis.ConnectionError(f"Error 111 connecting to {host}. Connection refused.")
        return node

    def answer(self, client: FakeClient, command: tuple[Any, ...]) -> Any:
        """Answer one command as redis-py returns it; raises what redis-py raises."""
        with self._lock:
            self.before_command(client.host, command)
            words = " ".join(str(word) for word in command).split()
            self.asked.append((client.host, client.port, tuple(words)))
            is_redis = client.port == c.REDIS_PORT
            kind = "redis" if is_redis else "sentinel"
            node = self._reached(self.redises if is_redis else self.sentinels, client.host)
            if client.password != self._password_of(client.username, kind, client.host):
                raise redis.AuthenticationError("WRONGPASS invalid username-password pair")
            if words[:3] == ["ACL", "SETUSER", c.OPERATOR_USER]:
                self.passwords.pop((kind, client.host), None)
                return "OK"
            if is_redis:
                return self._answer_redis(node, client, words)
            return self._answer_sentinel(node, words)

    def _password_of(self, user: str, kind: str, host: str) -> str | None:
        if user == c.OPERATOR_USER:
            return self.passwords.get((kind, host), self.password)
        own = "admin-pw" if kind == "redis" else "sentinel-admin-pw"
        return self.admin_passwords.get((kind, host), own) if user == "default" else None

    def _answer_redis(self, node: FakeRedis, client: FakeClient, words: list[str]) -> Any:
        # While it loads Redis answers questions on itself, and nothing else.
        if node.loading and words[0] not in ("ROLE", "INFO", "CONFIG", "CLIENT"):
            raise redis.BusyLoadingError("LOADING Redis is loading the dataset in memory")
        match words:
            case ["ROLE"]:
                if node.primary is None:
                    return ["master", node.offset, []]
                state = "connected" if node.linked else "connect"
                return ["slave", node.primary, c.REDIS_PORT, state, node.offset]
            case ["INFO", *_]:
                return self._info(node)
            case ["LATENCY", "LATEST"]:
                return []
            case ["CONFIG", "GET", *names]:
                return {name: node.settings[name] for name in names if name in node.settings}
            case ["CONFIG", "SET", name, value]:
                if name not in node.settings or not (value.isdigit() or name.endswith("policy")):
                    raise redis.ResponseError(f"CONFIG SET failed (possibly related to '{name}')")
                node.settings[name] = value
                return True
            case ["REPLICAOF", host, _port]:
                if node.primary != host:
                    node.primary, node.linked = host, False
                return True
            case ["CLIENT", "PAUSE", ms, "WRITE"]:
                # A shorter pause does not shorten a longer one.
                node.paused_until = max(node.paused_until, self.now + int(ms) / 1000)
                return "OK"
            case ["CLIENT", "UNPAUSE"]:
                node.paused_until = 0.0
                return "OK"
            case ["PUBSUB", "NUMSUB", channel]:
                listeners = [s for s in self.subscriptions if s[:2] == (client.host, channel)]
                return [(channel, len(listeners))]
            case ["CLIENT", "LIST", "TYPE", "pubsub"]:
                began = [time for host, _, time in self.subscriptions if host == client.host]
                return [
                    {"user": c.OPERATOR_USER, "age": str(int(self.now - time))} for time in began
                ]
            case ["SUBSCRIBE", channel]:
                self.subscriptions.append((client.host, channel, self.now))
                return None
        raise redis.ResponseError(f"unknown command {words}")

    def _info(self, node: FakeRedis) -> dict[str, Any]:
        in_step = len(self._in_step(node.host))
        info: dict[str, Any] = {
            "redis_version": "7.0.15",
            "uptime_in_seconds": "100",
            "server_time_usec": int(self.now * 1e6),
            "loading": int(node.loading),
            "aof_last_write_status": "ok" if node.persists else "err",
            "role": "master" if node.primary is None else "slave",
            "connected_slaves": in_step,
            "master_repl_offset": node.offset,
        }
        if node.primary is not None:
            info |= {
                "master_host": node.primary,
                "master_link_status": "up" if node.linked else "down",
                "slave_repl_offset": node.offset,
                "slave_priority": node.priority,
            }
        if node.settings["min-replicas-to-write"] != "0":
            info["min_slaves_good_slaves"] = in_step
        return info

    def _answer_sentinel(self, node: FakeSentinel, words: list[str]) -> Any:
        match words:
            case ["INFO", "sentinel"]:
                return {
                    "sentinel_tilt": int(node.tilt),
                    "sentinel_masters": int(bool(node.primary)),
                }
            case ["SENTINEL", "DEBUG"]:
                return [text for n, v in node.periods_ms.items() for text in (n.upper(), v)]
            case ["SENTINEL", "DEBUG", name, value] if name in node.periods_ms:
                node.periods_ms[name] = value
                return "OK"
            case ["SENTINEL", "MONITOR", name, host, _port, quorum]:
                if host in self.unresolvable or host not in self.redises:
                    raise redis.ResponseError("Invalid IP address or hostname specified")
                if node.primary and name == self.app:
                    raise redis.ResponseError("Duplicate master name.")
                node.watch(host, int(quorum), self.now)
                node.info_at = -99.0
                return "OK"
        if node.primary is None or words[2] != self.app:
            raise redis.ResponseError("No such master with that name")
        match words:
            case ["SENTINEL", "MASTER", _]:
                return self._master_state(node)
            case ["SENTINEL", "REPLICAS", _]:
                return [self._replica_state(node, h, k) for h, k in node.replicas.items()]
            case ["SENTINEL", "SENTINELS", _]:
                return [["name", h, "ip", h, "flags", "sentinel"] for h in node.others]
            case ["SENTINEL", "CKQUORUM", _]:
                awake = 1 + sum(not node.is_down(at, self.now) for at in node.others.values())
                majority = (1 + len(node.others)) // 2 + 1
                if awake < max(node.quorum, majority):
                    raise redis.ResponseError(
                        f"NOQUORUM {awake} usable Sentinels. Not enough available Sentinels"
                    )
                return f"OK {awake} usable Sentinels."
            case ["SENTINEL", "SET", _, *pairs]:
                for name, value in itertools.zip_longest(pairs[::2], pairs[1::2]):
                    self._set_option(node, name, value)
                return "OK"
            case ["SENTINEL", "REMOVE", _]:
                node.primary, node.failover = None, None
                return "OK"
            case ["SENTINEL", "RESET", _]:
                node.forget(self.now)
                return 1
            case ["SENTINEL", "FAILOVER", _]:
                if node.failover:
                    raise redis.ResponseError("INPROG Failover already in progress")
                if not self._start_failover(node, forced=True):
                    raise redis.ResponseError("NOGOODSLAVE No suitable replica to promote")
                return "OK"
        raise redis.ResponseError(f"unknown command {words}")

    def _set_option(self, node: FakeSentinel, name: str, value: str) -> None:
        if name in ("auth-user", "auth-pass"):
            return
        if name != "quorum" and name not in node.options:
            raise redis.ResponseError(
                f"Unknown option or number of arguments for SENTINEL SET '{name}'"
            )
        if not value.isdigit() or int(value) < 1:
            raise redis.ResponseError(f"Invalid argument '{value}' for SENTINEL SET '{name}'")
        if name == "quorum":
            node.quorum = int(value)
        else:
            node.options[name] = value

    def _master_state(self, node: FakeSentinel) -> list[str]:
        flags, state = "master", {}
        if node.primary_is_down(self.now):
            flags = "s_down," + flags
            down_s = self.now - node.ok_at - node.down_after_s
            state["s-down-time"] = str(int(down_s * 1000))
        if node.failover:
            flags += ",failover_in_progress" + (",force_failover" if node.failover.forced else "")
        state |= {
            "name": self.app,
            "ip": str(node.primary),
            "flags": flags,
            "last-ok-ping-reply": str(int((self.now - node.ok_at) * 1000)),
            "config-epoch": str(node.epoch),
            "num-slaves": str(len(node.replicas)),
            "num-other-sentinels": str(len(node.others)),
            "quorum": str(node.quorum),
            **node.options,
        }
        return [text for pair in state.items() for text in pair]

    def _replica_state(self, node: FakeSentinel, host: str, known: Known) -> list[str]:
        flags = "slave,s_down,disconnected" if node.is_down(known.ok_at, self.now) else "slave"
        state = {
            "ip": host,
            "flags": flags,
            "slave-priority": str(known.priority),
            "master-link-status": "ok" if known.linked else "err",
            "info-refresh": str(int((self.now - known.info_at) * 1000)),
        }
        return [text for pair in state.items() for text in pair]


def fence_of(units: int) -> str:
    """Return ``min-replicas-to-write`` of an application at rest."""
    return str(units - (units // 2 + 1)) if units >= 3 else "0"


def _defaults() -> dict[str, str]:
    return {
        "replica-priority": str(ELIGIBLE),
        "min-replicas-to-write": "0",
        "min-replicas-max-lag": "3",
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        "timeout": "0",
        "tcp-keepalive": "300",
        "slowlog-log-slower-than": "10000",
    }


class FakeClient:
    """Stands in for ``redis.Redis``."""

    def __init__(self, cluster: Cluster, host: str, port: int, username: str, password: str):
        self.host, self.port, self.username, self.password = host, port, username, password
        self.cluster = cluster
        cluster.open_clients += 1

    def execute_command(self, *command: Any) -> Any:
        return self.cluster.answer(self, command)

    def close(self) -> None:
        self.cluster.open_clients -= 1

    def pipeline(self, transaction: bool) -> FakePipeline:
        return FakePipeline(self)

    def pubsub(self) -> FakePubSub:
        return FakePubSub(self)


class FakePubSub:
    """Stands in for redis-py's subscriptions of one connection."""

    def __init__(self, client: FakeClient):
        self._client = client
        self._made: tuple[str, str, float] | None = None

    def subscribe(self, channel: str) -> None:
        self._client.execute_command("SUBSCRIBE", channel)
        self._made = self._client.cluster.subscriptions[-1]

    def get_message(self, timeout: float) -> dict[str, Any]:
        assert self._made
        return {"type": "subscribe", "channel": self._made[1], "data": 1}

    def close(self) -> None:
        if self._made:
            self._client.cluster.subscriptions.remove(self._made)
            self._made = None


class FakePipeline:
    """Stands in for a pipeline without a transaction."""

    def __init__(self, client: FakeClient):
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    def __enter__(self) -> FakePipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._commands.clear()

    def execute_command(self, *command: Any) -> None:
        self._commands.append(command)

    def execute(self, raise_on_error: bool) -> list[Any]:
        replies: list[Any] = []
        for command in self._commands:
            try:
                replies.append(self._client.execute_command(*command))
            except redis.AuthenticationError:
                raise
            except (redis.ResponseError, redis.BusyLoadingError) as e:
                replies.append(e)
        return replies


class FakeWriter:
    """Numbers its writes and remembers those that were acknowledged."""

    _runs = itertools.count()

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        self._target = cluster.primary
        self._prefix = f"w{next(self._runs)}"
        self._number = 0
        self.acknowledged: set[str] = set()
        self.refused: list[str] = []
        """The answers to writes that were refused."""

    def write(self) -> None:
        """Try one write; a client that is refused asks the Sentinels where to go."""
        self._number += 1
        key = f"{self._prefix}-{self._number}"
        try:
            self._cluster.write(self._target, key)
            self.acknowledged.add(key)
        except redis.ResponseError as e:
            self.refused.append(str(e))
            self._find()
        except redis.RedisError:
            self._find()

    def _find(self) -> None:
        for host, watcher in self._cluster.sentinels.items():
            if self._cluster.reaches(None, self._cluster.sentinels, host) and watcher.primary:
                self._target = str(watcher.advertised)
                return

    def go_on(self, count: int = 20) -> None:
        """Return when so many more writes were acknowledged."""
        aim = len(self.acknowledged) + count
        self._cluster.eventually(lambda: len(self.acknowledged) >= aim, "the writer goes on")

    def lost(self) -> set[str]:
        """Return the acknowledged writes that the present primary does not have."""
        return self.acknowledged - self._cluster.keys(self._cluster.primary)
