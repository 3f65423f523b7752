"""The whole lab with a charm that is no Redis: real pods, real dispatch, real hook tools."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import LabError, LabTimeout, Model, sandbox
from lab.cli import main as cli

PROBE = Path(__file__).parent / "probe-charm"
PEBBLE = "/charm/bin/pebble"
IDLE_S = 60.0


@pytest.fixture(scope="session", autouse=True)
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep these models away from the user's."""
    before = os.environ.get("LAB_HOME")
    os.environ["LAB_HOME"] = str(tmp_path_factory.mktemp("lab"))
    yield
    if before is None:
        del os.environ["LAB_HOME"]
    else:
        os.environ["LAB_HOME"] = before


@pytest.fixture
def model(request: pytest.FixtureRequest) -> Iterator[Model]:
    """A model of this test's own, empty."""
    made = Model("t-" + request.node.name.replace("_", "-")[:30].strip("-["))
    yield made
    made.destroy()
    assert sandbox.leftovers(made.dir) == []


@pytest.fixture(scope="module")
def shared() -> Iterator[Model]:
    """A model with three units of the probe charm, for tests that leave it as it was."""
    made = Model("shared")
    made.destroy()
    made.deploy(PROBE, units=3, resources={"one-image": "/", "text": str(PROBE / "config.yaml")})
    made.wait_idle(IDLE_S)
    yield made
    made.destroy()
    assert sandbox.leftovers(made.dir) == []


class Recorder:
    """What ran since it was made."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.start = len(model.hooks())

    def names(self, unit: str) -> list[str]:
        return [h.name for h in self.model.hooks(self.start) if h.unit == unit]

    def wait(self, unit: str, name: str, times: int = 1, timeout_s: float = 20.0) -> None:
        """Wait until a hook has run so often."""
        self.model.wait(
            lambda _: self.names(unit).count(name) >= times, timeout_s, f"{unit} {name}"
        )

    def settled(self, unit: str) -> list[str]:
        self.model.wait_idle(IDLE_S, hold_s=0.5)
        return self.names(unit)


def on_hooks(model: Model, **commands: str) -> None:
    """Let hooks run shell commands; ``_`` in a hook's name stands for ``-``."""
    hooks = {name.replace("_", "-"): command for name, command in commands.items()}
    model.config("probe", {"hooks": json.dumps(hooks)})
    model.wait_idle(IDLE_S, hold_s=0.3)


def sh(model: Model, unit: str, command: str) -> str:
    """Run a command with the hook tools, in an action of the charm."""
    results = model.run(unit, "sh", {"command": command}).results
    assert results["code"] == "0", results
    return results.get("out", "")


def python(model: Model, unit: str, code: str) -> object:
    """Run Python code against ops, in an action of the charm, and return its ``result``."""
    result = model.run(unit, "python", {"code": code})
    assert result.status == "completed", (result, model.log()[-20:])
    return json.loads(result.results["result"])


def agent_of(status: dict, unit: str) -> str:
    return status["applications"]["probe"]["units"][unit]["agent"]["current"]


def leader_of(status: dict) -> str:
    units = status["applications"]["probe"]["units"]
    return next(name for name, unit in units.items() if unit["leader"])


def file_of(model: Model, unit: str, path: str) -> str:
    return model.exec(unit, "charm", ["cat", path]).stdout


# Events.


def test_the_first_events_of_a_deploy(shared: Model):
    for unit in ("probe/0", "probe/1"):
        names = [h.name for h in shared.hooks() if h.unit == unit]
        once = [name for name in names if not name.startswith("peers-") and "pebble" not in name]
        leader = ["leader-elected"] if unit == "probe/0" else []
        start = ["install", *leader, "data-storage-attached", "config-changed", "start"]
        assert once[: len(start)] == start
        assert names[1] == "peers-relation-created"
        assert {"one-pebble-ready", "two-pebble-ready"} <= set(names)
        assert names.index("start") == names.index("config-changed") + 1
        assert names.count("peers-relation-joined") == 2


