# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""One name for the primary: which labels follow from a look, and what becomes of refusals."""

from __future__ import annotations

import dataclasses
import logging
import types
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import ops
import pytest

import texts
from cluster import steps
from engine import plan, status
from engine.steps import AskAgain
from engine.world import World
from service import kube, labels, room
from service.labels import Label, OfferServices, SelectPrimary
from service.view import Memory, ServiceView
from tests.unit.worlds import (
    APP,
    H0,
    H1,
    H2,
    all_sentinels,
    at_rest,
    primary,
    replica,
    with_redis,
    with_sentinels,
)

DONE = Memory(primary=H0, role="primary", selects=True, offered=True)
RIGHT = {H0: "primary", H1: "replica", H2: "replica"}


def seen(world: World, roles: Mapping[str, str] | None, **view: Any) -> World:
    return replace(world, service=ServiceView(roles, **view))


def switched(host: str = H1, is_leader: bool = True) -> World:
    """What a unit sees when the primary's role has gone from 0 to 1."""
    return at_rest(host=host, is_leader=is_leader, of=H1)


# Which labels.


def test_the_new_primary_is_labelled_before_the_old_one_loses_the_label():
    world = seen(switched(host=H2), {H0: "primary", H1: "replica", H2: "replica"})
    assert plan.next_steps(world) == (Label(((H1, "primary"), (H0, "replica")), H1),)


def test_a_unit_made_anew_labels_itself_and_leaves_other_replicas_to_themselves():
    world = seen(at_rest(host=H1), {H0: "primary", H1: "", H2: ""})
    assert plan.next_steps(world) == (Label(((H1, "replica"),), H0),)


def test_several_stale_labels_go():
    world = seen(at_rest(host=H0), {H0: "", H1: "primary", H2: "primary", "redis-k8s-9": ""})
    wanted = ((H0, "primary"), (H1, "replica"), (H2, "replica"))
    assert plan.next_steps(world) == (Label(wanted, H0),)


def test_a_pod_that_is_not_there_is_not_labelled():
    world = seen(switched(host=H2), {H0: "primary", H2: "replica"})
    assert plan.next_steps(world) == (Label(((H0, "replica"),), H1),)


@pytest.mark.parametrize(
    ("roles", "view", "steps"),
    [
        (RIGHT, {"to_select": True}, (SelectPrimary(),)),
        (RIGHT, {"to_offer": True}, (OfferServices(),)),
        (RIGHT, {}, ()),
        (None, {"to_select": True, "to_offer": True}, ()),
        ({H1: "replica"}, {"to_select": True}, ()),
        ({**RIGHT, H0: ""}, {"to_select": True}, (Label(((H0, "primary"),), H0),)),
    ],
)
def test_the_service_selects_only_when_the_primary_has_the_label(
    roles: Mapping[str, str] | None, view: Mapping[str, Any], steps: tuple[Any, ...]
):
    assert plan.next_steps(seen(at_rest(), roles, **view)) == steps


def test_labels_come_before_all_else_and_the_next_look_leads_to_the_rest():
    world = replace(switched(), recorded_primary=H0)
    wanted = Label(((H1, "primary"), (H0, "replica")), H1)
    assert plan.next_steps(seen(world, RIGHT)) == (wanted,)
    assert steps.RecordPrimary(H1) in plan.next_steps(world)


@pytest.mark.parametrize(
    "world",
    [
        all_sentinels(replace(at_rest(is_leader=False), asked_all=False), has_majority=False),
        with_redis(at_rest(), h0=None),
        with_redis(at_rest(), h0=replica(H1)),
        with_sentinels(at_rest(), h1=None, h2=None),
        with_sentinels(replace(at_rest(), asked_all=False), h0=None),
    ],
    ids=["no majority", "silent", "a replica", "one Sentinel", "no Sentinel"],
)
def test_nobody_is_labelled_while_nobody_is_sure(world: World):
    assert labels.primary_of(world) is None
    assert not labels.is_due(world, Memory())
    assert tuple(labels.steps(seen(world, {H0: "", H1: "", H2: ""}))) == ()


def test_a_primary_that_was_cut_off_keeps_nothing_but_what_it_had():
    # Its own Sentinel still names it; it is fenced, and the others have taken its label.
    world = replace(at_rest(is_leader=False), asked_all=False)
    world = with_redis(with_sentinels(world, h1=None, h2=None), h1=None, h2=None)
    cut_off = all_sentinels(world, has_majority=False)
    assert tuple(labels.steps(seen(cut_off, {**RIGHT, H0: "replica", H1: "primary"}))) == ()


# When Kubernetes is asked.


