# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Decisions: a ``World`` in, ordered steps out. Pure; nothing here waits, asks or acts.

A plan is what can be done now. After its steps a new look leads to the rest, so every plan may be
cut after any step, by a crash or by the end of the hook's budget, and the next look finishes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import constants as c
import rotation
import tls
from errors import Refusal
from world import ContainerView, RedisView, SentinelView, World

FAILOVER_TIMEOUT_MS = "4000"
"""An election without a winner, and a failover whose Sentinel died, is tried again after twice
this time."""
PARALLEL_SYNCS = "9"
"""All replicas turn to a new primary at once. One after the other, the Sentinel that fails over
goes on recording the old primary for a second each, and some clients believe the record."""
START_PATIENCE_S = 30
"""After which the charm lets a primary that came back take writes, if its script did not."""
REVIVE_AFTER_MS = 60_000
"""How long the old primary's pod may take to come back before other data is made the truth."""
LEAVE_PATIENCE_S = 600
"""How long a unit that leaves waits in vain: no unit that stays answers, or its own Redis does
not. As long as both do it waits for the copy, however long that takes."""
NO_ANSWER = "Redis or Sentinel gives no answer"
NOT_SERVING = "Redis does not serve yet"
NOT_COMPLETE = "Sentinel does not know all units yet"
SEEN_HERE = frozenset({NO_ANSWER, NOT_SERVING, NOT_COMPLETE})
"""What is waited for when these are the reasons shows in the pod itself."""
UNITS_UNKNOWN = "Juju does not say which units there are"
WAITED_FOR = "the primary is waited for, since nobody else has been in sync"


@dataclass(frozen=True)
class CreateCredentials:
    """Make the passwords of the application and keep them in a secret."""


@dataclass(frozen=True)
class RecordPrimary:
    """Write in the peer relation who is primary."""

    host: str


@dataclass(frozen=True)
class RecordUnits:
    """Write in the peer relation which units are to stay; all units wake by it."""

    hosts: tuple[str, ...]


@dataclass(frozen=True)
class MarkInitialised:
    """Write in the peer relation that this application has had a primary."""


@dataclass(frozen=True)
class PublishDataTime:
    """Tell the other units how new the data of this one is; None: it has none."""

    time_s: float | None


@dataclass(frozen=True)
class WriteFiles:
    """Bring the files and the layer of a container to the present configuration."""

    container: str


@dataclass(frozen=True)
class WriteSentinelConf:
    """Write the first ``sentinel.conf`` of this unit; from then on it is Sentinel's own."""

    primary: str


@dataclass(frozen=True)
class RefreshSentinelConf:
    """Bring ``sentinel.conf`` to the present users and passwords before Sentinel starts.

    It is also to be patient with the primary for a while.
    """


@dataclass(frozen=True)
class RenewSentinel:
    """Restart this unit's Sentinel with a new ``sentinel.conf`` that names another primary."""

    primary: str


@dataclass(frozen=True)
class RestoreUsers:
    """Give the charm its own login back, as administrator; somebody has changed the users."""

    service: str


@dataclass(frozen=True)
class PermitBirth:
    """Let the guarded start make an empty primary: the first one, of a new application."""


@dataclass(frozen=True)
class StartService:
    """Start a service of a container that is not active."""

    container: str
    service: str


@dataclass(frozen=True)
class StopService:
    """Stop a service of the image that is in the way of one of the charm's."""

    container: str
    service: str


@dataclass(frozen=True)
class SetRedis:
    """Change a run-time setting of one Redis."""

    host: str
    name: str
    value: str


@dataclass(frozen=True)
class Follow:
    """Make the Redis of a host a replica of another."""

    host: str
    primary: str


@dataclass(frozen=True)
class SetSentinel:
    """Change an option of one Sentinel."""

    host: str
    name: str
    value: str


@dataclass(frozen=True)
class SetQuorum:
    """Tell one Sentinel how many must agree that the primary is down."""

    host: str
    quorum: int


@dataclass(frozen=True)
class ClaimHandover:
    """Make sure that nobody else is handing over from the same primary, until this hook ends."""

    source: str


@dataclass(frozen=True)
class ReleaseHandover:
    """Let others hand over, since it cannot be done now."""


@dataclass(frozen=True)
class Handover:
    """Move the primary role without losing a write; the target is the only one eligible."""

    source: str
    target: str
    executor: str
    """The host whose Sentinel fails over."""


