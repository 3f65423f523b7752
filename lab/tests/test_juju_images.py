"""Containers made from images: what they see, and how an image comes to be."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import LabError, Model, images, sandbox
from lab.client import cache

PROBE = Path(__file__).resolve().parent / "probe-charm"
PEBBLE = "/charm/bin/pebble"
IDLE_S = 40


@pytest.fixture(scope="module", autouse=True)
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep these models away from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(tmp_path_factory.mktemp("images")))
        yield


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    """A model with one unit, both of whose workloads are made from one image."""
    made = Model("images")
    made.deploy(PROBE, resources={"one-image": "charmed-redis"})
    made.wait_idle(IDLE_S)
    yield made
    made.destroy()
    assert sandbox.leftovers(made.dir) == []


def sh(model: Model, container: str, command: str) -> str:
    done = model.exec("probe/0", container, ["sh", "-c", command])
    return done.stdout.strip() if done.returncode == 0 else f"exit {done.returncode}"


def services(model: Model, container: str) -> dict[str, list[str]]:
    done = model.exec("probe/0", container, [PEBBLE, "services"])
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    return {name: [startup, current] for name, startup, current, *_ in lines}


def test_a_container_has_the_programs_of_its_image_alone(model: Model):
    for absent in ("ip", "python3", "strace", "redict-server"):
        assert sh(model, "one", f"command -v {absent}") == "exit 127", absent
    for there in ("sh", "grep", "sed", "awk", "getent", "timeout", "setpriv", "redis-server"):
        assert sh(model, "one", f"command -v {there}") == f"/usr/bin/{there}"
    assert "v=7.0." in sh(model, "one", "redis-server --version")
    assert sh(model, "one", "/bin/redis_exporter --version >/dev/null 2>&1; echo $?") == "0"
    # The charm's own container is made from something else.
    assert sh(model, "charm", "command -v python3") != "exit 127"


def test_a_container_has_the_users_of_its_image(model: Model):
    number = images.image("charmed-redis", cache()).owned[0].uid
    if sandbox.owns_machine() and os.geteuid() == 0:
        assert number == 584788
    assert sh(model, "one", "id -u redis; id -g redis").split() == [str(number)] * 2
    said = sh(model, "one", "stat -c '%u %g %a' /var/lib/redis /etc")
    assert said.splitlines() == [f"{number} {number} 755", "0 0 755"]
    assert sh(model, "one", "getent passwd postgres prometheus") == "exit 2"


def test_the_services_of_the_image_are_in_the_plan_and_none_runs(model: Model):
    for container in ("one", "two"):
        assert services(model, container) == {
            "redis": ["disabled", "inactive"],
            "redis_exporter": ["disabled", "inactive"],
        }


def test_containers_of_one_image_have_roots_of_their_own(model: Model):
    assert sh(model, "one", "rm /usr/bin/awk && echo mine >/etc/mine && cat /etc/mine") == "mine"
    assert sh(model, "two", "cat /etc/mine") == "exit 1"
    assert sh(model, "two", "command -v awk") == "/usr/bin/awk"
    root = Path(images.image("charmed-redis", cache()).root)
    assert not (root / "etc/mine").exists()
    assert (root / "usr/bin/awk").is_symlink()


def test_a_container_that_died_starts_from_its_image_again(model: Model):
    sh(model, "two", "touch /etc/gone")
    model.kill_process("probe/0", "two", "pebble run")

    def is_new(_: object) -> bool:
        try:
            return sh(model, "two", "ls /etc/gone; true") == ""
        except LabError:
            # In the moment between the two there is no container to ask.
            return False

    model.wait(is_new, 20, "a new container")
    assert services(model, "two")["redis"] == ["disabled", "inactive"]


def test_the_charm_hears_which_image_it_is(model: Model):
    found = model.run("probe/0", "sh", {"command": "cat $(resource-get one-image)"}).results
    assert found["out"] == "registrypath: charmed-redis\n"


def test_a_directory_is_an_image_and_need_hold_nothing(model: Model, tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("app:x:1234:1234::/:/none\n")
    layers = tmp_path / "var/lib/pebble/default/layers"
    layers.mkdir(parents=True)
    layer = "services: {mine: {override: replace, startup: enabled, command: /mine}}\n"
    (layers / "001-mine.yaml").write_text(layer)
    model.attach_resource("probe", "one-image", str(tmp_path))
    model.wait_idle(IDLE_S)
    for container in ("one", "two"):
        # An enabled service is no running one: Juju's Pebble holds until it is told to start.
        assert services(model, container) == {"mine": ["enabled", "inactive"]}
        with pytest.raises(LabError, match="No such file or directory: 'sh'"):
            sh(model, container, "true")
    # What is mounted is nothing that the directory keeps.
    assert sorted(os.listdir(tmp_path)) == ["etc", "var"]
    model.attach_resource("probe", "one-image", "charmed-redis")
    model.wait_idle(IDLE_S)
    assert "v=7.0." in sh(model, "one", "redis-server --version")


def test_a_name_that_is_no_image_is_refused_before_anything_starts():
    model = Model("none")
    with pytest.raises(images.ImageError, match=r"no image 'nothing': .* charmed-redis, "):
        model.deploy(PROBE, resources={"one-image": "nothing"})
    model.destroy()


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("registry.example/canonical/charmed-redis:7.2.5-22.04-edge", "charmed-redis"),
        ("registry.example:5000/canonical/charmed-redis@sha256:00ff", "charmed-redis"),
        ("registry.example/canonical/charmed-redis:1@sha256:00ff", "charmed-redis"),
        ("canonical/charmed-redis", "charmed-redis"),
        ("registry.example/canonical/other:1", None),
        ("registry.example/other/charmed-redis", None),
    ],
)
def test_an_upstream_source_has_the_image_that_stands_for_it(reference: str, name: str | None):
    assert images.standing_for(reference) == name


def test_every_recipe_can_be_read():
    for name in images.names():
        assert images.recipe(name).name == name
    with pytest.raises(images.ImageError):
        images.recipe("../recipes/redis-8.0")


def test_those_who_want_one_image_at_once_make_it_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    making = itertools.count()

    def slowly(wanted: images.Recipe, scratch: Path, limited: bool) -> dict:
        next(making)
        (scratch / "root").mkdir()
        time.sleep(0.2)
        return {"env": {"A": "b"}, "owned": [], "packages": {}}

    monkeypatch.setattr(images, "_make", slowly)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: images.image("charmed-redis", tmp_path), range(4)))
    assert next(making) == 1
    assert len({image.root for image in found}) == 1
    assert found[0] == images.Image.from_json(json.loads(json.dumps(found[0].as_json())))
    assert found[0].env == {"A": "b"}


def test_what_fails_while_an_image_is_made_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv(images.MIRROR, f"file://{tmp_path}/nowhere")
    with pytest.raises(images.ImageError, match="charmed-redis could not be made"):
        images.image("charmed-redis", tmp_path / "cache")
    assert os.listdir(tmp_path / "cache/images") == ["charmed-redis.lock"]


def test_a_machine_without_a_mirror_of_debian_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho http://mirror.example/ubuntu/\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv(images.MIRROR, raising=False)
    with pytest.raises(images.ImageError, match=f"no mirror of Debian: set {images.MIRROR}"):
        images.image("charmed-redis", tmp_path / "cache")