def test_hooks_are_recorded_with_their_costs(shared: Model):
    install = next(h for h in shared.hooks() if h.name == "install")
    assert install.rc == 0 and 0.02 < install.cpu_s < 5 and install.wall_s > 0.02
    assert install.tools == {"config-get": 1}


def test_the_environment_of_a_hook_and_of_an_action(shared: Model):
    env = dict(line.split("=", 1) for line in sh(shared, "probe/1", "env").splitlines())
    assert "HOME" not in env
    assert env["JUJU_HOOK_NAME"] == "" and env["JUJU_DISPATCH_PATH"] == "actions/sh"
    assert env["JUJU_CHARM_DIR"] == "/var/lib/juju/agents/unit-probe-1/charm"
    assert env["JUJU_UNIT_NAME"] == "probe/1" and env["JUJU_MODEL_NAME"] == "shared"
    assert env["PATH"].startswith("/var/lib/juju/tools/unit-probe-1:")
    on_hooks(shared, update_status="env > /tmp/env; pwd >> /tmp/env")
    seen = Recorder(shared)
    shared.update_status("probe/1")
    seen.wait("probe/1", "update-status")
    text = file_of(shared, "probe/1", "/tmp/env")
    assert "JUJU_HOOK_NAME=update-status\n" in text
    assert "JUJU_DISPATCH_PATH=hooks/update-status\n" in text
    assert text.endswith("/var/lib/juju/agents/unit-probe-1/charm\n")


def test_ops_sees_the_model(shared: Model):
    found = python(
        shared,
        "probe/0",
        "\n".join(
            [
                "relation = charm.model.get_relation('peers')",
                "binding = charm.model.get_binding('peers').network",
                "result = {",
                " 'units': sorted(u.name for u in relation.units),",
                " 'leader': charm.unit.is_leader(),",
                " 'planned': charm.app.planned_units(),",
                " 'bind': str(binding.bind_address),",
                " 'storage': str(charm.model.storages['data'][0].location),",
                " 'text': charm.model.resources.fetch('text').read_text()[:8],",
                " 'image': charm.model.resources.fetch('one-image').name,",
                " 'connect': [c.can_connect() for c in charm.unit.containers.values()],",
                " 'status': charm.unit.status.name,",
                " 'secret': None,",
                "}",
                "charm.unit.set_workload_version('1.2')",
                "charm.unit.set_ports(80)",
                "try: charm.model.get_secret(label='nope')",
                "except ops.SecretNotFoundError: result['secret'] = 'not found'",
            ]
        ),
    )
    unit = shared.status()["applications"]["probe"]["units"]["probe/0"]
    assert found == {
        "units": ["probe/1", "probe/2"],
        "leader": True,
        "planned": 3,
        "bind": unit["address"],
        "storage": "/srv/data",
        "text": "options:",
        "image": "content.yaml",
        "connect": [True, True],
        "status": "waiting",
        "secret": "not found",
    }
    assert unit["version"] == "1.2"
    assert sh(shared, "probe/0", "opened-ports") == "80/tcp\n"


def test_ops_handles_every_hook_of_a_new_pod(shared: Model):
    on_hooks(shared, ops="")
    seen = Recorder(shared)
    shared.kill_pod("probe/2", graceful=True)
    assert len(seen.settled("probe/2")) == 6
    assert {h.rc for h in shared.hooks(seen.start)} == {0}
    text = "\n".join(shared.log())
    for event in ("stop", "upgrade_charm", "config_changed", "start", "one_pebble_ready"):
        assert f"unit.probe/2.juju-log Emitting Juju event {event}." in text
    on_hooks(shared)