def test_a_unit_at_rest_asks_nothing():
    for host in (H0, H1, H2):
        role = "primary" if host == H0 else "replica"
        for is_leader in (True, False):
            memory = replace(DONE, role=role)
            assert not labels.is_due(at_rest(host=host, is_leader=is_leader), memory)


@pytest.mark.parametrize(
    ("world", "memory"),
    [
        (at_rest(is_leader=False), Memory()),
        (switched(is_leader=False), replace(DONE, role="replica")),
        (switched(host=H2, is_leader=False), replace(DONE, role="replica")),
        (at_rest(), replace(DONE, selects=False)),
        (at_rest(), replace(DONE, offered=False)),
    ],
    ids=["anew", "became primary", "another did", "leads newly", "may be trusted now"],
)
def test_it_asks_when_something_is_other(world: World, memory: Memory):
    assert labels.is_due(world, memory)


def test_the_service_is_the_leaders():
    memory = Memory(primary=H0, role="replica")
    assert not labels.is_due(at_rest(host=H1, is_leader=False), memory)


# The room, with an API in memory.


class Api:
    """An API that fails as it is told, and notes what it was asked."""

    def __init__(self, roles: Mapping[str, str]):
        self.roles = dict(roles)
        self.selector = ""
        self.services: dict[str, str] = {}
        self.trusted = False
        self.error: kube.KubeError | None = None
        self.asked: list[str] = []

    def _note(self, text: str) -> None:
        self.asked.append(text)
        if self.error is not None:
            raise self.error

    def pods(self, app: str) -> dict[str, kube.Pod]:
        self._note("pods")
        return {name: kube.Pod(role, ({"uid": app},)) for name, role in self.roles.items()}

    def label(self, pod: str, role: str) -> None:
        self._note(f"{pod} {role}")
        self.roles[pod] = role

    def select(self, service: str, role: str) -> None:
        self._note(f"{service} selects {role}")
        self.selector = role

    def offer(self, app: str, name: str, role: str, ports: Any, owners: Any) -> None:
        self._note(f"offer {name}")
        if not self.trusted:
            raise kube.KubeForbiddenError("403")
        assert owners == ({"uid": app},)
        self.services[name] = role

    def close(self) -> None:
        pass


