# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Each text, the world that shows it, and which of several is shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import ops
import pytest

import constants as c
import texts
from clients import rights
from clients.view import Client, ClientsView
from engine import status
from engine.purpose import Departure, Switchover
from engine.world import (
    Config,
    ContainerView,
    Holder,
    Image,
    KnownReplica,
    World,
)
from errors import Refusal
from nodes.access import Mode
from passwords import rotation
from passwords.users import User
from tenants.view import Tenant, TenantsView
from tests.unit import reference
from tests.unit.worlds import (
    APP,
    CREDENTIALS,
    H0,
    H1,
    H2,
    H3,
    H4,
    all_sentinels,
    at_rest,
    lost_all,
    primary,
    replica,
    with_redis,
    with_sentinels,
)
from tls.view import PLAIN, Serves, TlsRecord, TlsView

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


CERT = Serves("cert1", "ca1")
REFUSED = replace(REPLICA, credentials=None, credentials_refused=True)
LEAVES = replace(
    at_rest(),
    planned=(),
    leaving=frozenset(at_rest().planned),
    tls=TlsView(active=True, records={H0: TlsRecord(Mode.TLS, redis=CERT, sentinel=CERT)}),
)
"""The others, on their way out, have taken their databags with them."""
PAIR = at_rest(2, host=H1, is_leader=False)
ALONE = replace(
    at_rest(2, host=H0, is_leader=False),
    planned=(H1,),
    leaving=frozenset({H0}),
    redis={H0: primary()},
)
"""The primary leaves, and the one that stays gives no answer."""
BAD_REQUEST = replace(
    at_rest(),
    tenants=TenantsView(related=(Tenant(1, "shop", "v1", problem=texts.WHY_BAD_ID),), is_on=True),
)
NOT_FIT = tuple(KnownReplica(h, priority=0, link_up=False, down=False) for h in (H1, H2))
NAMES_BOTH = {h: replace(at_rest().sentinels[h], primary_host=h) for h in (H0, H1)}
REFUSES = "refuses the charm: give users default and operator all rights and their passwords"
NO_CERTIFICATE = "Waiting for the certificate of redis-k8s/1 from the relation certificates"
DEPARTS = replace(at_rest(), handover_problem="NOGOODSLAVE", purpose=Departure(H2))
ROTATES = replace(at_rest(), credentials=replace(CREDENTIALS, serial=2, next={"admin": "next"}))


def lacks(world: World) -> World:
    image = Image(missing=("awk", "redis-cli or valkey-cli"))
    return replace(world, redis_container=replace(world.redis_container, image=image))


def refuses(world: World, refusal: Refusal = Refusal.LOGIN) -> World:
    silent = with_redis(world, **{f"h{world.host[-1]}": None})
    return replace(silent, redis_refusals={world.host: refusal})


def expiring(world: World, at: float) -> World:
    record = TlsRecord(Mode.TLS, redis=CERT, sentinel=CERT, expires=at)
    records = dict.fromkeys(world.planned, record)
    view = TlsView(wanted=True, active=True, records=records, redis=CERT, sentinel=CERT)
    return replace(world, tls=view)


