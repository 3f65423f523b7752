"""Pods and Services as the API shows them, and what may be changed in them."""

from __future__ import annotations

import copy
import itertools
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from lab.kubernetes.patches import merged

Object = dict[str, Any]
KINDS = {"pods": "Pod", "services": "Service"}
NAME_LABEL = "app.kubernetes.io/name"
PLACEHOLDER = {"name": "placeholder", "protocol": "TCP", "port": 65535, "targetPort": 65535}
"""The port of a Service that Juju makes before a charm opens one."""

_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_NAME = re.compile(r"([-a-z0-9.]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LABEL_LENGTH = 63
_FIXED = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp")


class ApiError(Exception):
    """The API refuses; ``code`` is that of HTTP and ``reason`` one of Kubernetes' words."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class Objects:
    """All pods and Services of the model's namespace."""

    def __init__(self, lock: threading.RLock, service_address: Callable[[], str]) -> None:
        """Begin with none.

        Args:
            lock: is held while one is read or changed.
            service_address: gives the next ClusterIP.
        """
        self._lock = lock
        self._service_address = service_address
        self._versions = itertools.count(1000)
        self._all: dict[str, dict[str, Object]] = {kind: {} for kind in KINDS}

    # By the cluster itself.

    def make(
        self,
        kind: str,
        namespace: str,
        name: str,
        labels: Mapping[str, str],
        owner: Object | None = None,
        **rest: Any,
    ) -> Object:
        """Make an object, or make it anew, and return it; ``rest`` is its spec and status."""
        with self._lock:
            made = {"apiVersion": "v1", "kind": KINDS[kind], **rest}
            made["metadata"] = {
                "name": name,
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "resourceVersion": self._version(),
                "creationTimestamp": _now(),
                "labels": dict(labels),
                **({} if owner is None else {"ownerReferences": [owner]}),
            }
            self._all[kind][name] = made
            return made

    def drop(self, kind: str, name: str) -> None:
        """Remove an object, if it is there."""
        with self._lock:
            self._all[kind].pop(name, None)

    def drop_owned(self, uid: str) -> None:
        """Remove what only that owner holds, as the garbage collector does."""
        with self._lock:
            for found in self._all.values():
                for name, each in list(found.items()):
                    owners = [o["uid"] for o in each["metadata"].get("ownerReferences", [])]
                    if owners == [uid]:
                        del found[name]

    def of_kind(self, kind: str) -> dict[str, Object]:
        """Return the objects themselves by name; the lock is to be held."""
        return self._all[kind]

    def selected(self, selector: Mapping[str, str]) -> list[str]:
        """Return the names of the pods that have all these labels; none without a label."""
        with self._lock:
            return [
                name
                for name, pod in self._all["pods"].items()
                if selector and selector.items() <= pod["metadata"]["labels"].items()
            ]

    def _version(self) -> str:
        return str(next(self._versions))

    # By users of the API.

    def get(self, kind: str, name: str) -> Object:
        """Return a copy of an object.

        Raises:
            ApiError: there is none of that name.
        """
        with self._lock:
            if name not in self._all[kind]:
                raise ApiError(404, "NotFound", f'{kind} "{name}" not found')
            return copy.deepcopy(self._all[kind][name])

    def list(self, kind: str, selector: str = "") -> Object:
        """Return a list of copies of what fits a label selector of equalities.

        Raises:
            ApiError: the selector is of another sort.
        """
        with self._lock:
            found = [
                copy.deepcopy(each)
                for _, each in sorted(self._all[kind].items())
                if _fits(each["metadata"].get("labels", {}), selector)
            ]
            for each in found:
                del each["apiVersion"], each["kind"]
            version = {"resourceVersion": self._version()}
            return {
                "apiVersion": "v1",
                "kind": f"{KINDS[kind]}List",
                "metadata": version,
                "items": found,
            }

    def patch(self, kind: str, name: str, patch: Object, how: str) -> Object:
        """Change an object and return a copy of it.

        Raises:
            ApiError: there is none, or the patch makes something of it that may not be.
        """
        with self._lock:
            old = self.get(kind, name)
            new = merged(old, patch, how)
            wanted = patch.get("metadata", {}).get("resourceVersion")
            if wanted not in (None, old["metadata"]["resourceVersion"]):
                text = f'Operation cannot be fulfilled on {kind} "{name}": the object has been'
                raise ApiError(409, "Conflict", f"{text} modified")
            for key in _FIXED:
                if new["metadata"].get(key) != old["metadata"].get(key):
                    raise _invalid(kind, name, f"metadata.{key}: field is immutable")
            new["status"] = old.get("status", {})
            if kind == "pods" and new["spec"] != old["spec"]:
                raise _invalid(kind, name, "spec: Forbidden: pod updates may not change fields")
            if kind == "services" and new["spec"].get("clusterIP") != old["spec"]["clusterIP"]:
                raise _invalid(kind, name, "spec.clusterIP: field is immutable")
            _check(kind, name, new)
            if new != old:
                new["metadata"]["resourceVersion"] = self._version()
                self._all[kind][name] = new
            return copy.deepcopy(new)

    def create(self, kind: str, namespace: str, given: Object) -> Object:
        """Make a Service and return a copy of it.

        Raises:
            ApiError: it is there already, or is none that the lab could make.
        """
        with self._lock:
            metadata = given.get("metadata", {})
            name = metadata.get("name", "")
            if kind != "services":
                raise ApiError(405, "MethodNotAllowed", f"the lab makes no {kind} on demand")
            if name in self._all[kind]:
                raise ApiError(409, "AlreadyExists", f'{kind} "{name}" already exists')
            if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name):
                raise _invalid(kind, name, "metadata.name: Invalid value")
            given = copy.deepcopy(given)
            spec = {"type": "ClusterIP", "selector": {}, **given.get("spec", {})}
            spec["clusterIP"] = spec.get("clusterIP") or self._service_address()
            for port in spec.get("ports", []):
                port.setdefault("protocol", "TCP")
                port.setdefault("targetPort", port.get("port"))
            _check(kind, name, {**given, "spec": spec})
            made = self.make(kind, namespace, name, metadata.get("labels", {}), spec=spec)
            for key in ("annotations", "ownerReferences"):
                if key in metadata:
                    made["metadata"][key] = metadata[key]
            return copy.deepcopy(made)

    def delete(self, kind: str, name: str) -> Object:
        """Remove a Service.

        Raises:
            ApiError: there is none, or it is a pod.
        """
        with self._lock:
            self.get(kind, name)
            if kind != "services":
                raise ApiError(405, "MethodNotAllowed", f"the lab deletes no {kind} on demand")
            self.drop(kind, name)
            return {"kind": "Status", "apiVersion": "v1", "status": "Success"}


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _invalid(kind: str, name: str, why: str) -> ApiError:
    return ApiError(422, "Invalid", f'{KINDS[kind]} "{name}" is invalid: {why}')


