# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What becomes of a hook when a hook tool fails."""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ops
import pytest
from ops import hookcmds, testing
from ops.log import JujuLogHandler

import constants as c
import texts
from cluster.steps import ForceFailover, Forget, Handover, RecordUnits
from engine import plan
from model import hooktools, peers
from tests.unit.juju import Juju, host
from tests.unit.worlds import H0, H2, at_rest

Deploy = Callable[..., Juju]


def failure(tool: str, text: str = "ERROR connection is shut down") -> ops.ModelError:
    """Return what ops raises when a tool failed."""
    error = ops.ModelError(text)
    error.__cause__ = hookcmds.Error(returncode=1, cmd=[tool], stderr=text)
    return error


def fails(tool: str) -> Any:
    def call(*_: Any, **__: Any) -> Any:
        raise failure(tool)

    return call


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tool here has failed once in this hook."""
    tools = "goal-state is-leader secret-get secret-remove"
    monkeypatch.setenv("REDIS_K8S_TOOLS_THAT_FAILED", tools)


def run_charm() -> None:
    with hooktools.second_chance():
        ops.main(ops.CharmBase)


class Run:
    """One run as ``main.py`` has it, without a charm."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hook: str, error: Exception | None):
        self.anew: list[str] = []
        self.asked = 0
        monkeypatch.setenv("JUJU_DISPATCH_PATH", hook)
        monkeypatch.setenv("OPERATOR_DISPATCH", "1")
        monkeypatch.setattr(logging, "disable", lambda _: None)
        monkeypatch.setattr(logging, "shutdown", lambda: None)
        monkeypatch.setattr(hooktools, "look_again", self._ask)
        # What tests before this one have left would stay in the environment of those after it.
        monkeypatch.setattr(hooktools, "_begun", [])

        def main(_: Any) -> None:
            if error is not None:
                raise error

        def execv(program: str, words: list[str]) -> None:
            assert "OPERATOR_DISPATCH" not in os.environ
            self.anew = words
            raise SystemExit("anew")

        monkeypatch.setattr(ops, "main", main)
        monkeypatch.setattr(os, "execv", execv)

    def _ask(self) -> None:
        self.asked += 1


def test_a_hook_that_a_tool_has_stopped_is_begun_anew_once_for_each_tool(monkeypatch):
    monkeypatch.delenv("REDIS_K8S_TOOLS_THAT_FAILED", raising=False)
    for tool in ("config-get", "relation-get"):
        run = Run(monkeypatch, "hooks/start", failure(tool))
        with pytest.raises(SystemExit, match="anew"):
            run_charm()
        assert run.anew
    run = Run(monkeypatch, "hooks/start", failure("config-get"))
    run_charm()
    assert (run.anew, run.asked) == ([], 1)
    monkeypatch.delenv("REDIS_K8S_TOOLS_THAT_FAILED")


@pytest.mark.parametrize("hook", ["hooks/secret-expired", "actions/switchover"])
def test_what_nothing_else_tells_ends_in_an_error(monkeypatch, hook):
    monkeypatch.setenv("REDIS_K8S_TOOLS_THAT_FAILED", "config-get")
    run = Run(monkeypatch, hook, failure("config-get"))
    with pytest.raises(SystemExit) as ended:
        run_charm()
    assert (ended.value.code, run.asked) == (1, 0)


@pytest.mark.parametrize("acted", [True, False])
def test_an_action_that_has_done_something_is_not_begun_anew(monkeypatch, acted):
    monkeypatch.setenv("REDIS_K8S_TOOLS_THAT_FAILED", "is-leader")
    monkeypatch.setattr(hooktools, "_acted", [])
    run = Run(monkeypatch, "actions/switchover", failure("relation-set"))
    if acted:
        hooktools.note_act()
    with pytest.raises(SystemExit):
        run_charm()
    assert bool(run.anew) is not acted


def test_an_error_of_the_charm_stays_one(monkeypatch):
    Run(monkeypatch, "hooks/start", ops.ModelError("no such container"))
    with pytest.raises(ops.ModelError):
        run_charm()


