# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Nothing secret is where it does not belong, and no port lets a stranger in."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.lab.cluster import APP
from tests.lab.security.checks import refused, secret
from tests.lab.security.secured import Secured

KEPT = {"seal", "serial", "next", "previous"}
OPEN = {6379, 26379, 9121}
PYTHON = "/usr/bin/python3"
"""In the containers, which do not see the environment of the tests."""
SEARCH = r"""
import json, os, stat, sys
values = json.load(sys.stdin)
found = []
def look(where, data):
    for name, value in values.items():
        if value.encode() in data:
            found.append(f"{name} in {where}")
for pid in filter(str.isdigit, os.listdir("/proc")):
    for part in ("cmdline", "environ"):
        try:
            with open(f"/proc/{pid}/{part}", "rb") as file:
                look(f"{part} of {pid}", file.read())
        except OSError:
            pass
for top in ("/etc", "/var/lib/redis", "/tmp", "/run", "/var/log", "/charm"):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
                    with open(path, "rb") as file:
                        look(path, file.read())
            except OSError:
                pass
print(json.dumps(found))
"""
"""Runs in a container: arguments and environments of processes, and files that others can read."""
SCAN = r"""
import json, socket, sys
found = {}
for host in json.load(sys.stdin):
    for port in range(1, 65536):
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex((host, port)) == 0:
                found.setdefault(host, []).append(port)
print(json.dumps(found))
"""
STRANGER = r"""
import json, socket, sys
asked = json.load(sys.stdin)
replies = []
for host, port, lines in asked:
    with socket.create_connection((host, port), 2) as client:
        client.settimeout(2)
        client.sendall("".join(f"{line}\r\n" for line in lines).encode())
        data = b""
        try:
            while data.count(b"\r\n") < len(lines):
                chunk = client.recv(4096)
                if not chunk:
                    break
                data += chunk
        except OSError:
            pass
        replies.append(data.decode(errors="replace"))
print(json.dumps(replies))
"""


def values(cluster: Secured) -> dict[str, str]:
    """Return every secret value by its key; numbers and empty lists are none."""
    content = secret(cluster)
    return {key: value for key, value in content.items() if key not in KEPT - {"seal"}}


def strangers_python(cluster: Secured, program: str, given: object) -> object:
    """Run a program on the model's network, as any other pod could, and return what it prints."""
    process = cluster.model.spawn(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    out, _ = process.communicate(json.dumps(given), timeout=120)
    assert process.returncode == 0
    return json.loads(out)


def holders(wanted: dict[str, str], texts: dict[str, str]) -> list[str]:
    return [f"{n} in {w}" for w, text in texts.items() for n, v in wanted.items() if v in text]


def test_nothing_secret_lies_about(trio: Secured):
    model, wanted = trio.model, values(trio)
    assert len(wanted) > 6
    checked = model.run(trio.leader(), "check-service")
    rotated = model.run(trio.leader(), "rotate-passwords", {"user": "replication"})
    assert rotated.status == "completed"
    trio.until(lambda: [] if secret(trio)["serial"] == "4" else ["it rotates"])
    wanted |= {f"new {key}": value for key, value in values(trio).items()}
    texts = {
        "databags": json.dumps(model.databags(APP)),
        "log": "\n".join(model.log()),
        "status": json.dumps(model.status()),
        "check-service": repr(checked),
        "rotate-passwords": repr(rotated),
    }
    for unit in trio.units():
        for container in ("redis", "sentinel"):
            for command in (["plan"], ["changes"], ["logs", "-n", "all"], ["notices"]):
                done = model.exec(unit, container, ["/charm/bin/pebble", *command])
                assert done.returncode == 0, done
                texts[f"pebble {command[0]} of {container} of {unit}"] = done.stdout
    assert holders(wanted, texts) == []
    for unit in trio.units():
        for container in ("redis", "sentinel"):
            command = [PYTHON, "-c", SEARCH]
            done = model.exec(unit, container, command, stdin=json.dumps(wanted))
            assert json.loads(done.stdout) == [], (unit, container)
    trio.settle()
    assert refused(trio) == []


def test_the_search_finds_what_is_there(trio: Secured):
    unit = next(iter(trio.units()))
    given = json.dumps({"planted": "planted-value"})
    trio.model.exec(unit, "redis", ["sh", "-c", "echo planted-value >/tmp/p; chmod 644 /tmp/p"])
    done = trio.model.exec(unit, "redis", [PYTHON, "-c", SEARCH], stdin=given)
    assert json.loads(done.stdout) == ["planted in /tmp/p"]
    trio.model.exec(unit, "redis", ["rm", "/tmp/p"])


@pytest.mark.timeout(400)
def test_no_port_lets_a_stranger_in(trio: Secured):
    addresses = [unit["address"] for unit in trio.units().values()]
    found = strangers_python(trio, SCAN, addresses)
    assert isinstance(found, dict)
    health = {port for ports in found.values() for port in ports} - OPEN
    # Pebble's own, one for each container, which tell whether the container is healthy.
    assert all(port in range(38811, 38815) for port in health), found
    asked = [
        [address, port, lines]
        for address in addresses
        for port in (6379, 26379)
        for lines in (
            ["PING"],
            ["GET x"],
            ["CONFIG GET requirepass"],
            ["SENTINEL masters"],
            ["ACL LIST"],
            ["AUTH default wrong-password", "PING"],
            ["AUTH operator operator", "PING"],
            ["HELLO 3", "PING"],
        )
    ]
    replies = strangers_python(trio, STRANGER, asked)
    assert isinstance(replies, list)
    for question, reply in zip(asked, replies, strict=True):
        lines = reply.split("\r\n")[:-1]
        assert lines, (question, reply)
        assert all(
            line.startswith(("-NOAUTH", "-WRONGPASS", "-ERR unknown command")) for line in lines
        ), (question, reply)
    for unit in trio.units():
        for kind in ("redis", "sentinel"):
            trio.ask(unit, kind, "ACL LOG RESET")


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
    unit = next(iter(trio.units().values()))
    got = strangers_python(trio, program, unit["address"])
    assert isinstance(got, list)
    assert not [text for text in got if secret(trio)["exporter-password"] in text], got
    metrics = trio.model.exec(
        next(iter(trio.units())),
        "redis",
        [
            PYTHON,
            "-c",
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9121/metrics').read().decode())",
        ],
    ).stdout
    assert "redis_up 1" in metrics
