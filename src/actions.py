# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What an operator orders by an action."""

from __future__ import annotations

import ops

import constants as c
import texts
from cluster.facts import is_serving
from cluster.lost import has_lost_all, what_is_left
from cluster.steps import StartEmpty
from engine import plan
from engine.hands import ask_again, reconcile, take
from engine.hook import Hook
from engine.look import look
from engine.purpose import Routine, Switchover
from engine.steps import AskAgain
from engine.world import World
from errors import CredentialsRefusedError
from model import hooktools
from passwords import rotation, secret, users


class Actions(ops.Object):
    """Observes the actions. Whoever runs one reads why it could not be done."""

    def __init__(self, charm: ops.CharmBase, hook: Hook):
        super().__init__(charm, "actions")
        self._hook = hook
        on = charm.on
        self.framework.observe(on.check_service_action, self._on_check_service)
        self.framework.observe(on.get_initial_admin_password_action, self._on_get_admin_password)
        self.framework.observe(on.get_sentinel_password_action, self._on_get_sentinel_password)
        self.framework.observe(on.switchover_action, self._on_switchover)
        self.framework.observe(on.start_empty_action, self._on_start_empty)
        self.framework.observe(on.rotate_passwords_action, self._on_rotate_passwords)

    def _on_check_service(self, event: ops.ActionEvent) -> None:
        event.set_results(_results(look(self._hook)))

    def _on_get_admin_password(self, event: ops.ActionEvent) -> None:
        credentials = self._credentials(event)
        if credentials is not None:
            name = credentials.administrator(c.REDIS)
            event.set_results({"redis-password": credentials[users.ADMIN], "username": name})

    def _on_get_sentinel_password(self, event: ops.ActionEvent) -> None:
        credentials = self._credentials(event)
        if credentials is not None:
            event.set_results({"sentinel-password": credentials[users.SENTINEL_ADMIN]})

    def _credentials(self, event: ops.ActionEvent) -> users.Credentials | None:
        """Return the passwords; None: the action has failed, since there are none."""
        try:
            content = self._hook.peers().secret()
        except CredentialsRefusedError as e:
            if not hooktools.is_spent(e):
                raise
            event.fail(texts.PASSWORDS_REFUSED)
            return None
        if content is None:
            event.fail(texts.PASSWORDS_NOT_MADE)
            return None
        return secret.parse(content)

    def _on_switchover(self, event: ops.ActionEvent) -> None:
        if not self._hook.model.unit.is_leader():
            event.fail(texts.NOT_ON_LEADER)
            return
        unit, hosts = event.params.get("unit", ""), self._hook.hosts
        world = look(self._hook)
        targets = [hosts.unit(h) for h in world.planned if h != world.agreed_primary]
        if unit and unit not in (*targets, hosts.unit(world.agreed_primary or world.host)):
            event.fail(texts.NO_SUCH_UNIT.format(unit=unit, units=", ".join(targets)))
            return
        before = world.agreed_primary
        after = reconcile(self._hook, Switchover(hosts.of(unit) if unit else None))
        primary = after.agreed_primary
        if primary is None or (primary != hosts.of(unit) if unit else primary == before):
            reason = after.handover_problem or _pending(after) or texts.WHY_OUT_OF_TIME
            event.fail(texts.NOT_SWITCHED.format(reason=after.in_units(reason)))
            return
        event.set_results({"primary": hosts.unit(primary)})

    def _on_start_empty(self, event: ops.ActionEvent) -> None:
        if not self._hook.model.unit.is_leader():
            event.fail(texts.NOT_ON_LEADER)
            return
        app = self._hook.model.app.name
        if event.params["application"] != app:
            event.fail(texts.NOT_CONFIRMED.format(app=app))
            return
        world = look(self._hook)
        if not has_lost_all(world):
            event.fail(texts.NOT_ALL_LOST.format(reason=what_is_left(world)))
            return
        take(self._hook, StartEmpty(), world)
        reconcile(self._hook, Routine())
        event.set_results({"primary": world.unit(world.recorded_primary)})

    def _on_rotate_passwords(self, event: ops.ActionEvent) -> None:
        if not self._hook.model.unit.is_leader():
            event.fail(texts.NOT_ON_LEADER)
            return
        world = look(self._hook)
        user = event.params.get("user", "")
        if users.is_guest(user):
            self._rotate_guest(event, world, user)
            return
        if user and user not in users.NAMES:
            event.fail(texts.NO_SUCH_USER.format(user=user, users=", ".join(users.NAMES)))
            return
        chosen = world.wanted_passwords
        if user in chosen:
            event.fail(texts.CHOSEN_ELSEWHERE.format(user=user))
            return
        if world.credentials is None or not rotation.is_settled(world):
            on = world.units(rotation.awaited(world)) or world.app
            event.fail(texts.STILL_ROTATING.format(units=on))
            return
        names = [user] if user else [name for name in users.NAMES if name not in chosen]
        self._rotate(event, world, names)

    def _rotate_guest(self, event: ops.ActionEvent, world: World, user: str) -> None:
        """Give the user of a relation another password."""
        guests = {guest.name for guest in world.credentials.guests} if world.credentials else set()
        if world.credentials is None or user not in guests:
            there = ", ".join(sorted(guests)) or "none"
            event.fail(texts.NO_SUCH_RELATION.format(user=user, users=there))
        elif not rotation.is_settled(world) or (
            user in world.credentials.previous and not users.is_tenant(user)
        ):
            # An application that has not taken the last one would be shut out. By the other
            # interface nobody says that it has, so there is nothing to wait for.
            apps = (each.app for each in world.clients.related or () if each.user == user)
            on = world.units(rotation.awaited(world)) or ", ".join(apps) or world.app
            event.fail(texts.STILL_ROTATING.format(units=on))
        else:
            self._rotate(event, world, [user])

    def _rotate(self, event: ops.ActionEvent, world: World, names: list[str]) -> None:
        assert world.credentials
        new = {name: secret.new_password() for name in names}
        take(self._hook, rotation.begin(world.credentials, new), world)
        ask_again(self._hook, (texts.WHY_ROTATING,), world)
        event.set_results({"users": ", ".join(names)})


def _pending(world: World) -> str | None:
    steps = plan.next_steps(world)
    return next((s.reason for s in steps if isinstance(s, AskAgain)), None)


def _results(world: World) -> dict[str, str]:
    """Return what check-service says of this unit."""
    redis, sentinel = world.own_redis, world.own_sentinel
    results = {"result": "Service is not running", "sentinel": "no answer"}
    if redis is not None:
        results["role"] = redis.role
        if is_serving(redis):
            results["result"] = "Service is running"
        if not redis.is_primary:
            results["primary"] = str(redis.primary_host)
            results["primary-unit"] = world.unit(redis.primary_host)
            results["link"] = "up" if redis.link_up else "down"
        else:
            results["replicas-in-step"] = str(redis.connected_replicas)
    if sentinel is not None:
        results["sentinel"] = "running"
        results["sentinel-primary"] = sentinel.primary_host or "none"
        if sentinel.primary_host:
            results["sentinel-primary-unit"] = world.unit(sentinel.primary_host)
        results["sentinel-quorum"] = str(sentinel.quorum)
        results["sentinel-majority"] = "yes" if sentinel.has_majority else "no"
        results["sentinel-replicas"] = str(len(sentinel.replicas))
        results["sentinel-others"] = str(len(sentinel.others))
    return results
