# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Looks for secret values where they do not belong, and asks every port as a stranger does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence

from tests.lab.cluster import APP, PORTS
from tests.lab.security.secured import Secured

OPEN = {*PORTS.values(), 9121}
HEALTH = range(38811, 38815)
"""Pebble's own ports, one for each container, which tell whether the container is healthy."""
PUBLIC = {"serial"}
"""The key that counts the changes, which the databag shows too."""
SEARCH = r"""
import json, os, stat, sys
values, pids = json.load(sys.stdin)
root = f"/proc/{pids[0]}/root"
found = []
def look(where, data):
    for name, value in values.items():
        if value.encode() in data:
            found.append(f"{name} in {where}")
for pid in pids:
    for part in ("cmdline", "environ"):
        try:
            with open(f"/proc/{pid}/{part}", "rb") as file:
                look(f"{part} of {pid}", file.read())
        except OSError:
            pass
groups = set()
for pid in pids:
    try:
        status = os.stat(f"/proc/{pid}")
        groups |= {status.st_gid} if status.st_uid else set()
    except OSError:
        pass
def is_open(status):
    # What root wrote for the group of who runs Redis, and nobody else is in, he alone reads.
    own = status.st_uid == 0 and status.st_gid in groups and not status.st_mode & 0o030
    return status.st_mode & (0o007 if own else 0o077)
for top in ("/etc", "/var/lib/redis", "/tmp", "/run", "/var/log", "/charm"):
    for folder, _, names in os.walk(root + top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode) and is_open(status):
                    with open(path, "rb") as file:
                        look(path[len(root):], file.read())
            except OSError:
                pass
print(json.dumps(found))
"""
"""Looks into a container: at arguments and environments of processes, and files open to others."""
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
import json, socket, ssl, sys
replies = []
for host, port, lines, authority in json.load(sys.stdin):
    data = b""
    try:
        with socket.create_connection((host, port), 2) as client:
            client.settimeout(2)
            if authority is not None:
                context = ssl.create_default_context(cadata=authority)
                context.check_hostname = False
                client = context.wrap_socket(client)
            client.sendall("".join(f"{line}\r\n" for line in lines).encode())
            while data.count(b"\r\n") < len(lines):
                chunk = client.recv(4096)
                if not chunk:
                    break
                data += chunk
    except ssl.SSLCertVerificationError:
        data = b"not trusted"
    except OSError:
        pass
    replies.append(data.decode(errors="replace"))
print(json.dumps(replies))
"""
ATTEMPTS = (
    ("PING",),
    ("GET x",),
    ("CONFIG GET requirepass",),
    ("SENTINEL masters",),
    ("ACL LIST",),
    ("AUTH default wrong-password", "PING"),
    ("AUTH operator operator", "PING"),
    ("HELLO 3", "PING"),
)


def values(cluster: Secured) -> dict[str, str]:
    """Return what nobody may see, by where it stands: each password, a line of each key."""
    found = {}
    for secret in cluster.model.secrets(APP).values():
        for revision, content in secret["revisions"].items():
            for key, text in content.items():
                name = f"{secret['label']} {revision} {key}"
                if key in ("next", "previous"):
                    found |= {f"{name} {user}": each for user, each in json.loads(text).items()}
                elif "PRIVATE KEY" in text:
                    found[name] = text.splitlines()[1]
                elif "CERTIFICATE" not in text and key not in PUBLIC:
                    found[name] = text
    return found


def holders(wanted: dict[str, str], texts: dict[str, str]) -> list[str]:
    """Return which text has which value."""
    return [f"{n} in {w}" for w, text in texts.items() for n, v in wanted.items() if v in text]


def leaks(cluster: Secured, wanted: dict[str, str], **texts: str) -> list[str]:
    """Search all that Juju, Pebble and the containers show, and more texts, for values.

    Returns:
        What was found, in which text, file or process.
    """
    model = cluster.model
    texts |= {
        "databags": json.dumps([model.databags(app) for app in model.status()["applications"]]),
        "log": "\n".join(model.log()),
        "status": json.dumps(model.status()),
    }
    found = []
    for unit in cluster.units():
        for container in PORTS:
            for command in (["plan"], ["changes"], ["logs", "-n", "all"], ["notices"]):
                done = model.exec(unit, container, ["/charm/bin/pebble", *command])
                assert done.returncode == 0, done
                texts[f"pebble {command[0]} of {container} of {unit}"] = done.stdout
            found += [
                f"{unit} {container}: {each}" for each in inside(cluster, unit, container, wanted)
            ]
    return found + holders(wanted, texts)


def inside(cluster: Secured, unit: str, container: str, wanted: dict[str, str]) -> list[str]:
    """Return which process or readable file of a container has which value."""
    # From outside, since an image has no Python.
    found = strangers_python(cluster, SEARCH, [wanted, cluster.model.pids(unit, container)])
    assert isinstance(found, list)
    return found


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


def unexpected_ports(cluster: Secured) -> list[str]:
    """Return which ports of a pod are open besides those that are to be."""
    addresses = [unit["address"] for unit in cluster.units().values()]
    found = strangers_python(cluster, SCAN, addresses)
    assert isinstance(found, dict)
    assert found.keys() == set(addresses), found
    assert all(set(ports) >= OPEN for ports in found.values()), found
    return [
        f"{address}: {port}"
        for address, ports in found.items()
        for port in ports
        if port not in OPEN and port not in HEALTH
    ]


def answers(
    cluster: Secured, authority: str | None, attempts: Sequence[Iterable[str]] = ATTEMPTS
) -> list[tuple[str, str]]:
    """Ask every Redis and Sentinel as a stranger does.

    Args:
        cluster: all of its units are asked.
        authority: to trust, in TLS; None: speak plain text.
        attempts: the lines of each connection.

    Returns:
        What was asked and what came back, for each connection.
    """
    asked = [
        [unit["address"], port, [*lines], authority]
        for unit in cluster.units().values()
        for port in PORTS.values()
        for lines in attempts
    ]
    replies = strangers_python(cluster, STRANGER, asked)
    assert isinstance(replies, list)
    for unit in cluster.units():
        for kind in PORTS:
            cluster.ask(unit, kind, "ACL LOG RESET")
    return [(repr(each[:3]), reply) for each, reply in zip(asked, replies, strict=True)]


def not_refused(answered: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return which answers are more than that one has to log in."""
    refusals = ("-NOAUTH", "-WRONGPASS", "-ERR unknown command")
    return [
        (question, reply)
        for question, reply in answered
        if not reply or not all(line.startswith(refusals) for line in reply.split("\r\n")[:-1])
    ]
