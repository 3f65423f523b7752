# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Which hooks end early since the last look has seen what they would tell."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import ops
import pytest

import main
import pebbles
import pulse
import seen
import texts

APP = "redis-k8s"
CONFIG = {"down-after": 1200, "enable-tls": False}
BOOTS = {"redis": "r1", "sentinel": "s1"}
ALL = {
    ("storage-list", "database"): ["database/0"],
    ("relation-ids", "redis-peers"): ["redis-peers:0"],
    ("relation-get", "-r", "redis-peers:0", "--app", "-", APP): {"leader-host": "h0"},
    ("is-leader",): False,
    ("config-get",): CONFIG,
}
NO_VOLUME = {("storage-list", "database"): []}
NO_RECORD = {("relation-get", "-r", "redis-peers:0", "--app", "-", APP): {}}
LEADS = {("is-leader",): True}


class Unit:
    """The pod of a unit, in which hooks run one after another."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch):
        self.directory = directory
        self.answers: dict[tuple[str, ...], Any] = dict(ALL)
        self.boots = dict(BOOTS)
        self.asked: list[tuple[str, ...]] = []
        monkeypatch.setattr(pebbles, "boot_id", lambda name: self.boots[name])

    def env(self, hook: str, **more: str) -> dict[str, str]:
        return {
            "JUJU_DISPATCH_PATH": f"hooks/{hook}",
            "JUJU_UNIT_NAME": f"{APP}/1",
            "JUJU_CHARM_DIR": str(self.directory),
            **more,
        }

    def ends(self, hook: str, **more: str) -> bool:
        return seen.ends(self.env(hook, **more), self._ask)

    def look(self, hook: str) -> None:
        """Look as a whole in a hook."""
        seen.keep(self.env(hook), self.boots, CONFIG)

    def _ask(self, *words: str) -> Any:
        self.asked.append(words)
        if words[0] == "status-set":
            return None
        found = self.answers[words]
        if isinstance(found, OSError):
            raise found
        return found


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unit:
    return Unit(tmp_path, monkeypatch)


FIRST = ["config-changed", "redis-pebble-ready", "sentinel-pebble-ready"]


@pytest.mark.parametrize("hook", [*FIRST, "database-storage-attached"])
def test_with_a_volume_and_a_record_the_first_hook_looks(unit: Unit, hook: str):
    assert not unit.ends(hook)


@pytest.mark.parametrize("hook", FIRST)
def test_without_a_volume_there_is_nothing_to_start(unit: Unit, hook: str):
    unit.answers |= NO_VOLUME | LEADS
    assert unit.ends(hook)
    # Juju tells of it while the list may not have it yet.
    assert not unit.ends("database-storage-attached")


@pytest.mark.parametrize("hook", [*FIRST, "database-storage-attached"])
def test_without_a_record_only_the_leader_has_something_to_do(unit: Unit, hook: str):
    unit.answers |= NO_RECORD
    assert unit.ends(hook)
    unit.answers |= LEADS
    assert not unit.ends(hook)


def test_start_ends_and_says_what_nobody_has_said(unit: Unit):
    assert unit.ends("start")
    assert ("status-set", "waiting", "--", texts.NO_PRIMARY) not in unit.asked
    unit.answers |= NO_RECORD
    assert unit.ends("start")
    assert unit.asked[-1] == ("status-set", "waiting", "--", texts.NO_PRIMARY)
    unit.answers |= NO_VOLUME
    assert unit.ends("start")
    assert unit.asked[-1] == ("status-set", "waiting", "--", texts.NO_STORAGE)


def test_after_a_look_start_costs_nothing(unit: Unit):
    unit.look("database-storage-attached")
    assert unit.ends("start") and unit.asked == []


@pytest.mark.parametrize("container", ["redis", "sentinel"])
def test_a_pebble_that_was_seen_is_told_of_no_more_until_it_starts_again(
    unit: Unit, container: str
):
    unit.look("upgrade-charm")
    assert unit.ends(f"{container}-pebble-ready")
    unit.boots = {name: f"{name}-2" for name in BOOTS}
    assert not unit.ends(f"{container}-pebble-ready")


def test_a_pebble_that_does_not_answer_has_the_charm_look(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
):
    def silent(_: str) -> str:
        raise ConnectionRefusedError

    unit.look("upgrade-charm")
    monkeypatch.setattr(pebbles, "boot_id", silent)
    assert not unit.ends("redis-pebble-ready")


def test_the_options_of_the_look_before_are_told_once(unit: Unit):
    unit.look("database-storage-attached")
    assert unit.ends("config-changed")
    # The next one tells of something else, such as `juju trust`.
    assert not unit.ends("config-changed")


def test_other_options_have_the_charm_look(unit: Unit):
    unit.look("database-storage-attached")
    unit.answers[("config-get",)] = {**CONFIG, "down-after": 5000}
    assert not unit.ends("config-changed")


def test_after_a_look_by_config_changed_each_config_changed_looks(unit: Unit):
    unit.look("config-changed")
    unit.look("redis-pebble-ready")
    assert not unit.ends("config-changed")


@pytest.mark.parametrize("hook", [*FIRST, "database-storage-attached"])
def test_a_hook_that_failed_after_its_look_looks_again(unit: Unit, hook: str):
    unit.look(hook)
    assert not unit.ends(hook)


def test_what_leaders_have_written_is_no_news_to_the_leader(unit: Unit):
    changed = "redis-peers-relation-changed"
    unit.answers |= LEADS
    assert not unit.ends(changed), "it has not looked yet"
    unit.look("leader-elected")
    assert unit.ends(changed)
    assert not unit.ends(changed, JUJU_REMOTE_UNIT=f"{APP}/2")
    unit.answers[("is-leader",)] = False
    assert not unit.ends(changed)


@pytest.mark.parametrize("words", list(ALL))
def test_a_tool_that_fails_has_the_charm_look(unit: Unit, words: tuple[str, ...]):
    unit.answers |= NO_RECORD
    unit.answers[words] = OSError("ERROR connection is shut down")
    if words != ("config-get",):
        assert not unit.ends("redis-pebble-ready")
    unit.look("database-storage-attached")
    if words == ("config-get",):
        assert not unit.ends("config-changed")


def test_a_note_that_cannot_be_read_has_the_charm_look(unit: Unit):
    for text in ("", "[]", "{}", json.dumps({"hook": "x"})):
        (unit.directory / ".seen").write_text(text)
        for hook in FIRST:
            assert not unit.ends(hook)
        unit.look("upgrade-charm")
        assert unit.ends("redis-pebble-ready")


@pytest.mark.parametrize("hook", ["stop", "update-status", "secret-changed", "leader-elected"])
def test_other_hooks_are_none_of_its_business(unit: Unit, hook: str):
    unit.look("upgrade-charm")
    assert not unit.ends(hook) and unit.asked == []


def test_a_directory_that_cannot_be_written_has_each_hook_look(unit: Unit):
    unit.directory = unit.directory / "gone"
    unit.look("upgrade-charm")
    assert not unit.ends("redis-pebble-ready")


def test_by_itself_it_asks_juju(unit: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    said = tmp_path / "said"
    tools = {
        "storage-list": "[]",
        "status-set": "",
    }
    for name, answer in tools.items():
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\necho {name} \"$@\" >>{said}\necho '{answer}'\n")
        tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert seen.ends(unit.env("start"))
    assert said.read_text().splitlines() == [
        "storage-list --format=json database",
        f"status-set waiting -- {texts.NO_STORAGE}",
    ]


def test_a_hook_that_fails_leaves_no_note(unit: Unit, monkeypatch: pytest.MonkeyPatch):
    def fail(_: object) -> None:
        env = os.environ
        pulse.keep(env, pulse.Question(APP, [], [], "/"), {})
        seen.keep(env, BOOTS, CONFIG)
        raise RuntimeError("status-set failed")

    monkeypatch.setattr(ops, "main", fail)
    for name, value in unit.env("upgrade-charm").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError):
        main.main()
    assert list(unit.directory.iterdir()) == []
