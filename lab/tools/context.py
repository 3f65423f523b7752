"""The hook tools of one run of dispatch, and what becomes of it when the hook ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.model import Action, Hook, Model, ModelError, Unit
from lab.tools.actions import ActionTools
from lab.tools.pod import PodTools
from lab.tools.relations import RelationTools
from lab.tools.scope import Cache, CommitError, Family, Scope, Tool
from lab.tools.secrets import SecretTools
from lab.tools.unit import UnitTools
from lab.tools.words import ToolError

FAMILIES: tuple[type[Family], ...] = (
    RelationTools,
    SecretTools,
    PodTools,
    UnitTools,
    ActionTools,
)
"""In the order in which they are committed."""

TOOLS = tuple(sorted(name for family in FAMILIES for name in family.NAMES))
"""The names of all hook tools."""


@dataclass(frozen=True)
class Reply:
    """What a tool prints and its exit code."""

    stdout: str
    stderr: str
    rc: int


class HookContext:
    """One run of dispatch, as its hook tools see and change the model.

    Args:
        id: what ``JUJU_CONTEXT_ID`` says.
        model: the model.
        unit: whose hook it is.
        hook: what runs.
        members: the agent's cache of members' unit databags; it outlives the hook.
        path: gives the controller's path of a file that the charm named.
        resource: gives the path in the charm's container of a resource, fetched if need be.
        action: the action that runs, or ``None`` in a hook.

    Attributes:
        calls: how often each tool was called.
    """

    def __init__(
        self,
        id: str,
        model: Model,
        unit: Unit,
        hook: Hook,
        members: Cache,
        path: Callable[[str], Path],
        resource: Callable[[str], str],
        action: Action | None = None,
    ) -> None:
        self.id = id
        self.model = model
        self.unit = unit
        self.hook = hook
        self.action = action
        self.calls: Counter[str] = Counter()
        scope = Scope(model, unit, hook, members, path, resource, action)
        self._actions = ActionTools(scope)
        self._families = [
            self._actions if family is ActionTools else family(scope) for family in FAMILIES
        ]
        self._tools: dict[str, Tool] = {}
        for family in self._families:
            self._tools.update(family.tools())

    @property
    def action_failed(self) -> bool:
        """Whether the charm has marked the action as failed."""
        return self._actions.failed

    def run(self, argv: Sequence[str], stdin: str | None) -> Reply:
        """Run one tool; ``argv[0]`` is its bare name."""
        name = argv[0]
        self.calls[name] += 1
        tool = self._tools.get(name)
        if tool is None:
            return Reply("", f"ERROR unknown command {name}\n", 1)
        try:
            with self.model.lock:
                return Reply(tool(list(argv[1:]), stdin or ""), "", 0)
        except ToolError as e:
            return Reply("", f"ERROR {e}\n", e.rc)
        except ModelError as e:
            return Reply("", f"ERROR {e}\n", 1)

    def commit(self) -> None:
        """Give the model all that the hook asked for, in one step.

        Raises:
            CommitError: if something is refused now, such as a write by a unit that has lost
                the leadership meanwhile; then nothing is kept.
        """
        with self.model.lock:
            for_leader = any(family.needs_leader() for family in self._families)
            if for_leader and not self.model.leases.is_leader(self.unit):
                raise CommitError("this unit is no longer the leader")
            for family in self._families:
                family.check()
            for family in self._families:
                family.commit()
