# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Who is primary, who follows, and what every Sentinel knows: asked of all of them at once.

The questions are asked on the model's network, by a process that lives as long as the `Probe`.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from redis.exceptions import RedisError, ResponseError

from trials.clients import wire

_USABLE = "OK"
# Right after a switch a Sentinel has no connection yet: a client may go on, but it is not right.
_NOT_RIGHT = (*wire.DOWN_FLAGS, "disconnected")


class Lab(Protocol):
    """What is needed of a model."""

    @property
    def name(self) -> str:
        """The name of the model."""
        ...

    def status(self) -> dict[str, Any]:
        """Everything that `lab status` shows."""
        ...

    def run(self, unit: str, action: str) -> Any:
        """Run an action; the result has ``status``, ``results`` and ``message``."""
        ...

    def spawn(self, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen:
        """Start a process on the model's network."""
        ...


@dataclass(frozen=True)
class RedisView:
    """What one Redis says of itself. ``None`` instead of it: no answer.

    Attributes:
        role: ``primary`` or ``replica``.
        primary_host: whom a replica follows; ``None`` on a primary.
        link_up: the replica is connected and in sync; ``None`` on a primary.
    """

    role: str
    primary_host: str | None = None
    link_up: bool | None = None


@dataclass(frozen=True)
class SentinelView:
    """What one Sentinel knows. ``None`` instead of it: no answer, or it watches nothing.

    Attributes:
        primary_host: whom it takes for the primary.
        quorum: how many Sentinels must agree that the primary is down.
        replicas: how many replicas it knows.
        others: how many other Sentinels it knows.
        epoch: of its configuration; the highest wins.
        flags: of the primary, as Sentinel has them.
        down: the replicas and Sentinels that it takes for down, or is not connected to.
        checked: the answer to ``SENTINEL CKQUORUM``: ``OK``, or what is missing.
    """

    primary_host: str
    quorum: int
    replicas: int
    others: int
    epoch: int
    flags: str
    down: tuple[str, ...] = ()
    checked: str = _USABLE

    @property
    def failing_over(self) -> bool:
        """Tell whether a failover is under way."""
        return "failover_in_progress" in self.flags


@dataclass(frozen=True)
class NodeView:
    """One unit: its Redis and its Sentinel, with the reasons where there is no answer."""

    host: str
    redis: RedisView | None = None
    sentinel: SentinelView | None = None
    redis_error: str = ""
    sentinel_error: str = ""


def problems(views: Mapping[str, NodeView], planned: int) -> list[str]:
    """Return what is not right with a topology, in sentences; empty when all is.

    Right is: every unit answers; exactly one Redis is primary and the others are in sync with it;
    every Sentinel knows exactly the other planned units, the quorum, the same primary, that one,
    with nobody down and no failover under way, and could fail over (``CKQUORUM``).

    Args:
        views: what each unit says, by its name.
        planned: how many units there should be.
    """
    found = []
    if len(views) != planned:
        found.append(f"{len(views)} of {planned} units are there")
    primaries = [unit for unit, v in views.items() if v.redis and v.redis.role == "primary"]
    if len(primaries) != 1:
        found.append(f"{len(primaries)} Redis say they are the primary" + _names(primaries))
    primary_host = views[primaries[0]].host if len(primaries) == 1 else None
    for unit, view in sorted(views.items()):
        found += [f"{unit}: {text}" for text in _redis_problems(view, primary_host)]
        found += [f"{unit}: {text}" for text in _sentinel_problems(view, primary_host, planned)]
    return found


def _names(units: Sequence[str]) -> str:
    return ": " + ", ".join(sorted(units)) if units else ""


def _redis_problems(view: NodeView, primary_host: str | None) -> list[str]:
    if view.redis is None:
        return [f"Redis gives no answer: {view.redis_error}"]
    if view.redis.role == "primary":
        return []
    found = []
    if primary_host and view.redis.primary_host != primary_host:
        found.append(f"Redis follows {view.redis.primary_host}")
    if not view.redis.link_up:
        found.append("Redis is not in sync")
    return found


def _sentinel_problems(view: NodeView, primary_host: str | None, planned: int) -> list[str]:
    sentinel = view.sentinel
    if sentinel is None:
        return [f"Sentinel gives no answer: {view.sentinel_error}"]
    found = []
    if primary_host and sentinel.primary_host != primary_host:
        found.append(f"its Sentinel names {sentinel.primary_host} as the primary")
    if sentinel.others != planned - 1:
        found.append(f"its Sentinel knows {sentinel.others} of {planned - 1} other Sentinels")
    if sentinel.replicas != planned - 1:
        found.append(f"its Sentinel knows {sentinel.replicas} of {planned - 1} replicas")
    if sentinel.quorum != planned // 2 + 1:
        found.append(f"its Sentinel has quorum {sentinel.quorum}, not {planned // 2 + 1}")
    if sentinel.failing_over:
        found.append("its Sentinel is failing over")
    if any(flag in sentinel.flags for flag in _NOT_RIGHT):
        found.append(f"its Sentinel takes the primary for down ({sentinel.flags})")
    if sentinel.down:
        found.append("its Sentinel takes for down" + _names(sentinel.down))
    if sentinel.checked != _USABLE:
        found.append(f"its Sentinel says {sentinel.checked}")
    return found


class Probe:
    """Looks at all units of one application; a context manager that ends its process.

    Args:
        model: where the application runs.
        app: its name; the Sentinels know the primary by it.
        access: the passwords; asked of the application's actions when absent.
    """

    def __init__(self, model: Lab, app: str, access: wire.Access | None = None):
        self._model = model
        self._app = app
        self._access = access or ask_access(model, app)
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Probe":
        """Return itself; the process starts with the first look."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def close(self) -> None:
        """End the process; fine when there is none."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def look(self) -> tuple[dict[str, NodeView], int, list[str]]:
        """Return what every unit says, how many units are planned, and what Juju is still at.

        Raises:
            RuntimeError: the process ended, or the application is not there.
        """
        application = self._model.status()["applications"].get(self._app)
        if application is None:
            raise RuntimeError(f"There is no application {self._app}")
        units = application["units"]
        leaving = sorted(name for name, unit in units.items() if unit["life"] != "alive")
        hosts = {name: unit["host"] for name, unit in units.items() if unit["life"] == "alive"}
        views = self._ask(hosts)
        return views, application["scale"], [f"{name} is still leaving" for name in leaving]

    def problems(self) -> list[str]:
        """Return what is not right now; see `problems` of this module."""
        views, planned, found = self.look()
        return found + problems(views, planned)

    def _ask(self, hosts: Mapping[str, str]) -> dict[str, NodeView]:
        if self._process is None or self._process.poll() is not None:
            self._process = self._model.spawn(
                [sys.executable, "-m", "trials.clients.topology"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[2],
            )
            self._send(self._access.to_json())
        self._send(json.dumps(hosts))
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The probe of {self._app} ended by itself")
        return {unit: _from_json(view) for unit, view in json.loads(line).items()}

    def _send(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as e:
            raise RuntimeError(f"The probe of {self._app} ended by itself") from e


def _from_json(view: dict[str, Any]) -> NodeView:
    redis_view, sentinel_view = view["redis"], view["sentinel"]
    if sentinel_view:
        sentinel_view["down"] = tuple(sentinel_view["down"])
    return NodeView(
        host=view["host"],
        redis=RedisView(**redis_view) if redis_view else None,
        sentinel=SentinelView(**sentinel_view) if sentinel_view else None,
        redis_error=view["redis_error"],
        sentinel_error=view["sentinel_error"],
    )


def ask_access(model: Lab, app: str) -> wire.Access:
    """Return how to reach an application, with the passwords that its actions tell.

    Raises:
        RuntimeError: the application has no unit, or an action failed.
    """
    application = model.status()["applications"].get(app)
    units = {} if application is None else application["units"]
    alive = {name: unit for name, unit in units.items() if unit["life"] == "alive"}
    if not alive:
        raise RuntimeError(f"There is no unit of {app}")
    unit = min(alive, key=_number)
    redis = _results(model, unit, "get-initial-admin-password", "redis-password")
    sentinel = _results(model, unit, "get-sentinel-password", "sentinel-password")
    return wire.Access(
        name=app,
        hosts=tuple(alive[name]["host"] for name in sorted(alive, key=_number)),
        redis_password=redis["redis-password"],
        sentinel_password=sentinel["sentinel-password"],
        # The charm of before has one administrator and returns no name.
        redis_user=redis.get("username", "default"),
    )


def _number(unit: str) -> int:
    return int(unit.rpartition("/")[2])


def _results(model: Lab, unit: str, action: str, key: str) -> dict[str, str]:
    result = model.run(unit, action)
    if result.status != "completed" or key not in result.results:
        raise RuntimeError(f"{action} on {unit} failed: {result.message or 'no password in it'}")
    return {name: str(text) for name, text in result.results.items()}


def columns(model: Lab, app: str) -> dict[str, dict[str, str]]:
    """Return what a table shows of every unit, by unit.

    Returns:
        For each unit: ``role`` and ``link`` of its Redis, and of its Sentinel ``primary`` (a
        unit, if it is one), ``quorum``, ``replicas`` and ``sentinels`` (the others it knows);
        ``-`` where there is no answer.

    Raises:
        RuntimeError: the application has no unit, or does not tell its passwords.
    """
    with Probe(model, app) as probe:
        views, _, _ = probe.look()
    return as_columns(views)


def as_columns(views: Mapping[str, NodeView]) -> dict[str, dict[str, str]]:
    """Return the texts of `columns` for what was seen."""
    units = {view.host: unit for unit, view in views.items()}
    table = {}
    for unit, view in views.items():
        redis_view, sentinel = view.redis, view.sentinel
        link = "-"
        if redis_view and redis_view.link_up is not None:
            link = "up" if redis_view.link_up else "down"
        table[unit] = {
            "role": redis_view.role if redis_view else "-",
            "link": link,
            "primary": units.get(sentinel.primary_host, sentinel.primary_host)
            if sentinel
            else "-",
            "quorum": str(sentinel.quorum) if sentinel else "-",
            "replicas": str(sentinel.replicas) if sentinel else "-",
            "sentinels": str(sentinel.others) if sentinel else "-",
        }
    return table


def settled(model: Lab, app: str) -> list[str]:
    """Return what is not right with the application's topology; empty when all is.

    Raises:
        RuntimeError: the application has no unit, or does not tell its passwords.
    """
    with Probe(model, app) as probe:
        return probe.problems()


class Reader:
    """Asks the nodes of one application directly; the program of a `Probe`.

    For whoever reaches them already: tests of a real deployment use it with the pods' addresses.
    """

    def __init__(self, access: wire.Access):
        self._access = access
        self._pool = ThreadPoolExecutor(32)

    def look(
        self, hosts: Mapping[str, str], addresses: Mapping[str, str] | None = None
    ) -> dict[str, NodeView]:
        """Return what every unit says.

        Args:
            hosts: by unit, the name that the Sentinels know.
            addresses: by unit, where to connect to, if that is not the name.
        """
        at = addresses or hosts
        asked = {
            unit: (
                self._pool.submit(_answer, self._redis, at[unit]),
                self._pool.submit(_answer, self._sentinel, at[unit]),
            )
            for unit in hosts
        }
        seen = {}
        for unit, (redis_answer, sentinel_answer) in asked.items():
            redis_view, redis_error = redis_answer.result()
            sentinel_view, sentinel_error = sentinel_answer.result()
            seen[unit] = NodeView(
                hosts[unit], redis_view, sentinel_view, redis_error, sentinel_error
            )
        return seen

    def _redis(self, host: str) -> RedisView:
        with wire.connect(
            host, wire.REDIS_PORT, self._access.redis_password, self._access
        ) as client:
            info: Any = client.info("replication")
        if info["role"] == "master":
            return RedisView("primary")
        in_sync = info["master_link_status"] == "up" and not info["master_sync_in_progress"]
        return RedisView("replica", str(info["master_host"]), in_sync)

    def _sentinel(self, host: str) -> SentinelView:
        name = self._access.name
        with wire.connect(
            host, wire.SENTINEL_PORT, self._access.sentinel_password, self._access
        ) as client:
            sentinel: Any = client
            primary = wire.pairs(sentinel.execute_command("SENTINEL", "MASTER", name))
            down = [
                peer["name"]
                for command in ("REPLICAS", "SENTINELS")
                for peer in map(wire.pairs, sentinel.execute_command("SENTINEL", command, name))
                if any(flag in peer["flags"] for flag in _NOT_RIGHT)
            ]
            try:
                sentinel.execute_command("SENTINEL", "CKQUORUM", name)
                checked = _USABLE
            except ResponseError as e:
                checked = str(e)
        return SentinelView(
            primary_host=primary["ip"],
            quorum=int(primary["quorum"]),
            replicas=int(primary["num-slaves"]),
            others=int(primary["num-other-sentinels"]),
            epoch=int(primary["config-epoch"]),
            flags=primary["flags"],
            down=tuple(down),
            checked=checked,
        )


def _answer(ask: Callable[[str], Any], host: str) -> tuple[Any, str]:
    # IndexError and the like are for a reply that is none of Sentinel's: a bug, and seen as one.
    try:
        return ask(host), ""
    except (RedisError, OSError) as e:
        return None, str(e) or type(e).__name__


def main() -> None:
    """Answer on standard output, one JSON object a line, for each line of hosts on input."""
    reader = Reader(wire.Access.from_mapping(wire.read_settings()))
    for line in sys.stdin:
        views = reader.look(json.loads(line))
        print(json.dumps({unit: asdict(view) for unit, view in views.items()}), flush=True)


if __name__ == "__main__":
    main()
