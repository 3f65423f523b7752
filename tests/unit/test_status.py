# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Each message of the table, the world that shows it, and which of several is shown."""

from __future__ import annotations

import time
from dataclasses import replace

import ops
import pytest

import constants as c
import status
from errors import Refusal
from tests.unit.worlds import (
    APP,
    CREDENTIALS,
    H0,
    H1,
    all_sentinels,
    at_rest,
    primary,
    replica,
    with_redis,
    with_sentinels,
)
from world import Config, ContainerView, TlsRecord, TlsView, World

REPLICA = at_rest(host=H1, is_leader=False)
SEVERITY = ("error", "blocked", "maintenance", "waiting", "active")


def shown(statuses: list[ops.StatusBase]) -> ops.StatusBase:
    """Return the status that ops shows: the most severe, among equals the first."""
    return min(statuses, key=lambda each: SEVERITY.index(each.name))


def of_unit(world: World) -> ops.StatusBase:
    return shown(list(status.unit_statuses(world)))


def of_app(world: World) -> ops.StatusBase:
    return shown(list(status.app_statuses(world)))


def own_sentinel(**changes: object) -> World:
    view = replace(REPLICA.sentinels[H1], **changes)  # type: ignore[arg-type]
    return with_sentinels(REPLICA, h1=view)


REFUSED = replace(REPLICA, credentials=None, credentials_refused=True)
LEAVES = replace(
    at_rest(),
    planned=(),
    leaving=frozenset(at_rest().planned),
    tls=TlsView(active=True, records={H0: TlsRecord("tls", redis="a", sentinel="a")}),
)
"""The others, on their way out, have taken their databags with them."""
UNIT_CASES = [
    (status.NO_PEERS, World(app=APP, host=H1, has_peer_relation=False)),
    (status.LEAVING, replace(REPLICA, leaving=frozenset({H1}))),
    (status.NO_PEBBLE, replace(REPLICA, redis_container=ContainerView())),
    (status.NO_PEBBLE, replace(REPLICA, sentinel_container=ContainerView())),
    (status.NO_STORAGE, replace(REPLICA, storage_attached=False)),
    (status.CREDENTIALS_REFUSED, REFUSED),
    (status.NO_PRIMARY, replace(REPLICA, recorded_primary=None)),
    (status.NO_PRIMARY, replace(REPLICA, credentials=None)),
    (status.NO_CERTIFICATE, replace(REPLICA, tls=TlsView(awaited=True))),
    (status.LOADING, replace(with_redis(REPLICA, h1=None), redis_refusals={H1: Refusal.LOADING})),
    (
        status.REDIS_REFUSES,
        replace(with_redis(REPLICA, h1=None), redis_refusals={H1: Refusal.LOGIN}),
    ),
    (
        status.SENTINEL_REFUSES,
        replace(with_sentinels(REPLICA, h1=None), sentinel_refusals={H1: Refusal.LOGIN}),
    ),
    (status.VOLUME_FULL, replace(REPLICA, volume_free_bytes=c.MIN_FREE_BYTES - 1)),
    (status.CANNOT_PERSIST, with_redis(REPLICA, h1=replica(H0, persists=False))),
    (status.NO_SENTINEL, with_sentinels(REPLICA, h1=None)),
    (status.NO_MAJORITY, own_sentinel(has_majority=False)),
    (status.NO_REDIS, with_redis(REPLICA, h1=None)),
    (status.FAILING_OVER, own_sentinel(failing_over=True)),
    (status.PRIMARY_DOWN, own_sentinel(primary_down_ms=1)),
    (status.NO_LINK, with_redis(REPLICA, h1=replica(H0, link_up=False))),
    (status.FENCED, with_redis(at_rest(), h0=primary(connected_replicas=0))),
    (status.NOT_COMPLETE, own_sentinel(others=frozenset({H0}))),
]


@pytest.mark.parametrize(("message", "world"), UNIT_CASES, ids=[m.message for m, _ in UNIT_CASES])
def test_a_unit_shows(message, world):
    assert of_unit(world) == message


def test_every_message_of_a_unit_has_a_case():
    assert {m.message for m, _ in UNIT_CASES} == {m.message for m, _ in status.UNIT_RULES}


