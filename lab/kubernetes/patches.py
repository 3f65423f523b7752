"""How a patch changes an object: JSON merge patch, and what Kubernetes calls strategic.

Source: RFC 7386; "Update API Objects in Place Using kubectl patch",
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""

from __future__ import annotations

from typing import Any

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

_KEYS = {"ports": "port", "ownerReferences": "uid", "conditions": "type", "containers": "name"}
"""Lists that a strategic patch merges, and by what their entries are the same."""


def merged(target: Any, patch: Any, kind: str) -> Any:
    """Return ``target`` with a patch of this kind on it; neither of both is changed."""
    if not isinstance(patch, dict):
        return patch
    target = target if isinstance(target, dict) else {}
    if kind == STRATEGIC and patch.get("$patch") in ("replace", "delete"):
        rest = {key: value for key, value in patch.items() if key != "$patch"}
        return rest if patch["$patch"] == "replace" else {}
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif kind == STRATEGIC and isinstance(value, list) and key in _KEYS:
            result[key] = _merged_list(result.get(key) or [], value, _KEYS[key])
        else:
            result[key] = merged(result.get(key), value, kind)
    return result


def _merged_list(target: list[Any], patch: list[Any], by: str) -> list[Any]:
    result = {entry[by]: entry for entry in target}
    for entry in patch:
        if entry.get("$patch") == "delete":
            result.pop(entry[by], None)
        else:
            result[entry[by]] = merged(result.get(entry[by]), entry, STRATEGIC)
    return list(result.values())