@dataclass(frozen=True)
class Readmit:
    """Make replicas eligible again as soon as they follow the new primary.

    Until then nobody could replace that one.
    """

    hosts: tuple[str, ...]
    primary: str


@dataclass(frozen=True)
class ForceFailover:
    """Have the Sentinel of a host fail over on its own authority: the primary is gone for good."""

    host: str


@dataclass(frozen=True)
class Forget:
    """Have one Sentinel forget all it knows of nodes that left (``SENTINEL RESET``)."""

    host: str
    replicas: int
    others: int


@dataclass(frozen=True)
class Retire:
    """End this unit's Sentinel and Redis for good; it is leaving."""


@dataclass(frozen=True)
class AskAgain:
    """Ask for another turn in a moment."""

    reason: str


Step = (
    CreateCredentials
    | RecordPrimary
    | RecordUnits
    | MarkInitialised
    | PublishDataTime
    | WriteFiles
    | WriteSentinelConf
    | RefreshSentinelConf
    | RenewSentinel
    | RestoreUsers
    | PermitBirth
    | StartService
    | StopService
    | SetRedis
    | Follow
    | SetSentinel
    | SetQuorum
    | ClaimHandover
    | ReleaseHandover
    | Handover
    | Readmit
    | ForceFailover
    | Forget
    | Retire
    | AskAgain
    | rotation.Step
    | tls.Step
)


def next_steps(world: World) -> tuple[Step, ...]:
    """Return what this unit can do now, in order; empty when nothing is left to do.

    The order is that of safety: first what lets this unit run, then what it owes itself, then
    what it owes the others before it leaves, last what the leader owes all.
    """
    if not world.has_peer_relation:
        return ()
    if world.credentials_refused:
        return (AskAgain("Juju does not give the passwords"),)
    if not (world.units_known or world.planned):
        return (AskAgain(UNITS_UNKNOWN),)
    steps = (
        *_birth_steps(world),
        *rotation.unit_steps(world),
        *_workload_steps(world),
        *_login_steps(world),
        *tls.unit_steps(world),
        *_own_redis_steps(world),
        *_own_sentinel_steps(world),
        *_leaving_steps(world),
        *_leader_steps(world),
        *_rotation_steps(world),
        *tls.leader_steps(world),
        *_patience_steps(world),
    )
    # A step may follow from two reasons (a unit's own and the leader's); once is enough.
    return tuple(dict.fromkeys(steps))


def is_at_rest(world: World) -> bool:
    """Whether a unit that has read only its own databag has nothing to do, so needs no other.

    The others' tell how far they are with passwords and TLS, and how old data is when a primary
    is to be chosen.
    """
    return (
        world.has_peer_relation
        and not world.tls.active
        and not world.plain_passwords
        and not world.wanted_passwords
        and not rotation.under_way(world)
        and not is_in_doubt(world)
        and not next_steps(world)
    )


def _rotation_steps(world: World) -> Iterator[Step]:
    """The leader's part in changing passwords."""
    yield from rotation.leader_steps(world)
    if world.secret_changed:
        yield AskAgain("the passwords are being changed")


def redis_settings(world: World) -> dict[str, str]:
    """Return the run-time settings that the Redis of this unit should have now.

    ``min-replicas-to-write`` goes up only when the replicas are there to satisfy it, so that
    growing refuses no write, and goes down at once when units leave.
    """
    redis = world.own_redis
    settings = {"min-replicas-to-write": str(min_replicas(world))}
    if not world.config.problem:
        settings["min-replicas-max-lag"] = str(max_lag_s(world))
    if redis is None:
        return settings
    if redis.is_primary and max(redis.fence, redis.connected_replicas) < min_replicas(world):
        settings["min-replicas-to-write"] = str(redis.fence)
    if not redis.has_log:
        settings["appendonly"] = "yes"
    if _holds_back(world, redis):
        settings["min-replicas-to-write"] = c.START_FENCE
    if world.is_leaving:
        settings["replica-priority"] = str(c.NOT_ELIGIBLE)
    elif (redis.is_primary or _is_fit(redis)) and not world.handing_over:
        settings["replica-priority"] = str(c.ELIGIBLE)
    return settings


def _holds_back(world: World, redis: RedisView) -> bool:
    """Whether a primary that came back is to go on refusing writes.

    Its own script lets it take them once most Sentinels have heard it. Should the script have
    died, the charm does, later than any failover that could have been under way.
    """
    if not _has_start_fence(redis):
        return False
    if not redis.is_logged:
        # It began with a snapshot: what it takes now would not outlive it.
        return True
    doubted = world.failing_over or any(s.primary_down_ms for s in world.sentinels.values())
    return redis.uptime_s < START_PATIENCE_S or doubted or world.agreed_primary != world.host


