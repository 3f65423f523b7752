# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Passwords change: whatever the order of hooks and cuts, a password in use is accepted."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest

import constants as c
import rotation
from rotation import ChangeSecret, DropPlainPasswords, PublishSerial, SetPasswords, UsePassword
from world import ContainerView, Credentials, Logins, World

HOSTS = ("redis-k8s-0", "redis-k8s-1", "redis-k8s-2")
FIRST = Credentials(
    admin="first-admin",
    sentinel_admin="first-sentinel_admin",
    operator="first-operator",
    replication="first-replication",
    watcher="first-watcher",
    peers="first-peers",
    exporter="first-exporter",
)
NEW = {name: f"second-{name}" for name in rotation.FIELDS.values()}
READY = ContainerView(ready=True, current=True)


@dataclass
class Node:
    """One Redis or one Sentinel."""

    accepted: dict[str, set[str]]
    used: dict[str, str]

    def logins(self) -> Logins:
        users = {user: frozenset(digests) for user, digests in self.accepted.items()}
        return Logins(users, dict(self.used))


def born(credentials: Credentials, kind: str) -> Node:
    expected = rotation.expected(credentials, kind)
    users = {user: set(digests) for user, digests in expected.accepted.items()}
    return Node(users, dict(expected.used))


@dataclass
class Application:
    """All nodes, and what Juju keeps."""

    secret: Credentials = FIRST
    serials: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, dict[str, Node]] = field(default_factory=dict)
    leader: str = HOSTS[0]
    wanted: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for host in HOSTS:
            self.nodes[host] = {k: born(self.secret, k) for k in (c.REDIS, c.SENTINEL)}

    def hook(self, host: str, cut_after: int | None = None) -> int:
        """Run one hook; a cut one keeps nothing in Juju. Returns how many steps it took."""
        taken = 0
        serial, secret = self.serials.get(host), self.secret
        changed = False
        written = secret
        while True:
            world = World(
                app="redis-k8s",
                host=host,
                is_leader=host == self.leader,
                planned=HOSTS,
                credentials=secret,
                serials={**self.serials, **({host: serial} if serial else {})},
                secret_changed=changed,
                wanted_passwords=self.wanted,
                redis_container=READY,
                sentinel_container=READY,
                redis_logins=self.nodes[host][c.REDIS].logins(),
                sentinel_logins=self.nodes[host][c.SENTINEL].logins(),
            )
            steps = [*rotation.unit_steps(world), *rotation.leader_steps(world)]
            if not steps:
                break
            for step in steps:
                if taken == cut_after:
                    return taken
                taken += 1
                match step:
                    case SetPasswords(kind, user, add, remove):
                        digests = self.nodes[host][kind].accepted[user]
                        digests |= add
                        digests -= remove
                    case UsePassword(kind, setting):
                        value = getattr(secret, rotation.NODE_LOGINS[kind][setting])
                        self.nodes[host][kind].used[setting] = rotation.digest(value)
                    case PublishSerial(number):
                        serial = number
                    case ChangeSecret(credentials):
                        written, changed = credentials, True
                    case _:
                        raise AssertionError(step)
                self.check()
        if serial:
            self.serials[host] = serial
        if changed:
            self.secret = written
        return taken

    def check(self) -> None:
        """Every login that a node or the charm may try now is accepted by every node."""
        for host in HOSTS:
            for kind, target, user in (
                ("masterauth", c.REDIS, c.REPLICATION_USER),
                ("auth-pass", c.REDIS, c.WATCHER_USER),
                ("sentinel-pass", c.SENTINEL, c.PEERS_USER),
            ):
                node = c.REDIS if kind == "masterauth" else c.SENTINEL
                password = self.nodes[host][node].used[kind]
                for other in HOSTS:
                    assert password in self.nodes[other][target].accepted[user], (host, kind)
            for kind, users in rotation.NODE_USERS.items():
                for user, name in users.items():
                    now = rotation.digest(getattr(self.secret, name))
                    assert now in self.nodes[host][kind].accepted[user], (host, user)

    def over(self) -> bool:
        return not (self.secret.next or self.secret.previous) and all(
            self.serials.get(host, 1) == self.secret.serial for host in HOSTS
        )