def test_ops_secrets_go_from_leader_to_follower(shared: Model):
    seen = Recorder(shared)
    secret = python(
        shared,
        "probe/0",
        "s = charm.app.add_secret({'token': 'one'}, label='pair'); result = s.id",
    )
    read = "result = charm.model.get_secret(label='pair').get_content()"
    assert python(shared, "probe/1", read) == {"token": "one"}
    change = "charm.model.get_secret(label='pair').set_content({'token': 'two'}); result = 0"
    python(shared, "probe/0", change)
    seen.wait("probe/1", "secret-changed")
    assert python(shared, "probe/1", read) == {"token": "one"}
    refresh = "result = charm.model.get_secret(label='pair').get_content(refresh=True)"
    assert python(shared, "probe/1", refresh) == {"token": "two"}
    # The leader has read it too, as ops does when it gets a secret by label, and keeps the first
    # revision in use until it refreshes as well.
    assert python(shared, "probe/0", refresh) == {"token": "two"}
    seen.wait("probe/0", "secret-remove")
    (found,) = shared.secrets("probe").values()
    assert found["latest"] == 2 and found["owner"] == "probe"
    python(
        shared,
        "probe/0",
        "charm.model.get_secret(label='pair').remove_all_revisions(); result = 0",
    )
    assert shared.secrets("probe") == {} and str(secret).startswith("secret:")


def test_a_hook_that_fails_keeps_nothing_and_is_retried(shared: Model):
    write = (
        "relation-set -r $(relation-ids peers) k=v; status-set blocked 'as it was'; "
        "test -e /srv/data/go"
    )
    seen = Recorder(shared)
    shared.config("probe", {"hooks": json.dumps({"update-status": write})})
    shared.wait_idle(IDLE_S)
    shared.update_status("probe/2")
    status = shared.wait(lambda s: agent_of(s, "probe/2") == "error", 20)
    unit = status["applications"]["probe"]["units"]["probe/2"]
    assert unit["agent"]["message"] == 'hook failed: "update-status"'
    assert unit["workload"] == {"current": "blocked", "message": "as it was"}
    assert "k" not in shared.databags("probe")["peers:0"]["probe/2"]
    with pytest.raises(LabTimeout, match="idle units"):
        shared.wait_idle(0.2)
    # Actions run between a failure and its retry.
    assert sh(shared, "probe/2", "touch /srv/data/go; echo done") == "done\n"
    shared.resolved("probe/2")
    shared.wait_idle(IDLE_S)
    assert shared.databags("probe")["peers:0"]["probe/2"]["k"] == "v"
    assert seen.names("probe/2").count("update-status") == 2
    assert seen.names("probe/0").count("peers-relation-changed") == 1
    on_hooks(shared)


def test_a_failed_hook_is_run_again_by_itself(shared: Model):
    once = "test -e /tmp/failed || { touch /tmp/failed; exit 1; }"
    on_hooks(shared, update_status=once)
    seen = Recorder(shared)
    begin = time.monotonic()
    shared.update_status("probe/1")
    seen.wait("probe/1", "update-status", 2)
    assert 5 <= time.monotonic() - begin < 15
    assert [h.rc for h in shared.hooks(seen.start) if h.name == "update-status"] == [1, 0]
    on_hooks(shared)


def test_a_killed_dispatch_is_queued_again(shared: Model):
    once = "test -e /tmp/killed || { touch /tmp/killed; kill -9 $PPID; sleep 60; }"
    on_hooks(shared, update_status=once)
    seen = Recorder(shared)
    shared.update_status("probe/1")
    seen.wait("probe/1", "update-status", 2)
    assert [h.rc for h in shared.hooks(seen.start)] == [-9, 0]
    on_hooks(shared)


def test_actions_fail_without_an_error_of_the_unit(shared: Model):
    failed = shared.run("probe/0", "python", {"code": "event.fail('no'); result = 1"})
    assert (failed.status, failed.message) == ("failed", "no")
    crashed = shared.run("probe/0", "python", {"code": "1 / 0"})
    assert crashed.status == "failed" and "ZeroDivisionError" in crashed.results["stderr"]
    logged = shared.run("probe/0", "python", {"code": "event.log('half'); result = 1"})
    assert logged.log == ["half"]
    with pytest.raises(LabError, match="not defined"):
        shared.run("probe/0", "nope")
    with pytest.raises(LabError, match="is missing"):
        shared.run("probe/0", "sh")
    shared.wait_idle(IDLE_S)


