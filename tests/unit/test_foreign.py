# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A Python that the charm was not packed for."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import foreign

SRC = Path(foreign.__file__).parent
RUNNING = "{}.{}".format(*sys.version_info)
TAG = sys.implementation.cache_tag


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """The packages of a charm packed for Python 3.12."""
    (tmp_path / "yaml").mkdir()
    (tmp_path / "six.py").touch()
    (tmp_path / "_cffi_backend.cpython-312-x86_64-linux-gnu.so").touch()
    return tmp_path


def test_the_python_that_it_was_packed_for_is_right(venv: Path):
    assert foreign.packed_for(str(venv)) == "3.12"
    assert foreign.problem(str(venv), "3.12", "redis-k8s") is None


def test_another_one_is_told_what_to_do(venv: Path):
    assert foreign.problem(str(venv), "3.10", "cache") == (
        "Packed for Python 3.12, this pod has 3.10: "
        "juju refresh cache --path ./redis-k8s_ubuntu@22.04-amd64.charm"
    )


def test_one_that_no_charm_is_packed_for_is_told_which_there_are(venv: Path):
    assert foreign.problem(str(venv), "3.8", "cache") == (
        "Packed for Python 3.12, this pod has 3.8: "
        "there is a charm for ubuntu@22.04 and ubuntu@24.04 only"
    )


def test_nothing_is_wrong_where_nothing_is_compiled(tmp_path: Path):
    (tmp_path / "six.py").touch()
    assert foreign.problem(str(tmp_path), "3.10", "cache") is None
    assert foreign.problem(str(tmp_path / "absent"), "3.10", "cache") is None


@pytest.mark.parametrize("name", ["main.py", "foreign.py"])
def test_what_runs_before_the_check_is_for_old_pythons_too(name: str):
    ast.parse((SRC / name).read_text(), feature_version=(3, 8))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A packed charm whose hook tools write down how they were called."""
    shutil.copytree(SRC, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "venv").mkdir()
    (tmp_path / "tools").mkdir()
    for tool in ("status-set", "action-fail"):
        script = tmp_path / "tools" / tool
        script.write_text(f'#!/bin/sh\necho {tool} "$@" >>{tmp_path}/calls\n')
        script.chmod(0o755)
    return tmp_path


def hook(packed: Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{packed}/tools:/usr/bin:/bin"
    return subprocess.run(
        [sys.executable, "-S", packed / "src/main.py"],
        env={"PATH": path, "JUJU_UNIT_NAME": "cache/0", **env},
        capture_output=True,
        text=True,
        check=False,
    )


def calls(packed: Path) -> list[str]:
    file = packed / "calls"
    return file.read_text().splitlines() if file.exists() else []


def test_a_hook_ends_well_and_says_what_to_do(packed: Path):
    (packed / "venv/_m.cpython-399-x86_64-linux-gnu.so").touch()
    done = hook(packed, JUJU_DISPATCH_PATH="hooks/upgrade-charm")
    assert (done.returncode, done.stderr) == (0, "")
    (call,) = calls(packed)
    assert call.startswith(f"status-set blocked -- Packed for Python 3.99, this pod has {RUNNING}")


def test_an_action_fails_with_the_reason(packed: Path):
    (packed / "venv/_m.cpython-399-x86_64-linux-gnu.so").touch()
    done = hook(packed, JUJU_DISPATCH_PATH="actions/switchover", JUJU_ACTION_NAME="switchover")
    assert done.returncode == 0
    (call,) = calls(packed)
    assert call.startswith("action-fail -- Packed for Python 3.99")


def test_on_the_right_python_the_charm_goes_on(packed: Path):
    (packed / f"venv/_m.{TAG}-x86_64-linux-gnu.so").touch()
    assert hook(packed, JUJU_DISPATCH_PATH="hooks/install").returncode == 0
    assert calls(packed) == []
    done = hook(packed, JUJU_DISPATCH_PATH="hooks/start")
    # Without the packages it gets no further than to them.
    assert done.returncode == 1 and "No module named 'ops'" in done.stderr