def rotate(app: Application, order: random.Random, cuts: float) -> None:
    app.secret = rotation.begin(app.secret, NEW).credentials
    for _ in range(500):
        if app.over():
            return
        cut = order.randrange(12) if order.random() < cuts else None
        app.hook(order.choice(HOSTS), cut)
        if order.random() < cuts:
            app.leader = order.choice(HOSTS)
    raise AssertionError(f"it does not end: {app.serials}")


@pytest.mark.parametrize("seed", range(60))
def test_no_order_of_hooks_cuts_and_leaders_refuses_a_login(seed: int):
    app = Application()
    rotate(app, random.Random(seed), cuts=0.3)
    for host in HOSTS:
        for kind, users in rotation.NODE_USERS.items():
            for user, name in users.items():
                assert app.nodes[host][kind].accepted[user] == {rotation.digest(NEW[name])}


def test_a_hook_changes_the_secret_once():
    app = Application()
    app.secret = rotation.begin(FIRST, {"admin": "a-new-password"}).credentials
    app.leader = HOSTS[2]
    for host in HOSTS:
        app.hook(host)
    assert app.secret.previous == {"admin": "first-admin"}
    assert app.secret.admin == "a-new-password"


def test_what_the_operator_chooses_begins_a_rotation_once_all_are_settled():
    app = Application(wanted={"admin": "chosen-password", "peers": FIRST.peers})
    app.hook(HOSTS[0])
    assert app.secret.next == {"admin": "chosen-password"}
    before = app.secret
    app.wanted = {"admin": "another-password"}
    app.hook(HOSTS[0])
    assert app.secret is before


def test_a_unit_that_leaves_is_waited_for():
    credentials = rotation.begin(FIRST, {"admin": "a-new-password"}).credentials
    world = World(
        app="redis-k8s",
        host=HOSTS[0],
        is_leader=True,
        planned=HOSTS[:2],
        credentials=credentials,
        serials=dict.fromkeys(HOSTS[:2], 2),
    )
    assert not list(rotation.leader_steps(replace(world, leaving=frozenset({HOSTS[2]}))))
    assert list(rotation.leader_steps(world))


def test_plain_passwords_go_when_no_unit_of_the_earlier_charm_is_left():
    world = World(
        app="redis-k8s",
        host=HOSTS[0],
        is_leader=True,
        planned=HOSTS,
        credentials=FIRST,
        plain_passwords=True,
        serials=dict.fromkeys(HOSTS[:2], 1),
    )
    assert DropPlainPasswords() not in list(rotation.leader_steps(world))
    world = replace(world, serials=dict.fromkeys(HOSTS, 1))
    assert DropPlainPasswords() in list(rotation.leader_steps(world))


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"nobody": "long-enough-it-is"}, "no user nobody"),
        ({"default": ""}, "is empty"),
        ({"default": "brief"}, "shorter than 12"),
        ({"default": "x" * 513}, "longer than 512"),
        ({"default": "with spaces in it"}, "other characters"),
        ({"default": 'with"quotes"in-it'}, "other characters"),
        ({"default": "ümlauts-are-none"}, "other characters"),
    ],
)
def test_wrong_passwords_are_named_and_never_shown(chosen: dict[str, str], words: str):
    (password,) = chosen.values()
    found = rotation.check_passwords(chosen)
    assert found is not None
    assert words in found
    assert not password or password not in found


def test_right_passwords_are_taken():
    assert rotation.check_passwords({"default": "with-#!$%&()*+,-./:;<=>?@[]^_`{|}~"}) is None


def test_no_step_shows_a_password():
    step = rotation.begin(FIRST, NEW)
    assert "second-" not in repr(step)
    assert "first-" not in repr(step.credentials)
