# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Applications that use Redis: who is let in, what they are told, whatever is cut in between."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

import constants as c
import texts
from clients import keys, plan, rights
from clients.plan import HandOver, RecordName, SayHost, TakeBack, Tell
from clients.view import Client, ClientsView
from engine import plan as whole
from engine import status
from engine.world import World
from nodes.access import Mode
from passwords import rotation
from passwords.rotation import AdmitUsers, ChangeGuests
from passwords.users import ADMIN_APART, NO_PASSWORD, Credentials, Entrance, User, digest
from service.view import ServiceView
from tests.unit.related import HOSTS, Application, go_on, told
from tests.unit.worlds import APP, CREDENTIALS, H0, H1, H2, at_rest, with_redis, with_sentinels
from tls.view import PLAIN, Serves, TlsRecord, TlsView

NAME = APP
"""Hosts of these worlds have no domain, so their Service has none either."""
GUEST = User("relation-1", by="an application", rights=rights.RULES)
WITH_GUEST = rotation.with_guests(CREDENTIALS, {GUEST: "client-pw"}, gone=())
SAID = {keys.HOST: NAME, keys.PORT: "6379", keys.CAN: "1"}
TOLD = {
    keys.LEADER_HOST: NAME,
    keys.CAN: "1",
    keys.TLS: "false",
    keys.SENTINELS: ",".join(f"{host}:26379" for host in HOSTS),
    keys.SENTINEL_NAME: APP,
}
SERVED = Client(
    1,
    "shop",
    can={"shop/0": True},
    taken={"shop/0": "1"},
    said=SAID,
    told={**TOLD, keys.USER: "secret:abc", keys.TAKEN: "1"},
)
OLD = Client(2, "old", can={"old/0": False}, said=SAID, told=TOLD)


def related(
    *clients: Client,
    credentials: Credentials = WITH_GUEST,
    host: str = H0,
    is_leader: bool = True,
    serials: dict[str, int] | None = None,
    open_to: frozenset[str] = frozenset(),
    name: str = NAME,
    **changes: object,
) -> World:
    """Return a world at rest with clients."""
    reached = dict.fromkeys(HOSTS, credentials.serial)
    view = ClientsView(clients, name=name, open_to=open_to, is_on=True)
    world = replace(
        at_rest(host=host, is_leader=is_leader),
        credentials=credentials,
        serials=reached if serials is None else serials,
        service=ServiceView(leads=True),
        clients=view,
    )
    return replace(world, **changes)  # type: ignore[arg-type]


# Where the primary is.


def test_with_a_client_that_is_served_nothing_is_left_to_do():
    for is_leader in (True, False):
        assert whole.next_steps(related(SERVED, is_leader=is_leader)) == ()


@pytest.mark.parametrize("is_leader", [True, False])
def test_every_unit_says_where_the_primary_is(is_leader: bool):
    new = Client(1, "shop")
    world = related(new, credentials=CREDENTIALS, is_leader=is_leader, host=H1)
    assert SayHost(NAME, (1,)) in whole.next_steps(world)


def test_without_a_service_that_leads_there_it_is_the_primarys_own_host_and_moves_with_it():
    said = replace(SERVED, said={**SAID, keys.HOST: H0})
    moved = replace(
        related(said, is_leader=False, host=H2, name=""),
        **{k: getattr(at_rest(host=H2, of=H1), k) for k in ("redis", "sentinels")},
    )
    assert list(plan.unit_steps(moved)) == [SayHost(H1, (1,))]


def test_while_nobody_is_sure_who_is_primary_what_was_said_stays():
    said = replace(SERVED, said={**SAID, keys.HOST: H0})
    world = related(said, name="")
    assert list(plan.unit_steps(with_redis(world, h0=None))) == []
    assert list(plan.leader_steps(with_redis(world, h0=None))) == [RecordName(NAME)]


def test_a_unit_that_leaves_or_stops_says_nothing():
    client = Client(1, "shop")
    world = related(client, leaving=frozenset({H0}), planned=(H1, H2))
    assert list(plan.unit_steps(world)) == []
    assert list(plan.leader_steps(world)) == []


