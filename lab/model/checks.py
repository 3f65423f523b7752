"""Values that a user gives, against what the charm declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.model.errors import ModelError
from lab.packing import CharmMeta

_PARAM_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def boolean(value: Any) -> bool:
    """Return a value, or what a command line says of it.

    Raises:
        ValueError: it is neither true nor false.
    """
    try:
        return {"true": True, "false": False}[str(value).lower()]
    except KeyError:
        raise ValueError(value) from None


def minimum(spec: Mapping[str, Any]) -> int:
    """Return how many instances of a storage every unit has from the start."""
    wanted = str((spec.get("multiple") or {}).get("range", "1"))
    first = wanted.partition("-")[0].rstrip("+")
    return int(first) if first.isdigit() else 1


def _converted(name: str, kind: str, value: Any) -> Any:
    try:
        if kind == "boolean":
            if isinstance(value, bool):
                return value
            return {"true": True, "false": False}[str(value).lower()]
        if kind == "int":
            return int(str(value))
        if kind == "float":
            return float(value)
    except (KeyError, ValueError, TypeError):
        raise ModelError(f'option "{name}" expected {kind}, got {value!r}') from None
    return str(value)


def checked_config(meta: CharmMeta, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with values of their types.

    Raises:
        ModelError: for an unknown option or a value of the wrong type.
    """
    checked: dict[str, Any] = {}
    for name, value in values.items():
        spec = meta.config.get(name)
        if spec is None:
            raise ModelError(f'unknown option "{name}"')
        checked[name] = _converted(name, str(spec.get("type", "string")), value)
    return checked


def checked_params(
    action: str, spec: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parameters of an action, completed with defaults.

    Raises:
        ModelError: they do not fit.
    """
    declared: Mapping[str, Any] = spec.get("params") or {}
    for name in spec.get("required") or ():
        if name not in params:
            raise ModelError(f'validation failed: (root) : "{name}" property is missing: {action}')
    for name, value in params.items():
        if name not in declared:
            if spec.get("additionalProperties") is False:
                raise ModelError(f'validation failed: additional property "{name}" is not allowed')
            continue
        kinds = _PARAM_TYPES.get(str(declared[name].get("type", "")))
        wrong_bool = isinstance(value, bool) and kinds is not None and bool not in kinds
        if kinds is not None and (wrong_bool or not isinstance(value, kinds)):
            raise ModelError(
                f"validation failed: (root).{name} : must be of type {declared[name]['type']}, "
                f"given {value!r}"
            )
    defaults = {
        name: sub["default"]
        for name, sub in declared.items()
        if isinstance(sub, Mapping) and "default" in sub
    }
    return {**defaults, **params}
