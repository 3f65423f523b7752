# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Where no name leads to the primary, clients are told which unit it is, in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.clients.shops import BEFORE, NOW, Shop, charm
from tests.lab.clients.tenants import FORMS, Tenant
from tests.lab.clients.test_redis_relation import OPTION, ROUNDS, TOLD_S, bar, left
from tests.lab.clients.test_valkey_client import given
from tests.lab.cluster import APP, Cluster
from trials.clients import checker

SETTINGS = {"kube_api": "forbidden"}
CONFIG = {OPTION: "forum"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("charms")


LONG = [pytest.param(form, marks=pytest.mark.long) for form in FORMS]


@pytest.fixture(params=[NOW, BEFORE, *LONG], ids=["now", "before", *FORMS])
def shop(trio: Cluster, folder: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """An application that is served."""
    if request.param in FORMS:
        made = Tenant(trio, "tenant", folder, request.param)
    else:
        name = "shop" if request.param is NOW else "forum"
        made = Shop(trio, name, charm(folder, request.param))
    made.integrate()
    trio.until(made.not_served)
    # An open door is no way in for the administrator.
    trio.follow_passwords()
    trio.settle()
    trio.until(lambda: not_led_to(made, trio.primary()))
    yield made
    made.remove()
    trio.until(lambda: left(trio) + [*given(trio)] + made.there())


def not_led_to(shop: Shop, unit: str) -> list[str]:
    host = f"{unit.replace('/', '-')}.{APP}-endpoints."
    return [] if host in str(shop.given().get("url")) else [f"it has {shop.given()}, not {host}"]


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("trouble", ["move", "lose"])
@pytest.mark.timeout(400)
def test_it_is_told_of_a_switch(trio: Cluster, shop: Shop, trouble: str, number: int):
    since_s = time.monotonic()
    if trouble == "move":
        trio.switch_to(trio.replicas()[0])
    else:
        trio.model.kill_pod(trio.primary(), hold_s=6)
    trio.settle()
    trio.until(lambda: not_led_to(shop, trio.primary()))
    trio.until(lambda: shop.not_served(time.monotonic() - 1))
    # The first write to the new primary, by a client that asks the Sentinels.
    follows = [w for w in checker.acknowledged(trio.logs["follow"].read()) if w.end_s > since_s]
    host = next(t["host"] for t in reversed(shop.told())).partition(":")[0]
    switched_s = next(w.end_s for w in follows if w.host == host)
    told_s = next(t["told_s"] for t in shop.told() if t["told_s"] > since_s)
    print(f"{shop.name} {trouble} {number}: told {told_s - switched_s:.2f} s after the switch")
    assert told_s - switched_s < bar(TOLD_S)
    assert shop.lost() == []
