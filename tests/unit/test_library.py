# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The library that other charms use, with a provider of now and one of before."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from charms.redis_k8s.v0 import redis

HOST = "redis-k8s.demo.svc.cluster.local"
USER = {"username": "relation-1", "password": "p@ss/wörd", "version": "4"}
LOGIN = "relation-1:p%40ss%2Fw%C3%B6rd"
UNIT_BEFORE = {"hostname": HOST, "port": "6379"}
UNIT = {**UNIT_BEFORE, "user-secrets": "1"}
APP = {"leader-host": HOST, "user-secrets": "1", "tls": "false"}
META = {"name": "client", "requires": {"redis": {"interface": "redis"}}}
JUJU_WITHOUT_SECRETS = "2.9.50"


class Client(ops.CharmBase):
    """Notes what it could read at each event of the library."""

    fails = False
    on = redis.RedisRelationCharmEvents()  # type: ignore[assignment]

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self.seen: list[str | None] = []
        self.redis = redis.RedisRequires(self)
        framework.observe(self.on.redis_relation_updated, self._on_updated)

    def _on_updated(self, _: ops.EventBase) -> None:
        self.seen.append(self.redis.url)
        if self.fails:
            raise RuntimeError("not today")


@pytest.fixture
def ctx() -> testing.Context[Client]:
    return testing.Context(Client, meta=META)


def secret(content: Mapping[str, str] = USER, **changes: Any) -> testing.Secret:
    return testing.Secret(dict(content), **changes)


def related(
    app: Mapping[str, str],
    units: Mapping[int, Mapping[str, str]] | None = None,
    own: Mapping[str, str] | None = None,
) -> testing.Relation:
    """Return the relation as the provider has filled it in."""
    return testing.Relation(
        "redis",
        remote_app_name="redis-k8s",
        remote_app_data=dict(app),
        remote_units_data={n: dict(data) for n, data in (units or {0: UNIT}).items()},
        local_unit_data={**testing.Relation("redis").local_unit_data, **(own or {})},
    )


def ready(app: Mapping[str, str] | None = None) -> tuple[testing.Relation, testing.Secret]:
    """Return a relation with its user."""
    user = secret()
    return related({**APP, "user-secret": user.id, **(app or {})}), user


def run(
    ctx: testing.Context[Client],
    event: Callable[[Any], Any],
    *relations: testing.Relation,
    secrets: tuple[testing.Secret, ...] = (),
) -> tuple[list[str | None], Client, testing.State]:
    """Return what the charm read at the library's events, the charm, and the state after."""
    state = testing.State(relations=set(relations), secrets=set(secrets))
    with ctx(event(ctx.on), state) as manager:
        after = manager.run()
        return manager.charm.seen, manager.charm, after


def said(state: testing.State) -> dict[str, str]:
    """Return what the library has written into the databag of its unit."""
    (relation,) = state.get_relations("redis")
    data = dict(relation.local_unit_data)
    return {key: text for key, text in data.items() if key.startswith("user-")}


# The requirer, with a provider of now.


@pytest.mark.parametrize(
    "event",
    [
        lambda on, relation: on.relation_created(relation),
        lambda on, relation: on.relation_joined(relation, remote_unit=0),
        lambda on, relation: on.relation_changed(relation),
        lambda on, relation: on.upgrade_charm(),
        lambda on, relation: on.config_changed(),
    ],
    ids=["created", "joined", "changed", "upgrade", "config"],
)
def test_every_unit_says_that_it_can_take_a_user(ctx, event):
    relation = related({})
    _, _, after = run(ctx, lambda on: event(on, relation), relation)
    assert said(after) == {"user-secrets": "1"}


def test_the_url_has_the_user_and_what_it_is_made_of_can_be_read(ctx):
    relation, user = ready({"sentinels": "h-0:26379,h-1:26379", "sentinel-name": "redis-k8s"})
    seen, charm, after = run(
        ctx, lambda on: on.relation_changed(relation, remote_unit=0), relation, secrets=(user,)
    )
    assert seen == [f"redis://{LOGIN}@{HOST}:6379"]
    assert (charm.redis.username, charm.redis.password) == ("relation-1", "p@ss/wörd")
    assert (charm.redis.host, charm.redis.port) == (HOST, "6379")
    assert charm.redis.sentinels == [("h-0", 26379), ("h-1", 26379)]
    assert charm.redis.sentinel_name == "redis-k8s"
    assert (charm.redis.tls, charm.redis.tls_ca) == (False, None)
    assert said(after) == {"user-secrets": "1", "user-version": "4"}


