#!/usr/bin/env python3
# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What users have before they refresh: passwords in the databag and on command lines.

Redis keeps its append-only file on the volume; Sentinel keeps nothing that outlives its pod.
"""

import secrets
import socket

import ops

PASSWORDS = ("redis-password", "sentinel-password")


class EarlierCharm(ops.CharmBase):
    """Does the same in every event."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        for event in (
            self.on.leader_elected,
            self.on.config_changed,
            self.on.redis_pebble_ready,
            self.on.sentinel_pebble_ready,
            self.on["redis-peers"].relation_changed,
        ):
            framework.observe(event, self._on_event)

    def _on_event(self, _: ops.EventBase) -> None:
        relation = self.model.get_relation("redis-peers")
        if relation is None:
            return
        bag = relation.data[self.app]
        if self.unit.is_leader() and not bag.get("leader-host"):
            bag.update({name: secrets.token_hex(16) for name in PASSWORDS})
            bag.update({"leader-host": socket.getfqdn(), "enable-password": "true"})
        if not bag.get("leader-host"):
            return
        primary, password = bag["leader-host"], bag["redis-password"]
        host = socket.getfqdn()
        redis = (
            f"redis-server --requirepass {password} --masterauth {password} --bind 0.0.0.0 "
            f"--replica-announce-ip {host} --appendonly yes --dir /var/lib/redis/"
        )
        if host != primary:
            redis += f" --replicaof {primary} 6379"
        container = self.unit.get_container("redis")
        if container.can_connect():
            container.exec(["chown", "redis:redis", "/var/lib/redis"]).wait()
        self._run("redis", redis)
        sentinel = self.unit.get_container("sentinel")
        if sentinel.can_connect() and not sentinel.exists("/tmp/sentinel.conf"):
            lines = (
                "port 26379",
                "sentinel resolve-hostnames yes",
                "sentinel announce-hostnames yes",
                f"sentinel announce-ip {host}",
                f"sentinel monitor {self.app.name} {primary} 6379 2",
                f"sentinel auth-pass {self.app.name} {password}",
                f"requirepass {bag['sentinel-password']}",
            )
            sentinel.push("/tmp/sentinel.conf", "\n".join(lines) + "\n", user="redis")
        self._run("sentinel", "redis-server /tmp/sentinel.conf --sentinel")
        self.unit.status = ops.ActiveStatus()

    def _run(self, name: str, command: str) -> None:
        container = self.unit.get_container(name)
        if container.can_connect():
            service: ops.pebble.ServiceDict = {
                "override": "replace",
                "command": command,
                "user": "redis",
                "startup": "enabled",
            }
            layer: ops.pebble.LayerDict = {"services": {name: service}}
            container.add_layer(name, layer, combine=True)
            container.replan()


if __name__ == "__main__":
    ops.main(EarlierCharm)
