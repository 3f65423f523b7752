#!/usr/bin/env python3
"""A charm that does what a test tells it, through its configuration and its actions.

Without ``ops`` in the configured hooks it talks to the hook tools by itself, which is faster.
"""

import json
import os
import subprocess
import sys


def main() -> None:
    """Run what is configured for this hook, or what the action asks for."""
    hook = os.environ["JUJU_HOOK_NAME"]
    if os.environ.get("JUJU_ACTION_NAME") == "sh":
        done = shell(_tool("action-get")["command"])
        results = {"out": done.stdout, "err": done.stderr, "code": done.returncode}
        subprocess.run(["action-set", *(f"{k}={v}" for k, v in results.items())], check=True)
        return
    commands = json.loads(_tool("config-get")["hooks"]) if hook else {"ops": ""}
    if "ops" in commands:
        with_ops()
    if command := commands.get(hook):
        sys.exit(subprocess.run(["/bin/sh", "-e", "-c", command], check=False).returncode)


def shell(command: str) -> "subprocess.CompletedProcess[str]":
    """Return what a shell command printed and its exit code."""
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)


def with_ops() -> None:
    """Let ops handle the event."""
    import ops

    class ProbeCharm(ops.CharmBase):
        def __init__(self, framework: ops.Framework):
            super().__init__(framework)
            framework.observe(self.on.python_action, self._on_python)

        def _on_python(self, event: ops.ActionEvent) -> None:
            names = {"charm": self, "ops": ops, "event": event, "result": None}
            exec(event.params["code"], names)
            event.set_results({"result": json.dumps(names["result"])})

    ops.main(ProbeCharm)


def _tool(name: str) -> dict:
    return json.loads(subprocess.check_output([name, "--format=json"]))


if __name__ == "__main__":
    main()
