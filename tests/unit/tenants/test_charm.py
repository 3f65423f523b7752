# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The charm with applications that ask for users, and what the library of these reads."""

from __future__ import annotations

import json
import logging
import warnings
from typing import Any

import ops
import pytest
from ops import hookcmds, testing

import constants as c
import texts
from model import hooktools
from passwords import users
from tenants import databags
from tests.unit.accounts import EVERYWHERE, Nodes, content, juju_password, settle
from tests.unit.juju import APP, Juju, Related, host

with warnings.catch_warnings():
    # pydantic finds fault with the library's fields.
    warnings.simplefilter("ignore")
    from dpcharmlibs import interfaces

SHOP = 21
ID, OTHER = "0123456789abcdef", "fedcba9876543210"
REQUEST = {"resource": "shop:*", "request-id": ID, "salt": "salt"}
USER = f"relation-{SHOP}-{ID}"
PRIMARY = f"{host(0)}:6379"


def v1(*requests: Any) -> dict[str, str]:
    return {"version": "v1", "requests": json.dumps(list(requests))}


@pytest.fixture
def nodes(juju: Juju, monkeypatch: pytest.MonkeyPatch) -> Nodes:
    juju.remembers = True
    return Nodes(juju, monkeypatch)


def relate(juju: Juju, asks: dict[str, str], number: int = SHOP, app: str = "shop") -> None:
    """Run the hooks of a new relation that a unit does not sleep through."""
    juju.related[number] = Related(app, {0: {}}, asks={})
    juju.client(0, "created", number)
    ask(juju, asks, number)


def ask(juju: Juju, asks: dict[str, str], number: int = SHOP) -> testing.State:
    juju.related[number].asks = dict(asks)
    juju.client(0, "changed", number)
    return settle(juju)


def part(juju: Juju, number: int = SHOP) -> None:
    juju.client(0, "broken", number)
    del juju.related[number]
    settle(juju)


def secrets(juju: Juju) -> dict[str | None, dict[str, str]]:
    return {secret.label: content(secret) for secret in juju.client_secrets}


def label(group: str, identity: str = ID) -> str:
    return f"valkey-client.{SHOP}.{identity}.{group}.secret"


def answers(juju: Juju) -> list[dict[str, str]]:
    return json.loads(juju.related[SHOP].told["requests"])


def test_each_request_gets_a_user_that_every_node_knows(juju: Juju, nodes: Nodes):
    second = {**REQUEST, "request-id": OTHER, "resource": "*"}
    relate(juju, v1(REQUEST, second))
    other = f"relation-{SHOP}-{OTHER}"
    for user in (USER, other):
        assert nodes.having(user) == EVERYWHERE
    password = juju_password(juju, f"{USER}-password")
    assert secrets(juju) == {
        label("user"): {"username": USER, "password": password},
        label("tls"): {"tls": "false"},
        label("user", OTHER): {
            "username": other,
            "password": juju_password(juju, f"{other}-password"),
        },
        label("tls", OTHER): {"tls": "false"},
    }
    assert all(s.remote_grants == {SHOP: {"shop"}} for s in juju.client_secrets)
    for unit in range(3):
        assert f"user {USER} on #" in juju.file(unit, c.REDIS, c.USERS_ACL)
        assert "~shop:* &shop:*" in juju.file(unit, c.REDIS, c.USERS_ACL)
        assert not juju.related[SHOP].said.get(unit, {}).keys() & {"hostname", "port"}
    bags = [juju.app_data, *juju.unit_data.values(), juju.related[SHOP].told]
    assert not [bag for bag in bags if password in str(bag)]


