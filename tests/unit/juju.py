# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What Juju and Pebble know of an application, around ``ops.testing``.

One ``Context`` a unit. What a hook leaves behind (databags, the secret, services) is what the next
one finds; Redis and Sentinel are those of the in-memory cluster.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ops import hookcmds, testing

import charm
import constants as c
from engine import hands
from engine.world import File
from model import peers
from pod import image, ports, workload
from tests.fakes import Cluster

APP = "redis-k8s"
MODEL = "demo"
DOWN_AFTER_MS = 1200
PASSWORDS = {
    "redis-password": "admin-pw",
    "sentinel-password": "sentinel-admin-pw",
    "operator-password": "operator-pw",
    "replication-password": "replication-pw",
    "watcher-password": "watcher-pw",
    "peers-password": "peers-pw",
    "exporter-password": "exporter-pw",
}
PROGRAMS = ("redis-server", "redis-cli", *image.TOOLS)


def image_of(*programs: str, user: str = "redis") -> set[testing.Exec]:
    """Return what an image with some programs and a user answers to the charm's commands."""
    lines = [f"program {name}" for name in programs]
    lines += ["user root 0", "group root 0", f"user {user} 101", f"group {user} 101"]
    found = "\n".join(lines) + "\n"
    return {testing.Exec(["chown"]), testing.Exec(list(image.COMMAND), stdout=found)}


def host(number: int) -> str:
    return f"{APP}-{number}.{APP}-endpoints.{MODEL}.svc.cluster.local"


@dataclass
class Related:
    """A relation with an application that uses Redis."""

    app: str
    units: dict[int, dict[str, str]]
    """What its units say."""
    told: dict[str, str] = field(default_factory=dict)
    said: dict[int, dict[str, str]] = field(default_factory=dict)
    """By the number of a unit of ours."""
    asks: dict[str, str] | None = None
    """What its application asks for by ``valkey-client``; None: it is related by ``redis``."""

    @property
    def endpoint(self) -> str:
        return c.CLIENT_RELATION if self.asks is None else c.TENANT_RELATION


