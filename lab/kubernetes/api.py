"""The API of Kubernetes, as far as a charm's service account sees it, over HTTPS.

Whoever shows the token of an application may do what the Role that Juju gives it says: without
trust get, list and patch pods and Services of the namespace, and nothing else; with trust all.

Source: Juju, internal/provider/kubernetes/application (role of an untrusted application);
"Kubernetes API Concepts", https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab.kubernetes.objects import KINDS, ApiError, Object, Objects
from lab.kubernetes.patches import MERGE, STRATEGIC

PORT = 443
_VERBS = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
_UNTRUSTED = ("get", "list", "patch")
_LIMIT_S = 10.0


class Api:
    """Answers at one address until the process ends.

    Args:
        objects: what there is.
        address: where to listen.
        certificate: a file with certificate and key.
        namespace: gives that of the model.
        account: gives the application that a token is of; None: of none.
        is_trusted: tells whether an application is trusted; None: nobody may do anything.
        changed: is called after each change.
        port: at the address; 0 takes any that is free.
    """

    def __init__(
        self,
        objects: Objects,
        address: str,
        certificate: Path,
        *,
        namespace: Callable[[], str],
        account: Callable[[str], str | None],
        is_trusted: Callable[[str], bool | None],
        changed: Callable[[], None],
        port: int = PORT,
    ) -> None:
        self.objects = objects
        self.namespace = namespace
        self.account = account
        self.is_trusted = is_trusted
        self.changed = changed
        self.requests: list[str] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server = _Server((address, port), self, context)
        self.port = self._server.server_port
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 60}, daemon=True
        ).start()

    def answer(self, method: str, target: str, token: str, kind: str, body: bytes) -> Object:
        """Return what a request is answered with.

        Raises:
            ApiError: it is refused.
        """
        account = self.account(token)
        if account is None:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query))
        parts = url.path.strip("/").split("/")
        where, resource, name = parts[:3], "".join(parts[4:5]), "".join(parts[5:6])
        namespace = "".join(parts[3:4])
        verb = _VERBS.get(method) or ("get" if name else "list")
        if where != ["api", "v1", "namespaces"] or not resource:
            raise _forbidden(account, self.namespace(), verb, url.path, "")
        trusted = self.is_trusted(account)
        own = namespace == self.namespace() and resource in KINDS and len(parts) <= 6
        if trusted is None or not (trusted or (own and verb in _UNTRUSTED)):
            raise _forbidden(account, self.namespace(), verb, resource, namespace)
        if not own:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        if set(query) - {"labelSelector", "limit", "fieldManager", "timeout"} or "watch" in query:
            raise ApiError(400, "BadRequest", f"the lab does not know {url.query}")
        if verb == "get":
            return self.objects.get(resource, name)
        if verb == "list":
            return self.objects.list(resource, query.get("labelSelector", ""))
        if verb == "delete":
            done = self.objects.delete(resource, name)
        elif verb == "create":
            done = self.objects.create(resource, namespace, _object(body))
        elif verb == "patch":
            if kind not in (MERGE, STRATEGIC):
                raise ApiError(415, "UnsupportedMediaType", f"the lab patches by {MERGE}")
            done = self.objects.patch(resource, name, _object(body), kind)
        else:
            raise ApiError(405, "MethodNotAllowed", "the lab changes objects by patches")
        self.changed()
        return done


def _object(body: bytes) -> Object:
    try:
        found = json.loads(body)
    except ValueError as e:
        raise ApiError(400, "BadRequest", f"error decoding patch: {e}") from e
    if not isinstance(found, dict):
        raise ApiError(400, "BadRequest", "expected an object")
    return found


def _forbidden(account: str, home: str, verb: str, resource: str, namespace: str) -> ApiError:
    user = f'User "system:serviceaccount:{home}:{account}" cannot {verb}'
    if resource.startswith("/"):
        return ApiError(403, "Forbidden", f'forbidden: {user} path "{resource}"')
    text = f'{resource} is forbidden: {user} resource "{resource}" in API group ""'
    return ApiError(403, "Forbidden", f'{text} in the namespace "{namespace}"')


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, at: tuple[str, int], api: Api, context: ssl.SSLContext) -> None:
        super().__init__(at, _Handler)
        self.api = api
        self._context = context

    def server_bind(self) -> None:
        # That of HTTPServer asks for the name of the address, which nobody may answer.
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.socket.getsockname()

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the thread of the request, so that nobody who says nothing holds up the others.
        request.settimeout(_LIMIT_S)
        try:
            with self._context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:
            # It does not speak TLS, does not like the certificate, or has gone.
            return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        kind = self.headers.get("Content-Type", "").partition(";")[0]
        assert isinstance(self.server, _Server)
        api = self.server.api
        code = 201 if self.command == "POST" else 200
        try:
            token = token if scheme == "Bearer" else ""
            answer = api.answer(self.command, self.path, token, kind, body)
        except ApiError as e:
            code = e.code
            answer = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": str(e),
                "reason": e.reason,
                "code": code,
            }
        api.requests.append(f"{self.command} {self.path} {code} {self.client_address[0]}")
        text = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: who asks can see what was answered."""
