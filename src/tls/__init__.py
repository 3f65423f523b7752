# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Certificates, and how TLS comes and goes."""
