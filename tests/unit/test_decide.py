# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The guarded start's decision: text in, text out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pod import render

DECIDE = Path(render.__file__).parents[2] / "templates/decide.awk"
AWKS = [
    command
    for command in (["mawk"], ["gawk"], ["gawk", "--posix"], ["busybox", "awk"], ["original-awk"])
    if shutil.which(command[0])
]
"""Those of the images that are likely, as far as this machine has them."""
A, B, C, D = "host-0", "host-1", "host-2", "host-3"


def sentinel(
    asked: str, recorded: str = A, flags: str = "master", epoch: int = 0, advertised: str = ""
) -> str:
    return f"sentinel {asked} {advertised or recorded} {recorded} {flags} {epoch} 100 2 2 2"


def replica(asked: str, host: str, priority: int = 100, flags: str = "slave") -> str:
    return f"replica {asked} {host} {priority} {flags} 500 ok"


def decide(awk: list[str], *lines: str, **variables: object) -> tuple[str, str]:
    """Return the decision, and what of the answers the next one goes by."""
    known: dict[str, object] = {
        "host": A,
        "peers": f"{A} {B} {C}",
        "data": "log",
        "permit": "",
        "noticed_ms": "",
        "limit_ms": 4000,
        "asked_ms": "",
        "again_ms": 4000,
    }
    known |= variables
    words = [word for name, value in known.items() for word in ("-v", f"{name}={value}")]
    argv = [*awk, *words, "-f", str(DECIDE)]
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    decision, seen = done.stdout.removesuffix("\n").split("\n")
    return decision, seen


BACK = "named by a majority, with its data"
FIRST = "primary plain the first of this application"
NOBODY = "wait no majority of the Sentinels names a primary"
EMPTY = "wait this node is empty and must not be primary"
NOTICED = "wait the Sentinels have noticed the absence of this node"
SWITCHING = "wait a failover from this node is under way"
LATER = "wait a unit that leaves knows of a later failover"
ALL = [sentinel(A), sentinel(B), sentinel(C)]
DOWN = "s_down,master"
MOVES = "master,failover_in_progress"
MISSED = [sentinel(A), sentinel(B, flags=DOWN), replica(B, C)]

