"""From a charm's directory to what a pod gets."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml
from charmcraft.charm_builder import CharmBuilder

from lab import bases
from lab.bases import BaseError
from lab.packing import PackingError, pack, python_packages, read_meta

PROBE = Path(__file__).parent / "probe-charm"
CODE = """\
#!/usr/bin/env python3
import os, sys
print(*sys.path[:3], os.environ['JUJU_DISPATCH_PATH'])
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A charm without packages, declared in charmcraft.yaml alone."""
    charm = tmp_path / "source"
    for name in ("src", "lib/charms", "tests", "docs", "src/__pycache__"):
        (charm / name).mkdir(parents=True)
    (charm / "src/charm.py").write_text(CODE, encoding="utf-8")
    (charm / "src/charm.py").chmod(0o755)
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
    env = {**os.environ, "JUJU_DISPATCH_PATH": "hooks/start"}
    said = subprocess.check_output([target / "dispatch"], cwd=target, env=env, text=True)
    assert said.split() == [
        *(str(target / name) for name in ("src", "lib", "venv")),
        "hooks/start",
    ]


def test_dispatch_is_what_charmcraft_writes(source: Path, tmp_path: Path):
    pack(source, tmp_path / "out", tmp_path / "cache")
    builder = CharmBuilder(source, tmp_path / "built", source / "src/charm.py")
    (tmp_path / "built").mkdir()
    builder.handle_dispatcher(tmp_path / "built/src/charm.py")
    written, expected = tmp_path / "out/dispatch", tmp_path / "built/dispatch"
    assert written.read_text() == expected.read_text()
    assert written.stat().st_mode == expected.stat().st_mode


def test_an_entry_point_that_cannot_be_executed_fails_as_in_the_field(
    source: Path, tmp_path: Path
):
    (source / "src/charm.py").chmod(0o644)
    pack(source, tmp_path / "out", tmp_path / "cache")
    done = subprocess.run([tmp_path / "out/dispatch"], cwd=tmp_path / "out", check=False)
    assert done.returncode == 126


def test_what_prime_does_not_name_is_not_packed(source: Path, tmp_path: Path):
    declared = yaml.safe_load((source / "charmcraft.yaml").read_text(encoding="utf-8"))
    declared["parts"]["charm"] = {"plugin": "charm", "prime": ["src", "docs"]}
    (source / "charmcraft.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    pack(source, tmp_path / "out", tmp_path / "cache")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"src", "docs", "dispatch", "metadata.yaml"} <= names and "lib" not in names


def test_a_base_has_its_python_and_packages_for_it(tmp_path: Path):
    try:
        home = bases.python_home("ubuntu@22.04", tmp_path)
    except BaseError as e:
        pytest.skip(str(e))
    code = "import sys; print('%d.%d' % sys.version_info[:2], sys.prefix == sys.base_prefix)"
    said = subprocess.check_output([home / "bin/python3", "-c", code], text=True)
    assert said.split() == ["3.10", "False"]
    packages = python_packages("markupsafe==3.0.4\n", tmp_path, "ubuntu@22.04")
    assert list(packages.glob("markupsafe/*.cpython-310-*.so"))


def test_an_unknown_base_is_refused(source: Path, tmp_path: Path):
    with pytest.raises(PackingError, match="unknown base 'ubuntu@4.10'"):
        pack(source, tmp_path / "out", tmp_path / "cache", base="ubuntu@4.10")


def test_a_packed_charm_names_its_base(tmp_path: Path):
    assert bases.base_of(tmp_path) == bases.OWN
    text = "bases: [{name: ubuntu, channel: '24.04', architectures: [amd64]}]"
    (tmp_path / "manifest.yaml").write_text(text, encoding="utf-8")
    assert bases.base_of(tmp_path) == "ubuntu@24.04"


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
    first = python_packages("", tmp_path)
    stamp = os.stat(first).st_mtime_ns
    assert python_packages("", tmp_path) == first
    assert os.stat(first).st_mtime_ns == stamp
    assert list((tmp_path / "packages").iterdir()).count(first) == 1


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
