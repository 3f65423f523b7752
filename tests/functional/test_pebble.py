# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What the charm does in a container, on a real Pebble: what it finds, whose its files are."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest

import constants as c
from errors import WorkloadError
from pod import image, ports, render
from pod.workload import Workload
from tests.functional.container import DEBIAN, OTHER_ID, ROOT_ID, USER_ID, Container, container
from tests.functional.real import patiently
from tests.unit.worlds import CREDENTIALS, H0, at_rest
from tls import plan as tls
from tls.view import PLAIN, Material, Serves, TlsView

SECRET = "what only root may read"
MATERIAL = Material("cert", "key", "ca", name="c0ffee", expires=0.0, names_hosts=False)
WORLD = dataclasses.replace(
    at_rest(), tls=TlsView(wanted=True, active=True, material=MATERIAL, redis=PLAIN)
)


# Images


@pytest.mark.parametrize(
    ("programs", "user", "links", "found"),
    [
        (DEBIAN, "redis", {}, ("redis-server", "redis-cli", None, "redis", ())),
        (
            image.TOOLS,
            "valkey",
            {"/usr/bin/valkey-server": "redis-server", "/usr/local/bin/valkey-cli": "redis-cli"},
            ("valkey-server", "valkey-cli", None, "valkey", ()),
        ),
        (
            DEBIAN,
            "_daemon_",
            {"/bin/redis_exporter": "prometheus-redis-exporter"},
            ("redis-server", "redis-cli", "/bin/redis_exporter", "_daemon_", ()),
        ),
        (
            (*DEBIAN, "prometheus-redis-exporter"),
            "redis",
            {},
            ("redis-server", "redis-cli", "/bin/prometheus-redis-exporter", "redis", ()),
        ),
        (
            tuple(name for name in DEBIAN if name not in ("redis-cli", "awk")),
            "nobody",
            {},
            (
                "redis-server",
                "",
                None,
                "",
                ("awk", "redis-cli or valkey-cli", "user redis, valkey or _daemon_"),
            ),
        ),
    ],
    ids=["redis", "valkey", "_daemon_", "exporter", "incomplete"],
)
def test_an_image_is_looked_at_as_it_is(programs, user, links, found):
    with container(programs, user, links) as there:
        seen = Workload(there.ops).image()
    assert (seen.server, seen.cli, seen.exporter, seen.user, seen.missing) == found
    assert seen.group == seen.user


def test_an_image_without_a_shell_lacks_that():
    with container(("redis-server", "redis-cli")) as there:
        # So that there is something to start the container with.
        assert Workload(there.ops).image().missing == ("/bin/sh",)


# Whose files are


@pytest.fixture(scope="module")
def shared() -> Iterator[Container]:
    with container((*DEBIAN, "ln")) as there:
        yield there


@pytest.fixture
def written(shared: Container) -> Container:
    """A container with all files of both, as the charm writes them."""
    shared.as_root(f"rm -rf {c.CONFIG_DIR} {c.STORAGE_DIR}/* /vault; mkdir /vault")
    shared.as_root(f"umask 077; echo {SECRET} >/vault/secret")
    workload, seen = Workload(shared.ops), Workload(shared.ops).image()
    workload.own_storage(seen.user, seen.group)
    workload.own_sentinel_state(seen.user, seen.group)
    for files in (render.redis_files(WORLD, seen), render.sentinel_files(WORLD, seen)):
        workload.write(files, seen.user, seen.group)
    workload.add_layer(render.redis_layer(WORLD, seen))
    workload.add_layer(render.sentinel_layer(WORLD, seen))
    return shared


def test_what_the_charm_writes_belongs_to_root_and_the_user_reads_it(written: Container):
    for path in (written.path(c.CONFIG_DIR), *written.path(c.CONFIG_DIR).rglob("*")):
        inside = f"/{path.relative_to(written.root)}"
        about = path.stat()
        if inside == c.LIVE_DIR:
            assert (about.st_uid, about.st_mode & 0o777) == (USER_ID, 0o700)
            continue
        assert (about.st_uid, about.st_gid) == (ROOT_ID, USER_ID), inside
        assert about.st_mode & 0o022 == 0, inside
        is_script = about.st_mode & 0o111 and path.is_file()
        assert is_script or about.st_mode & 0o007 == 0, inside
        if path.is_file():
            assert written.as_user(f"cat {inside} | wc -c").strip() == str(about.st_size)


