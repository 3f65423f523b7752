# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The charm with applications that use Redis: what Juju keeps then, and what they read in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import ops
import pytest
from ops import hookcmds, testing

import constants as c
import texts
from charms.redis_k8s.v0 import redis as library
from clients import keys, look
from clients.view import Client
from model import hooktools
from passwords import users
from passwords.users import NO_PASSWORD
from tests.unit.accounts import EVERYWHERE, Nodes, content, juju_password, settle
from tests.unit.juju import APP, Juju, Related, host
from tests.unit.test_library import META
from tests.unit.test_library import Client as Shop

ABLE = {"user-secrets": "1"}
SHOP = 11


@pytest.fixture
def nodes(juju: Juju, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    juju.remembers = True
    return Nodes(juju, monkeypatch)


def relate(juju: Juju, number: int = SHOP, app: str = "shop", says: Any = ABLE) -> None:
    """Run the hooks of a new relation on all units."""
    juju.related[number] = Related(app, {})
    for unit in range(juju.size):
        juju.client(unit, "created", number)
    juju.related[number].units[0] = dict(says)
    juju.client(0, "changed", number, remote_unit=0)


def part(juju: Juju, number: int = SHOP) -> None:
    """Run the hooks of the end of a relation."""
    for unit in (1, 2, 0):
        juju.client(unit, "departed", number, remote_unit=0)
    for unit in (1, 2, 0):
        juju.client(unit, "broken", number)
    del juju.related[number]


def test_a_client_gets_a_user_that_every_node_knows(juju: Juju, nodes: Nodes):
    relate(juju)
    assert nodes.having("relation-11") == set()
    settle(juju)
    assert nodes.having("relation-11") == EVERYWHERE
    (secret,) = juju.client_secrets
    assert secret.owner == "app" and secret.label == "relation-11"
    assert secret.remote_grants == {SHOP: {"shop"}}
    password = juju_password(juju, "relation-11-password")
    wanted = {"username": "relation-11", "password": password, "version": "1"}
    assert content(secret) == wanted
    for place in EVERYWHERE:
        assert nodes.known[place]["relation-11"] == {users.digest(password)}
    # Redis that starts reads them, and so does Sentinel.
    for unit in range(3):
        assert "user relation-11 on #" in juju.file(unit, c.REDIS, c.USERS_ACL)


def test_the_library_reads_what_the_charm_writes(juju: Juju, nodes: Nodes):
    relate(juju)
    settle(juju)
    (secret,) = juju.client_secrets
    related = juju.related[SHOP]
    relation = testing.Relation(
        "redis",
        remote_app_name=APP,
        remote_app_data={**related.told, "user-secret": "secret:theirs"},
        remote_units_data=dict(related.said),  # type: ignore[arg-type]
    )
    theirs = testing.Secret(content(secret), id="secret:theirs")
    ctx = testing.Context(Shop, meta=META)
    state = testing.State(relations={relation}, secrets={theirs})
    with ctx(ctx.on.relation_changed(relation), state) as manager:
        manager.run()
        shop = manager.charm.redis
        password = juju_password(juju, "relation-11-password")
        assert shop.url == f"redis://relation-11:{password}@{host(0)}:6379"
        assert shop.sentinels == [(host(n), 26379) for n in range(3)]
        assert (shop.sentinel_name, shop.tls) == (APP, False)
    # Nothing is written that the library does not know, and it knows nothing that is not.
    table = {line.split("`")[1] for line in _rows()}
    written = set(related.told) | {k for bag in related.said.values() for k in bag}
    own = {"egress-subnets", "ingress-address", "private-address"}
    assert table - {keys.CA} == {*written - own}


def _rows() -> Iterator[str]:
    """Yield the rows of the library's table of keys."""
    for line in (library.__doc__ or "").splitlines():
        if line.startswith("|") and "`" in line:
            yield line.replace("`hostname`, `port`", "`hostname`")
            if "`port`" in line:
                yield "| | `port` |"


def test_nothing_secret_is_in_a_databag(juju: Juju, nodes: Nodes):
    relate(juju)
    settle(juju)
    password = juju_password(juju, "relation-11-password")
    bags = [juju.app_data, *juju.unit_data.values()]
    bags += [juju.related[SHOP].told, *juju.related[SHOP].said.values()]
    assert not [bag for bag in bags if password in str(bag)]


def test_when_the_relation_ends_the_user_and_the_secret_go(juju: Juju, nodes: Nodes):
    relate(juju)
    settle(juju)
    part(juju)
    settle(juju)
    assert juju.client_secrets == ()
    assert nodes.having("relation-11") == set()
    assert set(nodes.killed) == {(host(n), "relation-11") for n in range(3)}
    assert "relation-11" not in str(content(juju.secret))  # type: ignore[arg-type]
    for unit in range(3):
        assert "relation-11" not in juju.file(unit, c.REDIS, c.USERS_ACL)


def test_a_unit_that_is_removed_ends_no_relation(juju: Juju, nodes: Nodes):
    relate(juju)
    settle(juju)
    juju.dying = {0}
    juju.client(0, "departed", SHOP, remote_unit=0)
    juju.client(0, "broken", SHOP)
    assert [secret.label for secret in juju.client_secrets] == ["relation-11"]
    assert nodes.having("relation-11") == EVERYWHERE


def test_an_old_library_is_refused_and_the_status_says_what_to_do(juju: Juju, nodes: Nodes):
    relate(juju, app="forum", says={})
    after = settle(juju)
    assert after.app_status == testing.BlockedStatus(texts.OLD_LIBRARY.format(apps="forum"))
    assert after.unit_status == testing.ActiveStatus()
    assert juju.client_secrets == ()
    assert not any(NO_PASSWORD in known["default"] for known in nodes.known.values())
    # It stays, in hooks that tell nothing too: none is set in the place of it.
    assert juju.update_status(0).app_status == testing.UnknownStatus()
    juju.related[SHOP].units[0] |= ABLE
    juju.client(0, "changed", SHOP, remote_unit=0)
    after = settle(juju)
    assert after.app_status == testing.ActiveStatus()
    assert nodes.having("relation-11") == EVERYWHERE


def test_by_the_option_it_comes_in_and_the_administrator_has_another_name(
    juju: Juju, nodes: Nodes
):
    juju.config = {"applications-without-password": " other, forum"}
    relate(juju, app="forum", says={})
    assert "hostname" not in juju.related[SHOP].said[1]
    after = settle(juju)
    assert after.app_status == testing.ActiveStatus(texts.OPEN.format(apps="forum"))
    doors = {p for p, known in nodes.known.items() if NO_PASSWORD in known["default"]}
    assert doors == {(host(n), c.REDIS) for n in range(3)}
    assert "user default on nopass resetchannels ~*" in juju.file(1, c.REDIS, c.USERS_ACL)
    assert juju.related[SHOP].told["leader-host"] == host(0)
    assert juju.related[SHOP].said[1]["hostname"] == host(0)
    results = juju.action(1, "get-initial-admin-password")
    assert results == {"redis-password": "admin-pw", "username": "admin"}
    part(juju)
    after = settle(juju)
    assert after.app_status == testing.ActiveStatus()
    assert not any(NO_PASSWORD in known["default"] for known in nodes.known.values())
    results = juju.action(1, "get-initial-admin-password")
    assert results == {"redis-password": "admin-pw", "username": "admin"}


def test_without_such_a_client_the_administrator_is_default(juju: Juju):
    results = juju.action(0, "get-initial-admin-password")
    assert results == {"redis-password": "admin-pw", "username": "default"}


def test_the_user_of_a_relation_gets_another_password_by_the_action(juju: Juju, nodes: Nodes):
    relate(juju)
    settle(juju)
    juju.related[SHOP].units[0]["user-version"] = "1"
    before = juju_password(juju, "relation-11-password")
    assert juju.action(0, "rotate-passwords", user="relation-11") == {"users": "relation-11"}
    after = settle(juju)
    (secret,) = juju.client_secrets
    password = juju_password(juju, "relation-11-password")
    assert password != before and content(secret)["password"] == password
    assert content(secret)["version"] == "2"
    both = {users.digest(before), users.digest(password)}
    assert all(nodes.known[place]["relation-11"] == both for place in EVERYWHERE)
    waits = texts.ROTATING_CLIENT.format(apps="shop")
    assert after.app_status == testing.MaintenanceStatus(waits)
    with pytest.raises(testing.ActionFailed) as failed:
        juju.action(0, "rotate-passwords", user="relation-11")
    assert failed.value.message == texts.STILL_ROTATING.format(units="shop")
    juju.related[SHOP].units[0]["user-version"] = "2"
    juju.client(0, "changed", SHOP, remote_unit=0)
    after = settle(juju)
    assert all(
        nodes.known[place]["relation-11"] == {users.digest(password)} for place in EVERYWHERE
    )
    assert after.app_status == testing.ActiveStatus()


def test_there_must_be_such_a_relation(juju: Juju, nodes: Nodes):
    with pytest.raises(testing.ActionFailed) as failed:
        juju.action(0, "rotate-passwords", user="relation-11")
    wanted = texts.NO_SUCH_RELATION.format(user="relation-11", users="none")
    assert failed.value.message == wanted


def test_old_revisions_of_its_secret_leave_juju(juju: Juju, nodes: Nodes):
    relate(juju)
    settle(juju)
    (secret,) = juju.client_secrets
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops.SecretRemoveEvent, "remove_revision", lambda event: seen.append(event))
        juju.run(0, lambda on, state: on.secret_remove(secret, revision=1))
        other = testing.Secret({"key": "value"}, label="another", owner="app")
        more = {juju.secret, *juju.client_secrets, other}
        juju.run(0, lambda on, _: on.secret_remove(other, revision=1), secrets=more)
    assert [event.secret.label for event in seen] == ["relation-11"]


