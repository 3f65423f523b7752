"""The API of Kubernetes as a charm sees it from its hooks, and Services that follow labels."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from lab import LabError, Model, sandbox
from lab.kubernetes.patches import MERGE, STRATEGIC, merged
from lab.tests.probe import IDLE_S, PROBE, Recorder, lab_home, python, sh

__all__ = ["lab_home"]

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
RESOURCES = {"one-image": "/", "text": str(PROBE / "config.yaml")}
SERVICE = "probe.kube.svc.cluster.local"
PORT = 7000
CALL = """
import http.client, json, os, ssl
account = "{account}"
token = open(account + "/token").read()
home = "/api/v1/namespaces/" + open(account + "/namespace").read()
connection = http.client.HTTPSConnection(
    os.environ["KUBERNETES_SERVICE_HOST"],
    int(os.environ["KUBERNETES_SERVICE_PORT"]),
    timeout=3,
    context=ssl.create_default_context(cafile=account + "/ca.crt"),
)
headers = {{"Authorization": "Bearer " + token, "Content-Type": {kind!r}}}
headers.update({headers!r})
path = {path!r}
target = home + path if path.startswith("/") else path[1:]
connection.request({method!r}, target, {body!r}, headers)
answer = connection.getresponse()
result = [answer.status, json.loads(answer.read())]
"""
LISTEN = """
import os, socket
listener = socket.create_server(("", 7000))
while True:
    connection, _ = listener.accept()
    connection.sendall(os.uname().nodename.encode())
    connection.close()
"""


@pytest.fixture(scope="module")
def kube() -> Iterator[Model]:
    """A model with three units that tell their name at a port that they opened."""
    model = Model("kube")
    model.destroy()
    model.deploy(PROBE, units=3, resources=RESOURCES)
    model.wait_idle(IDLE_S)
    for number in range(3):
        unit = f"probe/{number}"
        serve(model, unit)
        sh(model, unit, f"open-port {PORT}")
    yield model
    model.destroy()
    assert sandbox.leftovers(model.dir) == []


def serve(model: Model, unit: str) -> None:
    model.exec(unit, "one", ["sh", "-c", f"setsid python3 -c '{LISTEN}' >/dev/null 2>&1 &"])


def api(
    model: Model,
    method: str,
    path: str,
    body: object = None,
    *,
    unit: str = "probe/0",
    kind: str = MERGE,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict]:
    """Ask the API from an action of a unit; ``path`` is below the namespace, or after ``=``."""
    text = "" if body is None else json.dumps(body)
    code = CALL.format(
        account=ACCOUNT, method=method, path=path, body=text, kind=kind, headers=headers or {}
    )
    status, answer = python(model, unit, code)  # type: ignore[misc]
    return status, answer


def who_answers(model: Model, host: str = SERVICE) -> str:
    """Return which pod is behind a Service; empty when it refuses."""
    script = f"""
import socket
try:
    print(socket.create_connection(("{host}", {PORT}), 3).recv(64).decode())
except ConnectionRefusedError:
    print()
