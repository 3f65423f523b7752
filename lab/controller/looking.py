"""Requests that change nothing."""

from __future__ import annotations

from typing import Any

from lab.controller.requests import Requests

WATCH_S = 10.0


class Looking(Requests):
    """Statuses, logs, databags and secrets."""

    def op_status(self, after: int, timeout_s: float) -> dict[str, Any]:
        """Return the status, and its version, as soon as that is beyond ``after``."""
        model = self.model
        with model.lock:
            model.seen.wait_for(lambda: model.version > after, min(timeout_s, WATCH_S))
            return {"version": model.version, "status": model.statuses.everything()}

    def op_log(self, since: int, timeout_s: float) -> dict[str, Any]:
        """Return log lines after the first ``since``, as soon as there are any."""
        model = self.model
        with model.lock:
            model.seen.wait_for(lambda: model.log.end > since, min(timeout_s, WATCH_S))
            lines, end = model.log.since(since)
            return {"lines": lines, "end": end}

    def op_status_log(self, unit: str) -> list[dict[str, str]]:
        """Return the statuses that a unit has had."""
        return self.model.statuses.log_of(unit)

    def op_hooks(self, since: int) -> list[dict[str, Any]]:
        """Return the records of runs of dispatch."""
        return self.model.records_since(since)

    def op_databags(self, app: str) -> dict[str, Any]:
        """Return all databags of an application's relations."""
        return self.model.relations.databags(app)

    def op_objects(self, kind: str) -> dict[str, Any]:
        """Return the pods or Services of the model's namespace by name."""
        items = self.controller.cluster.objects.list(kind)["items"]
        return {item["metadata"]["name"]: item for item in items}

    def op_api_requests(self, since: int) -> list[str]:
        """Return what the API of Kubernetes was asked after the first ``since`` requests."""
        return self.controller.cluster.api.requests[since:]

    def op_secrets(self, app: str) -> dict[str, Any]:
        """Return all secrets of an application and its units, with their content."""
        return self.model.secrets.of_app(app)
