# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The databags of the relation ``redis``, and the secrets that go with them."""

from __future__ import annotations

from collections.abc import Mapping

import ops

from clients import keys
from clients.view import Client
from model import granted


def read(relation: ops.Relation, unit: ops.Unit, app: ops.Application | None) -> Client:
    """Return what stands in the databags of one relation.

    Args:
        relation: that is there.
        unit: this one.
        app: this application, whose databag its leader alone may read; None: this is not it.
    """
    if app is None:
        return Client(relation.id, relation.app.name, said=dict(relation.data[unit]))
    bags = {each.name: relation.data[each] for each in relation.units}
    return Client(
        id=relation.id,
        app=relation.app.name,
        can={name: bag.get(keys.CAN) == keys.FORM for name, bag in bags.items()},
        taken={name: bag[keys.TAKEN] for name, bag in bags.items() if keys.TAKEN in bag},
        said=dict(relation.data[unit]),
        told=dict(relation.data[app]),
    )


def write(
    relation: ops.Relation, entity: ops.Unit | ops.Application, values: Mapping[str, str]
) -> None:
    """Write what is other into the databag of this unit, or of this application.

    Args:
        relation: that is there.
        entity: whose databag it is.
        values: by key; an empty one takes the key out.
    """
    data = relation.data[entity]
    for key, text in values.items():
        if data.get(key, "") != text:
            data[key] = text


def hand_over(
    model: ops.Model, relation: ops.Relation, user: str, password: str, version: int
) -> None:
    """Give an application its user, or the user's new password. Leader only.

    Args:
        model: of this unit.
        relation: with the application.
        user: on Redis.
        password: of it.
        version: grows with each password.
    """
    content = {"username": user, "password": password, "version": str(version)}
    secret_id = granted.give(model, relation, user, content)
    write(relation, model.app, {keys.USER: secret_id, keys.TAKEN: str(version)})
