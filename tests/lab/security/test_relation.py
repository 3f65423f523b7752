# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Certificates from an authority that is another application, while clients write."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.lab.cluster import APP
from tests.lab.security.checks import (
    longest_gap_s,
    metrics,
    not_renewed,
    refused,
    speaks,
    tls_not,
)
from tests.lab.security.rounds import ROUNDS, bar, disturb
from tests.lab.security.secured import Secured
from tests.lab.security.stranger import answers, leaks, not_refused, unexpected_ports, values
from trials.authority import Authority

AUTHORITY = Path(__file__).parent / "ca-charm"
UNITS = 3
LIMIT_S = 300.0
TLS_ALERT = 0x15
STRICT_S = {"issue": 0.2, "authority": 1.0}


@pytest.fixture(scope="module")
def related(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Three units with TLS, whose certificates come from an authority in the model."""
    cluster = Secured("sec-relation", tmp_path_factory.mktemp("relation"))
    cluster.form(UNITS)
    cluster.model.deploy(AUTHORITY, app="ca")
    cluster.model.integrate(f"{APP}:certificates", "ca:certificates")
    cluster.model.wait_idle(120)
    cluster.use_tls("not known yet", either=True)
    cluster.model.config(APP, {"enable-tls": True, "certificate-extra-sans": "redis.example.com"})
    cluster.until(lambda: tls_not(cluster, "tls"), limit_s=LIMIT_S)
    cluster.use_tls(authorities(cluster))
    cluster.settle(UNITS)
    yield cluster
    cluster.destroy()


def authorities(cluster: Secured) -> str:
    """Return every authority that the units name."""
    records = [json.loads(cluster.bags()[unit]["tls"]) for unit in cluster.units()]
    return "".join(sorted({pem for record in records for pem in record["authorities"]}))


def served(cluster: Secured) -> dict[str, str]:
    """Return the names of the certificates and authorities that each Redis serves."""
    return {u: json.loads(cluster.bags()[u]["tls"])["redis"] for u in cluster.units()}


def test_each_unit_has_a_certificate_with_its_names(related: Secured):
    for unit in related.units():
        name = served(related)[unit].split("/")[0]
        path = f"/etc/redis-k8s/tls/{name}/cert.pem"
        pem = related.model.exec(unit, "redis", ["cat", path]).stdout
        certificate = x509.load_pem_x509_certificate(pem.encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert {related.host(unit), "redis.example.com"} <= set(
            names.value.get_values_for_type(x509.DNSName)
        )
        for kind in ("redis", "sentinel"):
            assert speaks(related, unit, kind) == "tls"
    assert refused(related) == []


@pytest.mark.timeout(400)
def test_no_port_lets_a_stranger_in_and_none_speaks_plain_text(related: Secured):
    assert unexpected_ports(related) == []
    for question, reply in answers(related, authority=None, attempts=[["PING"]]):
        # An alert of TLS, or nothing.
        assert reply == "" or ord(reply[0]) == TLS_ALERT, question
    for unit in related.units():
        assert metrics(related, unit, "plain") != []
        assert metrics(related, unit, "tls", authorities(related)) == []
        assert metrics(related, unit, "tls", Authority("stranger").pem) != []
    wrong = answers(related, Authority("stranger").pem, attempts=[["PING"]])
    assert {reply for _, reply in wrong} == {"not trusted"}
    assert not_refused(answers(related, authorities(related))) == []


def test_nothing_secret_lies_about_with_tls(related: Secured):
    wanted = values(related)
    assert len([name for name in wanted if "private-key" in name]) == UNITS
    assert leaks(related, wanted) == []


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("change", ["issue", "authority"])
def test_new_certificates_and_a_new_authority_break_nothing(
    related: Secured, change: str, number: int
):
    before, primary, old = served(related), related.primary(), authorities(related)
    started_s = time.monotonic()
    related.model.config("ca", {change: number + 2})
    killed = disturb(related, number)
    seen = old
    while not_renewed(related, before, change == "authority"):
        now = authorities(related)
        if now not in seen:
            # A client that is to survive the change trusts both.
            seen += now
            related.use_tls(seen)
        assert time.monotonic() - started_s < LIMIT_S, not_renewed(related, before, True)
        time.sleep(0.3)
    related.settle(UNITS)
    gap_s = longest_gap_s(related, started_s)
    related.use_tls(authorities(related))
    related.settle(UNITS)
    if change == "authority":
        assert authorities(related).count("BEGIN CERTIFICATE") == 1
        assert authorities(related) not in old
    print(f"{change} {number}: longest gap {gap_s:.3f} s, killed: {killed}")
    if not killed:
        assert gap_s < bar(STRICT_S[change], loose_s=1.5)
        assert related.primary() == primary
    assert refused(related) == []