CASES = {
    # Who is named.
    "nobody answers": ([], {}, NOBODY),
    "a minority names it": ([sentinel(A)], {}, NOBODY),
    "half of four is no majority": (
        [sentinel(A), sentinel(B)], {"peers": f"{A} {B} {C} {D}"}, NOBODY),
    "they disagree": ([sentinel(A), sentinel(B, B), sentinel(C, C)], {}, NOBODY),
    "two of three name it": (ALL[:2], {}, f"primary fenced {BACK}"),
    "two of three name another": (
        [sentinel(A), sentinel(B, B), sentinel(C, B)], {}, f"follow {B}"),
    "another is named, and it is empty": (
        [sentinel(B, B), sentinel(C, B)], {"data": "none"}, f"follow {B}"),
    "what they give out counts, not what they record": (
        [sentinel(B, flags=MOVES, advertised=C), sentinel(C, advertised=C)], {}, f"follow {C}"),
    # With its data.
    "alone, it has nobody to wait for": ([sentinel(A)], {"peers": A}, f"primary plain {BACK}"),
    "alone, with a snapshot": (
        [sentinel(A)], {"peers": A, "data": "snapshot"}, f"primary fenced {BACK}"),
    "with a snapshot": (ALL, {"data": "snapshot"}, f"primary fenced {BACK}"),
    "the permit is for the empty": (ALL, {"permit": "yes"}, f"primary fenced {BACK}"),
    # Somebody is about to fail over from it, or does.
    "one fails over from it": ([*ALL[:2], sentinel(C, flags=MOVES)], {}, SWITCHING),
    "one of a unit that leaves does": ([*ALL, sentinel(D, flags=MOVES)], {}, SWITCHING),
    "one fails over from another": (
        [sentinel(A, B), sentinel(B, B, flags=MOVES), sentinel(C, B)], {}, f"follow {B}"),
    "one has missed it": (MISSED, {"noticed_ms": 0}, NOTICED),
    "one has missed it for long": (MISSED, {"noticed_ms": 4000}, NOTICED),
    "for too long": (MISSED, {"noticed_ms": 4001}, f"primary fenced {BACK}"),
    "with nobody eligible": (
        [*MISSED[:2], replica(B, C, 0)], {"noticed_ms": 0}, f"primary fenced {BACK}"),
    "with nobody up": (
        [*MISSED[:2], replica(B, C, flags="s_down,slave")], {"noticed_ms": 0},
        f"primary fenced {BACK}"),
    "with nobody reached": (
        [*MISSED[:2], replica(B, C, flags="slave,disconnected")], {"noticed_ms": 0},
        f"primary fenced {BACK}"),
    "another is taken for down": (
        [sentinel(A, B, flags=DOWN), sentinel(B, B), sentinel(C, B)], {}, f"follow {B}"),
    "missed, and one fails over already": (
        [sentinel(A), sentinel(B, flags=DOWN), sentinel(C, flags=f"s_down,o_down,{MOVES}")],
        {"noticed_ms": 9999}, SWITCHING),
    # Without data.
    "empty": (ALL, {"data": "none"}, f"ask-failover {B} {C}"),
    "empty, in other order": (ALL[::-1], {"data": "none"}, f"ask-failover {B} {C}"),
    "empty, asked lately": (ALL, {"data": "none", "asked_ms": 3999}, EMPTY),
    "empty, asked before": (ALL, {"data": "none", "asked_ms": 4000}, f"ask-failover {B} {C}"),
    "empty, and missed": (
        [sentinel(A), sentinel(B, flags=DOWN)], {"data": "none", "noticed_ms": 9999}, EMPTY),
    "empty, one has lost its state": (
        [sentinel(A, epoch=3), sentinel(B), sentinel(C, epoch=3)], {"data": "none"},
        f"ask-failover {C}"),
    "empty, only its own knows the latest": (
        [sentinel(A, epoch=3), sentinel(B), sentinel(C)], {"data": "none"}, EMPTY),
    "empty and alone": ([sentinel(A)], {"data": "none", "peers": A}, EMPTY),
    "the first of all": ([], {"data": "none", "permit": "yes"}, FIRST),
    "the first of all, and named": (ALL, {"data": "none", "permit": "yes"}, FIRST),
    "a permit, and another is named": (
        [sentinel(A, B), sentinel(B, B)], {"data": "none", "permit": "yes"}, f"follow {B}"),
    # Units that leave.
    "one that leaves has no voice": ([sentinel(A), sentinel(D)], {}, NOBODY),
    "one that leaves names another": ([*ALL, sentinel(D, D)], {}, f"primary fenced {BACK}"),
    "one that leaves knows more": ([*ALL, sentinel(D, D, epoch=1)], {}, LATER),
    "one that leaves knows as much": (
        [sentinel(A, epoch=1), sentinel(B), sentinel(D, D, epoch=1)], {},
        f"primary fenced {BACK}"),
    "one that leaves knows more, and another is named": (
        [sentinel(A, B), sentinel(B, B), sentinel(D, D, epoch=10)], {}, LATER),
    "numbers are no text": (
        [sentinel(A, epoch=9), sentinel(B, epoch=9), sentinel(D, D, epoch=10)], {}, LATER),
}  # fmt: skip


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
@pytest.mark.parametrize("case", CASES)
def test_what_a_guarded_start_does(awk: list[str], case: str):
    lines, variables, decision = CASES[case]
    assert decide(awk, *lines, **variables)[0] == decision


SEEN = {
    "nobody answers": ([], "0 no"),
    "all are content": (ALL, "3 no"),
    "one has missed it": (MISSED, "2 yes"),
    "one that leaves has missed it": ([*ALL, sentinel(D, flags=DOWN)], "4 yes"),
    "one that has missed it fails over already": ([sentinel(A, flags=f"s_down,{MOVES}")], "1 no"),
    "another is missed": ([sentinel(A), sentinel(B, B, flags=DOWN)], "2 no"),
}


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
@pytest.mark.parametrize("case", SEEN)
def test_what_the_next_decision_goes_by(awk: list[str], case: str):
    lines, seen = SEEN[case]
    assert decide(awk, *lines)[1] == seen


def test_there_is_an_awk_to_try():
    assert AWKS
