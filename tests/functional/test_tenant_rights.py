# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a user with a prefix may do on a real Redis and a real Sentinel, and whose keys it sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError

import constants as c
from passwords import logins, rotation
from passwords.users import User
from tenants import rights
from tests.functional import client_commands as commands
from tests.functional.real import ACCESS, APP, CREDENTIALS, RealCluster, patiently

USER, OTHER = "relation-1-0123456789abcdef", "relation-2-v0"
PASSWORD = "tenant-pw"
PREFIXES = {USER: "shop:*", OTHER: "forum:"}
ODD = {"relation-3-r": "redis-k8s", "relation-3-u": "_", "relation-3-own": "__sentinel__:"}
"""Prefixes that channels of the cluster's own begin with, or that begin so."""


@pytest.fixture
def users(real: RealCluster) -> Iterator[None]:
    """Users as requests bring them, on every node."""
    guests = {
        User(name, by="an application", rights=rights.rules(prefix)): PASSWORD
        for name, prefix in (PREFIXES | ODD).items()
    }
    credentials = rotation.with_guests(CREDENTIALS, guests, gone=())
    names = {user.name for user in guests}
    for host in real.hosts:
        for kind in (c.REDIS, c.SENTINEL):
            entries = [entry for entry in credentials.acl(kind) if entry.name in names]
            logins.admit(host, kind, entries, ACCESS)
    yield
    for host in real.hosts:
        for kind in (c.REDIS, c.SENTINEL):
            for name in names:
                logins.remove(host, kind, name, ACCESS)
    patiently(real.is_at_rest, "it is at rest")


def login(host: str, user: str = USER, port: int = c.REDIS_PORT) -> redis.Redis:
    return redis.Redis(
        host, port, username=user, password=PASSWORD, decode_responses=True, socket_timeout=2
    )


def dry_run(node: redis.Redis, command: str, user: str = USER) -> str:
    return str(node.execute_command("ACL DRYRUN", user, *command.split()))


def on_own(command: str) -> str:
    """Return a command with a key and a channel of the user's own."""
    return " ".join(f"shop:{w}" if w in ("key", "news") else w for w in command.split())


def test_with_its_own_keys_it_may_do_all_that_disturbs_nobody(real: RealCluster, users: None):
    node = real.nodes[real.primary].client()
    foreign = ("SUBSCRIBE redis", "SUBSCRIBE redis-k8", "SUBSCRIBE __key", "PUBLISH redis:")
    for command in commands.REDIS_ALLOWED:
        if not command.startswith((*foreign, "PSUBSCRIBE")):
            assert dry_run(node, on_own(command)) == "OK", command
    for command in (*commands.REDIS_DENIED, "RANDOMKEY"):
        assert dry_run(node, on_own(command)) != "OK", command
    assert dry_run(node, "PSUBSCRIBE shop:*") == "OK"


def test_keys_and_channels_of_others_are_closed_to_it(real: RealCluster, users: None):
    node = real.nodes[real.primary].client()
    for command in (
        *("GET forum:a", "SET forum:a x", "DEL forum:a", "GET a", "EVAL x 1 forum:a"),
        *("RENAME shop:a forum:a", "COPY forum:a shop:a", "MGET shop:a forum:a", "GET shop"),
        *("SUBSCRIBE forum:news", "SSUBSCRIBE forum:news", "PUBLISH forum:news x", "SUBSCRIBE a"),
        *("PSUBSCRIBE *", "PSUBSCRIBE forum:*", "PSUBSCRIBE sho*", "PSUBSCRIBE __sentinel__:*"),
    ):
        assert dry_run(node, command) != "OK", command
    assert dry_run(node, "GET forum:a", OTHER) == "OK"
    shop, forum = login(real.primary), login(real.primary, OTHER)
    assert shop.set("shop:a", "mine") and forum.set("forum:a", "theirs")
    with pytest.raises(NoPermissionError):
        shop.get("forum:a")
    # Nor by a script, in another database or in a transaction.
    with pytest.raises(redis.ResponseError, match="executing the script can't"):
        shop.eval("return redis.call('get', 'forum:a')", 0)
    shop.execute_command("SELECT", 3)
    with pytest.raises(NoPermissionError):
        shop.execute_command("GET", "forum:a")
    listener, heard = shop.pubsub(), forum.pubsub()
    listener.psubscribe("shop:*")
    heard.subscribe("forum:news")
    for each in (listener, heard):
        each.get_message(timeout=2)
    assert shop.publish("shop:news", "x") == 1
    message: Any = listener.get_message(timeout=2)
    assert (message["channel"], message["data"]) == ("shop:news", "x")
    assert heard.get_message(timeout=0.2) is None
    listener.close()
    heard.close()


@pytest.mark.parametrize("user", ODD)
def test_no_prefix_opens_a_channel_of_the_clusters_own(real: RealCluster, users: None, user: str):
    node = real.nodes[real.primary].client()
    for channel in (c.HANDOVER_CHANNEL, "__sentinel__:hello"):
        for command in ("SUBSCRIBE", "SSUBSCRIBE", "PSUBSCRIBE"):
            assert dry_run(node, f"{command} {channel}", user) != "OK", command
        assert dry_run(node, f"PUBLISH {channel} x", user) != "OK"
    prefix = ODD[user].removesuffix("*")
    assert dry_run(node, f"GET {prefix}key", user) == "OK"
    # What begins as they do is left out with them.
    opens = dry_run(node, f"SUBSCRIBE {prefix}news", user) == "OK"
    assert opens is (user != "relation-3-own")


def test_on_sentinel_it_may_ask_where_everybody_is(real: RealCluster, users: None):
    node = real.nodes[real.primary].client(c.SENTINEL_PORT)
    for command in commands.SENTINEL_ALLOWED:
        assert dry_run(node, command) == "OK", command
    for command in commands.SENTINEL_DENIED:
        assert dry_run(node, command) != "OK", command
    client = login(real.primary, port=c.SENTINEL_PORT)
    named: Any = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", APP)
    assert named[0] == real.primary


def test_a_node_that_starts_has_it_as_in_the_charms_file(real: RealCluster, users: None):
    """What the file says in one line is what the orders make of it."""
    listed: Any = real.nodes[real.primary].client().execute_command("ACL LIST")
    (rule,) = [r for r in listed if r.split()[1] == USER]
    words = rule.split()
    assert "~shop:*" in words and "&shop:*" in words and "&*" not in words and "~*" not in words
    # By one who is removed everything is lost at once.
    client = login(real.primary)
    connection = client.connection_pool.get_connection()
    logins.remove(real.primary, c.REDIS, USER, ACCESS)
    with pytest.raises(redis.ConnectionError):
        connection.send_command("PING")
        connection.read_response()
    with pytest.raises(redis.AuthenticationError):
        login(real.primary).ping()
    guest = User(USER, by="an application", rights=rights.rules(PREFIXES[USER]))
    credentials = rotation.with_guests(CREDENTIALS, {guest: PASSWORD}, gone=())
    (entry,) = [each for each in credentials.acl(c.REDIS) if each.name == USER]
    logins.admit(real.primary, c.REDIS, [entry], ACCESS)
