# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The adapter for Kubernetes against an API over real HTTPS, and against what is none."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.kubernetes.api import Api
from lab.kubernetes.authority import make_authority, write_account
from lab.kubernetes.objects import NAME_LABEL, Objects
from service.kube import Kube, KubeError, KubeForbiddenError, Pod

APP, NAMESPACE, ADDRESS = "redis-k8s", "demo", "127.0.0.1"
OWNER = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": APP, "uid": "1-2"}


class Server:
    """An API with the pods and the Service of one application."""

    def __init__(self, folder: Path):
        self.token = "secret"
        self.trusted: bool | None = False
        self.objects = Objects(threading.RLock(), lambda: "10.152.183.99")
        authority = make_authority(ADDRESS, ())
        self.account = folder / "account"
        write_account(self.account, "secret", NAMESPACE, authority)
        certificate = folder / "api.pem"
        certificate.write_text(authority.api)
        self.api = Api(
            self.objects,
            ADDRESS,
            certificate,
            namespace=lambda: NAMESPACE,
            account=lambda token: APP if token == self.token else None,
            is_trusted=lambda _: self.trusted,
            changed=lambda: None,
            port=0,
        )
        for number in range(2):
            self.pod(number, APP)
        self.pod(0, "other")
        self.objects.make(
            "services",
            NAMESPACE,
            APP,
            {},
            spec={
                "clusterIP": "10.152.183.10",
                "selector": {NAME_LABEL: APP},
                "ports": [{"port": 6379}],
            },
        )

    def pod(self, number: int, app: str) -> None:
        name, labels = f"{app}-{number}", {NAME_LABEL: app}
        self.objects.make("pods", NAMESPACE, name, labels, OWNER, spec={}, status={})

    @property
    def env(self) -> dict[str, str]:
        return {
            "KUBERNETES_SERVICE_HOST": ADDRESS,
            "KUBERNETES_SERVICE_PORT": str(self.api.port),
        }

    def kube(self) -> Kube:
        return Kube(self.env, self.account)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port at which somebody takes connections and says nothing."""
    with socket.create_server((ADDRESS, 0)) as listener:
        yield listener.getsockname()[1]


def test_pods_are_read_and_labelled(server: Server):
    kube = server.kube()
    assert kube.pods(APP) == {f"{APP}-{n}": Pod("", (OWNER,)) for n in range(2)}
    kube.label(f"{APP}-1", "primary")
    assert {name: pod.role for name, pod in kube.pods(APP).items()} == {
        f"{APP}-0": "",
        f"{APP}-1": "primary",
    }
    kube.close()


def test_the_service_keeps_what_it_selected_before(server: Server):
    server.kube().select(APP, "primary")
    selector = server.objects.get("services", APP)["spec"]["selector"]
    assert selector == {NAME_LABEL: APP, "role": "primary"}


def test_services_are_made_with_trust_only_and_once(server: Server):
    def offer() -> None:
        server.kube().offer(APP, f"{APP}-replicas", "replica", {"redis": 6379}, (OWNER,))

    with pytest.raises(KubeForbiddenError, match="cannot create"):
        offer()
    server.trusted = True
    offer()
    offer()
    made = server.objects.get("services", f"{APP}-replicas")
    assert made["metadata"]["ownerReferences"] == [OWNER]
    assert made["spec"]["selector"] == {NAME_LABEL: APP, "role": "replica"}
    assert made["spec"]["ports"][0]["port"] == 6379


def test_refusals_are_told_apart(server: Server):
    kube = server.kube()
    with pytest.raises(KubeError, match="404") as error:
        kube.label("redis-k8s-9", "primary")
    assert not isinstance(error.value, KubeForbiddenError)
    with pytest.raises(KubeError, match="422"):
        kube.label(f"{APP}-0", "no label")
    server.trusted = None
    with pytest.raises(KubeForbiddenError, match="403"):
        kube.pods(APP)
    server.token = "another"
    with pytest.raises(KubeForbiddenError, match="401") as error:
        kube.pods(APP)
    assert "secret" not in str(error.value)


def test_what_has_not_the_clusters_certificate_gets_no_token(server: Server, tmp_path: Path):
    stranger = tmp_path / "stranger"
    write_account(stranger, "secret", NAMESPACE, make_authority(ADDRESS, ()))
    with pytest.raises(KubeError, match="CERTIFICATE_VERIFY_FAILED"):
        Kube(server.env, stranger).pods(APP)
    assert server.api.requests == []


def test_no_answer_is_an_error_within_a_second_or_two(server: Server, silent: int):
    begun_s = time.monotonic()
    for port, why in ((silent, "timed out"), (1, "refused")):
        env = {"KUBERNETES_SERVICE_HOST": ADDRESS, "KUBERNETES_SERVICE_PORT": str(port)}
        with pytest.raises(KubeError, match=why):
            Kube(env, server.account).pods(APP)
    assert time.monotonic() - begun_s < 4.0


@pytest.mark.parametrize("missing", ["token", "namespace", "ca.crt"])
def test_without_an_account_there_is_no_api(server: Server, missing: str):
    (server.account / missing).unlink()
    with pytest.raises(KubeForbiddenError, match="no service account"):
        server.kube()
    with pytest.raises(KubeForbiddenError, match="no service account"):
        Kube({}, server.account)


def test_an_authority_that_is_none_is_no_error_of_ours(server: Server):
    (server.account / "ca.crt").write_text("nonsense")
    with pytest.raises(KubeForbiddenError):
        server.kube()
    assert issubclass(ssl.SSLError, OSError)