UNIT_CASES: list[tuple[str, str, World]] = [
    (
        "blocked",
        "The image of container redis has no awk; no redis-cli or valkey-cli: "
        "attach another one as redis-image",
        lacks(REPLICA),
    ),
    (
        "blocked",
        "Port 6379 is taken by nc (process 12 in container sentinel): "
        "stop it, or attach another image as redis-image",
        replace(REPLICA, holders={6379: Holder("sentinel", "nc", 12)}),
    ),
    (
        "blocked",
        "No unit has any data: attach the old volumes, or run start-empty on redis-k8s/leader",
        lost_all(REPLICA),
    ),
    (
        "blocked",
        "cert-file is not a certificate in PEM format",
        replace(REPLICA, tls=TlsView(problem="cert-file is not a certificate in PEM format")),
    ),
    (
        "blocked",
        "system-users: there is no such secret",
        replace(REPLICA, system_users_problem="system-users: there is no such secret"),
    ),
    (
        "blocked",
        "Set down-after to a value from 1000 to 60000",
        replace(REPLICA, config=Config(problem="Set down-after to a value from 1000 to 60000")),
    ),
    ("blocked", "The primary could not be moved: NOGOODSLAVE", DEPARTS),
    ("blocked", f"Redis {REFUSES}", refuses(REPLICA)),
    (
        "blocked",
        f"Sentinel {REFUSES}",
        replace(with_sentinels(REPLICA, h1=None), sentinel_refusals={H1: Refusal.LOGIN}),
    ),
    (
        "blocked",
        "The volume is full (1023 KiB left): free space on it, or grow its claim with kubectl",
        replace(REPLICA, volume_free_bytes=c.MIN_FREE_BYTES - 1),
    ),
    (
        "blocked",
        "Redis cannot write to its volume: kubectl logs redis-k8s-1 -c redis says why",
        with_redis(REPLICA, h1=replica(H0, persists=False)),
    ),
    (
        "waiting",
        "Waiting for Juju to set up the peer relation",
        World(app=APP, host=H1, has_peer_relation=False),
    ),
    (
        "waiting",
        "Waiting for Kubernetes to start container redis",
        replace(REPLICA, redis_container=ContainerView()),
    ),
    (
        "waiting",
        "Waiting for Kubernetes to start container redis and container sentinel",
        replace(REPLICA, redis_container=ContainerView(), sentinel_container=ContainerView()),
    ),
    (
        "waiting",
        "Waiting for Juju to attach the volume of the storage database",
        replace(REPLICA, storage_attached=False),
    ),
    ("waiting", "Waiting for Juju to give the passwords", REFUSED),
    (
        "waiting",
        "Waiting for the leader to name a primary",
        replace(REPLICA, recorded_primary=None),
    ),
    ("waiting", "Waiting for the leader to name a primary", replace(REPLICA, credentials=None)),
    ("waiting", NO_CERTIFICATE, replace(REPLICA, tls=TlsView(awaited=True))),
    (
        "waiting",
        NO_CERTIFICATE,
        replace(REPLICA, tls=TlsView(awaited=True), redis={}, sentinels={}),
    ),
    (
        "waiting",
        "Waiting for Sentinel to answer on port 26379",
        with_sentinels(REPLICA, h1=None),
    ),
    (
        "waiting",
        "Waiting for Sentinel to answer: its service is not running",
        replace(with_sentinels(REPLICA, h1=None), sentinel_container=ContainerView(ready=True)),
    ),
    (
        "waiting",
        "Waiting for majority: 1 of 2 Sentinels answer, 2 are needed; no answer from redis-k8s/0",
        with_sentinels(PAIR, h0=None, h1=replace(PAIR.sentinels[H1], has_majority=False)),
    ),
    (
        "waiting",
        "Waiting for majority: 3 of 7 Sentinels answer, 4 are needed; "
        "no answer from redis-k8s/3, redis-k8s/4, redis-k8s/9, redis-k8s/10",
        own_sentinel(
            has_majority=False, others=frozenset({H0, H2, H3, H4, f"{APP}-9", f"{APP}-10"})
        ),
    ),
    (
        "waiting",
        "Waiting for majority: Sentinel of redis-k8s/1 knows 1 of 3, 2 are needed",
        own_sentinel(has_majority=False, others=frozenset()),
    ),
    (
        "waiting",
        "Waiting for majority: Sentinel of redis-k8s/1 counts 3 and hears fewer than 2",
        own_sentinel(has_majority=False),
    ),
    (
        "waiting",
        "Waiting for majority: Sentinel of redis-k8s/1 counts 3 and hears fewer than 2",
        replace(
            own_sentinel(has_majority=False),
            asked_all=False,
            sentinels={H1: replace(REPLICA.sentinels[H1], has_majority=False)},
        ),
    ),
    ("waiting", "Waiting for Redis...", with_redis(REPLICA, h1=None)),
    (
        "waiting",
        "A failover is under way: another unit takes over from redis-k8s/0",
        own_sentinel(failing_over=True),
    ),
    (
        "waiting",
        "The primary could not be moved: NOGOODSLAVE",
        replace(REPLICA, handover_problem="NOGOODSLAVE"),
    ),
    (
        "waiting",
        "The primary redis-k8s/0 is down: waiting for the Sentinels to name another",
        own_sentinel(primary_down_ms=1),
    ),
    (
        "waiting",
        "The primary redis-k8s/0 is down, and nobody can take over: waiting for it to come back",
        own_sentinel(primary_down_ms=1, replicas=NOT_FIT),
    ),
    (
        "waiting",
        "Waiting for the replica to be in sync with redis-k8s/0",
        with_redis(REPLICA, h1=replica(H0, link_up=False)),
    ),
    (
        "waiting",
        "Primary refuses writes: 0 of 1 required replicas in sync",
        with_redis(at_rest(), h0=primary(connected_replicas=0)),
    ),
    (
        "waiting",
        "Primary refuses writes: most Sentinels have not heard yet that it is back",
        with_redis(at_rest(), h0=primary(settings={"min-replicas-to-write": c.START_FENCE})),
    ),
    (
        "waiting",
        "Sentinel of redis-k8s/1 names redis-k8s/2 as primary, "
        "the leader has recorded redis-k8s/0",
        own_sentinel(primary_host=H2),
    ),
    (
        "waiting",
        "Sentinel of redis-k8s/1 names nobody as primary, the leader has recorded redis-k8s/0",
        own_sentinel(primary_host=None),
    ),
    (
        "waiting",
        "Sentinel of redis-k8s/1 still counts redis-k8s/3",
        own_sentinel(others=frozenset({H0, H2, H3})),
    ),
    (
        "waiting",
        "Sentinel of redis-k8s/1 still counts redis-k8s/3, redis-k8s/4",
        own_sentinel(
            others=frozenset({H0, H2, H3}),
            replicas=(*REPLICA.sentinels[H1].replicas, KnownReplica(H4, 100, True, True)),
        ),
    ),
    (
        "waiting",
        "Sentinel of redis-k8s/1 has not met redis-k8s/2",
        own_sentinel(others=frozenset({H0})),
    ),
    (
        "waiting",
        "Sentinel of redis-k8s/1 has not met redis-k8s/1, redis-k8s/2",
        own_sentinel(replicas=()),
    ),
    ("waiting", "Sentinel of redis-k8s/1 has quorum 1, 2 is needed", own_sentinel(quorum=1)),
    ("waiting", "Leaving: no replica is in sync to take over: redis-k8s/1 gives no answer", ALONE),
    (
        "waiting",
        "The primary could not be moved: NOGOODSLAVE",
        replace(ALONE, handover_problem="NOGOODSLAVE"),
    ),
    ("maintenance", "Leaving", replace(REPLICA, leaving=frozenset({H1}))),
    ("maintenance", "Redis is loading its data", refuses(REPLICA, Refusal.LOADING)),
    (
        "active",
        "The volume is slow: Redis waited 2.3 s for a write",
        with_redis(REPLICA, h1=replica(H0, slow_write_ms=2340)),
    ),
    ("active", "", REPLICA),
    ("active", "", at_rest()),
]
GUEST = User("relation-1", by="an application", rights=rights.RULES)
TWICE = replace(
    rotation.with_guests(CREDENTIALS, {GUEST: "new-client-pw"}, gone=()),
    previous={"relation-1": "old-client-pw"},
)
NOT_TAKEN = replace(
    at_rest(),
    credentials=TWICE,
    serials=dict.fromkeys((H0, H1, H2), TWICE.serial),
    clients=ClientsView((Client(1, "shop", can={"shop/0": True}),), is_on=True),
)
FORUM = Client(2, "forum", can={"forum/0": False})
OLD_CLIENT = replace(at_rest(), clients=ClientsView((FORUM,), is_on=True))
LET_IN = replace(
    OLD_CLIENT, clients=ClientsView((FORUM,), open_to=frozenset({"forum"}), is_on=True)
)
APP_CASES: list[tuple[str, str, World]] = [
    ("blocked", "The primary could not be moved: NOGOODSLAVE", DEPARTS),
    (
        "waiting",
        "Waiting for Juju to set up the peer relation",
        World(app=APP, host=H0, has_peer_relation=False),
    ),
    ("waiting", "Waiting for Juju to give the passwords", replace(REFUSED, is_leader=True)),
    (
        "waiting",
        "Waiting for the leader to name a primary",
        replace(at_rest(), recorded_primary=None),
    ),
    (
        "waiting",
        "Waiting for majority: 1 of 3 Sentinels answer, 2 are needed; "
        "no answer from redis-k8s/1, redis-k8s/2",
        with_sentinels(at_rest(), h1=None, h2=None),
    ),
    (
        "waiting",
        "Waiting for majority: the Sentinels name redis-k8s/0, redis-k8s/1 as primary, "
        "and have to agree",
        replace(at_rest(), sentinels=NAMES_BOTH),
    ),
    (
        "waiting",
        "A failover is under way: another unit takes over from redis-k8s/0",
        all_sentinels(at_rest(), failing_over=True),
    ),
    (
        "waiting",
        "The primary could not be moved: NOGOODSLAVE",
        replace(at_rest(), handover_problem="NOGOODSLAVE"),
    ),
    (
        "waiting",
        "The primary redis-k8s/0 is down: waiting for the Sentinels to name another",
        with_redis(at_rest(), h0=None),
    ),
    (
        "waiting",
        "The primary redis-k8s/0 is down, and nobody can take over: waiting for it to come back",
        all_sentinels(with_redis(at_rest(), h0=None), replicas=NOT_FIT),
    ),
    (
        "waiting",
        "The primary redis-k8s/0 is loading its data: waiting for it to answer",
        refuses(at_rest(), Refusal.LOADING),
    ),
    (
        "waiting",
        "The primary redis-k8s/0 refuses the charm: its own status says what to do",
        refuses(at_rest()),
    ),
    (
        "waiting",
        "The Sentinels name redis-k8s/0 as primary, and it is a replica of redis-k8s/1",
        with_redis(at_rest(), h0=replica(H1)),
    ),
    ("maintenance", "Leaving", LEAVES),
    (
        "maintenance",
        "Changing passwords: waiting for redis-k8s/1",
        replace(ROTATES, serials={H0: 2, H2: 2}),
    ),
    ("maintenance", "Changing passwords", replace(ROTATES, serials={H0: 2, H1: 2, H2: 2})),
    ("maintenance", "Changing passwords: waiting for shop to take the new one", NOT_TAKEN),
    (
        "blocked",
        "forum uses an old redis library: refresh it to a charm that takes a password, "
        "or name it in applications-without-password",
        OLD_CLIENT,
    ),
    (
        "blocked",
        "forum uses an old redis library, which knows no TLS: refresh it to a charm that does",
        replace(OLD_CLIENT, config=Config(tls=True)),
    ),
    (
        "blocked",
        f"shop asks by valkey-client for what it does not get: {texts.WHY_BAD_ID}",
        BAD_REQUEST,
    ),
    ("active", "Redis is open without a password for forum", LET_IN),
    # What is wrong with Redis itself comes first.
    (
        "waiting",
        "The primary redis-k8s/0 is down: waiting for the Sentinels to name another",
        with_redis(OLD_CLIENT, h0=None),
    ),
    (
        "maintenance",
        "Turning TLS on: waiting for redis-k8s/0, redis-k8s/1, redis-k8s/2",
        replace(at_rest(), tls=TlsView(wanted=True, active=True)),
    ),
    (
        "maintenance",
        "Turning TLS off: waiting for redis-k8s/1",
        replace(
            at_rest(),
            tls=TlsView(
                active=True,
                records={
                    H0: TlsRecord(Mode.PLAIN, redis=PLAIN, sentinel=PLAIN),
                    H1: TlsRecord(Mode.PLAIN, redis=PLAIN, sentinel=CERT),
                    H2: TlsRecord(Mode.PLAIN, redis=PLAIN, sentinel=PLAIN),
                },
            ),
        ),
    ),
    ("active", "", at_rest()),
]


