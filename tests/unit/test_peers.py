# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Hosts, units by fate, and what the peer relation keeps."""

from __future__ import annotations

import datetime

import pytest
from ops import hookcmds

import peers

NOW = datetime.datetime.now(datetime.timezone.utc)


@pytest.mark.parametrize(
    ("resolv_conf", "domain"),
    [
        ("search demo.svc.cluster.local svc.cluster.local cluster.local\n", None),
        ("nameserver 10.0.0.1\nsearch demo.svc.k8s.example.com\n", "demo.svc.k8s.example.com"),
        ("search  demo.svc.trailing.dot.\n", "demo.svc.trailing.dot"),
        ("search controller-demo.svc.cluster.net\n", "controller-demo.svc.cluster.net"),
        ("search ns.svc.k8s svc.k8s k8s a.svc.node.example node.example\n", "ns.svc.k8s"),
        ("search svc.cluster.local cluster.local node.example\n", None),
        ("search a.svc. b.svc\n", None),
        ("nameserver 10.0.0.1\n", None),
        ("search\n", None),
        ("", None),
    ],
)
def test_the_namespace_and_the_clusters_domain_are_in_the_search_list(resolv_conf, domain):
    assert peers.services_domain(resolv_conf, "demo") == (domain or "demo.svc.cluster.local")


def test_hosts_are_the_names_that_kubernetes_gives(monkeypatch, tmp_path):
    (tmp_path / "resolv.conf").write_text("search space.svc.k8s.example svc.k8s.example\n")
    monkeypatch.setattr(peers, "_RESOLV_CONF", tmp_path / "resolv.conf")
    hosts = peers.Hosts("redis-k8s", "demo")
    assert hosts.of("redis-k8s/10") == "redis-k8s-10.redis-k8s-endpoints.space.svc.k8s.example"
    assert hosts.unit(hosts.of("redis-k8s/10")) == "redis-k8s/10"


def test_without_a_resolv_conf_the_usual_domain_is_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(peers, "_RESOLV_CONF", tmp_path / "missing")
    assert peers.Hosts("redis-k8s", "demo").of("redis-k8s/0").endswith(".svc.cluster.local")


@pytest.mark.parametrize("app", ["redis-k8s", "cache", "my-redis-2"])
def test_the_host_of_any_application_leads_back_to_its_unit(app):
    hosts = peers.Hosts(app, "demo")
    assert hosts.unit(hosts.of(f"{app}/7")) == f"{app}/7"


def test_units_are_told_apart_by_what_juju_wants_of_them(monkeypatch):
    statuses = {
        "redis-k8s/10": "active",
        "redis-k8s/9": "dying",
        "redis-k8s/2": "waiting",
        "redis-k8s/0": "dying",
        "redis-k8s/1": "blocked",
    }
    goals = hookcmds.GoalState(
        units={name: hookcmds.Goal(status=text, since=NOW) for name, text in statuses.items()},
        relations={},
    )
    monkeypatch.setattr(hookcmds, "goal_state", lambda: goals)
    staying, leaving = peers.units_by_fate()
    assert staying == ["redis-k8s/1", "redis-k8s/2", "redis-k8s/10"]
    assert leaving == ["redis-k8s/0", "redis-k8s/9"]


def test_passwords_are_long_and_never_the_same():
    made = {peers.new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) >= 32 and password.isalnum() for password in made)
