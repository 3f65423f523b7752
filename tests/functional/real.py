# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Real Redis and Sentinel processes, each node on its own loopback address.

A node sees the fixed paths of the workload containers (``/etc/redis-k8s``, ``/var/lib/redis``,
``/charm/bin/pebble``) in a mount namespace of its own, so the charm's scripts run as they are and
nothing is written to the host. Two things differ from a pod: ``127.0.0.1`` is not the node's own
address, so a ``redis-cli`` in front of the real one puts the right one there; and Pebble's
``notify`` writes into a file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import constants as c
from cluster.settings import FAILOVER_TIMEOUT_MS
from constants import ELIGIBLE, SENTINEL_PERIODS_MS
from engine.world import Config, Image, World
from errors import RedisClientError
from nodes.access import Access
from nodes.redis_client import RedisNode
from nodes.sentinel import Sentinel
from passwords.users import Credentials
from pod import render

APP = "redis-k8s"
CREDENTIALS = Credentials(
    passwords={
        "default": "admin-pw",
        "sentinel-default": "sentinel-admin-pw",
        "operator": "operator-pw",
        "replication": "replication-pw",
        "sentinel": "watcher-pw",
        "peers": "peers-pw",
        "exporter": "exporter-pw",
    }
)
ACCESS = Access(APP, CREDENTIALS["operator"])
IMAGE = Image(server="redis-server", cli="redis-cli", user="redis", group="redis")
DOWN_AFTER_MS = 2000
PATIENCE_S = 40.0
"""How long a busy machine may take for what normally takes seconds."""

_ENTER = """
set -e
root=$1 node=$2 path=$3
shift 3
mount -t tmpfs tmpfs "$root"
for entry in bin sbin lib lib32 lib64 usr dev proc; do
    if [ -L "/$entry" ]; then cp -a "/$entry" "$root/$entry"
    elif [ -d "/$entry" ]; then mkdir "$root/$entry"; mount --rbind "/$entry" "$root/$entry"
    fi
done
mkdir -p "$root/etc/redis-k8s" "$root/charm" "$root/tmp" "$root/var/lib/redis"
for entry in passwd group hosts nsswitch.conf resolv.conf ld.so.cache alternatives; do
    [ ! -e "/etc/$entry" ] || cp -a "/etc/$entry" "$root/etc/"
done
mount --bind "$node/etc" "$root/etc/redis-k8s"
mount --bind "$node/charm" "$root/charm"
mount --bind "$node/data" "$root/var/lib/redis"
PATH="$PATH:/usr/sbin:/sbin"
exec chroot "$root" /usr/bin/env -i PATH="$path" "$@"
"""
_PEBBLE = """#!/bin/sh
echo "$@" >>/charm/notices
"""
_REDIS_CLI = """#!/bin/sh
for word; do
    shift
    [ "$word" = 127.0.0.1 ] && word={host}
    set -- "$@" "$word"
done
echo "$@" >>/charm/commands
exec {redis_cli} "$@"
"""


def patiently(condition: Callable[[], bool], what: str, within_s: float = PATIENCE_S) -> None:
    """Return when a condition holds; a node that does not answer counts as not yet."""
    deadline = time.monotonic() + within_s
    while True:
        error: Exception | None = None
        try:
            if condition():
                return
        except (RedisClientError, redis.RedisError) as e:
            error = e
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what} ({error})") from error
        time.sleep(0.05)


