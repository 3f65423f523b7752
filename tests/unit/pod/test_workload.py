# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Pebble of one container: what the adapter sees, and that its failures have one name."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import ops
import pytest
from ops import pebble

import constants as c
from engine.world import ContainerView, File
from errors import WorkloadError
from pod.workload import Workload

FAILURES = [
    pebble.ConnectionError("no socket"),
    pebble.APIError({}, 500, "Internal Server Error", "no space left on device"),
    pebble.TimeoutError("too slow"),
    ops.ModelError("no such container"),
    OSError("broken pipe"),
    pebble.ExecError(["cat", "/x"], 1, "a password", "no such file"),
]
CALLS: dict[str, Callable[[Workload], Any]] = {
    "image": lambda w: w.image(),
    "holders": lambda w: w.holders(["1"]),
    "write": lambda w: w.write([File("/etc/x", "text")], "redis", "redis"),
    "add_layer": lambda w: w.add_layer({}),
    "start": lambda w: w.start("redis"),
    "stop": lambda w: w.stop("redis"),
    "own_storage": lambda w: w.own_storage("redis", "redis"),
    "own_sentinel_state": lambda w: w.own_sentinel_state("redis", "redis"),
    "data_time": lambda w: w.data_time(),
    "permit_birth": lambda w: w.permit_birth(),
    "has_sentinel_conf": lambda w: w.has_sentinel_conf("mark"),
    "write_sentinel_conf": lambda w: w.write_sentinel_conf(File("/x", "text"), "mark"),
    "sentinel_conf": lambda w: w.sentinel_conf(),
    "refresh_sentinel_conf": lambda w: w.refresh_sentinel_conf(File("/x", "text")),
    "sentinel_serves": lambda w: w.sentinel_serves(),
    "restart": lambda w: w.restart("sentinel"),
    "restart_if_changed": lambda w: w.restart_if_changed("redis_exporter", {"services": {}}),
    "drop_sentinel_state": lambda w: w.drop_sentinel_state(),
    "notify_later": lambda w: w.notify_later(),
}


class Broken:
    """A container of which everything that is asked fails."""

    name = "redis"

    def __init__(self, error: Exception):
        self._error = error

    @property
    def pebble(self) -> Broken:
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def fail(*_: Any, **__: Any) -> Any:
            raise self._error

        return fail


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("name", CALLS)
def test_every_failure_of_pebble_has_one_name(name, error):
    with pytest.raises(WorkloadError, match="Pebble of redis") as caught:
        CALLS[name](Workload(Broken(error)))  # type: ignore[arg-type]
    # What a program has printed may be one.
    assert "a password" not in "".join(traceback.format_exception(caught.value))


def test_all_methods_are_in_the_test_above():
    public = {name for name in vars(Workload) if not name.startswith("_")}
    assert public - {"view"} == set(CALLS)


@pytest.mark.parametrize("error", [FAILURES[0], FAILURES[1], FAILURES[4]])
def test_a_pebble_that_does_not_answer_is_not_ready(error):
    assert Workload(Broken(error)).view("print") == ContainerView()  # type: ignore[arg-type]


def container(fingerprint: str, active: set[str], **commands: str) -> MagicMock:
    """Return a container with the services redis and wake, or others by their commands."""
    known = {"redis": c.START_REDIS, "wake": c.WAKE, **commands}
    services = {name: {"override": "replace", "command": known[name]} for name in known}
    services["wake"]["summary"] = fingerprint
    layer = {"services": services}
    fake = MagicMock()
    fake.name = "redis"
    fake.pebble.get_plan.return_value = pebble.Plan(layer)  # type: ignore[arg-type]
    fake.pebble.get_services.return_value = [
        pebble.ServiceInfo(
            name,
            startup="enabled",
            current=pebble.ServiceStatus.ACTIVE if name in active else "inactive",
        )
        for name in known
    ]
    return fake


def test_a_view_shows_what_runs_and_for_which_configuration():
    view = Workload(container("print", {"redis"})).view("print")
    assert view == ContainerView(
        ready=True,
        current=True,
        running=frozenset({"redis"}),
        services=frozenset({"redis", "wake"}),
    )


def test_services_of_the_image_do_not_count_even_under_our_names():
    fake = container("print", {"redis", "agent"}, redis="redis-server", agent="/usr/bin/agent")
    view = Workload(fake).view("print")
    assert (view.running, view.services) == (frozenset(), frozenset({"wake"}))
    assert view.foreign == {"redis", "agent"}


def test_files_of_another_configuration_are_not_current():
    assert not Workload(container("old", set())).view("new").current


def test_without_a_wish_whatever_is_there_is_current():
    assert Workload(container("old", set())).view(None).current


def test_a_notice_under_way_is_not_ordered_again():
    fake = MagicMock()
    fake.get_service.return_value.is_running.return_value = True
    assert Workload(fake).notify_later() is False
    fake.pebble.start_services.assert_not_called()


class OnDisk:
    """The files of a container, under a directory of this machine."""

    name = "redis"

    def __init__(self, root: Path):
        self._root = root

    def exists(self, path: str) -> bool:
        return Path(f"{self._root}{path}").exists()

    def list_files(self, path: str) -> list[pebble.FileInfo]:
        return [
            pebble.FileInfo(
                path=f"{path}/{file.name}",
                name=file.name,
                type=pebble.FileType.FILE,
                size=file.stat().st_size,
                permissions=0o600,
                last_modified=datetime.fromtimestamp(file.stat().st_mtime, tz=timezone.utc),
                user_id=None,
                user=None,
                group_id=None,
                group=None,
            )
            for file in Path(f"{self._root}{path}").iterdir()
            if file.is_file()
        ]


@pytest.mark.parametrize(
    ("files", "time_s"),
    [
        ({}, None),
        ({"dump.rdb": (500, 7)}, 7.0),
        ({"temp-12.rdb": (500, 9)}, None),
        ({"appendonlydir/a.1.base.rdb": (500, 5), "appendonlydir/a.1.incr.aof": (9, 6)}, 6.0),
        # Redis would load the older one.
        ({"dump.rdb": (500, 9), "appendonlydir/a.1.base.rdb": (500, 5)}, 5.0),
        ({"temp-12.rdb": (500, 9), "appendonlydir/a.1.base.rdb": (500, 5)}, 5.0),
        # A unit that was never in sync, and one with a single key.
        ({"appendonlydir/a.1.base.rdb": (89, 9), "appendonlydir/a.1.incr.aof": (0, 9)}, 0.0),
        ({"appendonlydir/a.1.base.rdb": (99, 9), "appendonlydir/a.1.incr.aof": (0, 9)}, 9.0),
    ],
)
def test_data_is_as_new_as_what_redis_would_load(
    tmp_path: Path, files: dict[str, tuple[int, int]], time_s: float | None
):
    for name, (size, written_s) in files.items():
        path = tmp_path / "var/lib/redis" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
        os.utime(path, (written_s, written_s))
    assert Workload(OnDisk(tmp_path)).data_time() == time_s  # type: ignore[arg-type]
