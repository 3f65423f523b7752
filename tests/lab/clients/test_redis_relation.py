# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Applications that use Redis by the relation ``redis``, with programs that write all the time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import LabError
from tests.lab.clients.shops import BEFORE, Shop, charm
from tests.lab.cluster import APP, ROOT, Cluster
from trials.clients import checker, wire
from trials.cluster import ClusterError

SETTINGS = {"service_delay_s": 0.1}
ROUNDS = int(os.environ.get("CLIENT_ROUNDS", "1"))
"""Once in the suite; ten times, with the strict bars, where nothing else runs."""
OPTION = "applications-without-password"
SERVED_S, TOLD_S, MORE_GAP_S = 5.0, 2.0, 1.0
"""After `integrate`; after a switch; beyond what a client that follows Sentinel waits."""
BUSY = 12.0
"""How many times as long it may take on a machine that does other things as well."""
MANY = Path(__file__).parent / "many-charm"
ENDPOINTS = "one two three four five six seven eight nine ten".split()


def bar(strict_s: float) -> float:
    return strict_s if ROUNDS > 1 else BUSY * strict_s


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("charms")


@pytest.fixture
def shop(trio: Cluster, folder: Path) -> Iterator[Shop]:
    """An application with the library of now, not related yet."""
    made = Shop(trio, "shop", charm(folder))
    yield made
    end(trio, made)


@pytest.fixture
def old(trio: Cluster, folder: Path) -> Iterator[Shop]:
    """An application with the library of before, not related yet."""
    made = Shop(trio, "forum", charm(folder, BEFORE))
    yield made
    made.remove()
    trio.model.config(APP, {OPTION: ""})
    trio.until(lambda: is_open(trio) + made.there())


def end(cluster: Cluster, shop: Shop) -> None:
    """Remove an application, and wait until nothing is left of it."""
    shop.remove()
    cluster.until(lambda: left(cluster) + shop.there())


def rules_of(cluster: Cluster, unit: str, kind: str) -> list[str]:
    """Return the rule of each user of a node, asked as who may do so with an open door too."""
    secrets = cluster.model.secrets(APP).values()
    (secret,) = [each for each in secrets if each["label"] == "credentials"]
    password = secret["revisions"][str(secret["latest"])]["operator-password"]
    rules = cluster.ask(unit, kind, "ACL LIST", user="operator", password=password)
    assert any(rule.startswith("user operator on ") for rule in rules), rules
    return rules


def users(cluster: Cluster) -> dict[tuple[str, str], list[str]]:
    """Return the rules of each user of each node, but for those of the charm's table."""
    own = {"default", "operator", "replication", "sentinel", "peers", "exporter"}
    # The administrator has a name of its own from the first open door on.
    own |= {"admin"}
    found: dict[tuple[str, str], list[str]] = {}
    for unit in cluster.units():
        for kind in ("redis", "sentinel"):
            rules = rules_of(cluster, unit, kind)
            found[unit, kind] = [rule for rule in rules if rule.split()[1] not in own]
    return found


def left(cluster: Cluster) -> list[str]:
    """Return what of clients is left on nodes and in Juju, or which node does not say."""
    try:
        present = users(cluster)
    except (ClusterError, LabError) as e:
        return [str(e)]
    found = [f"{place}: {rules}" for place, rules in present.items() for rules in rules]
    secrets = cluster.model.secrets(APP).values()
    return found + [str(each["label"]) for each in secrets if "relation-" in str(each["label"])]


def is_open(cluster: Cluster) -> list[str]:
    """Return the units that let somebody in without a password, or which node does not say."""
    try:
        return [
            unit
            for unit in cluster.units()
            for kind in ("redis", "sentinel")
            if any(" nopass " in rule for rule in rules_of(cluster, unit, kind))
        ]
    except (ClusterError, LabError) as e:
        # As the door is closed, whoever came in by it is thrown out.
        return [str(e)]


@pytest.mark.parametrize("number", range(ROUNDS))
def test_it_writes_soon_after_integrate_and_is_shut_out_after_the_end(
    trio: Cluster, shop: Shop, number: int
):
    hooks = len(trio.model.hooks())
    related_s = shop.integrate()
    trio.until(shop.not_served)
    print(f"library of now {number}: first write after {shop.first_s(related_s):.2f} s")
    assert shop.first_s(related_s) < bar(SERVED_S)
    # It was never told to come before the door was open.
    assert shop.errors() == set()
    url = shop.given()["url"]
    assert url.startswith("redis://relation-") and f"@{APP}.redis-relation.svc" in url
    assert all(len(rules) == 1 for rules in users(trio).values())
    trio.settle()
    shop.part()
    trio.until(lambda: left(trio))
    trio.until(lambda: [] if not shop.given().get("url") else ["it still has a URL"])
    assert {hook.rc for hook in trio.model.hooks(hooks)} == {0}
    assert is_open(trio) == []