def _is_fit(redis: RedisView) -> bool:
    """Whether a replica has its primary's data, and would have it after a restart too."""
    return redis.link_up and redis.is_logged


def _has_start_fence(redis: RedisView) -> bool:
    return redis.is_primary and redis.settings.get("min-replicas-to-write") == c.START_FENCE


def min_replicas(world: World) -> int:
    """Return how many replicas must be in step before the primary takes a write.

    As many as are sure not to be on the side of a majority that it is cut off from: with the
    primary one less than a quorum leaves. With two units nobody could be missing.
    """
    return len(world.planned) - world.quorum if len(world.planned) >= 3 else 0


def max_lag_s(world: World) -> int:
    """Return after how many seconds without a replica in step a primary refuses writes.

    Not less than 2: replicas report once a second and Redis counts whole seconds, so that 1 was
    measured to refuse writes for a second now and then with nothing wrong.
    """
    return 3 if world.config.down_after_ms >= 5000 else 2


def pause_ms(world: World) -> int:
    """Return for how long a handover may hold the writes, if whoever holds them dies.

    Less than the time in which Sentinel notices: a paused node answers no Sentinel.
    """
    return min(4000, world.config.down_after_ms - 500)


def needs_full_look(world: World) -> bool:
    """Whether this unit decides on more than itself, and has to ask all hosts.

    The leader does; so does a unit that leaves as primary, which hands over by itself, and one
    that has to move the primary by an action.
    """
    return world.is_leader or world.is_leaving or world.ordered is not None


def _birth_steps(world: World) -> Iterator[Step]:
    """Passwords and the first primary, by the leader.

    Nothing starts on a record or a secret that a failing hook could still take back.
    """
    if not world.is_leader or world.is_leaving:
        return
    if world.credentials is None:
        yield CreateCredentials()
    if world.recorded_primary is None:
        yield RecordPrimary(world.agreed_primary or world.host)
    if world.units_known and world.recorded_units != world.planned:
        yield RecordUnits(world.planned)
    if not (world.record_kept and world.credentials_kept):
        yield AskAgain("the first primary is recorded")


def _workload_steps(world: World) -> Iterator[Step]:
    """Files, layers and services of this unit's containers."""
    for name, container in _containers(world):
        yield from (StopService(name, s) for s in sorted(_intruders(world, name, container)))
    if world.credentials is None or world.recorded_primary is None:
        return
    if _has_retired(world) or (world.stopping and not is_needed(world)):
        return
    # The volume of a unit that leaves is mounted as long as the pod is there.
    volume = world.storage_attached or world.is_leaving
    if not (world.record_kept and world.credentials_kept and volume):
        return
    if not (tls.redis_serves(world) and tls.sentinel_serves(world)):
        # TLS is on and there is no certificate: nothing starts that would speak plain text.
        return
    if world.sentinel_container.ready and "sentinel" not in world.missing:
        if not world.sentinel_container.current:
            yield WriteFiles("sentinel")
        if "sentinel" not in world.sentinel_container.running:
            # First: where the DNS does not answer, each look-up of Sentinel's takes seconds.
            if c.NAMES_SERVICE not in world.sentinel_container.running:
                yield StartService("sentinel", c.NAMES_SERVICE)
            if world.sentinel_conf_present:
                yield RefreshSentinelConf()
            else:
                yield WriteSentinelConf(world.recorded_primary)
            yield StartService("sentinel", "sentinel")
        yield from _helper_steps("sentinel", world.sentinel_container)
    if world.redis_container.ready and "redis" not in world.missing:
        starts = "redis" not in world.redis_container.running
        if starts and world.own_data_time != world.data_times.get(world.host):
            yield PublishDataTime(world.own_data_time)
        if not world.redis_container.current:
            yield WriteFiles("redis")
        if starts:
            if world.recorded_primary == world.host and not world.initialised:
                yield PermitBirth()
            yield StartService("redis", "redis")
        yield from _helper_steps("redis", world.redis_container)


def _containers(world: World) -> tuple[tuple[str, ContainerView], ...]:
    return (("redis", world.redis_container), ("sentinel", world.sentinel_container))


