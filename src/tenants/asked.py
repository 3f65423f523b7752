# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What an application asks for, and what it was answered, read from databags. Pure.

Whatever the other side writes, this fails no hook: a request that makes no sense says why, and
the one that it was before goes on being served.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import texts
from tenants import keys
from tenants.view import Request, Told
from values import dataclass

_PREFIX = re.compile(r"[A-Za-z0-9_.:/@-]{1,128}\*?|\*")
"""It stands in an ACL as it is, where other signs would have a meaning."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""It becomes part of a user's name and of labels."""
MOST = 32
"""Requests of one relation. All users travel in one secret."""


@dataclass(frozen=True)
class Asked:
    """What stands in the databag of the other application."""

    form: str = ""
    requests: tuple[Request, ...] = ()
    problem: str = ""


def parse(bag: Mapping[str, str]) -> Asked:
    """Return what an application asks for.

    Args:
        bag: its databag.
    """
    form = bag.get(keys.VERSION, keys.V0)
    if form == keys.V0:
        return _flat(bag)
    if form != keys.V1:
        return Asked(form, problem=texts.WHY_BAD_VERSION)
    try:
        found = json.loads(bag.get(keys.REQUESTS, "[]"))
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        return Asked(form, problem=texts.WHY_NOT_A_LIST)
    requests: dict[str, Request] = {}
    problem = ""
    for entry in found:
        identity = _id_of(entry)
        if identity is None or identity in requests:
            problem = texts.WHY_BAD_ID
        elif len(requests) == MOST:
            problem = texts.WHY_TOO_MANY.format(most=MOST)
        else:
            requests[identity] = _request(identity, entry)
    return Asked(form, tuple(requests.values()), problem)


def _flat(bag: Mapping[str, str]) -> Asked:
    alias = next((key for key in (*keys.ALIASES, keys.RESOURCE) if bag.get(key)), None)
    if alias is None:
        return Asked()
    request = _request("", {**bag, keys.RESOURCE: bag[alias]}, alias)
    return Asked(keys.V0, (request,))


def _request(identity: str, entry: Mapping[str, Any], alias: str = keys.RESOURCE) -> Request:
    named = (keys.RESOURCE, *keys.ALIASES)
    resource = next((entry[key] for key in named if entry.get(key) is not None), None)
    salt = entry.get(keys.SALT) or ""
    problem = ""
    if not isinstance(resource, str) or not _PREFIX.fullmatch(resource):
        resource, problem = "", texts.WHY_BAD_PREFIX
    elif not isinstance(salt, str):
        salt, problem = "", texts.WHY_BAD_ID
    elif any(entry.get(key) for key in keys.ENTITIES):
        problem = texts.WHY_ENTITY
    return Request(identity, resource, salt, alias, problem)


def _id_of(entry: Mapping[str, Any]) -> str | None:
    """Return what tells a request from others; None: nothing does."""
    given = entry.get(keys.REQUEST_ID)
    if given is None and isinstance(entry.get(keys.SALT), str):
        # So the library makes one.
        text = f"{entry.get(keys.RESOURCE, '')}:{entry[keys.SALT]}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]
    return given if isinstance(given, str) and _ID.fullmatch(given) else None


def told(bag: Mapping[str, str]) -> tuple[str, dict[str, Told]]:
    """Return the form of what this application has answered, and each answer by its request.

    Args:
        bag: its own databag.
    """
    if not bag:
        return "", {}
    served = json.loads(bag.get(keys.SERVED, "{}"))
    if keys.REQUESTS not in bag:
        entries = {"": dict(bag)} if served else {}
        form = keys.V0 if served else ""
    else:
        entries = {each[keys.REQUEST_ID]: each for each in json.loads(bag[keys.REQUESTS])}
        form = keys.V1
    found = {}
    for identity, entry in entries.items():
        notes = served.get(identity, {})
        values = {key: text for key, text in entry.items() if isinstance(text, str)}
        found[identity] = Told(
            values,
            version=notes.get(keys.VERSION_OF_USER, 0),
            authorities=notes.get(keys.AUTHORITIES),
            taken=notes.get(keys.TAKEN, 0),
        )
    return form, found
