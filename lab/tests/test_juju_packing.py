"""From a charm's directory to what a pod gets."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from lab.packing import PackingError, pack, read_meta, virtual_environment

PROBE = Path(__file__).parent / "probe-charm"
CODE = "import os, sys; print(sys.prefix, os.environ['PYTHONPATH'])"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A charm without packages, declared in charmcraft.yaml alone."""
    charm = tmp_path / "source"
    for name in ("src", "lib/charms", "tests", "docs", "src/__pycache__"):
        (charm / name).mkdir(parents=True)
    (charm / "src/charm.py").write_text(CODE, encoding="utf-8")
    (charm / "src/__pycache__/charm.pyc").touch()
    declared = {
        "name": "small",
        "type": "charm",
        "parts": {"charm": {}},
        "containers": {"b": {}, "a": {"mounts": [{"storage": "s", "location": "/s"}]}},
        "storage": {"s": {"type": "filesystem"}},
        "config": {"options": {"o": {"type": "int", "default": 1}}},
        "actions": {"go": {}},
    }
    (charm / "charmcraft.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    return charm


def test_a_source_directory_is_packed_with_its_environment(source: Path, tmp_path: Path):
    target = tmp_path / "out" / "0"
    pack(source, target, tmp_path / "cache")
    names = {path.name for path in target.iterdir()}
    assert {"src", "lib", "venv", "dispatch", "metadata.yaml", "config.yaml"} <= names
    assert not names & {"tests", "docs"} and not (target / "src/__pycache__").exists()
    done = subprocess.run([target / "dispatch"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(target / "venv"), f"{target}/lib:{target}/src"]


def test_a_charmcraft_yaml_that_has_it_all_is_split(source: Path, tmp_path: Path):
    pack(source, tmp_path / "out", tmp_path / "cache")
    metadata = yaml.safe_load((tmp_path / "out/metadata.yaml").read_text(encoding="utf-8"))
    assert "parts" not in metadata and "config" not in metadata
    assert read_meta(tmp_path / "out") == read_meta(source)


def test_what_the_metadata_say(source: Path):
    meta = read_meta(source)
    assert list(meta.containers) == ["a", "b"]
    assert meta.containers["a"][0].location == "/s"
    assert meta.config["o"]["default"] == 1 and list(meta.actions) == ["go"]
    roles = {name: end.role for name, end in read_meta(PROBE).endpoints.items()}
    assert roles == {"peers": "peer", "downstream": "provider", "upstream": "requirer"}


def test_a_packed_charm_is_taken_as_it_is(source: Path, tmp_path: Path):
    packed = tmp_path / "packed"
    pack(source, packed, tmp_path / "cache")
    (packed / "dispatch").write_text("#!/bin/sh\necho own\n", encoding="utf-8")
    archive = tmp_path / "small.charm"
    with zipfile.ZipFile(archive, "w") as out:
        for name in ("dispatch", "metadata.yaml"):
            out.write(packed / name, name)
    for number, given in enumerate((packed, archive)):
        target = tmp_path / str(number)
        pack(given, target, tmp_path / "cache")
        assert subprocess.check_output([target / "dispatch"], text=True) == "own\n"


def test_an_environment_is_made_once_and_shared(tmp_path: Path):
    first = virtual_environment("", tmp_path)
    stamp = os.stat(first).st_mtime_ns
    assert virtual_environment("", tmp_path) == first
    assert os.stat(first).st_mtime_ns == stamp
    assert list((tmp_path / "venvs").iterdir()).count(first) == 1


def test_packages_that_cannot_be_installed_are_named(source: Path, tmp_path: Path):
    (source / "requirements.txt").write_text("./nothing-here\n", encoding="utf-8")
    with pytest.raises(PackingError, match="nothing-here"):
        pack(source, tmp_path / "out", tmp_path / "cache")
    assert not (tmp_path / "out").exists()


def test_what_is_no_charm_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "metadata.yaml").write_text("[", encoding="utf-8")
    for wrong in (tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(PackingError, match="is no charm"):
            pack(wrong, tmp_path / "out", tmp_path / "cache")
    with pytest.raises(PackingError, match="is no YAML"):
        read_meta(tmp_path)
