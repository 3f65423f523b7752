# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The plan at work: units, what Juju and Pebble keep for them, and the in-memory cluster.

A hook runs the loop of the charm itself (``turns.run``). It can be cut after any step, in four
ways.
"""

from __future__ import annotations

import contextlib
import copy
import enum
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import constants as c
from cluster.facts import is_in_doubt, needs_full_look, sentinel_is_right
from cluster.leaving import LEAVE_PATIENCE_S
from cluster.settings import pause_ms, redis_settings
from cluster.steps import (
    ClaimHandover,
    Follow,
    ForceFailover,
    Forget,
    Handover,
    MarkInitialised,
    PermitBirth,
    PublishDataTime,
    Readmit,
    RecordPrimary,
    RecordUnits,
    RefreshSentinelConf,
    ReleaseHandover,
    RenewSentinel,
    Retire,
    SetQuorum,
    SetRedis,
    SetSentinel,
    StartService,
    WriteFiles,
    WriteSentinelConf,
)
from engine import plan, turns
from engine.purpose import Departure, Purpose, Routine, Stop
from engine.steps import Step
from engine.world import Config, ContainerView, RedisView, SentinelView, World
from errors import AdapterError, RedisClientError
from nodes import sentinel
from passwords import rotation
from passwords.rotation import CreateCredentials
from passwords.users import Credentials
from tests.fakes import Cluster, FakeWriter, fence_of
from tests.unit import logins
from tests.unit.logins import Node

CREDENTIALS = Credentials(
    passwords={
        "default": "admin-pw",
        "sentinel-default": "sentinel-admin-pw",
        "operator": "operator-pw",
        "replication": "replication-pw",
        "sentinel": "watcher-pw",
        "peers": "peers-pw",
        "exporter": "exporter-pw",
    }
)
ROUND_S = 1.0
LOOK_S = 0.05
"""What a look takes."""
PATIENCE_ROUNDS = 120


class Cut(enum.Enum):
    """How a hook ends before its steps are all taken."""

    FAILED = "the hook fails; Juju keeps nothing that it wrote and runs it again"
    OUT_OF_TIME = "the hook ends in good order; the next event goes on"
    OTHER_LEADER = "the hook fails and another unit leads from then on"
    POD_KILLED = "the pod of the unit dies; a unit that leaves does not come back"


class HookEndsError(Exception):
    """Ends a turn in the middle."""


@dataclass
class Kept:
    """What Juju keeps: in a hook it changes a copy, which counts when the hook succeeds."""

    record: str | None = None
    initialised: bool = False
    secret: Credentials | None = None
    serials: dict[str, int] = field(default_factory=dict)
    """By host: the state of the secret that its nodes have reached."""
    units: tuple[str, ...] = ()
    data_times: dict[str, float] = field(default_factory=dict)

    def copy(self) -> Kept:
        times, serials = dict(self.data_times), dict(self.serials)
        return replace(self, data_times=times, serials=serials)


@dataclass
class Unit:
    """One unit's pod."""

    host: str
    files_for: dict[str, object] = field(default_factory=dict)
    """By container: what its files were made of (``Application.files_key``)."""
    users_acl: Node | None = None
    """What a Redis that starts with the present files accepts and uses."""
    logins: dict[str, Node] = field(default_factory=dict)
    """By kind, what its nodes accept and use; a Sentinel keeps its own in ``sentinel_conf``."""
    sentinel_conf: str | None = None
    """The primary that the first ``sentinel.conf`` on the volume names."""
    watches: bool = False
    """Its Sentinel is to run."""


