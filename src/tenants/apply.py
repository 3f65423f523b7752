# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the steps of tenants do in Juju's databags and secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import constants as c
from engine.steps import Step
from engine.world import World
from model import granted
from tenants import databags, keys
from tenants.plan import Answer, Reply, TakeBack
from tls import plan as tls

if TYPE_CHECKING:
    from engine.hook import Hook


def _content(world: World, answer: Answer, key: str) -> dict[str, str]:
    assert world.credentials
    if key == keys.USER:
        return {"username": answer.user, "password": world.credentials[answer.user]}
    if not answer.authorities:
        return {"tls": "false"}
    return {"tls": "true", "tls-ca": tls.bundle(world)}


def _reply(step: Reply, hook: Hook, world: World) -> None:
    for relation in hook.model.relations[c.TENANT_RELATION]:
        if relation.id != step.relation:
            continue
        given = {}
        for answer in step.answers:
            identity = answer.request.id
            for key in answer.gives:
                label = databags.label(relation.id, identity, keys.GROUPS[key])
                content = _content(world, answer, key)
                given[identity, key] = granted.give(hook.model, relation, label, content)
        databags.reply(relation, hook.model.app, step.form, step.answers, given)


def _take_back(step: TakeBack, hook: Hook, _: World) -> None:
    for label in databags.labels_of(step.user):
        granted.take_back(hook.model, label)


TAKES: dict[type[Step], Callable[[Any, Hook, World], object]] = {
    Reply: _reply,
    TakeBack: _take_back,
}
