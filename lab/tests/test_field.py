"""What the lab does as the field does: the profile, slow pods, rolling pods, memory."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import LabError, Model
from lab.model import PROFILES, ModelError, Settings
from lab.network import Network
from lab.pods import ContainerSpec, Pod, PodSpec
from lab.tests.probe import IDLE_S, PROBE, Recorder, lab_home, model, on_hooks, sh
from lab.tests.sandboxed import sandboxed

__all__ = ["lab_home", "model"]

ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def copy_of_probe(folder: Path, **changes: object) -> Path:
    """Return a copy of the probe charm whose metadata has other values under some keys."""
    changed = folder / "changed"
    shutil.copytree(PROBE, changed)
    meta = yaml.safe_load((changed / "metadata.yaml").read_text(encoding="utf-8"))
    (changed / "metadata.yaml").write_text(yaml.safe_dump({**meta, **changes}), encoding="utf-8")
    return changed


def metadata() -> dict:
    return yaml.safe_load((PROBE / "metadata.yaml").read_text(encoding="utf-8"))


# The profile.


def test_a_profile_sets_its_group_and_what_is_given_beside_it_wins():
    settings = Settings()
    settings.update({"storage_mb": "64", "profile": "field", "lease_s": 9})
    assert settings.pod_start_s == PROFILES["field"]["pod_start_s"]
    assert (settings.storage_mb, settings.lease_s) == (64, 9.0)


def test_without_a_profile_its_settings_have_their_defaults_again():
    settings = Settings()
    settings.update({"profile": "field", "lease_s": 9})
    settings.update({"profile": "none"})
    assert settings == Settings(lease_s=9.0)


def test_an_unknown_profile_is_refused_and_changes_nothing():
    settings = Settings()
    with pytest.raises(ModelError, match="profile"):
        settings.update({"profile": "moon"})
    assert settings == Settings()


# Pods.


def test_a_pod_takes_its_time_to_come_up(model: Model):
    model.deploy(PROBE, settings={"pod_start_s": 2})
    model.wait_idle(IDLE_S)
    killed = time.monotonic()
    seen = Recorder(model)
    model.kill_pod("probe/0")
    with pytest.raises(LabError, match="is not up"):
        model.exec("probe/0", "one", ["true"])
    seen.wait("probe/0", "start")
    assert time.monotonic() - killed > 2


def test_a_pod_counts_as_ready_before_its_first_hook(model: Model, tmp_path: Path):
    """As seen: unit 1 was told to stop two seconds before the first hook of the new unit 2."""
    model.deploy(PROBE, units=3, settings={"probe_s": 5})
    model.wait_idle(IDLE_S)
    on_hooks(model, upgrade_charm="sleep 4")
    seen = Recorder(model)
    model.refresh("probe", copy_of_probe(tmp_path))
    model.wait_idle(3 * IDLE_S)
    times = {(h.unit, h.name): h.started for h in model.hooks(seen.start)}
    assert times[("probe/1", "stop")] < times[("probe/2", "start")]


def test_no_pod_goes_before_all_above_it_are_ready(model: Model, tmp_path: Path):
    model.deploy(PROBE, units=3, settings={"probe_s": 1, "pod_start_s": 2})
    model.wait_idle(IDLE_S)
    on_hooks(model, upgrade_charm="sleep 6")
    seen = Recorder(model)
    model.refresh("probe", copy_of_probe(tmp_path))
    model.wait_idle(3 * IDLE_S)
    times = {(h.unit, h.name): h.started for h in model.hooks(seen.start)}
    # Neither of the two had come to its start when the first look found nothing against it.
    assert times[("probe/2", "start")] < times[("probe/0", "stop")]


def test_a_container_that_takes_too_much_loses_its_processes_and_files(model: Model):
    model.deploy(PROBE)
    model.wait_idle(IDLE_S)
    model.exec("probe/0", "one", ["sh", "-c", "echo x >/file; sleep 600 >/dev/null 2>&1 &"])
    seen = Recorder(model)
    model.oom("probe/0", "one")
    seen.wait("probe/0", "one-pebble-ready")
    assert model.exec("probe/0", "one", ["ls", "/file"]).returncode != 0
    assert model.exec("probe/0", "one", ["pgrep", "sleep"]).returncode == 1
    with pytest.raises(LabError, match="no workload container charm"):
        model.oom("probe/0", "charm")


@sandboxed
def test_memory_beyond_the_limit_kills_the_whole_container() -> None:
    spec = PodSpec(
        name="app-0",
        app="app",
        model="m",
        hosts=("app-0.endpoints",),
        containers=(ContainerSpec("one"), ContainerSpec("two", index=1)),
        charm_dir=Path(__file__).parent / "probe-charm",
        memory_mb=64,
    )
    pod = Pod(spec, Network("m"))
    deaths: list[str] = []
    pod.on_death(lambda name, _: deaths.append(name))
    pod.start()
    # By Pebble, as all that a charm starts.
    pebble = {**ENV, "PEBBLE_SOCKET": "/charm/container/pebble.socket"}
    greedy = ["/charm/bin/pebble", "exec", "tail", "/dev/zero"]
    assert pod.run("one", greedy, env=pebble, timeout_s=30).returncode != 0
    deadline = time.monotonic() + 10
    while not deaths and time.monotonic() < deadline:
        time.sleep(0.01)
    assert deaths == ["one"]
    pod.restart_container("one")
    assert pod.run("one", ["true"], env=ENV).returncode == 0
    pod.kill()


# A refresh.


@pytest.fixture
def related(model: Model) -> Iterator[Model]:
    model.deploy(PROBE, app="probe")
    model.deploy(PROBE, app="other")
    model.integrate("probe:downstream", "other:upstream")
    model.wait_idle(IDLE_S)
    yield model


def test_a_refresh_that_drops_an_endpoint_in_use_is_refused(related: Model, tmp_path: Path):
    provides = {n: spec for n, spec in metadata()["provides"].items() if n != "downstream"}
    charm = copy_of_probe(tmp_path, provides=provides)
    with pytest.raises(LabError, match="would break relation"):
        related.refresh("probe", charm)
    related.remove_relation("probe", "other")
    related.wait_idle(IDLE_S)
    related.refresh("probe", charm)
    related.wait_idle(IDLE_S)


def test_a_refresh_that_declares_a_storage_otherwise_is_refused(model: Model, tmp_path: Path):
    model.deploy(PROBE)
    model.wait_idle(IDLE_S)
    storage = metadata()["storage"]
    changed = {name: {**spec, "description": "other words"} for name, spec in storage.items()}
    with pytest.raises(LabError, match="does not support updating storage"):
        model.refresh("probe", copy_of_probe(tmp_path, storage=changed))


# What a unit has said.


def test_the_statuses_of_a_unit_are_remembered_when_it_has_left(model: Model):
    model.deploy(PROBE)
    model.wait_idle(IDLE_S)
    sh(model, "probe/0", "status-set waiting 'for a moment'; status-set active")
    model.remove_unit("probe")
    model.wait(lambda s: not s["applications"]["probe"]["units"], IDLE_S, "the unit to leave")
    assert {"current": "waiting", "message": "for a moment"} in model.status_log("probe/0")
