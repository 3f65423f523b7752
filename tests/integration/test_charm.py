# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The charm on a real Juju and Kubernetes, such as MicroK8s: one life of one application.

The tests run in this order, each from where the one before left the application.
"""

from pathlib import Path
from typing import Any

import pytest
import redis
from kubernetes import client as kubernetes_client
from kubernetes import config as kubernetes_config
from pytest_operator.plugin import OpsTest

from lab.clients import wire
from tests.integration.cluster import APP, Cluster

KEY = "integration"


@pytest.fixture
def cluster(ops_test: OpsTest) -> Cluster:
    return Cluster(ops_test)


async def write(cluster: Cluster, value: str) -> None:
    # Acknowledged by a replica too, so that no later step may lose it.
    client: Any = await cluster.client(await cluster.primary())
    client.set(KEY, value)
    assert client.wait(1, 5000) >= 1


async def read_everywhere(cluster: Cluster) -> set[Any]:
    return {(await cluster.client(unit)).get(KEY) for unit in await cluster.addresses()}


@pytest.mark.abort_on_fail
async def test_three_units_form_a_cluster(
    cluster: Cluster, charm: Path, resources: dict[str, str]
):
    await cluster.model.deploy(charm, application_name=APP, resources=resources, num_units=3)
    await cluster.wait_until_right(3)


@pytest.mark.abort_on_fail
async def test_what_is_written_to_the_primary_is_read_from_every_unit(cluster: Cluster):
    await write(cluster, "replicated")
    assert await read_everywhere(cluster) == {"replicated"}


async def test_a_replica_refuses_writes(cluster: Cluster):
    primary = await cluster.primary()
    for unit in await cluster.addresses():
        if unit != primary:
            with pytest.raises(redis.ReadOnlyError):
                (await cluster.client(unit)).set(KEY, "no")


async def test_every_unit_tells_the_same_passwords(cluster: Cluster):
    for action in ("get-initial-admin-password", "get-sentinel-password"):
        told = [dict(await cluster.run(unit, action)) for unit in await cluster.addresses()]
        assert told.count(told[0]) == 3


@pytest.mark.parametrize("port", [wire.REDIS_PORT, wire.SENTINEL_PORT])
async def test_nobody_gets_in_without_the_password(cluster: Cluster, port: int):
    for address in (await cluster.addresses()).values():
        with pytest.raises(redis.AuthenticationError):
            wire.connect(address, port, None).ping()
        with pytest.raises(redis.AuthenticationError):
            wire.connect(address, port, "wrong").ping()


async def test_check_service_says_that_redis_runs(cluster: Cluster):
    for unit in await cluster.addresses():
        assert (await cluster.run(unit, "check-service"))["result"] == "Service is running"


@pytest.mark.abort_on_fail
async def test_a_deleted_pod_comes_back_as_a_replica(cluster: Cluster):
    await write(cluster, "kept when a pod goes")
    gone = await cluster.primary()
    kubernetes_config.load_kube_config()
    kubernetes_client.CoreV1Api().delete_namespaced_pod(
        name=gone.replace("/", "-"), namespace=cluster.model.name
    )
    await cluster.wait_for_another_primary(gone)
    await cluster.wait_until_right(3)
    assert await cluster.primary() != gone
    assert await read_everywhere(cluster) == {"kept when a pod goes"}


@pytest.mark.abort_on_fail
async def test_units_that_come_after_a_failover_follow_the_new_primary(cluster: Cluster):
    primary = await cluster.primary()
    await cluster.model.applications[APP].scale(5)
    await cluster.wait_until_right(5)
    assert await cluster.primary() == primary
    assert await read_everywhere(cluster) == {"kept when a pod goes"}


@pytest.mark.abort_on_fail
async def test_removing_the_unit_of_the_primary_keeps_the_data(cluster: Cluster):
    await cluster.run(await cluster.leader(), "switchover", unit=f"{APP}/4")
    assert await cluster.primary() == f"{APP}/4"
    await write(cluster, "kept when the primary's unit goes")
    await cluster.model.applications[APP].scale(3)
    await cluster.wait_until_right(3)
    assert await read_everywhere(cluster) == {"kept when the primary's unit goes"}