def change_password(trio: Cluster, shop: Shop) -> None:
    """Give the user of an application another password; it goes on writing, and loses nothing."""
    before, since_s = shop.given()["url"], time.monotonic()
    user = before.partition("//")[2].partition(":")[0]

    def refused() -> list[str]:
        """Ask until no unit is still taking what the relation has brought."""
        result = trio.model.run(trio.leader(), "rotate-passwords", {"user": user})
        assert result.status == "completed" or "try again" in result.message, result
        return [] if result.status == "completed" else [result.message]

    trio.until(refused)
    trio.until(lambda: [] if shop.given()["url"] != before else ["it has the old one"])
    changed_s = time.monotonic()
    trio.settle()
    trio.until(lambda: shop.not_served(changed_s))
    assert shop.errors(since_s) == set()
    assert shop.lost() == []
    for rules in users(trio).values():
        assert [rule.count(" #") for rule in rules] == [1]


def test_a_new_password_breaks_nothing_and_ends_the_old_one(trio: Cluster, shop: Shop):
    shop.integrate()
    trio.until(shop.not_served)
    trio.settle()
    change_password(trio, shop)


def kill(trio: Cluster) -> None:
    trio.model.kill_process(trio.primary(), "redis", wire.SERVER)


def move(trio: Cluster) -> None:
    trio.switch_to(trio.replicas()[0])


def delete(trio: Cluster) -> None:
    trio.model.kill_pod(trio.primary(), graceful=True)


def lose(trio: Cluster) -> None:
    trio.model.kill_pod(trio.primary(), hold_s=6)


def refresh(trio: Cluster) -> None:
    trio.model.refresh(APP, ROOT)


def goes_on_through(
    trio: Cluster, shop: Shop, trouble: Callable[[Cluster], None], number: int
) -> None:
    """Move the role of the primary while an application writes by the one name."""
    told, since_s = len(shop.told()), time.monotonic()
    trouble(trio)
    trio.settle()
    trio.until(lambda: shop.not_served(time.monotonic() - 1))
    follows = trio.logs["follow"].read()
    own_s = checker.longest_gap_s(follows, since_s, time.monotonic())
    gap_s = shop.gap_s(since_s)
    print(f"{trouble.__name__} {number}: {gap_s:.2f} s, a client of Sentinel {own_s:.2f} s")
    assert gap_s < own_s + bar(MORE_GAP_S)
    assert shop.lost() == []
    # The name stays, so nothing was told and nothing was started anew.
    assert len(shop.told()) == told


LONG = [pytest.param(each, marks=pytest.mark.long) for each in (delete, refresh)]


@pytest.mark.parametrize("trouble", [kill, move, lose, *LONG])
@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.timeout(400)
def test_by_the_one_name_it_goes_on_after_a_switch(
    trio: Cluster, shop: Shop, trouble: Callable[[Cluster], None], number: int
):
    shop.integrate()
    trio.until(shop.not_served)
    trio.settle()
    goes_on_through(trio, shop, trouble, number)


def test_an_old_library_is_refused_until_the_operator_lets_it_in(
    trio: Cluster, shop: Shop, old: Shop
):
    shop.integrate()
    trio.until(shop.not_served)
    old.integrate()
    trio.until(lambda: trio.shows(APP, "blocked", "forum uses an old redis library"))
    trio.until(lambda: [] if old.errors() else ["it has not tried"])
    assert all("NOAUTH" in error for error in old.errors())
    assert is_open(trio) == []
    allowed_s = time.monotonic()
    trio.model.config(APP, {OPTION: "forum"})
    trio.until(old.not_served)
    print(f"library of before: first write {old.first_s(allowed_s):.2f} s after the order")
    trio.until(lambda: trio.shows(APP, "active", "open without a password for forum"))
    trio.follow_passwords()
    assert set(is_open(trio)) == set(trio.units())
    # It may do no more than a client that logs in, and the administrator is somebody else.
    host = trio.units()[trio.primary()]["address"]
    for command in ("CONFIG GET masterauth", "FLUSHALL", "ACL LIST"):
        assert "NOPERM" in stranger(trio, host, command)
    admin = trio.model.run(trio.leader(), "get-initial-admin-password").results
    assert admin["username"] == "admin"
    login = f"AUTH {admin['username']} {admin['redis-password']}"
    assert "user operator on" in stranger(trio, host, login, "ACL LIST")
    told_s = time.monotonic()
    trio.model.config(APP, {OPTION: ""})
    trio.until(lambda: is_open(trio))
    trio.until(lambda: [] if any("NOAUTH" in e for e in old.errors(told_s)) else ["it is in"])
    assert "user operator on" in stranger(trio, host, login, "ACL LIST")
    assert old.lost() == []
    old.part()
    trio.settle()
    trio.until(lambda: shop.not_served(told_s))
    assert shop.lost() == []


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_old_library_that_is_let_in_writes_soon_after_integrate(
    trio: Cluster, old: Shop, number: int
):
    trio.model.config(APP, {OPTION: "forum"})
    trio.settle()
    related_s = old.integrate()
    trio.until(old.not_served)
    print(f"library of before {number}: first write after {old.first_s(related_s):.2f} s")
    trio.follow_passwords()
    assert old.first_s(related_s) < bar(SERVED_S)
    old.part()
    trio.until(lambda: is_open(trio))
    trio.until(lambda: trio.shows(APP, "active", ""))


