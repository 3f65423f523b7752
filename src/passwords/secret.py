# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The passwords as they stand in the application's secret; their keys follow from the table."""

from __future__ import annotations

import dataclasses
import json
import secrets
import string
from collections.abc import Mapping
from typing import Any

from constants import OPERATOR_SECRET_KEY
from passwords.users import TABLE, Credentials, Entrance, User

_LENGTH = 32
_OF_GUESTS = ("name", "by", "rights", "since", "version")


def new_password() -> str:
    """Return a long random password."""
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(_LENGTH))


def made(kept: Mapping[str, str]) -> Credentials:
    """Return the first passwords of an application.

    Args:
        kept: by key of the secret: those that an earlier revision has made keep their values.
    """
    return Credentials(
        passwords={user.name: kept.get(user.key) or new_password() for user in TABLE},
        seal=new_password(),
    )


def parse(content: Mapping[str, str]) -> Credentials:
    """Return what a secret holds.

    One from before passwords could change has no state; its marks were keyed with the password
    of the operator, which stays the key of them.
    """
    guests = tuple(_guest(row) for row in json.loads(content.get("users", "[]")))
    users = (*TABLE, *guests)
    names = {user.in_states: user.name for user in users}

    def state(key: str) -> dict[str, str]:
        return {names[n]: text for n, text in json.loads(content.get(key, "{}")).items()}

    return Credentials(
        passwords={user.name: content[user.key] for user in users},
        seal=content.get("seal", content[OPERATOR_SECRET_KEY]),
        serial=int(content.get("serial", "1")),
        next=state("next"),
        previous=state("previous"),
        guests=guests,
        entrance=Entrance(**json.loads(content["entrance"])) if "entrance" in content else None,
    )


def content(credentials: Credentials) -> dict[str, str]:
    """Return what the secret is to hold."""
    keys = {user.name: user.in_states for user in credentials.users}

    def state(passwords: Mapping[str, str]) -> str:
        return json.dumps({keys[n]: text for n, text in passwords.items()}, sort_keys=True)

    rows = [
        {name: getattr(user, name) for name in _OF_GUESTS} | {"rights": dict(user.rights)}
        for user in credentials.guests
    ]
    entrance = credentials.entrance
    return {
        **{user.key: credentials[user.name] for user in credentials.users},
        "seal": credentials.seal,
        "serial": str(credentials.serial),
        "next": state(credentials.next),
        "previous": state(credentials.previous),
        **({"users": json.dumps(rows, sort_keys=True)} if rows else {}),
        **({"entrance": json.dumps(dataclasses.asdict(entrance))} if entrance else {}),
    }


def _guest(row: Mapping[str, Any]) -> User:
    return User(**{name: row[name] for name in _OF_GUESTS})
