"""What all hook tools of one run of dispatch share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lab.model import Action, Application, Hook, Model, Relation, ToldRelation, Unit
from lab.tools.words import Flags, ToolError

Cache = dict[tuple[int, str], dict[str, str]]
"""Databags as they were first read, by the relation's id and by the unit or application."""
Tool = Callable[[list[str], str], str]
"""Takes the words after the tool's name and standard input, and returns what it prints."""


class CommitError(Exception):
    """What the hook wrote was refused when it ended, so the hook counts as failed."""


@dataclass
class Scope:
    """What the tools of one hook see.

    Attributes:
        members: the agent's cache of members' unit databags; it outlives the hook.
        path: gives the controller's path of a file that the charm named.
        resource: gives the path in the charm's container of a resource, fetched if need be.
        action: the action that runs, or ``None`` in a hook.
    """

    model: Model
    unit: Unit
    hook: Hook
    members: Cache
    path: Callable[[str], Path]
    resource: Callable[[str], str]
    action: Action | None

    @property
    def app(self) -> Application:
        """The unit's application."""
        return self.model.apps[self.unit.app]

    def need_leader(self) -> None:
        """Refuse what only the leader may do."""
        if not self.model.leases.is_leader(self.unit):
            raise ToolError("this unit is not the leader")

    def reachable(self, relation: Relation) -> ToldRelation | None:
        """Return what the charm knows of a relation, or ``None`` if it knows nothing yet."""
        told = self.unit.told.relations.get(relation.id)
        current = self.hook.relation_id == relation.id
        if self.app.name not in relation.ends:
            return None
        if told is None:
            # In relation-created it is there, with nobody in it yet.
            return ToldRelation() if current else None
        return told if current or (told.created and not told.broken) else None

    def relation(self, flags: Flags) -> tuple[Relation, ToldRelation]:
        """Return the relation that a call means, that of the hook when it names none.

        Raises:
            ToolError: the charm knows of no such relation.
        """
        text = flags.get("relation")
        if text is None:
            if self.hook.relation_id is None:
                raise ToolError("no relation id specified", rc=2)
            text = str(self.hook.relation_id)
        name, _, number = text.rpartition(":")
        relation = self.model.relations.get(int(number)) if number.isdigit() else None
        told = self.reachable(relation) if relation else None
        named = relation and relation.ends.get(self.app.name)
        # A bare name before the colon is checked only if it is an endpoint of this charm.
        mismatch = named and name in self.app.meta.endpoints and named.name != name
        if relation is None or told is None or mismatch:
            raise ToolError(f'invalid value "{text}" for option -r: relation not found', rc=2)
        return relation, told


class Family:
    """Hook tools of one kind, and what they keep until the hook ends."""

    NAMES: ClassVar[tuple[str, ...]] = ()
    """The tools; each is a method of that name."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.model = scope.model
        self.unit = scope.unit
        self.hook = scope.hook

    @property
    def app(self) -> Application:
        """The unit's application."""
        return self.scope.app

    def tools(self) -> Mapping[str, Tool]:
        """Return the tools by name."""
        return {name: getattr(self, name.replace("-", "_")) for name in self.NAMES}

    def needs_leader(self) -> bool:
        """Return whether it keeps something that only the leader may write."""
        return False

    def check(self) -> None:
        """Find out whether what it keeps can be written.

        Raises:
            CommitError: it cannot.
        """

    def commit(self) -> None:
        """Give the model what it keeps."""
