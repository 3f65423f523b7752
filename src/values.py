# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Frozen dataclasses that cost a hook next to nothing to define.

The decorator of the standard library writes, compiles and runs six functions for each class, in
each hook anew. For the classes of this charm that was an eighth of what a hook costs. Here all
classes share their functions. What ``dataclasses`` offers for its classes (``replace``,
``fields``, ``asdict``, ``field``) works with these; what no class of the charm uses is left out:
``__post_init__``, ``InitVar``, ``ClassVar``, slots, ordering.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool):
        """Return the decorator that makes a class a frozen dataclass."""
        assert frozen, "all values are"
        return _complete


_MISSING = dataclasses.MISSING
_FIELD: Any = getattr(dataclasses, "_FIELD")  # noqa: B009  it is not for everybody
"""By this mark the standard library knows a field from a pseudo-field."""


def _complete(cls: type) -> type:
    fields: dict[str, Any] = dict(getattr(cls, "__dataclass_fields__", {}))
    for name, kind in cls.__dict__.get("__annotations__", {}).items():
        given = cls.__dict__.get(name, _MISSING)
        found: Any = given
        if not isinstance(given, dataclasses.Field):
            found = dataclasses.field(default=given)
        elif found.default is not _MISSING:
            setattr(cls, name, found.default)
        else:
            delattr(cls, name)
        found.name, found.type, found._field_type, found.kw_only = name, kind, _FIELD, False
        fields[name] = found
    made: Any = cls
    made.__dataclass_fields__ = fields
    made.__match_args__ = tuple(fields)
    defaults = {name: f.default for name, f in fields.items() if f.default is not _MISSING}
    factories = {n: f.default_factory for n, f in fields.items()}
    made._defaults = defaults
    made._factories = {n: make for n, make in factories.items() if make is not _MISSING}
    made._compared = tuple(name for name, f in fields.items() if f.compare)
    hashed = {n: f.compare if f.hash is None else f.hash for n, f in fields.items()}
    made._hashed = tuple(name for name, counts in hashed.items() if counts)
    made._shown = tuple(name for name, f in fields.items() if f.repr)
    for name, function in _SHARED.items():
        if name not in cls.__dict__ or (name == "__hash__" and cls.__dict__[name] is None):
            setattr(cls, name, function)
    return cls


def _init(self: Any, /, *given: Any, **named: Any) -> None:
    cls = type(self)
    names = cls.__match_args__
    if len(given) > len(names):
        raise TypeError(f"{cls.__name__} takes {len(names)} values, not {len(given)}")
    values = dict(zip(names, given, strict=False))
    for name, value in named.items():
        if name in values or name not in cls.__dataclass_fields__:
            raise TypeError(f"{cls.__name__} takes no value, or got two, for {name!r}")
        values[name] = value
    for name, make in cls._factories.items():
        if name not in values:
            values[name] = make()
    values = {**cls._defaults, **values}
    if len(values) < len(names):
        missing = ", ".join(name for name in names if name not in values)
        raise TypeError(f"{cls.__name__} needs a value for {missing}")
    self.__dict__.update(values)


def _eq(self: Any, other: Any) -> bool:
    if other.__class__ is not self.__class__:
        return NotImplemented
    mine, others = self.__dict__, other.__dict__
    return all(mine[name] == others[name] for name in self._compared)


def _hash(self: Any) -> int:
    return hash(tuple(self.__dict__[name] for name in self._hashed))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._shown)
    return f"{type(self).__qualname__}({shown})"


def _setattr(self: Any, name: str, value: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


_SHARED = {
    "__init__": _init,
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
}
