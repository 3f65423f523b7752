# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Which events a unit may sleep through."""

from __future__ import annotations

import pytest

import events

UNIT = "redis-k8s/1"


def env(hook: str, **more: str) -> dict[str, str]:
    return {"JUJU_DISPATCH_PATH": f"hooks/{hook}", "JUJU_UNIT_NAME": UNIT, **more}


def never() -> bool:
    raise AssertionError("nothing depends on who leads")


@pytest.mark.parametrize(
    "hook",
    ["install", "remove", "redis-peers-relation-created", "redis-peers-relation-joined"],
)
def test_some_events_bring_nothing_to_anybody(hook):
    assert events.is_idle(env(hook), never)


@pytest.mark.parametrize(
    "hook",
    [
        "start",
        "stop",
        "config-changed",
        "upgrade-charm",
        "update-status",
        "leader-elected",
        "secret-changed",
        "database-storage-attached",
        "redis-pebble-ready",
        "sentinel-pebble-custom-notice",
    ],
)
def test_what_this_unit_has_to_act_on_is_never_slept_through(hook):
    assert not events.is_idle(env(hook), never)


def test_actions_are_never_slept_through():
    action = {"JUJU_DISPATCH_PATH": "actions/check-service", "JUJU_UNIT_NAME": UNIT}
    assert not events.is_idle(action, never)


@pytest.mark.parametrize("kind", ["changed", "departed"])
@pytest.mark.parametrize("leads", [True, False])
def test_a_peers_comings_and_goings_are_the_leaders(kind, leads):
    peer = {"JUJU_REMOTE_UNIT": "redis-k8s/2", "JUJU_DEPARTING_UNIT": "redis-k8s/2"}
    hook = env(f"redis-peers-relation-{kind}", **peer)
    assert events.is_idle(hook, lambda: leads, lambda: False) is not leads


@pytest.mark.parametrize("kind", ["changed", "departed", "broken"])
@pytest.mark.parametrize("leads", [True, False])
def test_what_becomes_of_a_client_is_the_leaders(kind, leads):
    for remote in ({"JUJU_REMOTE_UNIT": "shop/0"}, {}):
        hook = env(f"redis-relation-{kind}", **remote)
        assert events.is_idle(hook, lambda: leads, never) is not leads


def test_a_new_client_wakes_all_and_its_units_nobody_before_they_have_said_something():
    assert not events.is_idle(env("redis-relation-created"), never)
    assert events.is_idle(env("redis-relation-joined", JUJU_REMOTE_UNIT="shop/0"), never)


@pytest.mark.parametrize("kind", ["created", "changed", "departed", "broken"])
@pytest.mark.parametrize("leads", [True, False])
def test_who_asks_for_users_wakes_the_leader_alone(kind, leads):
    for remote in ({"JUJU_REMOTE_UNIT": "shop/0"}, {}):
        hook = env(f"valkey-client-relation-{kind}", **remote)
        assert events.is_idle(hook, lambda: leads, never) is not leads
    assert events.is_idle(env("valkey-client-relation-joined"), never)


def test_a_peer_that_goes_on_with_tls_wakes_all():
    hook = env("redis-peers-relation-changed", JUJU_REMOTE_UNIT="redis-k8s/2")
    assert not events.is_idle(hook, lambda: False, lambda: True)


def test_what_the_leader_records_wakes_all():
    assert not events.is_idle(env("redis-peers-relation-changed"), never)


def test_a_units_own_departure_wakes_it():
    own = {"JUJU_REMOTE_UNIT": "redis-k8s/2", "JUJU_DEPARTING_UNIT": UNIT}
    assert not events.is_idle(env("redis-peers-relation-departed", **own), never)


@pytest.mark.parametrize(
    ("hook", "routine"),
    [
        ("update-status", True),
        ("sentinel-pebble-custom-notice", True),
        ("redis-pebble-ready", False),
        ("leader-elected", False),
    ],
)
def test_what_tells_nothing_is_routine(hook, routine):
    assert events.is_routine(env(hook)) is routine


def test_a_tool_that_fails_leaves_the_question_to_the_charm(tmp_path, monkeypatch):
    for tool in ("is-leader", "relation-get"):
        (tmp_path / tool).write_text("#!/bin/sh\necho 'ERROR no' >&2\nexit 1\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert events.ask_is_leader()
    assert events.ask_has_tls()
    hook = env("redis-peers-relation-changed", JUJU_REMOTE_UNIT="redis-k8s/2")
    assert not events.is_idle(hook)
