# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Certificates of files: the last usable one outlives files that are not."""

from __future__ import annotations

from pathlib import Path

import ops
import ops.testing
import pytest

from tls import certificates
from tls.view import Material, TlsRecord, parse
from trials.authority import Authority, Issued

AUTHORITY = Authority("the authority")
GOOD = AUTHORITY.issue("redis")
OTHER = AUTHORITY.issue("redis")
META = {
    "name": "holder",
    "resources": {n: {"type": "file", "filename": n} for n in certificates.FILES},
}


class Holder(ops.CharmBase):
    """Looks for its certificate on every update-status, and keeps it where it is to be kept."""

    known = TlsRecord()
    keeps = True
    found = certificates.Found(None)

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on.update_status, self._on_update_status)

    def _on_update_status(self, _: ops.EventBase) -> None:
        Holder.found = certificates.attached(self.model, Holder.known)
        if Holder.keeps and Holder.found.material and not Holder.found.kept:
            certificates.keep(self.model, Holder.found.material)


class Unit:
    """One unit, whose secrets stay from one event to the next."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.state = ops.testing.State()

    def looks(self, issued: Issued, served: str = "plain") -> tuple[Material | None, str]:
        """Let it look, with these files; it says to have served that."""
        paths = issued.write(self._folder)
        resources = [ops.testing.Resource(name=n, path=p) for n, p in paths.items()]
        Holder.known = TlsRecord(redis=parse(served))
        context = ops.testing.Context(Holder, meta=META)
        given = ops.testing.State(resources=resources, secrets=self.state.secrets)
        self.state = context.run(context.on.update_status(), given)
        return Holder.found.material, Holder.found.problem


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


def wrong_key() -> Issued:
    return Issued(GOOD.cert, OTHER.key, GOOD.ca)


def test_usable_files_are_served_and_kept_in_a_secret_of_the_unit(unit: Unit):
    found, problem = unit.looks(GOOD)
    assert found and problem == ""
    (secret,) = unit.state.secrets
    assert secret.owner == "unit"
    assert secret.latest_content == {
        "cert-file": GOOD.cert,
        "key-file": GOOD.key,
        "ca-cert-file": GOOD.ca,
    }


def test_a_look_alone_keeps_nothing(unit: Unit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Holder, "keeps", False)
    unit.looks(GOOD)
    assert not Holder.found.kept
    assert list(unit.state.secrets) == []


def test_what_is_kept_or_served_need_not_be_kept(unit: Unit):
    good, _ = unit.looks(GOOD)
    assert good
    unit.looks(GOOD)
    assert Holder.found.kept
    unit.state = ops.testing.State()
    unit.looks(GOOD, served=f"{good.name}/authorities")
    assert Holder.found.kept


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (wrong_key(), "key-file does not belong to cert-file"),
        (Issued("", "", ""), "attach cert-file, key-file, ca-cert-file"),
    ],
    ids=["wrong", "missing"],
)
def test_unusable_files_are_told_of_and_what_is_served_goes_on(
    unit: Unit, files: Issued, words: str
):
    good, _ = unit.looks(GOOD)
    assert good
    found, problem = unit.looks(files, served=f"{good.name}/authorities")
    assert found and (found.name, found.key) == (good.name, good.key)
    assert words in problem


def test_nothing_is_served_anew_from_what_was_kept(unit: Unit):
    unit.looks(GOOD)
    found, problem = unit.looks(wrong_key(), served="plain")
    assert found is None and problem


def test_unusable_files_with_nothing_kept(unit: Unit):
    found, problem = unit.looks(wrong_key(), served="before/authorities")
    assert found is None and problem


def test_newer_files_are_kept_in_place_of_the_old(unit: Unit):
    unit.looks(GOOD)
    newer, problem = unit.looks(OTHER, served="before/authorities")
    assert newer and problem == ""
    again, _ = unit.looks(wrong_key(), served=f"{newer.name}/authorities")
    assert again and again.key == OTHER.key
