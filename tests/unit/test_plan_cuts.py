# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Every plan of several steps, cut after each of them: what comes next finishes it.

The scenarios run once uncut, which counts the steps; then once for each step after which the
hook may end, in each of the ways it may end. The end is always the same.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from cluster.steps import Forget, PermitBirth
from engine.purpose import Departure, Stop, Switchover
from passwords import rotation, users
from tests.unit.simulation import Application, Cut

Scenario = Callable[[pytest.MonkeyPatch, "int | None", Cut], Application]


_at_rest: dict[int, Application] = {}
"""By size: an application that has settled, from which each test begins with a copy."""


def settled(monkeypatch: pytest.MonkeyPatch, size: int) -> Application:
    """Return an application at rest, under a writer."""
    if size not in _at_rest:
        app = Application(monkeypatch, size)
        app.settle()
        app.write()
        app.taken.clear()
        _at_rest[size] = app
    app = copy.deepcopy(_at_rest[size])
    app.cluster.install(monkeypatch)
    return app


def check_end(app: Application) -> None:
    """Raise AssertionError when something is not as it should be in the end."""
    app.settle()
    assert app.unfinished() == []
    if app.writer:
        app.writer.go_on()
        assert app.writer.lost() == set()


def cut_everywhere(
    monkeypatch: pytest.MonkeyPatch,
    cut: Cut,
    prepare: Callable[[], Application],
    play: Callable[[Application], None],
) -> Application:
    """Play a scenario uncut and then cut after each step; return the uncut one at its end."""
    whole = prepare()
    play(whole)
    check_end(whole)
    steps = list(whole.taken)
    assert steps, "the scenario tests nothing"
    for number, step in enumerate(steps, start=1):
        app = prepare()
        app.cut_after, app.cut = number, cut
        try:
            play(app)
            check_end(app)
            assert app.was_cut, "the same world led to other steps"
        except AssertionError as e:
            trace = "\n  ".join(map(str, app.taken))
            raise AssertionError(
                f"cut after step {number} of {len(steps)}, {step} ({cut.value}): {e}\n  {trace}"
            ) from e
    return whole


every_cut = pytest.mark.parametrize("cut", Cut, ids=lambda cut: cut.name.lower())


def kinds(app: Application) -> list[str]:
    """Return the kinds of steps that were taken, each once, in the order of the first."""
    return list(dict.fromkeys(type(step).__name__ for step in app.taken))


@every_cut
@pytest.mark.parametrize("size", [1, 3])
def test_birth(monkeypatch, cut: Cut, size: int):
    def prepare() -> Application:
        return Application(monkeypatch, size)

    app = cut_everywhere(monkeypatch, cut, prepare, Application.settle)
    assert kinds(app)[:2] == ["CreateCredentials", "RecordPrimary"]
    assert len([s for s in app.taken if isinstance(s, PermitBirth)]) == 1
    assert app.kept.initialised


@every_cut
def test_start_of_a_workload_whose_pod_is_new(monkeypatch, cut: Cut):
    def prepare() -> Application:
        app = settled(monkeypatch, 3)
        app.kill_pod(app.cluster.replicas[0])
        return app

    app = cut_everywhere(monkeypatch, cut, prepare, Application.settle)
    assert "StartService" in kinds(app)
    assert "WriteSentinelConf" not in kinds(app)


@every_cut
def test_start_of_the_primary_whose_pod_is_new(monkeypatch, cut: Cut):
    def prepare() -> Application:
        app = settled(monkeypatch, 3)
        app.kill_pod(app.cluster.primary)
        return app

    cut_everywhere(monkeypatch, cut, prepare, Application.settle)


@every_cut
def test_start_of_all_when_all_pods_are_new(monkeypatch, cut: Cut):
    def prepare() -> Application:
        app = settled(monkeypatch, 3)
        for host in app.planned:
            app.kill_pod(host)
        return app

    cut_everywhere(monkeypatch, cut, prepare, Application.settle)


@every_cut
@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 5), (1, 2)])
def test_growth(monkeypatch, cut: Cut, before: int, after: int):
    def prepare() -> Application:
        return settled(monkeypatch, before)

    def play(app: Application) -> None:
        app.grow(f"redis-k8s-{number}" for number in range(before, after))
        app.settle()

    app = cut_everywhere(monkeypatch, cut, prepare, play)
    assert app.writer and app.writer.refused == []


