# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The charm's own frozen dataclasses behave as those of the standard library do."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest

import values
from values import dataclass

SRC = Path(values.__file__).parent
USERS = sorted(
    ".".join(path.relative_to(SRC).with_suffix("").parts)
    for path in SRC.rglob("*.py")
    if "from values import" in path.read_text("utf-8")
)
CLASSES = [
    cls
    for name in USERS
    for cls in vars(importlib.import_module(name)).values()
    if isinstance(cls, type) and cls.__module__ == name and dataclasses.is_dataclass(cls)
]


def twin(cls: type) -> Any:
    """Return what the standard library makes of the same fields."""
    fields = []
    for each in dataclasses.fields(cls):
        copy: Any = field(
            default=each.default,
            default_factory=each.default_factory,  # type: ignore[arg-type]
            repr=each.repr,
            compare=each.compare,
            hash=each.hash,
        )
        fields.append((each.name, each.type, copy))
    return dataclasses.make_dataclass(cls.__qualname__, fields, frozen=True)


def test_classes_are_found():
    assert {"World", "Credentials", "Turn", "Handover"} <= {cls.__name__ for cls in CLASSES}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_a_class_of_the_charm_is_like_its_twin(cls: Any):
    other = twin(cls)
    names = [each.name for each in dataclasses.fields(cls)]
    assert cls.__match_args__ == other.__match_args__
    assert "__post_init__" not in vars(cls)
    assert not [each for each in dataclasses.fields(cls) if "Var" in str(each.type)[:8]]
    given = {name: f"value of {name}" for name in names}
    mine, his = cls(**given), other(**given)
    assert cls(*given.values()) == mine and mine.__dict__ == his.__dict__
    if cls.__repr__ is values._repr:
        assert repr(mine) == repr(his)
    assert hash(mine) == hash(his)
    assert dataclasses.asdict(mine) == dataclasses.asdict(his)
    for name in names:
        changed = dataclasses.replace(mine, **{name: 1})
        assert (changed == mine) == (dataclasses.replace(his, **{name: 1}) == his)
    needed = [
        each.name
        for each in dataclasses.fields(cls)
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    ]
    least = {name: given[name] for name in needed}
    assert cls(**least).__dict__ == other(**least).__dict__


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Named(Point):
    name: str = "n"

    def __repr__(self) -> str:
        return self.name


def test_values_are_given_by_place_name_and_default():
    assert Point(1) == Point(1, 2) == Point(x=1, y=2, secret="")
    assert Point(1) != Point(2) and Point(1) != (1, 2)
    assert Point(1).tags is not Point(1).tags
    assert Point(1, tags=["a"]) == Point(1)
    assert repr(Point(1, secret="s")) == "Point(x=1, y=2, tags=[])"
    assert len({Point(1), Point(1), Point(3)}) == 2


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), ((1, 2, [], "", 5), {}), ((1,), {"x": 1}), ((1,), {"z": 1})]
)
def test_wrong_values_are_type_errors(given: tuple[Any, ...], named: dict[str, Any]):
    with pytest.raises(TypeError):
        Point(*given, **named)


def test_a_value_stays_as_it_is():
    point: Any = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.other = 2


def test_a_class_of_a_class_has_the_fields_of_both_and_what_it_defines_itself():
    named = Named(1, name="m")
    assert (named.x, named.y, repr(named)) == (1, 2, "m")
    assert named != Point(1)
    match named:
        case Named(x, y):
            assert (x, y) == (1, 2)
        case _:
            raise AssertionError
