# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Packages that others import at their top and that few hooks or none use: loaded when used.

ops needs websocket-client to run a command in a container, redis-py imports its asynchronous twin
for whoever wants it. Both would be a tenth of what a hook costs.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """A module that is there, and is run when the first of its names is asked for."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        assert spec is not None and spec.loader is not None
        # From now on it is like any other, and what it imports may import it.
        object.__setattr__(self, "__class__", ModuleType)
        spec.loader.exec_module(self)
        return getattr(self, name)


def import_later(name: str) -> None:
    """Have a package imported by whoever uses it; in vain if it is there already, or is not.

    Its own submodules can be imported meanwhile, and do not load it.
    """
    if name in sys.modules:
        return
    spec = _find(name)
    if spec is None or spec.loader is None:
        return
    module = _Later(name)
    module.__spec__, module.__loader__ = spec, spec.loader
    module.__file__, module.__package__ = spec.origin, spec.parent
    module.__path__ = list(spec.submodule_search_locations or [])
    sys.modules[name] = module


def _find(name: str) -> ModuleSpec | None:
    """Return where a package is, without importing the one that it is in."""
    parent, _, last = name.rpartition(".")
    path = None
    if parent:
        above = importlib.util.find_spec(parent)
        path = above and above.submodule_search_locations
        if path is None:
            return None
    for finder in sys.meta_path:
        spec = finder.find_spec(f"{parent}.{last}" if parent else last, path)
        if spec is not None:
            return spec
    return None