def test_units_of_one_model_run_hooks_side_by_side(shared: Model):
    on_hooks(shared, update_status="sleep 1")
    seen = Recorder(shared)
    for number in range(3):
        shared.update_status(f"probe/{number}")
    for number in range(3):
        seen.wait(f"probe/{number}", "update-status")
    runs = [h for h in shared.hooks(seen.start) if h.name == "update-status"]
    starts = [h.started for h in runs]
    ends = [h.started + h.wall_s for h in runs]
    assert max(starts) < min(ends)
    on_hooks(shared)


# Pebble.


def test_a_notice_becomes_a_hook_at_once(shared: Model):
    command = "echo $JUJU_WORKLOAD_NAME $JUJU_NOTICE_TYPE $JUJU_NOTICE_KEY >> /tmp/notice"
    on_hooks(shared, one_pebble_custom_notice=command)
    seen = Recorder(shared)
    begin = time.time()
    shared.exec("probe/0", "one", [PEBBLE, "notify", "example.com/a"])
    seen.wait("probe/0", "one-pebble-custom-notice")
    assert shared.hooks(seen.start)[0].started - begin < 1.0
    assert file_of(shared, "probe/0", "/tmp/notice") == "one custom example.com/a\n"
    shared.exec("probe/0", "one", [PEBBLE, "notify", "example.com/a"])
    seen.wait("probe/0", "one-pebble-custom-notice", 2)
    on_hooks(shared)


def test_repeats_during_a_hook_become_one_more_event(shared: Model):
    on_hooks(shared, one_pebble_custom_notice="sleep 1.5")
    seen = Recorder(shared)
    for _ in range(5):
        shared.exec("probe/0", "one", [PEBBLE, "notify", "example.com/b"])
        time.sleep(0.05)
    assert seen.settled("probe/0").count("one-pebble-custom-notice") == 2
    on_hooks(shared)


def test_a_check_that_fails_and_recovers_gives_two_events(shared: Model):
    layer = {
        "checks": {
            "up": {
                "override": "replace",
                "period": "200ms",
                "timeout": "100ms",
                "threshold": 2,
                "exec": {"command": "test -e /tmp/up"},
            }
        }
    }
    seen = Recorder(shared)
    shared.exec("probe/1", "one", ["touch", "/tmp/up"])
    code = f"charm.unit.get_container('one').add_layer('c', {layer!r}, combine=True); result = 0"
    python(shared, "probe/1", code)
    shared.exec("probe/1", "one", ["rm", "/tmp/up"])
    seen.wait("probe/1", "one-pebble-check-failed")
    shared.exec("probe/1", "one", ["touch", "/tmp/up"])
    seen.wait("probe/1", "one-pebble-check-recovered")


def test_a_container_that_restarts_is_ready_again_and_nothing_else_runs(shared: Model):
    shared.exec("probe/1", "two", ["touch", "/tmp/gone"])
    seen = Recorder(shared)
    shared.kill_process("probe/1", "two", "pebble run")
    seen.wait("probe/1", "two-pebble-ready")
    assert seen.settled("probe/1") == ["two-pebble-ready"]
    assert shared.exec("probe/1", "two", ["ls", "/tmp"]).stdout == ""


def test_an_agent_that_restarts_starts_and_replays_everything(shared: Model):
    shared.exec("probe/2", "one", [PEBBLE, "notify", "example.com/c"])
    shared.wait_idle(IDLE_S)
    seen = Recorder(shared)
    shared.kill_process("probe/2", "charm", "lab-init")
    seen.wait("probe/2", "one-pebble-custom-notice")
    names = seen.settled("probe/2")
    assert names[0] == "start" and "upgrade-charm" not in names
    assert sorted(names[1:]) == [
        "one-pebble-custom-notice",
        "one-pebble-ready",
        "two-pebble-ready",
    ]


# Pods.