def test_what_a_hook_wrote_before_it_was_begun_anew_does_not_count_as_kept(monkeypatch):
    monkeypatch.delenv("REDIS_K8S_BEGUN_WITH", raising=False)
    assert hooktools.begun_with(True, False) == (True, False)
    monkeypatch.setenv("REDIS_K8S_BEGUN_WITH", "00")
    assert hooktools.begun_with(True, True) == (False, False)


# In the charm, when the second chance is spent.


@pytest.mark.usefixtures("spent")
def test_a_leader_that_does_not_know_the_units_takes_what_is_recorded(deploy: Deploy, monkeypatch):
    juju = deploy(3).form()
    before = dict(juju.app_data)
    monkeypatch.setattr(hookcmds, "goal_state", fails("goal-state"))
    juju.cluster.kill(host(2))
    # One that is gone for good would be forgotten, and the quorum would follow.
    after = juju.update_status(0)
    assert juju.app_data == before
    assert after.unit_status != testing.UnknownStatus()


@pytest.mark.usefixtures("spent")
def test_without_record_and_goal_state_nothing_begins(deploy: Deploy, monkeypatch):
    juju = deploy(1)
    monkeypatch.setattr(hookcmds, "goal_state", fails("goal-state"))
    after = juju.run(0, lambda on, _: on.config_changed())
    assert (juju.app_data, juju.secret) == ({}, None)
    assert after.unit_status == testing.UnknownStatus()


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize("number", [0, 1])
def test_passwords_that_juju_does_not_give_are_not_made_again(deploy: Deploy, monkeypatch, number):
    juju = deploy(3).form()
    secret = juju.secret
    monkeypatch.setattr(ops.Model, "get_secret", fails("secret-get"))
    after = juju.update_status(number)
    assert juju.secret == secret
    assert after.unit_status == ops.WaitingStatus(texts.NO_PASSWORDS)


@pytest.mark.usefixtures("spent")
def test_passwords_that_are_not_found_are_not_made_again(deploy: Deploy, monkeypatch):
    juju = deploy(3).form()

    def missing(*_: Any, **__: Any) -> Any:
        raise ops.SecretNotFoundError("not found") from failure("secret-get").__cause__

    monkeypatch.setattr(ops.Model, "get_secret", missing)
    added = []
    monkeypatch.setattr(peers.Peers, "add_secret", lambda self, _: added.append(self))
    juju.update_status(0)
    assert added == []


@pytest.mark.usefixtures("spent")
def test_a_unit_that_is_not_told_who_leads_does_not(deploy: Deploy, monkeypatch):
    juju = deploy(3).form()
    juju.app_data["leader-host"] = host(1)
    monkeypatch.setattr(ops.Unit, "is_leader", fails("is-leader"))
    juju.update_status(0)
    assert juju.app_data["leader-host"] == host(1)


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize(
    "error",
    [failure("secret-remove"), ops.SecretNotFoundError("not found")],
)
def test_a_revision_that_cannot_be_removed_fails_no_hook(deploy: Deploy, monkeypatch, error):
    juju = deploy(1).form()
    secret = juju.secret
    assert secret is not None

    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(ops.SecretRemoveEvent, "remove_revision", refuse)
    juju.run(0, lambda on, _: on.secret_remove(secret, revision=1))


def test_a_revision_is_removed_once_though_juju_repeats_the_hook(deploy: Deploy, monkeypatch):
    juju = deploy(1).form()
    secret = juju.secret
    assert secret is not None
    removed = []
    monkeypatch.setattr(
        ops.SecretRemoveEvent, "remove_revision", lambda self: removed.append(self.revision)
    )
    context = juju.context(0)
    state = context.run(context.on.secret_remove(secret, revision=1), juju.state(0))
    context.run(context.on.secret_remove(secret, revision=1), state)
    assert removed == [1]


def test_a_tool_that_fails_for_the_first_time_stops_the_hook(deploy: Deploy, monkeypatch):
    monkeypatch.delenv("REDIS_K8S_TOOLS_THAT_FAILED", raising=False)
    juju = deploy(1).form()
    monkeypatch.setattr(hookcmds, "goal_state", fails("goal-state"))
    with pytest.raises(testing.errors.UncaughtCharmError) as raised:
        juju.update_status(0)
    assert raised.value.__cause__ is not None
    assert hooktools.tool_of(raised.value.__cause__) == "goal-state"


