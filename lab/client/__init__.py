"""The Python side of the lab: a handle on one model, in Juju's words.

``Model("demo")`` is a name until something is deployed; the first ``deploy`` starts the model's
controller, which goes on when the caller ends. ``destroy`` leaves nothing.
"""

from lab.client.errors import ActionResult, LabError, LabTimeout
from lab.client.model import Model
from lab.client.places import cache, home

__all__ = ["ActionResult", "LabError", "LabTimeout", "Model", "cache", "home"]
