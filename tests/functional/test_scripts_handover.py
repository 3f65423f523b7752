# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The handover of a pod that is stopped."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import constants as c
from constants import SENTINEL_PERIODS_MS
from nodes.sentinel import handover, readmit
from tests.functional.real import CREDENTIALS, PATIENCE_S, Node, RealCluster, patiently


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
    *"-h {last} -p {c.SENTINEL_PORT}")
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


@contextlib.contextmanager
def client_that(node: Node, does: str) -> Iterator[None]:
    """Have the client of a node's scripts do something first; ``$*`` are its arguments.

    Args:
        node: whose scripts.
        does: shell text.
    """
    shim = node.inside("/charm/shims/redis-cli")
    text = shim.read_text()
    begin = text.index("exec ")
    node.script("charm/shims/redis-cli", text[:begin] + does + text[begin:])
    try:
        yield
    finally:
        node.script("charm/shims/redis-cli", text)


def test_one_that_becomes_eligible_in_the_pause_is_not_promoted_without_the_data(
    real: RealCluster,
):
    """It has just started, lacks what the target has, and Sentinel would prefer it."""
    node = real.nodes[real.primary]
    lagging, target = sorted(real.replicas)
    # Its link does not come back, so it has nothing of what is written from now on.
    late = real.nodes[lagging].client()
    late.config_set("masterauth", "wrong")
    late.client_kill_filter(_type="master")
    patiently(lambda: not real.redis(lagging).view().link_up, "its link is down")
    watcher = real.sentinel(target)
    watcher.set_option("info-period", "100")
    paused, eligible = (node.directory / "charm" / name for name in ("paused", "eligible"))

    def is_known() -> bool:
        return any(r.host == lagging and r.priority == 1 for r in watcher.view().replicas)

    def interfere() -> None:
        patiently(paused.exists, "the writes are held")
        late.config_set("replica-priority", 1)
        patiently(is_known, "the Sentinel that is to fail over knows")
        eligible.touch()

    # Nobody is seen to have caught up before that.
    waits = f"""
case "$*" in
    *"CLIENT PAUSE"*) touch /charm/paused ;;
    *"-h {target} "*"INFO replication")
        ! [ -e /charm/paused ] || [ -e /charm/eligible ] || exit 1
        ;;
esac
"""
    settings = node.inside(c.CLUSTER_ENV)
    settings.write_text(f"{settings.read_text()}\nOFFSETS_ATTEMPTS=200\n")
    process = stand_by(node)
    meddler = threading.Thread(target=interfere)
    try:
        with client_that(node, waits), real.writer() as writer:
            meddler.start()
            assert end(process) == 0
            meddler.join()
            assert eligible.exists()
            patiently(lambda: len(real.named) == 1, "the Sentinels agree")
            writer.go_on()
        assert "has changed its mind" in node.log("hand-over")
        assert real.primary != lagging
        assert writer.lost() == set()
    finally:
        late.config_set("masterauth", CREDENTIALS["replication"])
        for flag in (paused, eligible):
            flag.unlink(missing_ok=True)
        watcher.set_option("info-period", SENTINEL_PERIODS_MS["info-period"])


def test_a_target_of_which_nothing_is_known_has_not_caught_up(real: RealCluster):
    """Two nodes that do not answer have no offset in common."""
    node = real.nodes[real.primary]
    silent = """
case "$*" in
    *"CLIENT PAUSE"*) touch /charm/paused ;;
    *"INFO replication") ! [ -e /charm/paused ] || exit 1 ;;
esac
"""
    process = stand_by(node)
    try:
        with client_that(node, silent):
            assert end(process) == 0
    finally:
        (node.directory / "charm/paused").unlink()
    assert "does not catch up" in node.log("hand-over")
    assert "was asked to fail over" not in node.log("hand-over")
    assert node.redis.view().is_primary
    real.write(node.host, "taken at once")


