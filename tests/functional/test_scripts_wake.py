# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Another turn for the charm, and the names of the peers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import constants as c
from tests.functional.real import RealCluster, patiently
from tests.functional.scripts import NOTICE, Apart


def test_a_wake_comes_soon_and_what_goes_on_for_long_less_often(apart: Apart):
    (node,) = apart(1).nodes.values()
    node.script("charm/shims/sleep", '#!/bin/sh\necho "$1" >>/charm/slept\n')
    for _ in range(16):
        assert node.run(c.WAKE) == 0
    slept = node.directory / "charm/slept"
    assert slept.read_text().split() == ["2"] * 15 + ["30"]
    assert node.notices == [NOTICE] * 16
    # A quiet minute starts anew, and so does a machine.
    count = node.inside(f"{c.CONFIG_DIR}/live/wakes")
    uptime_s = int(float(Path("/proc/uptime").read_text().split()[0]))
    for last_s in (max(0, uptime_s - 62), uptime_s + 1000):
        count.write_text(f"{last_s} 99\n")
        assert node.run(c.WAKE) == 0
        assert slept.read_text().split()[-1] == "2"


def test_a_clock_that_is_set_back_makes_no_wake_late(apart: Apart):
    (node,) = apart(1).nodes.values()
    node.script("charm/shims/sleep", '#!/bin/sh\necho "$1" >>/charm/slept\n')
    node.script("charm/shims/date", "#!/bin/sh\necho 2000000000\n")
    for _ in range(16):
        assert node.run(c.WAKE) == 0
    # A minute of the machine's goes by, and the clock is set back by years.
    node.script("charm/shims/date", "#!/bin/sh\necho 1000000000\n")
    count = node.inside(f"{c.CONFIG_DIR}/live/wakes")
    last_s, wakes = count.read_text().split()
    count.write_text(f"{int(last_s) - 62} {wakes}\n")
    assert node.run(c.WAKE) == 0
    assert (node.directory / "charm/slept").read_text().split()[-1] == "2"


def test_a_wake_for_this_pod_comes_when_it_is_right(real: RealCluster):
    node = next(iter(real.nodes.values()))
    waits_for = node.inside(c.WAKE_FOR)
    # One unit too many is planned: it has not come yet.
    waits_for.write_text(f"here {len(real.nodes) + 1}\n")
    began_s = time.monotonic()
    notices = len(node.notices)
    assert node.run(c.WAKE) == 0
    assert time.monotonic() - began_s > 6
    waits_for.write_text(f"here {len(real.nodes)}\n")
    began_s = time.monotonic()
    assert node.run(c.WAKE) == 0
    assert time.monotonic() - began_s < 6
    assert len(node.notices) == notices + 2


def test_a_sentinel_that_started_again_wakes_the_charm(real: RealCluster):
    """It has forgotten its periods over that, and nobody else need have noticed."""
    node = real.nodes[real.replicas[0]]
    before = len(node.notices)
    node.kill("sentinel")
    real.start(node.host)
    patiently(lambda: len(node.notices) > before, "the charm is told")


def test_addresses_are_kept_while_the_dns_says_nothing_and_dropped_with_their_unit(apart: Apart):
    cluster = apart(2)
    node = next(iter(cluster.nodes.values()))
    node.planned = (node.host, "peer.invalid")
    node.write_files()
    kept = "10.9.9.9 peer.invalid # redis-k8s"
    left = "10.9.9.8 left.invalid # redis-k8s"
    others = "10.1.1.1 of-kubernetes"
    before = "\n".join([kept, left, f"10.9.9.7 {node.host} # redis-k8s", others])
    start = f"echo '{before}' >/etc/hosts; exec {c.KEEP_NAMES}"
    process = node.spawn("sh", "-c", start, log="names")
    hosts = Path(f"/proc/{process.pid}/root/etc/hosts")

    def has(*lines: str) -> Callable[[], bool]:
        return lambda: [line for line in hosts.read_text().splitlines() if line] == list(lines)

    try:
        # Its Sentinel does not answer, and may still look the unit up.
        patiently(has(others, kept, left), "only its own address is not kept")
        node.write_sentinel_conf(node.host)
        node.start_sentinel()
        patiently(has(others, kept), "a unit that Sentinel does not know is dropped")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