def _intruders(world: World, name: str, container: ContainerView) -> frozenset[str]:
    """Return the services of the image that run in a container and must not.

    They have the name of one of the charm's, or hold a port of this unit. Whatever else the image
    runs is no affair of the charm's.
    """
    holding = {h.service for h in world.holders.values() if h.container == name}
    return container.foreign & (c.OWN_NAMES | holding)


def silent_ports(world: World) -> frozenset[int]:
    """Return the ports on which this unit's own processes give no answer."""
    silent = set()
    if world.own_redis is None and not world.is_loading(world.host):
        silent.add(c.REDIS_PORT)
    if world.own_sentinel is None:
        silent.add(c.SENTINEL_PORT)
    redis = world.redis_container
    if c.EXPORTER_SERVICE in redis.services - redis.running:
        silent.add(c.EXPORTER_PORT)
    return frozenset(silent)


def _helper_steps(name: str, container: ContainerView) -> Iterator[Step]:
    """Start what runs beside the main service of a container, which has its name."""
    for helper in sorted(container.services - container.running - {name, "wake"}):
        yield StartService(name, helper)


def _login_steps(world: World) -> Iterator[Step]:
    """Mend a login of the charm that this unit's processes refuse."""
    for service, port, refusals in (
        ("redis", c.REDIS_PORT, world.redis_refusals),
        ("sentinel", c.SENTINEL_PORT, world.sentinel_refusals),
    ):
        if port in world.holders:
            # It is somebody else who refuses, and he is to learn no password.
            continue
        if refusals.get(world.host) is Refusal.LOGIN:
            yield RestoreUsers(service)


def _own_redis_steps(world: World) -> Iterator[Step]:
    """Role and run-time settings of this unit's Redis."""
    redis, sentinel = world.own_redis, world.own_sentinel
    if redis is None or (world.stopping and not world.is_leaving):
        # A pod that stops hands over by its own script; nothing else is of use any more.
        return
    # While the role is moved, a replica is primary before its own Sentinel hears of it, and the
    # Sentinel that moves it may be another one.
    moving = world.failing_over or world.handing_over
    if sentinel is not None and not moving and not sentinel.in_tilt:
        named = sentinel.primary_host
        wrong = redis.is_primary or redis.primary_host != named
        # Self-demotion by Sentinel's script comes first; this is the net beneath it.
        if named not in (None, world.host) and wrong and is_primary(world, named):
            yield Follow(world.host, str(named))
            return
    for name, value in redis_settings(world).items():
        if redis.settings.get(name) != value:
            yield SetRedis(world.host, name, value)


def _own_sentinel_steps(world: World) -> Iterator[Step]:
    """What this unit's Sentinel watches, and how."""
    sentinel = world.own_sentinel
    if sentinel is None or world.is_leaving:
        return
    if sentinel.primary_host is None:
        # Not by MONITOR: only the file gives a Sentinel its scripts.
        primary = world.agreed_primary or world.recorded_primary
        if primary is not None:
            yield RenewSentinel(primary)
        return
    agreed = world.agreed_primary
    if agreed not in (None, sentinel.primary_host) and _is_astray(world, sentinel, str(agreed)):
        yield RenewSentinel(str(agreed))
        return
    for name, value in sentinel_options(world).items():
        if sentinel.options.get(name) == value:
            continue
        if name == "down-after-milliseconds" and _is_patient(world, sentinel):
            continue
        yield SetSentinel(world.host, name, value)


def start_down_after_ms(world: World) -> int:
    """Return how long a primary may give no answer to a Sentinel whose pod has just come up."""
    return max(world.config.down_after_ms, c.START_DOWN_AFTER_MS)


def _is_patient(world: World, sentinel: SentinelView) -> bool:
    """Whether a Sentinel is to keep the patience with which it started.

    Until the Redis of this unit serves, and it hears the primary itself: from the first
    impatient moment on it counts all that it has not heard so far.
    """
    patience = sentinel.options.get("down-after-milliseconds")
    redis = world.own_redis
    serves = is_serving(redis) and redis is not None and not _has_start_fence(redis)
    return patience == str(start_down_after_ms(world)) and not (serves and sentinel.hears_primary)


def _is_astray(world: World, sentinel: SentinelView, agreed: str) -> bool:
    """Whether this unit's Sentinel names another primary than the majority, and will for ever.

    A Sentinel follows the one with the higher epoch. Two failovers in a few seconds can leave
    one with the epoch of the others and the primary of before, and then nothing corrects it.
    """
    epochs = [v.config_epoch for v in world.sentinels.values() if v.primary_host == agreed]
    return (
        is_primary(world, agreed)
        and not world.failing_over
        and sentinel.config_epoch >= max(epochs)
    )


