# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The charm on a real Juju and Kubernetes, such as MicroK8s: one life of one application.

The tests run in this order, each from where the one before left the application; the first that
fails is the last.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.integration.cluster import APP, Cluster
from trials.authority import Authority
from trials.clients import wire

KEY = "integration"


def test_three_units_form_a_cluster(cluster: Cluster, charm: Path, resources: dict[str, str]):
    cluster.engine.deploy(charm, APP, resources, 3)
    cluster.wait_until_right(3)


def test_what_is_written_to_the_primary_is_read_from_every_unit(cluster: Cluster):
    cluster.write(KEY, "replicated")
    assert cluster.read_everywhere(KEY) == {"replicated"}


def test_a_replica_refuses_writes(cluster: Cluster):
    primary = cluster.primary()
    for unit in cluster.addresses():
        if unit != primary:
            with pytest.raises(redis.ReadOnlyError):
                cluster.client(unit).set(KEY, "no")


def test_every_unit_tells_the_same_passwords(cluster: Cluster):
    for action in ("get-initial-admin-password", "get-sentinel-password"):
        told = [dict(cluster.run(unit, action)) for unit in cluster.addresses()]
        assert told.count(told[0]) == 3


@pytest.mark.parametrize("port", [wire.REDIS_PORT, wire.SENTINEL_PORT])
def test_nobody_gets_in_without_the_password(cluster: Cluster, port: int):
    for address in cluster.addresses().values():
        with pytest.raises(redis.AuthenticationError):
            wire.connect(address, port, None).ping()
        with pytest.raises(redis.AuthenticationError):
            wire.connect(address, port, "wrong").ping()


def test_check_service_says_that_redis_runs(cluster: Cluster):
    for unit in cluster.addresses():
        assert cluster.run(unit, "check-service")["result"] == "Service is running"


def test_a_deleted_pod_comes_back_as_a_replica(cluster: Cluster):
    cluster.write(KEY, "kept when a pod goes")
    gone = cluster.primary()
    cluster.delete_pod(gone)
    cluster.wait_for_another_primary(gone)
    cluster.wait_until_right(3)
    assert cluster.primary() != gone
    assert cluster.read_everywhere(KEY) == {"kept when a pod goes"}


def test_units_that_come_after_a_failover_follow_the_new_primary(cluster: Cluster):
    primary = cluster.primary()
    cluster.engine.scale(APP, 5)
    cluster.wait_until_right(5)
    assert cluster.primary() == primary
    assert cluster.read_everywhere(KEY) == {"kept when a pod goes"}


def test_removing_the_unit_of_the_primary_keeps_the_data(cluster: Cluster):
    cluster.run(cluster.leader(), "switchover", unit=f"{APP}/4")
    assert cluster.primary() == f"{APP}/4"
    cluster.write(KEY, "kept when the primary's unit goes")
    cluster.engine.scale(APP, 3)
    cluster.wait_until_right(3)
    assert cluster.read_everywhere(KEY) == {"kept when the primary's unit goes"}


def test_a_rotation_gives_other_passwords_and_keeps_the_data(cluster: Cluster):
    before = cluster.access()
    cluster.run(cluster.leader(), "rotate-passwords")

    def missing() -> str:
        cluster.forget_passwords()
        now = cluster.access()
        changed = now.redis_password != before.redis_password
        return "" if changed else "the old password is still the one to use"

    cluster.until(missing)
    cluster.wait_until_right(3)
    assert cluster.read_everywhere(KEY) == {"kept when the primary's unit goes"}

    def accepted() -> list[str]:
        return [unit for unit in cluster.addresses() if _accepts(cluster, unit, before)]

    cluster.until(accepted)


def _accepts(cluster: Cluster, unit: str, access: wire.Access) -> bool:
    address = cluster.addresses()[unit]
    try:
        wire.connect(address, wire.REDIS_PORT, access.redis_password).ping()
    except redis.AuthenticationError:
        return False
    return True


def test_a_refresh_keeps_the_data(cluster: Cluster, charm: Path, resources: dict[str, str]):
    cluster.write(KEY, "kept in a refresh")
    cluster.rolled(lambda: cluster.engine.refresh(APP, charm, resources))
    assert cluster.read_everywhere(KEY) == {"kept in a refresh"}


def test_tls_goes_on_and_off(cluster: Cluster, tmp_path: Path):
    authority = Authority("Integration")
    files = authority.issue(APP, *cluster.addresses().values()).write(tmp_path)
    for name, file in files.items():
        cluster.rolled(lambda name=name, file=file: cluster.engine.attach(APP, name, Path(file)))
    cluster.trust(authority.pem)
    for wanted in (True, False):
        cluster.engine.config(APP, {"enable-tls": wanted})
        cluster.until(lambda wanted=wanted: cluster.without(tls=wanted), limit_s=300)
        cluster.wait_until_right(3)
        assert cluster.read_everywhere(KEY) == {"kept in a refresh"}


def test_from_no_unit_at_all_there_come_three_that_serve(cluster: Cluster):
    cluster.engine.scale(APP, 0)
    cluster.wait_for_units(0)
    # Juju 4 gives them new volumes, so the data need not be there.
    cluster.engine.scale(APP, 3)
    cluster.wait_until_right(3)
    cluster.write(KEY, "after nothing")
    assert cluster.read_everywhere(KEY) == {"after nothing"}