@pytest.mark.parametrize(("severity", "text", "world"), UNIT_CASES)
def test_a_unit_shows(severity: str, text: str, world: World):
    found = of_unit(world)
    assert (found.name, found.message) == (severity, text)


@pytest.mark.parametrize(("severity", "text", "world"), APP_CASES)
def test_the_application_shows(severity: str, text: str, world: World):
    found = of_app(world)
    assert (found.name, found.message) == (severity, text)


@pytest.mark.parametrize(
    ("rules", "cases"),
    [
        (status.UNIT_RULES, [w for _, _, w in UNIT_CASES if not w.is_leaving]),
        (status.LEAVING_UNIT_RULES, [w for _, _, w in UNIT_CASES if w.is_leaving]),
        (status.APP_RULES, [w for _, _, w in APP_CASES]),
    ],
    ids=["unit", "leaving unit", "application"],
)
def test_every_rule_is_the_first_to_hold_in_some_case(rules: status.Rules, cases: list[World]):
    of_all = [*status.COMMON, *status.OF_UNIT]
    for rule in (*rules.problems, *rules.progress):
        if rule in of_all and rules is not status.UNIT_RULES:
            continue
        assert any(
            rule.text(world) and shown(list(rules.statuses(world))).message == rule.text(world)
            for world in cases
        ), rule


