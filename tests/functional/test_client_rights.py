# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a client may do on a real Redis and a real Sentinel, and what it can not disturb."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError

import constants as c
from clients import rights
from passwords import logins, rotation
from passwords.users import NO_PASSWORD, Entrance, User
from tests.functional import client_commands as commands
from tests.functional.real import ACCESS, APP, CREDENTIALS, RealCluster, patiently

USER, PASSWORD = "relation-1", "client-pw"


@pytest.fixture
def user(real: RealCluster) -> Iterator[str]:
    """A user as a relation brings it, on every node."""
    clients = [n.client(port) for n in real.nodes.values() for port in (6379, 26379)]
    for client in clients:
        kind = c.REDIS if client.get_connection_kwargs()["port"] == 6379 else c.SENTINEL
        rules = rights.RULES[kind].split()
        client.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *rules)
    yield USER
    for client in clients:
        client.execute_command("ACL", "DELUSER", USER)


def login(host: str, port: int = c.REDIS_PORT) -> redis.Redis:
    return redis.Redis(
        host, port, username=USER, password=PASSWORD, decode_responses=True, socket_timeout=2
    )


def dry_run(node: redis.Redis, command: str) -> str:
    return str(node.execute_command("ACL DRYRUN", USER, *command.split()))


def test_on_redis_it_may_do_all_that_disturbs_nobody(real: RealCluster, user: str):
    node = real.nodes[real.primary].client()
    for command in commands.REDIS_ALLOWED:
        assert dry_run(node, command) == "OK", command
    for command in commands.REDIS_DENIED:
        assert dry_run(node, command) != "OK", command


def test_on_sentinel_it_may_ask_where_everybody_is(real: RealCluster, user: str):
    node = real.nodes[real.primary].client(c.SENTINEL_PORT)
    for command in commands.SENTINEL_ALLOWED:
        assert dry_run(node, command) == "OK", command
    for command in commands.SENTINEL_DENIED:
        assert dry_run(node, command) != "OK", command
    client = login(real.primary, c.SENTINEL_PORT)
    named: Any = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", APP)
    assert named[0] == real.primary
    # Nothing of this has a password in it.
    told = str(client.execute_command("SENTINEL MASTERS"))
    told += str(client.execute_command("SENTINEL REPLICAS", APP))
    assert not any(CREDENTIALS[name] in told for name in CREDENTIALS.passwords)


def test_a_script_may_do_no_more_than_who_runs_it(real: RealCluster, user: str):
    client = login(real.primary)
    assert client.eval("return redis.call('set', KEYS[1], 'x')", 1, "key") == "OK"
    for inner in (
        "'publish', '__sentinel__:hello', 'x'",
        f"'publish', '{c.HANDOVER_CHANNEL}', 'x'",
        "'flushall'",
        "'keys', '*'",
    ):
        with pytest.raises(redis.ResponseError, match="executing the script can't"):
            client.eval(f"return redis.call({inner})", 0)
    assert client.get("key") == "x"


def test_what_clients_of_today_use_works(real: RealCluster, user: str):
    client = login(real.primary)
    with client.pipeline(transaction=True) as pipe:
        pipe.set("a", 1)
        pipe.incr("a")
        assert pipe.execute() == [True, 2]
    listener = client.pubsub()
    listener.psubscribe("news.*")
    listener.subscribe("plain")
    heard: list[Any] = [listener.get_message(timeout=2) for _ in range(2)]
    assert {each["type"] for each in heard} == {"psubscribe", "subscribe"}
    assert client.publish("news.today", "x") == 1
    message: Any = listener.get_message(timeout=2)
    assert message["data"] == "x"
    listener.close()
    client.execute_command("SELECT", 5)
    assert client.execute_command("WAIT", 2, 1000) == 2
    client.set("b", 1)
    assert list(client.scan_iter("b*")) == ["b"]
    assert client.info("replication")["role"] == "master"


def test_a_client_cannot_block_a_handover(real: RealCluster, user: str):
    primary = real.primary
    client = login(primary)
    hidden = client.pubsub()
    # The one way in which a client hears that channel.
    hidden.psubscribe("*")
    hidden.psubscribe(c.HANDOVER_CHANNEL)
    with pytest.raises(NoPermissionError):
        client.execute_command("SUBSCRIBE", c.HANDOVER_CHANNEL)
    assert real.redis(primary).view().handover_claims == 0
    with real.redis(primary).claim():
        assert real.redis(primary).view().handover_claims == 1
    hidden.close()