APP_CASES = [
    (status.NO_PEERS, World(app=APP, host=H0, has_peer_relation=False)),
    (status.LEAVING, LEAVES),
    (status.CREDENTIALS_REFUSED, replace(REFUSED, is_leader=True)),
    (status.NO_PRIMARY, replace(at_rest(), recorded_primary=None)),
    (status.NO_MAJORITY, with_sentinels(at_rest(), h1=None, h2=None)),
    (status.FAILING_OVER, all_sentinels(at_rest(), failing_over=True)),
    (status.PRIMARY_DOWN, with_redis(at_rest(), h0=None)),
    (
        status.ROTATING,
        replace(at_rest(), credentials=replace(CREDENTIALS, next={"admin": "next"})),
    ),
    (status.TLS_CHANGES, replace(at_rest(), tls=TlsView(wanted=True, active=True))),
]


@pytest.mark.parametrize(("message", "world"), APP_CASES, ids=[m.message for m, _ in APP_CASES])
def test_the_application_shows(message, world):
    assert of_app(world) == message


def test_every_message_of_the_application_has_a_case():
    assert {m.message for m, _ in APP_CASES} == {m.message for m, _ in status.APP_RULES}


@pytest.mark.parametrize("host", [H0, H1])
def test_at_rest_all_are_active(host):
    assert of_unit(at_rest(host=host)) == ops.ActiveStatus()
    assert of_app(at_rest()) == ops.ActiveStatus()


def test_a_look_at_a_part_says_nothing_of_the_majority():
    partial = with_sentinels(replace(at_rest(), asked_all=False), h1=None, h2=None)
    assert of_app(partial) == ops.ActiveStatus()


def test_a_refusal_for_the_moment_is_no_wrong_login():
    world = replace(with_redis(REPLICA, h1=None), redis_refusals={H1: Refusal.OTHER})
    assert of_unit(world) == status.NO_REDIS


def test_a_refusal_of_another_unit_is_not_this_ones():
    assert of_unit(replace(REPLICA, redis_refusals={H0: Refusal.LOGIN})) == ops.ActiveStatus()


def test_options_that_are_wrong_block_whatever_else_holds():
    world = replace(own_sentinel(has_majority=False), config=Config(problem="Set it right"))
    assert of_unit(world) == ops.BlockedStatus("Set it right")
    assert of_app(world) == ops.BlockedStatus("Set it right")


def test_a_failed_handover_blocks_with_its_reason():
    world = replace(at_rest(), handover_problem="NOGOODSLAVE")
    assert of_unit(world) == ops.BlockedStatus("The primary could not be moved: NOGOODSLAVE")


def test_of_two_problems_of_one_kind_the_cause_is_shown():
    world = with_redis(with_sentinels(REPLICA, h1=None), h1=None)
    assert of_unit(world) == status.NO_SENTINEL


def test_the_messages_that_users_know_are_kept():
    assert status.NO_MAJORITY == ops.WaitingStatus("Waiting for majority")
    assert status.NO_REDIS == ops.WaitingStatus("Waiting for Redis...")


def test_a_slow_volume_is_told_of_while_all_goes_on():
    world = with_redis(REPLICA, h1=replica(H0, slow_write_ms=2340))
    shown = of_unit(world)
    assert shown == ops.ActiveStatus("The volume is slow: Redis waited 2.3 s for a write")


@pytest.mark.parametrize(
    ("days", "message"), [(8, ""), (6, status.EXPIRES_SOON), (0.1, status.EXPIRES_SOON)]
)
def test_a_certificate_that_ends_within_a_week_is_told_of(days: float, message: str):
    served = "cert-1/ca-1"
    record = TlsRecord(redis=served, sentinel=served, expires=time.time() + days * 24 * 3600)
    view = TlsView(wanted=True, active=True, records={H1: record}, redis=served, sentinel=served)
    assert of_unit(replace(REPLICA, tls=view)) == ops.ActiveStatus(message)
    # What another unit serves is told by that one.
    others = replace(view, records={H0: record})
    assert of_unit(replace(REPLICA, tls=others)) == ops.ActiveStatus()
