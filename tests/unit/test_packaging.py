# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What `charmcraft pack` would say of the project files, without packing."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from charmcraft import charm_builder, const, parts
from charmcraft.models.metadata import CharmMetadataLegacy
from charmcraft.models.project import PlatformCharm

import foreign

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project() -> PlatformCharm:
    # As charmcraft starts: its own plugins known to craft-parts, the project's folder the current.
    parts.setup_parts()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return PlatformCharm.from_yaml_file(ROOT / "charmcraft.yaml")


@pytest.fixture(scope="module")
def charm_part(project: PlatformCharm) -> dict:
    return project.parts["charm"]


def test_charmcraft_accepts_the_project(project: PlatformCharm):
    assert project.type == "charm"
    assert project.name == "redis-k8s"


def test_charmcraft_accepts_the_metadata():
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text())
    assert CharmMetadataLegacy.unmarshal(metadata).name == "redis-k8s"


def test_it_is_packed_for_each_base_on_the_architecture_of_the_image(project: PlatformCharm):
    wanted = {f"{base}:amd64" for base in foreign.BASES.values()}
    built = {name: platform.build_for for name, platform in project.platforms.items() if platform}
    assert built == {name: [name] for name in wanted}
    assert project.base is None


def test_the_storage_is_that_of_the_published_charm():
    # Juju refuses a refresh with any difference here, a description even.
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text())
    published = {"database": {"type": "filesystem", "location": "/var/lib/redis"}}
    assert metadata["storage"] == published


def test_charmcraft_reads_the_options_and_the_actions(project: PlatformCharm):
    read: dict[str, Any] = project.marshal()
    options = yaml.safe_load((ROOT / "config.yaml").read_text())["options"]
    actions = yaml.safe_load((ROOT / "actions.yaml").read_text())
    assert set(read["config"]["options"]) == set(options)
    assert set(read["actions"]) == set(actions)
    assert set(actions) >= {
        "check-service",
        "get-initial-admin-password",
        "get-sentinel-password",
    }


def test_only_the_charm_is_packed(charm_part: dict):
    packed = set(charm_part["prime"])
    assert {"src", "templates", "venv", const.DISPATCH_FILENAME} <= packed
    assert packed.isdisjoint({"lab", "trials", "tests", "docs", ".venv", "scripts"})
    assert all("*" not in entry and not entry.startswith("-") for entry in packed)
    # craft-parts fails where one is missing.
    made_by_charmcraft = {const.DISPATCH_FILENAME, const.HOOKS_DIRNAME, const.VENV_DIRNAME}
    assert [e for e in packed - made_by_charmcraft if not (ROOT / e).exists()] == []


def test_the_entry_point_can_be_executed(charm_part: dict):
    # charmcraft's dispatch executes the file itself, and files keep the mode that git has.
    entry = charm_part["charm-entrypoint"]
    listed = subprocess.run(
        ["git", "ls-files", "--stage", entry], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert listed.stdout.split()[:1] == ["100755"]
    assert os.access(ROOT / entry, os.X_OK)


def test_every_requirement_has_an_exact_version():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    named = [line for line in lines if line.strip() and not line.startswith("#")]
    assert named
    assert [
        line for line in named if not re.match(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ;.*)?$", line)
    ] == []


def test_the_requirements_are_complete_and_come_as_wheels(charm_part: dict):
    names = charm_builder.get_requirements_file_package_names(ROOT / "requirements.txt")
    binary = charm_part["charm-binary-python-packages"]
    assert set(binary) == names
    charm_builder.validate_strict_dependencies(names, [], [], binary)


def test_development_uses_the_versions_that_the_charm_carries():
    def pins(path: str) -> set[str]:
        lines = (ROOT / path).read_text().splitlines()
        return {line.split(";")[0].strip() for line in lines if "==" in line}

    assert pins("requirements.txt") <= pins("requirements-dev.txt")