def test_the_user_changes_nothing_of_it_and_others_read_no_secret(written: Container):
    assert {OTHER_ID} == {int(written.as_user("awk '/^Uid/ {print $2}' /proc/$$/status", "other"))}
    keys = [f"{c.TLS_DIR}/{MATERIAL.name}/key.pem", c.CLUSTER_ENV, c.USERS_ACL, c.KEEP_NAMES]
    for path in keys:
        for attempt in (f"echo >>{path}", f"rm -f {path}", f"mv {path} {path}.old"):
            assert written.as_user(f"({attempt}) 2>/dev/null && echo done || :") == "", attempt
        if path != c.KEEP_NAMES:
            assert written.as_user(f"cat {path} 2>/dev/null || :", "other") == ""
    assert written.as_user(f"mv {c.LIVE_DIR} /tmp/live 2>/dev/null && echo done || :") == ""


def test_root_runs_nothing_but_what_keeps_the_names(written: Container):
    plan = written.ops.get_plan().services
    assert {name for name, service in plan.items() if service.user != "redis"} == {"names"}
    assert (plan["names"].user, plan["names"].command) == ("root", c.KEEP_NAMES)
    assert c.LIVE_DIR not in written.path(c.KEEP_NAMES).read_text()
    assert "live" not in written.path(c.CLUSTER_ENV).read_text()


# Links that the user has planted


def test_the_sentinels_files_are_written_by_the_user(written: Container):
    workload = Workload(written.ops)
    conf = render.sentinel_conf(WORLD, H0)
    workload.write_sentinel_conf(conf, "mark")
    about = written.path(c.SENTINEL_CONF).stat()
    assert (about.st_uid, about.st_mode & 0o777) == (USER_ID, 0o600)
    assert workload.has_sentinel_conf("mark")
    assert workload.sentinel_conf() == conf.text


def test_a_directory_of_root_in_the_place_of_the_sentinels_is_not_written_to(written: Container):
    written.as_user(f"ln -s /vault {c.SENTINEL_DIR}")
    before = written.as_root("ls -ln /vault")
    workload = Workload(written.ops)
    with pytest.raises(WorkloadError):
        workload.write_sentinel_conf(render.sentinel_conf(WORLD, H0), "mark")
    with pytest.raises(WorkloadError):
        workload.refresh_sentinel_conf(render.sentinel_conf(WORLD, H0))
    workload.own_sentinel_state("redis", "redis")
    workload.own_storage("redis", "redis")
    workload.drop_sentinel_state()
    assert written.as_root("ls -ln /vault") == before


def test_a_file_of_root_in_the_place_of_the_sentinels_is_not_read(written: Container):
    written.as_user(f"mkdir {c.SENTINEL_DIR}; ln -s /vault/secret {c.SENTINEL_CONF}")
    written.as_user(f"ln -s /vault/secret {c.SENTINEL_SERVES}")
    workload = Workload(written.ops)
    with pytest.raises(WorkloadError) as caught:
        workload.sentinel_conf()
    assert SECRET not in str(caught.value)
    assert workload.sentinel_serves() is None
    workload.write_sentinel_conf(render.sentinel_conf(WORLD, H0), "mark")
    assert written.path("/vault/secret").read_text() == f"{SECRET}\n"


def test_a_link_in_the_directory_of_what_runs_leads_root_nowhere(written: Container):
    written.as_user(f"ln -s /vault/secret {c.BIRTH_PERMIT}; ln -s /vault/new {c.BIRTH_PERMIT}.new")
    with pytest.raises(WorkloadError):
        Workload(written.ops).permit_birth()
    assert written.as_root("ls /vault") == "secret\n"
    assert written.path("/vault/secret").read_text() == f"{SECRET}\n"


def test_what_a_sentinel_serves_is_read_as_that_alone(written: Container):
    tls_of = Serves("c0ffee", "abc")
    for text, served in (("plain", PLAIN), ("c0ffee/abc", tls_of), (SECRET, None)):
        written.as_user(f"echo {text} >{c.SENTINEL_SERVES}")
        assert Workload(written.ops).sentinel_serves() == served
    assert tls.digest("x").isalnum()


# Services of the image


IMAGE_LAYER = {
    "services": {
        "redis": {"override": "replace", "command": "redis-server", "startup": "enabled"},
        "agent": {"override": "replace", "command": "sleep 1000", "startup": "enabled"},
    }
}


def active(there: Container) -> set[str]:
    return {name for name, info in there.ops.get_services().items() if info.is_running()}


