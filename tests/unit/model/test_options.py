# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Options that are settings of Redis: what is taken, and as what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from model import options

ROOT = Path(__file__).parents[3]
OPTIONS = yaml.safe_load((ROOT / "config.yaml").read_text())["options"]
DEFAULTS = {name: option.get("default") for name, option in OPTIONS.items()}
REDIS = {
    "maxmemory": "0",
    "maxmemory-policy": "noeviction",
    "timeout": "0",
    "tcp-keepalive": "300",
    "slowlog-log-slower-than": "10000",
}


def test_the_defaults_are_those_of_redis():
    settings, problem = options.settings(DEFAULTS)
    assert dict(settings) == REDIS
    assert problem is None


@pytest.mark.parametrize(
    ("given", "taken"),
    [("0", "0"), ("4M", "4194304"), ("512M", "536870912"), ("2G", "2147483648"), ("8388608",) * 2],
)
def test_a_size_is_told_in_bytes(given: str, taken: str):
    settings, problem = options.settings({**DEFAULTS, "maxmemory": given})
    assert dict(settings) == {**REDIS, "maxmemory": taken}
    assert problem is None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("maxmemory", "1K"),
        ("maxmemory", "2GB"),
        ("maxmemory", "-1"),
        ("maxmemory", "75%"),
        ("maxmemory", ""),
        ("maxmemory-policy", "lru"),
        ("maxmemory-policy", "noeviction\nsave 1 1"),
        ("timeout", -1),
        ("tcp-keepalive", 2**31),
        ("slowlog-log-slower-than", -2),
    ],
)
def test_a_wrong_value_is_named_and_none_is_taken(option: str, value: Any):
    settings, problem = options.settings({**DEFAULTS, option: value})
    assert settings == ()
    assert problem is not None
    assert problem.startswith(f"Set {option} to ")
