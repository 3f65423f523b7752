# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""One table of users: the secret, the ACLs and the documents follow from it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import constants as c
from passwords import rotation, secret, users
from tests.unit.worlds import CREDENTIALS

ROOT = Path(__file__).parents[3]
GUEST = users.User("relation-7", by="a client", rights={c.REDIS: "~app:* &* -@all +@read"})
KEYS = {
    "redis-password",
    "sentinel-password",
    "operator-password",
    "replication-password",
    "watcher-password",
    "peers-password",
    "exporter-password",
    "seal",
    "serial",
    "next",
    "previous",
}


def test_the_keys_in_the_secret_are_those_of_the_releases_before():
    credentials = secret.made({"redis-password": "kept", "sentinel-password": "too"})
    content = secret.content(credentials)
    assert set(content) == KEYS
    assert (content["redis-password"], content["sentinel-password"]) == ("kept", "too")
    assert (content["serial"], content["next"], content["previous"]) == ("1", "{}", "{}")
    assert secret.parse(content) == credentials


def test_a_rotation_that_an_earlier_release_began_goes_on():
    content = {
        **secret.content(CREDENTIALS),
        "next": '{"admin": "a", "sentinel_admin": "b"}',
        "previous": '{"peers": "d", "watcher": "c"}',
    }
    credentials = secret.parse(content)
    assert credentials.next == {"default": "a", "sentinel-default": "b"}
    assert credentials.previous == {"sentinel": "c", "peers": "d"}
    assert secret.content(credentials) == content


def test_a_secret_from_before_passwords_could_change_has_the_seal_of_its_time():
    content = {key: f"{key}-text" for key in KEYS if key.endswith("-password")}
    credentials = secret.parse(content)
    assert credentials.seal == "operator-password-text"
    assert (credentials.serial, credentials.next, credentials.previous) == (1, {}, {})


def test_a_user_that_a_relation_brings_travels_in_the_secret():
    credentials = rotation.with_guests(CREDENTIALS, {GUEST: "client-pw"}, gone=())
    content = secret.content(credentials)
    assert content["relation-7-password"] == "client-pw"
    assert secret.parse(content) == credentials
    (entry,) = [e for e in credentials.acl(c.REDIS) if e.name == "relation-7"]
    assert entry.rights == GUEST.rights[c.REDIS]
    assert entry.digests == (users.digest("client-pw"),)
    assert "relation-7" not in {e.name for e in credentials.acl(c.SENTINEL)}


def test_each_kind_of_node_has_one_administrator_and_one_user_of_a_name():
    for kind in (c.REDIS, c.SENTINEL):
        names = [entry.name for entry in CREDENTIALS.acl(kind)]
        assert len(set(names)) == len(names)
        assert users.administrator(kind) in users.NAMES


def test_passwords_are_long_and_never_the_same():
    made = {secret.new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) >= 32 and password.isalnum() for password in made)


def test_no_password_is_shown():
    assert "-pw" not in repr(CREDENTIALS)


def test_the_document_has_the_table():
    page = (ROOT / "docs/explanation/users.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| ([A-Za-z, ]+) \| (.*) \|$", page, re.MULTILINE)
    kinds = {c.REDIS: "Redis", c.SENTINEL: "Sentinel"}
    assert rows == [
        (user.name, ", ".join(kinds[kind] for kind in kinds if kind in user.rights), user.by)
        for user in users.TABLE
    ]


def test_the_action_names_the_users():
    action = yaml.safe_load((ROOT / "actions.yaml").read_text())["rotate-passwords"]
    assert f"One of {', '.join(users.NAMES)}." in action["params"]["user"]["description"]