@pytest.mark.parametrize(
    ("severity", "text"),
    sorted({(severity, text) for severity, text, _ in UNIT_CASES + APP_CASES}),
)
def test_what_is_shown_is_in_the_reference(severity: str, text: str):
    assert reference.has(severity, text)


def kubernetes_starts_it(world: World) -> World:
    return replace(world, redis_container=ContainerView())


def no_majority(world: World) -> World:
    return all_sentinels(world, has_majority=False)


def fails_over(world: World) -> World:
    return all_sentinels(world, failing_over=True)


def down(world: World) -> World:
    return with_redis(all_sentinels(world, primary_down_ms=1), h0=None)


def silent(world: World) -> World:
    return with_sentinels(world, h1=None, h2=None)


def not_met(world: World) -> World:
    return all_sentinels(world, quorum=1)


def rotating(world: World) -> World:
    return replace(world, credentials=ROTATES.credentials)


def turning(world: World) -> World:
    return replace(world, tls=TlsView(wanted=True, active=True))


def loading(world: World) -> World:
    return refuses(world, Refusal.LOADING)


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (kubernetes_starts_it, "Waiting for Kubernetes to start container redis"),
        (no_majority, "Waiting for majority: Sentinel of redis-k8s/1 counts 3"),
        (silent, "Waiting for Sentinel to answer on port 26379"),
        (fails_over, "A failover is under way: another unit takes over from redis-k8s/0"),
        (down, "The primary redis-k8s/0 is down: waiting"),
        (not_met, "Sentinel of redis-k8s/1 has quorum 1, 2 is needed"),
    ],
)
def test_a_unit_that_loads_its_data_does_not_hide(trouble: Callable[[World], World], words: str):
    found = of_unit(trouble(loading(REPLICA)))
    assert (found.name, words in found.message) == ("waiting", True), found
    assert of_unit(loading(REPLICA)).name == "maintenance"


