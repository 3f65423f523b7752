"""Pods for tests that run inside a sandbox."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import ops
import pytest

from lab import programs
from lab.network import Network
from lab.pods import PATH, ContainerSpec, Mount, Pod, PodSpec

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


def network_namespaces() -> set[str]:
    paths = (f"/proc/{name}/ns/net" for name in os.listdir("/proc") if name.isdigit())
    return {os.readlink(path) for path in paths if os.access(path, os.R_OK)}