"""
    process = model.spawn(["python3", "-c", script], stdout=-1, text=True)
    return process.communicate(timeout=20)[0].strip()


def eventually(model: Model, host: str, pods: set[str], limit_s: float = 5.0) -> None:
    deadline = time.monotonic() + limit_s
    while (found := {who_answers(model, host) for _ in range(6)}) != pods:
        assert time.monotonic() < deadline, found


def label(model: Model, number: int, **labels: str | None) -> None:
    patch = {"metadata": {"labels": labels}}
    assert api(model, "PATCH", f"/pods/probe-{number}", patch)[0] == 200


def select(model: Model, **labels: str | None) -> None:
    assert api(model, "PATCH", "/services/probe", {"spec": {"selector": labels}})[0] == 200


def service_ports(model: Model) -> list[int]:
    """Return the ports of the Service; Juju gives it those that are opened a moment later."""
    return [port["port"] for port in model.objects("services")["probe"]["spec"]["ports"]]


def test_an_untrusted_application_sees_its_namespace(kube: Model):
    status, pod = api(kube, "GET", "/pods/probe-1")
    assert status == 200 and pod["kind"] == "Pod"
    assert pod["metadata"]["namespace"] == "kube"
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "probe"
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet"
    unit = kube.status()["applications"]["probe"]["units"]["probe/1"]
    assert pod["status"]["podIP"] == unit["address"]
    _, found = api(kube, "GET", "/pods?labelSelector=app.kubernetes.io/name%3Dprobe")
    assert [each["metadata"]["name"] for each in found["items"]] == [
        "probe-0",
        "probe-1",
        "probe-2",
    ]
    assert api(kube, "GET", "/pods?labelSelector=role")[1]["items"] == []
    _, services = api(kube, "GET", "/services")
    names = [each["metadata"]["name"] for each in services["items"]]
    assert names == ["probe", "probe-endpoints"]
    spec = services["items"][0]["spec"]
    assert spec["selector"] == {"app.kubernetes.io/name": "probe"}
    assert [port["port"] for port in spec["ports"]] == [PORT]
    assert services["items"][1]["spec"]["clusterIP"] == "None"


def test_what_is_not_allowed_or_not_there_is_refused(kube: Model):
    asked = len(kube.api_requests())
    assert api(kube, "GET", "/pods/probe-9")[0] == 404
    for method, path in (
        ("POST", "/services"),
        ("DELETE", "/services/probe"),
        ("DELETE", "/pods/probe-0"),
        ("PUT", "/services/probe"),
        ("GET", "/secrets"),
        ("GET", "=/api/v1/namespaces/other/pods"),
        ("GET", "=/apis/apps/v1/namespaces/kube/statefulsets"),
        ("GET", "=/api/v1/nodes"),
    ):
        status, answer = api(kube, method, path, {})
        assert (status, answer["reason"]) == (403, "Forbidden"), (method, path, answer)
        assert 'User "system:serviceaccount:kube:probe" cannot' in answer["message"]
    for authorization in ("Bearer wrong", "Bearer ", "Basic x"):
        assert api(kube, "GET", "/pods", headers={"Authorization": authorization})[0] == 401
    assert len(kube.api_requests(asked)) == 12
    assert kube.api_requests(asked)[0].startswith("GET /api/v1/namespaces/kube/pods/probe-9 404 ")


def test_a_patch_that_makes_nonsense_changes_nothing(kube: Model):
    before = kube.objects("pods")["probe-0"], kube.objects("services")["probe"]
    for path, patch, code in (
        ("/pods/probe-0", {"metadata": {"labels": {"role": "two words"}}}, 422),
        ("/pods/probe-0", {"metadata": {"labels": {"role": "x" * 64}}}, 422),
        ("/pods/probe-0", {"metadata": {"name": "other"}}, 422),
        ("/pods/probe-0", {"metadata": {"resourceVersion": "1"}}, 409),
        ("/pods/probe-0", {"spec": {"containers": []}}, 422),
        ("/services/probe", {"spec": {"clusterIP": "10.0.0.1"}}, 422),
        ("/services/probe", {"spec": {"ports": []}}, 422),
    ):
        assert api(kube, "PATCH", path, patch)[0] == code, patch
    assert api(kube, "PATCH", "/pods/probe-0", {}, kind="application/json")[0] == 415
    assert (kube.objects("pods")["probe-0"], kube.objects("services")["probe"]) == before


def test_the_certificate_is_of_the_clusters_authority(kube: Model):
    code = CALL.format(
        account=ACCOUNT, method="GET", path="/pods", body="", kind=MERGE, headers={}
    )
    assert python(kube, "probe/0", code)[0] == 200  # type: ignore[index]
    strange = code.replace('cafile=account + "/ca.crt"', "")
    failed = kube.run("probe/0", "python", {"code": strange})
    assert failed.status == "failed" and "CERTIFICATE_VERIFY_FAILED" in failed.results["stderr"]
    for container in ("charm", "one", "two"):
        files = kube.exec("probe/0", container, ["ls", ACCOUNT]).stdout.split()
        assert files == ["ca.crt", "namespace", "token"]


def test_a_service_leads_to_ready_pods_and_follows_labels_and_its_selector(kube: Model):
    eventually(kube, SERVICE, {"probe-0", "probe-1", "probe-2"})
    select(kube, role="primary")
    eventually(kube, SERVICE, {""})
    label(kube, 1, role="primary")
    eventually(kube, SERVICE, {"probe-1"})
    label(kube, 2, role="primary")
    label(kube, 1, role="replica")
    eventually(kube, SERVICE, {"probe-2"})
    # Another port of the Service, opened later, keeps the selector.
    sh(kube, "probe/0", "open-port 7001")
    kube.wait(lambda _: service_ports(kube) == [PORT, 7001], 20)
    assert kube.objects("services")["probe"]["spec"]["selector"]["role"] == "primary"
    sh(kube, "probe/0", "close-port 7001")
    # A pod made anew has no labels but those of its StatefulSet.
    seen = Recorder(kube)
    kube.kill_pod("probe/2")
    seen.wait("probe/2", "start")
    seen.settled("probe/2")
    serve(kube, "probe/2")
    assert "role" not in kube.objects("pods")["probe-2"]["metadata"]["labels"]
    eventually(kube, SERVICE, {""})
    select(kube, role=None)
    eventually(kube, SERVICE, {"probe-0", "probe-1", "probe-2"})


def test_a_pod_that_is_ending_or_has_not_started_gets_no_connections(kube: Model):
    label(kube, 0, role="primary")
    select(kube, role="primary")
    eventually(kube, SERVICE, {"probe-0"})
    kube.config("probe", {"hooks": json.dumps({"stop": "sleep 2", "start": "sleep 2"})})
    kube.wait_idle(IDLE_S)
    kube.kill_pod("probe/0", graceful=True)
    assert who_answers(kube) == ""
    kube.wait(
        lambda _: (
            kube.objects("pods").get("probe-0", {}).get("status", {}).get("podIP") is not None
        ),
        20,
    )
    assert who_answers(kube) == ""
    kube.config("probe", {"hooks": "{}"})
    kube.wait_idle(IDLE_S, hold_s=0.5)
    serve(kube, "probe/0")
    select(kube, role=None)


def test_trust_allows_services_that_go_with_the_application(kube: Model):
    owner = kube.objects("pods")["probe-0"]["metadata"]["ownerReferences"]
    wanted = {
        "metadata": {"name": "probe-extra", "ownerReferences": owner},
        "spec": {"selector": {"role": "extra"}, "ports": [{"name": "p", "port": PORT}]},
    }
    assert api(kube, "POST", "/services", wanted)[0] == 403
    seen = Recorder(kube)
    kube.trust("probe")
    seen.wait("probe/0", "config-changed")
    assert api(kube, "POST", "/services", wanted)[0] == 201
    assert api(kube, "POST", "/services", wanted)[0] == 409
    label(kube, 1, role="extra")
    eventually(kube, "probe-extra.kube.svc.cluster.local", {"probe-1"})
    assert api(kube, "DELETE", "/services/probe-extra")[0] == 200
    assert api(kube, "GET", "/services/probe-extra")[0] == 404
    kube.trust("probe", False)
    assert api(kube, "POST", "/services", wanted)[0] == 403
    kube.wait_idle(IDLE_S)


def test_the_api_may_be_off_silent_or_forbidden(kube: Model):
    kube.settings({"kube_api": "forbidden"})
    status, answer = api(kube, "GET", "/pods/probe-0")
    assert (status, answer["reason"]) == (403, "Forbidden")
    for mode, error in (("off", "ConnectionRefusedError"), ("silent", "TimeoutError")):
        kube.settings({"kube_api": mode})
        time.sleep(0.2)
        failed = kube.run(
            "probe/0",
            "python",
            {
                "code": CALL.format(
                    account=ACCOUNT, method="GET", path="/pods", body="", kind=MERGE, headers={}
                )
            },
        )
        assert failed.status == "failed" and error in failed.results["stderr"], mode
    with pytest.raises(LabError, match="kube_api"):
        kube.settings({"kube_api": "broken"})
    kube.settings({"kube_api": "absent"})
    kube.kill_pod("probe/0")
    seen = Recorder(kube)
    seen.wait("probe/0", "start")
    kube.wait_idle(IDLE_S)
    assert "KUBERNETES" not in sh(kube, "probe/0", "env")
    assert kube.exec("probe/0", "charm", ["ls", ACCOUNT]).returncode != 0
    kube.settings({"kube_api": "ok"})


def test_removing_an_application_removes_its_services(model: Model):
    model.deploy(PROBE, resources=RESOURCES, trust=True)
    model.wait_idle(IDLE_S)
    owner = model.objects("pods")["probe-0"]["metadata"]["ownerReferences"]
    wanted = {
        "metadata": {"name": "probe-extra", "ownerReferences": owner},
        "spec": {"selector": {"role": "extra"}, "ports": [{"port": PORT}]},
    }
    assert api(model, "POST", "/services", wanted)[0] == 201
    model.deploy(PROBE, app="other", resources=RESOURCES)
    model.remove_application("probe")
    model.wait(lambda status: "probe" not in status["applications"], 30)
    assert sorted(model.objects("services")) == ["other", "other-endpoints"]


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model("kube-removed")
    yield made
    made.destroy()
    assert sandbox.leftovers(made.dir) == []


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC])
def test_a_patch_merges_maps_and_removes_with_null(kind: str):
    old = {"spec": {"selector": {"a": "1"}, "type": "ClusterIP"}}
    new = merged(old, {"spec": {"selector": {"b": "2", "a": None}}}, kind)
    assert new == {"spec": {"selector": {"b": "2"}, "type": "ClusterIP"}}
    assert old == {"spec": {"selector": {"a": "1"}, "type": "ClusterIP"}}


def test_only_a_strategic_patch_merges_lists():
    old = {"ports": [{"port": 1, "name": "one"}, {"port": 2, "name": "two"}]}
    patch = {"ports": [{"port": 2, "name": "zwei"}, {"port": 3, "name": "three"}]}
    assert merged(old, patch, MERGE) == patch
    assert [port["name"] for port in merged(old, patch, STRATEGIC)["ports"]] == [
        "one",
        "zwei",
        "three",
    ]
    gone = {"ports": [{"port": 1, "$patch": "delete"}], "$patch": "merge"}
    assert merged(old, gone, STRATEGIC)["ports"] == [{"port": 2, "name": "two"}]
    assert merged(old, {"$patch": "replace", "x": 1}, STRATEGIC) == {"x": 1}
