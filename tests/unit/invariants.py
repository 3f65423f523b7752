# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What no plan may ever hold, whatever the world.

``conftest`` has each plan of each test checked. The rules restate what must always hold from the
steps and the world alone: how the plan came to its steps does not matter here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import constants as c
from clients import plan as clients
from cluster.facts import is_primary
from cluster.leaving import is_needed
from cluster.steps import (
    ClaimHandover,
    Follow,
    ForceFailover,
    Forget,
    Handover,
    MarkInitialised,
    PermitBirth,
    RecordPrimary,
    RecordUnits,
    Retire,
    SetQuorum,
    SetRedis,
    StartService,
)
from engine.steps import Step
from engine.world import World
from passwords import rotation
from passwords.rotation import CreateCredentials
from tenants import plan as tenants
from tls import plan as tls

Rule = Callable[[World, tuple[Step, ...]], Iterator[str]]

LEADERS = (
    CreateCredentials,
    RecordPrimary,
    RecordUnits,
    MarkInitialised,
    SetQuorum,
    Forget,
    rotation.ChangeSecret,
    rotation.DropPlainPasswords,
    rotation.ChangeGuests,
    rotation.AdmitUsers,
    clients.RecordName,
    clients.HandOver,
    clients.TakeBack,
    clients.Tell,
    tenants.Reply,
    tenants.TakeBack,
    tls.GiveTurn,
)
"""Steps that decide for the application."""


def check(world: World, steps: tuple[Step, ...]) -> None:
    """Raise AssertionError when a plan breaks a rule, with the rule, the plan and the world."""
    for rule in RULES:
        for text in rule(world, steps):
            raise AssertionError(f"{text}\nplan: {steps}\nworld: {world}")


def _primary_by(world: World, executor: str) -> str | None:
    view = world.sentinels.get(executor)
    return None if view is None else view.primary_host


def leader_only(world: World, steps: tuple[Step, ...]) -> Iterator[str]:
    """The leader alone decides for the application."""
    if not world.is_leader:
        yield from (f"not the leader's to do: {s}" for s in steps if isinstance(s, LEADERS))


def no_forced_failover_from_a_living_primary(
    world: World, steps: tuple[Step, ...]
) -> Iterator[str]:
    """SENTINEL FAILOVER on a primary that serves loses what it acknowledges for ten seconds."""
    for step in steps:
        if isinstance(step, ForceFailover):
            primary = _primary_by(world, step.host)
            if primary is None or is_primary(world, primary):
                yield f"forced on a primary that answers, or on nobody: {step}"
            if world.failing_over:
                yield f"forced into a failover: {step}"


def one_forgets_at_a_time(world: World, steps: tuple[Step, ...]) -> Iterator[str]:
    """A Sentinel that has been reset cannot fail over until it knows all again."""
    forgets = [step for step in steps if isinstance(step, Forget)]
    if len(forgets) > 1:
        yield "more than one Sentinel forgets at once"
    if forgets and (world.failing_over or not is_primary(world, world.agreed_primary)):
        yield "a Sentinel forgets while the primary is in doubt"


def handover_is_prepared(world: World, steps: tuple[Step, ...]) -> Iterator[str]:
    """One at a time, under a claim, to the only replica that Sentinel would choose."""
    handovers = [step for step in steps if isinstance(step, Handover)]
    if len(handovers) > 1:
        yield "two handovers in one plan"
    for step in handovers:
        source, target = world.redis.get(step.source), world.redis.get(step.target)
        if not world.has_claim or world.failing_over:
            yield "a handover without a claim, or into a failover"
        if source is None or not source.is_primary:
            yield "a handover from no primary"
        if target is None or target.is_primary or not target.link_up or not target.is_logged:
            yield "a handover to one that is not in sync, or has not all in its file"
        if step.target not in world.planned:
            yield "a handover to one that is not to stay"
        known = world.sentinels[step.executor].replicas
        eligible = {r.host for r in known if not r.down and r.priority != c.NOT_ELIGIBLE}
        if eligible != {step.target}:
            yield f"eligible are {sorted(eligible)}, not the target alone"


def one_is_made_eligible_under_a_claim(world: World, steps: tuple[Step, ...]) -> Iterator[str]:
    """While the role is moved nobody but the target is eligible."""
    made = {
        step.host
        for step in steps
        if isinstance(step, SetRedis)
        and (step.name, step.value) == ("replica-priority", str(c.ELIGIBLE))
    }
    moves = world.has_claim or any(isinstance(step, ClaimHandover) for step in steps)
    if moves and len(made) > 1:
        yield f"made eligible during a handover: {sorted(made)}"


def birth_is_first(world: World, steps: tuple[Step, ...]) -> Iterator[str]:
    """No empty unit becomes primary of an application that had data."""
    if any(isinstance(step, PermitBirth) for step in steps) and (
        world.initialised or world.recorded_primary != world.host
    ):
        yield "an empty primary of an application that had one"


def nothing_starts_on_what_may_be_taken_back(
    world: World, steps: tuple[Step, ...]
) -> Iterator[str]:
    """A record and a secret that were made in this hook are void if it fails."""
    starts = [step for step in steps if isinstance(step, StartService)]
    if starts and not (world.record_kept and world.credentials_kept):
        yield "a service starts on a record or a secret that a failing hook takes back"


def retires_in_its_last_hook(world: World, steps: tuple[Step, ...]) -> Iterator[str]:
    """A unit ends its processes for good only where Juju removes it, and at the end."""
    if Retire() in steps:
        if not (world.is_leaving and world.stopping):
            yield "a unit retires that stays, or too early"
        if is_needed(world):
            yield "a unit retires that may have what nobody else has"


def follows_a_primary(world: World, steps: tuple[Step, ...]) -> Iterator[str]:
    """A unit turns its own Redis alone, to one that says itself that it is primary."""
    for step in steps:
        if isinstance(step, Follow):
            if step.host != world.host or not is_primary(world, step.primary):
                yield f"not to be followed: {step}"


def quorum_is_that_of_the_plan(world: World, steps: tuple[Step, ...]) -> Iterator[str]:
    """More than half of the units that are to stay."""
    for step in steps:
        if isinstance(step, SetQuorum) and step.quorum * 2 <= len(world.planned):
            yield f"two sides of a cut could each reach it: {step}"


def each_step_once(world: World, steps: tuple[Step, ...]) -> Iterator[str]:
    """The same order twice in one plan is one too many."""
    if len(set(steps)) != len(steps):
        yield "a step stands twice in a plan"


RULES: tuple[Rule, ...] = (
    leader_only,
    no_forced_failover_from_a_living_primary,
    one_forgets_at_a_time,
    handover_is_prepared,
    one_is_made_eligible_under_a_claim,
    birth_is_first,
    nothing_starts_on_what_may_be_taken_back,
    retires_in_its_last_hook,
    follows_a_primary,
    quorum_is_that_of_the_plan,
    each_step_once,
)
