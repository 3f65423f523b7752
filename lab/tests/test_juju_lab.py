"""The whole lab with a charm that is no Redis: real pods, real dispatch, real hook tools."""

import json
import time

import pytest

from lab import LabError, LabTimeout, Model
from lab.tests.probe import (
    IDLE_S,
    PEBBLE,
    Recorder,
    agent_of,
    file_of,
    lab_home,
    on_hooks,
    python,
    sh,
    shared,
)

__all__ = ["lab_home", "shared"]

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
