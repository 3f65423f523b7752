# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Whom the charm's own clients trust when a real Redis speaks TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import constants as c
from errors import UnreachableError
from nodes.access import Access, Mode, Transport
from nodes.redis_client import RedisNode
from tests.functional.real import patiently
from trials.authority import Authority

HOST = "127.0.0.14"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("of the application")


@pytest.fixture(scope="module")
def tls_redis(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Redis that speaks TLS alone, whose default user may do all."""
    folder = tmp_path_factory.mktemp("tls")
    files = authority.issue("redis").write(folder)
    conf = folder / "redis.conf"
    lines = (
        f"bind {HOST}",
        "port 0",
        f"tls-port {c.REDIS_PORT}",
        f"tls-cert-file {files['cert-file']}",
        f"tls-key-file {files['key-file']}",
        f"tls-ca-cert-file {files['ca-cert-file']}",
        "tls-auth-clients no",
        f"dir {folder}",
        f"user {c.OPERATOR_USER} on >pw ~* &* +@all",
    )
    conf.write_text("\n".join(lines) + "\n")
    with subprocess.Popen(["redis-server", str(conf)], stdout=subprocess.DEVNULL) as process:
        yield
        process.terminate()


def node(authorities: str, names_hosts: bool = False) -> RedisNode:
    """Return the node, spoken to with trust in these authorities."""
    transport = Transport(Mode.TLS, authorities, names_hosts)
    return RedisNode(HOST, Access("redis-k8s", "pw", transport=transport))


def test_only_the_authorities_of_the_application_are_trusted(
    tls_redis: None,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    patiently(lambda: node(authority.pem).view().is_primary, "it answers")
    # The authorities of the system are not those of the application.
    system = tmp_path / "system.pem"
    system.write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(system))
    with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        node(Authority("another").pem).view()


def test_the_name_in_the_certificate_counts_where_it_was_issued_for_the_host(
    tls_redis: None, authority: Authority
):
    patiently(lambda: node(authority.pem).view().is_primary, "it answers")
    with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        node(authority.pem, names_hosts=True).view()