@pytest.mark.parametrize("progress", [rotating, turning])
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (silent, "Waiting for majority: 1 of 3 Sentinels answer, 2 are needed"),
        (fails_over, "A failover is under way: another unit takes over from redis-k8s/0"),
        (down, "The primary redis-k8s/0 is down: waiting"),
    ],
)
def test_a_change_that_goes_on_does_not_hide(
    trouble: Callable[[World], World], words: str, progress: Callable[[World], World]
):
    found = of_app(trouble(progress(at_rest())))
    assert (found.name, words in found.message) == ("waiting", True), found
    assert of_app(progress(at_rest())).name == "maintenance"


def test_where_a_unit_leaves_only_that_is_told():
    leaving = frozenset({H1})
    gone = replace(REPLICA, leaving=leaving, redis={}, sentinels={}, storage_attached=False)
    assert of_unit(gone) == ops.MaintenanceStatus("Leaving")
    full = replace(REPLICA, leaving=leaving, volume_free_bytes=0)
    assert of_unit(full).name == "blocked"


@pytest.mark.parametrize("host", [H0, H1])
def test_at_rest_all_are_active(host):
    assert of_unit(at_rest(host=host)) == ops.ActiveStatus()
    assert of_app(at_rest()) == ops.ActiveStatus()


def test_a_look_at_a_part_says_nothing_of_the_majority():
    partial = with_sentinels(replace(at_rest(), asked_all=False), h1=None, h2=None)
    assert of_app(partial) == ops.ActiveStatus()