@pytest.mark.parametrize(
    ("leads", "name", "steps"),
    [
        (True, "", (RecordName(NAME),)),
        (True, NAME, ()),
        (False, NAME, (RecordName(""),)),
        (False, "", ()),
        # A leader that does not know takes nothing back.
        (None, NAME, ()),
        (None, "", ()),
    ],
)
def test_the_leader_records_whether_the_one_name_leads_there(leads, name, steps):
    host = name or H0
    client = replace(
        SERVED,
        said={**SAID, keys.HOST: host},
        told={**SERVED.told, keys.LEADER_HOST: host},
    )
    world = related(client, name=name, service=ServiceView(leads=leads))
    assert tuple(plan.leader_steps(world)) == steps


def test_the_name_has_the_domain_of_the_hosts():
    host = "redis-k8s-0.redis-k8s-endpoints.demo.svc.cluster.local"
    assert plan.one_name(World(app=APP, host=host)) == "redis-k8s.demo.svc.cluster.local"


# Users.


def test_a_client_that_can_take_a_user_gets_one_and_another_does_not():
    able = replace(SERVED, told=TOLD, taken={})
    world = related(able, OLD, credentials=CREDENTIALS)
    assert list(plan.leader_steps(world)) == [ChangeGuests((GUEST,))]


def test_one_unit_that_can_is_enough():
    mixed = Client(1, "shop", can={"shop/0": False, "shop/1": True}, said=SAID, told=TOLD)
    assert list(plan.leader_steps(related(mixed, credentials=CREDENTIALS))) == [
        ChangeGuests((GUEST,))
    ]


def test_ten_that_come_and_go_are_one_change():
    clients = [Client(n, f"app{n}", can={f"app{n}/0": True}, said=SAID) for n in range(2, 12)]
    steps = list(plan.leader_steps(related(*clients)))
    (change,) = [step for step in steps if isinstance(step, ChangeGuests)]
    assert [user.name for user in change.come] == [f"relation-{n}" for n in range(2, 12)]
    assert change.gone == ("relation-1",)
    # Who removes the user forgets the secret, so that goes first.
    assert steps.index(TakeBack("relation-1")) < steps.index(change)