def test_a_killed_pod_comes_back_new_with_its_storage(shared: Model):
    unit = "probe/1"
    before = shared.status()["applications"]["probe"]["units"][unit]["address"]
    sh(shared, unit, "touch /srv/data/kept charm-file /tmp/pod-file")
    seen = Recorder(shared)
    shared.kill_pod(unit)
    names = seen.settled(unit)
    assert names[:3] == ["upgrade-charm", "config-changed", "start"]
    assert sorted(names[3:]) == ["one-pebble-ready", "two-pebble-ready"]
    assert seen.names("probe/0") == []
    assert shared.status()["applications"]["probe"]["units"][unit]["address"] != before
    assert "kept" in shared.exec(unit, "one", ["ls", "/srv/data"]).stdout
    found = sh(shared, unit, "ls /srv/data /tmp .")
    assert "kept" in found and "charm-file" not in found and "pod-file" not in found


def test_a_deleted_pod_runs_stop_first(shared: Model):
    seen = Recorder(shared)
    shared.kill_pod("probe/1", graceful=True)
    names = seen.settled("probe/1")
    assert names[:4] == ["stop", "upgrade-charm", "config-changed", "start"]


def test_a_hook_that_a_killed_pod_cuts_off_is_run_again_first(shared: Model):
    on_hooks(
        shared, update_status="test -e /srv/data/second || { touch /srv/data/second; sleep 60; }"
    )
    seen = Recorder(shared)
    shared.update_status("probe/2")
    shared.wait(
        lambda _: "second" in shared.exec("probe/2", "one", ["ls", "/srv/data"]).stdout, 20
    )
    shared.kill_pod("probe/2")
    names = seen.settled("probe/2")
    assert names[:3] == ["update-status", "update-status", "start"]
    assert "upgrade-charm" not in names
    on_hooks(shared)


def test_names_follow_the_pods(shared: Model):
    host = "probe-1.probe-endpoints"
    resolve = ["python3", "-c", f"import socket; print(socket.gethostbyname({host!r}))"]

    def address() -> str:
        return shared.status()["applications"]["probe"]["units"]["probe/1"]["address"]

    assert shared.exec("probe/0", "one", resolve).stdout.strip() == address()
    shared.kill_pod("probe/1", hold_s=2.0)
    gone = shared.exec("probe/0", "one", resolve)
    assert gone.returncode != 0
    shared.wait_idle(IDLE_S)
    old = address()
    shared.settings({"dns_vanish_s": 30})
    shared.kill_pod("probe/1", hold_s=2.0)
    assert shared.exec("probe/0", "one", resolve).stdout.strip() == old
    shared.settings({"dns_vanish_s": 0})
    shared.wait_idle(IDLE_S)
    assert address() != old
    assert shared.exec("probe/0", "one", resolve).stdout.strip() == address()
    spawned = shared.spawn(resolve, stdout=subprocess.PIPE, text=True)
    assert spawned.communicate()[0].strip() == address()


def test_a_leader_stays_one_until_its_hook_has_ended(shared: Model):
    leader = leader_of(shared.status())
    other = "probe/1" if leader == "probe/0" else "probe/0"
    on_hooks(shared, update_status="sleep 1.5; test $(is-leader) = True")
    shared.update_status(leader)
    shared.wait(lambda s: agent_of(s, leader) == "executing", 10)
    shared.elect(other)
    assert leader_of(shared.status()) == other
    last = [record for record in shared.hooks() if record.unit == leader][-1]
    assert (last.name, last.rc) == ("update-status", 0)
    shared.elect(leader)
    on_hooks(shared)


def test_a_cut_unit_loses_its_controller_and_starts_again_when_healed(shared: Model):
    on_hooks(shared, update_status="sleep 1.5; is-leader")
    seen = Recorder(shared)
    shared.update_status("probe/2")
    shared.wait(
        lambda s: (
            s["applications"]["probe"]["units"]["probe/2"]["agent"]["current"] == "executing"
        ),
        10,
    )
    shared.cut("probe/2")
    seen.wait("probe/2", "update-status")
    assert agent_of(shared.status(), "probe/2") == "lost"
    assert [record.cut_off for record in shared.hooks()][-1]
    shared.config("probe", {"number": 5})
    seen.wait("probe/0", "config-changed")
    assert seen.names("probe/2") == ["update-status"]
    shared.heal("probe/2")
    names = seen.settled("probe/2")
    assert names[:3] == ["update-status", "update-status", "start"]
    assert "config-changed" in names and "one-pebble-ready" in names
    on_hooks(shared)