def is_in_doubt(world: World) -> bool:
    """Whether a look at this unit and the primary is not enough to judge its Sentinel."""
    redis, sentinel = world.own_redis, world.own_sentinel
    return (
        not world.asked_all
        and sentinel is not None
        and sentinel.primary_host is not None
        and not sentinel.failing_over
        and (
            not is_primary(world, sentinel.primary_host)
            # Which of the two is right depends on what the others are about to do.
            or (redis is not None and redis.is_primary and sentinel.primary_host != world.host)
            or (redis is not None and _has_start_fence(redis))
        )
    )


def sentinel_options(world: World) -> dict[str, str]:
    """Return the options that a Sentinel of this application should have, but for the quorum.

    An option that the operator got wrong is left out: what runs goes on with what it has.
    """
    options = {
        "failover-timeout": FAILOVER_TIMEOUT_MS,
        "parallel-syncs": PARALLEL_SYNCS,
        **c.SENTINEL_PERIODS_MS,
    }
    if not world.config.problem:
        options["down-after-milliseconds"] = str(world.config.down_after_ms)
    return options


def _leaving_steps(world: World) -> Iterator[Step]:
    """What a unit owes the others before it goes. With nobody left there is nothing to owe."""
    if not world.is_leaving:
        return
    if is_needed(world):
        if world.own_redis is None:
            yield AskAgain("the Redis of this unit is the primary and gives no answer")
        elif world.own_redis.is_primary:
            yield from _handover_steps(world, source=world.host)
        else:
            yield AskAgain("no unit that stays is the primary yet")
        return
    if world.planned:
        yield from _unfence_steps(world)
    if world.stopping and world.own_sentinel is not None and world.own_sentinel.failing_over:
        # Cut short, a failover leaves replicas that nobody turns to the new primary.
        yield AskAgain("this unit's Sentinel still fails over")
    elif world.stopping and (
        "redis" in world.redis_container.running or "sentinel" in world.sentinel_container.running
    ):
        yield Retire()


def is_needed(world: World) -> bool:
    """Whether this unit leaves, and may have what no unit that stays has.

    As primary it has, until another is named and says so itself; that those who stay give no
    answer says nothing, they may be down. So has one whose Redis is down, as far as anybody
    knows. As replica of a unit that stays it may, as long as neither that nor another one is
    primary; its last hook waits for that.
    """
    if not (world.is_leaving and world.planned) or _has_retired(world) or _is_replaced(world):
        return False
    redis = world.own_redis
    others_there = any(h in world.redis for h in world.planned)
    # The units that stay wait no longer than that for a primary that is down.
    patience_s = REVIVE_AFTER_MS / 1000 if redis is None and others_there else LEAVE_PATIENCE_S
    if world.waited_in_vain_s > patience_s:
        return False
    orphaned = world.stopping and not any(is_primary(world, h) for h in world.planned)
    if redis is None:
        named = world.host in (world.agreed_primary, world.recorded_primary)
        return named or (orphaned and world.initialised)
    if redis.is_primary:
        return True
    followed = redis.primary_host
    if not orphaned or followed not in world.planned:
        return False
    # A primary that refuses the charm is there; one that has just come back may follow another.
    return followed not in world.redis_refusals or world.is_loading(followed)


def may_yet_hand_over(world: World) -> bool:
    """Whether a unit that leaves as primary has something to wait for.

    Its Redis is there and one that stays is, with its Sentinel; or they load their data.
    """

    def comes(host: str) -> bool:
        return host in world.redis or world.is_loading(host)

    redis = world.own_redis
    return (
        comes(world.host)
        and (redis is None or redis.is_primary)
        and any(comes(h) and h in world.sentinels for h in world.planned)
    )


def _is_replaced(world: World) -> bool:
    """Whether another host is primary: it says so, and it is the latest that Sentinels know of.

    One that has been down names whom it knew before, until it hears the others.
    """
    agreed = world.agreed_primary
    if agreed in (None, world.host) or not is_primary(world, agreed):
        return False
    return any(
        view.primary_host == agreed and _is_informed(world, host)
        for host, view in world.sentinels.items()
    )


