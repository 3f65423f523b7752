# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Applications that ask for users of their own prefix, with programs that write all the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import LabError
from tests.lab.clients.shops import HERE
from tests.lab.clients.tenants import FORMS, Tenant
from tests.lab.clients.test_redis_relation import (
    ENDPOINTS,
    ROUNDS,
    SERVED_S,
    bar,
    change_password,
    goes_on_through,
    kill,
    lose,
    move,
    replace_leader,
    users,
)
from tests.lab.cluster import APP, Cluster
from trials.cluster import ClusterError

SETTINGS = {"service_delay_s": 0.1}
LABEL = "valkey-client."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("charms")


@pytest.fixture(params=FORMS)
def tenant(trio: Cluster, folder: Path, request: pytest.FixtureRequest) -> Iterator[Tenant]:
    """An application that asks in one of the forms, not related yet."""
    made = Tenant(trio, f"tenant-{request.param}", folder, request.param)
    yield made
    made.remove()
    trio.until(lambda: left(trio) + made.there())


def given(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Return the secrets that tenants have been given, by their labels."""
    secrets = cluster.model.secrets(APP).values()
    return {str(s["label"]): s for s in secrets if str(s["label"]).startswith(LABEL)}


def left(cluster: Cluster) -> list[str]:
    """Return what of tenants is left on nodes and in Juju, or which node does not say."""
    try:
        present = users(cluster)
    except (ClusterError, LabError) as e:
        return [str(e)]
    return [f"{place}: {rules}" for place, rules in present.items() if rules] + [*given(cluster)]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_it_writes_soon_after_integrate_and_is_shut_out_after_the_end(
    trio: Cluster, tenant: Tenant, number: int
):
    hooks = len(trio.model.hooks())
    related_s = tenant.integrate()
    trio.until(tenant.not_served)
    print(f"{tenant.name} {number}: first write after {tenant.first_s(related_s):.2f} s")
    assert tenant.first_s(related_s) < bar(SERVED_S)
    # It was never told to come before the door was open.
    assert tenant.errors() == set()
    answer = tenant.answer()
    assert answer["url"].startswith("redis://relation-")
    assert f"@{APP}.valkey-client.svc" in answer["url"] and answer["url"].count(":6379") == 1
    assert (answer["readers"].count(":6379"), answer["sentinels"].count(":26379")) == (2, 3)
    for (_, kind), rules in users(trio).items():
        assert len(rules) == 1 and (kind == "sentinel" or f" ~{tenant.name}/* " in rules[0])
    trio.settle()
    tenant.part()
    trio.until(lambda: left(trio))
    trio.until(lambda: [] if not tenant.given().get("url") else ["it still has a URL"])
    assert {hook.rc for hook in trio.model.hooks(hooks)} == {0}


@pytest.mark.timeout(400)
def test_a_new_password_breaks_nothing_and_ends_the_old_one(trio: Cluster, tenant: Tenant):
    tenant.integrate()
    trio.until(tenant.not_served)
    trio.settle()
    change_password(trio, tenant)
    # The leader has read none of them, and the old revision has left Juju.
    for secret in given(trio).values():
        assert not [unit for unit in secret["consumers"] if unit.startswith(f"{APP}/")]
        assert list(secret["revisions"]) == [str(secret["latest"])]


@pytest.mark.parametrize(
    "trouble", [kill, move, *(pytest.param(each, marks=pytest.mark.long) for each in (lose,))]
)
@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.timeout(400)
def test_by_the_one_name_it_goes_on_after_a_switch(
    trio: Cluster, tenant: Tenant, trouble: Callable[[Cluster], None], number: int
):
    tenant.integrate()
    trio.until(tenant.not_served)
    trio.settle()
    goes_on_through(trio, tenant, trouble, number)
    # Where to read from comes by an event.
    host = f"{trio.primary().replace('/', '-')}."

    def stale() -> list[str]:
        readers = tenant.answer()["readers"]
        return [f"it reads from {readers}"] if host in readers else []

    trio.until(stale)


@pytest.mark.parametrize("number", [2, pytest.param(10, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_many_come_and_go_at_once_and_the_leader_dies_in_between(trio: Cluster, number: int):
    hooks = len(trio.model.hooks())
    trio.model.deploy(HERE / "asker-charm", app="asker")
    trio.model.wait_idle(120)
    for endpoint in ENDPOINTS[:number]:
        trio.model.integrate(f"{APP}:valkey-client", f"asker:{endpoint}")
    replace_leader(trio)

    def unserved() -> list[str]:
        found = trio.model.databags(APP).items()
        bags = [bag for name, bag in found if name.startswith("valkey-client:")]
        answered = [bag for bag in bags if bag[APP].get("requests", "").count("secret-user") == 2]
        return [] if len(answered) == number else [f"{len(answered)} are answered: {bags}"]

    trio.until(unserved, limit_s=200)
    trio.settle(limit_s=200)
    assert all(len(rules) == 2 * number for rules in users(trio).values())
    assert len(given(trio)) == 4 * number
    for endpoint in ENDPOINTS[:number]:
        trio.model.remove_relation(f"{APP}:valkey-client", f"asker:{endpoint}")
    replace_leader(trio)
    trio.until(lambda: left(trio), limit_s=200)
    trio.settle(limit_s=200)
    trio.model.remove_application("asker")
    # -9: it ended with the leader's pod.
    failed = [hook for hook in trio.model.hooks(hooks) if hook.rc not in (0, -9)]
    assert [hook for hook in failed if not hook.cut_off] == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_hook_tools_that_fail_once_in_each_hook_stop_no_relation(trio: Cluster, tenant: Tenant):
    hooks = len(trio.model.hooks())
    names = "relation-ids relation-list relation-get relation-set secret-get secret-set".split()
    names += ["secret-add", "secret-grant", "secret-remove", "secret-info-get"]
    trio.model.settings({"tool_faults": ",".join(f"{name}@{APP}:once-per-hook" for name in names)})
    try:
        tenant.integrate()
        trio.until(tenant.not_served, limit_s=200)
        tenant.part()
        trio.until(lambda: left(trio), limit_s=200)
    finally:
        trio.model.settings({"tool_faults": ""})
    ours = [hook for hook in trio.model.hooks(hooks) if hook.unit.startswith(APP)]
    assert [hook for hook in ours if hook.rc] == []
