# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Requests for users: who is let in, what is answered, whatever is cut in between."""

from __future__ import annotations

import copy
import itertools
import json
import random
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

import constants as c
from clients.plan import RecordName
from clients.view import Client
from engine import plan as whole
from engine.steps import AskAgain, Step
from engine.world import World
from nodes.access import Mode
from passwords import rotation
from passwords.rotation import AdmitUsers, ChangeGuests
from passwords.users import Credentials, User, digest
from service.view import ServiceView
from tenants import asked, databags, keys, plan, rights
from tenants.plan import Answer, Reply, TakeBack
from tenants.view import Request, Tenant, TenantsView, Told
from tests.unit import related
from tests.unit.related import HOSTS, Kept, go_on
from tests.unit.worlds import APP, CREDENTIALS, H0, H1, H2, at_rest, with_redis, with_sentinels
from tls.view import Serves, TlsRecord, TlsView

NAME = APP
"""Hosts of these worlds have no domain, so their Service has none either."""
ID = "0123456789abcdef"
USER = f"relation-1-{ID}"
REQUEST = Request(ID, "shop:*", "salt")
GUEST = User(USER, by="an application", rights=rights.rules("shop:*"))
WITH_GUEST = rotation.with_guests(CREDENTIALS, {GUEST: "tenant-pw"}, gone=())
VALUES = {
    keys.RESOURCE: "shop:*",
    keys.SALT: "salt",
    keys.ENDPOINTS: f"{NAME}:6379",
    keys.READ_ONLY: f"{H1}:6379,{H2}:6379",
    keys.SENTINELS: ",".join(f"{host}:26379" for host in HOSTS),
    keys.MODE: "sentinel",
    keys.VERSION: "7.0.15",
}
PLACE = f"{NAME}:6379 {H1}:6379,{H2}:6379"
IDS = {keys.USER: "secret:user", keys.TLS: "secret:tls"}
SERVED = Tenant(
    1,
    "shop",
    keys.V1,
    (REQUEST,),
    told={ID: Told({**VALUES, **IDS}, version=1, authorities="", taken=1)},
    told_form=keys.V1,
)
NEW = replace(SERVED, told={}, told_form="")


def tenants(
    *those: Tenant,
    credentials: Credentials = WITH_GUEST,
    is_leader: bool = True,
    serials: dict[str, int] | None = None,
    name: str = NAME,
    **changes: object,
) -> World:
    """Return a world at rest with tenants."""
    reached = dict.fromkeys(HOSTS, credentials.serial)
    base = at_rest(is_leader=is_leader)
    view = TenantsView(those, name=name, is_on=True)
    world = replace(
        base,
        redis={h: replace(each, version="7.0.15") for h, each in base.redis.items()},
        credentials=credentials,
        serials=reached if serials is None else serials,
        service=ServiceView(leads=True),
        clients=replace(base.clients, related=(), name=name),
        tenants=view,
    )
    return replace(world, **changes)  # type: ignore[arg-type]


def test_with_a_request_that_is_served_nothing_is_left_to_do():
    assert whole.next_steps(tenants(SERVED)) == ()
    assert not plan.waits(tenants(SERVED))


def test_a_request_is_answered_once_all_nodes_know_its_user():
    (change,) = plan.leader_steps(tenants(NEW, credentials=CREDENTIALS))
    assert change == ChangeGuests((GUEST,))
    values = tuple(sorted(VALUES.items()))
    answer = Answer(REQUEST, USER, 1, "", values, (keys.USER, keys.TLS))
    reply = Reply(1, keys.V1, (answer,))
    behind = tenants(NEW, serials={H0: WITH_GUEST.serial})
    steps = list(plan.leader_steps(behind))
    assert steps == [AdmitUsers((USER,), (H1, H2), (H1, H2)), reply]
    assert steps[0].binds and plan.waits(behind)
    assert list(plan.leader_steps(tenants(NEW))) == [reply]
    # A unit that is down reads them when it starts.
    down = with_sentinels(with_redis(behind, h2=None), h2=None)
    assert next(plan.leader_steps(down)) == AdmitUsers((USER,), (H1,), (H1,))


def test_where_the_service_does_not_lead_it_is_the_primarys_own_host():
    (reply,) = plan.leader_steps(tenants(SERVED, name="", service=ServiceView(leads=False)))
    assert isinstance(reply, Reply)
    assert dict(reply.answers[0].values)[keys.ENDPOINTS] == f"{H0}:6379"
    steps = list(plan.leader_steps(tenants(SERVED, name="")))
    assert steps[0] == RecordName(NAME)