def test_a_frozen_pod_runs_nothing_until_it_is_thawed(shared: Model):
    seen = Recorder(shared)
    shared.freeze("probe/2")
    shared.config("probe", {"number": 6})
    seen.wait("probe/0", "config-changed")
    time.sleep(0.5)
    assert seen.names("probe/2") == []
    shared.thaw("probe/2")
    assert seen.settled("probe/2") == ["config-changed"]


# Growing, shrinking, and the rest of a model's life.


@pytest.mark.parametrize("departed", ["early", "late", "never"])
def test_removing_units_by_each_switch(model: Model, departed: str):
    model.deploy(PROBE, units=3, settings={"departed": departed, "leavers": "lowest"})
    model.wait_idle(IDLE_S)
    sh(model, "probe/0", "echo old > /srv/data/file")
    seen = Recorder(model)
    assert model.remove_unit("probe", 2) == ["probe/0", "probe/1"]
    model.wait_idle(IDLE_S, hold_s=1.5)
    left = "probe/2"
    assert list(model.status()["applications"]["probe"]["units"]) == [left]
    for leaver in ("probe/0", "probe/1"):
        names = seen.names(leaver)
        assert names[0] == "data-storage-detaching" and names[-2:] == ["stop", "remove"]
        assert "peers-relation-broken" not in names
    ended = {(h.unit, h.name): h.started + h.wall_s for h in model.hooks(seen.start)}
    departures = [h for h in model.hooks(seen.start) if h.unit == left and "departed" in h.name]
    assert len(departures) == (0 if departed == "never" else 2)
    removed = max(ended[(name, "remove")] for name in ("probe/0", "probe/1"))
    for hook in departures:
        assert (hook.started < removed) == (departed == "early")
    listed = sh(model, left, "relation-list -r $(relation-ids peers)").split()
    assert listed == (["probe/0", "probe/1"] if departed == "never" else [])
    assert seen.names(left).count("leader-elected") == 1
    # The same ordinal comes back as a new unit that finds the old data.
    model.add_unit("probe")
    model.wait_idle(IDLE_S)
    assert model.exec("probe/0", "one", ["cat", "/srv/data/file"]).stdout == "old\n"


def test_a_failing_hook_holds_every_pod_of_a_scale_down(model: Model):
    hooks = {"remove": "test $JUJU_UNIT_NAME != probe/1 || test -e /srv/data/go"}
    model.deploy(PROBE, units=2, config={"hooks": json.dumps(hooks)})
    model.wait_idle(IDLE_S)
    seen = Recorder(model)
    model.remove_unit("probe", 2)
    seen.wait("probe/1", "remove")
    seen.wait("probe/0", "remove")
    assert model.exec("probe/0", "one", ["true"]).returncode == 0
    model.exec("probe/1", "one", ["touch", "/srv/data/go"])
    model.resolved("probe/1")
    model.wait(lambda s: not s["applications"]["probe"]["units"], 30)
    assert model.status()["applications"]["probe"]["scale"] == 0


def test_a_leader_that_is_gone_is_replaced_after_its_lease(model: Model):
    model.deploy(PROBE, units=2, settings={"lease_s": 4})
    model.wait_idle(IDLE_S)
    seen = Recorder(model)
    begin = time.monotonic()
    model.kill_pod("probe/0", hold_s=8)
    seen.wait("probe/1", "leader-elected")
    assert 1.5 <= time.monotonic() - begin < 7
    model.wait_idle(IDLE_S)
    assert "leader-elected" not in seen.names("probe/0")
    assert sh(model, "probe/0", "is-leader") == "False\n"
    model.elect("probe/0")
    seen.wait("probe/0", "leader-elected")
    assert sh(model, "probe/1", "is-leader") == "False\n"


