# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The texts: what stands in files and layers, and what must not."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import replace
from typing import Any

import pytest
from ops.pebble import LayerDict

import constants as c
from engine.world import Config, File
from passwords import users
from pod import render
from tests.unit.worlds import CREDENTIALS, H0, H1, H2, IMAGE, at_rest
from tls.view import TlsView

WORLD = at_rest()
WITH_EXPORTER = replace(IMAGE, exporter="/usr/bin/redis_exporter")
SCRIPTS = {path.name for path in render._TEMPLATES.iterdir() if not path.name.endswith(".j2")}


def services(layer: LayerDict) -> dict[str, Any]:
    return dict(layer.get("services", {}))


def by_path(files: tuple[File, ...]) -> dict[str, File]:
    return {file.path: file for file in files}


def lines(file: File) -> list[str]:
    return file.text.splitlines()


def digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


# redis.conf


def test_redis_knows_its_name_and_never_an_address_or_a_role():
    conf = by_path(render.redis_files(WORLD, IMAGE))[c.REDIS_CONF]
    assert f"replica-announce-ip {H0}" in lines(conf)
    assert "replicaof" not in conf.text
    assert "replica-priority" not in conf.text


@pytest.mark.parametrize(("size", "fence"), [(1, "0"), (2, "0"), (3, "1"), (5, "2")])
def test_the_fence_in_the_file_follows_the_planned_units(size, fence):
    conf = by_path(render.redis_files(at_rest(size), IMAGE))[c.REDIS_CONF]
    assert f"min-replicas-to-write {fence}" in lines(conf)


def test_what_was_acknowledged_is_on_the_volume():
    conf = lines(by_path(render.redis_files(WORLD, IMAGE))[c.REDIS_CONF])
    assert "appendonly yes" in conf
    assert f"dir {c.STORAGE_DIR}" in conf


def test_redis_waits_for_no_disk_and_another_service_has_it_keep_what_was_written():
    files = by_path(render.redis_files(WORLD, IMAGE))
    assert "appendfsync no" in lines(files[c.REDIS_CONF])
    service = services(render.redis_layer(WORLD, IMAGE))[c.SYNC_SERVICE]
    assert service["command"] == c.SYNC_LOG
    assert files[c.SYNC_LOG].mode == 0o755


def test_users_have_digests_instead_of_passwords():
    users = by_path(render.redis_files(WORLD, IMAGE))[c.USERS_ACL]
    for password in (
        CREDENTIALS["default"],
        CREDENTIALS["operator"],
        CREDENTIALS["replication"],
        CREDENTIALS["sentinel"],
        CREDENTIALS["exporter"],
    ):
        assert password not in users.text
        assert f"#{digest(password)}" in users.text
    assert "nopass" not in users.text


# sentinel.conf


def test_sentinel_watches_by_name_and_announces_its_name():
    conf = lines(render.sentinel_conf(WORLD, H2))
    assert f"sentinel monitor redis-k8s {H2} 6379 2" in conf
    assert f"sentinel announce-ip {H0}" in conf
    assert "sentinel resolve-hostnames yes" in conf
    assert "sentinel announce-hostnames yes" in conf
    assert conf.index("sentinel resolve-hostnames yes") < conf.index(
        f"sentinel monitor redis-k8s {H2} 6379 2"
    )


def test_sentinel_gets_the_options_but_not_those_that_it_knows_at_run_time_only():
    conf = render.sentinel_conf(replace(WORLD, config=Config(down_after_ms=7000)), H0)
    assert "sentinel down-after-milliseconds redis-k8s 7000" in lines(conf)
    for name in c.SENTINEL_PERIODS_MS:
        assert name not in conf.text


def test_sentinel_runs_the_scripts():
    conf = lines(render.sentinel_conf(WORLD, H0))
    assert f"sentinel client-reconfig-script redis-k8s {c.ON_SWITCH}" in conf
    assert f"sentinel notification-script redis-k8s {c.ON_EVENT}" in conf


