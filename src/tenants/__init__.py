# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Applications that use Redis by the relation ``valkey-client``: a user for each request."""
