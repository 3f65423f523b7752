# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What is loaded when it is used, and not before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import lean

SRC = Path(lean.__file__).parent


def printed(code: str, *folders: Path) -> list[str]:
    """Return the lines that a Python of its own prints."""
    head = f"import sys; sys.path[:0] = {[str(each) for each in (SRC, *folders)]}; import lean\n"
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package that says when it is loaded, with one inside that does so too."""
    for name in ("outer", "outer/inner"):
        (tmp_path / name).mkdir()
        text = f"print('loaded {name}')\nvalue = 7\n"
        (tmp_path / name / "__init__.py").write_text(text)
    (tmp_path / "outer/inner/leaf.py").write_text("value = 8\n")
    return tmp_path


def test_a_package_is_loaded_by_the_first_use_of_it(package: Path):
    code = "lean.import_later('outer'); import outer; print('imported'); print(outer.value)"
    assert printed(code, package) == ["imported", "loaded outer", "7"]


def test_one_inside_another_waits_though_the_other_imports_it_and_its_parts(package: Path):
    with (package / "outer/__init__.py").open("a") as text:
        text.write("from outer import inner\nfrom outer.inner.leaf import value\n")
    code = "lean.import_later('outer.inner'); import outer; print(outer.value)\n"
    code += "print(outer.inner.value)"
    assert printed(code, package) == ["loaded outer", "8", "loaded outer/inner", "7"]


def test_what_is_not_there_or_loaded_already_stays_so(package: Path):
    code = "lean.import_later('absent'); lean.import_later('absent.part'); import outer\n"
    code += "lean.import_later('outer'); print('absent' in sys.modules, outer.value)"
    assert printed(code, package) == ["loaded outer", "False 7"]


def test_the_charm_loads_neither_and_both_are_what_they_are():
    code = """
for name in ("websocket", "redis.asyncio"):
    lean.import_later(name)
import ops, charm
from nodes import redis_client, sentinel
print([name for name in ("websocket._core", "redis.asyncio.client") if name in sys.modules])
import redis, websocket
print(websocket.WebSocket.__module__, redis.asyncio.Redis.__module__)
print(redis.asyncio.Redis is not redis.Redis, redis.asyncio is sys.modules["redis.asyncio"])
"""
    expected = ["[]", "websocket._core redis.asyncio.client", "True True"]
    assert printed(code) == expected


def test_a_look_that_finds_all_at_rest_loads_nothing_of_what_is_off_or_acts():
    """Even where a hook has to look, as the first one after another event."""
    code = f"""
sys.path.insert(0, {str(SRC.parent)!r})
import pathlib, pytest, tempfile
from engine import capability
from tests.unit.juju import Juju
with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
    juju = Juju(patch, pathlib.Path(folder), 3).form()
    off = ("cryptography", "charmlibs", "jinja2", "actions", "tls.look", "cluster.apply")
    off += ("cluster.command", "tls.apply", "tls.transport", "tls.certificates", "tls.material")
    off += ("passwords.apply", "passwords.logins", "service.kube")
    off += ("dpcharmlibs", "pydantic", "tenants.databags", "tenants.asked", "tenants.apply")
    off += ("tenants.plan", "tenants.rights")
    for name in [n for n in sys.modules if n.startswith(off)]:
        del sys.modules[name]
    capability.found.cache_clear()
    for number in range(3):
        juju.update_status(number)
        print(sorted(name for name in sys.modules if name.startswith(off)))
"""
    assert printed(code) == ["[]"] * 3


def test_the_library_of_users_for_others_is_loaded_only_to_answer():
    """Not to read what is asked for, in the hook of the relation even."""
    code = f"""
sys.path.insert(0, {str(SRC.parent)!r})
import json, pathlib, pytest, tempfile
from tests.unit.accounts import Nodes, settle
from tests.unit.juju import Juju, Related
requests = [{{"resource": "shop:*", "request-id": "one", "salt": "salt"}}]
def loaded():
    found = any(name.startswith("dpcharmlibs") for name in sys.modules)
    for name in [n for n in sys.modules if n.startswith("dpcharmlibs")]:
        del sys.modules[name]
    return found
with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
    juju = Juju(patch, pathlib.Path(folder), 3).form()
    juju.remembers = True
    nodes = Nodes(juju, patch)
    juju.related[7] = Related("shop", {{0: {{}}}}, asks={{}})
    juju.client(0, "created", 7)
    juju.related[7].asks = {{"version": "v1", "requests": json.dumps(requests)}}
    juju.client(0, "changed", 7)
    print(loaded())
    settle(juju)
    print("requests" in juju.related[7].told, loaded())
    juju.client(0, "changed", 7)
    settle(juju)
    print(loaded())
"""
    assert printed(code) == ["False", "True True", "False"]
