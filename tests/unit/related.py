# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""An application with clients, in memory: what Juju keeps, the nodes' users, the clients."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import constants as c
from clients import keys, plan
from clients.plan import HandOver, RecordName, SayHost, TakeBack, Tell
from clients.view import Client, ClientsView
from engine.steps import AskAgain, Step
from engine.world import ContainerView, World
from passwords import rotation
from passwords.rotation import (
    AdmitUsers,
    ChangeGuests,
    ChangeSecret,
    CloseEntrance,
    OpenEntrance,
    PublishSerial,
)
from passwords.users import NO_PASSWORD, Credentials, digest, is_guest
from service.view import ServiceView
from tests.unit import logins
from tests.unit.worlds import CREDENTIALS, H0, H1, H2, at_rest

HOSTS = (H0, H1, H2)
READY = ContainerView(
    ready=True,
    current=True,
    running=frozenset({"redis", "sentinel"}),
    services=frozenset({"redis", "sentinel"}),
)


@dataclass
class Relation:
    """What stands in the databags of one."""

    app: str
    can: dict[str, bool] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    said: dict[str, dict[str, str]] = field(default_factory=dict)
    """By our host."""
    told: dict[str, str] = field(default_factory=dict)


@dataclass
class Kept:
    """What Juju keeps."""

    secret: Credentials = CREDENTIALS
    serials: dict[str, int] = field(default_factory=dict)
    name: str = ""
    relations: dict[int, Relation] = field(default_factory=dict)
    handed: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By user: password and version, in a secret of its own."""


class Cut(Exception):  # noqa: N818
    """The hook ends here, and Juju keeps nothing of it."""


class Application:
    """Three units. What a hook does to nodes is done; the rest counts when it succeeds."""

    def __init__(self, open_to: frozenset[str] = frozenset(), leads: bool | None = True):
        self.kept = Kept()
        self.open_to = open_to
        self.leads = leads
        self.tls = False
        self.leader = H0
        self.nodes = {h: self._started() for h in HOSTS}
        self.down: set[str] = set()
        self.in_use: dict[int, str] = {}
        """By relation: the password that its client logs in with."""
        self.taken: list[Step] = []
        self._made = itertools.count(1)
        self._next = itertools.count(1)

    def _started(self) -> dict[str, logins.Node]:
        return {kind: logins.started(self.kept.secret, kind) for kind in logins.KINDS}

    # Juju's part

    def relate(self, app: str, **can: bool) -> int:
        """Relate an application whose units can take a user, or cannot."""
        number = next(self._next)
        units = {unit.replace("_", "/"): each for unit, each in can.items()}
        self.kept.relations[number] = Relation(app, units or {f"{app}/0": True})
        return number

    def part(self, number: int) -> None:
        """End a relation; its client is gone."""
        del self.kept.relations[number]
        self.in_use.pop(number, None)

    def stop_pod(self, host: str) -> None:
        self.down.add(host)

    def start_pod(self, host: str) -> None:
        """Start a pod: files first, and then the nodes."""
        self.down.discard(host)
        self.nodes[host] = self._started()

    # Clients

    def client_hook(self, number: int) -> None:
        """Let all units of a client take what they have been given."""
        relation = self.kept.relations[number]
        user = f"relation-{number}"
        if keys.USER in relation.told:
            password, version = self.kept.handed[user]
            self.in_use[number] = password
            relation.taken = {u: str(version) for u, can in relation.can.items() if can}

    def other_hook(self, order: random.Random) -> None:
        """Let one of the other side run its hook, if there is any."""
        if self.kept.relations:
            self.client_hook(order.choice(list(self.kept.relations)))

    # A hook

    def world(self, host: str, kept: Kept, credentials: Credentials, changed: bool) -> World:
        """Return what a unit sees."""
        is_leader = host == self.leader
        nodes = {kind: node.logins() for kind, node in self.nodes[host].items()}
        seen = at_rest(host=host, is_leader=is_leader)
        related = tuple(
            Client(
                number,
                each.app,
                dict(each.can) if is_leader else {},
                dict(each.taken) if is_leader else {},
                dict(each.said.get(host, {})),
                dict(each.told) if is_leader else {},
            )
            for number, each in kept.relations.items()
        )
        taken = frozenset(
            each.user
            for each in related
            if (guest := credentials.guest(each.user)) and each.has_taken(guest.version)
        )
        return replace(
            seen,
            redis={h: v for h, v in seen.redis.items() if h not in self.down},
            sentinels={h: v for h, v in seen.sentinels.items() if h not in self.down},
            redis_container=READY,
            sentinel_container=READY,
            credentials=credentials,
            serials=kept.serials,
            secret_changed=changed,
            redis_logins=nodes[c.REDIS],
            sentinel_logins=nodes[c.SENTINEL],
            config=replace(seen.config, tls=self.tls),
            service=ServiceView(leads=self.leads),
            clients=ClientsView(
                related, name=kept.name, open_to=self.open_to, taken=taken, is_on=True
            ),
        )

    def hook(self, host: str, cut_after: int | None = None) -> int:
        """Run one hook; a cut one keeps nothing in Juju. Returns how many steps it took."""
        if host in self.down:
            return 0
        kept, taken = copy.deepcopy(self.kept), 0
        credentials = kept.secret
        while steps := self.steps(self.world(host, kept, credentials, kept.secret != credentials)):
            assert taken < 200, steps
            for step in steps:
                if taken == cut_after:
                    return taken
                taken += 1
                self.taken.append(step)
                self._take(host, step, kept, credentials)
                self.check()
        self.kept = kept
        self.check()
        return taken

    @staticmethod
    def steps(world: World) -> list[Step]:
        found = [
            *rotation.unit_steps(world),
            *plan.unit_steps(world),
            *rotation.leader_steps(world),
            *plan.leader_steps(world),
        ]
        return [step for step in found if not isinstance(step, AskAgain)]

    def _take(self, host: str, step: Step, kept: Kept, credentials: Credentials) -> None:
        nodes = self.nodes[host]
        match step:
            case PublishSerial(number):
                kept.serials[host] = number
            case ChangeSecret(changed):
                kept.secret = changed
            case ChangeGuests(come, gone, entrance):
                new = {user: f"password-{next(self._made)}" for user in come}
                kept.secret = rotation.with_guests(credentials, new, gone, entrance)
            case AdmitUsers(users, redis, sentinels):
                assert not self.down & {*redis, *sentinels}
                for kind, hosts in ((c.REDIS, redis), (c.SENTINEL, sentinels)):
                    wanted = rotation.expected(credentials, kind).accepted
                    for other in hosts:
                        for name in users if kind == c.REDIS else filter(is_guest, users):
                            self.nodes[other][kind].accepted[name] = set(wanted[name])
            case OpenEntrance(user, rights):
                assert "+@all -@admin -@dangerous" in rights
                nodes[c.REDIS].accepted[user] = {NO_PASSWORD}
            case CloseEntrance(user, digests, _):
                nodes[c.REDIS].accepted[user] = set(digests)
            case RecordName(name):
                kept.name = name
            case SayHost(name, relations):
                for number in relations:
                    said = {keys.HOST: name, keys.PORT: "6379", keys.CAN: keys.FORM}
                    kept.relations[number].said[host] = said
            case HandOver(number, user, version):
                kept.handed[user] = credentials[user], version
                kept.relations[number].told |= {keys.USER: "secret:id", keys.TAKEN: str(version)}
            case TakeBack(user):
                kept.handed.pop(user, None)
            case Tell(number, values):
                told = {**kept.relations[number].told, **dict(values)}
                kept.relations[number].told = {k: text for k, text in told.items() if text}
            case _:
                logins.take(step, nodes, credentials)

    # What always holds

    def check(self) -> None:
        """Whoever was told of a user can log in everywhere; without an order nobody is let in."""
        running = [h for h in HOSTS if h not in self.down]
        for number, password in self.in_use.items():
            for host in running:
                for node in self.nodes[host].values():
                    assert digest(password) in node.accepted[f"relation-{number}"], (number, host)
        for number, relation in self.kept.relations.items():
            if keys.USER in relation.told:
                password, _ = self.kept.handed[f"relation-{number}"]
                for host in running:
                    for node in self.nodes[host].values():
                        assert digest(password) in node.accepted[f"relation-{number}"], number
        if not self.open_to:
            assert not any(self.is_open(host) for host in HOSTS)
        assert not self.open_accounts() - {"default"}

    def is_open(self, host: str) -> bool:
        return NO_PASSWORD in self.nodes[host][c.REDIS].accepted["default"]

    def open_accounts(self) -> set[str]:
        """Return the users that some node lets in without a password."""
        return {
            user
            for nodes in self.nodes.values()
            for node in nodes.values()
            for user, accepted in node.accepted.items()
            if NO_PASSWORD in accepted
        }

    def unfinished(self) -> list[str]:
        """Return what is not as it should be once all hooks have run."""
        found = []
        for host in HOSTS:
            if host in self.down:
                continue
            world = self.world(host, self.kept, self.kept.secret, changed=False)
            found += [f"{host}: {step}" for step in self.steps(world)]
        return found

    def guests(self) -> dict[str, set[str]]:
        """Return, by host, the users of relations that its nodes know."""
        return {
            host: {user for node in nodes.values() for user in node.accepted if is_guest(user)}
            for host, nodes in self.nodes.items()
        }


def told(app: Application, number: int) -> Mapping[str, Any]:
    return app.kept.relations[number].told


def go_on(app: Application, order: random.Random, cuts: float = 0.0, hooks: int = 400) -> None:
    """Run hooks in any order until nothing is left to do."""
    for _ in range(hooks):
        if not app.unfinished():
            return
        cut = order.randrange(10) if order.random() < cuts else None
        app.hook(order.choice(HOSTS), cut)
        if order.random() < cuts:
            app.leader = order.choice([h for h in HOSTS if h not in app.down])
        if order.random() < 0.3:
            app.other_hook(order)
    raise AssertionError(app.unfinished())
