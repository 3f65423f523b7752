# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the steps of passwords do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import constants as c
from engine.steps import Step
from engine.world import World
from nodes.access import operator
from passwords import secret, users
from passwords.look import Note
from passwords.rotation import (
    AdmitUsers,
    ChangeGuests,
    ChangeSecret,
    CloseEntrance,
    CreateCredentials,
    DropPlainPasswords,
    OpenEntrance,
    PublishSerial,
    RemoveUser,
    RestoreUsers,
    SetPasswords,
    UsePassword,
    with_guests,
)

if TYPE_CHECKING:
    from engine.hook import Hook


def _create(_: CreateCredentials, hook: Hook, __: World) -> None:
    peers = hook.peers()
    made = secret.made(peers.plain_passwords)
    hook.note(Note).credentials = made
    peers.add_secret(secret.content(made))


def _change(step: ChangeSecret, hook: Hook, _: World) -> None:
    hook.peers().change_secret(secret.content(step.credentials))
    hook.note(Note).changed = True


def _change_guests(step: ChangeGuests, hook: Hook, world: World) -> None:
    assert world.credentials
    come = {user: secret.new_password() for user in step.come}
    changed = with_guests(world.credentials, come, step.gone, step.entrance)
    hook.peers().change_secret(secret.content(changed))
    hook.note(Note).changed = True


def _admit(step: AdmitUsers, _: Hook, world: World) -> None:
    from nodes.redis_client import ask_all
    from passwords import logins

    assert world.credentials
    credentials, access = world.credentials, operator(world)

    def admit(node: tuple[str, str]) -> None:
        kind, host = node
        # What else has these names on a Sentinel is somebody else.
        known = [n for n in step.users if kind == c.REDIS or users.is_guest(n)]
        entries = [entry for entry in credentials.acl(kind) if entry.name in known]
        logins.admit(host, kind, entries, access)

    nodes = [(c.REDIS, host) for host in step.redis]
    nodes += [(c.SENTINEL, host) for host in step.sentinels]
    for error in ask_all(nodes, admit).values():
        if error is not None:
            raise error


def _publish(step: PublishSerial, hook: Hook, _: World) -> None:
    hook.peers().publish_serial(step.serial)


def _drop_plain(_: DropPlainPasswords, hook: Hook, __: World) -> None:
    hook.peers().drop_plain_passwords()


def _restore(step: RestoreUsers, _: Hook, world: World) -> None:
    from nodes import redis_client

    assert world.credentials
    admin = world.credentials[users.administrator(step.service)]
    rights = users.rights(c.OPERATOR_USER, step.service)
    port = c.NODE_PORTS[step.service]
    name = world.credentials.administrator(step.service)
    redis_client.restore_user(world.host, port, name, admin, rights, operator(world))


def _set(step: SetPasswords, _: Hook, world: World) -> None:
    from passwords import logins

    logins.set_passwords(
        world.host, step.kind, step.user, step.add, step.remove, operator(world), step.rights
    )


def _remove(step: RemoveUser, _: Hook, world: World) -> None:
    from passwords import logins

    logins.remove(world.host, step.kind, step.user, operator(world))


def _open(step: OpenEntrance, _: Hook, world: World) -> None:
    from passwords import logins

    logins.open_entrance(world.host, step.user, step.rights, operator(world))


def _close(step: CloseEntrance, _: Hook, world: World) -> None:
    from passwords import logins

    access = operator(world)
    logins.close_entrance(world.host, step.user, step.digests, step.rights, access)


def _use(step: UsePassword, _: Hook, world: World) -> None:
    from passwords import logins

    assert world.credentials
    value = world.credentials[users.logins(step.kind)[step.setting]]
    logins.use(world.host, step.kind, step.setting, value, operator(world))


TAKES: dict[type[Step], Callable[[Any, Hook, World], None]] = {
    CreateCredentials: _create,
    ChangeSecret: _change,
    ChangeGuests: _change_guests,
    AdmitUsers: _admit,
    PublishSerial: _publish,
    DropPlainPasswords: _drop_plain,
    RestoreUsers: _restore,
    SetPasswords: _set,
    RemoveUser: _remove,
    OpenEntrance: _open,
    CloseEntrance: _close,
    UsePassword: _use,
}
