# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A clean checkout packed by charmcraft's own parts, builder and linters, for each base."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import craft_parts
import pytest
from charmcraft import linters, parts
from charmcraft.models.lint import LintResult
from charmcraft.models.project import PlatformCharm
from craft_parts.packages.base import DummyRepository
from packaging.requirements import Requirement

import foreign
from lab import bases
from lab.bases import BaseError

ROOT = Path(__file__).parents[2]
ADDED = ("metadata.yaml", "config.yaml", "actions.yaml")
"""What charmcraft puts beside what is primed, as it is."""
GLIBC = {"ubuntu@22.04": 35, "ubuntu@24.04": 39}
"""The second number of each base's version of the C library, on which wheels depend."""
MODULES = sorted(
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    for path in (ROOT / "src").rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git has of this tree, with the changes of the files that it knows."""
    target = tmp_path_factory.mktemp("checkout")
    named = subprocess.check_output(["git", "ls-files", "--cached", "-z"], cwd=ROOT, text=True)
    for name in filter(None, named.split("\0")):
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name, follow_symlinks=False)
    return target


class Packed:
    """What charmcraft makes of a checkout on a base; ``charm`` is what the file would hold."""

    def __init__(self, base: str, checkout: Path, work: Path):
        self.base = base
        self.python = bases.python_home(base, work / "python")
        self.charm = work / "prime"
        self._build(checkout, work)
        for name in ADDED:
            shutil.copy2(checkout / name, self.charm / name)

    def _build(self, checkout: Path, work: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(checkout)
            # The builder takes python3 from PATH, on the base the only one.
            patch.setenv("PATH", f"{bases.interpreter(self.base).parent}:{os.environ['PATH']}")
            parts.setup_parts()
            project = PlatformCharm.from_yaml_file(checkout / "charmcraft.yaml")
            # What a build installs of Debian packages is for packages without wheels.
            repository = "craft_parts.packages._get_repository_for_platform"
            with mock.patch(repository, return_value=DummyRepository):
                lifecycle = craft_parts.LifecycleManager(
                    {"parts": project.parts},
                    application_name="charmcraft",
                    cache_dir=work / "cache",
                    work_dir=work,
                    project_name=project.name,
                )
                actions = lifecycle.plan(craft_parts.Step.PRIME)
                with lifecycle.action_executor() as context:
                    context.execute(actions)

    def run(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the charm's directory, where python3 is that of the base."""
        path = f"{self.python / 'bin'}:/usr/bin:/bin"
        return subprocess.run(
            argv,
            cwd=self.charm,
            env={"PATH": path, **env},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module", params=sorted(foreign.BASES.values()))
def packed(
    request: pytest.FixtureRequest, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Packed:
    try:
        bases.interpreter(request.param)
    except BaseError as e:
        pytest.skip(str(e))
    return Packed(request.param, checkout, tmp_path_factory.mktemp("packed"))


def test_the_linters_of_charmcraft_find_no_fault(packed: Packed):
    results = {check.name: check.get_result(packed.charm) for check in _checkers()}
    bad = {LintResult.ERROR, LintResult.WARNING, LintResult.FATAL, LintResult.UNKNOWN}
    assert {name: r.text for name, r in results.items() if r.result in bad} == {}
    said = {name: result.result for name, result in results.items()}
    assert said["language"] == "python" and said["framework"] == "operator"
    for name in ("metadata", "entrypoint", "ops-main-call", "juju-config", "juju-actions"):
        assert said[name] == LintResult.OK, name


def _checkers() -> list[linters.BaseChecker]:
    return [checker() for checker in linters.CHECKERS]


def test_all_that_the_charm_has_is_primed(packed: Packed, checkout: Path):
    for name in ("src", "templates"):
        files = {p.relative_to(checkout) for p in (checkout / name).rglob("*") if p.is_file()}
        assert [path for path in sorted(files) if not (packed.charm / path).exists()] == []
    # lib has the library for the charms of applications; this charm imports nothing of it.
    left_out = {"lab", "lib", "trials", "tests", "docs", "scripts", ".git"}
    assert left_out.isdisjoint(path.name for path in packed.charm.iterdir())


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_imported_on_the_base(packed: Packed, module: str):
    done = packed.run("python3", "-c", f"import {module}", PYTHONPATH="src:lib:venv")
    assert done.returncode == 0, done.stderr


def test_the_library_that_is_loaded_only_to_answer_is_there(packed: Packed):
    code = "from dpcharmlibs.interfaces import DataContractV1, ValkeyResponseModel"
    done = packed.run("python3", "-W", "ignore", "-c", code, PYTHONPATH="venv")
    assert (done.returncode, done.stderr) == (0, "")


def test_dispatch_starts_the_charm(packed: Packed):
    idle = packed.run("./dispatch", JUJU_DISPATCH_PATH="hooks/install")
    assert (idle.returncode, idle.stderr) == (0, "")
    # Outside Juju it is ops that says what it misses.
    done = packed.run("./dispatch", JUJU_DISPATCH_PATH="hooks/start")
    assert done.returncode == 1 and "venv/ops/" in done.stderr, done.stderr


def test_the_packages_tell_which_python_they_are_for(packed: Packed):
    version = bases.PYTHONS[packed.base]
    assert foreign.BASES[version] == packed.base
    assert foreign.packed_for(str(packed.charm / "venv")) == version


def test_a_hook_on_another_python_says_what_to_do(packed: Packed, tmp_path: Path):
    tool = tmp_path / "status-set"
    tool.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/status\n')
    tool.chmod(0o755)
    other = next(base for base in foreign.BASES.values() if base != packed.base)
    try:
        python = bases.python_home(other, tmp_path)
    except BaseError as e:
        pytest.skip(str(e))
    path = f"{tmp_path}:{python / 'bin'}:/usr/bin:/bin"
    env = {"PATH": path, "JUJU_UNIT_NAME": "redis-k8s/0", "JUJU_DISPATCH_PATH": "hooks/stop"}
    done = packed.run("./dispatch", **env)
    assert (done.returncode, done.stderr) == (0, "")
    versions = bases.PYTHONS[packed.base], bases.PYTHONS[other]
    assert (tmp_path / "status").read_text() == (
        "blocked -- Packed for Python {}, this pod has {}: ".format(*versions)
        + f"juju refresh redis-k8s --path ./redis-k8s_{other}-amd64.charm\n"
    )


@pytest.mark.parametrize("base", sorted(GLIBC))
def test_every_requirement_has_a_wheel_for_the_base(base: str, tmp_path: Path):
    assert base in foreign.BASES.values()
    version = bases.PYTHONS[base]
    # pip itself takes the markers for those of the Python that it runs on.
    wanted = _requirements({"python_version": version, "python_full_version": f"{version}.0"})
    platforms = [f"--platform=manylinux_2_{n}_x86_64" for n in range(GLIBC[base], 16, -1)]
    options = ["--dry-run", "--no-deps", "--only-binary=:all:", f"--target={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        + [*options, f"--python-version={version}", *platforms, *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _requirements(environment: Mapping[str, str]) -> list[str]:
    """Return the lines of requirements.txt that hold for an environment, without markers."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return [
        f"{each.name}{each.specifier}"
        for each in found
        if each.marker is None or each.marker.evaluate(dict(environment))
    ]
