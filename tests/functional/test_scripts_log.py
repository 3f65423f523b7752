# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The append-only file and the disk."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis

import constants as c
from tests.functional.real import Node, RealCluster, patiently
from tests.functional.scripts import Apart


@contextlib.contextmanager
def disk(node: Node, effect: str) -> Iterator[None]:
    """Have each of a Redis' waits for the disk end otherwise: an effect as strace injects them."""
    pid = node.pid("redis")
    calls = "fsync,fdatasync"
    argv = ["strace", "-f", "-q", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={calls}"]
    tracer = subprocess.Popen([*argv, "-e", f"inject={calls}:{effect}"])
    status = Path(f"/proc/{pid}/status")
    try:
        patiently(lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text(), "strace is there")
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def alone(cluster: RealCluster) -> Node:
    """Start the only node of an application, as its primary."""
    (node,) = cluster.nodes.values()
    cluster.start_sentinels()
    node.inside(c.BIRTH_PERMIT).touch()
    node.start_redis()
    patiently(lambda: node.redis.view().is_primary, "it is primary")
    return node


def test_what_is_acknowledged_while_the_disk_is_busy_outlives_the_process(apart: Apart):
    node = alone(apart(1))
    client = node.client()
    acknowledged = 0
    with disk(node, "delay_enter=5000000"):
        # Redis would have begun to wait for the disk after one second, and go on for two more.
        end = time.monotonic() + 2
        while time.monotonic() < end:
            acknowledged = client.incr("count")
        node.kill("redis")
    node.start_redis()
    patiently(lambda: node.redis.view().is_primary, "it is primary again")
    assert client.get("count") == str(acknowledged)


def test_a_disk_that_does_not_keep_the_log_stops_the_writes(apart: Apart):
    node = alone(apart(1))
    client = node.client()
    fails = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"]
    argv = ["strace", "-f", "-q", "-o", "/dev/null", *fails, c.SYNC_LOG]
    with disk(node, "error=EIO"):
        process = node.spawn(*argv, log="sync")

        def is_refused() -> bool:
            try:
                client.incr("count")
            except redis.ResponseError as e:
                return "MISCONF" in str(e)
            return False

        try:
            patiently(is_refused, "Redis takes no more writes")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert "could not be kept" in node.log("sync")


def test_the_log_is_kept_through_a_rewrite(apart: Apart):
    cluster = apart(1)
    (node,) = cluster.nodes.values()
    process = node.spawn(c.SYNC_LOG, log="sync")
    try:
        client = alone(cluster).client()
        for _ in range(3):
            client.incr("count")
            client.bgrewriteaof()
            patiently(lambda: not client.info()["aof_rewrite_in_progress"], "it is rewritten")
            time.sleep(1)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert client.config_get("appendfsync") == {"appendfsync": "no"}
    assert node.log("sync") == ""
