# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Passwords change: whatever the order of hooks and cuts, a password in use is accepted."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest

import constants as c
from clients.view import ClientsView
from engine.world import ContainerView, World
from passwords import rotation, users
from passwords.rotation import ChangeSecret, DropPlainPasswords, PublishSerial
from passwords.users import Credentials
from tests.unit import logins

HOSTS = ("redis-k8s-0", "redis-k8s-1", "redis-k8s-2")
FIRST = Credentials(
    passwords={
        "default": "first-admin",
        "sentinel-default": "first-sentinel_admin",
        "operator": "first-operator",
        "replication": "first-replication",
        "sentinel": "first-watcher",
        "peers": "first-peers",
        "exporter": "first-exporter",
    }
)
NEW = {name: f"second-{name}" for name in users.NAMES}
READY = ContainerView(ready=True, current=True)


@dataclass
class Application:
    """All nodes, and what Juju keeps."""

    secret: Credentials = FIRST
    serials: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, dict[str, logins.Node]] = field(default_factory=dict)
    leader: str = HOSTS[0]
    wanted: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for host in HOSTS:
            self.nodes[host] = {kind: logins.started(self.secret, kind) for kind in logins.KINDS}

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
                # The application that has this user takes each new password at once.
                clients=ClientsView(taken=frozenset({"relation-7"})),
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
                    case PublishSerial(number):
                        serial = number
                    case ChangeSecret(credentials):
                        written, changed = credentials, True
                    case _:
                        logins.take(step, self.nodes[host], secret)
                logins.check(self.nodes, self.secret)
        if serial:
            self.serials[host] = serial
        if changed:
            self.secret = written
        return taken

    def over(self) -> bool:
        return not (self.secret.next or self.secret.previous) and all(
            self.serials.get(host, 1) == self.secret.serial for host in HOSTS
        )


def rotate(app: Application, order: random.Random, cuts: float) -> None:
    app.secret = rotation.begin(app.secret, NEW).credentials
    go_on(app, order, cuts)


def go_on(app: Application, order: random.Random, cuts: float) -> None:
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
        for kind in (c.REDIS, c.SENTINEL):
            for user in users.TABLE:
                if kind in user.rights:
                    now = app.nodes[host][kind].accepted[user.listed]
                    assert now == {users.digest(NEW[user.name])}


def test_a_hook_changes_the_secret_once():
    app = Application()
    app.secret = rotation.begin(FIRST, {"default": "a-new-password"}).credentials
    app.leader = HOSTS[2]
    for host in HOSTS:
        app.hook(host)
    assert app.secret.previous == {"default": "first-admin"}
    assert app.secret["default"] == "a-new-password"


@pytest.mark.parametrize("seed", range(20))
def test_a_user_that_comes_with_a_relation_is_on_all_nodes_until_it_goes(seed: int):
    order = random.Random(seed)
    guest = users.User("relation-7", by="a client", rights={c.REDIS: "~app:* +@read"})
    app = Application()
    app.secret = rotation.with_guests(FIRST, {guest: "client-pw"}, gone=())
    go_on(app, order, cuts=0.3)
    for host in HOSTS:
        assert app.nodes[host][c.REDIS].accepted["relation-7"] == {users.digest("client-pw")}
        assert "relation-7" not in app.nodes[host][c.SENTINEL].accepted
        # Somebody else's users are nobody's affair.
        app.nodes[host][c.REDIS].accepted["by-hand"] = {"digest"}

    app.secret = rotation.begin(app.secret, {"relation-7": "another-pw"}).credentials
    go_on(app, order, cuts=0.3)
    for host in HOSTS:
        assert app.nodes[host][c.REDIS].accepted["relation-7"] == {users.digest("another-pw")}

    app.secret = rotation.with_guests(app.secret, {}, gone=["relation-7"])
    go_on(app, order, cuts=0.3)
    for host in HOSTS:
        assert "relation-7" not in app.nodes[host][c.REDIS].accepted
        assert "by-hand" in app.nodes[host][c.REDIS].accepted


def test_what_the_operator_chooses_begins_a_rotation_once_all_are_settled():
    app = Application(wanted={"default": "chosen-password", "peers": FIRST["peers"]})
    app.hook(HOSTS[0])
    assert app.secret.next == {"default": "chosen-password"}
    before = app.secret
    app.wanted = {"default": "another-password"}
    app.hook(HOSTS[0])
    assert app.secret is before


def test_a_unit_that_leaves_is_waited_for():
    credentials = rotation.begin(FIRST, {"default": "a-new-password"}).credentials
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
