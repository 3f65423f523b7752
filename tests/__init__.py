# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Makes `tests` this folder: a package of the environment brings one of the same name."""
