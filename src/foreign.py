# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a hook does on a Python that the charm was not packed for.

Compiled packages load in one version of Python only. The container's Python comes with the base of
the application, which Juju keeps in `juju refresh --path`, whatever the charm was packed for.
This runs before anything else is imported, in any Python from 3.8 on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

BASES = {"3.10": "ubuntu@22.04", "3.12": "ubuntu@24.04"}
"""What charmcraft.yaml packs for, by the version of the base's Python."""

PROBED_S = 6.0
"""Kubernetes has looked at the readiness of a container once more after so long: every 5 s."""

UNREADY = """\
summary: The charm cannot run, so this container is not ready
checks:
  foreign-python:
    override: replace
    level: ready
    period: 1s
    threshold: 1
    exec:
      command: "false"
"""


def version_of(tag: str) -> str:
    """Return the version in a tag of CPython: 3.12 for cpython-312."""
    digits = tag.split("-")[1]
    return digits[0] + "." + digits[1:]


def packed_for(venv: str) -> str | None:
    """Return the version of Python that the packages in ``venv`` were compiled for.

    A compiled module has the tag in the name of its file: ``_m.cpython-312-x86_64-linux-gnu.so``.

    Returns:
        None where there is no such module at the top of ``venv``, or no ``venv``.
    """
    try:
        names = os.listdir(venv)
    except FileNotFoundError:
        return None
    for name in names:
        if name.endswith(".so") and ".cpython-" in name:
            return version_of(name.split(".")[1])
    return None


def problem(venv: str, running: str, app: str) -> str | None:
    """Return what is wrong and what to do about it; None if the packages are for this Python.

    Args:
        venv: the directory of the packages.
        running: the version of this Python, such as 3.12.
        app: the application's name.
    """
    packed = packed_for(venv)
    if packed is None or packed == running:
        return None
    text = f"Packed for Python {packed}, this pod has {running}: "
    if running in BASES:
        file = f"./redis-k8s_{BASES[running]}-amd64.charm"
        return f"{text}juju refresh {app} --path {file}"
    return f"{text}there is a charm for {' and '.join(sorted(BASES.values()))} only"


def report(text: str, env: Mapping[str, str]) -> None:
    """Show the problem, and keep Kubernetes from rolling it out to the next pod.

    A hook that failed would hide the text. One that just ends would make the pod ready, so that
    a refresh goes on until no unit serves any more; a check that is down holds it at this pod.
    It goes with the pod, and so with the next refresh.
    """
    import glob
    import subprocess
    import tempfile
    import time

    if env.get("JUJU_ACTION_NAME"):
        subprocess.run(["action-fail", "--", text], check=False)
        return
    subprocess.run(["status-set", "blocked", "--", text], check=False)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as layer:
        layer.write(UNREADY)
        layer.flush()
        for socket in sorted(glob.glob("/charm/containers/*/pebble.socket")):
            add = ["/charm/bin/pebble", "add", "--combine", "foreign-python", layer.name]
            # Without HOME it looks for root's, which need not be there.
            pebble_env = {"HOME": "/tmp", "PEBBLE_SOCKET": socket}
            subprocess.run(add, env=pebble_env, stdout=subprocess.DEVNULL, check=False)
    if env.get("JUJU_DISPATCH_PATH") == "hooks/start":
        # With the end of this hook the pod is ready, unless the check has been seen to be down.
        time.sleep(PROBED_S)


def stops(env: Mapping[str, str]) -> bool:
    """Whether this hook ends here, with the reason shown as the unit's status."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    running = "{}.{}".format(*sys.version_info)
    app = env.get("JUJU_UNIT_NAME", "").split("/")[0]
    text = problem(os.path.join(root, "venv"), running, app)
    if text is None:
        return False
    report(text, env)
    return True