def test_even_who_may_hear_all_channels_blocks_no_handover(real: RealCluster, user: str):
    primary = real.primary
    everywhere = [node.client() for node in real.nodes.values()]
    for node in everywhere:
        node.execute_command("ACL", "SETUSER", USER, "&*")
    listeners = [login(primary).pubsub() for _ in range(3)]
    for listener in listeners:
        listener.subscribe(c.HANDOVER_CHANNEL)
        listener.get_message(timeout=2)
    assert real.nodes[primary].client().pubsub_numsub(c.HANDOVER_CHANNEL)[0][1] == 3
    assert real.redis(primary).view().handover_claims == 0
    # The scripts of the pods count in the same way.
    script = f". {c.CONFIG_DIR}/lib.sh; settings; is_claimed {primary}"
    assert real.nodes[primary].run("sh", "-c", script) != 0
    with real.redis(primary).claim():
        assert real.redis(primary).view().handover_claims == 1
        assert real.nodes[primary].run("sh", "-c", script) == 0
    for listener in listeners:
        listener.close()


def test_a_removed_user_is_thrown_out_everywhere(real: RealCluster, user: str):
    for host in real.hosts:
        for kind, port in ((c.REDIS, c.REDIS_PORT), (c.SENTINEL, c.SENTINEL_PORT)):
            client = login(host, port)
            assert client.ping()
            connection = client.connection_pool.get_connection()
            logins.remove(host, kind, user, ACCESS)
            with pytest.raises(redis.ConnectionError):
                connection.send_command("PING")
                connection.read_response()
            with pytest.raises(redis.AuthenticationError):
                login(host, port).ping()
    patiently(real.is_at_rest, "it is at rest")


def as_anybody(host: str, password: str | None = None) -> redis.Redis:
    return redis.Redis(host, c.REDIS_PORT, password=password, socket_timeout=2)


def test_default_is_opened_with_narrowed_rights_and_closed_on_all_who_came_in(real: RealCluster):
    host = real.primary
    opened = rotation.with_guests(CREDENTIALS, {}, (), Entrance(rights.ON_REDIS, 0))
    entries = {entry.name: entry for entry in opened.acl(c.REDIS)}
    (door,) = [e for e in CREDENTIALS.acl(c.REDIS) if e.name == "default"]
    with pytest.raises(redis.AuthenticationError):
        as_anybody(host).ping()
    logins.admit(host, c.REDIS, [entries["admin"]], ACCESS)
    logins.open_entrance(host, "default", rights.ON_REDIS, ACCESS)
    assert logins.read(host, c.REDIS, ACCESS).accepted["default"] == {NO_PASSWORD}
    inside = as_anybody(host)
    assert inside.set("key", "value") and inside.get("key") == b"value"
    assert as_anybody(host, "whatever").ping()
    for command in ("CONFIG GET masterauth", "ACL LIST", "FLUSHALL", "FUNCTION FLUSH"):
        with pytest.raises(NoPermissionError):
            inside.execute_command(command)
    admin = redis.Redis(
        host, c.REDIS_PORT, username="admin", password=CREDENTIALS["default"], socket_timeout=2
    )
    assert admin.execute_command("ACL LIST")
    connection = inside.connection_pool.get_connection()
    logins.close_entrance(host, "default", door.digests, door.rights, ACCESS)
    # Whoever is in with no password must not be there when the rights come back.
    with pytest.raises(redis.ConnectionError):
        connection.send_command("ACL", "LIST")
        connection.read_response()
    with pytest.raises(redis.AuthenticationError):
        as_anybody(host).ping()
    with pytest.raises(redis.AuthenticationError):
        as_anybody(host, "whatever").ping()
    assert as_anybody(host, CREDENTIALS["default"]).execute_command("ACL LIST")
    assert admin.ping()
    logins.remove(host, c.REDIS, "admin", ACCESS)


def test_a_user_is_brought_to_the_nodes_of_others_as_it_is_in_their_files(real: RealCluster):
    guest = User(USER, by="an application", rights=rights.RULES)
    credentials = rotation.with_guests(CREDENTIALS, {guest: PASSWORD}, gone=())
    host = real.replicas[0]
    for kind, port in ((c.REDIS, c.REDIS_PORT), (c.SENTINEL, c.SENTINEL_PORT)):
        (entry,) = [e for e in credentials.acl(kind) if e.name == USER]
        for _ in range(2):
            logins.admit(host, kind, [entry], ACCESS)
            assert login(host, port).ping()
        wanted = rotation.expected(credentials, kind).accepted
        assert logins.read(host, kind, ACCESS).accepted == wanted
        logins.remove(host, kind, USER, ACCESS)
    assert USER not in real.nodes[host].inside(c.SENTINEL_CONF).read_text()