# Hook tools that fail.


def failed(tool: str) -> ops.ModelError:
    error = ops.ModelError("connection is shut down")
    error.__cause__ = hookcmds.Error(returncode=1, cmd=[tool], stderr="connection is shut down")
    return error


@pytest.mark.parametrize("tool", ["relation-ids", "relation-list", "relation-get"])
def test_where_juju_does_not_say_who_is_related_nobody_is_shut_out(
    juju: Juju, nodes: Nodes, monkeypatch, caplog, tool
):
    relate(juju)
    settle(juju)
    secrets = juju.client_secrets

    def fail(*_: Any, **__: Any) -> Client:
        raise failed(tool)

    monkeypatch.setattr(look.databags, "read", fail)
    # However long the hook has taken: first its second chance is there, then it is spent.
    monkeypatch.setattr(hooktools, "is_spent", lambda error: False)
    with pytest.raises(testing.errors.UncaughtCharmError):
        juju.client(0, "changed", SHOP, remote_unit=0)
    monkeypatch.setattr(hooktools, "is_spent", lambda error: True)
    caplog.set_level(logging.WARNING)
    juju.client(0, "changed", SHOP, remote_unit=0)
    assert "Juju does not say who uses Redis" in caplog.text
    assert juju.client_secrets == secrets
    assert nodes.having("relation-11") == EVERYWHERE