@every_cut
def test_forgetting_a_replica_that_left(monkeypatch, cut: Cut):
    def prepare() -> Application:
        return settled(monkeypatch, 4)

    def play(app: Application) -> None:
        app.begin_removal(app.cluster.replicas[-1])
        app.leave(app.leaving[0], tells="late")
        app.settle()

    app = cut_everywhere(monkeypatch, cut, prepare, play)
    assert [s.host for s in app.taken if isinstance(s, Forget)] == app.planned


@every_cut
@pytest.mark.parametrize("tells", ["early", "late", "never"])
@pytest.mark.parametrize("leads", [True, False], ids=["and leader", "not leader"])
def test_handover_of_a_primary_that_leaves(monkeypatch, cut: Cut, tells: str, leads: bool):
    def prepare() -> Application:
        app = settled(monkeypatch, 3)
        app.leader = app.cluster.primary if leads else app.cluster.replicas[0]
        return app

    def play(app: Application) -> None:
        app.begin_removal(app.cluster.primary)
        app.leave(app.leaving[0], tells)
        app.settle()

    app = cut_everywhere(monkeypatch, cut, prepare, play)
    assert "Handover" in kinds(app)
    assert "ForceFailover" not in kinds(app)


@every_cut
@pytest.mark.parametrize(
    ("before", "stay", "tells"),
    [
        (5, [1, 3], "early"),
        (5, [1, 3], "late"),
        (5, [1, 3], "never"),
        (5, [3, 4], "never"),
        (3, [2], "late"),
        (2, [1], "never"),
    ],
)
def test_several_leave_with_the_primary_and_the_leader(
    monkeypatch, cut: Cut, before: int, stay: list[int], tells: str
):
    def prepare() -> Application:
        return settled(monkeypatch, before)

    def play(app: Application) -> None:
        app.begin_removal(*(h for n, h in enumerate(list(app.planned)) if n not in stay))
        for host in list(app.leaving):
            app.leave(host, tells)
        app.settle()

    app = cut_everywhere(monkeypatch, cut, prepare, play)
    assert len(app.planned) == len(stay)


@every_cut
@pytest.mark.parametrize("size", [2, 3, 5])
def test_forced_failover_when_all_others_are_gone_at_once(monkeypatch, cut: Cut, size: int):
    def prepare() -> Application:
        app = settled(monkeypatch, size)
        for host in list(app.planned)[:-1]:
            app.gone(host)
        return app

    app = cut_everywhere(monkeypatch, cut, prepare, Application.settle)
    assert "ForceFailover" in kinds(app)


@every_cut
def test_switchover(monkeypatch, cut: Cut):
    def prepare() -> Application:
        return settled(monkeypatch, 3)

    def play(app: Application) -> None:
        # An action is not run again when it fails.
        app.turn(app.leader, Switchover(app.planned[2]))

    app = cut_everywhere(monkeypatch, cut, prepare, play)
    assert app.cluster.primary == app.planned[2]


@every_cut
def test_rotation_of_all_passwords(monkeypatch, cut: Cut):
    new = {name: f"new-{name}" for name in users.NAMES}

    def prepare() -> Application:
        return settled(monkeypatch, 3)

    def play(app: Application) -> None:
        assert app.kept.secret
        app.kept.secret = rotation.begin(app.kept.secret, new).credentials
        app.settle()
        assert app.kept.secret.passwords == new
        for host, unit in app.units.items():
            for kind, node in unit.logins.items():
                assert node.logins() == rotation.expected(app.kept.secret, kind), host

    app = cut_everywhere(monkeypatch, cut, prepare, play)
    assert app.writer and app.writer.refused == []
    assert [type(step) for step in app.taken].count(rotation.ChangeSecret) == 2


def test_down_to_zero_and_back_keeps_all_data(monkeypatch):
    app = settled(monkeypatch, 3)
    assert app.writer
    app.cluster.hooks.clear()
    hosts = list(app.planned)
    keys = app.cluster.keys(app.cluster.primary)
    app.begin_removal(*hosts)
    for host in hosts:
        app.turn(host, Departure(host))
        app.turn(host, Stop())
    assert not any(node.running for node in app.cluster.redises.values())
    app.leaving = []
    app.planned = hosts
    app.cluster.hosts = tuple(hosts)
    for host in hosts:
        app.kill_pod(host)
    app.settle()
    assert app.cluster.keys(app.cluster.primary) == keys
