# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The handover of a pod that is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import constants as c
from tests.functional.real import PATIENCE_S, Node, RealCluster, patiently


def stand_by(node: Node) -> subprocess.Popen[bytes]:
    """Start the service that hands over when Pebble stops it, and wait until it would."""
    (node.directory / "hand-over.log").unlink(missing_ok=True)
    process = node.spawn(c.HAND_OVER, log="hand-over")

    def sleeps() -> bool:
        # It starts to sleep after it has set its trap.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return [Path(f"/proc/{child}/comm").read_text() for child in children] == ["sleep\n"]
        return False  # One has ended since.

    patiently(sleeps, "it stands by")
    return process


def end(process: subprocess.Popen[bytes]) -> int:
    """Stop a service as Pebble does, which is its whole process group; return its exit code."""
    os.killpg(process.pid, signal.SIGTERM)
    code = process.wait(timeout=PATIENCE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return code


def test_a_primary_whose_pod_is_stopped_hands_over_and_loses_nothing(real: RealCluster):
    node = real.nodes[real.primary]
    process = stand_by(node)
    with real.writer() as writer:
        assert end(process) == 0
        assert not node.redis.view().is_primary, node.log("hand-over")
        # The new primary may be the next to die.
        others = [host for host in real.hosts if real.redis(host).view().primary_host]
        assert {real.redis(host).view().priority for host in others} == {100}
        node.kill()
        patiently(lambda: len(real.named_by_others(node.host)) == 1, "the others agree")
        writer.go_on()
    (new,) = real.named_by_others(node.host)
    assert new != node.host
    assert writer.acknowledged <= real.keys(str(new))


def test_a_stopped_pod_hands_over_by_no_sentinel_that_has_lost_its_state(real: RealCluster):
    real.sentinel(real.replicas[0]).force_failover()
    real.settle()
    node = real.nodes[real.primary]
    first, last = sorted(real.replicas)
    # The others tell such a Sentinel within two seconds; this node is shown the moment before.
    shim = node.inside("/charm/shims/redis-cli")
    text = shim.read_text()
    begin = text.index("exec ")
    blank = f"""
case "$*" in
    *"-h {last} -p {c.SENTINEL_PORT} SENTINEL MASTER "*)
        {text[begin:].strip().removeprefix("exec ")} | sed '/^config-epoch$/{{n; s/.*/0/}}'
        exit
        ;;
esac
"""
    node.script("charm/shims/redis-cli", text[:begin] + blank + text[begin:])
    try:
        assert end(stand_by(node)) == 0
    finally:
        node.script("charm/shims/redis-cli", text)
    assert f"the Sentinel of {first} was asked to fail over: OK" in node.log("hand-over")
    assert not node.redis.view().is_primary


def test_a_replica_whose_pod_is_stopped_has_nothing_to_hand_over(real: RealCluster):
    node = real.nodes[real.replicas[0]]
    assert end(stand_by(node)) == 0
    assert real.primary != node.host
    assert "handover:" not in node.log("hand-over")


def test_with_nobody_in_sync_the_primary_stays_and_serves_to_its_end(real: RealCluster):
    node = real.nodes[real.primary]
    real.hurry()
    for host in real.replicas:
        real.kill(host, "redis")
    node.redis.set({"min-replicas-to-write": "0"})
    assert end(stand_by(node)) == 0
    assert "still the primary" in node.log("hand-over")
    real.write(node.host, "is-writable")


def test_a_handover_by_the_charm_is_waited_for_and_not_disturbed(real: RealCluster):
    node = real.nodes[real.primary]
    process = stand_by(node)
    with node.redis.claim():
        os.killpg(process.pid, signal.SIGTERM)
        node.redis.follow(real.replicas[0])
        assert process.wait(timeout=PATIENCE_S) == 0
    assert "was asked to fail over" not in node.log("hand-over")


def test_a_claim_of_one_who_died_over_it_is_not_waited_for(real: RealCluster):
    node = real.nodes[real.primary]
    settings = node.inside(c.CLUSTER_ENV)
    # As if so much time had passed.
    settings.write_text(f"{settings.read_text()}\nCLAIM_LIMIT_S=-1\n")
    with node.redis.claim():
        assert end(stand_by(node)) == 0
    assert "was asked to fail over" in node.log("hand-over")
