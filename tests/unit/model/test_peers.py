# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Hosts, units by fate, and what the peer relation keeps."""

from __future__ import annotations

import datetime
from dataclasses import replace

import ops
import pytest
from ops import hookcmds, testing

from constants import PEER_RELATION, TLS_KEY
from model import peers
from nodes.access import Mode
from tls.view import PLAIN, Serves, TlsRecord

META = {"name": "redis-k8s", "peers": {PEER_RELATION: {"interface": "redis-peers"}}}

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
    plan = peers.units_by_fate()
    assert plan.staying == ["redis-k8s/1", "redis-k8s/2", "redis-k8s/10"]
    assert plan.leaving == ["redis-k8s/0", "redis-k8s/9"]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            TlsRecord(),
            '{"authorities": [], "connections": "", "expires": 0.0, "redis": "", '
            '"restart": false, "sentinel": "", "trusts": [], "wants": ""}',
        ),
        (
            TlsRecord(
                wants=Mode.TLS,
                authorities=("ca\n",),
                trusts=("d1",),
                redis=Serves("c0ffee", "abc"),
                sentinel=PLAIN,
                restart=True,
                connections=Mode.PLAIN,
                expires=4e9,
            ),
            '{"authorities": ["ca\\n"], "connections": "plain", "expires": 4000000000.0, '
            '"redis": "c0ffee/abc", "restart": true, "sentinel": "plain", "trusts": ["d1"], '
            '"wants": "tls"}',
        ),
    ],
    ids=["unknown", "on the way"],
)
def test_what_a_unit_says_of_tls_reads_the_same_in_every_revision(record: TlsRecord, text: str):
    relation = testing.PeerRelation(PEER_RELATION, local_unit_data={TLS_KEY: text})
    context = testing.Context(ops.CharmBase, meta=META, app_name="redis-k8s")
    state = testing.State(relations={relation})
    with context(context.on.update_status(), state) as manager:
        found = peers.Peers(manager.charm.model)
        assert found.tls_records() == {"redis-k8s/0": record}
        found.publish_tls(replace(record, restart=not record.restart))
        found.publish_tls(record)
        after = manager.run()
    assert after.get_relation(relation.id).local_unit_data[TLS_KEY] == text
