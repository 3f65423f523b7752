# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The history of all clients, judged after the manner of Jepsen: pure, with no clock and no Redis.

Each client recorded when each operation started and ended, where it was sent and what came of
it; afterwards the lists were read back. What is reported follows from these records: an
operation took effect at some moment between its start and its end, and no more is assumed.
Source: https://jepsen.io/analyses (the method); checks on writes alone are in `checker`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from trials.clients import checker
from trials.clients.reader import Read
from trials.clients.writer import Write

REIGN_GAP_S = 0.5
"""A host whose acknowledgements are further apart than this may have lost and regained its role
in between. The role goes away and comes back by two failovers, which take longer than this."""


@dataclass(frozen=True)
class Reign:
    """A time in which one host was a primary that acknowledges, and that the records prove."""

    host: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Overlap:
    """A time in which two hosts both acknowledged writes."""

    hosts: tuple[str, str]
    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long it took."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class History:
    """What all clients of one application saw.

    Attributes:
        writes: by client, in the order of the numbers; each client has a list of its own in
            Redis, with its name.
        reads: of all readers.
        stored: by client, the numbers that Redis has in the end, in its order.
    """

    writes: Mapping[str, Sequence[Write]]
    reads: Sequence[Read]
    stored: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Verdict:
    """What a history shows.

    Attributes:
        lost: by client, the numbers that were acknowledged and are gone; every client is there.
        foreign: by client, the numbers that are stored and were never tried, or twice.
        false_reads: reads that returned a number which nobody had tried to write by then.
        overlaps: times with two primaries, in order.
        two_primaries_s: how long there were two, in all.
    """

    lost: Mapping[str, list[int]] = field(default_factory=dict)
    foreign: Mapping[str, list[int]] = field(default_factory=dict)
    false_reads: Sequence[Read] = ()
    overlaps: Sequence[Overlap] = ()

    @property
    def two_primaries_s(self) -> float:
        """How long two hosts both acknowledged; what several pairs share counts once."""
        total_s = 0.0
        until_s = float("-inf")
        for overlap in sorted(self.overlaps, key=lambda o: o.start_s):
            total_s += max(0.0, overlap.end_s - max(overlap.start_s, until_s))
            until_s = max(until_s, overlap.end_s)
        return total_s


def judge(history: History) -> Verdict:
    """Return what is wrong with a history."""
    names = history.writes
    return Verdict(
        lost={c: checker.lost(names[c], history.stored.get(c, ())) for c in names},
        foreign={c: checker.never_written(names[c], history.stored.get(c, ())) for c in names},
        false_reads=false_reads(history.writes, history.reads),
        overlaps=overlaps(reigns(w for writes in names.values() for w in writes)),
    )


def reigns(writes: Iterable[Write], gap_s: float = REIGN_GAP_S) -> list[Reign]:
    """Return when which host certainly was a primary that acknowledges.

    A reign goes from the end of one acknowledged write to the start of a later one on the same
    host, if there is no longer time than ``gap_s`` between any two in a row. The host must have
    had the role from some moment before to some moment after; a single write proves no duration.

    Returns:
        In the order of their starts.
    """
    by_host: dict[str, list[Write]] = defaultdict(list)
    for write in checker.acknowledged(writes):
        by_host[write.host].append(write)
    found = []
    for host, acked in by_host.items():
        acked.sort(key=lambda w: w.end_s)
        first = acked[0]
        last_start_s, last_end_s = first.start_s, first.end_s
        for write in acked[1:]:
            if write.start_s - last_end_s > gap_s:
                found.append(Reign(host, first.end_s, last_start_s))
                first, last_start_s = write, write.start_s
            last_start_s = max(last_start_s, write.start_s)
            last_end_s = write.end_s
        found.append(Reign(host, first.end_s, last_start_s))
    return sorted((r for r in found if r.end_s >= r.start_s), key=lambda r: r.start_s)


def overlaps(reigns: Sequence[Reign]) -> list[Overlap]:
    """Return the times that reigns of different hosts share, in order."""
    found = []
    for one, other in combinations(reigns, 2):
        start_s, end_s = max(one.start_s, other.start_s), min(one.end_s, other.end_s)
        if one.host != other.host and start_s < end_s:
            hosts = (one.host, other.host)
            found.append(Overlap((min(hosts), max(hosts)), start_s, end_s))
    return sorted(found, key=lambda o: o.start_s)


def false_reads(writes: Mapping[str, Sequence[Write]], reads: Iterable[Read]) -> list[Read]:
    """Return the reads with a number whose write nobody had started when the read ended."""
    tried = {c: {w.number: w.start_s for w in written} for c, written in writes.items()}
    return [
        read
        for read in reads
        if any(
            tried.get(read.key, {}).get(number, float("inf")) > read.end_s
            for number in read.numbers
        )
    ]


def acknowledged_after_s(
    writes: Iterable[Write], host: str, since_s: float, until_s: float
) -> float:
    """Return for how long a host went on acknowledging after it was cut off, in seconds.

    Args:
        writes: of all clients; those on its side of the cut matter.
        host: the host that was cut off.
        since_s: when.
        until_s: when the cut was healed.

    Returns:
        From the cut to the last acknowledgement of a write that started during it; 0 if none.
    """
    ends = [
        write.end_s
        for write in checker.acknowledged(writes)
        if write.host == host and since_s <= write.start_s < until_s
    ]
    return max(ends, default=since_s) - since_s


def problems(verdict: Verdict) -> list[str]:
    """Return what is wrong whatever happened, in sentences; lost writes are the caller's."""
    found = []
    for client, numbers in verdict.foreign.items():
        if numbers:
            found.append(f"{client}: {len(numbers)} stored that were never tried, or twice")
    if verdict.false_reads:
        read = verdict.false_reads[0]
        found.append(
            f"{len(verdict.false_reads)} reads returned what was never written, "
            f"first {list(read.numbers)} of {read.key} on {read.host}"
        )
    return found
