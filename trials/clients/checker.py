# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the records of the writers say, against what Redis still has.

A write that was acknowledged and is not there is lost. A write without an acknowledgement may be
there or not: both are right.
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from trials.clients import wire
from trials.clients.writer import Write

CHUNK = 10_000
T = TypeVar("T")


@dataclass(frozen=True)
class Gap:
    """A time without an acknowledged write, on the clock of the records."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long it took."""
        return self.end_s - self.start_s


class RecordLog(Generic[T]):
    """Follows the file that a client fills with its records.

    A look reads on from where the last one ended, so it costs what is new.

    Args:
        path: the file.
        make: makes a record of the values in one line.
    """

    def __init__(self, path: Path, make: Callable[..., T]):
        self._path = path
        self._make = make
        self._records: list[T] = []
        self._offset = 0

    def read(self) -> list[T]:
        """Return all records so far, in the order in which they were made."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        # The last line may be half written.
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._records.extend(self._make(**json.loads(line)) for line in whole.splitlines())
        return self._records


class WriteLog(RecordLog[Write]):
    """Follows the file that a writer fills."""

    def __init__(self, path: Path):
        super().__init__(path, Write)


def acknowledged(writes: Iterable[Write]) -> list[Write]:
    """Return the writes that Redis acknowledged."""
    return [write for write in writes if write.error is None]


def lost(writes: Iterable[Write], stored: Iterable[int]) -> list[int]:
    """Return the numbers that were acknowledged and are not stored, in order."""
    there = set(stored)
    return sorted(write.number for write in acknowledged(writes) if write.number not in there)


def unreplicated(writes: Iterable[Write], lost: Iterable[int]) -> list[int]:
    """Return those of the lost numbers that no replica can have had, in order.

    Redis answers before it replicates. So of a primary whose network stops without a word, the
    last write that it acknowledged to a client may have had no copy yet: one for each client, and
    none before it. It shows in the records as the last acknowledgement before an attempt on the
    same host that had no answer.

    Args:
        writes: the records of one writer, which has one attempt at a time.
        lost: what `lost` found for it.
    """
    gone = set(lost)
    silent = ("TimeoutError", "ConnectionError", "OSError")
    return [
        write.number
        for write, following in itertools.pairwise(writes)
        if write.number in gone
        and following.host == write.host
        and following.error is not None
        and following.error.partition(":")[0] in silent
    ]


def never_written(writes: Iterable[Write], stored: Iterable[int]) -> list[int]:
    """Return the numbers that are stored and were never tried, or are stored twice, in order."""
    tried = {write.number for write in writes}
    seen: set[int] = set()
    wrong = []
    for number in stored:
        if number not in tried or number in seen:
            wrong.append(number)
        seen.add(number)
    return sorted(wrong)


def gaps(
    writes: Iterable[Write], since_s: float, until_s: float, at_least_s: float = 0.0
) -> list[Gap]:
    """Return the times without an acknowledgement between two moments, in order.

    Args:
        writes: the records of one writer.
        since_s: the first moment; a gap that began before it counts from here.
        until_s: the last moment; a gap that is still open counts to here.
        at_least_s: shorter gaps are left out.
    """
    ends = [w.end_s for w in acknowledged(writes) if since_s <= w.end_s <= until_s]
    edges = [since_s, *sorted(ends), until_s]
    found = [Gap(a, b) for a, b in zip(edges, edges[1:], strict=False)]
    return [gap for gap in found if gap.length_s >= at_least_s]


def longest_gap_s(writes: Iterable[Write], since_s: float, until_s: float) -> float:
    """Return the longest time without an acknowledgement between two moments, in seconds."""
    return max((gap.length_s for gap in gaps(writes, since_s, until_s)), default=0.0)


def per_second(
    writes: Sequence[Write], since_s: float, until_s: float, bucket_s: float
) -> list[tuple[float, float]]:
    """Return acknowledged writes per second over time.

    Returns:
        For each bucket the moment of its middle, counted from ``since_s``, and the rate in it.
    """
    count = max(1, round((until_s - since_s) / bucket_s))
    totals = [0] * count
    for write in acknowledged(writes):
        index = int((write.end_s - since_s) / bucket_s)
        if 0 <= index < count:
            totals[index] += 1
    return [((i + 0.5) * bucket_s, total / bucket_s) for i, total in enumerate(totals)]


def stored_numbers(
    spawn: Callable[..., subprocess.Popen], access: wire.Access, keys: Iterable[str]
) -> dict[str, list[int]]:
    """Return what the primary has, by key, in the order in which it was written.

    Args:
        spawn: starts a process on the model's network.
        access: the application to read from.
        keys: the lists of the writers.

    Raises:
        RuntimeError: the Sentinels named no primary, or it did not answer; with the reason.
    """
    process = spawn(
        [sys.executable, "-m", "trials.clients.checker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    out, err = process.communicate(access.to_json(keys=list(keys)) + "\n", timeout=60)
    if process.returncode:
        reason = err.strip().splitlines()[-1:] or ["no reason given"]
        raise RuntimeError(f"Reading back failed: {reason[0]}")
    return json.loads(out)


def main() -> None:
    """Print the numbers that the primary has, as JSON, for the settings on standard input."""
    settings = wire.read_settings()
    access = wire.Access.from_mapping(settings)
    host = wire.Sentinels(access).primary_host()
    client = wire.connect(host, wire.REDIS_PORT, access.redis_password, access)
    found: dict[str, list[int]] = {}
    for key in settings["keys"]:
        numbers: list[int] = []
        # In chunks, since one long reply would hold up Redis and its Sentinel's PING.
        while True:
            chunk: Any = client.lrange(key, len(numbers), len(numbers) + CHUNK - 1)
            if not chunk:
                break
            numbers.extend(int(number) for number in chunk)
        found[key] = numbers
    print(json.dumps(found))


if __name__ == "__main__":
    main()