def test_a_service_of_the_image_never_runs_and_ours_take_its_name():
    with container(layer=IMAGE_LAYER) as there:
        workload = Workload(there.ops)
        seen = workload.image()
        assert active(there) == set()
        workload.write(render.redis_files(WORLD, seen), seen.user, seen.group)
        workload.add_layer(render.redis_layer(WORLD, seen))
        for service in ("redis", "handover", "sync"):
            workload.start(service)
        patiently(lambda: {"redis", "handover", "sync"} <= active(there), "ours run")
        assert "agent" not in active(there)
        assert there.ops.get_plan().services["redis"].command == c.START_REDIS
        assert workload.view(None).foreign == frozenset()


def inode(there: Container, port: int) -> str:
    """Return the socket that listens on a port, once one does."""

    def sockets() -> list[str]:
        return [*ports.listeners(there.as_root("cat /proc/net/tcp"), {port}).get(port, ())]

    patiently(lambda: bool(sockets()), "something listens")
    return sockets()[0]


def test_a_service_of_the_image_that_holds_a_port_is_known_by_its_name():
    layer = {
        "services": {
            **IMAGE_LAYER["services"],
            "other": {
                "override": "replace",
                # By a shell that stays: what listens is its child.
                "command": "wrapper",
            },
        }
    }
    with container(layer=layer, links={"/usr/bin/chmod": "chmod"}) as there:
        there.as_root(
            "mkdir -p /usr/local/bin; printf '#!/bin/sh\\nredis-server --port 26379\\n:\\n' "
            ">/usr/local/bin/wrapper; chmod 755 /usr/local/bin/wrapper"
        )
        there.ops.pebble.start_services(["redis", "other"], timeout=0)
        sockets = {inode(there, port): port for port in (6379, 26379)}
        found = Workload(there.ops).holders(sockets)
        seen = {sockets[i]: (h.name, h.service, h.is_own) for i, h in found.items()}
        assert seen == {
            6379: ("redis-server", "redis", False),
            26379: ("redis-server", "other", False),
        }
        assert Workload(there.ops).view(None).foreign == {"redis", "other"}
        Workload(there.ops).stop("redis")
        assert active(there) == {"other"}


def test_a_stranger_that_holds_a_port_is_named_and_our_own_is_known_as_ours():
    with container() as there:
        there.as_root("redis-server --port 6379 --daemonize yes >/dev/null")
        workload = Workload(there.ops)
        socket = inode(there, 6379)
        (holder,) = workload.holders([socket]).values()
        assert (holder.name, holder.service, holder.is_own) == ("redis-server", None, False)
        there.as_root(f"mkdir -p {c.LIVE_DIR}; echo {holder.pid} >{c.LIVE_DIR}/redis.pid")
        assert workload.holders([socket])[socket].is_own
        assert workload.holders(["1"]) == {}


# Metrics


def test_the_exporter_serves_its_metrics_with_the_rights_that_it_has():
    programs = (*DEBIAN, "prometheus-redis-exporter", "bash")
    with container(programs) as there:
        workload = Workload(there.ops)
        seen = workload.image()
        world = dataclasses.replace(at_rest(1), host="localhost")
        workload.own_storage(seen.user, seen.group)
        workload.write(render.redis_files(world, seen), seen.user, seen.group)
        workload.add_layer(render.redis_layer(world, seen))
        there.as_user(f"redis-server {c.REDIS_CONF} --daemonize yes >/dev/null")
        workload.start(c.EXPORTER_SERVICE)
        inode(there, c.REDIS_PORT)

        def scrape() -> list[str]:
            script = (
                f"exec 3<>/dev/tcp/127.0.0.1/{c.EXPORTER_PORT} || exit 0;"
                " printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
            )
            return there.as_user(f'bash -c "{script}" 2>/dev/null').splitlines()

        patiently(lambda: "redis_up 1" in scrape(), "the exporter reaches Redis")
        lines = scrape()
        names = {re.split("[{ ]", line)[0] for line in lines if line.startswith("redis_")}
        assert 'redis_exporter_last_scrape_error{err=""} 0' in lines
        assert {
            "redis_connected_clients",
            "redis_connected_slaves",
            "redis_memory_used_bytes",
            "redis_commands_processed_total",
            "redis_db_keys",
            "redis_instance_info",
            "redis_slowlog_length",
        } <= names
        said = (there.root / "log").read_text().splitlines()
        said = "\n".join(line for line in said if "redis_exporter]" in line)
        assert not re.search("config|slowlog|noperm|permission", said, re.IGNORECASE), said
        there.path("/ask").write_text(f"AUTH {CREDENTIALS['default']}\nACL LOG\n")
        log = there.as_root("redis-cli </ask").splitlines()
        denied = {log[n + 1] for n, word in enumerate(log) if word == "object"}
        # It asks for the slowest command, with its values, and goes on without.
        assert denied <= {"slowlog|get"}
