"""Hook tools about secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from lab.model import ROTATION, Secret
from lab.tools.scope import CommitError, Family, Scope
from lab.tools.times import moment_of, rfc3339
from lab.tools.words import Flags, ToolError, parse, show

SECRET_KEY = re.compile(r"[a-z](-?[a-z0-9]){2,}")


@dataclass
class SecretChange:
    """What a hook asked to change of a secret; ``None`` leaves a field as it is."""

    content: dict[str, str] | None = None
    label: str | None = None
    description: str | None = None
    rotate: str | None = None
    expires: datetime | None = None


class SecretTools(Family):
    """Secrets; only labels and tracked revisions are there before the commit."""

    NAMES = (
        "secret-add",
        "secret-get",
        "secret-grant",
        "secret-ids",
        "secret-info-get",
        "secret-remove",
        "secret-revoke",
        "secret-set",
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._added: dict[str, Secret] = {}
        self._changed: dict[str, SecretChange] = {}
        self._grants: list[tuple[str, int, str, bool]] = []
        self._removed: list[tuple[str, int | None]] = []

    def _content(self, words: Sequence[str]) -> dict[str, str]:
        content: dict[str, str] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise ToolError(f'key value pair "{word}" not valid')
            if key.endswith("#file"):
                key = key.removesuffix("#file")
                value = self.scope.path(value).read_text(encoding="utf-8")
            if not SECRET_KEY.fullmatch(key):
                raise ToolError(f'key "{key}" not valid')
            content[key] = value
        return content

    def _secret_change(self, flags: Flags, words: Sequence[str]) -> SecretChange:
        rotate = flags.get("rotate")
        if rotate is not None and rotate != "never" and rotate not in ROTATION:
            raise ToolError(f'rotate policy "{rotate}" not valid')
        return SecretChange(
            content=self._content(words) or None,
            label=flags.get("label"),
            description=flags.get("description"),
            rotate=rotate,
            expires=moment_of(flags.get("expire")),
        )

    def _find(self, text: str | None, label: str | None) -> Secret:
        if text:
            short = text.rpartition("/")[2].removeprefix("secret:")
            return self._added.get(short) or self.model.secrets.find(text)
        known = [*self._added.values(), *self.model.secrets.values()]
        for secret in known:
            if secret.owner in (self.unit.name, self.unit.app) and self._label(secret) == label:
                return secret
        for secret in known:
            if secret.labels.get(self.unit.name) == label:
                return secret
        raise ToolError(f'consumer label "{label}" not found')

    def _label(self, secret: Secret) -> str:
        change = self._changed.get(secret.id)
        return change.label if change and change.label is not None else secret.label

    def _owned(self, text: str | None, label: str | None = None) -> Secret:
        secret = self._find(text, label)
        if not self.model.secrets.owns(secret, self.unit):
            raise ToolError(f'secret "{secret.id}" not found')
        return secret

    def secret_add(self, argv: list[str], _: str) -> str:
        """Keep a new secret until the hook ends, and return its id."""
        flags = parse(argv, "label description expire rotate owner file")
        change = self._secret_change(flags, flags.words)
        if not change.content:
            raise ToolError("missing secret value")
        owner = self.unit.name if flags.get("owner") == "unit" else self.unit.app
        if owner == self.unit.app:
            self.scope.need_leader()
        taken = {
            self._label(secret)
            for secret in (*self.model.secrets.values(), *self._added.values())
            if secret.owner == owner
        }
        if change.label and change.label in taken:
            raise ToolError(f'secret with label "{change.label}" already exists')
        secret = Secret(self.model.secrets.new_id(), owner, {1: change.content})
        _apply(
            secret,
            SecretChange(None, change.label, change.description, change.rotate, change.expires),
        )
        self._added[secret.id] = secret
        return f"secret:{secret.id}\n"

    def secret_set(self, argv: list[str], _: str) -> str:
        """Keep a change of a secret until the hook ends."""
        flags = parse(argv, "label description expire rotate owner file")
        secret = self._owned(flags.word(0, "missing secret URI"))
        change = self._secret_change(flags, flags.words[1:])
        pending = self._changed.setdefault(secret.id, SecretChange())
        for name, value in vars(change).items():
            if value is not None:
                setattr(pending, name, value)
        return ""

    def secret_get(self, argv: list[str], _: str) -> str:
        """Return the content of the tracked revision, or with refresh or peek of the latest."""
        flags = parse(argv, "label", "refresh peek")
        text, key = flags.word(0) or None, flags.word(1) or None
        label = flags.get("label")
        if text is None and label is None:
            raise ToolError("require either a secret URI or label")
        secret = self._find(text, label)
        if not self.model.secrets.may_read(secret, self.unit) and secret.id not in self._added:
            raise ToolError("permission denied")
        if text is not None and label is not None:
            # The label of an application's own secret is the owner's, for all units.
            if secret.owner in (self.unit.name, self.unit.app):
                secret.label = label
            else:
                secret.labels[self.unit.name] = label
        newest = flags.on("refresh") or flags.on("peek")
        pending = self._changed.get(secret.id)
        if secret.id in self._added:
            content = secret.revisions[secret.latest]
            if pending and pending.content is not None:
                content = pending.content
        else:
            tracked = self.model.secrets.track(secret, self.unit, flags.on("refresh"))
            content = secret.revisions.get(secret.latest if newest else tracked)
            if newest and pending and pending.content is not None:
                content = pending.content
        if content is None:
            raise ToolError(f'secret revision "{secret.id}" not found')
        if key is not None:
            if key not in content:
                raise ToolError(f'secret key value for "{key}" not found')
            return show(content[key], flags)
        return show(dict(sorted(content.items())), flags)

    def secret_info_get(self, argv: list[str], _: str) -> str:
        """Return to its owner what is known about a secret, without its content."""
        flags = parse(argv, "label")
        if not flags.words and flags.get("label") is None:
            raise ToolError("require either a secret URI or label")
        secret = self._owned(flags.word(0) or None, flags.get("label"))
        pending = self._changed.get(secret.id, SecretChange())
        fresh = pending.content is not None and pending.content != secret.revisions[secret.latest]
        rotation = pending.rotate or secret.rotate
        expiry = pending.expires or secret.expires
        info: dict[str, Any] = {
            "revision": secret.latest + (1 if fresh else 0),
            "label": self._label(secret),
            "owner": "unit" if "/" in secret.owner else "application",
        }
        if description := pending.description or secret.description:
            info["description"] = description
        info["rotation"] = rotation or "never"
        if expiry:
            info["expiry"] = rfc3339(expiry)
        if secret.rotates:
            info["rotates"] = rfc3339(secret.rotates)
        access = [
            {
                "target": f"{'unit' if '/' in name else 'application'}-{name.replace('/', '-')}",
                "scope": f"relation-{relation}",
                "role": "view",
            }
            for relation, names in sorted(secret.grants.items())
            for name in sorted(names)
        ]
        if access:
            info["access"] = access
        return show({secret.id: info}, flags)

    def _grant(self, argv: list[str], given: bool) -> str:
        flags = parse(argv, "relation unit app")
        secret = self._owned(flags.word(0, "missing secret URI"))
        if flags.get("relation") is None:
            if given:
                raise ToolError("missing relation id", rc=2)
            name = flags.get("unit") or flags.get("app") or ""
            for relation_id in secret.grants:
                self._grants.append((secret.id, relation_id, name, False))
            return ""
        relation, _ = self.scope.relation(flags)
        name = flags.get("unit") or relation.remote(self.app.name)
        if name.partition("/")[0] != relation.remote(self.app.name):
            raise ToolError(f'"{name}" is not in relation {relation.id}')
        self._grants.append((secret.id, relation.id, name, given))
        return ""

    def secret_grant(self, argv: list[str], _: str) -> str:
        """Keep a grant along a relation until the hook ends."""
        return self._grant(argv, True)

    def secret_revoke(self, argv: list[str], _: str) -> str:
        """Keep the end of a grant until the hook ends."""
        return self._grant(argv, False)

    def secret_remove(self, argv: list[str], _: str) -> str:
        """Keep the removal of a secret or of one revision until the hook ends."""
        flags = parse(argv, "revision")
        secret = self._owned(flags.word(0, "missing secret URI"))
        revision = flags.get("revision")
        if revision is not None and not revision.isdigit():
            raise ToolError(f'invalid value "{revision}" for option --revision', rc=2)
        self._removed.append((secret.id, int(revision) if revision else None))
        return ""

    def secret_ids(self, argv: list[str], _: str) -> str:
        """Return the secrets this unit manages; nothing is null, as in Juju."""
        owned = [
            s.id for s in self.model.secrets.values() if self.model.secrets.owns(s, self.unit)
        ]
        return show(sorted(owned) or None, parse(argv))

    def needs_leader(self) -> bool:
        """Return whether a secret of the application is written."""
        touched = {
            *self._changed,
            *(secret_id for secret_id, *_ in self._grants),
            *(secret_id for secret_id, _ in self._removed),
        }
        there = (self._added.get(each) or self.model.secrets.get(each) for each in touched)
        return any(
            secret is not None and secret.owner == self.app.name
            for secret in (*self._added.values(), *there)
        )

    def check(self) -> None:
        """Find out whether what is to be removed is there.

        Raises:
            CommitError: it is not.
        """
        for secret_id, revision in self._removed:
            secret = self.model.secrets.get(secret_id) or self._added.get(secret_id)
            if secret is None or (revision is not None and revision not in secret.revisions):
                # Juju finds it only now, in the hook that Juju repeats for ever.
                raise CommitError(f'secret revision "{secret_id}/{revision}" not found')

    def commit(self) -> None:
        """Add, change, grant and remove."""
        model = self.model
        model.secrets.update(self._added)
        for secret_id, change in self._changed.items():
            if secret_id in model.secrets:
                _apply(model.secrets[secret_id], change)
        for secret_id, relation_id, name, given in self._grants:
            if secret_id in model.secrets:
                granted = model.secrets[secret_id].grants.setdefault(relation_id, set())
                (granted.add if given else granted.discard)(name)
        for secret_id, revision in self._removed:
            secret = model.secrets.get(secret_id)
            if secret is None:
                continue
            if revision is not None:
                secret.revisions.pop(revision, None)
            if revision is None or not secret.revisions:
                del model.secrets[secret_id]
        if self._added or self._changed or self._removed or self._grants:
            model.touch()


def _apply(secret: Secret, change: SecretChange) -> None:
    now = datetime.now(timezone.utc)
    if change.label is not None:
        secret.label = change.label
    if change.description is not None:
        secret.description = change.description
    if change.rotate is not None:
        secret.rotate = "" if change.rotate == "never" else change.rotate
        secret.rotates = now + ROTATION[secret.rotate] if secret.rotate else None
    if change.expires is not None:
        secret.expires = change.expires
    if change.content is not None and change.content != secret.revisions[secret.latest]:
        secret.revisions[secret.latest + 1] = change.content
