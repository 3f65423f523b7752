# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Redis clients that try a charm in the lab: they write, read back, and look at the Sentinels.

Each is a program of its own that runs on the model's network (``python -m trials.clients.writer``)
and a module for whoever starts it.
"""
