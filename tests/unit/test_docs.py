# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the documents say against what is there."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

import foreign
import texts
from tests.unit import reference

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("lab/*.md"),
        *ROOT.glob("trials/*.md"),
    ]
)
TEXTS = {name: text for name, text in vars(texts).items() if name.isupper()}
DOCS = [page for page in PAGES if page.parent == ROOT or ROOT / "docs" in page.parents]
WORDS = ROOT / "docs/explanation/words.md"


def names(pages: Iterable[Path]) -> list[str]:
    return [str(page.relative_to(ROOT)) for page in pages]


def prose(page: Path) -> list[str]:
    """Return the lines of a page that are text: no code, no tables."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [line for line in text.splitlines() if not line.startswith("|")]


def rows(page: Path) -> list[list[str]]:
    """Return the cells of each row of the tables of a page."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_is_in_the_reference(name: str):
    text = re.sub(r"\{[^}]*\}", "...", TEXTS[name])
    assert text in [row.text for row in reference.rows()]


def test_what_a_foreign_python_shows_is_in_the_reference(tmp_path: Path):
    (tmp_path / "_m.cpython-399-x86_64-linux-gnu.so").touch()
    for running in ("3.10", "3.77"):
        text = foreign.problem(str(tmp_path), running, "redis-k8s")
        assert text is not None
        packed, do = text.split(", this pod has ")[0][-4:], text.split(": ", 1)[1]
        assert text == texts.OTHER_PYTHON.format(packed=packed, running=running, do=do)


def test_the_reference_has_no_text_but_those_that_are_shown():
    known = {re.sub(r"\{[^}]*\}", "...", text) for text in TEXTS.values()}
    assert [row.text for row in reference.rows() if row.text not in {*known, ""}] == []


def test_every_text_has_a_meaning_and_what_to_do():
    assert [row for row in reference.rows() if row.text and not (row.meaning and row.do)] == []


def test_no_status_advises_what_juju_cannot_do():
    # It has no way to grow a volume.
    assert "kubectl" in texts.VOLUME_FULL
    assert [text for text in TEXTS.values() if "give it more" in text] == []


def test_what_is_said_of_bases_is_what_is_packed():
    page = (ROOT / "docs/how-to/deploy.md").read_text()
    platforms = yaml.safe_load((ROOT / "charmcraft.yaml").read_text())["platforms"]
    named = set(re.findall(r"`(ubuntu@[0-9.]+)`", page))
    assert {f"{base}:amd64" for base in named} == set(platforms)


@pytest.mark.parametrize("file", ["actions.yaml", "config.yaml"])
def test_every_action_and_option_is_in_the_reference(file: str):
    declared = yaml.safe_load((ROOT / file).read_text())
    names = declared.get("options", declared)
    reference = (ROOT / "docs/reference/interface.md").read_text()
    assert [name for name in names if f"| `{name}`" not in reference] == []


def test_the_reference_has_the_defaults_of_the_options():
    options = yaml.safe_load((ROOT / "config.yaml").read_text())["options"]
    reference = (ROOT / "docs/reference/interface.md").read_text()
    for name, option in options.items():
        default = str(option["default"]).lower() if "default" in option else "–"
        assert f"| `{name}` | {default} |" in reference


def test_every_make_target_in_the_documents_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name for page in PAGES for name in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text())
    }
    assert {"demo", "test"} <= named <= targets


def test_every_path_that_a_document_names_is_there():
    folders = "src|tests|templates|lab|trials|docs|scripts"
    found = {
        (name, path)
        for page, name in zip(PAGES, names(PAGES), strict=True)
        for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())
    }
    assert [(page, path) for page, path in sorted(found) if not (ROOT / path).exists()] == []


def test_every_document_that_the_code_names_is_there():
    found = {
        path
        for file in ROOT.glob("src/**/*.py")
        for path in re.findall(r"docs/[\w/-]+\.md", file.read_text())
    }
    assert [path for path in sorted(found) if not (ROOT / path).exists()] == []


def test_the_table_of_rooms_has_what_is_in_src():
    tables = rows(ROOT / "docs/contribute/loop.md")
    first = tables.index(["room", "what is in it"]) + 1
    named = [name for row in tables[first:] for name in re.findall(r"`(\w+)`", row[0])]
    there = {p.stem for p in (ROOT / "src").iterdir() if p.suffix == ".py" or [*p.glob("*.py")]}
    assert sorted(named) == sorted(there)


BANNED = sorted(
    phrase for row in rows(WORDS) if len(row) == 3 for phrase in re.findall(r"`([^`]+)`", row[2])
)


def test_the_table_of_words_bans_some():
    assert {"master", "slave", "in step", "fence"} <= set(BANNED)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_document_has_a_word_that_the_table_of_words_bans(page: Path):
    if page == WORDS:
        return
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]+`", "", text)
    words = re.compile(rf"\b(?:{'|'.join(map(re.escape, BANNED))})\b", re.IGNORECASE)
    # A phrase may be broken between two lines.
    assert words.findall(re.sub(r"\s+", " ", text)) == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_line_of_a_document_is_too_long_to_compare(page: Path):
    assert [line for line in prose(page) if len(line) > 130] == []


SYMPTOMS = [
    re.escape(key).replace("\\ …", ".*").replace("…\\ ", ".*").replace("…", ".*")
    for row in rows(ROOT / "docs/how-to/diagnose.md")
    for key in re.findall(r"\*([^*]+)\*", row[0])
]


@pytest.mark.parametrize(
    "text",
    sorted({row.text for row in reference.rows() if row.status in ("blocked", "waiting")}),
)
def test_every_wait_and_block_has_a_row_that_says_what_to_do(text: str):
    # What is wrong with a certificate begins with the name of its file.
    text = re.sub(r"^\.\.\.", "cert-file", text)
    assert [key for key in SYMPTOMS if re.match(key, text)] != []