def test_with_tls_the_url_says_so_and_the_authorities_can_be_read(ctx):
    relation, user = ready({"tls": "true", "tls-ca": "-----BEGIN CERTIFICATE-----"})
    seen, charm, _ = run(ctx, lambda on: on.relation_changed(relation), relation, secrets=(user,))
    assert seen == [f"rediss://{LOGIN}@{HOST}:6379"]
    assert (charm.redis.tls, charm.redis.tls_ca) == (True, "-----BEGIN CERTIFICATE-----")


def test_there_is_no_url_without_user_before_the_user_is_there(ctx):
    # A unit speaks before the application does.
    for app in ({}, APP):
        seen, charm, after = run(ctx, lambda on: on.relation_changed(r), r := related(app))
        assert (seen, charm.redis.host) == ([None], HOST)
        assert said(after) == {"user-secrets": "1"}


def test_a_secret_that_cannot_be_read_yet_is_read_once_it_can(ctx):
    relation, user = ready()
    seen, _, after = run(ctx, lambda on: on.relation_changed(relation), relation)
    assert seen == [None]
    assert said(after) == {"user-secrets": "1"}
    seen, _, after = run(ctx, lambda on: on.relation_changed(relation), relation, secrets=(user,))
    assert seen == [f"redis://{LOGIN}@{HOST}:6379"]


@pytest.mark.parametrize("error", [ops.ModelError("permission denied"), ops.SecretNotFoundError()])
def test_a_secret_that_is_no_longer_granted_is_no_error(ctx, monkeypatch, error):
    def refuse(*_: Any, **__: Any) -> ops.Secret:
        raise error

    monkeypatch.setattr(ops.Model, "get_secret", refuse)
    relation, user = ready()
    seen, _, _ = run(ctx, lambda on: on.relation_changed(relation), relation, secrets=(user,))
    assert seen == [None]


def test_a_new_password_comes_with_the_secret_and_is_told_of_afterwards(ctx):
    user = secret(USER, latest_content={**USER, "password": "new", "version": "5"})
    relation = related({**APP, "user-secret": user.id}, own={"user-version": "4"})
    seen, _, after = run(ctx, lambda on: on.secret_changed(user), relation, secrets=(user,))
    assert seen == [f"redis://relation-1:new@{HOST}:6379"]
    assert said(after)["user-version"] == "5"


def test_before_its_event_the_password_stays_the_one_that_the_application_has(ctx):
    user = secret(USER, latest_content={**USER, "password": "new", "version": "5"})
    relation = related({**APP, "user-secret": user.id}, own={"user-version": "4"})
    _, charm, after = run(ctx, lambda on: on.update_status(), relation, secrets=(user,))
    seen, _, after = run(ctx, lambda on: on.relation_changed(relation), relation, secrets=(user,))
    assert seen == [f"redis://{LOGIN}@{HOST}:6379"]
    assert said(after)["user-version"] == "4"


def test_a_unit_whose_handler_fails_has_not_taken_the_password(ctx, monkeypatch):
    monkeypatch.setattr(Client, "fails", True)
    words: list[str] = []
    monkeypatch.setattr(redis.RedisRequires, "_say", lambda *given: words.extend(given[2:]))
    relation, user = ready()
    with pytest.raises(testing.errors.UncaughtCharmError):
        run(ctx, lambda on: on.secret_changed(user), relation, secrets=(user,))
    assert words == []


def test_secrets_of_others_are_none_of_its_business(ctx):
    relation, user = ready()
    other = secret({"key": "value"})
    seen, _, _ = run(ctx, lambda on: on.secret_changed(other), relation, secrets=(user, other))
    assert seen == []
    seen, _, _ = run(ctx, lambda on: on.secret_changed(other), secrets=(other,))
    assert seen == []


@pytest.mark.parametrize("event_id", ["secret:abc", "secret://5d2f/abc", "abc"])
@pytest.mark.parametrize("bag_id", ["secret:abc", "secret://5d2f/abc", "abc"])
def test_a_secret_is_known_by_every_form_of_its_id(event_id, bag_id):
    class Known:
        id = event_id

    assert redis.RedisRequires._is_same(Known, bag_id)  # type: ignore[arg-type]
    assert not redis.RedisRequires._is_same(Known, f"{bag_id}d")  # type: ignore[arg-type]
    assert not redis.RedisRequires._is_same(Known, None)  # type: ignore[arg-type]