def _check(kind: str, name: str, new: Object) -> None:
    _check_labels(kind, name, "metadata.labels", new["metadata"].get("labels", {}))
    if kind != "services":
        return
    _check_labels(kind, name, "spec.selector", new["spec"].get("selector", {}))
    ports = new["spec"].get("ports", [])
    if not ports and new["spec"]["clusterIP"] != "None":
        raise _invalid(kind, name, "spec.ports: Required value")
    for port in ports:
        if not isinstance(port.get("port"), int) or not 1 <= port["port"] <= 65535:
            raise _invalid(kind, name, "spec.ports: Invalid value")
        if len(ports) > 1 and not port.get("name"):
            raise _invalid(kind, name, "spec.ports: name: Required value")


def _check_labels(kind: str, name: str, where: str, labels: Any) -> None:
    if not isinstance(labels, dict):
        raise ApiError(400, "BadRequest", f"{where}: expected map, got {labels!r}")
    for key, value in labels.items():
        fits = isinstance(value, str) and len(value) <= _LABEL_LENGTH
        if not fits or not _LABEL_VALUE.fullmatch(value) or not _LABEL_NAME.fullmatch(key):
            raise _invalid(kind, name, f"{where}: Invalid value: {value!r}")


def _fits(labels: Mapping[str, str], selector: str) -> bool:
    return all(_fits_one(labels, term) for term in _terms(selector))


def _terms(selector: str) -> Iterable[str]:
    return filter(None, (term.strip() for term in selector.split(",")))


def _fits_one(labels: Mapping[str, str], term: str) -> bool:
    match = re.fullmatch(r"([^=!\s()]+)\s*(?:(==?|!=)\s*([^=!\s()]*))?", term)
    if match is None:
        raise ApiError(400, "BadRequest", f"the lab does not know the selector {term!r}")
    key, operator, value = match.groups()
    if operator is None:
        return key in labels
    return (labels.get(key) == value) == (operator != "!=")