def test_a_refreshed_file_has_the_present_logins_and_keeps_what_is_sentinels_own():
    own = [
        "sentinel myid 0123456789abcdef",
        "sentinel config-epoch redis-k8s 7",
        f"sentinel known-replica redis-k8s {H1} 6379",
        f"sentinel known-sentinel redis-k8s {H2} 26379 fedcba",
    ]
    old = replace(
        WORLD, credentials=CREDENTIALS.with_passwords({"sentinel": "old-w", "peers": "old-p"})
    )
    text = "\n".join([*lines(render.sentinel_conf(old, H2)), *own, 'user default on "nopass"'])
    fresh = render.refreshed_sentinel_conf(WORLD, text)
    assert set(own) < set(lines(fresh))
    assert f"sentinel monitor redis-k8s {H2} 6379 2" in lines(fresh)
    assert f"sentinel auth-pass redis-k8s {CREDENTIALS['sentinel']}" in lines(fresh)
    assert f"sentinel sentinel-pass {CREDENTIALS['peers']}" in lines(fresh)
    for gone in ("old-w", "old-p", "nopass"):
        assert gone not in fresh.text
    assert sum(line.startswith("user default ") for line in lines(fresh)) == 1


def test_refreshing_twice_is_the_same_as_once():
    once = render.refreshed_sentinel_conf(WORLD, render.sentinel_conf(WORLD, H0).text)
    assert render.refreshed_sentinel_conf(WORLD, once.text) == once
    first = lines(render.sentinel_conf(WORLD, H0))
    assert len(lines(once)) == len(first)
    assert {line for line in first if "down-after" not in line} < set(lines(once))


@pytest.mark.parametrize(("configured", "begins_with"), [(1200, 10000), (30000, 30000)])
def test_a_sentinel_whose_pod_comes_up_is_patient_at_first(configured: int, begins_with: int):
    world = replace(WORLD, config=Config(down_after_ms=configured))
    fresh = render.refreshed_sentinel_conf(world, render.sentinel_conf(world, H0).text)
    wanted = f"sentinel down-after-milliseconds redis-k8s {begins_with}"
    assert [line for line in lines(fresh) if "down-after" in line] == [wanted]


# Scripts and their settings


def test_every_script_is_brought_to_a_container():
    brought = {*by_path(render.redis_files(WORLD, WITH_EXPORTER))} | {
        *by_path(render.sentinel_files(WORLD, IMAGE))
    }
    assert {path.rsplit("/", 1)[1] for path in brought} >= SCRIPTS


@pytest.mark.parametrize("image", [IMAGE, WITH_EXPORTER], ids=["without", "with"])
def test_the_exporter_comes_only_where_the_image_has_it(image):
    has = image.exporter is not None
    assert (c.START_EXPORTER in by_path(render.redis_files(WORLD, image))) is has
    assert (c.EXPORTER_SERVICE in services(render.redis_layer(WORLD, image))) is has


def test_settings_survive_the_shell_whatever_they_contain():
    nasty = """a'b"c$d`e\\f g;h#i"""
    world = replace(WORLD, credentials=CREDENTIALS.with_passwords({"operator": nasty}))
    env = by_path(render.redis_files(world, IMAGE))[c.CLUSTER_ENV]
    assert f"OPERATOR_PASSWORD={shlex.quote(nasty)}" in lines(env)
    assert shlex.split(f"x={shlex.quote(nasty)}") == [f"x={nasty}"]


@pytest.mark.parametrize("files", ["redis", "sentinel"])
def test_every_variable_that_a_script_reads_is_there(files):
    """The scripts run with ``set -u``: a missing variable ends them."""
    files_of = render.redis_files if files == "redis" else render.sentinel_files
    made = by_path(files_of(WORLD, WITH_EXPORTER))
    known = {line.split("=")[0] for line in lines(made[c.CLUSTER_ENV])}
    for path, file in made.items():
        if file.mode == 0o755:
            used = capitals(file.text)
            assert used - known - set(assigned(file.text)) == set(), path


def capitals(text: str) -> set[str]:
    """Return the variables in capitals that a script reads."""
    import re

    return set(re.findall(r"\$\{?([A-Z][A-Z_]+)", text))


def assigned(text: str) -> set[str]:
    import re

    return set(re.findall(r"\b([A-Z][A-Z_]+)=", text))


