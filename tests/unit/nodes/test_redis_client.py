# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the words of Redis mean, where a real one says them seldom."""

from __future__ import annotations

import pytest

import constants as c
from nodes.redis_client import _slow_write_ms, _version

NOW_S = 1_800_000_000


@pytest.mark.parametrize(
    ("name", "ago_s", "took_ms"),
    [
        ("aof-write", 0, 700),
        ("aof-write-pending-fsync", c.RECENT_S - 1, 700),
        ("aof-write-alone", c.RECENT_S, 0),
        ("command", 0, 0),
        ("fork", 0, 0),
    ],
)
def test_a_slow_write_counts_for_some_minutes(name: str, ago_s: int, took_ms: int):
    latest = [["expire-cycle", NOW_S, 900, 900], [name, NOW_S - ago_s, 700, 2000]]
    assert _slow_write_ms(latest, NOW_S) == took_ms


@pytest.mark.parametrize(
    ("more", "version"),
    [
        ({}, "7.2.4"),
        ({"server_name": "redis"}, "7.2.4"),
        ({"server_name": "valkey", "valkey_version": "9.1.2"}, "valkey 9.1.2"),
        ({"server_name": "other"}, "other 7.2.4"),
    ],
)
def test_a_server_that_is_not_redis_is_named_with_its_own_version(
    more: dict[str, str], version: str
):
    assert _version({"redis_version": "7.2.4", **more}) == version
