# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The loop as a value: what follows from what was seen so far, the purpose and the time."""

from __future__ import annotations

from dataclasses import replace

import pytest

import constants as c
import texts
from cluster.steps import Handover, Readmit, RecordPrimary, Retire, SetQuorum, SetRedis
from engine import turns
from engine.purpose import Departure, Purpose, Routine, Stop, Switchover
from engine.steps import AskAgain, Step
from engine.turns import Turn, Verdict, next_turn
from engine.world import World
from errors import RefusedError, WorkloadError
from tests.unit.worlds import (
    H0,
    H1,
    H2,
    all_sentinels,
    at_rest,
    primary,
    replica,
    with_redis,
)

NOW_S = 1000.0
BEGUN = turns.begin(NOW_S)
LATE_S = NOW_S + c.HOOK_BUDGET_S + 0.1
SETTINGS = {**at_rest().redis[H0].settings, "min-replicas-max-lag": "9"}
WRONG = with_redis(at_rest(), h0=replace(at_rest().redis[H0], settings=SETTINGS))
RIGHT = SetRedis(H0, "min-replicas-max-lag", "2")
QUORUM_WRONG = all_sentinels(at_rest(), quorum=3)
OUT_OF_SYNC = replica(H0, link_up=False)


def leaving_primary(purpose: Purpose, **views: object) -> World:
    """Return what a leaving primary sees, whose replicas are as given."""
    world = replace(at_rest(3, is_leader=False), planned=(H1, H2), leaving=frozenset({H0}))
    return with_redis(replace(world, purpose=purpose), **views)  # type: ignore[arg-type]


def test_at_rest_a_hook_ends_and_asks_for_nothing():
    verdict = next_turn(BEGUN, at_rest(), NOW_S)
    assert (verdict.ends, verdict.act, verdict.reasons) == (True, (), ())


def test_what_can_be_done_is_done_without_the_reasons_among_it():
    verdict = next_turn(BEGUN, QUORUM_WRONG, NOW_S)
    assert verdict.act == tuple(SetQuorum(h, 2) for h in (H0, H1, H2))
    assert not verdict.ends and not any(isinstance(s, AskAgain) for s in verdict.act)


def test_the_same_plan_twice_means_that_it_takes_no_effect():
    first = next_turn(BEGUN, WRONG, NOW_S)
    second = next_turn(first.turn, WRONG, NOW_S + 1)
    assert (second.ends, second.act, second.reasons) == (True, (), (texts.WHY_STUCK,))


def test_another_plan_in_between_is_progress():
    first = next_turn(BEGUN, WRONG, NOW_S)
    other = replace(at_rest(), recorded_primary=H1)
    second = next_turn(first.turn, other, NOW_S + 1)
    assert second.act == (RecordPrimary(H0),)
    assert not next_turn(second.turn, WRONG, NOW_S + 2).ends


def test_after_its_budget_a_hook_ends_and_another_event_goes_on():
    verdict = next_turn(BEGUN, WRONG, LATE_S)
    assert (verdict.ends, verdict.act, verdict.reasons) == (True, (), (texts.WHY_OUT_OF_TIME,))


def test_after_its_budget_a_hook_with_nothing_left_asks_for_nothing():
    assert next_turn(BEGUN, at_rest(), LATE_S).reasons == ()


def test_what_is_waited_for_is_told_before_the_budget():
    world = with_redis(at_rest(host=H1, is_leader=False), h1=OUT_OF_SYNC)
    early, late = next_turn(BEGUN, world, NOW_S), next_turn(BEGUN, world, LATE_S)
    assert early.reasons == ("Redis does not serve yet",)
    assert late.reasons == ("Redis does not serve yet",) + (texts.WHY_OUT_OF_TIME,)


# A unit that leaves


@pytest.mark.parametrize("purpose", [Departure(H0), Stop()])
def test_a_leaving_primary_looks_again_though_it_can_do_nothing(purpose: Purpose):
    world = leaving_primary(purpose, h1=OUT_OF_SYNC, h2=OUT_OF_SYNC)
    world = replace(world, redis={h: v for h, v in world.redis.items() if h == H0 or v})
    own = replace(world.redis[H0], settings={**world.redis[H0].settings, "replica-priority": "0"})
    verdict = next_turn(BEGUN, with_redis(world, h0=replace(own, priority=0)), NOW_S)
    assert not verdict.ends
    unfit = "redis-k8s/1 is not in sync yet, redis-k8s/2 is not in sync yet"
    assert verdict.reasons == (texts.WHY_NOBODY_FIT.format(units=unfit),)


def test_in_an_earlier_hook_it_leaves_the_rest_to_the_last():
    world = leaving_primary(Departure(H0), h1=OUT_OF_SYNC, h2=OUT_OF_SYNC)
    assert next_turn(BEGUN, world, LATE_S).ends


def test_its_last_hook_goes_on_past_the_budget_with_longer_pauses():
    world = leaving_primary(Stop(), h1=OUT_OF_SYNC, h2=OUT_OF_SYNC)
    verdict = next_turn(BEGUN, world, LATE_S)
    assert verdict.stretches and not verdict.ends and verdict.act == ()
    assert verdict.turn.pause_s == c.LEAVE_PAUSE_S
    assert verdict.turn.deadline_s == LATE_S + c.HOOK_BUDGET_S


