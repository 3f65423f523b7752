"""Secrets, of applications, of units and of the user."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lab.model.entities import Secret, Unit
from lab.model.errors import UnknownError

if TYPE_CHECKING:
    from lab.model.model import Model

USER = "user"
"""The owner of the secrets that ``juju add-secret`` makes."""
NO_RELATION = -1
"""In place of a relation's id: what the user granted."""


class Secrets(dict[str, Secret]):
    """All secrets of a model, by their ids."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model

    def find(self, text: str) -> Secret:
        """Return a secret by any form of its id.

        Raises:
            UnknownError: with Juju's text, if there is none.
        """
        short = text.rpartition("/")[2].removeprefix("secret:")
        try:
            return self[short]
        except KeyError:
            raise UnknownError(f'secret "{short}" not found') from None

    @staticmethod
    def new_id() -> str:
        """Return an id in the form of Juju's: twenty characters of base 32."""
        alphabet = "0123456789abcdefghijklmnopqrstuv"
        return "".join(secrets.choice(alphabet) for _ in range(20))

    def add_of_user(self, content: Mapping[str, str]) -> str:
        """Keep a secret of the model's user, granted to nobody yet; return its id."""
        with self._model.lock:
            secret = Secret(self.new_id(), USER, {1: dict(content)})
            self[secret.id] = secret
            self._model.touch()
            return secret.id

    def change_of_user(
        self, text: str, content: Mapping[str, str] | None, app: str, granted: bool
    ) -> None:
        """Give a secret of the user another content, or grant it to an application, or not."""
        with self._model.lock:
            secret = self.find(text)
            if content is not None and content != secret.revisions[secret.latest]:
                secret.revisions[secret.latest + 1] = dict(content)
            if app:
                names = secret.grants.setdefault(NO_RELATION, set())
                (names.add if granted else names.discard)(app)
            self._model.touch()

    def remove_of_user(self, text: str) -> None:
        """Delete a secret of the user."""
        with self._model.lock:
            del self[self.find(text).id]
            self._model.touch()

    def may_read(self, secret: Secret, unit: Unit) -> bool:
        """Return whether a secret is the unit's or its application's, or granted to either."""
        if secret.owner in (unit.name, unit.app):
            return True
        return any({unit.name, unit.app} & granted for granted in secret.grants.values())

    def owns(self, secret: Secret, unit: Unit) -> bool:
        """Return whether a unit manages a secret now; an application's is its leader's."""
        return secret.owner == unit.name or (
            secret.owner == unit.app and self._model.leases.is_leader(unit)
        )

    def track(self, secret: Secret, unit: Unit, refresh: bool) -> int:
        """Return the revision this unit reads; the first reading takes the latest."""
        with self._model.lock:
            if refresh or unit.name not in secret.consumers:
                before = secret.obsolete
                secret.consumers[unit.name] = secret.latest
                unit.told.secrets.setdefault(secret.id, secret.latest)
                if secret.obsolete != before:
                    self._model.touch()
            return secret.consumers[unit.name]

    def due(self, now: datetime) -> datetime | None:
        """Mark secrets whose rotation or expiry has come; return the next such moment."""
        with self._model.lock:
            pending: list[datetime] = []
            for secret in self.values():
                if secret.rotates and not secret.rotation_due:
                    if secret.rotates <= now:
                        secret.rotation_due = True
                        self._model.touch()
                    else:
                        pending.append(secret.rotates)
                if secret.expires and not secret.expired_revision:
                    if secret.expires <= now:
                        secret.expired_revision = secret.latest
                        self._model.touch()
                    else:
                        pending.append(secret.expires)
            return min(pending, default=None)

    def drop_of(self, owner: str) -> None:
        """Delete what an application or a unit owns."""
        for secret in [s for s in self.values() if s.owner == owner]:
            del self[secret.id]

    def of_app(self, app_name: str) -> dict[str, Any]:
        """Return ``{id: everything known}`` of the secrets of an application and its units."""
        with self._model.lock:
            self._model.app(app_name)
            return {
                secret.id: {
                    "owner": secret.owner,
                    "label": secret.label,
                    "description": secret.description,
                    "latest": secret.latest,
                    "revisions": {str(n): dict(c) for n, c in secret.revisions.items()},
                    "consumers": dict(secret.consumers),
                    "grants": {str(r): sorted(names) for r, names in secret.grants.items()},
                }
                for secret in self.values()
                if secret.owner.partition("/")[0] == app_name
            }
