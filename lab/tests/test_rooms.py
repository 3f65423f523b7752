"""What may know what: the lab is Juju in a box, and nothing of what is tried in it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAB = ROOT / "lab"
CODE = sorted(
    path
    for ending in ("py", "go")
    for path in LAB.rglob(f"*.{ending}")
    if "tests" not in path.relative_to(LAB).parts
)
MODULES = sorted(path for room in ("lab", "trials") for path in (ROOT / room).rglob("*.py"))
MOST_LINES = 600
MOST_LINES_OF_A_CLASS = 450


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[str]:
    """Yield the first part of each module that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} names a module from where it stands"
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize("path", [path for path in CODE if path.suffix == ".py"], ids=name)
def test_the_lab_imports_nothing_of_what_stands_beside_it(path: Path):
    beside = {
        entry.stem
        for folder in (ROOT, ROOT / "src")
        for entry in folder.iterdir()
        if entry.suffix == ".py" or (entry.is_dir() and any(entry.glob("*.py")))
    } | {"src", "trials", "tests"}
    assert {"charm", "cluster"} <= beside
    assert set(imported(path)) & (beside - {"lab"}) == set()


@pytest.mark.parametrize("path", CODE, ids=name)
def test_the_lab_does_not_speak_of_what_is_tried_in_it(path: Path):
    text = path.read_text().lower()
    assert [word for word in ("redis", "sentinel", "valkey", "trials") if word in text] == []


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_no_module_and_no_class_is_too_long_to_read(path: Path):
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    long = {
        node.name: length
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MOST_LINES_OF_A_CLASS
    }
    assert long == {}
