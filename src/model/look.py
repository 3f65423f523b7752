# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What Juju says of the application: its units, its record, its options."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import ops

import constants as c
import texts
from engine.world import Config, World
from model import hooktools, options
from model.peers import Peers, UnitPlan, units_by_fate

if TYPE_CHECKING:
    from engine.hook import Hook
    from engine.purpose import Purpose

logger = logging.getLogger(__name__)


def look(hook: Hook, peers: Peers, purpose: Purpose) -> World:
    """Return what a world begins with.

    Args:
        hook: that looks.
        peers: the relation, which is there.
        purpose: of the hook.
    """
    is_leader = _leads(hook)
    units = _units(hook, peers, is_leader)
    host, joined = hook.hosts.of, peers.joined
    return World(
        app=hook.model.app.name,
        host=hook.host,
        is_leader=is_leader,
        planned=tuple(host(unit) for unit in units.staying),
        unmet=frozenset(host(unit) for unit in units.staying if unit not in joined),
        units_known=units.known,
        leaving=frozenset(host(unit) for unit in units.leaving),
        purpose=purpose,
        has_claim=hook.has_claim,
        recorded_primary=peers.primary,
        recorded_units=peers.units,
        initialised=peers.initialised,
        config=_config(hook),
        handover_problem=hook.handover_problem,
    )


def _leads(hook: Hook) -> bool:
    """Whether this unit is the leader; Juju is asked now and then in a hook that waits."""
    try:
        return hook.model.unit.is_leader()
    except ops.ModelError as e:
        if not hooktools.is_spent(e):
            raise
        logger.warning("Juju does not say who leads: %s", hooktools.reason_of(e))
        return False


def _units(hook: Hook, peers: Peers, is_leader: bool) -> UnitPlan:
    """Return the units that are to stay and those that leave."""
    if hook.units is not None:
        return hook.units
    recorded = [hook.hosts.unit(host) for host in peers.units]
    if not (is_leader or peers.reads_all) and hook.model.unit.name in recorded:
        # The leader keeps them, and wakes all when they change.
        return UnitPlan(recorded, [])
    try:
        hook.units = units_by_fate()
    except hooktools.FAILURES as e:
        if not hooktools.is_spent(e):
            raise
        logger.warning("Juju does not say which units there are: %s", hooktools.reason_of(e))
        hook.units = UnitPlan(recorded, [], known=False)
    return hook.units


def _config(hook: Hook) -> Config:
    """Return the options, or what is wrong with them."""
    down_after_ms = int(hook.config["down-after"])
    low, high = c.DOWN_AFTER_LIMITS_MS
    settings, problem = options.settings(hook.config)
    config = Config(
        tls=bool(hook.config["enable-tls"]),
        settings=settings,
        start_empty=bool(hook.config["start-empty"]),
        problem=problem,
    )
    if not low <= down_after_ms <= high:
        return replace(config, problem=texts.BAD_DOWN_AFTER.format(least=low, most=high))
    return replace(config, down_after_ms=down_after_ms)
