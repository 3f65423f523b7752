# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the tests of passwords and TLS look at."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Mapping

from tests.lab.cluster import APP, PORTS, cli
from tests.lab.security.secured import Secured
from trials.clients import checker


def longest_gap_s(cluster: Secured, since_s: float) -> float:
    """Return the longest time without an acknowledged write since a moment, of any client."""
    until_s = time.monotonic()
    return max(
        checker.longest_gap_s(list(log.read()), since_s, until_s) for log in cluster.logs.values()
    )


DENIED = {("exporter", "slowlog|get")}
"""What is to be refused: by user, the command. Values of slow commands are no metrics, and the
exporter asks for them all the same."""


def refused(cluster: Secured) -> list[str]:
    """Return what the nodes have refused, and should not have, by their own logs."""
    found = []
    for unit in cluster.units():
        for kind in PORTS:
            lines = [line for line in cluster.ask(unit, kind, "ACL LOG") if line]
            # Names and values in turn; each entry begins with its count.
            starts = [n for n, line in enumerate(lines) if line == "count"]
            for begin, end in itertools.pairwise([*starts, len(lines)]):
                entry = dict(zip(lines[begin:end:2], lines[begin + 1 : end : 2], strict=False))
                if (entry.get("username"), entry.get("object")) not in DENIED:
                    found.append(f"{unit} {kind}: {entry}")
            if lines and not starts:
                found.append(f"{unit} {kind}: {lines}")
    return found


def secret(cluster: Secured) -> dict[str, str]:
    """Return the newest content of the application's passwords."""
    (found,) = [s for s in cluster.model.secrets(APP).values() if s["label"] == "credentials"]
    revisions = found["revisions"]
    return revisions[max(revisions, key=int)]


def speaks(cluster: Secured, unit: str, kind: str) -> str:
    """Return how a node answers who speaks plain text without a password."""
    done = cluster.model.exec(unit, kind, ["timeout", "2", *cli(kind, "PING")])
    return "plain" if "NOAUTH" in done.stdout + done.stderr else "tls"


def metrics(cluster: Secured, unit: str, kind: str, authority: str = "") -> list[str]:
    """Return what is wrong when the metrics of a Redis are read in plain text, or in TLS."""
    program = """
import ssl, sys, urllib.request
url = ("https" if sys.argv[1] == "tls" else "http") + "://127.0.0.1:9121/metrics"
context = None
if sys.argv[1] == "tls":
    context = ssl.create_default_context(cadata=sys.argv[2])
    context.check_hostname = False
print(urllib.request.urlopen(url, timeout=5, context=context).read().decode())
"""
    # Python is no part of an image.
    process = cluster.model.spawn(
        [sys.executable, "-c", program, kind, authority],
        beside=unit,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=30)
    return [] if "redis_up 1" in out else [f"{unit}: no metrics in {kind}: {err}"]


def tls_not(cluster: Secured, wanted: str) -> list[str]:
    """Return which units have not gone to TLS, or back, with all connections."""
    found = []
    for unit in cluster.units():
        record = json.loads(cluster.bags()[unit].get("tls") or '{"wants": "plain"}')
        modes = [
            "plain" if record.get(key, "plain") in ("plain", "") else "tls"
            for key in ("wants", "redis", "sentinel", "connections")
        ]
        if modes != [wanted] * 4:
            found.append(f"{unit} is at {modes}")
    return found


def not_renewed(cluster: Secured, before: Mapping[str, str], authority: bool) -> list[str]:
    """Return which nodes still serve a certificate, or trust an authority, of before.

    Args:
        cluster: all of its units are looked at.
        before: what each Redis served, by unit.
        authority: the authority is to be another too.
    """
    found = []
    for unit in cluster.units():
        record = json.loads(cluster.bags()[unit]["tls"])
        for kind in PORTS:
            old, now = before[unit].split("/"), record[kind].split("/")
            if old[0] == now[0] or (authority and old[1] == now[1]):
                found.append(f"{unit} {kind} still serves {record[kind]}")
        if record["restart"] or len(record["authorities"]) > 1:
            found.append(f"{unit} still has to restart its Sentinel, or two authorities")
    return found
