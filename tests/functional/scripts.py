# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the tests of the scripts share."""

from __future__ import annotations

from collections.abc import Callable

import constants as c
from tests.functional.real import Node, RealCluster, patiently

NOTICE = f"notify {c.NOTICE_KEY}"
Apart = Callable[..., RealCluster]


def started_as(node: Node) -> str:
    """Return what the latest guarded start has said so far."""
    return node.log("redis").rsplit("guarded start: ", 1)[-1].splitlines()[0]


def says(node: Node, text: str) -> None:
    patiently(lambda: text in node.log("redis"), f"the guarded start says: {text}")


def forget_log(node: Node) -> None:
    (node.directory / "redis.log").unlink(missing_ok=True)


def is_up(node: Node) -> bool:
    return node.redis.view() is not None


def answers(node: Node) -> bool:
    try:
        return is_up(node)
    except Exception:
        return False
