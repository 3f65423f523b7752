#!/usr/bin/env python3
# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A stand-in for the charm of today: the same in each hook, in words of its own. See README.md."""

import logging
import secrets
import socket
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import observability
from jinja2 import Template
from ops.charm import ActionEvent, CharmBase, RelationChangedEvent, RelationDepartedEvent
from ops.framework import EventBase
from ops.main import main
from ops.model import (
    ActiveStatus,
    BlockedStatus,
    Container,
    ModelError,
    Relation,
    WaitingStatus,
)
from ops.pebble import Layer
from redis import ConnectionError, Redis, ResponseError, TimeoutError
from redis.exceptions import RedisError
from tenacity import before_log, retry, stop_after_attempt, wait_fixed

PEERS, CLIENTS = "redis-peers", "redis"
REDIS_PORT, SENTINEL_PORT = 6379, 26379
CERTIFICATES = ("cert-file", "key-file", "ca-cert-file")
DATA, LOGS = "/var/lib/redis", "/var/log/redis"
CONFIG = "/etc/redis-server"
USER = {"user": "redis", "group": "redis"}

logger = logging.getLogger(__name__)


class RedisK8sCharm(CharmBase):
    """Handles each event by a handler of its own."""

    def __init__(self, *args):
        super().__init__(*args)
        observability.Metrics(self)
        observability.Dashboards(self)
        observability.Logs(self)
        peers = self.on[PEERS]
        for event, handler in (
            (self.on.sentinel_pebble_ready, self._on_sentinel_ready),
            (self.on.redis_pebble_ready, self._on_redis_ready),
            (self.on.leader_elected, self._on_elected),
            (self.on.config_changed, self._on_config),
            (self.on.upgrade_charm, self._on_upgrade),
            (self.on.update_status, self._on_update_status),
            (self.on[CLIENTS].relation_created, self._on_client),
            (self.on[CLIENTS].relation_changed, self._on_client_changed),
            (peers.relation_changed, self._on_peers_changed),
            (peers.relation_departed, self._on_peers_departed),
            (self.on.check_service_action, self._on_check_service),
            (self.on.get_initial_admin_password_action, self._on_redis_password),
            (self.on.get_sentinel_password_action, self._on_sentinel_password),
        ):
            self.framework.observe(event, handler)

    # Events.

    def _on_redis_ready(self, event: EventBase) -> None:
        self._store_certificates()
        self._run_redis()
        if not isinstance(self.unit.status, ActiveStatus):
            event.defer()
            return
        self._tell_clients()

    def _on_sentinel_ready(self, event: EventBase) -> None:
        self._run_sentinel()
        if not isinstance(self.unit.status, ActiveStatus):
            event.defer()

    def _on_config(self, event: EventBase) -> None:
        if self.config["enable-tls"] and None in self._certificates():
            self.unit.status = BlockedStatus("Not enough certificates found")
            return
        self._run_redis()
        self._run_sentinel()
        if not isinstance(self.unit.status, ActiveStatus):
            event.defer()
            return
        self._check_redis()

    def _on_elected(self, event: EventBase) -> None:
        for key in ("redis-password", "sentinel-password"):
            if not self._bag.get(key):
                logger.info("making the password %s", key)
                letters = string.ascii_letters + string.digits
                self._bag[key] = "".join(secrets.choice(letters) for _ in range(16))
        if self._primary is None:
            logger.info("the first primary is %s", self._host)
            self._bag["leader-host"] = self._host
            return
        self._record_primary()
        self._send_quorum()
        if self._is_failover_over():
            self._send(f"SENTINEL RESET {self.app.name}")
        else:
            event.defer()

    def _on_upgrade(self, event: EventBase) -> None:
        self._store_certificates()
        if not self._peers.units:
            self._bag["leader-host"] = self._host
            self._tell_clients()
            return
        host = self._host_of(next(iter(self._peers.units)).name)
        if not self._is_failover_over(host):
            event.defer()
        elif self.unit.is_leader():
            self._record_primary(host)
        elif self.model.relations[CLIENTS]:
            self._peers.data[self.unit]["upgrading"] = "true"

    def _on_update_status(self, _: EventBase) -> None:
        logger.info("update-status begins")
        if self.unit.is_leader():
            self._record_primary()
        self._check_redis()

    def _on_peers_changed(self, event: RelationChangedEvent) -> None:
        if not self._is_record_right():
            logger.error("%s has another primary than the record", self.unit.name)
            if not self._is_failover_over():
                logger.info("the failover is not over yet")
                event.defer()
                return
            if self.unit.is_leader():
                self._record_primary()
        if self._is_open:
            self._run_redis()
        if self._tell_clients() and self._peers.data[self.unit].get("upgrading") == "true":
            self._peers.data[self.unit]["upgrading"] = ""
        if not (self.unit.is_leader() and event.unit):
            return
        if not self._has_majority():
            self.unit.status = WaitingStatus("Waiting for majority")
            event.defer()
            return
        self._send_quorum()
        self.unit.status = ActiveStatus()

    def _on_peers_departed(self, event: RelationDepartedEvent) -> None:
        if not self.unit.is_leader():
            return
        if not self._is_record_right():
            self._record_primary()
        self._send_quorum()
        if not self._is_failover_over():
            # It compares the status here, and does not set it.
            event.defer()
            return
        leaving = event.departing_unit
        try:
            if leaving is not None and self._host_of(leaving.name) == self._primary:
                with self._sentinel() as sentinel:
                    sentinel.execute_command(f"SENTINEL FAILOVER {self.app.name}")
        except RedisError as e:
            logger.error("no failover: %s", e)
            return
        self._send(f"SENTINEL RESET {self.app.name}")
        self.unit.status = ActiveStatus()

    def _on_client(self, event: EventBase) -> None:
        logger.warning("the interface redis is a legacy")
        if not self.unit.is_leader():
            return
        self._bag["enable-password"] = "false"
        self._run_redis()
        if not isinstance(self.unit.status, ActiveStatus):
            event.defer()

    def _on_client_changed(self, event: RelationChangedEvent) -> None:
        event.relation.data[self.unit]["hostname"] = socket.gethostbyname(self._primary or "")
        event.relation.data[self.unit]["port"] = str(REDIS_PORT)

    def _on_check_service(self, event: ActionEvent) -> None:
        logger.info("check-service begins")
        serves = self._check_redis()
        event.set_results({"result": f"Service is {'' if serves else 'not '}running"})

    def _on_redis_password(self, event: ActionEvent) -> None:
        event.set_results({"redis-password": self._password})

    def _on_sentinel_password(self, event: ActionEvent) -> None:
        event.set_results({"sentinel-password": self._bag.get("sentinel-password")})

    # The peer relation.

    @property
    def _peers(self) -> Relation:
        found = self.model.get_relation(PEERS)
        assert found is not None
        return found

    @property
    def _bag(self):
        return self._peers.data[self.app]

    @property
    def _is_open(self) -> bool:
        """Whether a client relation has turned passwords off, for good."""
        return self._bag.get("enable-password", "true") == "false"

    @property
    def _password(self) -> str | None:
        return None if self._is_open else self._bag.get("redis-password")

    @property
    def _primary(self) -> str | None:
        return self._bag.get("leader-host")

    @property
    def _host(self) -> str:
        return socket.getfqdn()

    def _host_of(self, unit: str) -> str:
        app, number = self.app.name, unit.split("/")[1]
        return f"{app}-{number}.{app}-endpoints.{self.model.name}.svc.cluster.local"

    def _tell_clients(self) -> bool:
        """Write this unit's address into the client relations; return whether there are any."""
        relations = self.model.relations[CLIENTS]
        for relation in relations:
            relation.data[self.unit]["hostname"] = socket.gethostbyname(self._host)
        return bool(relations)

    def _is_ready(self) -> bool:
        return bool((self._is_open or self._password) and self._primary)

    # Pebble.

    def _run_redis(self) -> None:
        container = self.unit.get_container("redis")
        if not container.can_connect():
            self.unit.status = WaitingStatus("Waiting for Pebble in workload container")
            return
        self._make_directories(container, LOGS, DATA)
        if not self._is_ready():
            self.unit.status = WaitingStatus("Waiting for peer data to be updated")
            return
        layer = self._redis_layer()
        if container.get_plan().services != layer.services:
            container.add_layer("redis", layer, combine=True)
            logger.info("the layer of redis has changed")
            container.restart("redis", "redis_exporter")
            logger.info("restarted redis and its exporter")
        self.unit.status = ActiveStatus()

    def _run_sentinel(self) -> None:
        container = self.unit.get_container("sentinel")
        if not container.can_connect():
            self.unit.status = WaitingStatus("Waiting for Pebble in sentinel container")
            return
        if not self._is_ready():
            self.unit.status = WaitingStatus("Databag has not been populated")
            return
        template = Template(Path("templates/sentinel.conf.j2").read_text())
        text = template.render(
            port=SENTINEL_PORT,
            host=self._host,
            name=self.app.name,
            primary=self._primary,
            redis_port=REDIS_PORT,
            quorum=self._quorum,
            password=self._password,
            sentinel_password=self._bag.get("sentinel-password"),
        )
        self._make_directories(container, CONFIG)
        container.push(f"{CONFIG}/sentinel.conf", text, permissions=0o660, **USER)
        command = f"redis-server {CONFIG}/sentinel.conf --sentinel"
        layer = Layer({"services": {"sentinel": _service("Sentinel", command)}})
        container.add_layer("sentinel", layer, combine=True)
        container.replan()

    def _make_directories(self, container: Container, *paths: str) -> None:
        for path in paths:
            if not container.exists(path):
                container.make_dir(path, make_parents=True, permissions=0o770, **USER)
            elif container.list_files(path, itself=True)[0].user != "redis":
                # Of a new volume, where the cluster's provisioner lets only root write.
                container.exec(["chown", "redis:redis", path]).wait()

    def _redis_layer(self) -> Layer:
        flags = [
            "--bind 0.0.0.0",
            f"--replica-announce-ip {self._host}",
            f"--logfile {LOGS}/redis-server.log",
            "--appendonly yes",
            f"--dir {DATA}/",
        ]
        if self._is_open:
            flags.append("--protected-mode no")
        else:
            flags += [f"--requirepass {self._password}", f"--masterauth {self._password}"]
        tls = self.config["enable-tls"]
        if tls:
            flags += [
                f"--tls-port {REDIS_PORT} --port 0 --tls-auth-clients optional",
                f"--tls-cert-file {DATA}/redis.crt --tls-key-file {DATA}/redis.key",
                f"--tls-ca-cert-file {DATA}/ca.crt",
            ]
        if self._primary != self._host:
            flags.append(f"--replicaof {self._primary} {REDIS_PORT}")
            if tls:
                flags.append("--tls-replication yes")
        exporter = _service("Exporter", "/bin/redis_exporter")
        exporter["environment"] = {"REDIS_PASSWORD": self._password or ""}
        redis = _service("Redis", " ".join(["redis-server", *flags]))
        return Layer({"services": {"redis": redis, "redis_exporter": exporter}})

    # TLS.

    def _certificates(self) -> list[Path | None]:
        return [self._resource(name) for name in CERTIFICATES]

    def _resource(self, name: str) -> Path | None:
        try:
            return self.model.resources.fetch(name)
        except (ModelError, NameError) as e:
            logger.info(e)
            return None

    def _store_certificates(self) -> None:
        container = self.unit.get_container("redis")
        for path in filter(None, self._certificates()):
            text = path.read_text()
            where = f"{DATA}/{path.name}"
            container.push(where, text, make_dirs=True, permissions=0o600, **USER)

    # Redis and Sentinel.

    @contextmanager
    def _redis(self) -> Iterator[Redis]:
        client = Redis(
            host="localhost",
            port=REDIS_PORT,
            password=self._password,
            ssl=self.config["enable-tls"],
            ssl_ca_certs=self._resource("ca-cert-file"),
            decode_responses=True,
            socket_timeout=1,
        )
        try:
            yield client
        finally:
            client.close()

    @contextmanager
    def _sentinel(self, host: str = "localhost") -> Iterator[Redis]:
        client = Redis(
            host=host,
            port=SENTINEL_PORT,
            password=self._bag.get("sentinel-password"),
            decode_responses=True,
            socket_timeout=1,
        )
        try:
            yield client
        finally:
            client.close()

    def _check_redis(self) -> bool:
        try:
            with self._redis() as redis:
                version = redis.info("server")["redis_version"]
        except RedisError:
            status = WaitingStatus("Waiting for Redis...")
        else:
            status = ActiveStatus()
        self.unit.status = status
        if isinstance(status, ActiveStatus):
            self.unit.set_workload_version(version)
        if self.unit.is_leader():
            self.app.status = status
        return isinstance(status, ActiveStatus)

    def _primary_info(self, host: str = "localhost") -> dict[str, str] | None:
        """Return what a Sentinel says of the primary; None if it says nothing."""
        with self._sentinel(host) as sentinel:
            try:
                words = sentinel.execute_command(f"SENTINEL MASTER {self.app.name}")
            except (ConnectionError, TimeoutError) as e:
                logger.error("no Sentinel at %s: %s", host, e)
                return None
        return dict(zip(words[::2], words[1::2], strict=True))

    def _is_record_right(self) -> bool:
        info = self._primary_info("0.0.0.0")
        return info is not None and info["ip"] == self._primary and "s_down" not in info["flags"]

    def _record_primary(self, host: str = "localhost") -> None:
        info = self._primary_info(host)
        logger.debug("the Sentinel says %s", info)
        if info is None:
            logger.warning("no Sentinel says who is primary")
            return
        logger.info("%s records %s as primary", self.unit.name, info["ip"])
        self._bag["leader-host"] = info["ip"]

    # It repeats only what raises, so never; its logs and its import are what it costs.
    @retry(
        stop=stop_after_attempt(4),
        wait=wait_fixed(15),
        reraise=True,
        before=before_log(logger, logging.DEBUG),
    )
    def _is_failover_over(self, host: str = "localhost") -> bool:
        logger.warning("is a failover under way?")
        info = self._primary_info(host)
        if info is None:
            logger.warning("no Sentinel tells")
        return info is not None and "failover_in_progress" not in info["flags"]

    def _has_majority(self) -> bool:
        with self._sentinel() as sentinel:
            try:
                answer = sentinel.execute_command(f"SENTINEL CKQUORUM {self.app.name}")
            except (ConnectionError, ResponseError) as e:
                logger.warning("no majority: %s", e)
                return False
        return answer.startswith("OK")

    @property
    def _quorum(self) -> int:
        return self.app.planned_units() // 2 + 1

    def _send_quorum(self) -> None:
        self._send(f"SENTINEL SET {self.app.name} quorum {self._quorum}")

    def _send(self, command: str) -> None:
        """Send a command to every Sentinel."""
        for host in [*(self._host_of(unit.name) for unit in self._peers.units), self._host]:
            with self._sentinel(host) as sentinel:
                try:
                    logger.debug("%s to %s", command, host)
                    sentinel.execute_command(command)
                except (ConnectionError, TimeoutError) as e:
                    logger.error("no Sentinel at %s: %s", host, e)


def _service(summary: str, command: str) -> dict[str, object]:
    return {
        "override": "replace",
        "summary": summary,
        "command": command,
        "startup": "enabled",
        **USER,
    }


if __name__ == "__main__":
    main(RedisK8sCharm)
