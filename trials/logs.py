# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a model and its containers have printed, from some moment on."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lab import LabError, Model
from trials.cluster import CONTAINERS


@dataclass(frozen=True)
class LogMarks:
    """Where all logs of a model ended at some moment; without values: their beginnings.

    Attributes:
        model: whose.
        lines: of the debug log.
        sizes: of what the containers printed, by file.
    """

    model: Model
    lines: int = 0
    sizes: Mapping[Path, int] = field(default_factory=dict)

    @classmethod
    def now(cls, model: Model) -> "LogMarks":
        """Return where they end now."""
        _, lines = model.follow_log(sys.maxsize, 0.0)
        return cls(model, lines, {path: path.stat().st_size for path in _container_logs(model)})

    def printed(self) -> Iterator[tuple[Path, bytes]]:
        """Yield the log of each container, and what has come to it since then."""
        for path in _container_logs(self.model):
            with path.open("rb") as file:
                file.seek(self.sizes.get(path, 0))
                yield path, file.read()

    def keep(self, folder: Path) -> None:
        """Write what came since then, and how things are, into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for path, data in self.printed():
            (folder / f"{path.parent.name}-{path.name}").write_bytes(data)
        with suppress(LabError):
            text = "\n".join(self.model.log(self.lines))
            (folder / "debug.log").write_text(text + "\n")
            (folder / "status.json").write_text(json.dumps(self.model.status(), indent=1) + "\n")


def _container_logs(model: Model) -> list[Path]:
    return [p for name in CONTAINERS for p in (model.dir / "logs").glob(f"*/{name}.log")]