class Shop(ops.CharmBase):
    """A charm with the library."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        request = interfaces.RequirerCommonModel(resource="shop:*", salt="salt")
        self.valkey = interfaces.ResourceRequirerEventHandler(
            self, "valkey", [request], interfaces.ValkeyResponseModel
        )
        on = self.valkey.on
        for event in (on.resource_created, on.endpoints_changed, on.authentication_updated):
            framework.observe(event, self._on_event)

    def _on_event(self, event: Any) -> None:
        SEEN.append(event.response)


SEEN: list[Any] = []
META = {"name": "shop", "requires": {"valkey": {"interface": "valkey_client"}}}


def as_read(juju: Juju, event: str = "changed") -> list[Any]:
    """Return what the library of the other side makes of what the charm wrote."""
    told = dict(juju.related[SHOP].told)
    theirs, ids = set(), {}
    for secret in juju.client_secrets:
        ids[secret.id] = f"secret:theirs{len(ids)}"
        theirs.add(testing.Secret(content(secret), id=ids[secret.id]))
    for key, text in told.items():
        for ours, other in ids.items():
            text = text.replace(ours, other)
        told[key] = text
    relation = testing.Relation(
        "valkey",
        id=SHOP,
        remote_app_name=APP,
        remote_app_data=told,
        remote_units_data={0: {}},
        local_app_data=dict(juju.related[SHOP].asks or {}),
    )
    SEEN.clear()
    ctx = testing.Context(Shop, meta=META)
    state = testing.State(relations={relation}, secrets=theirs, leader=True)
    ctx.run(getattr(ctx.on, f"relation_{event}")(relation), state)
    return list(SEEN)


def test_the_library_of_the_other_side_reads_what_the_charm_writes(juju: Juju, nodes: Nodes):
    relate(juju, v1(REQUEST))
    (read,) = as_read(juju)
    assert (read.request_id, read.resource, read.salt) == (ID, "shop:*", "salt")
    assert (read.username, read.tls) == (USER, False)
    assert read.password == juju_password(juju, f"{USER}-password")
    # Whoever puts it into a URL puts all of it there.
    assert read.endpoints == PRIMARY
    assert read.read_only_endpoints == f"{host(1)}:6379,{host(2)}:6379"
    assert read.sentinel_endpoints == ",".join(f"{host(n)}:26379" for n in range(3))
    assert (read.mode, read.version) == ("sentinel", "7.0.15")
    # It is as the library itself would have written it: nothing is lost on the way.
    form = interfaces.DataContractV1[interfaces.ValkeyResponseModel]
    told = {"requests": answers(juju), "version": juju.related[SHOP].told["version"]}
    parsed = form.model_validate(told).model_dump(mode="json", exclude_none=True)
    assert parsed == told
    known = {field.replace("_", "-") for field in interfaces.ValkeyResponseModel.model_fields}
    assert all(answer.keys() <= known for answer in answers(juju))


def test_the_form_v0_is_answered_flat(juju: Juju, nodes: Nodes):
    relate(juju, {"database": "shop", "requested-secrets": '["username", "password"]'})
    told = juju.related[SHOP].told
    user = f"relation-{SHOP}-v0"
    assert nodes.having(user) == EVERYWHERE
    ids = {secret.label: secret.id for secret in juju.client_secrets}
    wanted = {
        "database": "shop",
        "resource": "shop",
        "endpoints": PRIMARY,
        "read-only-endpoints": f"{host(1)}:6379,{host(2)}:6379",
        "sentinel-endpoints": ",".join(f"{host(n)}:26379" for n in range(3)),
        "mode": "sentinel",
        "version": "7.0.15",
        "secret-user": ids[f"valkey-client.{SHOP}.user.secret"],
        "secret-tls": ids[f"valkey-client.{SHOP}.tls.secret"],
    }
    own = {"served", "egress-subnets", "ingress-address", "private-address"}
    assert {key: text for key, text in told.items() if key not in own} == wanted
    response = interfaces.DataContractV0.model_validate(told)
    assert (response.resource, response.endpoints) == ("shop", PRIMARY)
    part(juju)
    assert juju.client_secrets == () and nodes.having(user) == set()


def test_from_v0_to_v1_the_old_user_goes_when_the_new_one_is_told(juju: Juju, nodes: Nodes):
    relate(juju, {"database": "shop"})
    ask(juju, v1(REQUEST))
    settle(juju)
    told = juju.related[SHOP].told
    assert told["version"] == "v1" and not told.keys() & {"database", "endpoints", "secret-user"}
    assert set(secrets(juju)) == {label("user"), label("tls")}
    assert nodes.having(f"relation-{SHOP}-v0") == set()
    assert nodes.having(USER) == EVERYWHERE


def test_a_request_that_goes_takes_its_user_along_and_no_other(juju: Juju, nodes: Nodes):
    second = {**REQUEST, "request-id": OTHER}
    relate(juju, v1(REQUEST, second))
    ask(juju, v1(second))
    settle(juju)
    assert set(secrets(juju)) == {label("user", OTHER), label("tls", OTHER)}
    assert nodes.having(USER) == set()
    assert set(nodes.killed) == {(host(n), USER) for n in range(3)}
    assert [answer["request-id"] for answer in answers(juju)] == [OTHER]
    ask(juju, v1())
    settle(juju)
    assert juju.client_secrets == () and answers(juju) == []
    part(juju)
    assert "relation-" not in str(content(juju.secret))  # type: ignore[arg-type]


def test_both_interfaces_stand_side_by_side(juju: Juju, nodes: Nodes):
    relate(juju, v1(REQUEST))
    juju.related[11] = Related("forum", {0: {"user-secrets": "1"}})
    for unit in range(3):
        juju.client(unit, "created", 11)
    # One hook that has to change the secret for both changes it for one.
    ask(juju, v1(REQUEST, {**REQUEST, "request-id": OTHER}))
    settle(juju)
    assert nodes.having("relation-11") == nodes.having(USER) == EVERYWHERE
    assert nodes.having(f"relation-{SHOP}-{OTHER}") == EVERYWHERE
    part(juju)
    assert nodes.having("relation-11") == EVERYWHERE and nodes.having(USER) == set()
    assert set(secrets(juju)) == {"relation-11"}


@pytest.mark.parametrize(
    ("asks", "why"),
    [
        (v1({**REQUEST, "resource": "other:*"}), texts.WHY_CHANGED.format(resource="shop:*")),
        (v1({**REQUEST, "resource": ["x"]}), texts.WHY_BAD_PREFIX),
        (v1({**REQUEST, "entity-type": "GROUP"}), texts.WHY_ENTITY),
        (v1({"resource": "x"}), texts.WHY_BAD_ID),
        ({"version": "v1", "requests": "{"}, texts.WHY_NOT_A_LIST),
        ({"version": "v9"}, texts.WHY_BAD_VERSION),
    ],
)
def test_a_request_that_is_spoilt_is_named_and_goes_on_as_before(
    juju: Juju, nodes: Nodes, asks: dict[str, str], why: str
):
    relate(juju, v1(REQUEST))
    before, given = dict(juju.related[SHOP].told), secrets(juju)
    after = ask(juju, asks)
    blocked = testing.BlockedStatus(texts.BAD_REQUEST.format(app="shop", why=why))
    assert after.app_status == blocked and after.unit_status == testing.ActiveStatus()
    # It stays, in hooks that tell nothing too: none is set in the place of it.
    assert juju.update_status(0).app_status == testing.UnknownStatus()
    assert (juju.related[SHOP].told, secrets(juju)) == (before, given)
    assert nodes.having(USER) == EVERYWHERE
    # What moves goes on being told.
    juju.cluster.kill(host(0), c.REDIS)
    juju.cluster.eventually(lambda: juju.cluster.named == {host(1)}, "another is primary")
    juju.update_status(0)
    assert answers(juju)[0]["endpoints"] == f"{host(1)}:6379"
    assert ask(juju, v1(REQUEST)).app_status != blocked


def test_one_that_never_made_sense_is_named_and_gets_nothing(juju: Juju, nodes: Nodes):
    relate(juju, v1({**REQUEST, "resource": "a b"}))
    after = settle(juju)
    text = texts.BAD_REQUEST.format(app="shop", why=texts.WHY_BAD_PREFIX)
    assert after.app_status == testing.BlockedStatus(text)
    assert juju.client_secrets == () and "requests" not in juju.related[SHOP].told


def release(juju: Juju, revision: int, group: str = "user") -> None:
    """Run the hook that tells that nobody has an old revision any more."""
    (secret,) = [s for s in juju.client_secrets if s.label == label(group)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops.SecretRemoveEvent, "remove_revision", lambda _: None)
        juju.run(0, lambda on, _: on.secret_remove(secret, revision=revision))


def test_both_passwords_are_right_until_nobody_has_the_old_revision(juju: Juju, nodes: Nodes):
    relate(juju, v1(REQUEST))
    before = juju_password(juju, f"{USER}-password")
    assert juju.action(0, "rotate-passwords", user=USER) == {"users": USER}
    after = settle(juju)
    password = juju_password(juju, f"{USER}-password")
    assert secrets(juju)[label("user")] == {"username": USER, "password": password}
    both = {users.digest(before), users.digest(password)}
    assert password != before and all(nodes.known[p][USER] == both for p in EVERYWHERE)
    waits = texts.ROTATING_CLIENT.format(apps="shop")
    assert after.app_status == testing.MaintenanceStatus(waits)
    # That nobody has another secret's revision, or an older one, says nothing.
    release(juju, 1, "tls")
    release(juju, 7)
    settle(juju)
    assert all(nodes.known[p][USER] == both for p in EVERYWHERE)
    release(juju, 1)
    after = settle(juju)
    assert all(nodes.known[p][USER] == {users.digest(password)} for p in EVERYWHERE)
    assert after.app_status == testing.ActiveStatus()


def test_the_next_rotation_ends_the_password_before_the_last(juju: Juju, nodes: Nodes):
    relate(juju, v1(REQUEST))
    seen = [juju_password(juju, f"{USER}-password")]
    for _ in range(2):
        juju.action(0, "rotate-passwords", user=USER)
        settle(juju)
        seen.append(juju_password(juju, f"{USER}-password"))
    wanted = {users.digest(password) for password in seen[1:]}
    assert len(set(seen)) == 3 and all(nodes.known[p][USER] == wanted for p in EVERYWHERE)


def test_another_leader_goes_on_with_a_rotation(juju: Juju, nodes: Nodes):
    relate(juju, v1(REQUEST))
    juju.action(0, "rotate-passwords", user=USER)
    juju.leader = 1
    for _ in range(4):
        for unit in (2, 0, 1):
            juju.run(unit, lambda on, state: on.relation_changed(juju.peers(state)))
    password = juju_password(juju, f"{USER}-password")
    assert secrets(juju)[label("user")]["password"] == password
    (secret,) = [s for s in juju.client_secrets if s.label == label("user")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops.SecretRemoveEvent, "remove_revision", lambda _: None)
        juju.run(1, lambda on, _: on.secret_remove(secret, revision=1))
    for unit in (0, 2, 1):
        juju.run(unit, lambda on, state: on.relation_changed(juju.peers(state)))
    assert all(nodes.known[p][USER] == {users.digest(password)} for p in EVERYWHERE)


def test_old_revisions_of_all_its_secrets_leave_juju(juju: Juju, nodes: Nodes):
    relate(juju, v1(REQUEST))
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops.SecretRemoveEvent, "remove_revision", lambda event: seen.append(event))
        for secret in juju.client_secrets:
            juju.run(0, lambda on, _, s=secret: on.secret_remove(s, revision=1))
    assert {event.secret.label for event in seen} == {label("user"), label("tls")}


def test_the_leader_reads_no_secret_that_it_gives(juju: Juju, nodes: Nodes, monkeypatch):
    """Else it tracked the old revision, and an old password never ended."""
    read: list[str | None] = []
    get_secret = ops.Model.get_secret

    def get(model: ops.Model, *, id: str | None = None, label: str | None = None) -> ops.Secret:
        read.append(label)
        return get_secret(model, id=id, label=label)

    monkeypatch.setattr(ops.Model, "get_secret", get)
    relate(juju, v1(REQUEST))
    juju.action(0, "rotate-passwords", user=USER)
    settle(juju)
    release(juju, 1)
    part(juju)
    assert juju.client_secrets == () and set(read) == {c.SECRET_LABEL}


def test_a_hook_that_tells_nothing_reads_no_databag_until_the_primary_moves(
    juju: Juju, nodes: Nodes, monkeypatch
):
    relate(juju, v1(REQUEST))
    for unit in range(3):
        juju.update_status(unit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(databags, "read", lambda *_: pytest.fail("it reads"))
        for unit in range(3):
            assert juju.update_status(unit).unit_status == testing.UnknownStatus()
    juju.cluster.kill(host(0), c.REDIS)
    juju.cluster.eventually(lambda: juju.cluster.named == {host(1)}, "another is primary")
    juju.update_status(0)
    (read,) = as_read(juju)
    assert read.endpoints == f"{host(1)}:6379"


def failed(tool: str) -> ops.ModelError:
    error = ops.ModelError("connection is shut down")
    error.__cause__ = hookcmds.Error(returncode=1, cmd=[tool], stderr="connection is shut down")
    return error


def test_where_juju_does_not_say_who_asks_nobody_is_shut_out(
    juju: Juju, nodes: Nodes, monkeypatch, caplog
):
    relate(juju, v1(REQUEST))
    given = secrets(juju)

    def fail(*_: Any, **__: Any) -> Any:
        raise failed("relation-get")

    monkeypatch.setattr(databags, "read", fail)
    monkeypatch.setattr(hooktools, "is_spent", lambda error: False)
    with pytest.raises(testing.errors.UncaughtCharmError):
        juju.client(0, "changed", SHOP)
    monkeypatch.setattr(hooktools, "is_spent", lambda error: True)
    caplog.set_level(logging.WARNING)
    juju.client(0, "changed", SHOP)
    assert "Juju does not say who asks for users" in caplog.text
    assert secrets(juju) == given and nodes.having(USER) == EVERYWHERE


def test_what_was_seen_and_not_told_is_told_by_the_next_hook(
    juju: Juju, nodes: Nodes, monkeypatch
):
    """As after a switchover whose hook had no time left."""
    relate(juju, v1(REQUEST))
    juju.update_status(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(databags, "reply", lambda *_: None)
        juju.action(0, "switchover", unit="redis-k8s/1")
    assert answers(juju)[0]["endpoints"] == PRIMARY
    for _ in range(3):
        juju.cluster.eventually(juju.cluster.is_at_rest, "at rest")
        juju.update_status(0)
    assert answers(juju)[0]["endpoints"] == f"{host(1)}:6379"


def test_when_all_have_gone_the_leader_remembers_nothing(juju: Juju, nodes: Nodes):
    relate(juju, v1(REQUEST))
    juju.update_status(0)

    def remembered() -> object:
        (state,) = (s for s in juju._remembered[0] if s.name == "_memory")
        return state.content["tenants"]

    place = f"{PRIMARY} {host(1)}:6379,{host(2)}:6379"
    assert remembered() == {"place": place, "waits": False}
    part(juju)
    juju.update_status(0)
    assert remembered() == {}