def test_it_gets_a_budget_of_its_own_to_leave_in_good_order():
    needed = next_turn(BEGUN, leaving_primary(Stop(), h1=OUT_OF_SYNC), NOW_S)
    assert needed.turn.was_needed
    world = leaving_primary(Stop(), h0=replica(H1), h1=primary())
    replaced = all_sentinels(world, primary_host=H1)
    verdict = next_turn(needed.turn, replaced, LATE_S)
    assert not verdict.ends
    assert verdict.act[-1] == Retire()


def test_hope_is_counted_from_the_last_look_that_gave_any():
    silent = leaving_primary(Stop(), h1=None, h2=None)
    turn = Turn(deadline_s=NOW_S + 9000, hopeful_s=NOW_S)
    assert next_turn(turn, silent, NOW_S + 100).world.waited_in_vain_s == 100
    hopeful = leaving_primary(Stop(), h1=OUT_OF_SYNC, h2=None)
    after = next_turn(turn, hopeful, NOW_S + 100)
    assert after.world.waited_in_vain_s == 0
    assert next_turn(after.turn, silent, NOW_S + 130).world.waited_in_vain_s == 30


# A switchover


def moved_to(host: str, world: World) -> World:
    views = {
        f"h{n}": primary() if h == host else replica(host) for n, h in enumerate(world.planned)
    }
    return all_sentinels(with_redis(world, **views), primary_host=host)


@pytest.mark.parametrize("target", [H2, None])
def test_an_order_is_done_once_the_majority_names_another(target: str | None):
    ordered = replace(at_rest(), purpose=Switchover(target))
    begun = next_turn(BEGUN, ordered, NOW_S)
    assert begun.act and begun.world.ordered
    done = next_turn(begun.turn, moved_to(H2, ordered), NOW_S + 1)
    assert done.world.purpose == Routine()


def test_an_order_for_one_unit_is_not_done_by_another():
    ordered = replace(at_rest(), purpose=Switchover(H1))
    begun = next_turn(BEGUN, ordered, NOW_S)
    assert next_turn(begun.turn, moved_to(H2, ordered), NOW_S + 1).world.ordered


def test_an_order_waits_for_a_failover_under_way():
    ordered = replace(at_rest(), purpose=Switchover(H2))
    under_way = all_sentinels(moved_to(H2, ordered), failing_over=True)
    turn = replace(BEGUN, first=ordered)
    verdict = next_turn(turn, under_way, NOW_S)
    assert "a failover is under way" in verdict.reasons
    assert not next_turn(verdict.turn, under_way, NOW_S + 1).ends


# The loop that obeys


class Recorder:
    """Hands that show the loop one world after the other, and note what it asks for."""

    def __init__(self, *worlds: World, goes_on: bool = True):
        self._worlds = list(worlds)
        self._goes_on = goes_on
        self.calls: list[object] = []

    def now_s(self) -> float:
        return NOW_S

    def look(self, purpose: Purpose) -> World:
        return self._worlds.pop(0)

    def apply(self, steps: tuple[Step, ...], world: World) -> bool:
        self.calls.append(steps)
        return self._goes_on

    def stretch(self, reasons: tuple[str, ...]) -> None:
        self.calls.append("stretch")

    def pause(self, seconds: float) -> None:
        self.calls.append(seconds)


def run(hands: Recorder) -> Verdict:
    return turns.run(hands, Routine())


def test_the_loop_acts_and_looks_again_until_nothing_is_left():
    hands = Recorder(WRONG, at_rest())
    assert run(hands).ends
    assert hands.calls == [(RIGHT,)]


def test_it_pauses_only_where_something_is_waited_for():
    waits = with_redis(QUORUM_WRONG, h1=OUT_OF_SYNC, h0=replace(primary(), connected_replicas=0))
    hands = Recorder(waits, at_rest())
    run(hands)
    assert hands.calls[-1] == c.TURN_PAUSE_S


def test_nothing_comes_after_what_ends_the_unit():
    hands = Recorder(QUORUM_WRONG, goes_on=False)
    assert not run(hands).ends
    assert len(hands.calls) == 1


def test_a_step_that_fails_leaves_the_later_ones_their_chance():
    taken, failed = [], []

    def take(step: Step) -> None:
        taken.append(step)
        if step == SetQuorum(H0, 2):
            raise WorkloadError("no answer")

    steps = [SetQuorum(H0, 2), SetQuorum(H1, 2)]
    turns.take_all(steps, take, lambda step, error: failed.append((step, str(error))))
    assert taken == steps
    assert failed == [(SetQuorum(H0, 2), "no answer")]


def test_what_follows_a_handover_that_failed_is_not_taken():
    taken = []

    def take(step: Step) -> None:
        taken.append(step)
        raise RefusedError("NOGOODSLAVE")

    steps = [Handover(H0, H1, H1), Readmit((H2,), H1)]
    turns.take_all(steps, take, lambda step, error: None)
    assert taken == steps[:1]
