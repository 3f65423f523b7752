#!/usr/bin/env python3
# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A charm whose program writes to Redis all the time."""

import json
import time
from pathlib import Path

import ops

from charms.redis_k8s.v0.redis import RedisRelationCharmEvents, RedisRequires

HOME = "/srv/shop"
LAYER: ops.pebble.LayerDict = {
    "services": {
        "app": {
            "override": "replace",
            "command": f"python3 {HOME}/app.py {HOME}",
            "startup": "enabled",
        }
    }
}


class Shop(ops.CharmBase):
    """Gives its program the URL."""

    on = RedisRelationCharmEvents()

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self._redis = RedisRequires(self, "redis")
        self._app = self.unit.get_container("app")
        framework.observe(self.on.redis_relation_updated, self._on_updated)
        framework.observe(self.on["app"].pebble_ready, self._on_updated)

    def _on_updated(self, _: ops.EventBase) -> None:
        if not self._app.can_connect():
            return
        url = self._redis.url
        if url and url.endswith(":None"):
            # So says the library of before what it does not know yet.
            url = None
        self.unit.status = ops.ActiveStatus() if url else ops.WaitingStatus("no URL of Redis")
        ca = getattr(self._redis, "tls_ca", None)
        # What this library does not know it does not tell.
        sentinels = getattr(self._redis, "sentinels", None)
        name = getattr(self._redis, "sentinel_name", None)
        wanted = {"url": url, "ca": ca, "sentinels": sentinels, "name": name}
        path = f"{HOME}/redis.json"
        text = json.dumps({**wanted, "unit": self.unit.name})
        if self._app.exists(path) and self._app.pull(path).read() == text:
            return
        host = (url or "").rpartition("/")[2].rpartition("@")[2]
        told = {"told_s": time.monotonic(), "host": host}
        before = self._app.pull(f"{HOME}/told").read() if self._app.exists(path) else ""
        self._app.push(f"{HOME}/told", f"{before}{json.dumps(told)}\n", make_dirs=True)
        self._app.push(path, text, permissions=0o600)
        program = (Path(__file__).parent / "app.py").read_text()
        self._app.push(f"{HOME}/app.py", program)
        self._app.add_layer("shop", LAYER, combine=True)
        if url:
            self._app.restart("app")
        else:
            self._app.stop("app")


if __name__ == "__main__":
    ops.main(Shop)
