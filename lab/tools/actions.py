"""Hook tools of actions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lab.model import Action
from lab.tools.scope import Family, Scope
from lab.tools.words import ToolError, pairs, parse, show

ACTION_KEY = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
ACTION_RESERVED = ("stdout", "stdout-encoding", "stderr", "stderr-encoding")


class ActionTools(Family):
    """Parameters, results and messages of the action that runs; all is there at once."""

    NAMES = (
        "action-fail",
        "action-get",
        "action-log",
        "action-set",
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.failed = False

    def _action(self) -> Action:
        if self.scope.action is None:
            raise ToolError("not running an action")
        return self.scope.action

    def action_get(self, argv: list[str], _: str) -> str:
        """Return the parameters, or one by its dotted name."""
        flags = parse(argv)
        found: Any = self._action().params
        for part in flags.word(0).split(".") if flags.words else ():
            found = found.get(part) if isinstance(found, Mapping) else None
        return show(found, flags)

    def action_set(self, argv: list[str], _: str) -> str:
        """Add results, nested by the dots of their keys."""
        action = self._action()
        for key, value in pairs(parse(argv).words).items():
            if not ACTION_KEY.fullmatch(key):
                raise ToolError(
                    f'key "{key}" must start and end with lowercase alphanumeric, '
                    "and contain only lowercase alphanumeric, hyphens and periods"
                )
            *parents, last = key.split(".")
            if key in ACTION_RESERVED:
                raise ToolError(f'cannot set reserved action key "{key}"')
            place = action.results
            for parent in parents:
                inner = place.get(parent)
                if not isinstance(inner, dict):
                    inner = place[parent] = {}
                place = inner
            place[last] = value
        return ""

    def action_log(self, argv: list[str], _: str) -> str:
        """Show a message of progress at once."""
        action = self._action()
        action.log.append(" ".join(parse(argv).words))
        self.model.show()
        return ""

    def action_fail(self, argv: list[str], _: str) -> str:
        """Mark the action as failed; it goes on."""
        action = self._action()
        action.message = (
            parse(argv).word(0) or "action failed without reason given, check action for errors"
        )
        self.failed = True
        return ""
