"""Pods and their containers, with real namespaces and real Pebbles."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ops
import pytest

from lab import sandbox
from lab.network import Network
from lab.pods import PATH, Mount, Pod, PodError, Volume
from lab.tests.podded import (
    ENV,
    SERVICE,
    built_tools,
    connects,
    eventually,
    gets_no_answer,
    make_pod,
    network_namespaces,
    pebble,
    shell,
    started_pods,
)
from lab.tests.sandboxed import sandboxed

__all__ = ["built_tools"]

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