class Node:
    """One Redis and one Sentinel, as in a pod."""

    def __init__(self, directory: Path, host: str, planned: tuple[str, ...]):
        self.host = host
        self.planned = planned
        self.directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("etc/live", "data/sentinel", "charm/bin", "charm/shims", "root"):
            (directory / name).mkdir(parents=True)
        self.script("charm/bin/pebble", _PEBBLE)
        redis_cli = shutil.which("redis-cli")
        self.script("charm/shims/redis-cli", _REDIS_CLI.format(host=host, redis_cli=redis_cli))
        self.write_files()

    @staticmethod
    def templates() -> Path:
        return Path(render.__file__).parents[2] / "templates"

    @property
    def world(self) -> World:
        return World(
            app=APP,
            host=self.host,
            planned=self.planned,
            credentials=CREDENTIALS,
            config=Config(down_after_ms=DOWN_AFTER_MS),
        )

    def script(self, name: str, text: str) -> None:
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o755)

    def write_files(self, **changes: object) -> None:
        """Write what the charm would write; the addresses to listen on are the node's own."""
        world = replace(self.world, **changes)  # type: ignore[arg-type]
        # Both containers have a file of this name; that of redis has all variables.
        files = (*render.sentinel_files(world, IMAGE), *render.redis_files(world, IMAGE))
        for file in files:
            path = self.inside(file.path)
            # As Pebble does: a script that runs goes on with the text that it began with.
            fresh = path.with_name(f".{path.name}")
            fresh.write_text(self._bound(file.text))
            fresh.chmod(file.mode)
            fresh.replace(path)

    def write_sentinel_conf(self, primary: str, **changes: object) -> None:
        world = replace(self.world, **changes)  # type: ignore[arg-type]
        conf = render.sentinel_conf(world, primary)
        self.inside(conf.path).write_text(self._bound(conf.text))

    def _bound(self, text: str) -> str:
        return text.replace("bind * -::*", f"bind {self.host}")

    def inside(self, path: str) -> Path:
        """Return where a path of the workload containers lies outside."""
        for prefix, name in (
            (c.CONFIG_DIR, "etc"),
            (c.STORAGE_DIR, "data"),
            ("/charm", "charm"),
        ):
            if path.startswith(prefix):
                return self.directory / name / path.removeprefix(prefix).lstrip("/")
        raise ValueError(path)

    def spawn(self, *argv: str, log: str, through: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a program with the node's files; its output goes to a log of that name.

        Args:
            argv: the program.
            log: what its log is called.
            through: words of a program on the host that starts the rest in a network of its own.
        """
        namespaces = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
        path = "/charm/shims:/usr/local/bin:/usr/bin:/bin"
        network = ["--net", *through] if through else []
        with (self.directory / f"{log}.log").open("ab") as output:
            return subprocess.Popen(
                ["unshare", *namespaces, *network, "sh", "-c", _ENTER, "sh",
                 str(self.directory / "root"), str(self.directory), path, *argv],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def run(self, *argv: str) -> int:
        """Run a program with the node's files to its end; return its exit code."""
        return self.spawn(*argv, log="run").wait(timeout=PATIENCE_S)

    def start_redis(self) -> None:
        """Start Redis as its Pebble service does: through the guarded start."""
        self._start("redis", c.START_REDIS)

    def start_sentinel(self) -> None:
        self._start("sentinel", "redis-server", c.SENTINEL_CONF, "--sentinel")

    def _start(self, name: str, *argv: str) -> None:
        if not self.runs(name):
            self._processes[name] = self.spawn(*argv, log=name)

    def runs(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.poll() is None

    def pid(self, name: str) -> int:
        """Return the process of what runs under that name."""
        return self._processes[name].pid

    def wipe(self) -> None:
        """Empty Redis' part of the volume."""
        for path in self.inside(c.STORAGE_DIR).iterdir():
            if path.name == "appendonlydir":
                shutil.rmtree(path)
            elif path.is_file():
                path.unlink()

    @property
    def has_watch(self) -> bool:
        """Whether the helper of the guarded start is still there, which sets the priority."""
        process = self._processes.get("redis")
        if process is None:
            return False
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry.name)) == process.pid:
                    if b"watch-sync" in (entry / "cmdline").read_bytes():
                        return True
        return False

    def kill(self, *names: str) -> None:
        """End processes at once, as a crash would, and wait until they are gone."""
        for name in names or tuple(self._processes):
            if process := self._processes.pop(name, None):
                with contextlib.suppress(ProcessLookupError):
                    # The children too: the scripts of Sentinel, the guard's helper.
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def freeze(self, *names: str) -> None:
        """Stop processes where they stand: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP, names)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT, ())

    def _signal(self, number: signal.Signals, names: tuple[str, ...]) -> None:
        for name, process in self._processes.items():
            if process.poll() is None and (name in names or not names):
                os.kill(process.pid, number)

    def log(self, name: str) -> str:
        path = self.directory / f"{name}.log"
        return path.read_text() if path.exists() else ""

    @property
    def notices(self) -> list[str]:
        path = self.directory / "charm/notices"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def redis(self) -> RedisNode:
        return RedisNode(self.host, ACCESS)

    @property
    def sentinel(self) -> Sentinel:
        return Sentinel(self.host, ACCESS)

    def client(self, port: int = c.REDIS_PORT) -> redis.Redis:
        """Return a client as an application has one, without the charm's adapters."""
        password = (
            CREDENTIALS["default"] if port == c.REDIS_PORT else CREDENTIALS["sentinel-default"]
        )
        return redis.Redis(
            self.host,
            port,
            password=password,
            decode_responses=True,
            socket_timeout=0.5,
            retry=Retry(NoBackoff(), 0),
        )


