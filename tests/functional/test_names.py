# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What stands in /etc/hosts, by what a name server says."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import constants as c
from tests.functional import nameserver
from tests.functional.real import Node, RealCluster, patiently

DOMAIN = "redis-k8s-endpoints.demo.svc.cluster.local"
OWN, ONE, TWO = (f"redis-k8s-{number}.{DOMAIN}" for number in range(3))
MARK = "# redis-k8s"
NOWHERE = {ONE: "239.255.0.1", TWO: "239.255.0.2"}
OF_KUBERNETES = f"127.0.0.1\tlocalhost\n10.1.0.10\t{OWN}\tredis-k8s-0"
RESOLV_CONF = (
    f"search demo.svc.cluster.local svc.cluster.local cluster.local {nameserver.NODE_DOMAIN}\n"
    f"nameserver {nameserver.ADDRESS}\noptions ndots:5\n"
)
FOLLOWED_S = 5.0
"""How soon a changed address is followed while another name gets no answer."""
DENIALS = 3
"""How often in a row a name must be denied before its line leads nowhere."""
DENIED_S = 5.0
"""For how long a server may go on denying a name that has come back; as the cluster's DNS does."""


class Keeper:
    """The service of one node, the names that it can ask for, and the file that it writes."""

    def __init__(self, node: Node):
        self._node = node
        self._zone = node.directory / "zone.json"
        self.names: dict[str, list[str] | str] = {OWN: ["10.1.0.10"]}
        node.host, node.planned = OWN, (OWN, ONE, TWO)
        node.write_files()
        self._pid = 0

    def start(self, before: str = OF_KUBERNETES, prepare: str = "") -> None:
        """Start it.

        Args:
            before: what the file has.
            prepare: shell commands to run it by, in the node's root.
        """
        self.say()
        (self._node.directory / "charm/hosts").write_text(before + "\n")
        (self._node.directory / "charm/resolv.conf").write_text(RESOLV_CONF)
        self._process = self._node.spawn(
            "sh",
            "-c",
            f"cat /charm/hosts >/etc/hosts; cat /charm/resolv.conf >/etc/resolv.conf; "
            f"{prepare or 'exec'} {c.KEEP_NAMES}",
            log="names",
            through=[sys.executable, nameserver.__file__, str(self._zone)],
        )
        told = self._zone.with_suffix(".pid")
        patiently(lambda: told.exists() and told.read_text() != "", "it is started")
        self._pid = int(told.read_text())

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def say(self) -> None:
        """Let the name server answer by ``names`` from now on."""
        fresh = self._zone.with_suffix(".new")
        fresh.write_text(json.dumps(self.names))
        fresh.replace(self._zone)

    def change(self, **changes: list[str] | str | None) -> None:
        """Change what is said of ``own``, ``one``, ``two`` and, as ``node``, of all others."""
        hosts = {"own": OWN, "one": ONE, "two": TWO, "node": "*"}
        for key, answer in changes.items():
            self.names.pop(hosts[key], None)
            if answer is not None:
                self.names[hosts[key]] = answer
        self.say()

    def said(self, log: str) -> str:
        """Return what a file of that name has, which ``prepare`` has made in /charm."""
        path = self._node.directory / "charm" / log
        return path.read_text() if path.exists() else ""

    @property
    def file(self) -> Path:
        return Path(f"/proc/{self._pid}/root/etc/hosts")

    @property
    def lines(self) -> list[str]:
        return [line for line in self.file.read_text().splitlines() if line]

    def kept(self) -> dict[str, str]:
        """Return the address of each host that it keeps."""
        ours = [line.split() for line in self.lines if MARK in line]
        return {words[1]: words[0] for words in ours}

    def until(self, within_s: float = 40.0, /, **wanted: str) -> None:
        """Wait until these are the addresses of ``one`` and ``two``."""
        hosts = {"one": ONE, "two": TWO}
        expected = {hosts[key]: address for key, address in wanted.items()}
        patiently(
            lambda: {host: self.kept().get(host) for host in expected} == expected,
            f"{expected} is kept",
            within_s,
        )

    def stays(self, for_s: float, /, **wanted: str) -> None:
        """Fail when these addresses change within some seconds."""
        self.until(**wanted)
        before = self.kept()
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s:
            assert self.kept() == before
            time.sleep(0.1)