class Juju:
    """An application, from its first hook on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int):
        self.size = size
        self.leader = 0
        self.dying: set[int] = set()
        self.gone: set[int] = set()
        self.app_data: dict[str, str] = {}
        self.unit_data: dict[int, dict[str, str]] = {n: {} for n in range(size)}
        self.secret: testing.Secret | None = None
        self.client_secrets: tuple[testing.Secret, ...] = ()
        """What clients were given, by relation."""
        self.related: dict[int, Related] = {}
        self.remembers = False
        """Units keep from one hook to the next what is lost with their pods."""
        self._remembered: dict[int, Any] = {}
        self.config: dict[str, Any] = {}
        self.containers: dict[tuple[int, str], testing.Container] = {}
        self.cluster = Cluster([host(n) for n in range(size)], APP, down_after_ms=DOWN_AFTER_MS)
        self.cluster.install(monkeypatch)
        self.listening: dict[int, frozenset[str]] = {}
        self._directory = tmp_path
        self._contexts: dict[int, testing.Context[Any]] = {}
        self._number = 0
        for number in range(size):
            self.cluster.add(host(number))
        # Where the tests themselves run in a pod.
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setattr(hands, "time", self.cluster)
        monkeypatch.setattr(peers, "_RESOLV_CONF", tmp_path / "resolv.conf")
        (tmp_path / "resolv.conf").write_text(f"search {MODEL}.svc.cluster.local cluster.local\n")
        monkeypatch.setattr(ports, "listening", self._listening)
        monkeypatch.setattr(workload.Workload, "_write_as_user", lambda _, file: self._write(file))
        monkeypatch.setattr(workload.Workload, "sentinel_conf", lambda _: self._sentinel_conf())
        # ops.testing knows no goal-state.
        monkeypatch.setattr(hookcmds, "goal_state", self._goal_state)
        monkeypatch.setattr(workload.Workload, "start", self._on_start(workload.Workload.start))
        monkeypatch.setattr(workload.Workload, "stop", self._on_stop(workload.Workload.stop))

    def set_container(self, number: int, name: str, **changes: Any) -> None:
        self.containers[number, name] = replace(self.container(number, name), **changes)

    def form(self) -> Juju:
        """Put the application at rest, as if it had been there for long."""
        self.cluster.form()
        self.cluster.eventually(self.cluster.is_at_rest, "at rest")
        self.app_data = {
            "leader-host": host(0),
            "initialised": "true",
            "units": " ".join(host(n) for n in range(self.size)),
        }
        self.secret = testing.Secret(dict(PASSWORDS), label="credentials", owner="app")
        self.cluster.asker = None
        for number in range(self.size):
            self.update_status(number)
            self.update_status(number)
        return self

    # Events

    def update_status(self, number: int) -> testing.State:
        return self.run(number, lambda on, _: on.update_status())

    def begin(self, number: int) -> testing.State:
        """Run the first hook of a unit that the charm does not sleep through."""
        leads = number == self.leader
        return self.run(
            number, lambda on, _: on.leader_elected() if leads else on.config_changed()
        )

    def changed(self, number: int, by: int) -> testing.State:
        def event(on: Any, state: testing.State) -> Any:
            return on.relation_changed(self.peers(state), remote_unit=by)

        return self.run(number, event)

    def departed(self, number: int, who: int) -> testing.State:
        # A unit that leaves sees each of its peers depart, and itself as the one that does.
        seen = who if who != number else next(n for n in range(self.size) if n != number)

        def event(on: Any, state: testing.State) -> Any:
            return on.relation_departed(self.peers(state), remote_unit=seen, departing_unit=who)

        return self.run(number, event)

    def client(self, number: int, kind: str, relation_id: int, **more: Any) -> testing.State:
        """Run a hook of a relation with an application that uses Redis."""

        def event(on: Any, state: testing.State) -> Any:
            relation = state.get_relation(relation_id)
            return getattr(on, f"relation_{kind}")(relation, **more)

        return self.run(number, event)

    def stop(self, number: int) -> testing.State:
        return self.run(number, lambda on, _: on.stop())

    def action(self, number: int, name: str, **params: Any) -> dict[str, Any]:
        """Run an action and return its results; raises testing.ActionFailed."""
        self.run(number, lambda on, _: on.action(name, params=params))
        return self.context(number).action_results or {}

    def run(
        self, number: int, event: Callable[[Any, testing.State], Any], **changes: Any
    ) -> testing.State:
        """Run one hook and keep what it leaves behind."""
        context, state = self.context(number), self.state(number, **changes)
        self._number = number
        self.cluster.asker = host(number)
        after = context.run(event(context.on, state), state)
        self.cluster.asker = None
        self._keep(number, after)
        return after

    # Juju's side

    def context(self, number: int) -> testing.Context[Any]:
        if number not in self._contexts:
            self._contexts[number] = testing.Context(
                charm.RedisK8sCharm, app_name=APP, unit_id=number
            )
        return self._contexts[number]

    def state(self, number: int, **changes: Any) -> testing.State:
        others = {n: self.unit_data[n] for n in range(self.size) if n not in {number, *self.gone}}
        relation = testing.PeerRelation(
            c.PEER_RELATION,
            id=1,
            local_app_data=self.app_data,
            local_unit_data=self.unit_data[number],
            peers_data=others,  # type: ignore[arg-type]
        )
        whole: dict[str, Any] = {
            "leader": number == self.leader,
            "planned_units": self.size - len(self.gone | self.dying),
            "model": testing.Model(name=MODEL),
            "relations": {relation, *self._clients(number)},
            "containers": {self.container(number, name) for name in (c.REDIS, c.SENTINEL)},
            "storages": {testing.Storage(c.STORAGE, index=0)},
            "secrets": {*([self.secret] if self.secret else ()), *self.client_secrets},
            "config": self.config,
            "stored_states": self._remembered.get(number, frozenset()),
        }
        return testing.State(**{**whole, **changes})

    def _clients(self, number: int) -> list[testing.Relation]:
        return [
            testing.Relation(
                each.endpoint,
                id=relation_id,
                remote_app_name=each.app,
                remote_app_data=dict(each.asks or {}),
                remote_units_data=dict(each.units),  # type: ignore[arg-type]
                local_app_data=dict(each.told),
                local_unit_data=dict(each.said.get(number, {})),
            )
            for relation_id, each in self.related.items()
        ]

    def container(self, number: int, name: str) -> testing.Container:
        if (number, name) not in self.containers:
            mounts = {}
            for label, location, whose in (
                ("etc", c.CONFIG_DIR, name),
                ("data", c.STORAGE_DIR, "both"),
            ):
                source = self._directory / str(number) / whose / label
                source.mkdir(parents=True, exist_ok=True)
                mounts[label] = testing.Mount(location=location, source=source)
            fresh = testing.Container(
                name, can_connect=True, execs=image_of(*PROGRAMS), mounts=mounts
            )
            self.containers[number, name] = fresh
        return self.containers[number, name]

    @staticmethod
    def peers(state: testing.State) -> Any:
        (relation,) = state.get_relations(c.PEER_RELATION)
        return relation

    def _keep(self, number: int, after: testing.State) -> None:
        relations = after.get_relations(c.PEER_RELATION)
        if relations:
            self.unit_data[number] = dict(relations[0].local_unit_data)
            if number == self.leader:
                self.app_data = dict(relations[0].local_app_data)
        if number == self.leader:
            found = {secret.label: secret for secret in after.secrets}
            self.secret = found.pop(c.SECRET_LABEL, None)
            self.client_secrets = tuple(found.values())
        if self.remembers:
            self._remembered[number] = after.stored_states
        clients = after.get_relations(c.CLIENT_RELATION)
        for relation in (*clients, *after.get_relations(c.TENANT_RELATION)):
            each = self.related[relation.id]
            each.said[number] = dict(relation.local_unit_data)
            if number == self.leader:
                each.told = dict(relation.local_app_data)
        for name in (c.REDIS, c.SENTINEL):
            self.containers[number, name] = after.get_container(name)

    def _goal_state(self) -> hookcmds.GoalState:
        now = datetime.datetime.now(datetime.timezone.utc)
        units = {
            f"{APP}/{n}": hookcmds.Goal(status="dying" if n in self.dying else "active", since=now)
            for n in range(self.size)
            if n not in self.gone
        }
        return hookcmds.GoalState(units=units, relations={})

    # Pebble's side

    def _listening(self, wanted: frozenset[int]) -> dict[int, frozenset[str]]:
        return {port: inodes for port, inodes in self.listening.items() if port in wanted}

    # ops.testing runs no program, so what a process of the container's user would do is done here.

    def _write(self, file: File) -> None:
        path = self.path(self._number, c.SENTINEL, file.path)
        if file.path == c.BIRTH_PERMIT:
            path = self.path(self._number, c.REDIS, file.path)
        path.parent.mkdir(exist_ok=True)
        path.write_text(file.text)

    def _sentinel_conf(self) -> str:
        return self.file(self._number, c.SENTINEL, c.SENTINEL_CONF)

    def _on_start(self, start: Callable[..., None]) -> Callable[..., None]:
        def started(which: workload.Workload, service: str) -> None:
            start(which, service)
            # In the cluster all have one password, which is the one in the files.
            env = self.file(self._number, which.name, c.CLUSTER_ENV).splitlines()
            self.cluster.password = next(
                line.split("=")[1] for line in env if line.startswith("OPERATOR_PASSWORD=")
            )
            if service == c.SENTINEL:
                conf = self.file(self._number, c.SENTINEL, c.SENTINEL_CONF).split("\n")
                words = next(line.split() for line in conf if "sentinel monitor" in line)
                self.cluster.start_sentinel(host(self._number), words[3], int(words[5]))
            elif service == c.REDIS:
                node = self.cluster.redises[host(self._number)]
                permit = self.path(self._number, c.REDIS, c.BIRTH_PERMIT)
                node.may_start_empty = permit.exists()
                node.peers = tuple(
                    host(n) for n in range(self.size) if n not in self.dying | self.gone
                )
                self.cluster.start_redis(host(self._number))

        return started

    def _on_stop(self, stop: Callable[..., None]) -> Callable[..., None]:
        def stopped(which: workload.Workload, *services: str) -> None:
            stop(which, *services)
            self.cluster.kill(host(self._number), *services)

        return stopped

    def path(self, number: int, container: str, path: str) -> Path:
        """Return where a file of a container lies."""
        for mount in self.container(number, container).mounts.values():
            if path.startswith(str(mount.location)):
                return Path(mount.source) / Path(path).relative_to(str(mount.location))
        raise ValueError(path)

    def file(self, number: int, container: str, path: str) -> str:
        return self.path(number, container, path).read_text()

    def services(self, number: int, container: str) -> set[str]:
        statuses = self.container(number, container).service_statuses
        return {name for name, status in statuses.items() if status.value == "active"}