class Application:
    """All units of one application."""

    def __init__(self, monkeypatch: Any, size: int):
        hosts = tuple(f"redis-k8s-{number}" for number in range(size))
        self.cluster = Cluster(hosts, down_after_ms=5000).install(monkeypatch)
        self.kept = Kept()
        self.planned: list[str] = []
        self.leaving: list[str] = []
        self.units: dict[str, Unit] = {}
        self.leader = hosts[0]
        self.taken: list[Step] = []
        self.problems: list[str] = []
        self.cut_after: int | None = None
        self.cut = Cut.FAILED
        self.was_cut = False
        self.writer: FakeWriter | None = None
        self._claim = contextlib.ExitStack()
        self._has_claim = False
        self.grow(hosts)

    # Juju's part

    def grow(self, hosts: Iterable[str]) -> None:
        for host in hosts:
            self.planned.append(host)
            self.units[host] = Unit(host)
            self.cluster.add(host)
        self.cluster.hosts = tuple(self.planned)

    def begin_removal(self, *hosts: str) -> None:
        """Have Juju say that units are to go; nothing happens to them yet."""
        self.planned = [h for h in self.planned if h not in hosts]
        self.leaving += hosts
        self.cluster.hosts = tuple(self.planned)

    def gone(self, host: str) -> None:
        """Take a unit's pod and volume away."""
        if host in self.units:
            del self.units[host]
            self.cluster.remove_stranger(host)
        if host in self.leaving:
            self.leaving.remove(host)
        if host in self.planned:
            self.planned.remove(host)
            self.cluster.hosts = tuple(self.planned)
        if host == self.leader and self.planned:
            self.leader = self.planned[0]

    def leave(self, host: str, tells: str) -> None:
        """Run Juju's hooks of a removal: the unit's own, its peers', its end.

        Args:
            host: who leaves.
            tells: when Juju tells the peers: ``early``, ``late`` or ``never``.
        """
        self._hook(host, Departure(host))
        if tells == "early":
            self.tell_departure(host)
        self._hook(host, Departure(host))
        self._hook(host, Stop())
        self.gone(host)
        if tells == "late":
            self.tell_departure(host)

    def tell_departure(self, host: str) -> None:
        # The others sleep through it (``events``); the leader wakes them by its record.
        if self.leader != host:
            self._hook(self.leader, Departure(host))

    def _hook(self, host: str, purpose: Purpose) -> None:
        """Run a hook; one that fails is run again, unless the unit is not there any more."""
        while host in self.units and not self.turn(host, purpose):
            self.cluster.advance(ROUND_S)

    def kill_pod(self, host: str) -> None:
        """End a pod; a new one comes with an empty file system and the old volume."""
        if host in self.leaving:
            self.gone(host)
            return
        self.cluster.kill(host)
        unit = self.units[host]
        unit.files_for, unit.watches = {}, False
        self.cluster.redises[host].may_start_empty = False

    # Time

    def round(self) -> None:
        """Give each unit a hook, as update-status or a notice does, and let a moment pass."""
        for host in list(self.units):
            if host in self.units:
                self.turn(host)
        self.cluster.advance(ROUND_S)

    def settle(self) -> None:
        """Go on until nobody has anything left to do."""
        for _ in range(PATIENCE_ROUNDS):
            self.round()
            if not self.unfinished():
                return
        raise AssertionError(f"never settles: {self.unfinished()}; {self.problems[-3:]}")

    def unfinished(self) -> list[str]:
        """Return what is not yet as it should be in an application at rest."""
        cluster, wrong = self.cluster, []
        primaries = cluster.primaries
        if primaries != [self.kept.record] or primaries[0] not in self.planned:
            wrong.append(f"primaries are {primaries}, recorded is {self.kept.record}")
        fence = fence_of(len(self.planned))
        for host in self.planned:
            world = self.look(host, is_leader=True)
            steps = plan.next_steps(world)
            if steps:
                wrong.append(f"{host} has steps: {steps}")
            redis, watcher = world.own_redis, world.own_sentinel
            if redis is None or not (redis.is_primary or redis.link_up):
                wrong.append(f"{host} does not serve: {redis}")
            elif redis.settings["replica-priority"] != "100":
                wrong.append(f"{host} is not eligible")
            elif redis.settings["min-replicas-to-write"] != fence:
                wrong.append(f"{host} has a wrong fence")
            if not rotation.is_settled(world):
                wrong.append(f"{host} has not reached {world.credentials}")
            if watcher is None or not sentinel_is_right(world, watcher, host):
                wrong.append(f"{host} has a Sentinel that is not right: {watcher}")
        return wrong

    # Writes

    def write(self) -> FakeWriter:
        """Begin to write without pause."""
        self.writer = FakeWriter(self.cluster)
        self.cluster.hooks.append(self.writer.write)
        self.writer.go_on()
        return self.writer

    # A turn

    def turn(self, host: str, purpose: Purpose = Routine()) -> bool:  # noqa: B008
        """Run one hook; say whether it succeeded.

        Raises:
            AssertionError: the plan wants a step that no code takes.
        """
        before = self.kept
        self.kept = before.copy()
        try:
            with contextlib.ExitStack() as self._claim:
                self._has_claim = False
                turns.run(Hook(self, host, before), purpose)
        except HookEndsError:
            if self.cut is not Cut.OUT_OF_TIME:
                self.kept = before
            if self.cut is Cut.OTHER_LEADER:
                others = [h for h in self.planned if h != self.leader]
                self.leader = others[0] if others else self.leader
            if self.cut is Cut.POD_KILLED:
                self.kill_pod(host)
            return self.cut is Cut.OUT_OF_TIME
        return True

    def let_go(self) -> None:
        """Let others hand over."""
        self._claim.close()
        self._has_claim = False

    def take_or_be_cut(self, host: str, step: Step, world: World) -> None:
        """Take one step; where the hook is to be cut, it ends after it.

        Raises:
            HookEndsError: here it is cut.
        """
        self.taken.append(step)
        try:
            self.take(host, step, world)
            self.check_logins()
        finally:
            if self.cut_after == len(self.taken):
                self.was_cut = True
                raise HookEndsError

    def look(
        self,
        host: str,
        begun_with: Kept | None = None,
        is_leader: bool | None = None,
        purpose: Purpose = Routine(),  # noqa: B008
    ) -> World:
        """Return what a unit sees."""
        if is_leader is not None:
            self._has_claim = False
        kept, unit = self.kept, self.units[host]
        begun_with = begun_with or kept
        credentials = begun_with.secret or kept.secret
        node, watcher = self.cluster.redises[host], self.cluster.sentinels[host]
        redis_runs = node.running or node.starting
        world = World(
            app=self.cluster.app,
            host=host,
            is_leader=host == self.leader if is_leader is None else is_leader,
            planned=tuple(self.planned),
            leaving=frozenset(self.leaving),
            recorded_primary=kept.record,
            record_kept=begun_with.record is not None,
            recorded_units=kept.units,
            initialised=kept.initialised,
            # Read once in a hook.
            credentials=credentials,
            credentials_kept=begun_with.secret is not None,
            secret_changed=kept.secret is not credentials,
            serials=kept.serials,
            config=Config(),
            redis_container=self._container(unit, "redis", redis_runs, credentials),
            sentinel_container=self._container(unit, "sentinel", watcher.running, credentials),
            sentinel_conf_present=unit.sentinel_conf is not None,
            own_data_time=float(len(node.keys)) if node.keys and not redis_runs else None,
            data_times=kept.data_times,
            has_claim=self._has_claim,
            purpose=purpose,
        )
        if not (redis_runs or watcher.running):
            return world
        world = self._ask(world)
        return self._ask(world, ask_all=True) if is_in_doubt(world) else world

    def _container(
        self, unit: Unit, name: str, runs: bool, credentials: Credentials | None
    ) -> ContainerView:
        current = unit.files_for.get(name) == self.files_key(credentials)
        services = frozenset({name}) if name in unit.files_for else frozenset()
        return ContainerView(
            ready=True,
            current=current,
            running=frozenset({name}) if runs else frozenset(),
            services=services,
        )

    def files_key(self, credentials: Credentials | None) -> object:
        """Return a value that is another when the files of a unit are to be written anew."""
        users = [credentials.acl(kind) for kind in logins.KINDS] if credentials else []
        return tuple(self.planned), repr(users)

    def _ask(self, world: World, ask_all: bool = False) -> World:
        asked_all = ask_all or needs_full_look(world)
        hosts = {world.host, world.recorded_primary} - {None}
        if asked_all:
            hosts = {*world.planned, *world.leaving}
        self.cluster.asker = world.host
        names = [*redis_settings(world), "replica-priority"]
        redises: dict[str, RedisView] = {}
        sentinels: dict[str, SentinelView] = {}
        for host in map(str, hosts):
            try:
                redises[host] = self.cluster.redis(host).view(names)
            except RedisClientError:
                pass
            try:
                sentinels[host] = self.cluster.sentinel(host).view()
            except RedisClientError:
                pass
        world = replace(world, redis=redises, sentinels=sentinels, asked_all=asked_all)
        if not rotation.is_behind(world):
            return world
        own = self.units[world.host].logins
        return replace(
            world,
            redis_logins=own[c.REDIS].logins() if world.own_redis else None,
            sentinel_logins=own[c.SENTINEL].logins() if world.own_sentinel else None,
        )

    def take(self, host: str, step: Step, world: World) -> None:
        """Take one step, through the adapters where they are the ones to take it."""
        cluster, unit, kept = self.cluster, self.units[host], self.kept
        cluster.asker = host
        match step:
            case CreateCredentials():
                kept.secret = CREDENTIALS
            case rotation.ChangeSecret(credentials):
                kept.secret = credentials
            case rotation.PublishSerial(serial):
                kept.serials[host] = serial
            case rotation.SetPasswords() | rotation.RemoveUser() | rotation.UsePassword():
                assert world.credentials
                logins.take(step, unit.logins, world.credentials)
            case RecordPrimary(primary):
                kept.record = primary
            case RecordUnits(hosts):
                kept.units = hosts
            case MarkInitialised():
                kept.initialised = True
            case PublishDataTime(time_s):
                kept.data_times.pop(host, None)
                if time_s is not None:
                    kept.data_times[host] = time_s
            case WriteFiles(container):
                unit.files_for[container] = self.files_key(world.credentials)
                if container == "redis":
                    assert world.credentials
                    unit.users_acl = logins.started(world.credentials, c.REDIS)
                    cluster.redises[host].peers = tuple(self.planned)
            case WriteSentinelConf(primary):
                unit.sentinel_conf = primary
                self._write_logins(unit, world)
            case RefreshSentinelConf():
                assert unit.sentinel_conf
                self._write_logins(unit, world)
            case RenewSentinel(primary):
                cluster.kill(host, "sentinel")
                unit.sentinel_conf = primary
                self._write_logins(unit, world)
                cluster.sentinels[host].primary = None
                cluster.start_sentinel(host, primary, world.quorum)
            case PermitBirth():
                cluster.redises[host].may_start_empty = True
            case StartService("sentinel", "sentinel"):
                assert unit.sentinel_conf and "sentinel" in unit.files_for
                cluster.start_sentinel(host, unit.sentinel_conf, world.quorum)
            case StartService("sentinel", "names"):
                assert "sentinel" in unit.files_for
            case StartService("redis", "redis"):
                assert "redis" in unit.files_for and unit.users_acl
                unit.logins[c.REDIS] = copy.deepcopy(unit.users_acl)
                cluster.start_redis(host)
            case SetRedis(target, name, value):
                cluster.redis(target).set({name: value})
            case Follow(target, primary):
                cluster.redis(target).follow(primary)
            case SetSentinel(target, name, value):
                cluster.sentinel(target).set_option(name, value)
            case SetQuorum(target, quorum):
                cluster.sentinel(target).set_option("quorum", str(quorum))
            case ReleaseHandover():
                self.let_go()
            case ClaimHandover(source):
                self._claim.enter_context(cluster.redis(source).claim())
                self._has_claim = True
            case Handover(source, target, executor):
                limit_ms = pause_ms(world)
                sentinel.handover(source, target, executor, cluster.access, limit_ms)
            case Readmit(hosts, primary):
                sentinel.readmit(hosts, primary, cluster.access)
            case ForceFailover(target):
                cluster.sentinel(target).force_failover()
            case Forget(target, replicas, others):
                cluster.sentinel(target).forget(replicas, others, c.FORGET_BUDGET_S)
            case Retire():
                cluster.kill(host)
                if world.planned:
                    unit.sentinel_conf = None
                    cluster.sentinels[host].primary = None
            case _:
                raise AssertionError(f"no code takes this step: {step}")

    def _write_logins(self, unit: Unit, world: World) -> None:
        assert world.credentials
        unit.logins[c.SENTINEL] = logins.started(world.credentials, c.SENTINEL)

    def check_logins(self) -> None:
        """Raise AssertionError unless every node that runs accepts each login of now."""
        running: dict[str, dict[str, Node]] = {}
        for host, unit in self.units.items():
            node, watcher = self.cluster.redises[host], self.cluster.sentinels[host]
            runs = {c.REDIS: node.running or node.starting, c.SENTINEL: watcher.running}
            running[host] = {kind: unit.logins[kind] for kind in logins.KINDS if runs[kind]}
        if self.kept.secret:
            logins.check(running, self.kept.secret)


class Hook:
    """One hook of one unit: what the loop looks and acts with."""

    def __init__(self, app: Application, host: str, begun_with: Kept):
        self._app = app
        self._host = host
        self._begun_with = begun_with
        self._began_s = app.cluster.now

    def now_s(self) -> float:
        return self._app.cluster.now

    def look(self, purpose: Purpose) -> World:
        self._app.cluster.advance(LOOK_S)
        return self._app.look(self._host, self._begun_with, purpose=purpose)

    def apply(self, steps: tuple[Step, ...], world: World) -> bool:
        def failed(step: Step, error: AdapterError) -> None:
            self._app.problems.append(f"{step}: {error}")

        turns.take_all(
            steps, lambda step: self._app.take_or_be_cut(self._host, step, world), failed
        )
        return Retire() not in steps

    def stretch(self, reasons: tuple[str, ...]) -> None:
        self._app.let_go()
        vain_s = self._app.cluster.now - self._began_s
        assert vain_s < LEAVE_PATIENCE_S, f"{self._host} waits: {self._app.problems}"

    def pause(self, seconds: float) -> None:
        self._app.cluster.advance(seconds)