def test_one_unit_alone_says_nothing_of_replicas():
    world = tenants(SERVED, planned=(H0,))
    (reply,) = plan.leader_steps(world)
    assert isinstance(reply, Reply)
    assert keys.READ_ONLY not in dict(reply.answers[0].values)
    values = {**dict(reply.answers[0].values), **IDS}
    told = {ID: replace(SERVED.told[ID], values=values)}
    assert list(plan.leader_steps(replace_told(world, told))) == []


def replace_told(world: World, told: dict[str, Told]) -> World:
    view = replace(world.tenants, related=(replace(SERVED, told=told),))
    return replace(world, tenants=view)


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_changed": True},
        {"credentials_kept": False},
        {"units_known": False},
        {"is_leader": False},
        {"leaving": frozenset({H0}), "planned": (H1, H2)},
        {"tenants": TenantsView(None, name=NAME)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nobody_is_let_in_or_shut_out_where_the_picture_is_not_whole(changes):
    world = replace(tenants(replace(NEW, id=5)), **changes)
    assert not [s for s in plan.leader_steps(world) if isinstance(s, ChangeGuests | TakeBack)]


def test_one_change_of_the_secret_in_a_hook():
    rotating = replace(WITH_GUEST, next={"default": "next-pw"})
    world = tenants(SERVED, replace(NEW, id=5), credentials=rotating)
    assert list(rotation.leader_steps(world)) != []
    assert not [s for s in plan.leader_steps(world) if isinstance(s, ChangeGuests | TakeBack)]
    client = Client(9, "forum", can={"forum/0": True}, said={"hostname": NAME})
    world = tenants(SERVED, replace(NEW, id=5))
    both = replace(world.clients, related=(client,), is_on=True)
    steps = whole.next_steps(replace(world, clients=both))
    (change,) = [step for step in steps if isinstance(step, ChangeGuests)]
    assert [user.name for user in change.come] == ["relation-9"]


def test_nobody_is_told_while_nobody_is_primary():
    assert list(plan.leader_steps(with_redis(tenants(NEW), h0=None))) == []


def test_a_user_goes_after_its_answer_has():
    other = replace(REQUEST, id="other")
    gone = replace(SERVED, requests=(other,))
    both = rotation.with_guests(
        WITH_GUEST, {replace(GUEST, name="relation-1-other"): "pw"}, gone=()
    )
    (reply,) = plan.leader_steps(tenants(gone, credentials=both))
    assert isinstance(reply, Reply) and [a.request for a in reply.answers] == [other]
    told = {"other": SERVED.told[ID]}
    steps = list(plan.leader_steps(tenants(replace(gone, told=told), credentials=both)))
    assert steps == [TakeBack(USER), ChangeGuests((), (USER,))]
    # With the relation all of it goes at once.
    assert list(plan.leader_steps(tenants())) == [TakeBack(USER), ChangeGuests((), (USER,))]


def test_what_it_is_told_follows_tls():
    serves = Serves("cert", "ca")
    record = TlsRecord(Mode.TLS, ("-----CA-----",), redis=serves, sentinel=serves)
    view = TlsView(active=True, records=dict.fromkeys(HOSTS, record))
    (reply,) = plan.leader_steps(tenants(SERVED, tls=view))
    assert isinstance(reply, Reply)
    (answer,) = reply.answers
    assert answer.gives == (keys.TLS,) and answer.authorities == digest("-----CA-----\n")[:16]
    on = {ID: replace(SERVED.told[ID], authorities=answer.authorities)}
    assert list(plan.leader_steps(replace_told(tenants(tls=view), on))) == []
    (reply,) = plan.leader_steps(replace_told(tenants(), on))
    assert isinstance(reply, Reply) and reply.answers[0].authorities == ""


def test_a_prefix_that_changes_before_it_was_answered_brings_another_user():
    changed = replace(NEW, requests=(replace(REQUEST, resource="other:*"),))
    steps = list(plan.leader_steps(tenants(changed)))
    assert steps == [TakeBack(USER), ChangeGuests((), (USER,))]
    (step,) = plan.leader_steps(tenants(changed, credentials=CREDENTIALS))
    assert isinstance(step, ChangeGuests)
    assert "~other:*" in step.come[0].rights[c.REDIS]


@pytest.mark.parametrize(
    ("view", "rests"),
    [
        (TenantsView(remembered=PLACE, name=NAME, is_on=True), True),
        # It reads from the primary, and knows another name.
        (TenantsView(remembered=PLACE.replace(H1, H0), name=NAME, is_on=True), False),
        (TenantsView(remembered=PLACE, name="", is_on=True), False),
        # Nobody has been answered.
        (TenantsView(remembered="", name=NAME, is_on=True), True),
        (TenantsView(remembered=PLACE, name=NAME, waits=True, is_on=True), False),
        (TenantsView(), True),
    ],
)
def test_a_hook_that_tells_nothing_goes_by_what_the_leader_remembers(view, rests):
    assert whole.is_at_rest(replace(at_rest(is_leader=True), tenants=view)) is rests


# Whole lives.


@dataclass
class Related:
    """What stands in the databags of one relation."""

    asks: dict[str, str]
    bag: dict[str, str] = field(default_factory=dict)


@dataclass
class KeptMore(Kept):
    tenants: dict[int, Related] = field(default_factory=dict)
    given: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    """By label, the revisions of a secret."""


class Application(related.Application):
    """Three units, with tenants."""

    kept: KeptMore  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept = KeptMore()
        self.uses: dict[tuple[int, str], str] = {}
        """By relation and request: the password that its program logs in with."""
        self.told: set[tuple[str, int]] = set()
        """By label and revision: of which the leader has heard that nobody has it."""
        self.read: dict[str, int] = {}
        """By label: the revision that its tenant has."""
        self.events: list[tuple[str, int]] = []
        self.released: tuple[str, int] | None = None
        self._relation = itertools.count(101)

    def ask(self, *ids: str, number: int | None = None, form: str = keys.V1) -> int:
        """Have a tenant ask for these, of a new relation or of one that is there."""
        number = number or next(self._relation)
        entries = [{"resource": f"{i}:*", "request-id": i, "salt": "s"} for i in ids]
        asks = {"version": "v1", "requests": json.dumps(entries)}
        if form == keys.V0:
            asks = {"database": ids[0]} if ids else {}
        self.kept.tenants.setdefault(number, Related({})).asks = asks
        return number

    def part(self, number: int) -> None:
        del self.kept.tenants[number]
        self.uses = {place: text for place, text in self.uses.items() if place[0] != number}

    def tenant_hook(self, number: int) -> None:
        """Let a tenant read its answers."""
        answers = asked.told(self.kept.tenants[number].bag)[1]
        self.uses = {place: text for place, text in self.uses.items() if place[0] != number}
        for identity in answers:
            label = databags.label(number, identity, "user")
            revisions = self.kept.given[label]
            self.uses[number, identity] = revisions[-1]["password"]
            self.read[label] = len(revisions)

    def other_hook(self, order: random.Random) -> None:
        if self.kept.tenants:
            self.tenant_hook(order.choice(list(self.kept.tenants)))

    def _free(self) -> list[tuple[str, int]]:
        """Return the revisions that nobody has, and of which the leader has not heard."""
        return [
            (label, revision)
            for label, revisions in self.kept.given.items()
            for revision in range(1, len(revisions))
            if label.split(".")[-2] == "user"
            and self.read.get(label) != revision
            and (label, revision) not in self.told
        ]

    def world(self, host: str, kept: Any, credentials: Credentials, changed: bool) -> World:
        world = super().world(host, kept, credentials, changed)
        if not world.is_leader:
            return world
        found = []
        for number, each in kept.tenants.items():
            request = asked.parse(each.asks)
            form, told = asked.told(each.bag)
            found.append(
                Tenant(
                    number,
                    "shop",
                    request.form,
                    request.requests,
                    request.problem,
                    told=told,
                    told_form=form,
                )
            )
        versions = {guest.name: guest.version for guest in credentials.guests}
        taken = frozenset(
            tenant.user(identity)
            for tenant in found
            for identity, told in tenant.told.items()
            if told.taken == versions.get(tenant.user(identity))
        )
        view = TenantsView(tuple(found), name=kept.name, taken=taken, is_on=True)
        return replace(world, tenants=view)

    def hook(self, host: str, cut_after: int | None = None) -> int:
        """Run one hook, of the leader perhaps that which tells of an old revision."""
        before = copy.deepcopy(self.kept)
        event = next(iter(self._free()), None) if host == self.leader else None
        if event:
            label, revision = event
            number, identity = databags.labelled(label) or (0, "")
            if revision == len(self.kept.given[label]) - 1 and number in self.kept.tenants:
                relation: Any = SimpleNamespace(data={APP: self.kept.tenants[number].bag})
                databags.note_taken(relation, APP, identity)  # type: ignore[arg-type]
        noted = self.kept
        taken = super().hook(host, cut_after)
        if self.kept is noted:
            # It was cut off, and Juju keeps nothing of it.
            self.kept = before
        elif event:
            self.told.add(event)
        return taken

    @staticmethod
    def steps(world: World) -> list[Step]:
        found = [*related.Application.steps(world), *plan.leader_steps(world)]
        return [s for s in dict.fromkeys(found) if not isinstance(s, AskAgain)]

    def _take(self, host: str, step: Step, kept: Any, credentials: Credentials) -> None:
        if isinstance(step, Reply):
            given = {}
            for answer in step.answers:
                for key in answer.gives:
                    label = databags.label(step.relation, answer.request.id, keys.GROUPS[key])
                    content = {"password": credentials[answer.user]} if key == keys.USER else {}
                    kept.given.setdefault(label, []).append(content)
                    given[answer.request.id, key] = f"secret:{label}"
            relation: Any = SimpleNamespace(data={APP: kept.tenants[step.relation].bag})
            databags.reply(relation, APP, step.form, step.answers, given)  # type: ignore[arg-type]
        elif isinstance(step, TakeBack):
            for label in databags.labels_of(step.user):
                kept.given.pop(label, None)
        else:
            super()._take(host, step, kept, credentials)

    def check(self) -> None:
        """Whoever was told of a user can log in everywhere, by the password that he has."""
        super().check()
        for number, each in self.kept.tenants.items():
            for identity in asked.told(each.bag)[1]:
                label = databags.label(number, identity, "user")
                self._accepted(number, identity, self.kept.given[label][-1]["password"])
                if (number, identity) in self.uses:
                    self._accepted(number, identity, self.uses[number, identity])

    def _accepted(self, number: int, identity: str, password: str) -> None:
        user = f"relation-{number}-{identity or 'v0'}"
        for host in HOSTS:
            if host not in self.down:
                for node in self.nodes[host].values():
                    assert digest(password) in node.accepted[user], (user, host)


@pytest.mark.parametrize("seed", range(40))
def test_many_come_and_go_at_once_whoever_dies_in_between(seed: int):
    order = random.Random(seed)
    app = Application()
    numbers = [app.ask("one", "two", "three"), app.ask("one"), app.ask("v0", form=keys.V0)]
    client = app.relate("client")
    go_on(app, order, cuts=0.4)
    wanted = {"relation-101-one", "relation-101-two", "relation-101-three", "relation-102-one"}
    wanted |= {"relation-103-v0", "relation-1"}
    assert app.guests() == {host: wanted for host in HOSTS}
    for number in numbers:
        app.tenant_hook(number)
    assert len(set(app.uses.values())) == 5
    app.ask("two", number=101)
    app.ask("new", number=103)
    app.part(102)
    if order.random() < 0.5:
        del app.kept.relations[client]
    go_on(app, order, cuts=0.4)
    wanted = {
        "relation-101-two",
        "relation-103-new",
        *(f"relation-{n}" for n in app.kept.relations),
    }
    assert app.guests() == {host: wanted for host in HOSTS}
    for number in (101, 103):
        app.part(number)
    app.kept.relations.clear()
    go_on(app, order, cuts=0.4)
    assert app.guests() == {host: set() for host in HOSTS}
    assert app.kept.given == {} and app.kept.secret.guests == ()
    assert app.kept.secret.passwords.keys() == CREDENTIALS.passwords.keys()


@pytest.mark.parametrize("seed", range(40))
def test_a_password_changes_and_the_one_that_a_tenant_has_is_always_right(seed: int):
    order = random.Random(seed)
    app = Application()
    app.ask("one", "two")
    go_on(app, order)
    app.tenant_hook(101)
    before = dict(app.uses)
    app.kept.secret = rotation.begin(app.kept.secret, {"relation-101-one": "second"}).credentials
    for _ in range(60):
        app.hook(order.choice(HOSTS), order.randrange(8) if order.random() < 0.3 else None)
        if order.random() < 0.3:
            app.leader = order.choice(HOSTS)
    # Nothing but its reading ends the old one.
    assert "relation-101-one" in app.kept.secret.previous and app.uses == before
    app.tenant_hook(101)
    go_on(app, order, cuts=0.3)
    for host in HOSTS * 4:
        app.hook(host)
    assert app.kept.secret.previous == {} and app.kept.secret.next == {}
    assert app.uses == {**before, (101, "one"): "second"}
    nodes = [node for each in app.nodes.values() for node in each.values()]
    assert all(node.accepted["relation-101-one"] == {digest("second")} for node in nodes)


@pytest.mark.parametrize("seed", range(20))
def test_a_unit_that_was_down_has_the_users_when_it_starts(seed: int):
    order = random.Random(seed)
    app = Application()
    app.stop_pod(H2)
    app.ask("one")
    for _ in range(40):
        app.hook(order.choice([H0, H1]), order.randrange(8) if order.random() < 0.3 else None)
    app.tenant_hook(101)
    assert app.uses
    app.start_pod(H2)
    app.check()
    go_on(app, order)
    assert app.guests() == {host: {"relation-101-one"} for host in HOSTS}