@pytest.fixture
def keeper(apart: Callable[..., RealCluster]) -> Iterator[Keeper]:
    """Return the service of a node of three, not yet started."""
    (node,) = apart(1).nodes.values()
    keeper = Keeper(node)
    yield keeper
    keeper.stop()


def test_one_name_that_is_not_there_stops_no_other(keeper: Keeper):
    """It is not asked below the node's domain, where nobody answers."""
    keeper.change(one=["10.1.0.11"], two=None, node="silent")
    keeper.start()
    keeper.until(one="10.1.0.11")
    keeper.change(one=["10.1.0.21"])
    keeper.until(FOLLOWED_S, one="10.1.0.21")


def test_one_name_that_gets_no_answer_stops_no_other(keeper: Keeper):
    keeper.change(one=["10.1.0.11"], two=["10.1.0.12"])
    keeper.start()
    keeper.until(one="10.1.0.11", two="10.1.0.12")
    keeper.change(one=["10.1.0.21"], two="silent")
    keeper.until(FOLLOWED_S, one="10.1.0.21", two="10.1.0.12")


def test_a_name_in_the_nodes_domain_is_nobodys(keeper: Keeper):
    keeper.change(one=["10.1.0.11"], two=None, node=["10.9.9.9"])
    keeper.start()
    keeper.stays(3, one="10.1.0.11", two=NOWHERE[TWO])


def test_who_has_never_been_there_leads_nowhere_until_it_comes(keeper: Keeper):
    keeper.start()
    keeper.until(one=NOWHERE[ONE], two=NOWHERE[TWO])
    keeper.change(two=["10.1.0.12"])
    keeper.until(FOLLOWED_S, one=NOWHERE[ONE], two="10.1.0.12")


def test_a_name_that_is_gone_leads_nowhere_after_some_seconds(keeper: Keeper):
    keeper.change(one=["10.1.0.11"], two=["10.1.0.12"])
    keeper.start()
    keeper.until(one="10.1.0.11", two="10.1.0.12")
    keeper.change(one=None)
    begun_s = time.monotonic()
    keeper.until(one=NOWHERE[ONE], two="10.1.0.12")
    # It is asked for once a second, the first time at any moment of it.
    assert time.monotonic() - begun_s >= DENIALS - 1
    keeper.change(one=["10.1.0.21"])
    keeper.until(FOLLOWED_S, one="10.1.0.21", two="10.1.0.12")


def test_a_name_that_has_just_come_may_be_denied_for_a_while(keeper: Keeper):
    """One of several name servers repeats what it said when another has named it already."""
    keeper.change(one=None, two=["10.1.0.12"])
    keeper.start()
    keeper.until(one=NOWHERE[ONE], two="10.1.0.12")
    keeper.change(one=["10.1.0.11"])
    keeper.until(one="10.1.0.11", two="10.1.0.12")
    keeper.change(one=None)
    keeper.stays(DENIED_S - 0.5, one="10.1.0.11", two="10.1.0.12")
    keeper.change(one=["10.1.0.11"])
    keeper.stays(3, one="10.1.0.11", two="10.1.0.12")


def test_an_address_that_is_this_pods_own_is_no_peers(keeper: Keeper):
    """It had one before, and the name server still says so."""
    keeper.change(one=["10.1.0.10"], two=["10.1.0.12"])
    keeper.start()
    keeper.stays(3, one=NOWHERE[ONE], two="10.1.0.12")
    keeper.change(one=["10.1.0.11"])
    keeper.until(FOLLOWED_S, one="10.1.0.11")


def test_an_address_belongs_to_the_last_that_came_by_it(keeper: Keeper):
    keeper.change(one=["10.1.0.11"], two=["10.1.0.12"])
    keeper.start()
    keeper.until(one="10.1.0.11", two="10.1.0.12")
    keeper.change(two=["10.1.0.11"])
    keeper.stays(4, one=NOWHERE[ONE], two="10.1.0.11")
    keeper.change(one=None)
    keeper.stays(2, one=NOWHERE[ONE], two="10.1.0.11")
    keeper.change(one=["10.1.0.13"])
    keeper.until(FOLLOWED_S, one="10.1.0.13", two="10.1.0.11")
    # It is given back, and there is nothing to say of who had it meanwhile.
    keeper.change(one=["10.1.0.11"], two="silent")
    keeper.until(FOLLOWED_S, one="10.1.0.11", two=NOWHERE[TWO])


