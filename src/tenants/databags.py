# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The databags of the relation ``valkey-client``, as the library of the other side reads them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import constants as c
from passwords.users import GUEST_PREFIX
from tenants import asked, keys
from tenants.view import Tenant

if TYPE_CHECKING:
    import ops

    from tenants.plan import Answer


def read(relation: ops.Relation, app: ops.Application) -> Tenant:
    """Return what stands in the databags of one relation. Leader only.

    Args:
        relation: that is there.
        app: this application.
    """
    found = asked.parse(relation.data[relation.app])
    form, told = asked.told(relation.data[app])
    return Tenant(
        id=relation.id,
        app=relation.app.name,
        form=found.form,
        requests=found.requests,
        problem=found.problem,
        told=told,
        told_form=form,
    )


def label(relation_id: int, request_id: str, group: str) -> str:
    """Return the label of a secret, in the form of the library."""
    middle = f"{request_id}." if request_id else ""
    return f"{c.TENANT_RELATION}.{relation_id}.{middle}{group}.secret"


def labels_of(user: str) -> list[str]:
    """Return the labels of the secrets by which an application has a user."""
    number, _, request_id = user.removeprefix(GUEST_PREFIX).partition("-")
    request_id = "" if request_id == keys.V0 else request_id
    return [label(int(number), request_id, group) for group in keys.GROUPS.values()]


def labelled(text: str) -> tuple[int, str] | None:
    """Return the relation and the request whose user is in a secret; None: it is another one."""
    words = text.split(".")
    if words[0] != c.TENANT_RELATION or words[-2:] != [keys.GROUPS[keys.USER], "secret"]:
        return None
    return int(words[1]), words[2] if len(words) == 5 else ""


def note_taken(relation: ops.Relation, app: ops.Application, request_id: str) -> bool:
    """Write down that the password that was given last is the only one in use.

    Returns:
        Whether that was news.
    """
    data = relation.data[app]
    served = json.loads(data.get(keys.SERVED, "{}"))
    notes = served.get(request_id)
    if not notes or notes.get(keys.TAKEN) == notes[keys.VERSION_OF_USER]:
        return False
    notes[keys.TAKEN] = notes[keys.VERSION_OF_USER]
    data[keys.SERVED] = json.dumps(served, sort_keys=True)
    return True


def reply(
    relation: ops.Relation,
    app: ops.Application,
    form: str,
    answers: tuple[Answer, ...],
    given: Mapping[tuple[str, str], str],
) -> None:
    """Write the answers to all requests of a relation, and nothing else. Leader only.

    Args:
        relation: with the application that asks.
        app: this application.
        form: ``v0`` or ``v1``.
        answers: one for each request that is served.
        given: by request and key, the ids of the secrets that have just been written.
    """
    data = relation.data[app]
    _, told = asked.told(data)
    fields, served = [], {}
    for answer in answers:
        identity = answer.request.id
        before = told.get(identity)
        ids = {key: before.values[key] for key in keys.GROUPS if before and key in before.values}
        ids |= {key: given[identity, key] for key in answer.gives}
        fields.append({**dict(answer.values), **ids})
        served[identity] = {
            keys.VERSION_OF_USER: answer.version,
            keys.AUTHORITIES: answer.authorities,
            keys.TAKEN: before.taken if before else 0,
        }
    wanted: dict[str, str] = {}
    if answers:
        wanted = _flat(answers[0], fields[0]) if form == keys.V0 else _listed(answers, fields)
        wanted[keys.SERVED] = json.dumps(served, sort_keys=True)
    elif form == keys.V1:
        wanted = _listed(answers, fields)
    for key in set(data) - wanted.keys():
        del data[key]
    for key, text in wanted.items():
        if data.get(key) != text:
            data[key] = text


def _listed(answers: tuple[Answer, ...], fields: list[dict[str, str]]) -> dict[str, str]:
    """Return the databag in the form v1."""
    with warnings.catch_warnings():
        # pydantic finds fault with the library's fields.
        warnings.simplefilter("ignore")
        from dpcharmlibs import interfaces as library

        form = library.DataContractV1[library.ValkeyResponseModel]

    responses, requests = [], {}
    for answer, values in zip(answers, fields, strict=True):
        identity = answer.request.id
        responses.append(
            library.ValkeyResponseModel.model_validate({**values, keys.REQUEST_ID: identity})
        )
        same = {key: values[key] for key in (keys.RESOURCE, keys.SALT) if key in values}
        request = library.RequirerCommonModel.model_validate({**same, keys.REQUEST_ID: identity})
        requests[identity] = request.model_dump(
            mode="json", exclude_none=True, exclude_defaults=True
        )
    whole = form(requests=responses).model_dump(mode="json", exclude_none=True)
    return {
        keys.VERSION: whole[keys.VERSION],
        keys.REQUESTS: json.dumps(whole[keys.REQUESTS]),
        keys.DATA: json.dumps(requests),
    }


def _flat(answer: Answer, values: dict[str, str]) -> dict[str, str]:
    """Return the databag in the form v0, which has no models for those who answer."""
    return {**values, answer.request.alias: answer.request.resource}
