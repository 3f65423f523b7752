"""The network of pods: names, cuts, and no way out."""

from __future__ import annotations

import socket
import subprocess
import time

import pytest

from lab.network import Network
from lab.tests.podded import (
    DOMAIN,
    ENV,
    built_tools,
    connects,
    gets_no_answer,
    make_pod,
    send_stray,
    shell,
    started_pods,
    strays,
)
from lab.tests.sandboxed import sandboxed

__all__ = ["built_tools"]


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
