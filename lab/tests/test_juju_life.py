"""The life of a model with a charm that is no Redis: pods, trouble, growing and shrinking."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import LabError, Model, sandbox
from lab.cli import main as cli
from lab.tests.probe import (
    IDLE_S,
    PROBE,
    Recorder,
    agent_of,
    lab_home,
    leader_of,
    model,
    on_hooks,
    python,
    sh,
    shared,
)

__all__ = ["lab_home", "model", "shared"]

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
    shared.kill_pod("probe/1", hold_s=10 * IDLE_S)
    assert shared.exec("probe/0", "one", resolve).stdout.strip() == old
    shared.settings({"dns_vanish_s": 0})
    shared.return_pod("probe/1")
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
