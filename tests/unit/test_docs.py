# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the documents say against what is there."""

import re
from pathlib import Path

import ops
import pytest
import yaml

import status

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("lab/*.md"),
        *ROOT.glob("trials/*.md"),
    ]
)
STATUSES = [value for value in vars(status).values() if isinstance(value, ops.StatusBase)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("shown", STATUSES, ids=lambda shown: shown.message)
def test_every_status_is_in_the_reference(shown: ops.StatusBase):
    reference = (ROOT / "docs/reference/statuses.md").read_text()
    assert f"| {shown.name} | {shown.message} |" in reference


def test_no_status_advises_what_juju_cannot_do():
    # It has no way to grow a volume.
    assert "kubectl" in status.VOLUME_FULL.message
    assert [s.message for s in STATUSES if "give it more" in s.message] == []


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