def test_a_replica_that_hangs_up_since_it_is_told_to_follow_is_readmitted(real: RealCluster):
    node = real.nodes[real.primary]
    cut = """
case "$*" in
    *"CONFIG SET replica-priority 100") [ -e /charm/cut ] || { touch /charm/cut; exit 1; } ;;
esac
"""
    process = stand_by(node)
    try:
        with client_that(node, cut):
            assert end(process) == 0
    finally:
        (node.directory / "charm/cut").unlink()
    assert not node.redis.view().is_primary, node.log("hand-over")
    others = [host for host in real.hosts if real.redis(host).view().primary_host]
    assert {real.redis(host).view().priority for host in others} == {100}


Sent = tuple[str, int, str]
"""A command: to which host and port, and its words."""


def sent_by_script(node: Node) -> list[Sent]:
    """Return what the scripts of a node have sent so far; no words: questions to a Sentinel."""
    lines = (node.directory / "charm/commands").read_text().splitlines()
    found = [re.search(r" -h (\S+) -p (\d+) ?(.*)", line) for line in lines]
    return [(match[1], int(match[2]), match[3]) for match in found if match]


def steps(sent: list[Sent], names: dict[str, str]) -> list[str]:
    """Return the steps of a handover among what was sent, in order, repetitions folded."""
    done: list[str] = []
    for host, port, words in sent:
        step = f"{names[host]}: {words}"
        if port == c.SENTINEL_PORT and not words.startswith("SENTINEL FAILOVER"):
            step = f"sentinel of {names[host]}: asked"
        for other, name in names.items():
            step = step.replace(other, name)
        is_order = re.search("PAUSE|REPLICAOF|FAILOVER|replica-priority", step)
        if step == "old: ROLE":
            continue  # The script reads it in INFO.
        is_over = any("FAILOVER" in before for before in done)
        if not done and not is_order or is_over and re.search("asked|INFO|ROLE| PAUSE", step):
            continue
        if step not in done[-2:]:
            done.append(step)
    return done


def test_the_script_and_the_charm_do_the_same_in_the_same_order(
    real: RealCluster, monkeypatch: pytest.MonkeyPatch
):
    node, (other, target) = real.nodes[real.primary], real.replicas
    names = {node.host: "old", target: "new", other: "other"}
    # Sentinel's script may be faster than either.
    node.script(f"etc/{Path(c.ON_SWITCH).name}", "#!/bin/sh\n")
    process = stand_by(node)
    before = len(sent_by_script(node))
    assert end(process) == 0
    script = steps(sent_by_script(node)[before:], names)

    real.settle()
    node, (other, target) = real.nodes[real.primary], real.replicas
    names = {node.host: "old", target: "new", other: "other"}
    node.script(f"etc/{Path(c.ON_SWITCH).name}", "#!/bin/sh\n")
    watcher = real.sentinel(target)
    sent: list[Sent] = []
    ask = redis.Redis.execute_command

    def recorded(client: redis.Redis, *words: Any, **options: Any) -> Any:
        to = client.connection_pool.connection_kwargs
        sent.append((to["host"], to["port"], " ".join(map(str, words))))
        return ask(client, *words, **options)

    monkeypatch.setattr(redis.Redis, "execute_command", recorded)
    real.redis(other).set({"replica-priority": "0"})
    patiently(
        lambda: all((r.priority == 0) == (r.host == other) for r in watcher.view().replicas),
        "its Sentinel knows who is eligible",
    )
    handover(node.host, target, target, real.access, 1500)
    readmit([other], target, real.access)
    assert script == steps(sent, names)
    assert script == [
        "other: CONFIG SET replica-priority 0",
        "sentinel of new: asked",
        "old: CLIENT PAUSE 1500 WRITE",
        "old: INFO replication",
        "new: INFO replication",
        "sentinel of new: asked",
        "old: CLIENT PAUSE 1500 WRITE",
        "new: SENTINEL FAILOVER redis-k8s",
        "old: REPLICAOF new 6379",
        "old: CLIENT UNPAUSE",
        "other: CONFIG SET replica-priority 100",
    ]
