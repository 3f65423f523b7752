# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Passwords change while clients write and log in all the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import APP, cli
from tests.lab.security.checks import longest_gap_s, refused, secret
from tests.lab.security.rounds import ROUNDS, bar, disturb
from tests.lab.security.secured import Secured
from trials.clients.login import LoginLog
from trials.clients.process import ClientProcess

CLIENTS = 4
USERS = {
    "default": "redis-password",
    "sentinel-default": "sentinel-password",
    "operator": "operator-password",
    "replication": "replication-password",
    "sentinel": "watcher-password",
    "peers": "peers-password",
    "exporter": "exporter-password",
}


def passwords(cluster: Secured) -> dict[str, str]:
    content = secret(cluster)
    return {user: content[key] for user, key in USERS.items()}


def not_settled(cluster: Secured, serial: int) -> list[str]:
    """Return what is still to happen before the state of that serial holds everywhere."""
    content = secret(cluster)
    if content["next"] != "{}" or content["previous"] != "{}":
        return ["two passwords are valid"]
    if int(content["serial"]) < serial:
        return [f"the serial is {content['serial']}, not yet {serial}"]
    found = {name: cluster.bags()[name].get("credentials-serial", "1") for name in cluster.units()}
    return [f"{n} has {s}" for n, s in found.items() if s != content["serial"]]


class Logins:
    """Clients that log in to every node all the time, with the passwords of the secret."""

    def __init__(self, cluster: Secured, folder: Path):
        self._cluster = cluster
        self._ended = threading.Event()
        units = len(cluster.units())
        settings = {"hosts": cluster.access.hosts[:units], "period_s": 0.02}
        self._clients = [
            ClientProcess(
                cluster.model.spawn,
                "trials.clients.login",
                cluster.access,
                log=folder / f"logins-{number}",
                settings=settings,
            )
            for number in range(CLIENTS)
        ]
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        told = None
        while not self._ended.wait(0.05):
            content = secret(self._cluster)
            now = (content["redis-password"], content["sentinel-password"])
            if now != told:
                told = now
                for client in self._clients:
                    client.tell(redis_password=now[0], sentinel_password=now[1])

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        for client in self._clients:
            client.stop()

    def failed(self) -> list[str]:
        found = []
        for client in self._clients:
            logins = LoginLog(client.log).read()
            assert len(logins) > 10, "this client hardly ever logged in"
            found += [f"{each.node}: {each.error}" for each in logins if each.error]
        return found


@pytest.fixture
def logins(trio: Secured, tmp_path: Path) -> Iterator[Logins]:
    found = Logins(trio, tmp_path)
    yield found
    found.end()


def rotate(cluster: Secured, **params: str) -> int:
    """Start a rotation and return the serial at which it is over."""
    serial = int(secret(cluster)["serial"])
    result = cluster.model.run(cluster.leader(), "rotate-passwords", params)
    assert result.status == "completed", result
    return serial + 3


def accepts(cluster: Secured, unit: str, kind: str, user: str, password: str) -> bool:
    text = f"AUTH {user} {password}\n"
    done = cluster.model.exec(unit, kind, cli(kind), stdin=text)
    return done.stdout.startswith("OK")


@pytest.mark.parametrize("number", range(ROUNDS))
def test_all_passwords_change_and_nobody_is_refused(trio: Secured, logins: Logins, number: int):
    before = passwords(trio)
    started_s = time.monotonic()
    serial = rotate(trio)
    killed = disturb(trio, number)
    trio.until(lambda: not_settled(trio, serial))
    gap_s = longest_gap_s(trio, started_s)
    logins.end()
    after = passwords(trio)
    assert all(before[user] != after[user] for user in USERS)
    trio.follow_passwords()
    wrong = logins.failed()
    if killed:
        # A pod that is not there refuses connections; no node may refuse a password.
        wrong = [each for each in wrong if "WRONGPASS" in each or "NOAUTH" in each]
    assert wrong == []
    assert refused(trio) == []
    print(f"rotation {number}: longest gap {gap_s:.3f} s, killed: {killed}")
    assert killed or gap_s < bar(strict_s=0.2, loose_s=0.8)
    for unit in trio.units():
        assert not accepts(trio, unit, "redis", "default", before["default"])
        assert not accepts(trio, unit, "sentinel", "default", before["sentinel-default"])
        trio.ask(unit, "redis", "ACL LOG RESET")
        trio.ask(unit, "sentinel", "ACL LOG RESET")


@pytest.mark.long
def test_the_new_passwords_hold_after_a_failover_and_a_new_pod(trio: Secured):
    serial = rotate(trio)
    trio.until(lambda: not_settled(trio, serial))
    trio.follow_passwords()
    trio.model.kill_pod(trio.primary())
    trio.settle()
    assert refused(trio) == []


@pytest.mark.long
def test_one_user_can_be_chosen(trio: Secured):
    before = passwords(trio)
    serial = rotate(trio, user="replication")
    trio.until(lambda: not_settled(trio, serial))
    after = passwords(trio)
    assert {user for user in USERS if before[user] != after[user]} == {"replication"}


@pytest.mark.long
def test_a_leader_that_dies_in_the_middle_is_followed_by_another(trio: Secured):
    before = passwords(trio)
    serial = rotate(trio)
    leader = trio.leader()
    other = next(unit for unit in trio.units() if unit != leader)
    trio.model.kill_pod(leader)
    trio.model.elect(other)
    trio.until(lambda: not_settled(trio, serial))
    trio.follow_passwords()
    assert all(before[user] != password for user, password in passwords(trio).items())
    trio.settle()
    assert refused(trio) == []


def test_an_unknown_user_is_refused(trio: Secured):
    result = trio.model.run(trio.leader(), "rotate-passwords", {"user": "nobody"})
    assert (result.status, "no user nobody" in result.message) == ("failed", True)


@pytest.mark.long
def test_the_operator_can_choose_and_choose_wrong(trio: Secured):
    leader = trio.leader()
    chosen = "chosen-by-the-operator"
    model = trio.model
    held = model.add_secret({"default": "short"})
    model.config(APP, {"system-users": held})
    trio.until(lambda: trio.shows(leader, "blocked", "is not granted"))
    model.grant_secret(held, APP)
    model.update_status(leader)
    trio.until(lambda: trio.shows(leader, "blocked", "default is shorter than 12"))
    model.update_secret(held, {"nobody": chosen})
    trio.until(lambda: trio.shows(leader, "blocked", "there is no user nobody"))
    serial = int(secret(trio)["serial"])
    model.update_secret(held, {"default": chosen})
    trio.until(lambda: not_settled(trio, serial + 3))
    assert passwords(trio)["default"] == chosen
    trio.follow_passwords()
    result = model.run(leader, "rotate-passwords", {"user": "default"})
    assert "system-users" in result.message
    model.remove_secret(held)
    model.update_status(leader)
    trio.until(lambda: trio.shows(leader, "blocked", "no such secret"))
    assert passwords(trio)["default"] == chosen
    model.config(APP, {"system-users": None})
    trio.settle()
    assert refused(trio) == []
