# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The servers of other images, as the charm sees them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import constants as c
from clients import rights
from engine.world import World
from lab.client import cache
from lab.images import image
from nodes.access import Access
from nodes.redis_client import RedisNode, connect
from pod import render
from tests.functional import client_commands as commands
from tests.functional.conftest import BLOCK
from tests.functional.real import CREDENTIALS, IMAGE, patiently

HOST = f"{BLOCK}.15"
ACCESS = Access("redis-k8s", "pw")
NODE = RedisNode(HOST, ACCESS)
VERSIONS = {
    "charmed-redis": ("redis-server", "7.0."),
    "redis-8.0": ("redis-server", "8.0."),
    "valkey-8.1": ("valkey-server", "valkey 8.1."),
    "valkey-9": ("valkey-server", "valkey 9."),
}


@pytest.fixture(scope="module", params=VERSIONS)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """An image whose server answers at ``HOST``, and writes nothing."""
    program, _ = VERSIONS[request.param]
    root = Path(image(request.param, cache()).root)
    command = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]
    command += ["chroot", str(root), f"/usr/bin/{program}", "--bind", HOST, "--save", ""]
    command += ["--user", c.OPERATOR_USER, "on", ">pw", "~*", "&*", "+@all"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        patiently(lambda: NODE.view().is_primary, "it answers")
        yield request.param
        process.terminate()


def test_juju_is_told_which_server_it_is(name: str):
    assert NODE.view().version.startswith(VERSIONS[name][1])


def test_sentinels_login_may_do_what_the_sentinel_of_each_image_does(name: str):
    """Where it may not, each failover of Valkey 9 ends in ``-failover-abort-slave-timeout``."""
    world = World(app="redis-k8s", host=HOST, planned=(HOST,), credentials=CREDENTIALS)
    files = {file.path: file.text for file in render.redis_files(world, IMAGE)}
    users = [line.split() for line in files[c.USERS_ACL].splitlines()]
    (rights,) = [words[2:] for words in users if words[:2] == ["user", c.SENTINEL_USER]]
    with connect(HOST, c.REDIS_PORT, ACCESS) as client:
        client.execute_command("ACL", "SETUSER", c.SENTINEL_USER, *rights)
        for command in ("REPLICAOF NO ONE", "FAILOVER", "CONFIG REWRITE", "INFO", "SCRIPT KILL"):
            said = client.execute_command("ACL", "DRYRUN", c.SENTINEL_USER, *command.split())
            assert said in ("OK", b"OK"), (command, said)


def may(kind: str, user: str, command: str) -> bool:
    with connect(HOST, c.NODE_PORTS[kind], ACCESS) as client:
        said = client.execute_command("ACL", "DRYRUN", user, *command.split())
        return said in ("OK", b"OK")


def test_a_client_may_do_the_same_on_the_redis_of_each_image(name: str):
    with connect(HOST, c.REDIS_PORT, ACCESS) as client:
        client.execute_command("ACL", "SETUSER", "relation-1", *rights.ON_REDIS.split())
    wrong = [each for each in commands.REDIS_ALLOWED if not may(c.REDIS, "relation-1", each)]
    wrong += [each for each in commands.REDIS_DENIED if may(c.REDIS, "relation-1", each)]
    assert wrong == []


def test_a_client_may_do_the_same_on_the_sentinel_of_each_image(name: str):
    root = Path(image(name, cache()).root)
    program, _ = VERSIONS[name]
    conf = f"bind {HOST}\nuser {c.OPERATOR_USER} on >pw ~* &* +@all\n"
    conf += f"user relation-1 on >pw {rights.ON_SENTINEL}\n"
    # Sentinel writes its file, and the image is everybody's.
    script = f"mount -t tmpfs tmpfs {root}/tmp && cat >{root}/tmp/sentinel.conf && exec "
    script += f"chroot {root} /usr/bin/{program} /tmp/sentinel.conf --sentinel"
    namespaces = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
    command = ["unshare", *namespaces, "sh", "-c", script]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(conf)
        process.stdin.close()
        patiently(lambda: may(c.SENTINEL, "relation-1", "PING"), "it answers")
        allowed, denied = commands.SENTINEL_ALLOWED, commands.SENTINEL_DENIED
        wrong = [each for each in allowed if not may(c.SENTINEL, "relation-1", each)]
        wrong += [each for each in denied if may(c.SENTINEL, "relation-1", each)]
        process.terminate()
    assert wrong == []
