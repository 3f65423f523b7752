# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The loop of a hook: look, decide, act, and look again for as long as that helps.

What a turn of it does follows from ``next_turn``, which is pure: from what was seen so far, the
purpose and the time. ``run`` obeys. The charm and the simulation of the tests share both, so what
the tests cut is the program that ships.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

import constants as c
import texts
from cluster.leaving import is_needed, may_yet_hand_over
from engine import plan
from engine.purpose import Purpose, Routine, Switchover
from engine.steps import AskAgain, Step
from engine.world import World
from errors import AdapterError
from values import dataclass


@dataclass(frozen=True)
class Turn:
    """What the loop remembers from one look to the next."""

    deadline_s: float
    """When the present stretch of the hook is over, on a clock that nobody sets."""
    hopeful_s: float
    """When a leaving unit last had something to wait for (``may_yet_hand_over``)."""
    first: World | None = None
    """The first look."""
    before: tuple[Step, ...] = ()
    """The plan of the look before."""
    was_needed: bool = False
    """At the look before, this unit could not leave (``is_needed``)."""
    pause_s: float = c.TURN_PAUSE_S
    """Between two looks."""


@dataclass(frozen=True)
class Verdict:
    """What follows from one look."""

    world: World
    """The look, with what only the loop knows."""
    turn: Turn
    """To be remembered."""
    act: tuple[Step, ...] = ()
    """The steps to take now, in order."""
    reasons: tuple[str, ...] = ()
    """What is still waited for, the first one to be told."""
    ends: bool = False
    """Nothing is left that this hook could do; another event goes on with it, if any reason is
    given."""
    stretches: bool = False
    """The hook goes on past its budget, since this unit must not leave yet. What was true for one
    stretch is to be asked anew: Juju's plans, and the lock of a handover."""


def begin(now_s: float) -> Turn:
    """Return what a loop that begins now remembers."""
    return Turn(deadline_s=now_s + c.HOOK_BUDGET_S, hopeful_s=now_s)


def next_turn(turn: Turn, world: World, now_s: float) -> Verdict:
    """Return what follows from a look.

    Args:
        turn: what the loop remembers.
        world: the look, with the purpose of the hook.
        now_s: the time, on the same clock as that of the turn.
    """
    first = turn.first or world
    hopeful_s = now_s if may_yet_hand_over(world) else turn.hopeful_s
    world = replace(world, waited_in_vain_s=now_s - hopeful_s)
    done = _is_done(world, first)
    # A failover that is under way may yet be the one that was ordered.
    ordered = isinstance(world.purpose, Switchover) and (world.failing_over or not done)
    if done:
        world = replace(world, purpose=Routine())
    steps = plan.next_steps(world)
    act = tuple(step for step in steps if not isinstance(step, AskAgain))
    reasons = tuple(step.reason for step in steps if isinstance(step, AskAgain))
    stopping, needed = world.stopping, is_needed(world)
    deadline_s = turn.deadline_s
    if stopping and turn.was_needed and not needed:
        # What is left is to leave in good order.
        deadline_s = now_s + c.HOOK_BUDGET_S
    turn = replace(
        turn, deadline_s=deadline_s, hopeful_s=hopeful_s, first=first, was_needed=needed
    )
    if now_s > deadline_s:
        if not (stopping and needed):
            late = (*reasons, texts.WHY_OUT_OF_TIME) if steps else ()
            return Verdict(world, turn, reasons=late, ends=True)
        turn = replace(turn, deadline_s=now_s + c.HOOK_BUDGET_S, pause_s=c.LEAVE_PAUSE_S)
        return Verdict(world, turn, reasons=reasons, stretches=True)
    stuck = bool(act) and steps == turn.before
    if stuck:
        reasons = (*reasons, texts.WHY_STUCK)
    turn = replace(turn, before=steps)
    if (stuck or not act) and not (reasons and (ordered or _waits(world, needed))):
        return Verdict(world, turn, reasons=reasons, ends=True)
    return Verdict(world, turn, act=act, reasons=reasons)


def _is_done(world: World, first: World) -> bool:
    """Whether the switchover that was ordered has moved the primary role."""
    if not isinstance(world.purpose, Switchover):
        return False
    target = world.purpose.target
    if target is not None:
        return world.agreed_primary == target
    return world.agreed_primary in {*world.planned} - {first.agreed_primary}


def _waits(world: World, needed: bool) -> bool:
    """Whether a unit that leaves is to look again though there is nothing it could do now.

    It has no later turn to wait for; but where no unit that stays answers, its last hook waits
    alone.
    """
    own = world.own_sentinel
    fails_over = world.is_leaving and own is not None and own.failing_over
    leaves = needed and (world.stopping or world.agreed_primary == world.host)
    return leaves or (world.stopping and fails_over)


class Hands(Protocol):
    """What the loop needs of whoever runs it."""

    def now_s(self) -> float:
        """Return the time, in seconds, on a clock that nobody sets."""
        ...

    def look(self, purpose: Purpose) -> World:
        """Return what this unit can see now."""
        ...

    def apply(self, steps: tuple[Step, ...], world: World) -> bool:
        """Take the steps; return False if nothing can come after them."""
        ...

    def stretch(self, reasons: tuple[str, ...]) -> None:
        """Get ready for one more stretch of a hook that goes on past its budget."""
        ...

    def pause(self, seconds: float) -> None:
        """Let what was ordered take effect."""
        ...


def run(hands: Hands, purpose: Purpose) -> Verdict:
    """Look and act until nothing is left to do, or the time is over; return the last verdict."""
    turn = begin(hands.now_s())
    while True:
        world = hands.look(purpose)
        verdict = next_turn(turn, world, hands.now_s())
        turn = verdict.turn
        if verdict.ends:
            return verdict
        if verdict.stretches:
            hands.stretch(verdict.reasons)
            continue
        if not hands.apply(verdict.act, verdict.world):
            return verdict
        if verdict.reasons:
            hands.pause(turn.pause_s)


def take_all(
    steps: Iterable[Step],
    take: Callable[[Step], None],
    failed: Callable[[Step, AdapterError], None],
) -> None:
    """Take steps in order.

    A step that fails for what the world does is left for a later turn; a later step of the same
    turn still gets its chance, since the steps of one turn build on each other only through the
    next look, but for those that bind (``Step.binds``).

    Args:
        steps: of one plan.
        take: takes one; raises AdapterError when the world did not let it.
        failed: hears of each that failed.
    """
    for step in steps:
        try:
            take(step)
        except AdapterError as e:
            failed(step, e)
            if step.binds:
                return