def test_only_scripts_are_readable_for_others():
    for file in (*render.redis_files(WORLD, WITH_EXPORTER), *render.sentinel_files(WORLD, IMAGE)):
        is_script = file.path.rsplit("/", 1)[1] in SCRIPTS
        assert file.mode == (0o755 if is_script else 0o640), file.path
    assert render.sentinel_conf(WORLD, H0).mode == 0o600


# Layers


def test_no_password_is_in_a_layer():
    text = str(render.redis_layer(WORLD, WITH_EXPORTER)) + str(render.sentinel_layer(WORLD, IMAGE))
    for password in CREDENTIALS.passwords.values():
        assert password not in text
        assert digest(password) not in text


def test_services_have_the_names_that_users_know():
    assert {"redis", "redis_exporter"} <= set(services(render.redis_layer(WORLD, WITH_EXPORTER)))
    assert "sentinel" in services(render.sentinel_layer(WORLD, IMAGE))


def test_redis_starts_through_the_guard_and_is_started_again():
    service = services(render.redis_layer(WORLD, IMAGE))["redis"]
    assert service["command"] == c.START_REDIS
    assert (service["on-success"], service["on-failure"]) == ("restart", "restart")


def test_the_handover_is_stopped_before_redis():
    service = services(render.redis_layer(WORLD, IMAGE))[c.HANDOVER_SERVICE]
    assert service["requires"] == ["redis"]
    assert service["after"] == ["redis"]


def test_an_unchanged_world_gives_the_same_layer():
    assert render.redis_layer(WORLD, IMAGE) == render.redis_layer(at_rest(), IMAGE)


# Fingerprint and owner


@pytest.mark.parametrize(
    "changes",
    [
        {"planned": (H0, H1)},
        {"host": H1},
        {"app": "other"},
        {"config": Config(down_after_ms=7000)},
        *({"credentials": CREDENTIALS.with_passwords({name: "changed"})} for name in users.NAMES),
        {"credentials": replace(CREDENTIALS, seal="changed")},
        {"credentials": replace(CREDENTIALS, next={"default": "next"})},
        {"credentials": replace(CREDENTIALS, previous={"peers": "previous"})},
        {"tls": TlsView(wanted=True, active=True)},
    ],
    ids=str,
)
def test_the_fingerprint_changes_with_all_that_files_are_made_of(changes):
    assert render.fingerprint(replace(WORLD, **changes)) != render.fingerprint(WORLD)


@pytest.mark.parametrize(
    "changes",
    [
        {"is_leader": False},
        {"recorded_primary": H2},
        {"redis": {}},
        {"sentinels": {}},
        {"initialised": False},
    ],
    ids=str,
)
def test_and_with_nothing_else(changes):
    assert render.fingerprint(replace(WORLD, **changes)) == render.fingerprint(WORLD)


def test_the_owner_mark_tells_units_and_applications_apart():
    other = replace(CREDENTIALS, seal="of another application")
    marks = {
        render.owner_mark(WORLD),
        render.owner_mark(replace(WORLD, host=H1)),
        render.owner_mark(replace(WORLD, credentials=other)),
    }
    assert len(marks) == 3
    renewed = CREDENTIALS.with_passwords(dict.fromkeys(users.NAMES, "new"))
    assert render.owner_mark(replace(WORLD, credentials=renewed)) == render.owner_mark(WORLD)


def test_nothing_is_rendered_before_there_are_passwords():
    with pytest.raises(ValueError, match="before there are passwords"):
        render.redis_files(replace(WORLD, credentials=None), IMAGE)


def test_a_new_sentinel_of_an_old_application_knows_the_replicas():
    assert "known-replica" not in render.sentinel_conf(replace(WORLD, initialised=False), H0).text
    conf = lines(render.sentinel_conf(replace(WORLD, initialised=True), H0))
    known = [line.split() for line in conf if "known-replica" in line]
    assert known == [f"sentinel known-replica {WORLD.app} {h} 6379".split() for h in (H1, H2)]


def test_a_new_sentinel_waits_for_no_unit_that_is_not_there_yet():
    world = replace(WORLD, initialised=True, unmet=frozenset({H2}))
    conf = lines(render.sentinel_conf(world, H0))
    assert [line.split()[3] for line in conf if "known-replica" in line] == [H1]
