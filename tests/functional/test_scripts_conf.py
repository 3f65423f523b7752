# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The configuration files and the exporter's start, with real Redis and Sentinel."""

from __future__ import annotations

import dataclasses

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

import constants as c
from pod import render
from tests.functional.real import CREDENTIALS, IMAGE, RealCluster, patiently
from tests.functional.scripts import NOTICE


def test_the_exporter_gets_its_password_by_a_file_only(real: RealCluster):
    node = real.nodes[real.hosts[0]]
    node.script("charm/exporter", '#!/bin/sh\necho "$@" >/charm/args\nenv >/charm/env\n')
    for file in render.redis_files(
        node.world, dataclasses.replace(IMAGE, exporter="/charm/exporter")
    ):
        node.inside(file.path).write_text(file.text)
        node.inside(file.path).chmod(file.mode)
    assert node.run(c.START_EXPORTER) == 0
    arguments = (node.directory / "charm/args").read_text()
    environment = (node.directory / "charm/env").read_text()
    assert f":{c.EXPORTER_PORT}" in arguments
    assert CREDENTIALS["exporter"] not in arguments + environment
    path = next(
        line.split("=")[1]
        for line in environment.splitlines()
        if line.startswith("REDIS_PASSWORD_FILE=")
    )
    assert CREDENTIALS["exporter"] in node.inside(path).read_text()
    assert node.inside(path).stat().st_mode & 0o007 == 0


def test_redis_can_rewrite_its_configuration_and_the_charms_file_stays(real: RealCluster):
    node = real.nodes[real.replicas[0]]
    before = node.inside(c.REDIS_CONF).read_text()
    node.client().config_set("maxmemory-samples", 7)
    node.client().config_rewrite()
    assert "maxmemory-samples 7" in node.inside(c.LIVE_CONF).read_text()
    assert node.inside(c.REDIS_CONF).read_text() == before


def client(
    host: str, port: int, user: str | None = None, password: str | None = None
) -> redis.Redis:
    retry = Retry(NoBackoff(), 0)
    return redis.Redis(host, port, username=user, password=password, retry=retry)


def test_nobody_gets_in_without_a_password(real: RealCluster):
    for port in (c.REDIS_PORT, c.SENTINEL_PORT):
        with pytest.raises(redis.AuthenticationError):
            client(real.hosts[0], port).execute_command("PING")


@pytest.mark.parametrize(
    ("user", "password", "command"),
    [
        (c.REPLICATION_USER, CREDENTIALS["replication"], ["SET", "k", "v"]),
        (c.REPLICATION_USER, CREDENTIALS["replication"], ["CONFIG", "GET", "*"]),
        (c.SENTINEL_USER, CREDENTIALS["sentinel"], ["GET", "k"]),
        (c.SENTINEL_USER, CREDENTIALS["sentinel"], ["CONFIG", "GET", "*"]),
        (c.EXPORTER_USER, CREDENTIALS["exporter"], ["GET", "k"]),
        (c.EXPORTER_USER, CREDENTIALS["exporter"], ["CONFIG", "SET", "maxmemory", "1"]),
    ],
)
def test_users_of_the_machinery_have_no_right_to_data_and_settings(
    real: RealCluster, user, password, command
):
    with pytest.raises(NoPermissionError):
        client(real.primary, c.REDIS_PORT, user, password).execute_command(*command)


def test_a_sentinel_may_not_command_another(real: RealCluster):
    peer = client(real.hosts[0], c.SENTINEL_PORT, c.PEERS_USER, CREDENTIALS["peers"])
    with pytest.raises(NoPermissionError):
        peer.execute_command("SENTINEL", "RESET", "redis-k8s")


def test_users_have_all_the_rights_that_a_failover_takes(real: RealCluster):
    for node in real.nodes.values():
        for port in (c.REDIS_PORT, c.SENTINEL_PORT):
            node.client(port).acl_log_reset()
    real.kill(real.primary, "redis")
    real.settle()
    denied = [
        (node.host, port, entry)
        for node in real.nodes.values()
        for port in (c.REDIS_PORT, c.SENTINEL_PORT)
        for entry in node.client(port).acl_log()
    ]
    assert denied == []


def test_no_password_is_among_the_arguments_of_a_program(real: RealCluster):
    node = real.nodes[real.primary]
    node.kill("redis")
    node.start_redis()
    patiently(lambda: NOTICE in node.notices, "the watch has ended")
    commands = (node.directory / "charm/commands").read_text()
    assert f"-p {c.SENTINEL_PORT}" in commands
    for password in CREDENTIALS.passwords.values():
        assert password not in commands
