# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Images that lack something, and whatever else of an image is in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ops
import pytest
from ops import pebble, testing

import constants as c
from cluster.facts import silent_ports
from cluster.steps import StartService, StopService, WriteFiles
from engine import status
from engine.plan import next_steps
from engine.world import ContainerView, Holder, Image, World
from errors import Refusal
from passwords.rotation import RestoreUsers
from pod import workload
from tests.unit.juju import PROGRAMS, Juju, image_of
from tests.unit.worlds import H0, at_rest, with_redis, with_sentinels

NEW = ContainerView(ready=True)


def newborn() -> World:
    """Return what a unit sees whose containers have just come up."""
    return replace(at_rest(), redis_container=NEW, sentinel_container=NEW, redis={}, sentinels={})


def of_unit(world: World) -> ops.StatusBase:
    return ops.StatusBase._get_highest_priority(list(status.unit_statuses(world)))


# Images and ports


def with_container(world: World, name: str, **changes: Any) -> World:
    field = f"{name}_container"
    return replace(world, **{field: replace(getattr(world, field), **changes)})


@pytest.mark.parametrize("container", ["redis", "sentinel"])
def test_nothing_is_written_or_started_from_an_image_that_lacks_something(container: str):
    image = Image(missing=("redis-cli or valkey-cli",))
    world = with_container(newborn(), container, current=False, running=frozenset(), image=image)
    of_container = [
        step
        for step in next_steps(world)
        if (isinstance(step, StartService | WriteFiles) and step.container == container)
    ]
    assert of_container == []
    other = "sentinel" if container == "redis" else "redis"
    assert StartService(other, other) in next_steps(world)


@pytest.mark.parametrize("container", ["redis", "sentinel"])
def test_a_service_of_the_image_under_one_of_our_names_is_stopped_first(container: str):
    for name in ("redis", "sentinel", "redis_exporter", "wake"):
        world = with_container(at_rest(), container, foreign=frozenset({name, "agent"}))
        assert next_steps(world)[0] == StopService(container, name)
        world = with_container(newborn(), container, foreign=frozenset({name, "agent"}))
        assert next_steps(world)[0] == StopService(container, name)


def test_another_service_of_the_image_is_stopped_where_it_holds_a_port():
    world = with_container(at_rest(), "sentinel", foreign=frozenset({"agent", "cache"}))
    assert next_steps(world) == ()
    holder = Holder("sentinel", "redis-server", 12, service="cache")
    silent = replace(with_redis(world, h0=None), holders={6379: holder})
    stops = [step for step in next_steps(silent) if isinstance(step, StopService)]
    assert stops == [StopService("sentinel", "cache")]


def test_who_holds_a_port_of_ours_gets_no_password():
    world = replace(with_redis(at_rest(), h0=None), redis_refusals={H0: Refusal.LOGIN})
    assert RestoreUsers("redis") in next_steps(world)
    taken = replace(world, holders={6379: Holder("redis", "redis-server", 12)})
    assert RestoreUsers("redis") not in next_steps(taken)


def test_ports_are_looked_at_only_where_our_own_process_gives_no_answer():
    assert silent_ports(at_rest()) == frozenset()
    assert silent_ports(with_redis(at_rest(), h0=None)) == {6379}
    loading = replace(with_redis(at_rest(), h0=None), redis_refusals={H0: Refusal.LOADING})
    assert silent_ports(loading) == frozenset()
    assert silent_ports(with_sentinels(at_rest(), h0=None)) == {26379}
    exporter = frozenset({"redis", "redis_exporter"})
    assert silent_ports(with_container(at_rest(), "redis", services=exporter)) == {9121}


# Statuses


def test_what_an_image_lacks_is_told_with_its_container():
    lacking = ContainerView(ready=True, image=Image(missing=("awk", "redis-cli or valkey-cli")))
    shown = of_unit(replace(at_rest(), redis_container=lacking))
    assert shown == ops.BlockedStatus(
        "The image of container redis has no awk; no redis-cli or valkey-cli:"
        " attach another one as redis-image"
    )


@pytest.mark.parametrize(
    ("holder", "who"),
    [
        (Holder("sentinel", "nc", 12), "nc (process 12 in container sentinel)"),
        (Holder(None), "a process outside the containers redis and sentinel"),
    ],
)
def test_who_holds_a_port_is_told_before_what_he_says(holder: Holder, who: str):
    refused = {H0: Refusal.LOGIN}
    world = replace(at_rest(), redis={}, redis_refusals=refused, holders={6379: holder})
    assert of_unit(world) == ops.BlockedStatus(
        f"Port 6379 is taken by {who}: stop it, or attach another image as redis-image"
    )


def test_a_service_that_the_charm_is_about_to_stop_is_no_problem():
    holder = Holder("sentinel", "redis-server", 12, service="redis")
    shown = of_unit(replace(at_rest(), redis={}, holders={6379: holder}))
    assert not isinstance(shown, ops.BlockedStatus)


# The charm


