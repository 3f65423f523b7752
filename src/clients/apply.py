# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the steps of clients do in Juju's databags and secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import constants as c
from clients import databags, keys
from clients.plan import HandOver, RecordName, SayHost, TakeBack, Tell
from engine.steps import Step
from engine.world import World
from model import granted

if TYPE_CHECKING:
    import ops

    from engine.hook import Hook


def _relations(hook: Hook, ids: tuple[int, ...]) -> Iterator[ops.Relation]:
    """Yield the relations that are still there."""
    yield from (each for each in hook.model.relations[c.CLIENT_RELATION] if each.id in ids)


def _say(step: SayHost, hook: Hook, _: World) -> None:
    for relation in _relations(hook, step.relations):
        values = {keys.HOST: step.host, keys.PORT: str(c.REDIS_PORT)}
        values[keys.CAN] = keys.FORM
        databags.write(relation, hook.model.unit, values)


def _hand_over(step: HandOver, hook: Hook, world: World) -> None:
    assert world.credentials
    for relation in _relations(hook, (step.relation,)):
        password = world.credentials[step.user]
        databags.hand_over(hook.model, relation, step.user, password, step.version)


def _tell(step: Tell, hook: Hook, _: World) -> None:
    for relation in _relations(hook, (step.relation,)):
        databags.write(relation, hook.model.app, dict(step.values))


TAKES: dict[type[Step], Callable[[Any, Hook, World], object]] = {
    RecordName: lambda step, hook, _: hook.peers().record_name(step.host),
    SayHost: _say,
    HandOver: _hand_over,
    TakeBack: lambda step, hook, _: granted.take_back(hook.model, step.user),
    Tell: _tell,
}
