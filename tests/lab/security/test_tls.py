# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""TLS goes on, changes and goes off while clients write."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cluster import APP
from tests.lab.security.checks import longest_gap_s, metrics, refused, speaks, tls_not
from tests.lab.security.rounds import ROUNDS, disturb
from tests.lab.security.secured import Secured
from trials.authority import Authority

SWITCH_GAP_S = 3.0
UNITS = 3
SWITCH_LIMIT_S = 240.0
"""For a busy machine: it takes a dozen hooks of each unit."""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("first")


@pytest.fixture(scope="module")
def filed(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Three units with the certificate files, in plain text."""
    folder = tmp_path_factory.mktemp("files")
    cluster = Secured("sec-files", folder)
    cluster.form(UNITS, resources=authority.issue("whatever").write(folder))
    yield cluster
    cluster.destroy()


def switch(cluster: Secured, on: bool, authority: Authority, number: int) -> tuple[float, bool]:
    """Turn TLS on or off.

    Returns:
        The longest time without a write meanwhile, in seconds, and whether a pod was killed.
    """
    cluster.use_tls(authority.pem, either=True)
    started_s = time.monotonic()
    cluster.model.config(APP, {"enable-tls": on})
    killed = disturb(cluster, number)
    cluster.until(lambda: tls_not(cluster, "tls" if on else "plain"), limit_s=SWITCH_LIMIT_S)
    cluster.settle(UNITS)
    gap_s = longest_gap_s(cluster, started_s)
    cluster.use_tls(authority.pem if on else "")
    return gap_s, killed


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_tls_goes_on_and_off_under_load(filed: Secured, authority: Authority, number: int):
    if filed.access.ca:
        switch(filed, False, authority, -1)
    primary = filed.primary()
    for on in (True, False, True):
        gap_s, killed = switch(filed, on, authority, number)
        filed.settle(UNITS)
        print(f"TLS {'on' if on else 'off'} {number}: gap {gap_s:.3f} s, killed: {killed}")
        if not killed:
            assert gap_s < SWITCH_GAP_S
            assert filed.primary() == primary
        primary = filed.primary()
        kinds = ("plain", "tls") if on else ("tls", "plain")
        for unit in filed.units():
            for port in ("redis", "sentinel"):
                assert speaks(filed, unit, port) == kinds[1]
            filed.until(functools.partial(metrics, filed, unit, kinds[1], authority.pem))
            assert metrics(filed, unit, kinds[0], authority.pem) != []
        assert refused(filed) == []


@pytest.mark.long
def test_a_new_pod_comes_back_with_tls(filed: Secured):
    filed.model.kill_pod(filed.primary())
    filed.settle(UNITS)
    assert refused(filed) == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_files_are_renewed_one_by_one_while_the_service_goes_on(
    filed: Secured, authority: Authority, tmp_path: Path
):
    """Each attach rolls all pods, and between the two the files do not fit each other."""
    newer = authority.issue("newer").write(tmp_path)
    filed.model.attach_resource(APP, "cert-file", newer["cert-file"])
    words = "key-file does not belong to cert-file"
    filed.until(
        lambda: [missing for u in filed.units() for missing in filed.shows(u, "blocked", words)],
        limit_s=SWITCH_LIMIT_S,
        hold_s=5.0,
    )
    filed.until(filed.not_served)
    for unit in filed.units():
        for kind in ("redis", "sentinel"):
            assert speaks(filed, unit, kind) == "tls"
    filed.model.attach_resource(APP, "key-file", newer["key-file"])
    filed.settle(UNITS, limit_s=SWITCH_LIMIT_S)
    for unit in filed.units():
        served = json.loads(filed.bags()[unit]["tls"])["redis"].split("/")[0]
        path = f"/etc/redis-k8s/tls/{served}/cert.pem"
        pem = filed.model.exec(unit, "redis", ["cat", path]).stdout
        assert pem.strip() == Path(newer["cert-file"]).read_text().strip()
    assert refused(filed) == []


@pytest.mark.long
def test_unusable_certificates_are_named(authority: Authority):
    from tls.material import MaterialError, check

    names = ("cert-file", "key-file", "ca-cert-file")
    good = authority.issue("x")
    late = authority.issue("x", days=-0.5, starts=-2)
    early = authority.issue("x", days=20, starts=2)
    stranger = Authority("stranger")
    wrong = [
        ((late.cert, late.key, late.ca), "cert-file has expired"),
        ((early.cert, early.key, early.ca), "cert-file is valid only from"),
        ((good.cert, good.key, stranger.pem), "cert-file is not signed by ca-cert-file"),
        ((good.cert, late.key, good.ca), "key-file does not belong to cert-file"),
        (("x", good.key, good.ca), "cert-file is not a certificate"),
        ((good.cert, "x", good.ca), "key-file is not an unencrypted private key"),
        ((good.cert, good.key, "x"), "ca-cert-file is not a certificate"),
    ]
    assert check(good.cert, good.key, good.ca, names, False).ca == good.ca
    for texts, words in wrong:
        with pytest.raises(MaterialError, match=words):
            check(*texts, names, False)