def test_a_hook_that_tells_nothing_reads_no_databag_of_a_client(
    juju: Juju, nodes: Nodes, monkeypatch
):
    relate(juju)
    settle(juju)
    for unit in range(3):
        juju.update_status(unit)
    monkeypatch.setattr(look.databags, "read", lambda *_: pytest.fail("it reads"))
    for unit in range(3):
        assert juju.update_status(unit).unit_status == testing.UnknownStatus()


def test_after_a_switch_each_unit_says_so_in_its_own_hook(juju: Juju, nodes: Nodes):
    relate(juju)
    settle(juju)
    juju.cluster.kill(host(0), c.REDIS)
    juju.cluster.eventually(lambda: juju.cluster.named == {host(1)}, "another is primary")
    # A follower is woken by the notice, whatever the leader does meanwhile.
    juju.update_status(2)
    assert juju.related[SHOP].said[2]["hostname"] == host(1)
    assert juju.related[SHOP].said[1]["hostname"] == host(0)


def test_the_leader_reads_no_secret_that_it_gives_so_that_old_revisions_become_obsolete(
    juju: Juju, nodes: Nodes, monkeypatch
):
    relate(juju)
    settle(juju)
    read: list[str | None] = []
    get_secret = ops.Model.get_secret

    def get(model: ops.Model, *, id: str | None = None, label: str | None = None) -> ops.Secret:
        read.append(label)
        return get_secret(model, id=id, label=label)

    monkeypatch.setattr(ops.Model, "get_secret", get)
    juju.action(0, "rotate-passwords", user="relation-11")
    settle(juju)
    part(juju)
    settle(juju)
    assert juju.client_secrets == () and set(read) == {c.SECRET_LABEL}