def test_relation_1_and_relation_10_are_not_mixed():
    ten = replace(SERVED, id=10, told=TOLD)
    world = related(SERVED, ten)
    (change,) = [s for s in plan.leader_steps(world) if isinstance(s, ChangeGuests)]
    assert [user.name for user in change.come] == ["relation-10"]
    assert change.gone == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_changed": True},
        {"credentials_kept": False},
        {"units_known": False},
        {"is_leader": False},
        # A unit that is removed is in no relation any more, though the application is.
        {"leaving": frozenset({H0}), "planned": (H1, H2)},
        {"clients": ClientsView(None, name=NAME)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nobody_is_let_in_or_shut_out_where_the_picture_is_not_whole(changes):
    able = replace(SERVED, id=5, told=TOLD)
    world = replace(related(able), **changes)
    assert not [s for s in plan.leader_steps(world) if isinstance(s, ChangeGuests | TakeBack)]


def test_one_change_of_the_secret_in_a_hook():
    credentials = replace(WITH_GUEST, next={"default": "next-pw"})
    world = related(replace(SERVED, id=5, told=TOLD), credentials=credentials)
    assert list(rotation.leader_steps(world)) != []
    assert not [s for s in plan.leader_steps(world) if isinstance(s, ChangeGuests)]


def test_a_client_is_told_once_all_nodes_know_it():
    new = replace(SERVED, told={}, taken={})
    # Its own unit has reached the state, and the others' hooks have yet to run.
    world = related(new, serials={H0: WITH_GUEST.serial})
    steps = list(plan.leader_steps(world))
    assert steps == [
        AdmitUsers(("relation-1",), (H1, H2), (H1, H2)),
        HandOver(1, "relation-1", 1),
        Tell(1, tuple(sorted(TOLD.items()))),
    ]
    reached = related(new)
    assert list(plan.leader_steps(reached)) == steps[1:]
    assert steps[0].binds


def test_a_unit_that_is_down_is_not_waited_for():
    new = replace(SERVED, told={}, taken={})
    world = with_sentinels(with_redis(related(new, serials={H0: 2}), h2=None), h2=None)
    first, *_ = plan.leader_steps(world)
    assert first == AdmitUsers(("relation-1",), (H1,), (H1,))


def test_nobody_is_told_while_nobody_is_primary():
    new = replace(SERVED, told={}, taken={})
    assert list(plan.leader_steps(with_redis(related(new), h0=None))) == []


def test_what_is_told_follows_tls():
    serves = Serves("cert", "ca")
    record = TlsRecord(Mode.TLS, ("-----CA-----",), redis=serves, sentinel=serves)
    view = TlsView(active=True, records=dict.fromkeys((H1, H2), record))
    world = related(SERVED, tls=replace(view, records={**view.records, H0: record}))
    (step,) = plan.leader_steps(world)
    assert step == Tell(1, ((keys.TLS, "true"), (keys.CA, "-----CA-----\n")))
    # Until the primary's Redis has gone over, clients speak as before.
    plain = replace(record, redis=PLAIN)
    late = related(SERVED, tls=replace(view, records={**view.records, H0: plain}))
    assert list(plan.leader_steps(late)) == []
    back = replace(SERVED, told={**SERVED.told, keys.TLS: "true", keys.CA: "x"})
    (step,) = plan.leader_steps(related(back))
    assert step == Tell(1, ((keys.TLS, "false"), (keys.CA, "")))


def test_a_relation_that_an_earlier_release_serves_goes_on_until_it_has_its_user():
    served = {keys.LEADER_HOST: H0}
    before = Client(1, "shop", can={"shop/0": True}, said=SAID, told=served)
    (tell,) = [s for s in plan.leader_steps(related(before)) if isinstance(s, Tell)]
    assert keys.CAN not in dict(tell.values)
    after = replace(before, told={**served, keys.USER: "secret:abc", keys.TAKEN: "1"})
    (tell,) = [s for s in plan.leader_steps(related(after)) if isinstance(s, Tell)]
    assert dict(tell.values)[keys.CAN] == "1"


# Those that cannot take a user.


def test_without_an_order_nobody_comes_in_without_a_password():
    world = related(SERVED, OLD)
    assert list(plan.leader_steps(world)) == []
    assert plan.refused(world) == ("old",) and plan.let_in(world) == ()
    (shown,) = status.app_statuses(world)
    assert (shown.name, shown.message) == ("blocked", texts.OLD_LIBRARY.format(apps="old"))


ALLOWED = frozenset({"old"})


def test_by_an_order_default_is_opened_with_narrowed_rights():
    old = replace(OLD, told={}, said={})
    world = related(old, credentials=CREDENTIALS, open_to=ALLOWED)
    (change,) = plan.leader_steps(world)
    assert change == ChangeGuests(entrance=Entrance(rights.ON_REDIS, since=0))
    # It hears of it when the door is open.
    assert list(plan.unit_steps(world)) == []
    opened = rotation.with_guests(CREDENTIALS, {}, (), Entrance(rights.ON_REDIS, 0))
    world = related(old, credentials=opened, open_to=ALLOWED, serials={H0: 2})
    assert list(plan.unit_steps(world)) == [SayHost(NAME, (2,))]
    assert list(plan.leader_steps(world)) == [
        AdmitUsers((ADMIN_APART, "default"), (H1, H2), (H1, H2)),
        Tell(2, tuple(sorted(TOLD.items()))),
    ]
    world = related(OLD, credentials=opened, open_to=ALLOWED)
    (shown,) = status.app_statuses(world)
    assert (shown.name, shown.message) == ("active", texts.OPEN.format(apps="old"))


@pytest.mark.parametrize(
    ("clients", "open_to"),
    [
        # The relation has ended; the order was taken back; its units have another library.
        ((SERVED,), ALLOWED),
        ((SERVED, OLD), frozenset()),
        ((SERVED, replace(OLD, can={"old/0": True})), ALLOWED),
        ((), ALLOWED),
    ],
)
def test_it_is_closed_when_nobody_needs_it_any_more(clients, open_to):
    opened = rotation.with_guests(WITH_GUEST, {}, (), Entrance(rights.ON_REDIS, 0))
    world = related(*clients, credentials=opened, open_to=open_to)
    (change,) = [s for s in plan.leader_steps(world) if isinstance(s, ChangeGuests)]
    assert change.entrance == Entrance("", since=0)


def test_with_tls_nothing_is_opened_since_it_could_not_connect():
    base = related(OLD, credentials=CREDENTIALS, open_to=ALLOWED)
    world = replace(base, config=replace(base.config, tls=True))
    assert not [s for s in plan.leader_steps(world) if isinstance(s, ChangeGuests)]
    assert status.clients.refused(world) == texts.OLD_LIBRARY_TLS.format(apps="old")


def test_the_administrator_has_a_name_of_his_own_from_then_on():
    assert CREDENTIALS.administrator(c.REDIS) == "default"
    opened = rotation.with_guests(CREDENTIALS, {}, (), Entrance(rights.ON_REDIS, 0))
    closed = rotation.with_guests(opened, {}, (), Entrance("", 0))
    for credentials in (opened, closed):
        assert credentials.administrator(c.REDIS) == ADMIN_APART
        assert credentials.administrator(c.SENTINEL) == "default"
        entries = {entry.name: entry for entry in credentials.acl(c.REDIS)}
        assert entries[ADMIN_APART].digests == (digest("admin-pw"),)
        assert entries[ADMIN_APART].rights == "~* &* +@all"
        assert ADMIN_APART not in {entry.name for entry in credentials.acl(c.SENTINEL)}
    (door,) = [entry for entry in opened.acl(c.REDIS) if entry.name == "default"]
    assert door.rights.split()[0] == NO_PASSWORD and "-@admin" in door.rights
    (shut,) = [entry for entry in closed.acl(c.REDIS) if entry.name == "default"]
    assert shut == [e for e in CREDENTIALS.acl(c.REDIS) if e.name == "default"][0]


# What a hook that tells nothing goes by.


@pytest.mark.parametrize(
    ("view", "rests"),
    [
        (ClientsView(remembered=NAME, name=NAME, is_on=True), True),
        (ClientsView(remembered=H0, name="", is_on=True), True),
        (ClientsView(remembered=H1, name="", is_on=True), False),
        (ClientsView(remembered="", name=NAME, is_on=True), False),
        (ClientsView(remembered=NAME, name=NAME, waits=True, is_on=True), False),
        (ClientsView(), True),
    ],
)
def test_a_hook_that_tells_nothing_goes_by_what_the_unit_remembers(view, rests):
    assert whole.is_at_rest(replace(at_rest(), clients=view)) is rests


@pytest.mark.parametrize(
    ("clients", "credentials", "waits"),
    [
        ((SERVED,), WITH_GUEST, False),
        ((replace(SERVED, told=TOLD),), WITH_GUEST, True),
        ((), WITH_GUEST, True),
        ((OLD,), CREDENTIALS, True),
        ((), CREDENTIALS, False),
    ],
)
def test_the_leader_remembers_that_something_is_owed_or_shown(clients, credentials, waits):
    world = related(*clients, credentials=credentials)
    assert plan.waits(world) is waits
    assert not plan.waits(replace(world, is_leader=False))


# Whole lives.


@pytest.mark.parametrize("seed", range(40))
def test_ten_come_and_go_at_once_whoever_dies_in_between(seed: int):
    order = random.Random(seed)
    app = Application()
    numbers = [app.relate(f"app{n}") for n in range(10)]
    go_on(app, order, cuts=0.4)
    assert all(told(app, n)[keys.USER] for n in numbers)
    assert set(app.kept.handed) == {f"relation-{n}" for n in numbers}
    for number in numbers:
        app.client_hook(number)
    assert len(set(app.in_use.values())) == 10
    for number in numbers:
        app.part(number)
        if order.random() < 0.5:
            app.hook(order.choice(HOSTS), order.randrange(6))
    go_on(app, order, cuts=0.4)
    assert app.guests() == {host: set() for host in HOSTS}
    assert app.kept.handed == {} and app.kept.secret.guests == ()
    assert app.kept.secret.passwords.keys() == CREDENTIALS.passwords.keys()


@pytest.mark.parametrize("seed", range(40))
def test_a_password_changes_and_the_one_that_a_client_has_is_always_right(seed: int):
    order = random.Random(seed)
    app = Application()
    numbers = [app.relate("one"), app.relate("two")]
    go_on(app, order)
    for number in numbers:
        app.client_hook(number)
    before = dict(app.in_use)
    new = {"relation-1": "second", "default": "another-admin-pw"}
    app.kept.secret = rotation.begin(app.kept.secret, new).credentials
    go_on(app, order, cuts=0.3)
    # Nothing but the client itself ends the old one.
    for _ in range(5):
        app.client_hook(2)
        for host in HOSTS:
            app.hook(host)
    if app.in_use[1] == before[1]:
        assert "relation-1" in app.kept.secret.previous
        assert "default" not in app.kept.secret.previous
    app.client_hook(1)
    go_on(app, order, cuts=0.3)
    assert app.kept.secret.previous == {} and app.kept.secret.next == {}
    assert app.in_use == {1: "second", 2: before[2]}
    wanted = {digest("second")}
    assert all(nodes[c.REDIS].accepted["relation-1"] == wanted for nodes in app.nodes.values())


def test_a_client_that_does_not_take_its_password_holds_up_no_other_rotation():
    app = Application()
    app.relate("slow")
    go_on(app, random.Random(0))
    app.client_hook(1)
    app.kept.secret = rotation.begin(app.kept.secret, {"relation-1": "second"}).credentials
    for host in HOSTS * 4:
        app.hook(host)
    world = app.world(H0, app.kept, app.kept.secret, changed=False)
    assert rotation.is_settled(world) and rotation.under_way(world)
    assert status.clients.rotating(world) == texts.ROTATING_CLIENT.format(apps="slow")
    app.kept.secret = rotation.begin(app.kept.secret, {"default": "third"}).credentials
    for host in HOSTS * 4:
        app.hook(host)
    assert app.kept.secret["default"] == "third"
    assert app.kept.secret.previous == {"relation-1": app.in_use[1]}


def test_a_client_that_goes_while_its_password_changes_leaves_nothing():
    for hooks in range(8):
        order = random.Random(hooks)
        app = Application()
        number = app.relate("one")
        go_on(app, order)
        app.client_hook(number)
        app.kept.secret = rotation.begin(app.kept.secret, {"relation-1": "second"}).credentials
        for _ in range(hooks):
            app.hook(order.choice(HOSTS))
        app.part(number)
        go_on(app, order)
        assert app.guests() == {host: set() for host in HOSTS}
        assert (app.kept.handed, app.kept.secret.previous, app.kept.secret.next) == ({}, {}, {})


@pytest.mark.parametrize("seed", range(20))
def test_a_unit_that_was_down_has_the_users_when_it_starts(seed: int):
    order = random.Random(seed)
    app = Application()
    app.stop_pod(H2)
    number = app.relate("one")
    for _ in range(40):
        app.hook(order.choice([H0, H1]), order.randrange(8) if order.random() < 0.3 else None)
    assert keys.USER in told(app, number)
    app.client_hook(number)
    app.start_pod(H2)
    app.check()
    go_on(app, order)
    assert app.guests() == {host: {"relation-1"} for host in HOSTS}


@pytest.mark.parametrize("seed", range(40))
def test_the_door_is_open_only_while_somebody_needs_it(seed: int):
    order = random.Random(seed)
    app = Application(open_to=frozenset({"old"}))
    new = app.relate("new")
    go_on(app, order, cuts=0.3)
    assert app.open_accounts() == set() and app.kept.secret.entrance is None
    old = app.relate("old", old_0=False)
    go_on(app, order, cuts=0.3)
    assert all(app.is_open(host) for host in HOSTS)
    assert keys.USER not in told(app, old) and told(app, old)[keys.LEADER_HOST]
    assert told(app, new)[keys.USER]
    app.kept.relations[old].can["old/1"] = True
    go_on(app, order, cuts=0.3)
    assert all(app.is_open(host) for host in HOSTS) and keys.USER in told(app, old)
    app.kept.relations[old].can["old/0"] = True
    go_on(app, order, cuts=0.3)
    assert app.open_accounts() == set()
    for nodes in app.nodes.values():
        known = nodes[c.REDIS].accepted
        assert known["default"] == known[ADMIN_APART] == {digest("admin-pw")}
