# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Applications that use Redis by the relation ``redis``: where it is, and a user for each."""
