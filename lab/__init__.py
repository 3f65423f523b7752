"""A Juju model in a box: it runs a Kubernetes sidecar charm, unmodified, on one machine."""

from lab.client import ActionResult, LabError, LabTimeout, Model
from lab.model import HookRecord

__all__ = ["ActionResult", "HookRecord", "LabError", "LabTimeout", "Model"]