def test_a_refresh_rolls_the_pods_from_the_top(model: Model, tmp_path: Path):
    model.deploy(PROBE, units=2)
    model.wait_idle(IDLE_S)
    changed = tmp_path / "changed"
    subprocess.run(["cp", "-r", str(PROBE), str(changed)], check=True)
    (changed / "version").write_text("two\n", encoding="utf-8")
    seen = Recorder(model)
    model.refresh("probe", changed)
    model.wait_idle(IDLE_S)
    for unit in ("probe/0", "probe/1"):
        names = seen.names(unit)
        assert names[:4] == ["stop", "upgrade-charm", "config-changed", "start"]
        assert sh(model, unit, "cat version") == "two\n"
    times = {(h.unit, h.name): h.started for h in model.hooks(seen.start)}
    assert times[("probe/1", "start")] < times[("probe/0", "stop")]
    model.attach_resource("probe", "text", str(changed / "version"))
    model.wait_idle(IDLE_S)
    assert sh(model, "probe/1", "cat $(resource-get text)") == "two\n"


def test_two_applications_are_related_and_parted(model: Model):
    model.deploy(PROBE, app="probe")
    model.deploy(PROBE, app="other")
    model.wait_idle(IDLE_S)
    assert model.integrate("probe:downstream", "other:upstream")
    model.wait_idle(IDLE_S)
    grant = "\n".join(
        [
            "secret = charm.app.add_secret({'token': 'abc'})",
            "relation = charm.model.get_relation('downstream')",
            "secret.grant(relation)",
            "relation.data[charm.app]['secret'] = secret.id",
            "result = relation.name",
        ]
    )
    assert python(model, "probe/0", grant) == "downstream"
    model.wait_idle(IDLE_S)
    read = "\n".join(
        [
            "relation = charm.model.get_relation('upstream')",
            "id = relation.data[relation.app]['secret']",
            "result = charm.model.get_secret(id=id).get_content()",
        ]
    )
    assert python(model, "other/0", read) == {"token": "abc"}
    seen = Recorder(model)
    model.remove_relation("probe", "other")
    assert seen.settled("other/0") == ["upstream-relation-departed", "upstream-relation-broken"]
    model.remove_application("other")
    model.wait(lambda s: "other" not in s["applications"], 30)
    assert model.exec("probe/0", "one", ["true"]).returncode == 0


def test_a_full_disk_refuses_writes_until_it_is_freed(model: Model):
    model.deploy(PROBE, settings={"storage_mb": 4})
    model.wait_idle(IDLE_S)
    write = ["sh", "-c", "echo x > /srv/data/new"]
    assert model.fill_disk("probe/0", "data") > 3 << 20
    assert model.exec("probe/0", "one", write).returncode != 0
    model.free_disk("probe/0", "data")
    assert model.exec("probe/0", "one", write).returncode == 0


def test_an_emptied_disk_is_a_new_volume(model: Model):
    model.deploy(PROBE)
    model.wait_idle(IDLE_S)
    make = "mkdir -p /srv/data/a/b && touch /srv/data/a/b/c /srv/data/.hidden"
    assert model.exec("probe/0", "one", ["sh", "-c", make]).returncode == 0
    model.empty_disk("probe/0", "data")
    assert model.exec("probe/0", "one", ["ls", "-A", "/srv/data"]).stdout.split() == ["lost+found"]


