# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Forming, guarding and moving a Redis cluster: decisions only."""