class RealCluster:
    """Nodes that form one application; the same words as ``fakes.Cluster``."""

    app = APP
    access = ACCESS
    watcher_password = CREDENTIALS["sentinel"]

    def __init__(self, directory: Path, hosts: Iterable[str]):
        self._directory = directory
        self.hosts = tuple(hosts)
        self.nodes = {h: Node(directory / h, h, self.hosts) for h in self.hosts}

    # Processes

    def form(self) -> None:
        """Start all as on the first day, the first host as the first primary."""
        self.start_sentinels()
        first = self.nodes[self.hosts[0]]
        first.inside(c.BIRTH_PERMIT).touch()
        for node in self.nodes.values():
            node.start_redis()
        self.settle()

    def start_sentinels(self, primary: str | None = None) -> None:
        for node in self.nodes.values():
            if not node.inside(c.SENTINEL_CONF).exists():
                node.write_sentinel_conf(primary or self.hosts[0])
            node.start_sentinel()
        for node in self.nodes.values():
            self.quicken(node)

    def quicken(self, node: Node) -> None:
        """Give a Sentinel the periods that the charm gives it."""

        def is_set() -> bool:
            for name, value in SENTINEL_PERIODS_MS.items():
                node.sentinel.set_option(name, value)
            return True

        patiently(is_set, f"Sentinel of {node.host} answers")

    def start(self, host: str) -> None:
        """Start what of a node does not run."""
        node = self.nodes[host]
        if not node.runs("sentinel"):
            node.start_sentinel()
            self.quicken(node)
        node.start_redis()

    def kill(self, host: str, *names: str) -> None:
        self.nodes[host].kill(*names)

    def freeze(self, host: str) -> None:
        self.nodes[host].freeze()

    def thaw(self, host: str) -> None:
        self.nodes[host].thaw()

    def add_stranger(self, host: str) -> None:
        """Add a replica with its Sentinel that is not among the hosts of the application."""
        node = Node(self._directory / host, host, self.hosts)
        primary = self.primary
        node.write_sentinel_conf(primary)
        self.nodes[host] = node
        self.start(host)

    def remove_stranger(self, host: str) -> None:
        self.nodes.pop(host).kill()

    def close(self) -> None:
        for node in self.nodes.values():
            node.kill()

    def hurry(self) -> None:
        """Have the Sentinels give up sooner what cannot be done, until all is settled again."""
        for host in self.hosts:
            self.sentinel(host).set_option("failover-timeout", "2000")

    # What it is

    def redis(self, host: str) -> RedisNode:
        return RedisNode(host, self.access)

    def sentinel(self, host: str) -> Sentinel:
        return Sentinel(host, self.access)

    @property
    def named(self) -> set[str | None]:
        """The hosts that the Sentinels name as primary: one when they agree."""
        return {self.sentinel(h).view().primary_host for h in self.hosts}

    def named_by_others(self, host: str) -> set[str | None]:
        """Return whom the Sentinels but that of one host name."""
        return {self.sentinel(h).view().primary_host for h in self.hosts if h != host}

    @property
    def primary(self) -> str:
        """The host that all Sentinels name."""
        (primary,) = self.named
        return str(primary)

    @property
    def replicas(self) -> list[str]:
        return [h for h in self.hosts if h != self.primary]

    def keys(self, host: str) -> set[str]:
        return {str(key) for key in self.nodes[host].client().keys()}

    def write(self, host: str, key: str) -> None:
        """Write a key; raises redis.RedisError when the node does not take it."""
        self.nodes[host].client().set(key, "1")

    def eventually(self, condition: Callable[[], bool], what: str) -> None:
        patiently(condition, what)

    def is_at_rest(self) -> bool:
        """Whether all run, agree, are linked and eligible, and know each other exactly."""
        views = {h: self.sentinel(h).view() for h in self.hosts}
        primaries = {v.primary_host for v in views.values()}
        if len(primaries) != 1:
            return False
        (primary,) = primaries
        nodes = {h: self.redis(h).view(["replica-priority"]) for h in self.hosts}
        return all(
            nodes[h].settings["replica-priority"] == str(ELIGIBLE)
            and (
                nodes[h].is_primary
                if h == primary
                else nodes[h].link_up and nodes[h].primary_host == primary
            )
            and view.has_majority
            and not view.failing_over
            and not view.primary_down_ms
            and view.others == set(self.hosts) - {h}
            and {r.host for r in view.replicas} == set(self.hosts) - {primary}
            and all(r.priority == ELIGIBLE and r.link_up and not r.down for r in view.replicas)
            for h, view in views.items()
        )

    def settle(self) -> None:
        """Bring all to rest again, whatever a test has left behind."""
        for host in list(self.nodes):
            if host not in self.hosts:
                self.remove_stranger(host)
        for host in self.hosts:
            self.nodes[host].write_files()
            self.thaw(host)
            self._renew_sentinel(host)
            self.start(host)
            (self.nodes[host].directory / "charm/notices").unlink(missing_ok=True)

        def repair() -> bool:
            for host in self.hosts:
                sentinel = self.sentinel(host)
                view = sentinel.view()
                node = self.redis(host)
                state = node.view()
                if self.nodes[host].has_watch:
                    return False
                if state.is_primary or state.link_up:
                    node.set({"replica-priority": str(ELIGIBLE)})
                if view.quorum != 2:
                    sentinel.set_option("quorum", "2")
                if view.options["failover-timeout"] != FAILOVER_TIMEOUT_MS:
                    sentinel.set_option("failover-timeout", FAILOVER_TIMEOUT_MS)
                strangers = ({r.host for r in view.replicas} | view.others) - set(self.hosts)
                if strangers and not view.failing_over:
                    sentinel.forget(2, 2, PATIENCE_S)
            return self.is_at_rest()

        patiently(repair, "all nodes are at rest")

    def _renew_sentinel(self, host: str) -> None:
        """Give a Sentinel its scripts back: REMOVE takes them, and only the file gives them."""
        node = self.nodes[host]
        if c.ON_SWITCH not in node.inside(c.SENTINEL_CONF).read_text():
            primary = next(h for h in self.hosts if self.redis(h).view().is_primary)
            node.kill("sentinel")
            node.write_sentinel_conf(primary)

    # Writers

    @contextlib.contextmanager
    def writer(self) -> Iterator[Writer]:
        """Write without pause, in the background, to whoever the Sentinels name."""
        writer = Writer(self)
        writer.start()
        try:
            yield writer
        finally:
            writer.stop()


