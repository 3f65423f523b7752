# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

from __future__ import annotations

import io
import json
import stat
import threading
import time
from pathlib import Path

import pytest

import pebbles
import pulse

QUESTION = pulse.Question("redis-k8s", [("redis", "a"), ("sentinel", "a")], ["x"], "/volume")
HEARD: dict[str, object] = {"redis a": ["primary"], "sentinel a": ["b"]}
PASSWORD = "operator-pw"


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the environment of a hook; all nodes say what the last look has heard."""
    asked = {"password": PASSWORD, "heard": HEARD}
    monkeypatch.setattr(pulse, "_password", lambda: asked["password"])
    monkeypatch.setattr(pulse, "listen", lambda *_: asked["heard"])
    return {"JUJU_CHARM_DIR": str(tmp_path)}


def test_without_a_note_the_charm_looks(env: dict[str, str]):
    assert not pulse.is_steady(env)


def test_with_a_note_and_the_same_answers_it_sleeps(env: dict[str, str]):
    pulse.keep(env, QUESTION, HEARD)
    assert pulse.is_steady(env)
    assert pulse.is_steady(env), "the note stays"


def test_other_answers_have_it_look(env: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    pulse.keep(env, QUESTION, HEARD)
    monkeypatch.setattr(pulse, "listen", lambda *_: {**HEARD, "redis a": ["replica"]})
    assert not pulse.is_steady(env)


def test_no_answer_has_it_look(env: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    pulse.keep(env, QUESTION, HEARD)
    monkeypatch.setattr(pulse, "listen", lambda *_: None)
    assert not pulse.is_steady(env)


@pytest.mark.parametrize("meanwhile", [None, {**HEARD, "redis a": ["replica"]}])
def test_when_all_is_again_as_it_was_what_the_look_between_has_shown_is_taken_back(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, meanwhile: dict[str, object] | None
):
    pulse.keep(env, QUESTION, HEARD)
    with monkeypatch.context() as patch:
        patch.setattr(pulse, "listen", lambda *_: meanwhile)
        assert not pulse.is_steady(env)
    assert not pulse.is_steady(env), "nobody has looked since"
    pulse.keep(env, QUESTION, HEARD)
    assert pulse.is_steady(env)


def test_the_same_nodes_are_asked_the_same(env: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    asked = []

    def listen(question: pulse.Question, password: str, _: object) -> dict[str, object]:
        asked.append((vars(question), password))
        return HEARD

    pulse.keep(env, QUESTION, HEARD)
    monkeypatch.setattr(pulse, "listen", listen)
    assert pulse.is_steady(env)
    assert asked == [(vars(QUESTION), PASSWORD)]


def test_a_password_that_juju_does_not_give_has_it_look(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    pulse.keep(env, QUESTION, HEARD)
    monkeypatch.setattr(pulse, "_password", lambda: None)
    assert not pulse.is_steady(env)


@pytest.mark.parametrize("later_s", [pulse.HOLDS_S + 1, -60.0])
def test_an_old_note_and_one_of_another_clock_count_no_more(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, later_s: float
):
    pulse.keep(env, QUESTION, HEARD)
    now_s = time.time()
    monkeypatch.setattr(pulse.time, "time", lambda: now_s + later_s)
    assert not pulse.is_steady(env)


def test_a_note_that_was_dropped_counts_no_more(env: dict[str, str]):
    pulse.keep(env, QUESTION, HEARD)
    pulse.forget(env)
    assert not pulse.is_steady(env)
    pulse.forget(env)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"noted_s": 1}', '{"noted_s": 9e99, "question": {}}', "null"]
)
def test_a_damaged_note_has_it_look(env: dict[str, str], tmp_path: Path, text: str):
    pulse.keep(env, QUESTION, HEARD)
    (tmp_path / ".steady").write_text(text)
    assert not pulse.is_steady(env)


def test_a_note_of_another_revision_has_it_look(env: dict[str, str], tmp_path: Path):
    pulse.keep(env, QUESTION, HEARD)
    note = json.loads((tmp_path / ".steady").read_text())
    note["question"]["more"] = 1
    (tmp_path / ".steady").write_text(json.dumps(note))
    assert not pulse.is_steady(env)


def test_a_note_that_cannot_be_written_leaves_none(env: dict[str, str], tmp_path: Path):
    (tmp_path / ".steady.new").mkdir()
    pulse.keep(env, QUESTION, HEARD)
    assert not (tmp_path / ".steady").exists()


def test_the_note_has_no_password_and_is_for_its_owner_alone(env: dict[str, str], tmp_path: Path):
    pulse.keep(env, QUESTION, HEARD)
    assert PASSWORD not in (tmp_path / ".steady").read_text()
    assert stat.S_IMODE((tmp_path / ".steady").stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize(
    ("raw", "reply"),
    [
        (b"+OK 3 usable\r\n", "OK 3 usable"),
        (b":42\r\n", "42"),
        (b"$5\r\na\r\nbc\r\n", "a\r\nbc"),
        (b"$-1\r\n", ""),
        (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", ["a", ["1"]]),
        (b"*0\r\n", []),
    ],
)
def test_replies(raw: bytes, reply: object):
    assert pulse._reply(io.BytesIO(raw)) == reply


@pytest.mark.parametrize(
    "raw", [b"", b"+OK", b"-NOAUTH\r\n", b"\x15\x03\x01\r\n", b"$5\r\nab", b"*2\r\n:1\r\n"]
)
def test_what_is_no_answer_is_none(raw: bytes):
    with pytest.raises((OSError, ValueError, LookupError, pulse._RefusedError)):
        pulse._reply(io.BytesIO(raw))


def test_who_says_other_than_the_note_is_not_held_up_by_who_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    asked = threading.Event()

    def ask(kind: str, host: str, *_: object) -> object:
        if host == "silent":
            asked.wait(5.0)
        return ["primary", host]

    monkeypatch.setattr(pulse, "_ask", ask)
    monkeypatch.setattr(pebbles, "services", lambda _: {})
    nodes = [("redis", "a"), ("redis", "silent")]
    question = pulse.Question("app", nodes, [], str(tmp_path))
    begun_s = time.monotonic()
    assert pulse.listen(question, PASSWORD, {"redis a": ["replica", "a"]}) is None
    assert time.monotonic() - begun_s < 0.5
    # Whoever wants to know it all waits for all, but no longer than for any look.
    assert pulse.listen(question, PASSWORD) is None
    asked.set()
    found = pulse.listen(question, PASSWORD)
    assert found is not None and found["redis a"] == ["primary", "a"]