def test_a_change_of_the_application_alone_is_heard(ctx):
    relation, user = ready({"leader-host": "elsewhere"})
    seen, _, _ = run(ctx, lambda on: on.relation_changed(relation), relation, secrets=(user,))
    assert seen == [f"redis://{LOGIN}@elsewhere:6379"]


def test_when_the_relation_ends_there_is_nothing_left(ctx):
    relation, user = ready()
    seen, charm, _ = run(ctx, lambda on: on.relation_broken(relation), relation, secrets=(user,))
    assert seen == [None]
    assert (charm.redis.host, charm.redis.password) == (None, None)
    assert (charm.redis.sentinels, charm.redis.tls) == ([], False)


def test_without_a_relation_there_is_nothing(ctx):
    _, charm, _ = run(ctx, lambda on: on.update_status())
    assert charm.redis.relation_data is None
    assert charm.redis.app_data is None
    assert charm.redis.url is None


# With a provider of before.


def test_with_a_provider_of_before_the_url_is_as_it_was(ctx):
    relation = related({"leader-host": "primary"}, {0: UNIT_BEFORE})
    seen, charm, after = run(
        ctx, lambda on: on.relation_changed(relation, remote_unit=0), relation
    )
    assert seen == ["redis://primary:6379"]
    assert dict(charm.redis.app_data or {}) == {"leader-host": "primary"}
    assert (charm.redis.relation_data or {})["hostname"] == HOST
    assert said(after) == {"user-secrets": "1"}
    relation = related({}, {0: UNIT_BEFORE})
    seen, _, _ = run(ctx, lambda on: on.relation_joined(relation, remote_unit=0), relation)
    assert seen == [f"redis://{HOST}:6379"]


def test_there_is_no_url_before_there_is_a_host(ctx):
    relation = related({}, {0: {}})
    seen, _, _ = run(ctx, lambda on: on.relation_joined(relation, remote_unit=0), relation)
    assert seen == [None]
    relation = related({}, {0: {}, 1: UNIT_BEFORE})
    seen, _, _ = run(ctx, lambda on: on.relation_changed(relation, remote_unit=1), relation)
    assert seen == [f"redis://{HOST}:6379"]


# With an older Juju, and with an older ops.


def test_with_a_juju_without_secrets_it_says_that_it_can_take_no_user():
    ctx = testing.Context(Client, meta=META, juju_version=JUJU_WITHOUT_SECRETS)
    relation = related({**APP, "user-secret": "secret:abc"})
    seen, _, after = run(ctx, lambda on: on.relation_changed(relation), relation)
    assert seen == [f"redis://{HOST}:6379"]
    assert said(after) == {}


def test_it_needs_nothing_but_ops_and_the_python_of_an_old_base():
    source = Path(redis.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        (node.module or "").partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    } | {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert imported == {"__future__", "collections", "logging", "typing", "urllib", "ops"}
    # Names of ops that any release has; the top of ops has them since 2.0 only.
    modules = {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ops")
    }
    assert modules == {"ops.charm", "ops.framework", "ops.jujuversion", "ops.model"}


def test_it_is_what_charmhub_knows_by_this_name():
    assert (redis.LIBID, redis.LIBAPI) == ("fe18a608cec5465fa5153e419abcad7b", 0)
    assert redis.LIBPATCH == 8


# The provider's side.


class Provider(ops.CharmBase):
    """Offers what it is told to."""

    current_master: str | None = HOST

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self.redis = redis.RedisProvides(self, 6379)


@pytest.fixture
def provider() -> testing.Context[Provider]:
    meta = {"name": "redis", "provides": {"redis": {"interface": "redis"}}}
    return testing.Context(Provider, meta=meta)


def test_a_provider_without_users_tells_where_its_primary_is(provider, monkeypatch):
    relation = testing.Relation("redis")
    for event in (provider.on.relation_created, provider.on.relation_changed):
        after = provider.run(event(relation), testing.State(relations={relation}))
        (found,) = after.get_relations("redis")
        assert UNIT_BEFORE.items() <= found.local_unit_data.items()
    monkeypatch.setattr(Provider, "current_master", None)
    state = testing.State(relations={relation})
    after = provider.run(provider.on.relation_created(relation), state)
    assert "hostname" not in after.get_relation(relation.id).local_unit_data
