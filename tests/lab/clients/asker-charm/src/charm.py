#!/usr/bin/env python3
# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A charm that costs next to nothing, so that ten relations are twenty users and no more."""

import json
import os
import subprocess

if os.environ["JUJU_HOOK_NAME"].endswith("-relation-created"):
    name = os.environ["JUJU_RELATION"]
    requests = [
        {"resource": f"{name}:*", "request-id": f"{name}-{kind}", "salt": kind}
        for kind in ("main", "cache")
    ]
    words = ["version=v1", f"requests={json.dumps(requests)}"]
    subprocess.run(["relation-set", "--app", *words], check=True)
