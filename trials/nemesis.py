# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Random trouble, several things at a time, that a seed repeats.

A round is a trial with one to four events at random moments; the plan of all rounds follows from
the seed alone. Whom an event meets (the primary, the leader, the third unit) follows from how
things are then.
"""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab.client import LabError
from trials.clients import wire
from trials.cluster import APP
from trials.scene import Scene, TrialError

FIRST_UNITS = 3
MOST = 5
APART_S = 5.0
"""The longest time from one event of a round to the next."""

PLANNED = ("switchover", "delete-pod", "add", "remove", "elect", "update-status")
KILLS = ("kill-process", "kill-busy", "kill-sentinel", "kill-pod", "kill-all")
CUTS = ("cut", "cut-in", "cut-out", "freeze", "empty")
_WEIGHTS = {
    **dict.fromkeys(PLANNED, 2),
    **dict.fromkeys(KILLS, 3),
    **dict.fromkeys(CUTS, 2),
    "kill-all": 1,
    "kill-busy": 1,
    "empty": 1,
    "update-status": 1,
}


@dataclass(frozen=True)
class Event:
    """One thing that happens in a round.

    Attributes:
        at_s: when, from the start of the round.
        verb: what; see ``PLANNED``, ``KILLS`` and ``CUTS``.
        target: ``primary``, ``leader`` or ``any``.
        pick: which unit is meant by ``any``, modulo their number.
        lasts_s: for how long a cut or a freeze holds.
    """

    at_s: float
    verb: str
    target: str
    pick: int
    lasts_s: float


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        number: from 1.
        units: how many there are before.
        units_after: and after.
        events: in the order of their moments.
    """

    number: int
    units: int
    units_after: int
    events: tuple[Event, ...]

    @property
    def may_lose(self) -> bool:
        """Tell whether acknowledged writes may be lost: not in planned changes and kills."""
        return any(event.verb in CUTS for event in self.events)

    @property
    def silent(self) -> bool:
        """Tell whether the network of a primary may stop without a word."""
        return any(event.verb in ("kill-pod", "kill-all") for event in self.events)

    def text(self) -> str:
        """Return the plan in one line."""
        events = ", ".join(
            f"{e.at_s:.1f} {e.verb} {e.target}" + (f" {e.pick}" if e.target == "any" else "")
            for e in self.events
        )
        return f"round {self.number}, {self.units} units: {events}"


def rounds(seed: int) -> Iterator[Round]:
    """Return the rounds of a seed, without end."""
    units = FIRST_UNITS
    number = 0
    while True:
        number += 1
        chance = random.Random(f"{seed}/{number}")
        after = units
        events: list[Event] = []
        at_s = 0.0
        for _ in range(chance.randint(1, 4)):
            at_s += chance.uniform(0.0, APART_S)
            done = {event.verb for event in events}
            verb = chance.choices(*zip(*_allowed(after, done).items(), strict=True))[0]
            after += {"add": 1, "remove": -1}.get(verb, 0)
            target = chance.choice(("primary", "primary", "leader", "any"))
            lasts_s = chance.uniform(1.0, 15.0)
            events.append(Event(at_s, verb, target, chance.randrange(MOST), lasts_s))
        yield Round(number, units, after, tuple(events))
        units = after


def _allowed(units: int, done: set[str]) -> dict[str, int]:
    """Return the weights of what may come next, with so many units, after what was done."""
    refused = set()
    if units <= 1:
        # Nobody else to have the data, or to be primary.
        refused |= {"remove", "switchover", "empty"}
    if units >= MOST:
        refused.add("add")
    if done:
        # The data must be somewhere: an empty volume is trouble enough for a round.
        refused.add("empty")
    if "empty" in done:
        refused |= set(_WEIGHTS) - {"switchover", "update-status", "elect", "kill-sentinel"}
    return {verb: weight for verb, weight in _WEIGHTS.items() if verb not in refused}


def act(plan: Round) -> Callable[[Scene], None]:
    """Return what brings a round's events about, each in a thread of its own."""

    def run(scene: Scene) -> None:
        with ThreadPoolExecutor(len(plan.events)) as pool:
            futures = []
            for event in plan.events:
                time.sleep(max(0.0, scene.start_s + event.at_s - time.monotonic()))
                futures.append(pool.submit(_happen, scene, event))
        for future in futures:
            future.result()

    return run


def _happen(scene: Scene, event: Event) -> None:
    alive = scene.cluster.alive()
    unit = alive[event.pick % len(alive)]
    if event.target == "leader":
        unit = scene.cluster.leader()
    elif event.target == "primary":
        unit = scene.cluster.primary() or unit
    try:
        _do(scene, event, unit)
    except (LabError, TrialError) as e:
        # Another event of the round was first: the pod is not up, the unit has left.
        scene.say(f"{event.verb} {unit} was not possible: {e}")


def _do(scene: Scene, event: Event, unit: str) -> None:
    model = scene.model
    if event.verb in ("cut", "cut-in", "cut-out"):
        scene.cut(unit, event.lasts_s, event.verb.partition("-")[2] or None)
        return
    if event.verb == "freeze":
        scene.freeze(unit, event.lasts_s)
        return
    if event.verb == "empty":
        scene.empty(unit)
        return
    if event.verb == "kill-busy":
        scene.kill_on_a_busy_disk(unit, event.lasts_s / 5)
        return
    scene.say(f"{event.verb} {unit}")
    if event.verb == "switchover":
        # It may fail: there is nobody fit to take over while others are being killed.
        result = model.run(scene.cluster.leader(), "switchover", timeout_s=30)
        scene.say(f"switchover {result.status}: {result.message}")
    elif event.verb == "delete-pod":
        model.kill_pod(unit, graceful=True)
    elif event.verb == "add":
        model.add_unit(APP)
    elif event.verb == "remove":
        model.remove_unit(APP)
    elif event.verb == "elect":
        model.elect(unit)
    elif event.verb == "update-status":
        model.update_status(unit)
    elif event.verb == "kill-process":
        model.kill_process(unit, "redis", wire.SERVER)
    elif event.verb == "kill-sentinel":
        model.kill_process(unit, "sentinel", wire.SERVER)
    elif event.verb == "kill-pod":
        model.kill_pod(unit)
    else:
        for name in scene.cluster.alive():
            model.kill_pod(name)
