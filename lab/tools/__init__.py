"""Hook tools: what each one prints, and what becomes of it when the hook ends.

Arguments, outputs and error texts are those of Juju 3.6 as ops 3.9 uses them. A tool's effect
is either there at once (statuses, logs, tracked revisions) or kept by its ``Family`` until
``HookContext.commit``, which happens only when dispatch ended with 0.
Source: https://documentation.ubuntu.com/juju/3.6/reference/hook-command/
"""

from lab.tools.context import TOOLS, HookContext, Reply
from lab.tools.scope import Cache, CommitError

__all__ = ["TOOLS", "Cache", "CommitError", "HookContext", "Reply"]
