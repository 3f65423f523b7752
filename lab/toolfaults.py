"""Which hook tools fail, and when: what the setting ``tool_faults`` says.

In the field any of them may: an agent that has lost its controller, a lease that ran out, a unit
that is removed while goal-state asks for it, a secret backend that is away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_TEXTS = {
    "goal-state": 'unit "{app}/9" not found',
    "is-leader": "leadership failure: lease operation timed out",
    "secret-get": "permission denied",
    "secret-remove": "secret revision not found",
}
"""What Juju says; any other tool says that the agent has no controller."""
_OTHER = "connection is shut down"
_ALWAYS, _EVERY, _PER_HOOK, _FIRST_HOOKS = "always", "every", "once-per-hook", "first-hooks"


@dataclass(frozen=True)
class _Rule:
    tool: str
    app: str
    """Empty: any."""
    when: str
    number: int = 0


def parse(text: str) -> tuple[_Rule, ...]:
    """Return the rules in a text such as ``goal-state:1,secret-get@app:every=3``.

    Raises:
        ValueError: a rule has no such form.
    """
    rules = []
    for each in filter(None, text.replace(" ", "").split(",")):
        what, _, when = each.partition(":")
        tool, _, app = what.partition("@")
        name, _, number = when.partition("=")
        if when.isdigit() and int(when):
            rules.append(_Rule(tool, app, "next", int(when)))
        elif name == _EVERY and number.isdigit() and int(number):
            rules.append(_Rule(tool, app, _EVERY, int(number)))
        elif when in (_ALWAYS, _PER_HOOK, _FIRST_HOOKS):
            rules.append(_Rule(tool, app, when))
        else:
            raise ValueError(
                f"{each!r}: expected TOOL:N, TOOL:every=N, TOOL:{_PER_HOOK}, "
                f"TOOL:{_FIRST_HOOKS} or TOOL:{_ALWAYS}"
            )
    return tuple(rules)


@dataclass
class ToolFaults:
    """Decides of each call of a hook tool whether it fails.

    A rule is ``TOOL:WHEN``, or ``TOOL@APP:WHEN`` for the units of one application; ``*`` for a
    tool is each of them, counted for itself. WHEN is

    - ``N``: the next N calls in the model;
    - ``every=N``: each Nth call in the model;
    - ``once-per-hook``: the first call in each run of a hook;
    - ``first-hooks``: the first call in the first run of each hook of each unit, by its name;
    - ``always``.
    """

    text: str = ""
    _rules: tuple[_Rule, ...] = ()
    _calls: Counter[tuple[str, _Rule]] = field(default_factory=Counter)
    _seen: set[tuple[object, ...]] = field(default_factory=set)

    def use(self, text: str) -> None:
        """Take over other rules; those that stay as they are go on counting."""
        if text != self.text:
            self.text, self._rules = text, parse(text)
            self._calls.clear()
            self._seen.clear()

    def error(self, argv: Sequence[str], unit: str, hook: str, run: str) -> str | None:
        """Return what the tool says when this call fails; None: it does not.

        Args:
            argv: the call.
            unit: whose hook it is.
            hook: its name.
            run: of this one run of it, whatever identifies that.
        """
        tool = argv[0]
        fails = False
        for rule in self._rules:
            if rule.tool in (tool, "*") and rule.app in ("", unit.partition("/")[0]):
                # Each rule counts, whatever the others say.
                fails = self._holds(rule, tool, unit, hook, run) or fails
        if not fails:
            return None
        return _TEXTS.get(tool, _OTHER).format(app=unit.partition("/")[0])

    def _holds(self, rule: _Rule, tool: str, unit: str, hook: str, run: str) -> bool:
        if rule.when == _ALWAYS:
            return True
        if rule.when in (_PER_HOOK, _FIRST_HOOKS):
            this = (rule, tool, run)
            if this in self._seen:
                return False
            self._seen.add(this)
            kind = (rule, tool, unit, hook)
            first = kind not in self._seen
            self._seen.add(kind)
            return first or rule.when == _PER_HOOK
        self._calls[tool, rule] += 1
        count = self._calls[tool, rule]
        return count <= rule.number if rule.when == "next" else count % rule.number == 0