def test_a_refusal_for_the_moment_is_no_wrong_login():
    world = replace(with_redis(REPLICA, h1=None), redis_refusals={H1: Refusal.OTHER})
    assert of_unit(world) == ops.WaitingStatus("Waiting for Redis...")


def test_a_refusal_of_another_unit_is_not_this_ones():
    assert of_unit(replace(REPLICA, redis_refusals={H0: Refusal.LOGIN})) == ops.ActiveStatus()


def test_options_that_are_wrong_block_whatever_else_holds():
    world = replace(own_sentinel(has_majority=False), config=Config(problem="Set it right"))
    assert of_unit(world) == ops.BlockedStatus("Set it right")
    assert of_app(world) == ops.BlockedStatus("Set it right")


def test_a_switchover_that_was_refused_fails_as_an_action_and_is_no_status():
    world = replace(at_rest(), handover_problem="NOGOODSLAVE", purpose=Switchover(H1))
    assert of_unit(world) == of_app(world) == ops.ActiveStatus()


def test_a_reason_names_units_where_the_error_names_hosts():
    domain = "redis-k8s-endpoints.demo.svc.cluster.local"
    error = f"redis-k8s-10.{domain}:6379 gives no answer: [Errno 111] to redis-k8s-1.{domain}."
    world = replace(REPLICA, handover_problem=error)
    assert of_unit(world).message == (
        "The primary could not be moved: "
        "redis-k8s/10:6379 gives no answer: [Errno 111] to redis-k8s/1."
    )


def test_a_host_of_somebody_else_stays_as_it_is():
    world = at_rest()
    for host in ("10.1.2.3", "my-redis-k8s-1.demo", "redis-k8s-endpoints"):
        assert world.unit(host) == world.in_units(host) == host


def test_of_two_problems_of_one_kind_the_cause_is_shown():
    world = with_redis(with_sentinels(REPLICA, h1=None), h1=None)
    assert of_unit(world).message == "Waiting for Sentinel to answer on port 26379"


def test_the_messages_that_users_know_are_kept():
    assert texts.NO_REDIS == "Waiting for Redis..."
    shown = [text for name, text in vars(texts).items() if name.isupper()]
    majority = [text for text in shown if "Waiting for majority" in text]
    assert len(majority) == 4
    assert all(text.startswith("Waiting for majority: ") for text in majority)


@pytest.mark.parametrize(("days", "told"), [(8, False), (6, True), (0.1, True)])
def test_a_certificate_that_ends_within_a_week_is_told_of(days: float, told: bool):
    at = time.time() + days * 24 * 3600
    date = time.strftime("%Y-%m-%d", time.gmtime(at))
    world = expiring(REPLICA, at)
    text = f"The certificate of redis-k8s/1 expires on {date}" if told else ""
    assert of_unit(world) == of_app(world) == ops.ActiveStatus(text)
    assert reference.has("active", text)
    # What another unit serves is told by that one.
    records = {H0: world.tls.records[H0]}
    others = replace(world, tls=replace(world.tls, records=records))
    assert of_unit(others) == ops.ActiveStatus()
