# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""When all data count as lost, and how the application begins anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.lost import has_lost_all, what_is_left
from cluster.steps import PermitBirth, PublishEmpty, SetRedis, StartEmpty
from engine.plan import next_steps
from engine.world import Config, World
from errors import Refusal
from tests.unit.worlds import H0, H1, H2, H3, at_rest, lost_all, replica

LOST = lost_all(at_rest())


def test_all_is_lost_when_each_unit_has_said_that_it_has_nothing():
    assert has_lost_all(LOST)
    assert has_lost_all(replace(LOST, redis={H1: replica(H0, link_up=False)}))
    assert StartEmpty() not in next_steps(LOST)


@pytest.mark.parametrize(
    ("world", "reason"),
    [
        (replace(LOST, empty=frozenset({H0, H2})), "no answer from redis-k8s/1"),
        (replace(LOST, leaving=frozenset({H3})), "no answer from redis-k8s/3"),
        (replace(LOST, redis={H1: replica(H2)}), "redis-k8s/1 has data or is about to"),
        (replace(LOST, redis_refusals={H1: Refusal.LOADING}), "redis-k8s/1 has data or is about"),
        (replace(LOST, initialised=False), "has not been up yet"),
        (replace(LOST, units_known=False), "redis-k8s"),
        (replace(LOST, asked_all=False), "redis-k8s"),
    ],
    ids=["silent", "leaves", "answers", "loads", "new", "units unknown", "others not asked"],
)
def test_as_long_as_there_may_be_data_nothing_begins_anew(world: World, reason: str):
    asked = replace(world, config=Config(start_empty=True))
    assert not has_lost_all(asked)
    assert StartEmpty() not in next_steps(asked)
    assert reason in what_is_left(asked)


def test_a_cache_begins_anew_by_itself():
    assert StartEmpty() in next_steps(replace(LOST, config=Config(start_empty=True)))
    others = replace(LOST, config=Config(start_empty=True), is_leader=False)
    assert StartEmpty() not in next_steps(others)


def test_the_recorded_primary_and_no_other_may_begin_empty():
    begun = replace(LOST, initialised=False)
    assert PermitBirth() in next_steps(begun)
    assert PermitBirth() not in next_steps(replace(begun, recorded_primary=H1))
    assert PermitBirth() not in next_steps(LOST)


def test_a_unit_says_that_it_has_nothing_once_and_takes_it_back_when_it_has():
    world = replace(at_rest(), own_empty=True, redis={})
    assert PublishEmpty(True) in next_steps(world)
    assert PublishEmpty(True) not in next_steps(replace(world, empty=frozenset({H0})))
    assert PublishEmpty(False) in next_steps(replace(at_rest(), empty=frozenset({H0})))
    assert next_steps(at_rest()) == ()


def test_where_the_sentinels_name_a_unit_that_is_gone_the_first_takes_over():
    """As after scaling to zero and back to one, when another one had been primary."""
    world = replace(
        at_rest(1, of=H1),
        initialised=False,
        redis={H0: replica(H1, link_up=False, priority=0)},
        own_empty=True,
        empty=frozenset({H0}),
    )
    assert SetRedis(H0, "replica-priority", "100") in next_steps(world)
    assert SetRedis(H0, "replica-priority", "100") not in next_steps(
        replace(world, initialised=True)
    )