Deploy = Callable[..., Juju]


def run(juju: Juju, hooks: int = 4) -> testing.State:
    for _ in range(hooks - 1):
        juju.update_status(0)
    return juju.update_status(0)


def with_image(juju: Juju, *programs: str, user: str = "redis") -> Juju:
    for name in (c.REDIS, c.SENTINEL):
        juju.set_container(0, name, execs=image_of(*programs, user=user))
    return juju


def test_an_image_without_a_client_blocks_the_unit_until_another_is_there(deploy: Deploy):
    without = [name for name in PROGRAMS if name != "redis-cli"]
    juju = with_image(deploy(1), *without)
    after = run(juju)
    assert after.unit_status == ops.BlockedStatus(
        "The image of container redis has no redis-cli or valkey-cli:"
        " attach another one as redis-image"
    )
    assert juju.services(0, c.REDIS) == juju.services(0, c.SENTINEL) == set()
    after = run(with_image(juju, *PROGRAMS))
    assert after.unit_status == ops.ActiveStatus()


def test_an_image_of_valkey_is_used_by_its_own_names(deploy: Deploy):
    programs = ["valkey-server", "valkey-cli", *PROGRAMS[2:]]
    juju = with_image(deploy(1), *programs, user="valkey")
    after = run(juju)
    assert after.unit_status == ops.ActiveStatus()
    for name in (c.REDIS, c.SENTINEL):
        env = juju.file(0, name, c.CLUSTER_ENV).splitlines()
        assert {"SERVER=valkey-server", "CLI=valkey-cli"} <= set(env)
        services = after.get_container(name).plan.services
        users = {n: (s.user, s.group) for n, s in services.items() if n != c.NAMES_SERVICE}
        assert set(users.values()) == {("valkey", "valkey")}


def test_an_image_is_looked_at_when_files_are_written_and_no_more(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
):
    juju = deploy(1)
    looks: list[str] = []
    look = workload.Workload.image

    def counted(container: workload.Workload) -> Image:
        looks.append(container.name)
        return look(container)

    monkeypatch.setattr(workload.Workload, "image", counted)
    before = run(juju)
    assert {c.REDIS, c.SENTINEL} == set(looks)
    looks.clear()
    juju.run(0, lambda on, _: on.update_status(), stored_states=before.stored_states)
    assert looks == []


def test_a_service_of_the_image_that_runs_under_our_name_gives_way(deploy: Deploy):
    juju = deploy(1)
    layer = pebble.Layer(
        {"services": {"redis": {"override": "replace", "command": "redis-server"}}}
    )
    for name in (c.REDIS, c.SENTINEL):
        juju.set_container(
            0,
            name,
            layers={"image": layer},
            service_statuses={"redis": pebble.ServiceStatus.ACTIVE},
        )
    after = run(juju)
    assert after.unit_status == ops.ActiveStatus()
    assert "redis" not in juju.services(0, c.SENTINEL)
    assert "redis" in juju.services(0, c.REDIS)
    assert after.get_container(c.REDIS).plan.services["redis"].command == c.START_REDIS


HELD = frozenset({"4711"})


def held(
    juju: Juju, monkeypatch: pytest.MonkeyPatch, **holders: Holder
) -> Callable[[], testing.State]:
    """Have the port of Redis held, as the containers tell of it."""
    juju.listening = {6379: HELD}
    seen = {name: {"4711": holder} for name, holder in holders.items()}
    monkeypatch.setattr(workload.Workload, "holders", lambda w, _: seen.get(w.name, {}))
    juju.cluster.kill(juju.cluster.hosts[0], c.REDIS)
    return lambda: juju.update_status(0)


def test_a_stranger_on_our_port_blocks_the_unit_with_his_name(
    juju: Juju, monkeypatch: pytest.MonkeyPatch
):
    after = held(juju, monkeypatch, sentinel=Holder("sentinel", "nc", 12))()
    assert after.unit_status == ops.BlockedStatus(
        "Port 6379 is taken by nc (process 12 in container sentinel):"
        " stop it, or attach another image as redis-image"
    )


def test_a_holder_that_no_container_has_is_outside(juju: Juju, monkeypatch: pytest.MonkeyPatch):
    after = held(juju, monkeypatch)()
    assert "outside the containers redis and sentinel" in after.unit_status.message


def test_our_own_redis_that_does_not_answer_is_no_stranger(
    juju: Juju, monkeypatch: pytest.MonkeyPatch
):
    own = Holder("redis", "redis-server", 12, is_own=True)
    after = held(juju, monkeypatch, redis=own)()
    assert not isinstance(after.unit_status, ops.BlockedStatus)


def test_nobody_is_looked_for_while_all_is_well(juju: Juju, monkeypatch: pytest.MonkeyPatch):
    juju.listening = {6379: HELD, 26379: HELD}
    monkeypatch.setattr(workload.Workload, "holders", lambda *_: pytest.fail("looked"))
    assert juju.update_status(0).unit_status == ops.ActiveStatus()