def _has_retired(world: World) -> bool:
    """Whether this unit has done its last deed; a hook may come after it all the same.

    That deed takes the state of its Sentinel from the volume.
    """
    return (
        world.is_leaving
        and world.sentinel_container.ready
        and not world.sentinel_conf_present
        and "sentinel" not in world.sentinel_container.running
        and "redis" not in world.redis_container.running
    )


def _patience_steps(world: World) -> Iterator[Step]:
    """Look again while this unit waits for something that makes no event of its own."""
    if world.stopping or world.is_leaving or world.recorded_primary is None:
        return
    if "redis" not in world.redis_container.running:
        return
    redis, sentinel = world.own_redis, world.own_sentinel
    if redis is None or sentinel is None:
        yield AskAgain(NO_ANSWER)
    elif not is_serving(redis) or redis.is_fenced or not redis.persists:
        yield AskAgain(NOT_SERVING)
    elif not sentinel_is_right(world, sentinel, world.host) or not sentinel.has_majority:
        yield AskAgain(NOT_COMPLETE)


def _unfence_steps(world: World) -> Iterator[Step]:
    """Lower the fence of the primary before replicas leave, so that no write is refused."""
    for host, redis in world.redis.items():
        raised = redis.fence > min_replicas(world) and not _has_start_fence(redis)
        if redis.is_primary and raised and host in world.planned and host != world.host:
            yield SetRedis(host, "min-replicas-to-write", str(min_replicas(world)))


def _leader_steps(world: World) -> Iterator[Step]:
    """What the leader owes all, in this order; an earlier step may end the turn."""
    if not world.is_leader or not world.asked_all or world.credentials is None:
        return
    if world.recorded_primary is None or not world.planned:
        return
    yield from _record_steps(world)
    if not world.units_known:
        # What was recorded holds; who joins or leaves is seen when Juju answers again.
        yield AskAgain(UNITS_UNKNOWN)
    # A lower quorum goes out first, since more units than the majority may be leaving at once;
    # a higher one when there is a majority to reach it.
    watching = {h: s for h in world.planned if (s := world.sentinels.get(h)) and s.primary_host}
    yield from (SetQuorum(h, world.quorum) for h, s in watching.items() if s.quorum > world.quorum)
    primary = world.agreed_primary
    if primary is None or not any(view.has_majority for view in watching.values()):
        yield AskAgain("the Sentinels do not reach their majority")
        if primary is not None and is_primary(world, primary) and not world.failing_over:
            # Units that left without a word may be the majority that is missed.
            yield from _forget_steps(world, primary)
        if primary is None or primary in world.planned:
            return
    yield from (SetQuorum(h, world.quorum) for h, s in watching.items() if s.quorum < world.quorum)
    if world.failing_over:
        yield AskAgain("a failover is under way")
        return
    if primary not in world.planned:
        if world.units_known:
            yield from _replace_steps(world, primary)
        return
    if not is_primary(world, primary):
        # Sentinel's to solve, and its script wakes the charm when it has; but for one case.
        yield from _revive_steps(world, primary)
        return
    if not world.is_leaving:
        yield from _unfence_steps(world)
    if world.ordered is not None and primary != world.ordered.target:
        yield from _handover_steps(world, source=primary)
        return
    for host in world.planned if not world.handing_over else ():
        redis = world.redis.get(host)
        if redis and _is_fit(redis) and redis.priority == c.NOT_ELIGIBLE and host != world.host:
            yield SetRedis(host, "replica-priority", str(c.ELIGIBLE))
    yield from _forget_steps(world, primary)


def _record_steps(world: World) -> Iterator[Step]:
    """Keep the record of the primary true. No answer from a majority: what is recorded stays."""
    agreed = world.agreed_primary
    if agreed is not None and agreed != world.recorded_primary:
        # While both say primary, the one that the majority names is; it must say so itself.
        if is_primary(world, agreed) or not is_primary(world, world.recorded_primary):
            yield RecordPrimary(agreed)
    if not world.initialised and is_primary(world, world.recorded_primary):
        yield MarkInitialised()


