# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Decisions on plain values: one world, the steps that follow."""

from __future__ import annotations

from dataclasses import replace

import pytest

import constants as c
import texts
from cluster.facts import needs_full_look, sentinel_is_right
from cluster.leaving import LEAVE_PATIENCE_S, REVIVE_AFTER_MS, may_yet_hand_over
from cluster.settings import max_lag_s, min_replicas, pause_ms
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
from engine.plan import next_steps
from engine.purpose import Departure, Routine, Stop, Switchover
from engine.steps import AskAgain, Step
from engine.world import Config, ContainerView, KnownReplica, RedisView, World
from errors import Refusal
from passwords.rotation import CreateCredentials
from tests.unit import reference
from tests.unit.worlds import (
    APP,
    CREDENTIALS,
    H0,
    H1,
    H2,
    H3,
    H4,
    OPTIONS,
    SETTINGS,
    all_sentinels,
    at_rest,
    primary,
    replica,
    sentinel,
    with_redis,
    with_sentinels,
)

READY = ContainerView(ready=True)
RUNNING_REDIS = ContainerView(
    ready=True, current=True, running=frozenset({"redis"}), services=frozenset({"redis"})
)


def deeds(world: World) -> tuple[Step, ...]:
    """Return the steps that change something."""
    return tuple(s for s in next_steps(world) if not isinstance(s, AskAgain))


def reasons(world: World) -> list[str]:
    """Return why another turn is asked for."""
    return [s.reason for s in next_steps(world) if isinstance(s, AskAgain)]


# At rest


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("is_leader", [True, False])
def test_at_rest_there_is_nothing_to_do(size, is_leader):
    for host in at_rest(size).planned:
        assert next_steps(at_rest(size, host=host, is_leader=is_leader)) == ()


def test_a_primary_other_than_the_first_unit_is_no_reason_to_act():
    assert next_steps(at_rest(of=H2)) == ()


def test_without_a_peer_relation_nothing_is_done():
    assert next_steps(World(app=APP, host=H0, is_leader=True, has_peer_relation=False)) == ()


@pytest.mark.parametrize(
    ("changes", "asks_all"),
    [
        ({"is_leader": True}, True),
        ({"is_leader": False}, False),
        ({"is_leader": False, "leaving": frozenset({H0})}, True),
        ({"is_leader": False, "purpose": Switchover(None)}, True),
    ],
)
def test_who_decides_on_others_asks_them_all(changes, asks_all):
    assert needs_full_look(replace(at_rest(), **changes)) is asks_all


# Birth


def test_the_leader_makes_the_passwords_and_names_itself_and_starts_nothing_yet():
    world = World(app=APP, host=H0, is_leader=True, planned=(H0,), record_kept=False)
    world = replace(world, credentials_kept=False, redis_container=READY, sentinel_container=READY)
    assert deeds(world) == (CreateCredentials(), RecordPrimary(H0), RecordUnits((H0,)))
    assert reasons(world) == ["the first primary is recorded"]


def test_other_units_wait_for_the_leader():
    world = World(app=APP, host=H1, planned=(H0, H1), redis_container=READY)
    assert next_steps(world) == ()


def test_a_leader_that_leaves_names_nobody():
    world = World(app=APP, host=H0, is_leader=True, leaving=frozenset({H0}))
    assert next_steps(world) == ()


def test_a_lost_record_is_made_again_from_what_the_sentinels_say():
    world = replace(at_rest(of=H2), recorded_primary=None, record_kept=False)
    assert RecordPrimary(H2) in deeds(world)


@pytest.mark.parametrize("kept", [{"record_kept": False}, {"credentials_kept": False}])
def test_nothing_starts_on_what_a_failing_hook_could_take_back(kept):
    world = replace(newborn(), **kept)
    assert deeds(world) == ()
    assert reasons(world) == ["the first primary is recorded"]


def newborn(**changes: object) -> World:
    """Return the first look after the leader has named itself."""
    world = World(
        app=APP,
        host=H0,
        is_leader=True,
        planned=(H0, H1, H2),
        recorded_primary=H0,
        recorded_units=(H0, H1, H2),
        credentials=CREDENTIALS,
        redis_container=READY,
        sentinel_container=READY,
    )
    return replace(world, **changes)  # type: ignore[arg-type]


# Workloads


def test_the_first_unit_starts_everything_with_a_permit():
    assert deeds(newborn()) == (
        WriteFiles("sentinel"),
        StartService("sentinel", "names"),
        WriteSentinelConf(H0),
        StartService("sentinel", "sentinel"),
        WriteFiles("redis"),
        PermitBirth(),
        StartService("redis", "redis"),
    )


def test_another_unit_starts_without_a_permit():
    steps = deeds(newborn(host=H1, is_leader=False))
    assert PermitBirth() not in steps
    assert StartService("redis", "redis") in steps


