# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the scripts share."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import constants as c
from tests.functional.conftest import NOBODY
from tests.functional.real import Node, RealCluster
from tests.functional.scripts import Apart


def shell(node: Node, text: str) -> list[str]:
    """Return the lines that a script of a node prints."""
    (node.directory / "lib.log").unlink(missing_ok=True)
    process = node.spawn("sh", "-c", f"set -u; . {c.LIB}; settings; {text}", log="lib")
    assert process.wait(timeout=20) == 0, node.log("lib")
    return node.log("lib").splitlines()


def test_what_the_sentinels_say_is_a_line_for_each_and_for_each_replica(real: RealCluster):
    node = real.nodes[real.hosts[0]]
    said = [line.split() for line in shell(node, f"ask_sentinels $PEERS {NOBODY}")]
    primary = real.primary
    for host in real.hosts:
        view = real.sentinel(host).view()
        (own,) = (words for words in said if words[:2] == ["sentinel", host])
        age_ms = own.pop(6)
        epoch = str(view.config_epoch)
        assert own == ["sentinel", host, primary, primary, "master", epoch, "2", "2", "2"]
        assert 0 <= int(age_ms) < 2000
        replicas = {words[2]: words for words in said if words[:2] == ["replica", host]}
        assert set(replicas) == {replica.host for replica in view.replicas}
        for words in replicas.values():
            assert (words[3], words[4], words[6]) == ("100", "slave", "ok")
            assert 0 <= int(words[5]) < 3000
    assert len(said) == len(real.hosts) * 3


MASTER = (
    "name redis-k8s ip a flags master config-epoch 7 last-ok-ping-reply 5 quorum 2 num-slaves 1"
)
MASTER += " num-other-sentinels 2 runid"
REPLICA = (
    "name x ip b flags slave,promoted slave-priority 100 info-refresh 9 master-link-status ok"
)
TOLD = "sentinel s b a master 7 5 2 1 2"
KNOWS = "replica s b 100 slave,promoted 9 ok"


@pytest.mark.parametrize(
    ("reply", "lines"),
    [
        # A value may be empty, or look like the end of a reply.
        (["b 6379", f"{MASTER} _", f"{REPLICA} runid _"], [TOLD, KNOWS]),
        (["b 6379", f"{MASTER} PONG", f"{REPLICA} runid PONG"],
         [TOLD, KNOWS]),
        # Two of them, none, and one whose name is not known.
        (["b 6379", f"{MASTER} _", f"{REPLICA} {REPLICA.replace('ip b', 'ip c')}"],
         [TOLD, KNOWS, "replica s c 100 slave,promoted 9 ok"]),
        (["b 6379", f"{MASTER} _", "_"], [TOLD]),
        (["b 6379", f"{MASTER} _", REPLICA.replace("ip b", "ip _")], [TOLD]),
        # The first question was lost, the last, the end of the last.
        (["", f"{MASTER} _", REPLICA], []),
        (["b 6379", f"{MASTER} _", ""], [TOLD]),
        (["b 6379", f"{MASTER} _"], []),
        (["b 6379", f"{MASTER} _", f"{REPLICA} cut"], []),
        # It watches nothing.
        (["_", "ERR_No_such_master _", "ERR_No_such_master _"], []),
        ([], []),
    ],
)  # fmt: skip
def test_half_an_answer_is_none(apart: Apart, reply: list[str], lines: list[str]):
    (node,) = apart(1).nodes.values()
    parts = ["".join(f"{word}\n" for word in part.split()) + "PONG\n" for part in reply]
    text = "".join(parts).replace("_", " ").replace("\n \n", "\n\n")
    text = text.removeprefix(" ") if text.startswith(" \n") else text
    (node.directory / "charm/reply").write_text(text)
    assert shell(node, "cli() { cat /charm/reply; }; ask_sentinels s") == lines


def test_attempts_are_counted_and_end_with_the_first_that_holds(apart: Apart):
    (node,) = apart(1).nodes.values()
    count = "tries=0; try() { tries=$((tries + 1)); [ $tries -ge $1 ]; }"
    assert shell(node, f"{count}; attempts 5 0 try 3; echo $? $tries") == ["0 3"]
    assert shell(node, f"{count}; attempts 5 0 try 9; echo $? $tries") == ["1 5"]


def test_the_scripts_are_for_a_plain_shell():
    """Images have dash or busybox; neither knows what bash adds."""
    for path in sorted(Node.templates().iterdir()):
        if path.suffix not in (".j2", ".awk"):
            subprocess.run(["sh", "-n", str(path)], check=True)
            assert path.read_text().startswith(("#!/bin/sh\n", "# shellcheck shell=sh\n"))
            assert Path(path).stat().st_mode & 0o111 == 0
