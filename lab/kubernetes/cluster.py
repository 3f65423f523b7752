"""One model's namespace in its cluster: what Juju makes there, and where Services lead."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from lab import sandbox
from lab.kubernetes.api import PORT, Api
from lab.kubernetes.authority import make_authority, write_account
from lab.kubernetes.netfilter import Endpoint
from lab.kubernetes.objects import NAME_LABEL, PLACEHOLDER, Object, Objects
from lab.model import Application, Model, Unit
from lab.network import Network, NetworkError

API_ADDRESS = "10.152.183.1"
_LOOK_S = 1.0
_PROBES = 16


class Runner(Protocol):
    """What the cluster needs to know of a unit's agent."""

    unit: Unit

    @property
    def ready(self) -> bool:
        """True from the commit of ``start`` in this pod until the pod ends."""
        ...

    @property
    def is_ending(self) -> bool:
        """Whether somebody has asked for the end of the pod."""
        ...

    def is_pod_ready(self) -> bool:
        """Return whether every container of the pod passes its readiness probe."""
        ...


class Cluster:
    """Pods, Services and service accounts of one model, the API, and the routes."""

    def __init__(self, model: Model, network: Network, agents: Mapping[str, Runner]) -> None:
        """Start the API and keep the routes of Services up to date."""
        self._model = model
        self._network = network
        self._agents = agents
        self.objects = Objects(model.lock, model.next_service_address)
        self._authority = make_authority(API_ADDRESS, ("kubernetes.default.svc",))
        self._tokens: dict[str, str] = {}
        self._owners: dict[str, Object] = {}
        self._named: dict[str, tuple[str, ...]] = {}
        # By pod and address: what the kubelet has seen of it, once it has looked.
        self._probed: dict[tuple[str, str], bool] = {}
        self._wake = threading.Event()
        certificate = sandbox.RUN / "kube-apiserver.pem"
        certificate.write_text(self._authority.api)
        network.answer_at(API_ADDRESS)
        self.api = Api(
            self.objects,
            API_ADDRESS,
            certificate,
            namespace=lambda: self.namespace,
            account=self._account,
            is_trusted=self._is_trusted,
            changed=self.look,
        )
        for work, name in ((self._keep_routes, "kube-proxy"), (self._keep_probing, "kubelet")):
            threading.Thread(target=work, name=name, daemon=True).start()

    @property
    def namespace(self) -> str:
        """That of the model's objects."""
        return self._model.settings.namespace or self._model.name

    # What Juju and the StatefulSet make.

    def add_app(self, app: Application) -> None:
        """Make the Services of a new application."""
        labels = {NAME_LABEL: app.name, "app.kubernetes.io/managed-by": "juju"}
        selector = {NAME_LABEL: app.name}
        with self._model.lock:
            self._tokens[app.name] = secrets.token_urlsafe(32)
            self._owners[app.name] = {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "name": app.name,
                "uid": str(uuid.uuid4()),
                "controller": True,
                "blockOwnerDeletion": True,
            }
            spec: Object = {
                "type": "ClusterIP",
                "clusterIP": app.service_ip,
                "selector": selector,
                "ports": [PLACEHOLDER],
            }
            self.objects.make("services", self.namespace, app.name, labels, spec=spec)
            headless = {**spec, "clusterIP": "None", "publishNotReadyAddresses": True, "ports": []}
            name = f"{app.name}-endpoints"
            self.objects.make("services", self.namespace, name, labels, spec=headless)
        self.look()

    def drop_app(self, name: str) -> None:
        """Remove the Services of an application, and what belongs to its StatefulSet."""
        with self._model.lock:
            for service in (name, f"{name}-endpoints"):
                self.objects.drop("services", service)
            if owner := self._owners.pop(name, None):
                self.objects.drop_owned(owner["uid"])
            self._tokens.pop(name, None)
        self.look()

    def add_pod(self, unit: Unit) -> Path | None:
        """Make the object of a unit's next pod; return the files of its service account.

        None: pods have none, as there is no API for them.
        """
        labels = {
            NAME_LABEL: unit.app,
            "apps.kubernetes.io/pod-index": str(unit.number),
            "statefulset.kubernetes.io/pod-name": unit.pod,
        }
        with self._model.lock:
            containers = [{"name": name} for name in self._model.apps[unit.app].meta.containers]
            self.objects.make(
                "pods",
                self.namespace,
                unit.pod,
                labels,
                self._owners.get(unit.app),
                spec={"containers": [{"name": "charm"}, *containers]},
                status={"phase": "Pending", "conditions": []},
            )
            if self._model.settings.kube_api == "absent":
                return None
            directory = sandbox.RUN / "service-accounts" / unit.app
            write_account(directory, self._tokens[unit.app], self.namespace, self._authority)
            return directory

    def drop_pod(self, unit: Unit) -> None:
        """Remove the object of a pod, and with it its labels."""
        self.objects.drop("pods", unit.pod)
        self.look()

    def _account(self, token: str) -> str | None:
        with self._model.lock:
            known = self._tokens.items()
            return next((app for app, each in known if secrets.compare_digest(each, token)), None)

    def _is_trusted(self, name: str) -> bool | None:
        with self._model.lock:
            app = self._model.apps.get(name)
            if app is None or self._model.settings.kube_api == "forbidden":
                return None
            return app.trusted

    # Where Services lead.

    def look(self) -> None:
        """Let the routes follow what has changed, after the time that this takes in a cluster."""
        self._wake.set()

    def _keep_routes(self) -> None:
        before: tuple[Any, str] | None = None
        while True:
            self._wake.wait()
            time.sleep(self._model.settings.service_delay_s)
            self._wake.clear()
            routes, mode = self._routes(), self._model.settings.kube_api
            if (routes, mode) == before:
                continue
            try:
                self._network.route(routes)
                (self._network.block if mode == "silent" else self._unblock)(None, API_ADDRESS)
            except NetworkError as e:
                if before is None or before[0] != routes:
                    text = f"Services lead nowhere: {e}"
                    self._model.log.write("controller", "WARNING", "lab.kubernetes", text)
            before = (routes, mode)

    def _unblock(self, _: None, address: str) -> None:
        self._network.unblock(address)

    def _keep_probing(self) -> None:
        """Ask every pod whether it is ready; one that gives no answer holds up no other."""

        def probe(agent: Runner) -> None:
            key = (agent.unit.pod, agent.unit.address)
            if not self._is_started(agent):
                return
            is_ready = agent.is_pod_ready()
            if self._probed.get(key, True) != is_ready:
                self.look()
            self._probed[key] = is_ready

        with ThreadPoolExecutor(_PROBES, "probe") as pool:
            while True:
                list(pool.map(probe, list(self._agents.values())))
                time.sleep(_LOOK_S)

    def _is_started(self, agent: Runner) -> bool:
        return agent.ready or bool(self._model.settings.probe_s)

    def _is_ready(self, agent: Runner) -> bool:
        """Return whether a pod is to get connections."""
        unit = agent.unit
        started = self._is_started(agent)
        healthy = self._probed.get((unit.pod, unit.address), True)
        return bool(unit.address) and started and healthy and not agent.is_ending

    def _routes(self) -> dict[Endpoint, list[Endpoint]]:
        """Note which pods are ready, and return where each Service leads to."""
        with self._model.lock:
            ready = {agent.unit.pod: self._is_ready(agent) for agent in self._agents.values()}
            addresses = self._note_status(ready)
            routes: dict[Endpoint, list[Endpoint]] = {}
            services = self.objects.of_kind("services")
            for name, service in services.items():
                self._show_ports(name, service)
                spec = service["spec"]
                found = [
                    addresses[pod]
                    for pod in self.objects.selected(spec.get("selector", {}))
                    if ready.get(pod)
                ]
                for port in spec.get("ports", []):
                    if spec["clusterIP"] != "None" and port.get("protocol", "TCP") == "TCP":
                        target = port.get("targetPort", port["port"])
                        at = (spec["clusterIP"], port["port"])
                        routes[at] = [(address, int(target)) for address in found]
                self._name(name, spec, found)
            for host in self._named.keys() - set(map(self._model.service, services)):
                self._network.drop_name(host)
                del self._named[host]
            if self._model.settings.kube_api == "off":
                routes[API_ADDRESS, PORT] = []
            return routes

    def _note_status(self, ready: Mapping[str, bool]) -> dict[str, str]:
        """Let the objects of pods say what is so with them; return their addresses."""
        addresses = {unit.pod: unit.address for unit in self._model.units()}
        for name, pod in self.objects.of_kind("pods").items():
            address = addresses.get(name, "")
            is_ready = "True" if address and ready.get(name) else "False"
            pod["status"] = {
                "phase": "Running" if address else "Pending",
                "conditions": [{"type": "Ready", "status": is_ready}],
                **({"podIP": address} if address else {}),
            }
        return addresses

    def _show_ports(self, name: str, service: Object) -> None:
        """Give an application's own Service the ports that its units have opened."""
        app = self._model.apps.get(name)
        if app is None:
            return
        opened = {port for unit in app.units.values() for port in unit.ports if "/" in port}
        ports = [
            {"name": f"{number}-{kind}", "protocol": kind.upper(), "port": int(number)}
            for number, _, kind in (port.partition("/") for port in sorted(opened))
        ]
        full = [{**port, "targetPort": port["port"]} for port in ports]
        wanted = full or [PLACEHOLDER]
        if app.opened_ports != opened or service["spec"]["ports"] == []:
            app.opened_ports = opened
            service["spec"]["ports"] = wanted

    def _name(self, name: str, spec: Object, ready: list[str]) -> None:
        """Let a Service's name resolve; that of an application's pods is the agents' own."""
        headless = spec["clusterIP"] == "None"
        if headless and spec.get("publishNotReadyAddresses"):
            return
        wanted = tuple(sorted(ready)) if headless else (spec["clusterIP"],)
        host = self._model.service(name)
        if self._named.get(host) != wanted:
            self._network.set_name(host, *wanted)
            self._named[host] = wanted
