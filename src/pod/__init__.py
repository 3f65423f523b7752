# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The containers of a unit: Pebble, images, files, ports."""
