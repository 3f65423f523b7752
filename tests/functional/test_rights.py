# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What each user may do on a real Redis and on a real Sentinel, and what not."""

from __future__ import annotations

import pytest
import redis
from redis.exceptions import NoPermissionError

import constants as c
from tests.functional.real import APP, CREDENTIALS, RealCluster

HELLO = "__sentinel__:hello"
ON_REDIS = {
    "PING": {"replication", "sentinel", "exporter"},
    "INFO": {"sentinel", "exporter"},
    "DBSIZE": {"exporter"},
    "SLOWLOG LEN": {"exporter"},
    "LATENCY LATEST": {"exporter"},
    "PSYNC ? -1": {"replication"},
    "REPLCONF ACK 1": {"replication"},
    "REPLICAOF NO ONE": {"sentinel"},
    "CLIENT KILL TYPE normal": {"sentinel"},
    "CONFIG REWRITE": {"sentinel"},
    f"SUBSCRIBE {HELLO}": {"sentinel"},
    f"PUBLISH {HELLO} x": {"sentinel"},
    # Secrets: passwords, what others ask, and the data.
    "CONFIG GET masterauth": set(),
    "CONFIG SET masterauth x": set(),
    "ACL LIST": set(),
    "ACL GETUSER default": set(),
    "ACL SETUSER default nopass": set(),
    "ACL LOG": set(),
    "SLOWLOG GET 1": set(),
    "MONITOR": set(),
    "CLIENT LIST": set(),
    "DEBUG OBJECT k": set(),
    "SYNC": set(),
    "GET k": set(),
    "SET k v": set(),
    "KEYS *": set(),
    "SCAN 0": set(),
    "RANDOMKEY": set(),
    "DUMP k": set(),
    "MEMORY USAGE k": set(),
    "OBJECT FREQ k": set(),
    "EVAL 0 0": set(),
    "SORT k": set(),
    "SUBSCRIBE news": set(),
    "PUBLISH news x": set(),
    "MODULE LOAD x": set(),
    "FLUSHALL": set(),
    "SHUTDOWN": set(),
}
"""By command: who may give it beside ``default`` and ``operator``, who may all."""
ON_SENTINEL = {
    "PING": {"peers"},
    f"PUBLISH {HELLO} x": {"peers"},
    f"SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 {c.REDIS_PORT} 0 *": {"peers"},
    f"SENTINEL MASTER {APP}": set(),
    f"SENTINEL SET {APP} auth-pass x": set(),
    "SENTINEL CONFIG GET sentinel-pass": set(),
    f"SENTINEL FAILOVER {APP}": set(),
    f"SENTINEL RESET {APP}": set(),
    f"SENTINEL REMOVE {APP}": set(),
    "SENTINEL FLUSHCONFIG": set(),
    "ACL LIST": set(),
    "ACL SETUSER default nopass": set(),
    "CLIENT LIST": set(),
    "INFO": set(),
    "SUBSCRIBE +switch-master": set(),
    "SHUTDOWN": set(),
}
ALL = {c.OPERATOR_USER, "default"}
OF_REDIS = {*ALL, c.REPLICATION_USER, c.SENTINEL_USER, c.EXPORTER_USER}


def allowed(node: redis.Redis, users: set[str], command: str) -> set[str]:
    """Return who may give a command, by the node's own check, which does nothing else."""
    return {u for u in users if node.execute_command("ACL DRYRUN", u, *command.split()) == "OK"}


@pytest.mark.parametrize("command", ON_REDIS)
def test_on_redis_a_command_is_for_those_who_need_it(real: RealCluster, command: str):
    node = real.nodes[real.hosts[0]].client()
    assert {line.split()[1] for line in node.acl_list()} == OF_REDIS
    assert allowed(node, OF_REDIS, command) == ALL | ON_REDIS[command]


@pytest.mark.parametrize("command", ON_SENTINEL)
def test_on_sentinel_a_command_is_for_those_who_need_it(real: RealCluster, command: str):
    node = real.nodes[real.hosts[0]].client(c.SENTINEL_PORT)
    users = {*ALL, c.PEERS_USER}
    assert {line.split()[1] for line in node.acl_list()} == users
    assert allowed(node, users, command) == ALL | ON_SENTINEL[command]


@pytest.mark.parametrize(
    "command",
    ["CONFIG GET masterauth", "SLOWLOG GET", "ACL LIST", "MONITOR", "GET k", "PSYNC ? -1"],
)
def test_who_has_the_exporters_password_gets_no_secret_with_it(real: RealCluster, command: str):
    node = redis.Redis(
        real.primary, username=c.EXPORTER_USER, password=CREDENTIALS["exporter"], socket_timeout=2
    )
    secrets = (CREDENTIALS["replication"], CREDENTIALS["default"], CREDENTIALS["operator"])
    assert not any(secret in str(node.execute_command("INFO")) for secret in secrets)
    with pytest.raises(NoPermissionError):
        node.execute_command(*command.split())