class Unit:
    """A unit whose hooks do nothing but this."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch):
        self.api = api
        self.stored = types.SimpleNamespace(service={})
        self.now_s = 1000.0
        self._patch = monkeypatch
        monkeypatch.setattr(room, "time", types.SimpleNamespace(time=lambda: self.now_s))

    def hook(self, world: World, name: str = "update-status") -> World:
        """Run one hook; return its last look."""
        self._patch.setenv("JUJU_DISPATCH_PATH", f"hooks/{name}")
        found = room.Room(APP, self.stored, lambda: self.api)  # type: ignore[arg-type,return-value]
        looked = world
        for _ in range(5):
            looked = found.look(world)
            steps = list(labels.steps(looked))
            if not steps:
                break
            for step in steps:
                found.take(step, looked)
        found.close()
        return looked

    def asked(self, world: World, name: str = "update-status") -> list[str]:
        """Run one hook; return what it asked the API."""
        before = len(self.api.asked)
        self.hook(world, name)
        return self.api.asked[before:]

    @property
    def memory(self) -> Memory:
        return Memory(**self.stored.service)


@pytest.fixture
def api() -> Api:
    return Api({H0: "", H1: "", H2: ""})


@pytest.fixture
def unit(api: Api, monkeypatch: pytest.MonkeyPatch) -> Unit:
    return Unit(api, monkeypatch)


def test_the_leader_labels_and_selects_once(unit: Unit, api: Api):
    unit.hook(at_rest())
    assert api.roles[H0] == "primary" and api.selector == "primary"
    assert api.asked == [
        "pods",
        f"{H0} primary",
        f"{APP} selects primary",
        f"offer {APP}-primary",
    ]
    assert unit.memory == DONE
    assert unit.asked(at_rest()) == []


def test_a_switch_is_followed_with_three_requests(unit: Unit, api: Api):
    api.roles = dict(RIGHT)
    unit.stored.service = dataclasses.asdict(replace(DONE, role="replica"))
    assert unit.asked(switched()) == ["pods", f"{H1} primary", f"{H0} replica"]
    assert unit.asked(switched()) == []
    assert unit.memory.primary == H1 and unit.memory.role == "primary"


def test_who_is_second_to_know_only_looks(unit: Unit, api: Api):
    api.roles = {**RIGHT, H0: "replica", H1: "primary"}
    unit.stored.service = dataclasses.asdict(replace(DONE, role="replica"))
    assert unit.asked(switched(host=H2)) == ["pods"]
    assert unit.asked(switched(host=H2)) == []


def test_the_old_primary_keeps_its_label_if_the_new_one_gets_none(unit: Unit, api: Api):
    api.roles = dict(RIGHT)
    unit.stored.service = dataclasses.asdict(replace(DONE, role="replica"))

    def label(pod: str, role: str) -> None:
        api.asked.append(pod)
        raise kube.KubeError("500")

    api.label = label  # type: ignore[method-assign]
    looked = unit.hook(switched())
    assert api.asked == ["pods", H1] and api.roles == RIGHT
    assert looked.service.waits and looked.service.stale


def test_trust_brings_services_of_our_own_and_config_changed_tries_again(unit: Unit, api: Api):
    unit.hook(at_rest())
    api.trusted = True
    assert unit.asked(at_rest()) == []
    unit.hook(at_rest(), "config-changed")
    assert api.services == {f"{APP}-primary": "primary", f"{APP}-replicas": "replica"}
    assert unit.asked(at_rest()) == []


def test_where_it_is_forbidden_that_is_told_once_and_hooks_ask_no_more(
    unit: Unit, api: Api, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    api.error = kube.KubeForbiddenError("403")
    for _ in range(5):
        looked = unit.hook(at_rest())
        assert looked.service == ServiceView(leads=False)
        unit.now_s += 400
    assert api.asked == ["pods"]
    assert [r.levelname for r in caplog.records] == ["INFO"]
    api.error = None
    assert unit.asked(at_rest()) == []
    unit.hook(at_rest(), "config-changed")
    assert api.selector == "primary"


def test_without_an_answer_it_is_asked_again_less_and_less_often(
    unit: Unit, api: Api, caplog: pytest.LogCaptureFixture
):
    api.error = kube.KubeError("timed out")
    hooks, looked = 0, at_rest()
    while unit.now_s < 2000:
        looked = unit.hook(at_rest())
        hooks += 1
        unit.now_s += 1.0
    assert hooks == 1000 and 8 <= len(api.asked) <= 14
    # By then nobody is woken for it alone.
    assert not looked.service.waits
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1
    api.error = None
    unit.now_s += 300
    unit.hook(at_rest())
    assert api.selector == "primary" and unit.memory.failures == 0


def test_a_hook_that_failed_once_asks_nothing_more(unit: Unit, api: Api):
    api.error = kube.KubeError("timed out")
    looked = unit.hook(at_rest())
    assert api.asked == ["pods"] and looked.service.waits
    assert plan.next_steps(looked) == (AskAgain(labels.WAITS),)


def test_a_service_that_cannot_follow_shows_in_the_leaders_status(unit: Unit, api: Api):
    unit.hook(at_rest())
    api.error = kube.KubeForbiddenError("403")
    looked = unit.hook(switched(host=H0))
    text = texts.SERVICE_STALE.format(app=APP)
    assert list(status.unit_statuses(looked)) == [ops.ActiveStatus(text)]
    assert list(status.unit_statuses(at_rest())) == [ops.ActiveStatus()]


def test_a_unit_that_is_not_there_any_more_leaves_the_label_where_it_goes(unit: Unit, api: Api):
    # A primary that is stopping has its label until another has it; its pod gets nobody any more.
    from engine.purpose import Stop

    assert unit.asked(replace(at_rest(), purpose=Stop()), "stop") == []


def test_without_kubernetes_there_is_nothing_to_ask(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(kube.KubeForbiddenError, match="no service account"):
        kube.Kube({})


def test_a_primary_has_this_label_in_every_world(unit: Unit, api: Api):
    # One unit alone, and five.
    for size in (1, 2, 5):
        world = at_rest(size=size)
        assert labels.primary_of(with_redis(world, h0=primary())) == H0


@pytest.mark.parametrize(
    ("primary_was", "hopeless", "may"),
    [(H0, False, True), (H1, False, False), ("", False, False), (H0, True, False)],
)
def test_a_unit_that_was_no_primary_looks_at_itself_first(
    unit: Unit, api: Api, primary_was: str, hopeless: bool, may: bool
):
    unit.stored.service = dataclasses.asdict(Memory(primary=primary_was, hopeless=hopeless))
    assert room.Room(APP, unit.stored, lambda: api).may_lead(switched()) == may  # type: ignore


def test_by_its_own_nodes_alone_a_unit_knows_that_it_is_primary(unit: Unit, api: Api):
    world = switched(is_leader=True)
    alone = replace(
        world,
        asked_all=False,
        redis={H1: world.redis[H1]},
        sentinels={H1: world.sentinels[H1]},
    )
    wanted = Label(((H1, "primary"), (H0, "replica")), H1)
    assert plan.next_steps(seen(alone, RIGHT)) == (wanted,)
