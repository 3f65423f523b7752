# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a look into an image says, and that it is for all that the scripts call."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from engine.world import Image
from pod import image, workload

TEMPLATES = Path(image.__file__).parents[2] / "templates"
SCRIPTS = [path for path in sorted(TEMPLATES.iterdir()) if not path.name.endswith(".conf.j2")]
FUNCTION = r"(?m)^([a-z_]+)\(\)"
SHARED = set(re.findall(FUNCTION, (TEMPLATES / "lib.sh").read_text()))
OF_THE_SHELL = set(": . [ echo false kill printf pwd read test true".split())
"""Programs too, but the shell has its own."""
BEGIN = r"(?:^|[|;&(!]|\{\s|\b(?:then|do|else|if|while|until|exec|eval|timeout\s+\S+)\s)"
ASSIGNMENTS = r"(?:[A-Za-z_]+=\S*\s+)*"


def calls(script: str) -> set[str]:
    """Return the programs that a shell script calls, of all that this machine has."""
    text = re.sub(r"\\\n", " ", script)
    text = re.sub(r"(?m)^\s*#.*$|(?<=\s)# .*$", "", text)
    # What stands there is for awk and sed, or text.
    text = re.sub(r"'[^']*'|(?<==)\"[^\"$\n]*\"", "x", text)
    # A pattern of a case is followed by a command, or is none itself.
    text = re.sub(r"(?m)^(\s*[^\s()]+(?: \| [^\s()]+)*)\)", r";", text)
    found = re.finditer(rf"(?m){BEGIN}[ \t]*{ASSIGNMENTS}(?=([a-z][a-z0-9-]*)\b(?![=(]))", text)
    # A function of the script may have the name of a program.
    own = set(re.findall(FUNCTION, script)) | SHARED
    named = {match[1] for match in found} - OF_THE_SHELL - own
    return {name for name in named if shutil.which(name, path="/usr/bin:/bin")}


def test_the_tools_are_those_that_the_scripts_and_the_charm_call():
    called = set().union(*(calls(path.read_text()) for path in SCRIPTS if path.suffix != ".awk"))
    assert {"awk", "getent", "head", "sed", "sync", "timeout"} <= called
    own = calls(workload._WRITE) | calls(workload._HOLDERS) | {"chown", "cat"}
    assert called | own | {"/bin/sh"} == set(image.TOOLS)


@pytest.mark.parametrize("word", ["redis-server", "redis-cli", "valkey-server", "valkey-cli"])
def test_no_script_assumes_a_name(word: str):
    code = "\n".join(
        line for path in SCRIPTS for line in path.read_text().splitlines() if "#" not in line
    )
    assert word not in code


def look(*programs: str, users: str = "redis 7", groups: str = "redis 7") -> Image:
    lines = [f"program {name}" for name in programs]
    lines += [f"user {user}" for user in users.split(", ")]
    return image.found("\n".join([*lines, *(f"group {each}" for each in groups.split(", "))]))


ALL = ("redis-server", "redis-cli", *image.TOOLS)


def test_a_whole_image_lacks_nothing():
    assert look(*ALL) == Image("redis-server", "redis-cli", None, "redis", "redis", ())


def test_the_names_of_valkey_do_as_well():
    seen = look(
        "valkey-server", "valkey-cli", *image.TOOLS, users="root 0, valkey 9", groups="v 9"
    )
    assert (seen.server, seen.cli, seen.user, seen.group) == (
        "valkey-server",
        "valkey-cli",
        "valkey",
        "v",
    )
    assert seen.missing == ()


@pytest.mark.parametrize(
    ("seen", "missing"),
    [
        (look(*(n for n in ALL if n != "redis-cli")), ("redis-cli or valkey-cli",)),
        (look(*(n for n in ALL if n != "redis-server")), ("redis-server or valkey-server",)),
        (look(*(n for n in ALL if n not in ("awk", "tr"))), ("awk", "tr")),
        (look(*ALL, users="root 0"), ("user redis, valkey or _daemon_",)),
        (look(*ALL, groups="redis 8"), ("group of user redis",)),
        (image.WITHOUT_SHELL, ("/bin/sh",)),
    ],
    ids=["cli", "server", "tools", "user", "group", "shell"],
)
def test_what_is_missing_has_a_name(seen: Image, missing: tuple[str, ...]):
    assert seen.missing == missing


def test_the_first_exporter_is_taken():
    seen = look(*ALL, "/usr/bin/prometheus-redis-exporter", "/usr/bin/redis_exporter")
    assert seen.exporter == "/usr/bin/redis_exporter"


def test_a_look_that_found_nothing_at_all_says_so():
    assert len(image.found("").missing) == len(image.TOOLS) + 3
