"""Services of Kubernetes: whose address leads where, and what becomes of connections."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from lab.network import Network
from lab.pods import Pod
from lab.tests.podded import ENV, connects, gets_no_answer, make_pod, shell, started_pods
from lab.tests.sandboxed import sandboxed

SERVICE = "10.152.183.20"
PORT = 5000
ANSWER = """
import os, socket, threading
def serve(connection):
    while line := connection.recv(64):
        said = os.uname().nodename + " " + connection.getpeername()[0] + "\\n"
        connection.sendall(said.encode())
listener = socket.create_server(("", 5000))
while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"""


def serving(pod: Pod) -> subprocess.Popen[bytes]:
    """Start what tells each caller the pod's name and the caller's address, at PORT."""
    process = pod.popen("one", [os.path.realpath(sys.executable), "-c", ANSWER], env=ENV)
    while not connects(pod, "127.0.0.1", PORT):
        assert process.poll() is None
    return process


def ask(connection: socket.socket) -> list[str]:
    connection.sendall(b"?\n")
    return connection.recv(64).decode().split()


def call(address: str = SERVICE, port: int = PORT) -> list[str]:
    with socket.create_connection((address, port), 5) as connection:
        return ask(connection)


@sandboxed
def test_a_connection_goes_to_an_endpoint_and_stays_there() -> None:
    network = Network("m")
    first, second = pods = started_pods(network, 2)
    for pod in pods:
        serving(pod)
    network.route({(SERVICE, 80): [(first.ip, PORT)]})
    with socket.create_connection((SERVICE, 80), 5) as connection:
        assert ask(connection) == ["app-0", network.address]
        network.route({(SERVICE, 80): [(second.ip, PORT)]})
        assert call(port=80) == ["app-1", network.address]
        network.route({(SERVICE, 80): []})
        assert ask(connection) == ["app-0", network.address]
    with pytest.raises(ConnectionRefusedError):
        call(port=80)
    network.route({(SERVICE, 80): [(first.ip, PORT), (second.ip, PORT)]})
    assert {call(port=80)[0] for _ in range(40)} == {"app-0", "app-1"}
    # A port that no Service has is nobody's, and so is the address of one that is gone.
    assert gets_no_answer(first, SERVICE, 81)
    network.route({})
    assert gets_no_answer(first, SERVICE, 80)


@sandboxed
def test_a_pod_reaches_others_and_itself_through_a_service_and_a_cut_holds() -> None:
    network = Network("m")
    first, second = started_pods(network, 2)
    serving(first)
    network.route({(SERVICE, PORT): [(first.ip, PORT)]})
    say = f"exec 3<>/dev/tcp/{SERVICE}/{PORT}; echo ? >&3; head -n 1 <&3"
    assert shell(second, "one", f"bash -c '{say}'") == f"app-0 {second.ip}"
    # To itself it comes from the router, which knows whom to give the answer to.
    assert shell(first, "one", f"bash -c '{say}'") == "app-0 10.1.0.1"
    second.cut(from_pods=[first])
    assert gets_no_answer(second, SERVICE, PORT)
    assert call()[0] == "app-0"
    second.heal()
    assert connects(second, SERVICE, PORT)


@sandboxed
def test_a_service_whose_pod_does_not_listen_refuses() -> None:
    network = Network("m")
    pod = make_pod(network)
    pod.start()
    network.route({(SERVICE, PORT): [(pod.ip, PORT)]})
    with pytest.raises(ConnectionRefusedError):
        call()
