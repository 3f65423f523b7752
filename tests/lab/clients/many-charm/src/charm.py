#!/usr/bin/env python3
# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A charm that costs next to nothing, so that ten relations are ten clients and no more."""

import os
import subprocess

if os.environ["JUJU_HOOK_NAME"].endswith("-relation-created"):
    subprocess.run(["relation-set", "user-secrets=1"], check=True)
