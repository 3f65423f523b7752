"""Requests of the user, by family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lab.controller.core import Controller


class Requests:
    """Requests of one kind; the rest of each name after ``op_`` is the request's."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self.model = controller.model

    def table(self) -> Mapping[str, Callable[..., Any]]:
        """Return what answers each request, by its name."""
        names = (name for name in dir(self) if name.startswith("op_"))
        return {name.removeprefix("op_"): getattr(self, name) for name in names}
