# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The loop of a hook and what it looks at: world, purpose, turns, statuses."""