def stranger(cluster: Cluster, host: str, *commands: str) -> str:
    """Return what a Redis answers to whoever comes without a password."""
    command = ["redis-cli", "-h", host]
    text = "".join(f"{each}\n" for each in commands)
    process = cluster.model.spawn(command, stdin=-1, stdout=-1, text=True)
    return process.communicate(text, timeout=10)[0]


@pytest.mark.parametrize("number", [3, pytest.param(10, marks=pytest.mark.long)])
@pytest.mark.timeout(600)
def test_many_come_and_go_at_once_and_the_leader_dies_in_between(trio: Cluster, number: int):
    hooks = len(trio.model.hooks())
    trio.model.deploy(MANY, app="many")
    trio.model.wait_idle(120)
    for endpoint in ENDPOINTS[:number]:
        trio.model.integrate(f"{APP}:redis", f"many:{endpoint}")
    replace_leader(trio)

    def unserved() -> list[str]:
        bags = [b for name, b in trio.model.databags(APP).items() if name.startswith("redis:")]
        found = [bag for bag in bags if not bag[APP].get("user-secret")]
        return [f"{len(found)} of {len(bags)} have no user"] if found or len(bags) < number else []

    trio.until(unserved, limit_s=200)
    trio.settle(limit_s=200)
    assert all(len(rules) == number for rules in users(trio).values())
    for endpoint in ENDPOINTS[:number]:
        trio.model.remove_relation(f"{APP}:redis", f"many:{endpoint}")
    replace_leader(trio)
    trio.until(lambda: left(trio), limit_s=200)
    trio.settle(limit_s=200)
    trio.model.remove_application("many")
    # -9: it ended with the leader's pod.
    failed = [hook for hook in trio.model.hooks(hooks) if hook.rc not in (0, -9)]
    assert [hook for hook in failed if not hook.cut_off] == []
    (secret,) = [s for s in trio.model.secrets(APP).values() if s["label"] == "credentials"]
    assert "relation-" not in str(secret["revisions"][str(secret["latest"])])


def replace_leader(cluster: Cluster) -> None:
    """Kill the leader's pod in the middle of what it does, and have another lead."""
    leader = cluster.leader()
    time.sleep(1.5)
    cluster.model.kill_pod(leader)
    cluster.model.elect(next(unit for unit in sorted(cluster.units()) if unit != leader))


@pytest.mark.timeout(600)
def test_hook_tools_that_fail_once_in_each_hook_stop_no_relation(trio: Cluster, shop: Shop):
    hooks = len(trio.model.hooks())
    names = "relation-ids relation-list relation-get relation-set secret-get secret-set".split()
    names += ["secret-add", "secret-grant", "secret-remove"]
    trio.model.settings({"tool_faults": ",".join(f"{name}@{APP}:once-per-hook" for name in names)})
    try:
        shop.integrate()
        trio.until(shop.not_served, limit_s=200)
        shop.part()
        trio.until(lambda: left(trio), limit_s=200)
    finally:
        trio.model.settings({"tool_faults": ""})
    ours = [hook for hook in trio.model.hooks(hooks) if hook.unit.startswith(APP)]
    assert [hook for hook in ours if hook.rc] == []


def test_an_application_is_served_from_its_first_moment(folder: Path, tmp_path: Path):
    """Deployed and related in one breath, as a bundle does it."""
    cluster = Cluster("bundle", tmp_path)
    try:
        cluster.model.deploy(ROOT, app=APP, units=1)
        shop = Shop(cluster, "shop", charm(folder))
        shop.integrate()
        cluster.until(shop.not_served)
        assert shop.errors() == set()
    finally:
        cluster.model.destroy()
