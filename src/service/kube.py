# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""The API of Kubernetes, as the service account of the pod may use it.

Plain ``http.client``: a client library would cost each hook that imports it some 80 ms.
Without ``juju trust`` the account may get, list and patch pods and Services of its namespace.
"""

from __future__ import annotations

import http.client
import json
import pathlib
import ssl
import urllib.parse
from collections.abc import Mapping
from typing import Any

from errors import AdapterError
from values import dataclass

ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
NAME_LABEL = "app.kubernetes.io/name"
ROLE_LABEL = "role"
TIMEOUT_S = 1.0
"""For each step of a request. A hook gives up after the first that takes longer."""
_MERGE = "application/merge-patch+json"
_FORBIDDEN = (401, 403)
_CONFLICT = 409


class KubeError(AdapterError):
    """The API gave no answer, or one that is of no use; it may do better later."""


class KubeForbiddenError(KubeError):
    """There is no API here, or it does not let this account do that."""


@dataclass(frozen=True)
class Pod:
    """A pod of the application."""

    role: str
    """Its label; empty without one."""
    owners: tuple[Mapping[str, Any], ...] = ()
    """What it goes with, as Kubernetes writes it."""


class Kube:
    """The API, with one connection to it.

    Args:
        env: has ``KUBERNETES_SERVICE_HOST`` and ``KUBERNETES_SERVICE_PORT``.
        account: the directory with the files of the service account.

    Raises:
        KubeForbiddenError: there is no API, or no account for it.
    """

    def __init__(self, env: Mapping[str, str], account: pathlib.Path = ACCOUNT):
        try:
            # It is renewed every hour.
            token = (account / "token").read_text().strip()
            self._namespace = (account / "namespace").read_text().strip()
            context = ssl.create_default_context(cafile=str(account / "ca.crt"))
            self._connection = http.client.HTTPSConnection(
                env["KUBERNETES_SERVICE_HOST"],
                int(env.get("KUBERNETES_SERVICE_PORT") or 443),
                timeout=TIMEOUT_S,
                context=context,
            )
        except (KeyError, ValueError, OSError) as e:
            raise KubeForbiddenError(f"no service account of Kubernetes: {e!r}") from e
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def pods(self, app: str) -> dict[str, Pod]:
        """Return the pods of an application by name.

        Raises:
            KubeError: it gave no answer, or no list.
        """
        selector = urllib.parse.quote(f"{NAME_LABEL}={app}")
        found = self._ask("GET", f"pods?labelSelector={selector}")
        try:
            metadata = [item["metadata"] for item in found["items"]]
            return {
                each["name"]: Pod(
                    (each.get("labels") or {}).get(ROLE_LABEL, ""),
                    tuple(each.get("ownerReferences") or ()),
                )
                for each in metadata
                # A pod that ends gets no connections, and nothing else from us.
                if "deletionTimestamp" not in each
            }
        except (KeyError, TypeError) as e:
            raise KubeError(f"Kubernetes gave no list of pods: {e!r}") from e

    def label(self, pod: str, role: str) -> None:
        """Give a pod the label of a role.

        Raises:
            KubeError: it was not done.
        """
        self._ask("PATCH", f"pods/{pod}", {"metadata": {"labels": {ROLE_LABEL: role}}})

    def select(self, service: str, role: str) -> None:
        """Have a Service lead to those of its pods only that have the label of a role.

        Raises:
            KubeError: it was not done.
        """
        self._ask("PATCH", f"services/{service}", {"spec": {"selector": {ROLE_LABEL: role}}})

    def offer(
        self, app: str, name: str, role: str, ports: Mapping[str, int], owners: tuple[Any, ...]
    ) -> None:
        """Make a Service for the pods of an application with a role, unless it is there.

        Args:
            app: the application.
            name: of the Service.
            role: the label of the pods.
            ports: by name.
            owners: what it is to go with.

        Raises:
            KubeError: it was not done.
        """
        labels = {NAME_LABEL: app}
        body = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "labels": labels, "ownerReferences": list(owners)},
            "spec": {
                "selector": {**labels, ROLE_LABEL: role},
                "ports": [{"name": name, "port": port} for name, port in ports.items()],
            },
        }
        self._ask("POST", "services", body, fine=_CONFLICT)

    def _ask(self, method: str, path: str, body: object = None, fine: int = 200) -> Any:
        """Return the answer to a request; a refusal with the code ``fine`` is one as well."""
        target = f"/api/v1/namespaces/{self._namespace}/{path}"
        kind = _MERGE if method == "PATCH" else "application/json"
        headers = {**self._headers, "Content-Type": kind}
        text = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, target, text, headers)
            response = self._connection.getresponse()
            answer = json.loads(response.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError) as e:
            self._connection.close()
            raise KubeError(f"Kubernetes gave no answer to {method} {path}: {e!r}") from e
        if response.status >= 300 and response.status != fine:
            said = answer.get("message", "") if isinstance(answer, dict) else ""
            error = KubeForbiddenError if response.status in _FORBIDDEN else KubeError
            raise error(f"Kubernetes refused {method} {path}: {response.status} {said}")
        return answer
