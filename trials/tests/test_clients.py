# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The clients against real Redis and Sentinel on loopback addresses, without a model."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from trials.clients import checker, topology, wire
from trials.clients.checker import Gap, WriteLog
from trials.clients.topology import NodeView, RedisView, SentinelView
from trials.clients.writer import Write, WriterProcess

APP = "redis-k8s"
PASSWORD = "a-password"
SENTINEL_PASSWORD = "another-password"


def wait_for(holds: Callable[[], object], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"{holds} never held"
        time.sleep(0.05)


def answers(host: str) -> bool:
    try:
        return bool(wire.connect(host, wire.SENTINEL_PORT, SENTINEL_PASSWORD).ping())
    except redis.ConnectionError:
        return False


class Cluster:
    """Three Redis and three Sentinels, each pair on its own address; stands in for a model."""

    name = "loopback"

    def __init__(self, path: Path):
        self.hosts = {f"{APP}/{n}": f"127.0.73.{n + 1}" for n in range(3)}
        self.scale = 3
        self._path = path
        self._processes: dict[tuple[str, str], subprocess.Popen] = {}
        for host in self.hosts.values():
            self.start_redis(host)
            self._start_sentinel(host)

    def start_redis(self, host: str) -> None:
        folder = self._path / f"redis-{host}"
        folder.mkdir(exist_ok=True)
        primary = self.hosts[f"{APP}/0"]
        conf = folder / "redis.conf"
        if not conf.exists():
            lines = [f"bind {host}", f"dir {folder}", "appendonly yes", "save ''"]
            lines += [f"requirepass {PASSWORD}", f"masterauth {PASSWORD}"]
            lines += ["repl-diskless-sync-delay 0", f"replica-announce-ip {host}"]
            lines += [f"replicaof {primary} {wire.REDIS_PORT}"] if host != primary else []
            conf.write_text("\n".join(lines).replace("''", '""') + "\n")
        self._start("redis", host, ["redis-server", str(conf)])

    def _start_sentinel(self, host: str) -> None:
        conf = self._path / f"sentinel-{host}.conf"
        primary = self.hosts[f"{APP}/0"]
        conf.write_text(
            f"bind {host}\nport {wire.SENTINEL_PORT}\nrequirepass {SENTINEL_PASSWORD}\n"
            f"sentinel announce-ip {host}\n"
            f"sentinel monitor {APP} {primary} {wire.REDIS_PORT} 2\n"
            f"sentinel auth-pass {APP} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {APP} 1000\n"
        )
        self._start("sentinel", host, ["redis-sentinel", str(conf)])
        # A Sentinel knows the replicas from the primary's INFO, which it asks for every 10 s.
        wait_for(lambda: answers(host))
        sentinel = wire.connect(host, wire.SENTINEL_PORT, SENTINEL_PASSWORD)
        sentinel.execute_command("SENTINEL", "DEBUG", "INFO-PERIOD", "1000")

    def _start(self, kind: str, host: str, argv: list[str]) -> None:
        log = (self._path / f"{kind}-{host}.log").open("ab")
        with log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._processes[(kind, host)] = process

    def kill(self, kind: str, host: str) -> None:
        process = self._processes.pop((kind, host))
        process.kill()
        process.wait()

    def stop(self) -> None:
        for kind, host in tuple(self._processes):
            self.kill(kind, host)

    def client(self, host: str) -> redis.Redis:
        return wire.connect(host, wire.REDIS_PORT, PASSWORD)

    # What topology.Lab asks of a model.
    def status(self) -> dict[str, Any]:
        units = {
            unit: {"host": host, "address": host, "life": "alive"}
            for unit, host in self.hosts.items()
        }
        return {"applications": {APP: {"scale": self.scale, "units": units}}}

    def run(self, unit: str, action: str) -> Any:
        results = {
            "get-initial-admin-password": {"redis-password": PASSWORD},
            "get-sentinel-password": {"sentinel-password": SENTINEL_PASSWORD},
        }
        return SimpleNamespace(status="completed", results=results[action], message="")

    def spawn(self, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen:
        return subprocess.Popen(argv, **kwargs)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def settled_cluster(cluster: Cluster) -> Iterator[Cluster]:
    with topology.Probe(cluster, APP) as probe:
        wait_for(lambda: not probe.problems())
    yield cluster


@pytest.fixture
def access(cluster: Cluster) -> wire.Access:
    return topology.ask_access(cluster, APP)


def test_a_failover_is_followed_and_nothing_is_lost(
    settled_cluster: Cluster, access: wire.Access, tmp_path: Path
):
    cluster = settled_cluster
    log = WriteLog(tmp_path / "writes")
    writer = WriterProcess(cluster.spawn, access, key="w", log=tmp_path / "writes")
    try:
        wait_for(lambda: len(checker.acknowledged(log.read())) > 50)
        killed_s = time.monotonic()
        cluster.kill("redis", "127.0.73.1")
        wait_for(lambda: checker.acknowledged(log.read())[-1].host not in ("", "127.0.73.1"))
        back_s = time.monotonic()
    finally:
        writer.stop()
    writes = log.read()
    stored = checker.stored_numbers(cluster.spawn, access, ["w"])["w"]
    assert checker.lost(writes, stored) == []
    assert checker.never_written(writes, stored) == []
    assert 1.0 < checker.longest_gap_s(writes, killed_s, back_s) < back_s - killed_s
    assert [write.number for write in writes] == list(range(1, len(writes) + 1))


def test_a_write_that_redis_forgot_is_found(
    settled_cluster: Cluster, access: wire.Access, tmp_path: Path
):
    log = WriteLog(tmp_path / "writes")
    writer = WriterProcess(settled_cluster.spawn, access, key="w", log=tmp_path / "writes")
    wait_for(lambda: len(checker.acknowledged(log.read())) > 20)
    writer.stop()
    settled_cluster.client("127.0.73.1").lrem("w", 1, "7")
    stored = checker.stored_numbers(settled_cluster.spawn, access, ["w"])["w"]
    assert checker.lost(log.read(), stored) == [7]


@pytest.mark.parametrize(("mode", "stays"), [("follow", False), ("hold", True)])
def test_whoever_holds_on_stays_with_an_old_primary_that_still_writes(
    settled_cluster: Cluster, access: wire.Access, tmp_path: Path, mode: Any, stays: bool
):
    # A second primary: the Sentinels name another node while the old one goes on.
    cluster = settled_cluster
    log = WriteLog(tmp_path / "writes")
    writer = WriterProcess(cluster.spawn, access, key="w", log=tmp_path / "writes", mode=mode)
    try:
        wait_for(lambda: len(checker.acknowledged(log.read())) > 20)
        sentinel = wire.connect("127.0.73.2", wire.SENTINEL_PORT, SENTINEL_PASSWORD)
        sentinel.execute_command("SENTINEL", "FAILOVER", APP)
        others = [wire.Sentinels(replace(access, hosts=(h,))) for h in cluster.hosts.values()]
        wait_for(lambda: all(o.primary_host() != "127.0.73.1" for o in others))
        cluster.client("127.0.73.1").client_kill_filter(_type="normal")
        wait_for(lambda: log.read()[-1].error is None)
        wait_for(lambda: any(write.error for write in log.read()))
        first = len(log.read())
        wait_for(lambda: len(log.read()) > first + 20)
        held = [write.host == "127.0.73.1" for write in log.read()[first : first + 10]]
        assert all(held) if stays else not any(held)
        # It gives in when its address says that it is a replica.
        cluster.client("127.0.73.1").replicaof(others[0].primary_host(), wire.REDIS_PORT)
        wait_for(lambda: checker.acknowledged(log.read())[-1].host != "127.0.73.1")
    finally:
        writer.stop()


def test_a_writer_waits_out_the_time_without_any_sentinel(cluster: Cluster, tmp_path: Path):
    nobody = wire.Access(APP, ("127.0.73.9",))
    log = WriteLog(tmp_path / "writes")
    writer = WriterProcess(cluster.spawn, nobody, key="w", log=tmp_path / "writes")
    wait_for(lambda: len(log.read()) > 3)
    assert writer.running()
    writer.stop()
    assert all((write.error or "").startswith("NoPrimaryError") for write in log.read())


def test_a_writer_that_could_not_start_says_so(cluster: Cluster, tmp_path: Path):
    access = wire.Access(APP, ())
    writer = WriterProcess(cluster.spawn, access, key="w", log=tmp_path / "w", mode="follow")
    writer.stop()
    broken = WriterProcess(
        lambda argv, **kwargs: cluster.spawn([*argv[:1], "-c", "raise SystemExit(3)"], **kwargs),
        access,
        key="w",
        log=tmp_path / "w",
    )
    wait_for(lambda: not broken.running())
    with pytest.raises(RuntimeError, match="ended with 3"):
        broken.stop()


def test_no_password_is_in_an_argument_list_or_an_environment(
    settled_cluster: Cluster, access: wire.Access, tmp_path: Path
):
    started: list[subprocess.Popen] = []

    def spawn(argv: Sequence[str], **kwargs: Any) -> subprocess.Popen:
        started.append(settled_cluster.spawn(argv, **kwargs))
        return started[-1]

    writer = WriterProcess(spawn, access, key="w", log=tmp_path / "writes")
    log = WriteLog(tmp_path / "writes")
    wait_for(log.read)
    process = Path("/proc", str(started[0].pid))
    seen = process.joinpath("cmdline").read_bytes() + process.joinpath("environ").read_bytes()
    writer.stop()
    assert PASSWORD.encode() not in seen
    assert SENTINEL_PASSWORD.encode() not in seen
    assert PASSWORD not in repr(access)
    assert PASSWORD not in (tmp_path / "writes").read_text()


def test_reading_back_says_why_it_can_not(cluster: Cluster):
    with pytest.raises(RuntimeError, match="No Sentinel names a primary"):
        checker.stored_numbers(cluster.spawn, wire.Access(APP, ("127.0.73.9",)), ["w"])


def test_the_columns_of_a_settled_topology(settled_cluster: Cluster):
    columns = topology.columns(settled_cluster, APP)
    sentinel = {"primary": f"{APP}/0", "quorum": "2", "replicas": "2", "sentinels": "2"}
    assert columns == {
        f"{APP}/0": {"role": "primary", "link": "-", **sentinel},
        f"{APP}/1": {"role": "replica", "link": "up", **sentinel},
        f"{APP}/2": {"role": "replica", "link": "up", **sentinel},
    }
    assert topology.settled(settled_cluster, APP) == []


def test_a_dead_redis_and_a_dead_sentinel_show(settled_cluster: Cluster):
    settled_cluster.kill("redis", "127.0.73.3")
    settled_cluster.kill("sentinel", "127.0.73.2")
    found = topology.settled(settled_cluster, APP)
    assert any(text.startswith(f"{APP}/2: Redis gives no answer") for text in found)
    assert any(text.startswith(f"{APP}/1: Sentinel gives no answer") for text in found)
    columns = topology.columns(settled_cluster, APP)
    assert (columns[f"{APP}/2"]["role"], columns[f"{APP}/1"]["quorum"]) == ("-", "-")


def test_a_ghost_and_a_wrong_quorum_show(settled_cluster: Cluster):
    # As after a scale-down that nobody told the Sentinels about.
    settled_cluster.kill("redis", "127.0.73.3")
    settled_cluster.kill("sentinel", "127.0.73.3")
    del settled_cluster.hosts[f"{APP}/2"]
    settled_cluster.scale = 2
    with topology.Probe(settled_cluster, APP) as probe:
        wait_for(lambda: any("takes for down" in text for text in probe.problems()))
        found = probe.problems()
    assert f"{APP}/0: its Sentinel knows 2 of 1 other Sentinels" in found
    assert f"{APP}/0: its Sentinel knows 2 of 1 replicas" in found


def test_a_wrong_password_is_no_answer(cluster: Cluster, access: wire.Access):
    wrong = replace(access, redis_password="wrong", sentinel_password="wrong")
    with topology.Probe(cluster, APP, wrong) as probe:
        views, _, _ = probe.look()
    assert all(view.redis is None and view.sentinel is None for view in views.values())
    assert "password" in views[f"{APP}/0"].redis_error


SENTINEL = SentinelView("h0", quorum=2, replicas=2, others=2, epoch=1, flags="master")
RIGHT = {
    "a/0": NodeView("h0", RedisView("primary"), SENTINEL),
    "a/1": NodeView("h1", RedisView("replica", "h0", True), SENTINEL),
    "a/2": NodeView("h2", RedisView("replica", "h0", True), SENTINEL),
}


def test_the_right_topology_has_no_problem():
    assert topology.problems(RIGHT, 3) == []


@pytest.mark.parametrize(
    ("unit", "change", "text"),
    [
        ("a/1", {"redis": RedisView("primary")}, "2 Redis say they are the primary: a/0, a/1"),
        ("a/1", {"redis": RedisView("replica", "h2", True)}, "a/1: Redis follows h2"),
        ("a/1", {"redis": RedisView("replica", "h0", False)}, "a/1: Redis is not in sync"),
        ("a/0", {"redis": RedisView("replica", "h1", True)}, "0 Redis say they are the primary"),
        ("a/1", {"sentinel": replace(SENTINEL, primary_host="h1")}, "names h1 as the primary"),
        ("a/1", {"sentinel": replace(SENTINEL, others=3)}, "knows 3 of 2 other Sentinels"),
        ("a/1", {"sentinel": replace(SENTINEL, replicas=1)}, "knows 1 of 2 replicas"),
        ("a/1", {"sentinel": replace(SENTINEL, quorum=3)}, "has quorum 3, not 2"),
        ("a/1", {"sentinel": replace(SENTINEL, flags="master,s_down")}, "primary for down"),
        (
            "a/1",
            {"sentinel": replace(SENTINEL, flags="master,failover_in_progress")},
            "is failing over",
        ),
        ("a/1", {"sentinel": replace(SENTINEL, down=("h2:6379",))}, "takes for down: h2:6379"),
        ("a/1", {"sentinel": replace(SENTINEL, checked="NOQUORUM 1")}, "says NOQUORUM 1"),
    ],
)
def test_one_wrong_thing_is_one_problem(unit: str, change: dict[str, Any], text: str):
    found = topology.problems({**RIGHT, unit: replace(RIGHT[unit], **change)}, 3)
    assert any(text in problem for problem in found), found


def test_a_missing_unit_is_a_problem():
    assert "2 of 3 units are there" in topology.problems(
        {unit: view for unit, view in RIGHT.items() if unit != "a/2"}, 3
    )


def acknowledgements(*ends_s: float) -> list[Write]:
    return [Write(i + 1, end - 0.001, end, "h0") for i, end in enumerate(ends_s)]


def test_gaps_count_from_the_first_and_to_the_last_moment():
    writes = acknowledgements(0.5, 1.0, 1.1, 3.1)
    assert checker.gaps(writes, 1.0, 4.0, at_least_s=0.5) == [Gap(1.1, 3.1), Gap(3.1, 4.0)]
    assert checker.longest_gap_s(writes, 1.0, 4.0) == 2.0
    assert checker.longest_gap_s([], 1.0, 4.0) == 3.0


def test_an_error_does_not_end_a_gap():
    failed = Write(9, 1.4, 1.5, "h0", "TimeoutError: Timeout")
    assert checker.longest_gap_s([*acknowledgements(1.0, 2.0), failed], 1.0, 2.0) == 1.0


def test_a_number_that_was_never_tried_or_came_twice_is_found():
    writes = acknowledgements(1.0, 2.0)
    assert checker.never_written(writes, [1, 2, 2, 5]) == [2, 5]
    assert checker.never_written(writes, [1, 2]) == []


def test_the_rate_is_counted_in_buckets():
    rates = checker.per_second(acknowledgements(0.1, 0.2, 1.1), 0.0, 2.0, 1.0)
    assert rates == [(0.5, 2.0), (1.5, 1.0)]


def test_a_half_written_record_is_read_when_it_is_whole(tmp_path: Path):
    log = WriteLog(tmp_path / "writes")
    line = Write(1, 0.0, 1.0, "h0").to_json()
    (tmp_path / "writes").write_text(f"{line}\n{line[:9]}")
    assert len(log.read()) == 1
    (tmp_path / "writes").write_text(f"{line}\n{line}\n")
    assert [json.loads(write.to_json())["number"] for write in log.read()] == [1, 1]
