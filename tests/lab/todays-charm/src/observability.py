# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the three libraries for observability do in a hook of a charm without such relations.

Their code is not here: what they import is imported, what they observe is observed, and what they
ask Juju for and tell its log is asked and told.
"""

# Imported for what it costs.
import base64  # noqa: F401
import hashlib  # noqa: F401
import io  # noqa: F401
import ipaddress  # noqa: F401
import json
import logging
import lzma  # noqa: F401
import os  # noqa: F401
import platform  # noqa: F401
import re  # noqa: F401
import socket  # noqa: F401
import subprocess  # noqa: F401
import tempfile  # noqa: F401
import urllib.parse  # noqa: F401
import urllib.request  # noqa: F401
import uuid  # noqa: F401
import zipfile  # noqa: F401
from pathlib import Path

import yaml  # noqa: F401
from ops.charm import CharmBase
from ops.framework import EventBase, Object, StoredState

METRICS, DASHBOARDS, LOGGING = "metrics-endpoint", "grafana-dashboard", "logging"

logger = logging.getLogger(__name__)


class Metrics(Object):
    """What a provider of metrics does in a charm with two containers."""

    def __init__(self, charm: CharmBase):
        super().__init__(charm, METRICS)
        self._charm = charm
        logger.warning("2 containers, and no event to refresh at: taking update-status")
        events = charm.on[METRICS]
        for event in (charm.on.leader_elected, charm.on.upgrade_charm, events.relation_changed):
            self.framework.observe(event, self._tell_jobs)
        for event in (charm.on.update_status, events.relation_joined):
            self.framework.observe(event, self._tell_address)

    def _tell_jobs(self, _: EventBase) -> None:
        self._tell_address(_)
        if not self._charm.unit.is_leader():
            return
        for relation in self.model.relations[METRICS]:
            relation.data[self._charm.app]["scrape_jobs"] = json.dumps([])

    def _tell_address(self, _: EventBase) -> None:
        for relation in self.model.relations[METRICS]:
            relation.data[self._charm.unit]["prometheus_scrape_unit_name"] = self._charm.unit.name


class Dashboards(Object):
    """What a provider of dashboards does."""

    _stored = StoredState()

    def __init__(self, charm: CharmBase):
        super().__init__(charm, DASHBOARDS)
        self._charm = charm
        self._stored.set_default(templates={})
        for event in (charm.on.leader_elected, charm.on.upgrade_charm):
            self.framework.observe(event, self._tell)

    def _tell(self, _: EventBase) -> None:
        self._stored.templates = {}
        if self._charm.unit.is_leader():
            for relation in self.model.relations[DASHBOARDS]:
                relation.data[self._charm.app]["dashboards"] = "{}"


class Logs(Object):
    """What a consumer of Loki's push API does."""

    def __init__(self, charm: CharmBase):
        super().__init__(charm, LOGGING)
        if not Path("src/loki_alert_rules").is_dir():
            logger.debug("there is no directory with alert rules")
        self.framework.observe(charm.on.redis_pebble_ready, self._look)

    def _look(self, _: EventBase) -> None:
        assert not self.model.relations[LOGGING], "the stand-in pushes no logs"
