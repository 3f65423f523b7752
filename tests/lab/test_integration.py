# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The tests for a real Juju, run with jubilant on the lab in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab import Model, sandbox
from tests.lab.cluster import ROOT

LIMIT_S = 2400
PLUGINS = ("pytest_asyncio.plugin", "pytest_operator.plugin")


@pytest.mark.long
@pytest.mark.timeout(LIMIT_S + 60)
def test_the_life_of_an_application_as_jubilant_sees_it(tmp_path: Path):
    juju = tmp_path / "juju"
    juju.write_text(f'#!/bin/sh\nexec {sys.executable} -m lab.juju "$@"\n')
    juju.chmod(0o755)
    model = Model(f"integration-{os.getpid()}")
    model.start()
    try:
        command = [sys.executable, "-m", "pytest", "-x", "tests/integration"]
        command += [word for plugin in PLUGINS for word in ("-p", plugin)]
        command += [f"--model={model.name}", f"--juju={juju}", f"--kubectl={juju} kubectl"]
        command += [f"--charm={ROOT}", f"--basetemp={tmp_path / 'inner'}", "--timeout=600"]
        process = model.spawn(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        said, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, said[-20000:]
        assert " passed" in said and "skipped" not in said, said
        log = [line for line in model.log() if " ERROR " in line]
        assert log == []
    finally:
        model.destroy()
    assert sandbox.leftovers(model.dir) == []
