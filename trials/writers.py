# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The two clients that write to a cluster all the time: one follows Sentinel, one holds on."""

import dataclasses
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import Model
from trials.clients import checker, wire
from trials.clients.checker import WriteLog
from trials.clients.process import ClientProcess
from trials.clients.writer import Mode, Write, WriterProcess

MODES: tuple[Mode, ...] = ("follow", "hold")
SILENT_S = 0.5
"""A client that got no acknowledgement for so long is not served."""


class Writers:
    """Both clients, and their records.

    Args:
        model: on whose network they run.
        access: the application they write to.
        folder: for their records, a file of the mode's name each.
        prefix: of their keys, which no two clients of an application may share.
        period_s: the shortest time from one write to the next.
    """

    def __init__(
        self,
        model: Model,
        access: wire.Access,
        folder: Path,
        prefix: str = "",
        period_s: float = 0.005,
    ):
        self.keys: dict[Mode, str] = {mode: f"{prefix}{mode}" for mode in MODES}
        self._model = model
        self._processes = {
            mode: WriterProcess(
                model.spawn, access, key=key, log=folder / mode, mode=mode, period_s=period_s
            )
            for mode, key in self.keys.items()
        }
        self.logs: dict[Mode, WriteLog] = {mode: WriteLog(folder / mode) for mode in MODES}

    def written(self) -> dict[Mode, list[Write]]:
        """Return the records so far, by mode."""
        return {mode: list(log.read()) for mode, log in self.logs.items()}

    def stored(self, access: wire.Access, more: Sequence[str] = ()) -> Mapping[str, Any]:
        """Return what is stored of these clients and of ``more`` keys, by key.

        Ask for the records before: what is written after they were read may be stored as well.
        """
        return checker.stored_numbers(self._model.spawn, access, [*self.keys.values(), *more])

    def silent(self, longer_than_s: float = SILENT_S) -> list[str]:
        """Return which client gets no acknowledgements now, since when, and what instead."""
        found = []
        for mode, log in self.logs.items():
            writes = log.read()
            good_s = next((w.end_s for w in reversed(writes) if w.error is None), None)
            error = (writes[-1].error if writes else None) or "no answer yet"
            if good_s is None:
                found.append(f"no write ({mode}) so far: {error}")
            elif (still_s := time.monotonic() - good_s) > longer_than_s:
                found.append(f"no write ({mode}) for {still_s:.1f} s: {error}")
        return found

    def ended(self) -> list[str]:
        """Return which have ended by themselves."""
        return ended(self._processes.values())

    def tell(self, **settings: Any) -> None:
        """Give both other settings for their next connections."""
        for process in self._processes.values():
            process.tell(**settings)

    def stop(self) -> list[str]:
        """End both; return which had ended by themselves."""
        return stop(self._processes.values())


def named(
    model: Model, access: wire.Access, folder: Path, prefix: str = "", period_s: float = 0.005
) -> WriterProcess:
    """Start a client that knows nothing but the name of the application's Service."""
    pod, _, domain = access.hosts[0].partition(".")
    service = f"{pod.rpartition('-')[0]}.{domain.partition('.')[2]}"
    return WriterProcess(
        model.spawn,
        dataclasses.replace(access, hosts=(service,)),
        key=f"{prefix}name",
        log=folder / "name",
        mode="stay",
        period_s=period_s,
    )


def ended(processes: Collection[ClientProcess]) -> list[str]:
    """Return which clients have ended by themselves."""
    return [
        f"The client that fills {process.log.name} ended by itself"
        for process in processes
        if not process.running()
    ]


def stop(processes: Collection[ClientProcess]) -> list[str]:
    """End clients; return which had ended by themselves."""
    wrong = ended(processes)
    for process in processes:
        try:
            process.stop()
        except RuntimeError as e:
            wrong.append(str(e))
    return wrong