def _replace_steps(world: World, primary: str) -> Iterator[Step]:
    """Replace a primary that is not to stay.

    It hands over by itself while it leaves; the leader is the second line: at once when told of
    the departure, and when the primary is gone.
    """
    if is_primary(world, primary):
        if world.departing == primary or primary not in world.leaving:
            yield from _handover_steps(world, source=primary)
        elif primary != world.host:
            yield AskAgain("the leaving primary hands over by itself")
        return
    best = _best_replica(world)
    if len(world.planned) == 1 and is_primary(world, world.planned[0]):
        # It took over, and the Sentinel that had it do so went before it told the one that stays.
        best = world.planned[0]
    if primary in world.redis:
        yield from _circle_steps(world, primary)
        yield AskAgain("the old primary follows another and the Sentinels do not name it yet")
    elif best is None and primary in world.leaving and _down_ms(world) < REVIVE_AFTER_MS:
        # Its pod may come back while its unit is there.
        yield AskAgain(WAITED_FOR)
    elif best is None and all(host in world.redis for host in world.planned):
        yield from _free_steps(world)
    elif best is None:
        yield AskAgain("not every unit is there yet to say what data it has")
    elif all(h in world.sentinels and world.sentinels[h].primary_down_ms for h in world.planned):
        # Those who left cannot vote, so a majority may never come together again; and all who
        # stay say that it is down, so nobody writes to it.
        yield ForceFailover(best)
    else:
        yield AskAgain("not every Sentinel has noticed that the primary is gone")


def _revive_steps(world: World, primary: str) -> Iterator[Step]:
    """Name a new primary when all were down and the old one does not come back.

    Nobody has been in sync since then, so Sentinel finds nobody to promote. The old primary has
    all the data and is waited for; after that the unit with the newest data is set free. Only
    with a majority: a unit that is alone may be the one that is cut off.
    """
    yield from _circle_steps(world, primary)
    down_ms = _down_ms(world)
    alone = not all(view.has_majority for view in world.sentinels.values())
    if primary in world.redis or alone or down_ms == 0:
        return
    best = _best_replica(world)
    if down_ms < REVIVE_AFTER_MS:
        if best is None:
            yield AskAgain(WAITED_FOR)
    elif best is None:
        yield from _free_steps(world)
    else:
        yield ForceFailover(best)


def _circle_steps(world: World, primary: str) -> Iterator[Step]:
    """Have the Sentinels name the target of a handover that they have not seen promoted.

    It died at once, and came back as a replica of the old primary, whom they name and who follows
    it by then. It has all that the other had, unless it came back empty.
    """
    old = world.redis.get(primary)
    target = None if old is None or old.is_primary else old.primary_host
    if target is None or target not in world.planned or target not in world.data_times:
        return
    view = world.redis.get(target)
    if view is None or view.is_primary or view.primary_host != primary or world.failing_over:
        return
    if view.priority == c.NOT_ELIGIBLE:
        yield SetRedis(target, "replica-priority", str(c.ELIGIBLE))
    elif target in world.sentinels:
        yield ForceFailover(target)


def _down_ms(world: World) -> int:
    """Return for how long all Sentinels that answer have had the primary for down."""
    return min((view.primary_down_ms for view in world.sentinels.values()), default=0)


def _free_steps(world: World) -> Iterator[Step]:
    """Make the unit with the newest data eligible, and no other."""
    replicas = [h for h in world.planned if h in world.redis and h in world.data_times]
    if replicas:
        newest = max(replicas, key=lambda h: (world.data_times[h], -world.planned.index(h)))
        yield SetRedis(newest, "replica-priority", str(c.ELIGIBLE))
    yield AskAgain("the unit with the newest data takes over")


def _handover_steps(world: World, source: str) -> Iterator[Step]:
    """Move the primary role from a living node, in turns.

    First all but the target become ineligible, until the Sentinel that is to fail over has seen
    it; only then the handover proper, which is one step because writes wait during it.
    """
    target = _target(world, source)
    if world.failing_over or target is None:
        if world.has_claim:
            yield ReleaseHandover()
        under_way = "a failover is under way"
        yield AskAgain(under_way if world.failing_over else "no replica is in sync to take over")
        return
    # The Sentinel that fails over is the last to record the new primary, so if one is to leave
    # it is the one.
    leaves = source in world.leaving and source in world.sentinels
    host = source if leaves and _is_informed(world, source) else target
    executor = world.sentinels[host]
    if not world.has_claim:
        if world.redis[source].handover_claims:
            yield AskAgain("another unit is handing over")
            return
        yield ClaimHandover(source)
    for replica in executor.replicas:
        if replica.host == target or replica.down:
            continue
        seen = world.redis.get(replica.host)
        if seen is None or seen.priority != c.NOT_ELIGIBLE:
            yield SetRedis(replica.host, "replica-priority", str(c.NOT_ELIGIBLE))
    view = world.redis[target]
    if view.priority != c.ELIGIBLE:
        yield SetRedis(target, "replica-priority", str(c.ELIGIBLE))
    known = {replica.host: replica.priority for replica in executor.replicas if not replica.down}
    right = {h: c.ELIGIBLE if h == target else c.NOT_ELIGIBLE for h in known}
    if world.has_claim and target in known and known == right:
        if view.fence > min_replicas(world):
            yield SetRedis(target, "min-replicas-to-write", str(min_replicas(world)))
        yield Handover(source, target, host)
        yield Readmit(_others_in_sync(world, source, target), target)
    else:
        yield AskAgain("the Sentinel has not seen yet who is eligible")


