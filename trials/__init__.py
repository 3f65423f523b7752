# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What tries a Redis charm in the lab: clients, faults, the demo, and what hooks cost.

It knows Redis and the names of this charm, and uses the lab; the lab knows nothing of it.
"""
