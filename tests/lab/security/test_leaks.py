# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Nothing secret is where it does not belong, and no port lets a stranger in."""

from __future__ import annotations

import pytest

from tests.lab.cluster import APP
from tests.lab.security.checks import metrics, refused, secret
from tests.lab.security.secured import Secured
from tests.lab.security.stranger import (
    answers,
    inside,
    leaks,
    not_refused,
    strangers_python,
    unexpected_ports,
    values,
)


def test_nothing_secret_lies_about(trio: Secured):
    before = values(trio)
    assert len(before) > 6
    checked = trio.model.run(trio.leader(), "check-service")
    rotated = trio.model.run(trio.leader(), "rotate-passwords", {"user": "replication"})
    assert rotated.status == "completed"
    trio.until(lambda: [] if secret(trio)["serial"] == "4" else ["it rotates"])
    results = {"check-service": repr(checked), "rotate-passwords": repr(rotated)}
    assert leaks(trio, before | values(trio), **results) == []
    trio.settle()
    assert refused(trio) == []


def test_the_search_finds_what_is_there(trio: Secured):
    unit = next(iter(trio.units()))
    trio.model.exec(unit, "redis", ["sh", "-c", "echo planted-value >/tmp/p; chmod 644 /tmp/p"])
    found = inside(trio, unit, "redis", {"planted": "planted-value"})
    assert found == ["planted in /tmp/p"]
    trio.model.exec(unit, "redis", ["rm", "/tmp/p"])


@pytest.mark.timeout(400)
def test_no_port_lets_a_stranger_in(trio: Secured):
    assert unexpected_ports(trio) == []
    assert not_refused(answers(trio, authority=None)) == []


def test_the_exporter_gives_its_password_to_nobody(trio: Secured):
    """Whoever asks it to scrape another address must not get its login there."""
    program = r"""
import json, socket, sys, threading, urllib.request
address = json.load(sys.stdin)
trap = socket.create_server(("0.0.0.0", 0))
got = []
def take():
    client, _ = trap.accept()
    client.settimeout(2)
    try:
        got.append(client.recv(4096).decode(errors="replace"))
    except OSError:
        pass
    client.close()
thread = threading.Thread(target=take)
thread.start()
with socket.create_connection((address, 9121)) as s:
    own = s.getsockname()[0]
url = f"http://{address}:9121/scrape?target=redis://exporter@{own}:{trap.getsockname()[1]}"
try:
    urllib.request.urlopen(url, timeout=5).read()
except OSError:
    pass
thread.join(10)
print(json.dumps(got))
"""
    name, unit = next(iter(trio.units().items()))
    got = strangers_python(trio, program, unit["address"])
    assert isinstance(got, list)
    assert not [text for text in got if secret(trio)["exporter-password"] in text], got
    assert metrics(trio, name, "plain") == []


@pytest.mark.long
@pytest.mark.timeout(400)
def test_no_user_lacks_a_right_in_the_life_of_an_application(trio: Secured):
    """A right that lacks leaves an entry in ACL LOG, for as long as that process runs."""

    def settled(units: int) -> None:
        trio.settle(units, tick=True)
        assert refused(trio) == []

    trio.model.add_unit(APP)
    settled(4)
    moved = trio.model.run(trio.leader(), "switchover")
    assert moved.status == "completed", moved
    settled(4)
    trio.model.kill_process(trio.primary(), "redis", "redis-server")
    settled(4)
    trio.model.kill_pod(trio.primary(), hold_s=3)
    settled(4)
    for unit in trio.units():
        # As for a backup.
        trio.ask(unit, "redis", "BGREWRITEAOF", "BGSAVE SCHEDULE", "LASTSAVE")
        trio.ask(unit, "redis", "CLIENT KILL TYPE master")
        assert metrics(trio, unit, "plain") == []
    settled(4)
    trio.model.remove_unit(APP)
    settled(3)