# What is said at rest.


def test_a_status_that_has_not_changed_is_not_set_again(deploy: Deploy):
    juju = deploy(3).form()
    context = juju.context(0)
    state = context.run(context.on.update_status(), juju.state(0))
    assert state.unit_status == ops.ActiveStatus()
    quiet = context.run(
        context.on.update_status(), juju.state(0, stored_states=state.stored_states)
    )
    assert quiet.unit_status == testing.UnknownStatus(), "Juju was told again"
    loud = context.run(
        context.on.config_changed(), juju.state(0, stored_states=state.stored_states)
    )
    assert loud.unit_status == ops.ActiveStatus()


def test_at_rest_the_databags_of_the_peers_are_not_read(deploy: Deploy, monkeypatch):
    juju = deploy(3).form()
    read: list[str] = []
    monkeypatch.setattr(hookcmds, "goal_state", lambda: read.append("goal-state") or GOALS)
    monkeypatch.setattr(peers.Peers, "_unit_data", _noting(peers.Peers._unit_data, read))
    for number, expected in ((0, {"redis-k8s/0", "goal-state"}), (1, {"redis-k8s/1"})):
        read.clear()
        juju.update_status(number)
        assert set(read) == expected


NOW = datetime.datetime.now(datetime.timezone.utc)
GOALS = hookcmds.GoalState(
    units={f"redis-k8s/{n}": hookcmds.Goal(status="active", since=NOW) for n in range(3)},
    relations={},
)


def _noting(unit_data: Any, read: list[str]) -> Any:
    def noted(self: peers.Peers) -> Any:
        found = unit_data(self)
        read.extend(found)
        return found

    return noted


def test_a_unit_that_is_not_in_the_record_asks_whether_it_leaves(deploy: Deploy):
    juju = deploy(3).form()
    juju.app_data["units"] = f"{host(0)} {host(1)}"
    juju.dying = {2}
    assert juju.update_status(2).unit_status == ops.MaintenanceStatus(texts.LEAVING)


def test_less_than_a_warning_is_said_in_one_call(monkeypatch):
    said: list[tuple[str, str]] = []

    class Backend:
        def juju_log(self, level: str, message: str) -> None:
            said.append((level, message))

    log = hooktools.Log(JujuLogHandler(Backend()))  # type: ignore[arg-type]
    logger = logging.Logger("of this test")
    logger.addHandler(log)
    logger.info("one %s", 1)
    logger.info("two")
    assert said == []
    logger.warning("three")
    logger.info("four")
    log.flush()
    assert said == [("INFO", "one 1\ntwo"), ("WARNING", "three"), ("INFO", "four")]


def test_a_log_that_juju_does_not_take_fails_nothing(capsys):
    class Backend:
        juju_log = staticmethod(fails("juju-log"))

    log = hooktools.Log(JujuLogHandler(Backend()))  # type: ignore[arg-type]
    log.handle(logging.makeLogRecord({"levelno": 30, "levelname": "WARNING", "msg": "x"}))
    log.flush()
    assert "juju-log" in capsys.readouterr().err


def test_a_look_that_juju_gives_no_answer_for_wakes_the_charm_by_pebble(monkeypatch):
    started: list[Any] = []

    class Client:
        def __init__(self, path: str):
            self.path = path

        def start_services(self, names: list[str], timeout: float) -> None:
            if "sentinel" in self.path:
                raise ops.pebble.ConnectionError("no")
            started.append((self.path, names))

    monkeypatch.setattr(ops.pebble, "Client", Client)
    hooktools.look_again()
    assert started == [("/charm/containers/redis/pebble.socket", [c.WAKE_SERVICE])]


def test_nothing_irreversible_is_planned_without_the_units():
    world = replace(at_rest(), units_known=False, planned=at_rest().planned[:2])
    kinds = {type(step) for step in plan.next_steps(replace(world, leaving=frozenset({H2})))}
    assert world.host == H0
    assert not kinds & {Forget, RecordUnits, Handover, ForceFailover}