def test_a_process_beside_a_unit_is_cut_off_with_it(model: Model):
    model.deploy(PROBE, units=2)
    model.wait_idle(IDLE_S)
    units = model.status()["applications"]["probe"]["units"]
    own, other = (units[f"probe/{n}"]["address"] for n in (0, 1))
    ask = (
        "import socket, sys; socket.create_connection((sys.argv[1], 38813), 1).close(); "
        "print(socket.create_connection((sys.argv[1], 38813), 1).getsockname()[0])"
    )

    def reach(address: str) -> str:
        process = model.spawn(
            ["python3", "-c", ask, address],
            beside="probe/0",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return process.communicate()[0].strip()

    assert reach(own) == own
    assert reach(other) == own
    model.cut("probe/0")
    assert reach(own) == own
    assert reach(other) == ""
    model.heal("probe/0")
    assert reach(other) == own


def test_what_containers_print_outlives_their_pods(model: Model):
    model.deploy(PROBE)
    model.wait_idle(IDLE_S)
    log = model.dir / "logs" / "probe-0" / "one.log"
    first = log.read_bytes()
    assert first
    model.kill_pod("probe/0")
    model.wait_idle(IDLE_S)
    both = log.read_bytes()
    assert both.startswith(first)
    assert len(both) > len(first)


def test_destroy_leaves_nothing_also_after_the_controller_was_killed(model: Model):
    model.deploy(PROBE, units=2)
    model.wait_idle(IDLE_S)
    spawned = model.spawn(["sleep", "1000"])
    everything = sandbox.leftovers(model.dir)
    assert sum("pebble run" in line for line in everything) == 4
    controllers = [
        int(line.split()[1].rstrip(":"))
        for line in everything
        if line.startswith("process") and "lab.controller" in line and "sandbox.py" not in line
    ]
    assert len(controllers) == 1
    os.kill(controllers[0], signal.SIGKILL)
    # The kernel ends all processes and namespaces by itself; only the files wait for destroy.
    deadline = time.monotonic() + 10
    while len(sandbox.leftovers(model.dir)) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sandbox.leftovers(model.dir) == [f"directory {model.dir.resolve()}"]
    assert spawned.wait(10) == -signal.SIGKILL
    with pytest.raises(LabError, match="does not run"):
        model.status()
    model.destroy()
    assert sandbox.leftovers(model.dir) == []
    model.destroy()


def test_destroy_ends_what_its_own_process_has_spawned(model: Model):
    model.deploy(PROBE)
    model.wait_idle(IDLE_S)
    spawned = model.spawn(["sleep", "1000"])
    model.destroy()
    assert spawned.poll() == -signal.SIGKILL
    assert sandbox.leftovers(model.dir) == []


def test_a_model_outlives_the_command_that_made_it(
    model: Model, capsys: pytest.CaptureFixture[str]
):
    command = [sys.executable, "-m", "lab", "-m", model.name]
    root = Path(__file__).resolve().parents[2]
    subprocess.run([*command, "deploy", str(PROBE), "-n", "2"], cwd=root, check=True)
    model.wait_idle(IDLE_S)

    def out(*argv: str, rc: int = 0) -> str:
        assert cli(["-m", model.name, *argv]) == rc
        return capsys.readouterr().out

    shown = out("status")
    assert "probe/0*" in shown and "idle" in shown and "Workload" in shown
    assert json.loads(out("status", "--format", "json"))["model"] == model.name
    assert out("exec", "probe/0", "one", "--", "echo", "hi") == "hi\n"
    assert out("exec", "probe/0", "one", "false", rc=1) == ""
    piped = subprocess.run(
        [*command, "exec", "-i", "probe/0", "one", "cat"],
        cwd=root,
        input="given",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert piped.stdout == "given"
    assert "out: |\n" in out("run", "probe/0", "sh", "command=env")
    assert "flag: false" in out("config", "probe")
    out("config", "probe", "flag=true")
    assert "flag: true" in out("config", "probe")
    assert 'ran "install" hook' in out("debug-log", "--replay", "--no-tail")
    assert out("add-unit", "probe") == "probe/2\n"
    model.wait_idle(IDLE_S)
    assert out("remove-unit", "probe") == "removing probe/2\n"
    assert out("kill", "probe/1", "--container", "one", "--process", "pebble run") == "1\n"
    model.wait_idle(IDLE_S)
    out("kill", "probe/1")
    model.wait_idle(IDLE_S)
    out("elect", "probe/1")
    model.wait_idle(IDLE_S)
    assert "probe/1*" in out("status")
    out("run", "probe/0", "nope", rc=1)
    out("deploy", "/nonexistent", rc=1)
    assert model.name in out("models").split()
    out("destroy")
    assert model.name not in out("models").split()
