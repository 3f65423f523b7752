# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the loop of a hook looks and acts with, and what is done once it is over."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import replace

import capabilities
import constants as c
import pulse
import seen
from cluster.steps import SEEN_HERE
from engine import status, turns
from engine.capability import found
from engine.hook import Hook
from engine.look import look
from engine.purpose import Purpose
from engine.steps import Step
from engine.world import World
from errors import AdapterError, WorkloadError
from model import hooktools
from model.peers import units_by_fate

logger = logging.getLogger(__name__)


class Hands:
    """One hook as ``turns.run`` needs it."""

    def __init__(self, hook: Hook):
        self._hook = hook

    def now_s(self) -> float:
        """Return the time by which a hook's budget is kept."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Let what was ordered take effect."""
        time.sleep(seconds)

    def look(self, purpose: Purpose) -> World:
        """Return what this unit can see now."""
        return look(self._hook, purpose)

    def apply(self, steps: Iterable[Step], world: World) -> bool:
        """Take the steps in order; return False once this unit has retired."""

        def failed(step: Step, error: AdapterError) -> None:
            logger.warning("%s failed: %s", type(step).__name__, error)
            if step.told:
                self._hook.handover_problem = str(error)

        turns.take_all(steps, lambda step: take(self._hook, step, world), failed)
        return not self._hook.retired

    def stretch(self, reasons: tuple[str, ...]) -> None:
        """Get ready for one more stretch of the last hook of a unit that is needed.

        Juju has no limit for this hook, and the pod is there until it ends. Meanwhile more units
        may be told to leave, all of them even; and no claim may grow old.
        """
        hook = self._hook
        hook.release()
        try:
            hook.memory.unit_status = ""
            hook.model.unit.status = status.owing(reasons)
            hook.units = units_by_fate()
        except hooktools.FAILURES as e:
            # Juju may be away for a while. Nothing here depends on it for now.
            logger.warning("Juju gives no answer: %s", hooktools.reason_of(e))


def take(hook: Hook, step: Step, world: World) -> None:
    """Take one step.

    Raises:
        AdapterError: the world did not let it.
        TypeError: nobody takes such a step.
    """
    logger.info("%s", step)
    hooktools.note_act()
    capabilities.taker(type(step))(step, hook, world)


def reconcile(hook: Hook, purpose: Purpose) -> World:
    """Bring this unit, and as leader the application, nearer to what it should be.

    Returns:
        The last look.
    """
    verdict = turns.run(Hands(hook), purpose)
    hook.release()
    for capability in capabilities.CAPABILITIES:
        if capability.end:
            found(capability.end)(hook)
    if hook.memory.volume != hook.volume:
        hook.memory.volume = hook.volume
    if verdict.reasons:
        ask_again(hook, verdict.reasons, verdict.world)
    world = replace(verdict.world, handover_problem=hook.handover_problem)
    if world.units_known or world.planned:
        # Else Juju says nothing and nothing was recorded: no status would be true.
        hook.world = world
    if not hook.routine:
        _keep_seen(hook, world)
    elif not hook.thorough and not verdict.reasons:
        _keep_pulse(hook, world)
    return world


def ask_again(hook: Hook, reasons: tuple[str, ...], world: World) -> None:
    """Have Pebble send a notice when there may be something to see.

    Before Pebble is there its own event will come.
    """
    logger.info("Looking again: %s", reasons[0])
    container = hook.sentinel if world.sentinel_container.ready else hook.redis
    here = SEEN_HERE.issuperset(reasons)
    try:
        container.notify_later(len(world.planned) if here else None)
    except WorkloadError as e:
        logger.info("%s", e)


def _keep_seen(hook: Hook, world: World) -> None:
    """Let the hooks end early that would tell of what this look has seen."""
    views = {c.REDIS: world.redis_container, c.SENTINEL: world.sentinel_container}
    boots = {name: view.boot for name, view in views.items() if view.ready and view.boot}
    started = world.credentials is not None and world.recorded_primary is not None
    if len(boots) == len(views) and started and world.storage_attached and not world.is_leaving:
        seen.keep(os.environ, boots, dict(hook.config))


def _keep_pulse(hook: Hook, world: World) -> None:
    """Let the next hook that tells nothing end early, if all is still as this look saw it.

    What was heard before the look and after it is the same, so the look saw that too.
    """
    if hook.heard is None or world.credentials is None or world.own_redis is None:
        return
    if hook.memory.ports_wait or world.service.pending or not status.is_quiet(world):
        # There is something to do once time has passed, or to take back.
        return
    question, heard = hook.heard
    if heard is not None and pulse.listen(question, world.credentials[c.OPERATOR_USER]) == heard:
        pulse.keep(os.environ, question, heard)