def _others_in_sync(world: World, source: str, target: str) -> tuple[str, ...]:
    """Return the hosts that stay as replicas, and had the data of the old primary."""
    return tuple(
        h
        for h in world.planned
        if h not in (source, target) and (redis := world.redis.get(h)) and _is_fit(redis)
    )


def _target(world: World, source: str) -> str | None:
    """Return the host that is to be primary; None when no replica is fit for it."""
    fit = [
        h
        for h in world.planned
        if h != source
        and (redis := world.redis.get(h))
        and not redis.is_primary
        and _is_fit(redis)
        and redis.primary_host == source
        and (sentinel := world.sentinels.get(h))
        and sentinel.primary_host == source
        and _is_informed(world, h)
    ]
    if world.ordered is not None and world.ordered.target is not None:
        return world.ordered.target if world.ordered.target in fit else None
    # Offsets differ by what is under way; the pause of the handover makes them equal.
    return fit[0] if fit else None


def _is_informed(world: World, host: str) -> bool:
    """Whether the Sentinel of a host knows the latest failover.

    A new one counts epochs from 0 until it hears the others; they would take back what it does.
    """
    latest = max((view.config_epoch for view in world.sentinels.values()), default=0)
    sentinel = world.sentinels.get(host)
    return sentinel is not None and sentinel.config_epoch >= latest


def _best_replica(world: World) -> str | None:
    """Return the staying replica with the most data that may be promoted; None: there is none."""
    fit = [
        h
        for h in world.planned
        if (redis := world.redis.get(h))
        and not redis.is_primary
        and redis.priority != c.NOT_ELIGIBLE
        and _is_informed(world, h)
    ]
    return max(
        fit, key=lambda h: (world.redis[h].offset_bytes, -world.planned.index(h)), default=None
    )


def _forget_steps(world: World, primary: str) -> Iterator[Step]:
    """Let one Sentinel forget what left, if all is calm.

    A Sentinel that has just been reset could not fail over, so never two at a time and never
    while the primary is in doubt.
    """
    if not world.units_known:
        return
    haunted = [h for h in world.planned if h in world.sentinels and _ghosts(world, h)]
    if not haunted:
        return
    calm = all(
        (sentinel := world.sentinels.get(h))
        and sentinel.primary_host == primary
        and not sentinel.primary_down_ms
        and not sentinel.in_tilt
        and (redis := world.redis.get(h))
        and (h == primary or redis.link_up)
        for h in world.planned
    )
    # A node that still replicates would be learned again from the primary at once.
    gone = all(h not in world.redis and h not in world.sentinels for h in world.leaving)
    if calm and gone:
        peers = len(world.planned) - 1
        yield Forget(haunted[0], replicas=peers, others=peers)
    if not calm or not gone or len(haunted) > 1:
        yield AskAgain("Sentinels still count units that left")


def _ghosts(world: World, host: str) -> frozenset[str]:
    """Return the hosts that a Sentinel knows and that are not to be there."""
    sentinel = world.sentinels[host]
    known = {replica.host for replica in sentinel.replicas} | sentinel.others
    return frozenset(known - set(world.planned))


def sentinel_is_right(world: World, view: SentinelView, host: str) -> bool:
    """Whether a Sentinel knows exactly the planned units, with quorum and primary."""
    others = set(world.planned) - {host}
    return (
        view.primary_host == world.recorded_primary
        and view.quorum == world.quorum
        and set(view.others) == others
        and {r.host for r in view.replicas} == set(world.planned) - {view.primary_host}
    )


def is_primary(world: World, host: str | None) -> bool:
    """Whether the Redis of a host says itself that it is primary; no answer counts as no."""
    view = world.redis.get(host) if host else None
    return view is not None and view.is_primary


def is_serving(redis: RedisView | None) -> bool:
    """Whether a Redis does what its role asks: primary, or replica in sync."""
    return redis is not None and (redis.is_primary or redis.link_up)
