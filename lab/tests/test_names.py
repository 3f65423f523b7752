"""Names as the DNS of a cluster gives them: late, cached, asked upstream; addresses used again."""

from __future__ import annotations

import socket
import time

import pytest

from lab.model import Model, ModelError, Settings
from lab.network import Network
from lab.tests.podded import ENV, make_pod, shell, started_pods
from lab.tests.sandboxed import sandboxed


def _addresses(host: str) -> list[str]:
    """Return what a client of the model is told; nothing if there is no such name."""
    try:
        return socket.gethostbyname_ex(f"{host}.")[2]
    except socket.gaierror:
        return []


@sandboxed
def test_an_answer_is_given_again_for_as_long_as_it_is_cached() -> None:
    network = Network("m")
    network.dns_cache_s = 1.5
    host = "app-0.app-endpoints.m.svc.cluster.local"
    assert _addresses(host) == []
    network.set_name(host, "10.1.0.11")
    assert _addresses(host) == []
    # Who had not asked before is told at once.
    other = "app-1.app-endpoints.m.svc.cluster.local"
    network.set_name(other, "10.1.0.12")
    assert _addresses(other) == ["10.1.0.12"]
    time.sleep(1.6)
    assert _addresses(host) == ["10.1.0.11"]
    network.drop_name(host)
    assert _addresses(host) == ["10.1.0.11"]
    time.sleep(1.6)
    assert _addresses(host) == []


@sandboxed
def test_a_pod_asks_below_the_domain_of_its_node_too() -> None:
    network = Network("m", "k8s.example")
    network.namespace, network.node_domain = "ns", "node.example"
    pod = make_pod(network)
    pod.start()
    assert shell(pod, "one", "head -n 1 /etc/resolv.conf") == (
        "search ns.svc.k8s.example svc.k8s.example k8s.example node.example"
    )
    absent = "app-9.app-endpoints.ns.svc.k8s.example"
    ask = ["timeout", "1", "getent", "hosts"]
    assert pod.run("one", [*ask, absent], env=ENV).returncode == 2
    network.upstream = "silent"
    assert pod.run("one", [*ask, absent], env=ENV).returncode == 124
    assert pod.run("one", [*ask, "example.com."], env=ENV).returncode == 124
    # An absolute name of the cluster is the cluster's alone, whatever is upstream.
    assert pod.run("one", [*ask, f"{absent}."], env=ENV).returncode == 2
    network.upstream = "wildcard"
    assert shell(pod, "one", f"getent hosts {absent}").split()[0] == network.address
    assert pod.run("one", [*ask, f"{absent}."], env=ENV).returncode == 2
    assert pod.run("one", [*ask, "example.com."], env=ENV).returncode == 2
    # The controller and its clients are not on that node.
    with pytest.raises(socket.gaierror):
        socket.gethostbyname(absent)


@sandboxed
def test_an_address_is_given_out_again_but_not_to_the_pod_that_left_it() -> None:
    network = Network("m")
    first, second = started_pods(network, 2)
    left = [first.ip, second.ip]
    first.kill()
    again = make_pod(network, 0)
    again.start()
    assert again.ip not in left
    network.reuse_addresses = True
    second.kill()
    again.kill()
    # Of those that are free the first to be left, which pod 0 has had itself.
    last = again.ip
    third, fourth, fifth = (make_pod(network, number) for number in (0, 5, 6))
    for pod in (third, fourth, fifth):
        pod.start()
    assert [third.ip, fourth.ip, fifth.ip] == [left[1], left[0], last]


def test_names_are_of_the_namespace_and_the_domain_that_the_settings_say() -> None:
    assert Model("m").service("app") == "app.m.svc.cluster.local"
    settings = Settings(namespace="controller-m", cluster_domain="k8s.example")
    assert Model("m", settings).service("app") == "app.controller-m.svc.k8s.example"


def test_what_is_true_or_false_can_be_said_on_the_command_line() -> None:
    settings = Settings()
    settings.update({"reuse_addresses": "true"})
    assert settings.reuse_addresses is True
    settings.update({"reuse_addresses": False})
    assert settings.reuse_addresses is False
    with pytest.raises(ModelError, match="does not take"):
        settings.update({"reuse_addresses": "now and then"})
