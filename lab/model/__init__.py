"""The state of one model: what Juju's controller would know and keep.

Nothing here starts a process or opens a file. Every method may be called from any thread and
holds ``Model.lock`` while it works; callers that read several fields hold it themselves.
Rules come from Juju's sources and from running models; where the versions differ,
``Settings`` has a switch.
"""

from lab.model.entities import (
    ROTATION,
    Action,
    Application,
    Bag,
    Hook,
    HookRecord,
    Relation,
    Secret,
    Status,
    Storage,
    Told,
    ToldRelation,
    Unit,
)
from lab.model.errors import ModelError, UnknownError
from lab.model.model import Model
from lab.model.settings import PROFILES, Settings

__all__ = [
    "ROTATION",
    "PROFILES",
    "Action",
    "Application",
    "Bag",
    "Hook",
    "HookRecord",
    "Model",
    "ModelError",
    "Relation",
    "Secret",
    "Settings",
    "Status",
    "Storage",
    "Told",
    "ToldRelation",
    "Unit",
    "UnknownError",
]
