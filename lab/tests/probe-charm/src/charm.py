"""A charm that does what a test tells it, through its configuration and its actions."""

import json
import os
import subprocess

import ops


class ProbeCharm(ops.CharmBase):
    """Runs a configured shell command in each hook, and others on request."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.sh_action, self._on_sh)
        framework.observe(self.on.python_action, self._on_python)
        hook = os.environ["JUJU_HOOK_NAME"]
        commands = json.loads(str(self.config["hooks"]))
        command = commands.get(hook) or commands.get("*")
        if hook and command:
            subprocess.run(["/bin/sh", "-e", "-c", command], check=True)

    def _on_sh(self, event: ops.ActionEvent) -> None:
        done = subprocess.run(
            ["/bin/sh", "-c", event.params["command"]],
            capture_output=True,
            text=True,
            check=False,
        )
        event.set_results({"out": done.stdout, "err": done.stderr, "code": done.returncode})

    def _on_python(self, event: ops.ActionEvent) -> None:
        names = {"charm": self, "ops": ops, "event": event, "result": None}
        exec(event.params["code"], names)
        event.set_results({"result": json.dumps(names["result"])})


if __name__ == "__main__":
    ops.main(ProbeCharm)
