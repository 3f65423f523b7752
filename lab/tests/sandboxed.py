"""Tests whose body runs as the controller of a sandbox of its own."""

from __future__ import annotations

import functools
import importlib
import os
import select
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from lab import sandbox

ROOT = Path(__file__).resolve().parents[2]
_LIMIT_S = 60


def sandboxed(test: Callable[[], None]) -> Callable[[], None]:
    """Let a test's body run inside a fresh sandbox; it fails with what happened in there.

    Afterwards nothing of the sandbox may be left but its directory.
    """
    if os.environ.get("LAB_MODEL_DIR"):
        return test

    @functools.wraps(test)
    def outside() -> None:
        with tempfile.TemporaryDirectory(prefix="lab-test-") as directory:
            model_dir = Path(directory).resolve() / "model"
            argv = [sys.executable, "-m", __name__, test.__module__, test.__name__]
            os.chdir(ROOT)
            pid = sandbox.start_controller(model_dir, argv)
            try:
                _wait_for_end(pid)
                verdict = model_dir / "verdict"
                log = (model_dir / "controller.log").read_text()
                assert verdict.exists(), log
                assert verdict.read_text() == "passed", log
                assert sandbox.leftovers(model_dir) == [f"directory {model_dir}"]
            finally:
                sandbox.destroy(model_dir)
            assert sandbox.leftovers(model_dir) == []

    return outside


def _wait_for_end(pid: int) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    ended = poll.poll(_LIMIT_S * 1000)
    os.close(handle)
    assert ended, f"the sandboxed test did not end within {_LIMIT_S} s"


def main(module: str, name: str) -> None:
    """Run one test inside the sandbox and leave its verdict."""
    try:
        sandbox.prepare()
        getattr(importlib.import_module(module), name)()
        verdict = "passed"
    except BaseException:
        traceback.print_exc()
        verdict = "failed"
    Path(os.environ["LAB_MODEL_DIR"], "verdict").write_text(verdict)
    sys.stderr.flush()
    # Threads that still wait for a process of the model must not hold up its end.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
