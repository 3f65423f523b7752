#!/usr/bin/env python3
# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A charm whose program writes to the keys that it has asked for."""

import json
import time
from pathlib import Path

import ops
from asks import Asks  # pyright: ignore[reportMissingImports]

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


class Tenant(ops.CharmBase):
    """Gives its program the URL."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self._app = self.unit.get_container("app")
        # Its program writes to a key with the name of the unit.
        self._asks = Asks(self, f"{self.app.name}/*")
        for event in (*self._asks.events, self.on["app"].pebble_ready):
            framework.observe(event, self._on_event)

    def ask(self, event: ops.RelationCreatedEvent) -> None:
        """Ask, where the form does so by hand."""
        if self.unit.is_leader():
            self._asks.ask(event.relation)

    def _on_event(self, _: ops.EventBase) -> None:
        if not self._app.can_connect():
            return
        answer = self._asks.answer() or {"url": None}
        url = answer["url"]
        self.unit.status = ops.ActiveStatus() if url else ops.WaitingStatus("no user yet")
        path = f"{HOME}/redis.json"
        text = json.dumps({"url": url, "ca": None, "unit": self.unit.name})
        self._app.push(f"{HOME}/answer.json", json.dumps(answer), make_dirs=True)
        if self._app.exists(path) and self._app.pull(path).read() == text:
            return
        host = (url or "").rpartition("@")[2]
        told = {"told_s": time.monotonic(), "host": host}
        before = self._app.pull(f"{HOME}/told").read() if self._app.exists(path) else ""
        self._app.push(f"{HOME}/told", f"{before}{json.dumps(told)}\n")
        self._app.push(path, text, permissions=0o600)
        program = (Path(__file__).parent / "app.py").read_text()
        self._app.push(f"{HOME}/app.py", program)
        self._app.add_layer("shop", LAYER, combine=True)
        if url:
            self._app.restart("app")
        else:
            self._app.stop("app")


if __name__ == "__main__":
    ops.main(Tenant)
