# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What is read from databags, whatever stands in them."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest

import texts
from tenants import asked, keys, rights
from tenants.view import Request


def v1(*requests: Any) -> dict[str, str]:
    return {"version": "v1", "requests": json.dumps(list(requests))}


GOOD = {"resource": "shop:*", "request-id": "0123456789abcdef", "salt": "salt"}


def test_the_form_v1_has_requests_of_which_each_has_an_id():
    other = {**GOOD, "request-id": "fedcba9876543210", "resource": "*"}
    found = asked.parse(v1(GOOD, other))
    assert found == asked.Asked(
        "v1",
        (
            Request("0123456789abcdef", "shop:*", "salt"),
            Request("fedcba9876543210", "*", "salt"),
        ),
    )


def test_without_an_id_it_is_the_one_that_the_library_makes():
    (request,) = asked.parse(v1({"resource": "shop:*", "salt": "salt"})).requests
    assert request.id == hashlib.sha256(b"shop:*:salt").hexdigest()[:16]


@pytest.mark.parametrize("alias", ["database", "prefix", "topic", "resource"])
def test_the_form_v0_has_one_request_by_one_of_several_names(alias: str):
    found = asked.parse({alias: "shop", "requested-secrets": '["username"]'})
    assert found == asked.Asked("v0", (Request("", "shop", alias=alias),))


@pytest.mark.parametrize("bag", [{}, {"requested-secrets": "[]"}, {"database": ""}])
def test_who_has_not_asked_yet_has_no_problem(bag: dict[str, str]):
    assert asked.parse(bag) == asked.Asked()


@pytest.mark.parametrize(
    ("bag", "problem"),
    [
        ({"version": "v7"}, texts.WHY_BAD_VERSION),
        ({"version": "v1", "requests": "{"}, texts.WHY_NOT_A_LIST),
        ({"version": "v1", "requests": "7"}, texts.WHY_NOT_A_LIST),
        ({"version": "v1", "requests": "[7]"}, texts.WHY_NOT_A_LIST),
        (v1({**GOOD, "request-id": "a b"}), texts.WHY_BAD_ID),
        (v1({**GOOD, "request-id": "a.b"}), texts.WHY_BAD_ID),
        (v1({**GOOD, "request-id": 7}), texts.WHY_BAD_ID),
        (v1({"resource": "shop:*"}), texts.WHY_BAD_ID),
        (v1(GOOD, GOOD), texts.WHY_BAD_ID),
        (
            v1(*({**GOOD, "request-id": str(n)} for n in range(asked.MOST + 1))),
            texts.WHY_TOO_MANY.format(most=asked.MOST),
        ),
    ],
)
def test_where_requests_cannot_be_told_from_each_other(bag: dict[str, str], problem: str):
    found = asked.parse(bag)
    assert found.problem == problem and len(found.requests) <= asked.MOST


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        *(
            ({"resource": resource}, texts.WHY_BAD_PREFIX)
            for resource in ("", None, 7, [], "a b", "a*b", "a**", "[a]", "a?", "~x", "é", "x\n")
        ),
        ({"resource": "x" * 129}, texts.WHY_BAD_PREFIX),
        ({"resource": "x ~* +@all"}, texts.WHY_BAD_PREFIX),
        ({"salt": 7}, texts.WHY_BAD_ID),
        ({"entity-type": "USER"}, texts.WHY_ENTITY),
        ({"entity-permissions": [{}]}, texts.WHY_ENTITY),
    ],
)
def test_a_request_that_makes_no_sense_says_so_and_spoils_no_other(changes, problem):
    other = {**GOOD, "request-id": "other"}
    bad, good = asked.parse(v1({**GOOD, **changes}, other)).requests
    assert (bad.problem, good.problem) == (problem, "")


def test_no_databag_at_all_raises_anything():
    order = random.Random(7)
    scraps = ["{", "[", "]", "null", "7", '"x"', "v0", "v1", "", "[[]]", '[{"salt": 1}]', "{}"]
    names = ("version", "requests", *keys.ALIASES, "resource", "entity-type", "salt")
    for _ in range(5000):
        bag = {name: order.choice(scraps) for name in names if order.random() < 0.5}
        found = asked.parse(bag)
        for request in found.requests:
            assert request.problem or rights.rules(request.resource)


def test_there_is_nothing_told_where_nothing_stands():
    assert asked.told({}) == ("", {})


# What the users may do.


@pytest.mark.parametrize(
    ("resource", "keys_and_channels"),
    [
        ("shop:*", "~shop:* &shop:*"),
        ("shop", "~shop* &shop*"),
        # The cluster's own channels are left out, whatever begins like them.
        ("__s", "~__s*"),
        ("redis-k8s:handover", "~redis-k8s:handover*"),
        ("redis-k8s", "~redis-k8s* &redis-k8s &redis-k8s[^:]*"),
        ("_", "~_* &_ &_[^_]* &__ &__[^s]*"),
    ],
)
def test_keys_and_channels_are_those_with_the_prefix(resource: str, keys_and_channels: str):
    rules = rights.rules(resource)["redis"]
    words = [word for word in rules.split() if word[0] in "~&"]
    assert words == keys_and_channels.split()
    assert "psubscribe" not in rules and "-randomkey" in rules.split()
    assert rights.has(rules, resource) and not rights.has(rules, "another")


def test_who_asks_for_all_keys_has_what_a_client_by_the_relation_redis_has():
    from clients.rights import RULES

    assert rights.rules("*") == RULES and rights.has(RULES["redis"], "*")
