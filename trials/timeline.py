# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Where the time of a trial went: ``python -m trials.timeline FOLDER``.

Reads the logs that a trial of `faults` has kept (``--keep``), and prints, in the order of time,
what each unit's containers came to: Pebble is up, services started, the guarded start decided,
Redis serves, a replica is in sync, a Sentinel doubted.
"""

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from trials.clients.table import render

UP = "Pebble is up"
MARKS = (
    (UP, r"\[pebble\] Started daemon"),
    ("{0} starts", r'\[pebble\] Service "(\w+)" starting'),
    ("guarded start: {0}", r"guarded start: (.*)"),
    ("Redis serves", r"Ready to accept connections"),
    ("asks its primary", r"MASTER <-> REPLICA sync started"),
    ("is in sync", r"MASTER <-> REPLICA sync: Finished with success"),
    ("{0} does not resolve", r"Failed to resolve hostname '([^.']*)"),
    ("{0}", r"\[sentinel\] .* ([+-](?:[so]down|try-failover|switch-master|failover-)\S* \S+)"),
)
"""What to show, and the lines that say so."""


@dataclass(frozen=True, order=True)
class Moment:
    """Something that happened in a container of a pod.

    Attributes:
        at_s: by the clock of the machine, Unix time.
        where: the pod's name and the container's.
        what: in a few words.
    """

    at_s: float
    where: str
    what: str


def moments(folder: Path) -> Iterator[Moment]:
    """Return what the logs of a folder show, in no order."""
    for path in folder.glob("*-*.log"):
        for line in path.read_text(errors="replace").splitlines():
            stamp, _, text = line.partition(" ")
            for what, pattern in MARKS:
                if found := re.search(pattern, text):
                    at_s = datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
                    yield Moment(at_s, path.stem, _short(what.format(*found.groups())))
                    break


def _short(text: str) -> str:
    """Return a text with the first label of each host's name alone."""
    return re.sub(r"([\w-]+)(?:\.[\w-]+)+\.svc\.[\w.-]+", r"\1", text)


def rows(folder: Path) -> list[tuple[str, str, str]]:
    """Return seconds since the first moment, where and what; repeats in a container once."""
    found: list[tuple[str, str, str]] = []
    told: set[tuple[str, str]] = set()
    ordered = sorted(moments(folder))
    for moment in ordered:
        if moment.what == UP:
            # A new container: what happens in it is told anew.
            told = {each for each in told if each[0] != moment.where}
        if (moment.where, moment.what) not in told:
            told.add((moment.where, moment.what))
            seconds = moment.at_s - ordered[0].at_s
            found.append((f"{seconds:.2f}", moment.where, moment.what))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="timeline", description=__doc__)
    parser.add_argument("folder", type=Path, help="of a trial that was kept")
    folder = parser.parse_args().folder
    trial = json.loads((folder / "trial.json").read_text())
    print(f"{trial['name']}, {trial['units']} units: gap {trial['gap_s']:.2f} s")
    print("\n".join(trial["story"]))
    print(render(("s", "where", "what"), rows(folder)))


if __name__ == "__main__":
    main()