@pytest.mark.parametrize("trouble", ["silent", "failing"])
def test_while_the_name_server_has_trouble_the_last_addresses_stay(keeper: Keeper, trouble: str):
    """Getent tells one that fails from a name that is not there by nothing."""
    keeper.change(one=["10.1.0.11"], two=["10.1.0.12"])
    keeper.start()
    keeper.until(one="10.1.0.11", two="10.1.0.12")
    keeper.change(own=trouble, one=trouble, two=trouble)
    keeper.stays(10, one="10.1.0.11", two="10.1.0.12")
    # Kubernetes writes the file anew when a container of the pod starts.
    keeper.file.write_text(OF_KUBERNETES + "\n")
    keeper.until(one="10.1.0.11", two="10.1.0.12")


def test_a_name_without_a_line_is_asked_of_the_cluster_alone(keeper: Keeper):
    """Redis and Sentinel have the environment of the scripts that start them."""
    keeper.change(node="silent")
    look = "timeout 3 getent ahosts"
    keeper.start(
        prepare=f". {c.CLUSTER_ENV}; {look} {ONE} >/charm/looked; echo $? >>/charm/looked; exec"
    )
    patiently(lambda: keeper.said("looked") != "", "the name is looked up")
    assert keeper.said("looked") == "2\n"


def test_a_connection_to_nowhere_is_refused_at_once_on_any_network():
    """Not by the network, which may have those addresses or lose the packets: by the kernel."""
    for address in NOWHERE.values():
        with socket.socket() as client:
            client.setblocking(False)
            with pytest.raises(OSError, match="unreachable"):
                client.connect((address, c.REDIS_PORT))


def test_what_others_have_in_the_file_comes_first_and_stays(keeper: Keeper):
    gone = f"10.9.9.9 redis-k8s-7.{DOMAIN} {MARK}"
    keeper.change(one=["10.1.0.11"])
    keeper.start(before=f"{gone}\n{OF_KUBERNETES}\n# of a user\n")
    keeper.until(one="10.1.0.11", two=NOWHERE[TWO])
    # No Sentinel answers, so the one that left may still be looked up.
    assert keeper.lines == [
        *OF_KUBERNETES.splitlines(),
        "# of a user",
        f"10.1.0.11 {ONE} {MARK}",
        f"{NOWHERE[TWO]} {TWO} {MARK}",
        gone,
    ]


def test_on_a_full_disk_nobody_loses_a_line(keeper: Keeper):
    """A file that was emptied first may find no room any more."""
    refused = "-e trace=write -P /etc/hosts -e inject=write:error=ENOSPC"
    keeper.change(one=["10.1.0.11"])
    keeper.start(prepare=f"exec strace -f -q -o /charm/refused {refused}")

    for times in range(1, 4):
        tried = f"it tries {times} times"
        patiently(lambda n=times: keeper.said("refused").count("ENOSPC") >= n, tried)
        assert keeper.lines == OF_KUBERNETES.splitlines()


def test_on_a_full_disk_addresses_are_still_followed(keeper: Keeper):
    """Whatever becomes free at any moment is gone the next."""
    keeper.change(one=["10.1.0.11"], two=["10.1.0.12"])
    keeper.start(
        prepare="mount -t tmpfs -o size=8k full /tmp; cp /etc/hosts /tmp/hosts; "
        "mount --bind /tmp/hosts /etc/hosts; "
        'perl -e \'open F, ">>", "/tmp/all"; for (;;) { syswrite F, "x" x 4096 }\' & exec'
    )
    keeper.until(one="10.1.0.11", two="10.1.0.12")
    for number in range(8):
        keeper.change(one=[f"10.1.1.{number}"])
        keeper.until(one=f"10.1.1.{number}")
        assert keeper.lines[:2] == OF_KUBERNETES.splitlines()