class Writer:
    """Numbers its writes and remembers those that were acknowledged."""

    def __init__(self, cluster: RealCluster):
        self._cluster = cluster
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._prefix = f"w{time.monotonic_ns()}"
        self.acknowledged: set[str] = set()

    def start(self) -> None:
        self._thread.start()
        self.go_on()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def go_on(self, count: int = 20) -> None:
        """Return when so many more writes were acknowledged."""
        aim = len(self.acknowledged) + count
        patiently(lambda: len(self.acknowledged) >= aim, "the writer goes on")

    def lost(self) -> set[str]:
        """Return the acknowledged writes that the present primary does not have."""
        return self.acknowledged - self._cluster.keys(self._cluster.primary)

    def _run(self) -> None:
        number = 0
        client: redis.Redis | None = None
        while not self._ended.is_set():
            number += 1
            key = f"{self._prefix}-{number}"
            try:
                client = client or self._find()
                client.set(key, "1")
                self.acknowledged.add(key)
            except redis.RedisError:
                client = None
                self._ended.wait(0.02)

    def _find(self) -> redis.Redis:
        for node in list(self._cluster.nodes.values()):
            with contextlib.suppress(redis.RedisError), node.client(c.SENTINEL_PORT) as asked:
                answer: Any = asked.execute_command(
                    "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._cluster.app
                )
                return self._cluster.nodes[answer[0]].client()
        raise redis.ConnectionError("no Sentinel answers")
