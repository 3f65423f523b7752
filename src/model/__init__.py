# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Juju's side: the peer relation, its secret, the hook tools."""