def test_an_application_that_had_a_primary_gives_no_permit():
    assert PermitBirth() not in deeds(newborn(initialised=True))


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": Stop()},
        {"credentials": None, "is_leader": False},
        {"recorded_primary": None, "is_leader": False},
        {"storage_attached": False},
        {"redis_container": ContainerView(), "sentinel_container": ContainerView()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nothing_starts_before_all_is_there(changes):
    assert deeds(newborn(**changes)) == ()


def test_one_container_does_not_wait_for_the_other():
    assert StartService("redis", "redis") in deeds(newborn(sentinel_container=ContainerView()))
    steps = deeds(newborn(redis_container=ContainerView()))
    assert StartService("sentinel", "sentinel") in steps


def test_a_sentinel_with_state_from_before_keeps_it():
    steps = deeds(newborn(sentinel_conf_present=True))
    assert not any(isinstance(step, WriteSentinelConf) for step in steps)
    assert StartService("sentinel", "sentinel") in steps


def test_changed_files_are_written_beside_a_running_service():
    world = replace(at_rest(), redis_container=replace(RUNNING_REDIS, current=False))
    assert next_steps(world) == (WriteFiles("redis"),)
    stale = replace(at_rest().sentinel_container, current=False)
    assert next_steps(replace(at_rest(), sentinel_container=stale)) == (WriteFiles("sentinel"),)


def test_helpers_beside_redis_are_started_and_the_wake_service_is_not():
    services = frozenset({"redis", "redis_exporter", "wake"})
    world = replace(at_rest(), redis_container=replace(RUNNING_REDIS, services=services))
    assert next_steps(world) == (StartService("redis", "redis_exporter"),)


def test_the_age_of_the_data_is_told_before_redis_starts():
    world = newborn(own_data_time=7.0, initialised=True)
    steps = deeds(world)
    assert steps.index(PublishDataTime(7.0)) < steps.index(StartService("redis", "redis"))
    assert PublishDataTime(7.0) not in deeds(replace(world, data_times={H0: 7.0}))
    assert PublishDataTime(7.0) in deeds(replace(world, data_times={H0: 6.0}))


def test_a_volume_that_has_become_empty_is_not_ranked_by_what_it_had():
    world = newborn(own_data_time=None, initialised=True)
    assert PublishDataTime(None) in deeds(replace(world, data_times={H0: 6.0}))
    assert PublishDataTime(None) not in deeds(world)


def test_the_age_of_the_data_does_not_change_while_redis_runs():
    assert deeds(replace(at_rest(), data_times={H0: 6.0})) == ()


# This unit's Redis


def test_a_second_primary_follows_the_one_that_is_named():
    world = with_redis(at_rest(host=H1, is_leader=False), h1=primary())
    assert deeds(world) == (Follow(H1, H0),)


def test_a_replica_of_somebody_else_follows_the_one_that_is_named():
    world = with_redis(at_rest(host=H1, is_leader=False), h1=replica(H2))
    assert deeds(world) == (Follow(H1, H0),)


@pytest.mark.parametrize(
    "changes",
    [{"failing_over": True}, {"in_tilt": True}, {"primary_host": None}, {"primary_host": H1}],
    ids=str,
)
def test_nobody_is_demoted_while_the_sentinel_is_not_sure(changes):
    world = with_redis(at_rest(host=H1, is_leader=False), h1=primary())
    own = replace(world.sentinels[H1], **changes)
    assert not any(isinstance(s, Follow) for s in next_steps(with_sentinels(world, h1=own)))


def test_nobody_is_demoted_while_another_sentinel_moves_the_role():
    world = with_redis(at_rest(host=H1, is_leader=False), h1=primary())
    executor = replace(world.sentinels[H0], failing_over=True)
    assert Follow(H1, H0) not in next_steps(with_sentinels(world, h0=executor))


def test_nobody_is_demoted_while_somebody_hands_over():
    world = with_redis(at_rest(host=H1, is_leader=False), h1=primary())
    claimed = replace(world.redis[H0], handover_claims=1)
    assert Follow(H1, H0) not in next_steps(with_redis(world, h0=claimed))


@pytest.mark.parametrize("view", [None, replica(H1)], ids=["silent", "replica"])
def test_nobody_follows_one_that_does_not_say_itself_that_it_is_primary(view):
    world = with_redis(at_rest(host=H1, is_leader=False), h1=primary(), h0=view)
    assert not any(isinstance(s, Follow) for s in next_steps(world))


def came_back(uptime_s: int = 5) -> World:
    """Return a world whose primary started again, and still refuses writes."""
    settings = {**primary().settings, "min-replicas-to-write": c.START_FENCE}
    return with_redis(at_rest(), h0=replace(primary(), settings=settings, uptime_s=uptime_s))


def lowers(world: World) -> bool:
    """Whether the fence of the primary is set."""
    steps = [step for step in next_steps(world) if isinstance(step, SetRedis)]
    return any((step.host, step.name) == (H0, "min-replicas-to-write") for step in steps)


def test_a_primary_that_came_back_is_left_to_its_script():
    assert not lowers(came_back())
    shrinking = replace(came_back(), planned=(H0, H1), host=H1)
    assert not lowers(shrinking)


def test_a_primary_whose_script_died_is_let_go_on_when_nobody_doubts_it():
    world = came_back(uptime_s=60)
    assert SetRedis(H0, "min-replicas-to-write", "1") in next_steps(world)
    doubting = replace(world.sentinels[H1], primary_down_ms=1)
    assert not lowers(with_sentinels(world, h1=doubting))
    assert not lowers(with_sentinels(world, h1=None, h2=None))


def test_settings_that_are_off_are_set_right():
    off = {"min-replicas-to-write": "0", "min-replicas-max-lag": "10", "replica-priority": "0"}
    world = with_redis(at_rest(host=H1, is_leader=False), h1=replica(H0, settings=off))
    assert set(deeds(world)) == {
        SetRedis(H1, "min-replicas-to-write", "1"),
        SetRedis(H1, "min-replicas-max-lag", SETTINGS["min-replicas-max-lag"]),
        SetRedis(H1, "replica-priority", "100"),
    }


def test_a_replica_out_of_sync_does_not_become_eligible():
    off = {**SETTINGS, "replica-priority": "0"}
    world = with_redis(
        at_rest(host=H1, is_leader=False), h1=replica(H0, link_up=False, settings=off)
    )
    assert deeds(world) == ()


def test_a_unit_that_leaves_is_not_eligible():
    world = leaving(at_rest(3, host=H2, is_leader=False), H2)
    assert SetRedis(H2, "replica-priority", "0") in next_steps(world)


def test_a_primary_takes_no_write_before_all_that_it_has_is_in_its_log():
    world = came_back(uptime_s=600)
    off = with_redis(world, h0=replace(world.redis[H0], has_log=False))
    assert SetRedis(H0, "appendonly", "yes") in next_steps(off)
    assert not lowers(off)
    assert not lowers(with_redis(world, h0=replace(world.redis[H0], rewrites_log=True)))
    assert lowers(world)


def test_a_replica_is_fit_when_all_that_it_has_is_in_its_log():
    late = replica(H0, priority=0, settings={**SETTINGS, "replica-priority": "0"})
    fit = SetRedis(H1, "replica-priority", "100")
    for own in (H0, H1):
        world = with_redis(at_rest(host=own, is_leader=own == H0), h1=late)
        assert fit in next_steps(world)
        rewrites = with_redis(world, h1=replace(late, rewrites_log=True))
        assert fit not in next_steps(rewrites)


def test_the_fence_goes_up_when_a_replica_can_satisfy_it():
    low = {**SETTINGS, "min-replicas-to-write": "0"}
    alone = with_redis(at_rest(), h0=primary(settings=low, connected_replicas=0))
    assert deeds(alone) == ()
    joined = with_redis(at_rest(), h0=primary(settings=low, connected_replicas=1))
    assert deeds(joined) == (SetRedis(H0, "min-replicas-to-write", "1"),)


def test_a_fence_for_more_units_waits_for_their_replicas():
    def steps(fence: str, replicas: int) -> tuple[object, ...]:
        settings = {**SETTINGS, "min-replicas-to-write": fence}
        view = primary(settings=settings, connected_replicas=replicas)
        return deeds(with_redis(at_rest(5), h0=view))

    assert steps("1", 1) == ()
    assert steps("1", 2) == (SetRedis(H0, "min-replicas-to-write", "2"),)
    assert steps("2", 0) == ()


def test_the_fence_stays_up_when_the_replicas_are_gone():
    assert deeds(with_redis(at_rest(), h0=primary(connected_replicas=0))) == ()


def test_a_fence_that_is_too_high_comes_down():
    high = {**SETTINGS, "min-replicas-to-write": "99"}
    world = with_redis(at_rest(), h0=primary(settings=high))
    assert deeds(world) == (SetRedis(H0, "min-replicas-to-write", "1"),)


@pytest.mark.parametrize(("units", "fence"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (9, 4)])
def test_the_fence_follows_the_planned_units(units, fence):
    world = replace(at_rest(), planned=tuple(f"redis-k8s-{n}" for n in range(units)))
    assert min_replicas(world) == fence


@pytest.mark.parametrize(
    ("down_after_ms", "lag_s", "hold_ms"),
    [(1200, 2, 700), (2000, 2, 1500), (4999, 2, 4000), (5000, 3, 4000), (60000, 3, 4000)],
)
def test_lag_and_pause_follow_the_time_in_which_sentinel_notices(down_after_ms, lag_s, hold_ms):
    world = replace(at_rest(), config=Config(down_after_ms=down_after_ms))
    assert max_lag_s(world) == lag_s
    assert pause_ms(world) == hold_ms < down_after_ms


def test_options_that_are_wrong_change_nothing_that_runs():
    world = replace(at_rest(), config=Config(down_after_ms=9000, problem="Set it right"))
    assert deeds(world) == ()


# This unit's Sentinel


def test_a_sentinel_that_watches_nothing_is_told_what_the_others_name():
    blank = replace(sentinel(H1, (H0, H1, H2)), primary_host=None)
    world = with_sentinels(at_rest(host=H1, of=H2), h1=blank)
    assert RenewSentinel(H2) in next_steps(replace(world, recorded_primary=H0))


def test_a_sentinel_that_watches_nothing_falls_back_on_the_record():
    blank = replace(sentinel(H1, (H0, H1, H2)), primary_host=None)
    world = with_sentinels(at_rest(host=H1, is_leader=False), h0=None, h1=blank, h2=None)
    assert deeds(world) == (RenewSentinel(H0),)


def test_options_of_the_sentinel_follow_the_configuration():
    world = replace(at_rest(), config=Config(down_after_ms=3000))
    assert SetSentinel(H0, "down-after-milliseconds", "3000") in next_steps(world)


def patient(host=H1, of=H0, **view):
    """A unit whose Sentinel still has the patience with which it started."""
    world = at_rest(host=host, of=of, is_leader=False)
    own = world.sentinels[host]
    options = {**own.options, "down-after-milliseconds": str(c.START_DOWN_AFTER_MS)}
    view = replace(own, options=options, **view)
    return replace(world, sentinels={**world.sentinels, host: view})


@pytest.mark.parametrize("host", [H0, H1])
def test_a_sentinel_that_hears_the_primary_loses_its_first_patience(host):
    assert SetSentinel(host, "down-after-milliseconds", "1200") in next_steps(patient(host))


def test_a_sentinel_that_hears_no_primary_keeps_its_first_patience():
    steps = next_steps(patient(hears_primary=False))
    assert not any(isinstance(step, SetSentinel) for step in steps)


@pytest.mark.parametrize("change", ["down", "link", "fence"])
def test_a_sentinel_is_patient_until_the_redis_beside_it_serves(change):
    world = patient(H0 if change == "fence" else H1)
    own = world.redis[world.host]
    fenced = {**own.settings, "min-replicas-to-write": c.START_FENCE}
    changed = {
        "down": {},
        "link": {world.host: replace(own, link_up=False)},
        "fence": {world.host: replace(own, settings=fenced)},
    }[change]
    redis = {h: view for h, view in world.redis.items() if h != world.host} | changed
    steps = next_steps(replace(world, redis=redis))
    assert not any(isinstance(step, SetSentinel) for step in steps)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_is_off_is_set_right(name):
    own = at_rest().sentinels[H0]
    off = replace(own, options={**own.options, name: "77"})
    world = with_sentinels(at_rest(is_leader=False), h0=off)
    assert deeds(world) == (SetSentinel(H0, name, OPTIONS[name]),)


def test_a_sentinel_that_leaves_is_left_alone():
    world = leaving(at_rest(host=H2, is_leader=False), H2)
    own = replace(world.sentinels[H2], options={})
    assert not any(isinstance(s, SetSentinel) for s in next_steps(with_sentinels(world, h2=own)))


# The record


def test_the_leader_wakes_the_others_by_its_record_of_the_units():
    changed = replace(at_rest(), recorded_units=(H0, H1))
    assert deeds(changed) == (RecordUnits((H0, H1, H2)),)
    assert deeds(replace(changed, is_leader=False)) == ()


def test_the_record_follows_the_majority():
    assert deeds(replace(at_rest(of=H1), recorded_primary=H0)) == (RecordPrimary(H1),)


def test_without_a_majority_the_record_stays():
    world = with_sentinels(replace(at_rest(of=H1), recorded_primary=H0), h1=None, h2=None)
    assert not any(isinstance(s, RecordPrimary) for s in next_steps(world))


def test_one_sentinel_with_another_opinion_changes_nothing():
    other = sentinel(H2, (H0, H1, H2), of=H1)
    world = with_sentinels(at_rest(), h2=other)
    assert not any(isinstance(s, RecordPrimary) for s in next_steps(world))


def test_a_recorded_primary_that_lives_stays_until_the_new_one_says_that_it_is_primary():
    world = replace(at_rest(of=H1), recorded_primary=H0)
    both = with_redis(world, h0=primary(), h1=replica(H0))
    assert not any(isinstance(s, RecordPrimary) for s in next_steps(both))


def test_only_the_leader_keeps_the_record():
    world = replace(at_rest(of=H1, host=H1, is_leader=False), recorded_primary=H0)
    assert deeds(world) == ()


def test_the_first_primary_that_is_up_makes_the_application_initialised():
    assert deeds(replace(at_rest(), initialised=False)) == (MarkInitialised(),)


def test_a_recorded_primary_that_is_silent_initialises_nothing():
    world = with_redis(replace(at_rest(), initialised=False), h0=None)
    assert MarkInitialised() not in next_steps(world)


# Majority and quorum


@pytest.mark.parametrize(
    ("units", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (9, 5), (0, 1)]
)
def test_the_quorum_follows_the_planned_units(units, quorum):
    world = replace(at_rest(), planned=tuple(f"redis-k8s-{n}" for n in range(units)))
    assert world.quorum == quorum


@pytest.mark.parametrize("quorum", [1, 99])
def test_a_sentinel_that_disagrees_gets_the_quorum(quorum):
    world = with_sentinels(at_rest(), h1=sentinel(H1, (H0, H1, H2), quorum=quorum))
    assert deeds(world) == (SetQuorum(H1, 2),)


def test_a_silent_sentinel_does_not_stop_the_others():
    world = with_sentinels(all_sentinels(at_rest(), quorum=1), h1=None)
    assert deeds(world) == (SetQuorum(H0, 2), SetQuorum(H2, 2))


def test_a_lower_quorum_goes_out_without_a_majority_and_a_higher_one_does_not():
    lost = all_sentinels(at_rest(), has_majority=False)
    assert deeds(all_sentinels(lost, quorum=3)) == tuple(SetQuorum(h, 2) for h in (H0, H1, H2))
    assert deeds(all_sentinels(lost, quorum=1)) == ()
    assert "the Sentinels do not reach their majority" in reasons(lost)


def test_a_sentinel_that_watches_nothing_gets_no_quorum():
    blank = replace(sentinel(H1, (H0, H1, H2)), primary_host=None, quorum=0)
    world = with_sentinels(at_rest(), h1=blank)
    assert not any(isinstance(s, SetQuorum) for s in next_steps(world))


def test_a_partial_view_is_no_majority():
    world = with_sentinels(at_rest(), h1=None, h2=None)
    assert world.agreed_primary is None
    assert "the Sentinels do not reach their majority" in reasons(world)


def test_the_sentinels_of_units_that_leave_have_no_say():
    five = at_rest(5, of=H4)
    world = leaving(five, H3, H4)
    stale = {h: sentinel(h, five.planned, of=H0) for h in (H3, H4)}
    world = replace(world, sentinels={**world.sentinels, **stale})
    assert world.agreed_primary == H4


def test_a_leader_that_could_not_ask_all_decides_nothing():
    world = all_sentinels(replace(at_rest(), asked_all=False), quorum=99)
    assert deeds(world) == ()


# Failover by the Sentinels


def test_while_a_sentinel_fails_over_the_leader_waits():
    moving = replace(at_rest().sentinels[H1], failing_over=True)
    world = with_sentinels(at_rest(), h1=moving)
    assert deeds(world) == ()
    assert "a failover is under way" in reasons(world)


def test_a_primary_that_is_down_is_left_to_the_sentinels():
    world = all_sentinels(with_redis(at_rest(host=H1), h0=None), primary_down_ms=9000)
    assert deeds(world) == ()


# Revival after all were down


def all_were_down(down_ms: int, priority: int = 0) -> World:
    """Return a world whose primary did not come back, its replicas never in sync since."""
    world = with_redis(at_rest(host=H1), h0=None)
    views = {
        h: replica(H0, link_up=False, priority=priority, settings=low(priority)) for h in (H1, H2)
    }
    world = replace(world, redis=views, data_times={H1: 10.0, H2: 20.0})
    return all_sentinels(with_sentinels(world, h0=None), primary_down_ms=down_ms)


def low(priority: int) -> dict[str, str]:
    return {**SETTINGS, "replica-priority": str(priority)}


def test_the_old_primary_is_waited_for_first():
    world = all_were_down(REVIVE_AFTER_MS - 1)
    assert "the primary is waited for, since nobody else has been in sync" in reasons(world)
    assert deeds(world) == ()


def test_then_the_newest_data_goes_on():
    assert deeds(all_were_down(REVIVE_AFTER_MS)) == (SetRedis(H2, "replica-priority", "100"),)


def test_of_equally_new_data_that_of_the_first_unit_goes_on():
    world = replace(all_were_down(REVIVE_AFTER_MS), data_times={H1: 10.0, H2: 10.0})
    assert deeds(world) == (SetRedis(H1, "replica-priority", "100"),)


def test_an_empty_unit_is_never_freed():
    world = replace(all_were_down(REVIVE_AFTER_MS), data_times={})
    assert deeds(world) == ()


def test_who_was_freed_takes_over():
    world = all_were_down(REVIVE_AFTER_MS)
    freed = replica(H0, link_up=False, priority=100)
    assert deeds(with_redis(world, h2=freed)) == (ForceFailover(H2),)


def test_a_unit_that_is_alone_may_be_the_one_that_is_cut_off():
    world = all_were_down(REVIVE_AFTER_MS)
    for changes in ({"has_majority": False}, {"primary_down_ms": 0}):
        assert deeds(all_sentinels(world, **changes)) == ()


# Leaving


def leaving(world: World, *hosts: str) -> World:
    """Return the world in which Juju removes hosts."""
    planned = tuple(h for h in world.planned if h not in hosts)
    return replace(world, planned=planned, leaving=frozenset(hosts))


def eligible(world: World, target: str) -> World:
    """Return the world in which one replica alone is eligible, and all Sentinels know."""
    redis = {
        h: view
        if view.is_primary
        else replace(
            view,
            priority=100 if h == target else 0,
            settings={**view.settings, "replica-priority": "100" if h == target else "0"},
        )
        for h, view in world.redis.items()
    }
    sentinels = {
        h: replace(
            view,
            replicas=tuple(
                replace(r, priority=100 if r.host == target else 0) for r in view.replicas
            ),
        )
        for h, view in world.sentinels.items()
    }
    return replace(world, redis=redis, sentinels=sentinels)


def test_a_primary_that_leaves_first_claims_the_handover_and_makes_one_eligible():
    world = leaving(at_rest(4, host=H0, is_leader=False), H0)
    steps = deeds(world)
    assert [s for s in steps if isinstance(s, ClaimHandover)] == [ClaimHandover(H0)]
    assert SetRedis(H2, "replica-priority", "0") in steps
    assert SetRedis(H3, "replica-priority", "0") in steps
    assert not any(isinstance(s, Handover) for s in steps)


def test_it_hands_over_when_its_own_sentinel_has_seen_who_is_eligible():
    world = replace(leaving(at_rest(4, is_leader=False), H0), has_claim=True)
    assert Handover(H0, H1, H0) in deeds(eligible(world, H1))
    half = with_sentinels(eligible(world, H1), h0=world.sentinels[H0])
    assert Handover(H0, H1, H0) not in deeds(half)
    assert "the Sentinel has not seen yet who is eligible" in reasons(half)


def test_without_a_sentinel_of_its_own_the_targets_fails_over():
    world = replace(leaving(at_rest(4, is_leader=False), H0), has_claim=True)
    world = with_sentinels(eligible(world, H1), h0=None)
    assert Handover(H0, H1, H1) in deeds(world)


def test_a_unit_does_not_retire_while_its_sentinel_fails_over():
    world = replace(leaving(at_rest(4, is_leader=False), H0), purpose=Stop())
    world = with_redis(world, h0=replica(H1), h1=primary())
    busy = replace(world.sentinels[H0], failing_over=True)
    assert Retire() not in deeds(with_sentinels(world, h0=busy))
    assert Retire() in deeds(world)


def test_it_does_not_hand_over_without_the_claim():
    world = eligible(leaving(at_rest(4, is_leader=False), H0), H1)
    assert not any(isinstance(s, Handover) for s in deeds(world))


def test_it_waits_while_another_hands_over():
    world = leaving(at_rest(4, is_leader=False), H0)
    claimed = with_redis(world, h0=primary(handover_claims=1))
    assert "another unit is handing over" in reasons(claimed)
    assert not any(isinstance(s, ClaimHandover | Handover) for s in deeds(claimed))


def test_a_target_whose_sentinel_has_lost_its_state_is_passed_over():
    """The others take back what it does, with all that was written meanwhile."""
    world = leaving(at_rest(4, is_leader=False), H0)
    world = with_redis(world, h1=replica(H0, priority=0), h2=replica(H0, priority=0))
    assert SetRedis(H1, "replica-priority", "100") in deeds(world)
    blank = replace(world.sentinels[H1], config_epoch=0)
    assert SetRedis(H2, "replica-priority", "100") in deeds(with_sentinels(world, h1=blank))


def test_without_its_state_the_sentinel_of_a_leaving_unit_does_not_fail_over():
    world = replace(leaving(at_rest(4, is_leader=False), H0), has_claim=True)
    world = eligible(world, H1)
    blank = replace(world.sentinels[H0], config_epoch=0)
    assert Handover(H0, H1, H1) in deeds(with_sentinels(world, h0=blank))


def test_a_target_is_passed_over_until_its_log_has_all():
    """Killed before, it would come back with what was in its log before it copied."""
    world = leaving(at_rest(4, is_leader=False), H0)
    world = with_redis(world, h1=replica(H0, priority=0, rewrites_log=True))
    world = with_redis(world, h2=replica(H0, priority=0))
    assert SetRedis(H2, "replica-priority", "100") in deeds(world)
    assert SetRedis(H1, "replica-priority", "100") not in deeds(world)


def test_after_the_handover_the_others_may_be_promoted_again_at_once():
    """The new primary may be the next to die."""
    world = replace(leaving(at_rest(4, is_leader=False), H0), has_claim=True)
    world = eligible(world, H1)
    steps = deeds(world)
    after = steps[steps.index(Handover(H0, H1, H0)) + 1]
    assert after == Readmit((H2, H3), H1)
    late = with_redis(world, h3=replica(H0, priority=0, link_up=False))
    assert Readmit((H2,), H1) in deeds(late)


def test_a_target_that_is_not_eligible_is_made_so():
    world = leaving(at_rest(4, is_leader=False), H0)
    world = with_redis(world, h1=replica(H0, priority=0))
    assert SetRedis(H1, "replica-priority", "100") in deeds(world)


def test_a_replica_that_is_down_does_not_hold_up_the_handover():
    world = replace(leaving(at_rest(4, is_leader=False), H0), has_claim=True)
    world = with_redis(eligible(world, H1), h3=None)
    known = [
        replace(r, priority=100, down=True) if r.host == H3 else r
        for r in world.sentinels[H0].replicas
    ]
    own = replace(world.sentinels[H0], replicas=tuple(known))
    assert Handover(H0, H1, H0) in deeds(with_sentinels(world, h0=own))


def test_a_replica_that_the_look_could_not_read_is_told_all_the_same():
    world = with_redis(leaving(at_rest(4, is_leader=False), H0), h3=None)
    assert SetRedis(H3, "replica-priority", "0") in deeds(world)


@pytest.mark.parametrize(
    "unfit",
    [
        None,
        replica(H0, link_up=False),
        replica(H4),
        primary(),
    ],
    ids=["silent", "not in sync", "follows another", "primary"],
)
def test_only_a_replica_in_sync_takes_over(unfit):
    world = with_redis(leaving(at_rest(4, is_leader=False), H0), h1=unfit)
    steps = deeds(world)
    assert SetRedis(H2, "replica-priority", "0") not in steps
    assert SetRedis(H3, "replica-priority", "0") in steps


def test_a_replica_without_a_sentinel_does_not_take_over():
    world = with_sentinels(leaving(at_rest(4, is_leader=False), H0), h1=None)
    assert SetRedis(H2, "replica-priority", "0") not in deeds(world)


def test_with_nobody_in_sync_it_waits():
    world = leaving(at_rest(3, is_leader=False), H0)
    down = replica(H0, link_up=False)
    world = with_redis(world, h1=down, h2=down)
    assert reasons(world) == [
        texts.WHY_NOBODY_FIT.format(
            units="redis-k8s/1 is not in sync yet, redis-k8s/2 is not in sync yet"
        )
    ]


def test_a_handover_waits_for_a_failover_to_end():
    world = all_sentinels(leaving(at_rest(3, is_leader=False), H0), failing_over=True)
    assert "a failover is under way" in reasons(world)
    assert not any(isinstance(s, ClaimHandover) for s in deeds(world))


def test_the_target_is_never_among_those_that_leave():
    world = replace(leaving(at_rest(5, is_leader=False), H0, H1, H2), has_claim=True)
    assert Handover(H0, H3, H0) in deeds(eligible(world, H3))


def test_in_a_small_application_the_target_loses_its_fence_before_it_takes_over():
    world = replace(leaving(at_rest(3, is_leader=False), H0), has_claim=True)
    steps = deeds(eligible(world, H1))
    fence = SetRedis(H1, "min-replicas-to-write", "0")
    assert steps.index(fence) < steps.index(Handover(H0, H1, H0))


def test_a_replica_that_leaves_lowers_the_fence_of_a_primary_that_would_be_left_alone():
    world = leaving(at_rest(3, host=H2, is_leader=False), H2)
    assert SetRedis(H0, "min-replicas-to-write", "0") in deeds(world)
    world = leaving(at_rest(4, host=H3, is_leader=False), H3)
    assert not any(isinstance(s, SetRedis) and s.host == H0 for s in deeds(world))
    world = leaving(at_rest(5, host=H4, is_leader=False), H4)
    assert SetRedis(H0, "min-replicas-to-write", "1") in deeds(world)


def test_a_unit_retires_in_its_stop_hook_only():
    world = leaving(at_rest(4, host=H3, is_leader=False), H3)
    assert Retire() not in deeds(world)
    assert deeds(replace(world, purpose=Stop()))[-1] == Retire()


def test_a_unit_that_has_retired_is_done():
    world = leaving(at_rest(4, host=H3, is_leader=False), H3)
    ended = replace(RUNNING_REDIS, running=frozenset())
    world = replace(world, purpose=Stop(), redis_container=ended, sentinel_container=ended)
    assert deeds(with_redis(with_sentinels(world, h3=None), h3=None)) == ()


OUT_OF_SYNC = replica(H0, link_up=False)


def stays_behind(units: int = 3, **views: RedisView | None) -> World:
    """Return the world in the stop hook of H0, which leaves as primary, with others' views."""
    world = leaving(at_rest(units, is_leader=False), H0)
    return replace(with_redis(world, **views), purpose=Stop())


@pytest.mark.parametrize("silent", [False, True])
def test_a_primary_does_not_retire_before_a_unit_that_stays_has_its_data(silent):
    world = stays_behind(h1=OUT_OF_SYNC, h2=None if silent else OUT_OF_SYNC)
    assert Retire() not in deeds(world)
    unfit = "gives no answer" if silent else "is not in sync yet"
    assert texts.WHY_NOBODY_FIT.format(
        units=f"redis-k8s/1 is not in sync yet, redis-k8s/2 {unfit}"
    ) in reasons(world)
    copied = replace(with_redis(world, h1=replica(H0)), has_claim=True)
    assert Handover(H0, H1, H0) in deeds(eligible(copied, H1))


def test_it_waits_where_no_sentinel_that_stays_answers():
    world = with_sentinels(stays_behind(2, h1=None), h1=None)
    assert world.agreed_primary is None
    assert Retire() not in deeds(world)


def test_it_does_not_retire_in_the_turn_of_a_handover():
    assert Retire() not in deeds(stays_behind())


def test_it_retires_when_another_has_taken_over():
    world = stays_behind(h0=replica(H1), h1=primary())
    assert Retire() in deeds(all_sentinels(world, primary_host=H1))
    # It has not noticed yet that it was replaced.
    unaware = all_sentinels(stays_behind(h1=primary()), primary_host=H1)
    assert Retire() in deeds(unaware)


@pytest.mark.parametrize("h1", [None, primary()], ids=["silent", "primary"])
def test_it_does_not_believe_one_that_has_been_down_since_before_the_last_failover(
    h1: RedisView | None,
):
    world = all_sentinels(stays_behind(2, h1=h1), config_epoch=6)
    stale = replace(world.sentinels[H1], primary_host=H1, config_epoch=5)
    assert Retire() not in deeds(with_sentinels(world, h1=stale))
    # Where the latest is named and gives no answer, there is nobody yet to leave it to.
    informed = with_sentinels(world, h1=replace(stale, config_epoch=6))
    assert (Retire() in deeds(informed)) is (h1 is not None)


def test_a_replica_does_not_retire_while_the_primary_that_stays_is_down():
    world = replace(leaving(at_rest(3, host=H1, is_leader=False), H1), purpose=Stop())
    assert Retire() in deeds(world)
    orphaned = with_redis(world, h0=None)
    assert Retire() not in deeds(orphaned)
    assert "no unit that stays is the primary yet" in reasons(orphaned)
    assert Retire() in deeds(with_redis(orphaned, h2=primary()))
    # It came back as a replica: its Sentinel has not heard yet that it was made primary.
    assert Retire() not in deeds(with_redis(orphaned, h0=replica(H1, link_up=False)))
    assert Retire() not in deeds(replace(orphaned, redis_refusals={H0: Refusal.LOADING}))
    refused = replace(orphaned, redis_refusals={H0: Refusal.LOGIN})
    assert Retire() in deeds(refused)
    # It waits in its last hook only.
    assert not any(
        isinstance(s, AskAgain) for s in next_steps(replace(orphaned, purpose=Routine()))
    )


def test_a_replica_does_not_wait_for_a_primary_that_leaves_as_well():
    both = replace(leaving(at_rest(3, host=H1, is_leader=False), H0, H1), purpose=Stop())
    assert Retire() in deeds(both)


@pytest.mark.parametrize("recorded", [H0, H1])
def test_it_waits_for_its_own_redis_as_long_as_nobody_else_is_primary(recorded: str):
    world = stays_behind(h0=None, h1=OUT_OF_SYNC, h2=OUT_OF_SYNC)
    # Where the leader has been down the record may name one from before.
    world = replace(world, recorded_primary=recorded, initialised=True)
    silent = with_sentinels(world, h1=None, h2=None)
    for each in (world, silent):
        assert Retire() not in deeds(each)
    assert Retire() in deeds(all_sentinels(with_redis(world, h1=primary()), primary_host=H1))


def test_one_whose_pod_was_killed_starts_its_redis_again_to_hand_over():
    world = stays_behind(h0=None, h1=OUT_OF_SYNC, h2=OUT_OF_SYNC)
    # Juju has detached the storage by then; it is mounted all the same.
    world = replace(world, redis_container=READY, storage_attached=False)
    assert StartService("redis", "redis") in deeds(world)
    replaced = all_sentinels(with_redis(world, h1=primary()), primary_host=H1)
    assert StartService("redis", "redis") not in deeds(replaced)


def test_a_hook_after_the_last_one_starts_nothing():
    world = replace(stays_behind(2, h0=None, h1=None), purpose=Routine())
    world = replace(
        with_sentinels(world, h0=None, h1=None),
        redis_container=replace(RUNNING_REDIS, running=frozenset()),
        sentinel_container=replace(world.sentinel_container, running=frozenset()),
        sentinel_conf_present=False,
    )
    assert next_steps(world) == ()
    # With the state of its Sentinel it has not retired: both are down for a moment.
    down = replace(world, sentinel_conf_present=True)
    assert StartService("redis", "redis") in deeds(down)
    # Of a pod that has just begun nothing is known yet.
    begun = replace(world, sentinel_container=ContainerView(), redis_container=ContainerView())
    assert next_steps(begun) != ()


def test_what_a_unit_that_leaves_waits_for():
    world = stays_behind(2, h1=OUT_OF_SYNC)
    loading = {H0: Refusal.LOADING, H1: Refusal.LOADING}
    assert may_yet_hand_over(world)
    assert may_yet_hand_over(replace(with_redis(world, h0=None, h1=None), redis_refusals=loading))
    for vain in (
        with_redis(world, h0=None),
        with_redis(world, h0=replica(H1)),
        with_redis(world, h1=None),
        with_sentinels(world, h1=None),
    ):
        assert not may_yet_hand_over(vain)


def test_its_patience_ends_when_it_waits_in_vain():
    world = with_sentinels(stays_behind(2, h1=None), h1=None)
    assert Retire() in deeds(replace(world, waited_in_vain_s=LEAVE_PATIENCE_S + 1))
    assert Retire() not in deeds(replace(world, waited_in_vain_s=LEAVE_PATIENCE_S - 1))
    # Its own Redis is waited for as long as the others wait for a primary.
    down = stays_behind(2, h0=None, h1=OUT_OF_SYNC)
    assert Retire() in deeds(replace(down, waited_in_vain_s=61))
    assert Retire() not in deeds(replace(down, waited_in_vain_s=59))


@pytest.mark.parametrize("failing_over", [False, True])
def test_a_handover_that_cannot_be_done_now_is_left_to_others(failing_over):
    world = stays_behind() if failing_over else stays_behind(h1=OUT_OF_SYNC, h2=OUT_OF_SYNC)
    world = replace(all_sentinels(world, failing_over=failing_over), has_claim=True)
    assert ReleaseHandover() in deeds(world)
    assert ReleaseHandover() not in deeds(replace(world, has_claim=False))


def test_a_pod_that_only_restarts_does_not_retire():
    world = replace(at_rest(host=H1, is_leader=False), purpose=Stop())
    assert deeds(world) == ()


def test_the_last_units_leave_without_a_handover():
    world = leaving(at_rest(1, is_leader=True), H0)
    assert not any(isinstance(s, Handover | ClaimHandover) for s in next_steps(world))
    assert Retire() in deeds(replace(world, purpose=Stop()))


# Replacing a primary that is not to stay, by the leader


def test_the_leader_lets_a_leaving_primary_hand_over_by_itself():
    world = leaving(at_rest(4, host=H1), H0)
    assert not any(isinstance(s, ClaimHandover | Handover) for s in deeds(world))
    assert "redis-k8s/0 leaves as the primary and hands over by itself" in reasons(world)


def test_told_of_its_departure_the_leader_hands_over():
    world = replace(leaving(at_rest(4, host=H1), H0), purpose=Departure(H0))
    assert ClaimHandover(H0) in deeds(world)
    ready = eligible(replace(world, has_claim=True), H1)
    assert Handover(H0, H1, H0) in deeds(ready)


def gone(world: World, *hosts: str) -> World:
    """Return the world in which units are gone without a word; the primary was among them."""
    world = replace(
        world,
        planned=tuple(h for h in world.planned if h not in hosts),
        redis={h: v for h, v in world.redis.items() if h not in hosts},
        sentinels={h: v for h, v in world.sentinels.items() if h not in hosts},
    )
    return all_sentinels(world, primary_down_ms=6000, has_majority=False)


def test_a_primary_that_is_gone_for_good_is_replaced_by_the_best_replica():
    world = gone(at_rest(5, host=H3), H0, H1, H2)
    assert deeds(with_redis(world, h4=replica(H0, offset_bytes=101)))[-1] == ForceFailover(H4)
    assert deeds(world)[-1] == ForceFailover(H3)


@pytest.mark.parametrize("leaves", [False, True])
def test_two_that_follow_each_other_are_untied_in_favour_of_the_target(leaves: bool):
    """The target of a handover died before a Sentinel had seen its promotion."""
    world = leaving(at_rest(2, host=H1), H0) if leaves else at_rest(2, host=H1)
    world = replace(all_sentinels(world, primary_down_ms=2000), data_times={H1: 10.0})
    tied = with_redis(
        world,
        h0=replica(H1, link_up=False),
        h1=replica(H0, link_up=False, priority=0),
    )
    assert SetRedis(H1, "replica-priority", "100") in deeds(tied)
    freed = with_redis(tied, h1=replica(H0, link_up=False, priority=100))
    assert ForceFailover(H1) in deeds(freed)
    for other in (
        all_sentinels(freed, failing_over=True),
        # It came back empty.
        replace(freed, data_times={}),
        with_redis(freed, h1=primary()),
        with_redis(freed, h1=None),
    ):
        assert ForceFailover(H1) not in deeds(other)


def test_data_that_is_on_its_way_out_is_waited_for_before_older_data_go_on():
    world = replace(gone(at_rest(2, host=H1), H0), data_times={H1: 10.0})
    world = with_redis(world, h1=replica(H0, link_up=False, priority=0))
    freed = SetRedis(H1, "replica-priority", "100")
    assert freed in deeds(world)
    # The unit of the old primary is there yet; only its pod is not.
    leaves = replace(world, leaving=frozenset({H0}))
    assert freed not in deeds(leaves)
    assert texts.WHY_NO_OTHER in reasons(leaves)
    assert freed in deeds(all_sentinels(leaves, primary_down_ms=REVIVE_AFTER_MS))


def test_the_last_unit_that_took_over_unheard_is_named_by_its_sentinel():
    world = with_redis(gone(at_rest(2, host=H1), H0), h1=primary())
    assert deeds(world)[-1] == ForceFailover(H1)
    awake = with_sentinels(world, h1=replace(world.sentinels[H1], primary_down_ms=0))
    assert not any(isinstance(s, ForceFailover) for s in deeds(awake))


def test_nobody_is_forced_whose_sentinel_has_lost_its_state():
    world = gone(at_rest(5, host=H3), H0, H1, H2)
    blank = replace(world.sentinels[H3], config_epoch=0)
    assert deeds(with_sentinels(world, h3=blank))[-1] == ForceFailover(H4)


def test_the_quorum_is_lowered_before():
    steps = deeds(gone(at_rest(5, host=H3), H0, H1, H2))
    assert steps.index(SetQuorum(H3, 2)) < steps.index(ForceFailover(H3))


def test_nothing_is_forced_before_every_sentinel_that_stays_thinks_it_down():
    world = gone(at_rest(5, host=H3), H0, H1, H2)
    awake = with_sentinels(world, h4=replace(world.sentinels[H4], primary_down_ms=0))
    assert "not every Sentinel has noticed that the primary is gone: redis-k8s/4" in reasons(awake)
    assert not any(isinstance(s, ForceFailover) for s in deeds(awake))
    assert not any(isinstance(s, ForceFailover) for s in deeds(with_sentinels(world, h4=None)))


def test_nobody_who_is_not_eligible_is_forced():
    world = gone(at_rest(5, host=H3), H0, H1, H2)
    unfit = replica(H0, link_up=False, priority=0, settings=low(0))
    world = with_redis(world, h3=unfit, h4=unfit)
    world = replace(world, data_times={H3: 5.0, H4: 4.0})
    assert not any(isinstance(s, ForceFailover) for s in deeds(world))
    assert SetRedis(H3, "replica-priority", "100") in deeds(world)


def test_nobody_is_freed_before_every_unit_has_said_what_it_has():
    world = gone(at_rest(5, host=H3), H0, H1, H2)
    unfit = replica(H0, link_up=False, priority=0, settings=low(0))
    world = replace(with_redis(world, h3=unfit, h4=None), data_times={H3: 5.0})
    text = "not every unit is there yet to say what data it has: no answer from redis-k8s/4"
    assert text in reasons(world)
    assert SetRedis(H3, "replica-priority", "100") not in deeds(world)


def test_an_old_primary_that_follows_already_needs_no_handover():
    world = leaving(at_rest(4, host=H1), H0)
    world = with_redis(world, h0=replica(H1), h1=primary())
    assert not any(isinstance(s, ForceFailover | Handover) for s in deeds(world))
    assert any("do not name it yet" in reason for reason in reasons(world))


# Eligible again


def test_after_a_handover_the_replicas_become_eligible_again():
    world = with_redis(at_rest(), h1=replica(H0, priority=0))
    assert deeds(world) == (SetRedis(H1, "replica-priority", "100"),)


def test_not_while_somebody_hands_over_since_the_priorities_are_theirs():
    world = with_redis(at_rest(), h0=primary(handover_claims=1), h1=replica(H0, priority=0))
    assert deeds(world) == ()


def test_and_not_before_they_are_in_sync():
    world = with_redis(at_rest(), h1=replica(H0, priority=0, link_up=False))
    assert deeds(world) == ()


# Forgetting


def haunted(world: World, *ghosts: str, by: tuple[str, ...] = (H0, H1, H2)) -> World:
    """Return the world in which Sentinels still count units that left."""
    extra = tuple(KnownReplica(g, priority=100, link_up=False, down=True) for g in ghosts)
    views = {
        h: replace(v, replicas=v.replicas + extra, others=v.others | set(ghosts)) if h in by else v
        for h, v in world.sentinels.items()
    }
    return replace(world, sentinels=views)


def test_one_sentinel_at_a_time_forgets_what_left():
    world = haunted(at_rest(), H3)
    assert deeds(world) == (Forget(H0, replicas=2, others=2),)
    assert "Sentinels still count units that left: redis-k8s/3" in reasons(world)
    assert deeds(haunted(at_rest(), H3, by=(H2,))) == (Forget(H2, replicas=2, others=2),)
    assert reasons(haunted(at_rest(), H3, by=(H2,))) == []


def test_a_ghost_among_the_sentinels_only_is_one_too():
    world = at_rest()
    own = replace(world.sentinels[H1], others=world.sentinels[H1].others | {H4})
    assert deeds(with_sentinels(world, h1=own)) == (Forget(H1, replicas=2, others=2),)


@pytest.mark.parametrize(
    "trouble",
    [
        lambda w: with_sentinels(w, h1=None),
        lambda w: with_redis(w, h1=None),
        lambda w: with_redis(w, h2=replica(H0, link_up=False)),
        lambda w: with_sentinels(w, h1=replace(w.sentinels[H1], in_tilt=True)),
        lambda w: with_sentinels(w, h1=replace(w.sentinels[H1], primary_down_ms=1)),
        lambda w: with_sentinels(w, h1=replace(w.sentinels[H1], primary_host=H1)),
        lambda w: replace(w, leaving=frozenset({H3}), redis={**w.redis, H3: replica(H0)}),
        lambda w: replace(
            w,
            leaving=frozenset({H3}),
            sentinels={**w.sentinels, H3: sentinel(H3, (H0, H1, H2, H3))},
        ),
    ],
    ids=[
        "a silent Sentinel",
        "a silent Redis",
        "a link down",
        "tilt",
        "the primary down",
        "another opinion",
        "its Redis still runs",
        "its Sentinel still runs",
    ],
)
def test_nothing_is_forgotten_before_all_is_calm(trouble):
    world = trouble(haunted(at_rest(), H3))
    assert not any(isinstance(s, Forget) for s in next_steps(world))
    assert "Sentinels still count units that left: redis-k8s/3" in reasons(world)


def test_a_departed_majority_is_forgotten_although_no_majority_is_reached():
    """After 5 → 2 without a word the ghosts are the majority that is missed."""
    two = replace(at_rest(2), planned=(H0, H1))
    world = all_sentinels(haunted(two, H2, H3, H4, by=(H0, H1)), has_majority=False)
    assert deeds(world) == (Forget(H0, replicas=1, others=1),)


def test_without_a_majority_nothing_is_forgotten_while_a_unit_that_stays_is_silent():
    world = all_sentinels(haunted(at_rest(), H3, H4), has_majority=False)
    assert not any(isinstance(s, Forget) for s in next_steps(with_sentinels(world, h2=None)))


# Switchover


def test_a_switchover_makes_the_unit_primary_that_was_asked_for():
    world = replace(at_rest(), purpose=Switchover(H2))
    assert SetRedis(H1, "replica-priority", "0") in deeds(world)
    assert Handover(H0, H2, H2) in deeds(eligible(replace(world, has_claim=True), H2))


def test_a_switchover_to_whichever_takes_the_first_that_is_fit():
    world = replace(at_rest(), purpose=Switchover(None), has_claim=True)
    assert Handover(H0, H1, H1) in deeds(eligible(world, H1))


def test_a_switchover_to_a_unit_that_is_not_in_sync_waits():
    world = replace(at_rest(), purpose=Switchover(H2))
    world = with_redis(world, h2=replica(H0, link_up=False))
    assert deeds(world) == ()
    assert reasons(world) == [texts.WHY_NOBODY_FIT.format(units="redis-k8s/2 is not in sync yet")]


@pytest.mark.parametrize(
    ("changed", "unfit"),
    [
        ({"h2": None}, "redis-k8s/2 gives no answer"),
        ({"h2": primary()}, "redis-k8s/2 is a primary itself"),
        ({"h2": replica(H1)}, "redis-k8s/2 follows redis-k8s/1"),
        ({"h2": replica(H0, link_up=False)}, "redis-k8s/2 is not in sync yet"),
        (
            {"h2": replica(H0, rewrites_log=True)},
            "redis-k8s/2 has not written all its data to its own file yet",
        ),
    ],
)
def test_why_a_unit_cannot_take_over_is_told(changed, unfit):
    world = with_redis(replace(at_rest(), purpose=Switchover(H2)), **changed)
    assert texts.WHY_NOBODY_FIT.format(units=unfit) in reasons(world)
    assert reference.has("reason", unfit)


def test_why_a_unit_that_starts_cannot_take_over_is_told():
    world = with_redis(replace(at_rest(), purpose=Switchover(H2)), h2=None)
    loads = replace(world, redis_refusals={H2: Refusal.LOADING})
    assert texts.WHY_NOBODY_FIT.format(units="redis-k8s/2 loads its data") in reasons(loads)


@pytest.mark.parametrize(
    ("view", "unfit"),
    [
        (None, "Sentinel of redis-k8s/2 gives no answer"),
        (
            replace(at_rest().sentinels[H2], config_epoch=0),
            "Sentinel of redis-k8s/2 has not heard of the last failover",
        ),
    ],
)
def test_what_sentinel_lacks_to_have_its_unit_take_over_is_told(view, unfit):
    world = with_sentinels(replace(at_rest(), purpose=Switchover(H2)), h2=view)
    assert texts.WHY_NOBODY_FIT.format(units=unfit) in reasons(world)
    assert reference.has("reason", unfit)


def test_where_nobody_else_stays_that_is_told():
    world = replace(at_rest(1), purpose=Switchover(None))
    assert reasons(world) == [texts.WHY_NOBODY_FIT.format(units=texts.UNFIT_NOBODY)]


def test_a_switchover_to_the_primary_is_done():
    assert deeds(replace(at_rest(), purpose=Switchover(H0))) == ()


def test_a_switchover_is_the_leaders():
    world = replace(at_rest(host=H1, is_leader=False), purpose=Switchover(H1))
    assert deeds(world) == ()


# Helpers of other rooms


def test_a_sentinel_is_right_when_it_knows_exactly_the_planned_units():
    world = at_rest()
    right = world.sentinels[H1]
    assert sentinel_is_right(world, right, H1)
    for wrong in (
        replace(right, primary_host=H2),
        replace(right, quorum=3),
        replace(right, others=right.others | {H4}),
        replace(right, others=frozenset({H0})),
        replace(right, replicas=right.replicas[:1]),
    ):
        assert not sentinel_is_right(world, wrong, H1)


def test_a_step_that_follows_from_two_reasons_is_taken_once():
    world = at_rest(2, host=H1)
    high = {**SETTINGS, "min-replicas-to-write": "1"}
    world = with_redis(leaving(world, H1), h0=primary(settings=high))
    steps = [s for s in next_steps(world) if s == SetRedis(H0, "min-replicas-to-write", "0")]
    assert len(steps) == 1


def test_no_password_is_in_the_text_of_a_world_or_a_step():
    text = repr(at_rest()) + repr(next_steps(newborn()))
    assert "-pw" not in text
