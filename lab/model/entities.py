"""What a model is made of: applications, units, relations, secrets, storages, actions."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from lab.images import Image
from lab.packing import CharmMeta, Endpoint

ROTATION = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
    "monthly": timedelta(days=30),
    "quarterly": timedelta(days=91),
    "yearly": timedelta(days=365),
}


@dataclass
class Status:
    """A status with its message and the wall-clock time since when it holds."""

    current: str
    message: str = ""
    since: datetime = field(default_factory=lambda: datetime.now(timezone.utc))


@dataclass(frozen=True)
class Hook:
    """One thing for a unit's charm to run, with what only this event knows.

    ``kind`` is the event without the name of a relation, storage or container
    (``relation-changed``, ``pebble-ready``, ``action``); ``name`` is what Juju calls the hook.
    ``version`` is that of the databag, the configuration or the secret that it announces.
    """

    kind: str
    name: str
    relation_id: int | None = None
    remote_app: str = ""
    remote_unit: str = ""
    departing_unit: str = ""
    workload: str = ""
    notice_id: str = ""
    notice_key: str = ""
    check: str = ""
    secret_id: str = ""
    secret_label: str = ""
    secret_revision: int = 0
    storage_id: str = ""
    action_id: str = ""
    version: int = 0


@dataclass
class Action:
    """An action that was asked for, and what became of it."""

    id: str
    name: str
    params: dict[str, Any]
    status: str = "pending"
    message: str = ""
    results: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)


@dataclass
class ToldRelation:
    """What a unit's charm has been told of one relation.

    ``members`` and ``apps`` map a unit or an application to the version of its databag that
    the last relation-changed announced.
    """

    created: bool = False
    members: dict[str, int] = field(default_factory=dict)
    apps: dict[str, int] = field(default_factory=dict)
    changed_next: str = ""
    broken: bool = False


@dataclass
class Told:
    """What a unit's charm has been told so far; it outlives the unit's pods."""

    installed: bool = False
    started: bool = False
    stopped: bool = False
    removed: bool = False
    leader: bool = False
    config_version: int = -1
    relations: dict[int, ToldRelation] = field(default_factory=dict)
    storages: set[str] = field(default_factory=set)
    secrets: dict[str, int] = field(default_factory=dict)
    obsolete: set[tuple[str, int]] = field(default_factory=set)


@dataclass
class Unit:
    """One unit. ``life`` is ``alive``, ``dying`` or ``dead``; ``address`` is empty without pod."""

    name: str
    app: str
    number: int
    host: str
    life: str = "alive"
    workload: Status = field(default_factory=lambda: Status("waiting", "installing agent"))
    agent: Status = field(default_factory=lambda: Status("allocating"))
    version: str = ""
    address: str = ""
    told: Told = field(default_factory=Told)
    state: dict[str, str] = field(default_factory=dict)
    ports: set[str] = field(default_factory=set)
    actions: deque[Action] = field(default_factory=deque)
    queue: deque[Hook] = field(default_factory=deque)
    failed: Hook | None = None
    retry_at: float = 0.0
    retries: int = 0
    update_status_at: float = float("inf")
    present: bool = False

    @property
    def pod(self) -> str:
        """The pod's name, which is also the unit's host name."""
        return self.name.replace("/", "-")

    @property
    def tag(self) -> str:
        """The unit's name in paths and logs, ``unit-app-0``."""
        return f"unit-{self.pod}"


@dataclass
class Application:
    """One application and its units, by name.

    ``resources`` has what was given for a resource, ``images`` what containers made from one
    start from; a resource that is in neither leaves them the machine's own root.

    Attributes:
        base: whose Python the charm runs on; empty for the lab's own.
        python: the directory of that Python, see ``lab.bases.python_home``.
        opened_ports: of all units, as its Service has them.
        trusted: whether it may do all that the API of Kubernetes offers.
    """

    name: str
    charm_dir: str
    meta: CharmMeta
    config: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    units: dict[str, Unit] = field(default_factory=dict)
    status: Status = field(default_factory=lambda: Status("unset"))
    scale: int = 0
    config_version: int = 0
    charm_version: int = 0
    leader: str = ""
    leader_until: float = float("inf")
    leader_since: float = 0.0
    leader_settings: dict[str, str] = field(default_factory=dict)
    service_ip: str = ""
    opened_ports: set[str] = field(default_factory=set)
    trusted: bool = False
    removed: bool = False
    rolling: int = 0
    base: str = ""
    python: str = ""

    def settings(self) -> dict[str, Any]:
        """Return the options that are set or have a default."""
        defaults = {
            name: spec["default"]
            for name, spec in self.meta.config.items()
            if spec.get("default") is not None
        }
        return {**defaults, **self.config}


@dataclass
class Bag:
    """A databag; ``version`` grows with every change."""

    data: dict[str, str] = field(default_factory=dict)
    version: int = 0


@dataclass
class Relation:
    """A relation; ``ends`` maps an application to its endpoint, ``bags`` a unit or app to its bag.

    ``scope`` holds the units that take part: a unit enters when its relation-created has
    committed. A bag stays readable after its unit has left. ``ghosts`` have left without the
    others being told, as with ``departed=never``.
    """

    id: int
    ends: dict[str, Endpoint]
    scope: set[str] = field(default_factory=set)
    ghosts: set[str] = field(default_factory=set)
    bags: dict[str, Bag] = field(default_factory=dict)
    life: str = "alive"

    @property
    def peer(self) -> bool:
        """Whether this is a relation among the units of one application."""
        return len(self.ends) == 1

    def endpoint(self, app: str) -> Endpoint:
        """Return the endpoint of one of the two applications."""
        return self.ends[app]

    def remote(self, app: str) -> str:
        """Return the application at the other end, which for peers is the same one."""
        return next((name for name in self.ends if name != app), app)


@dataclass
class Secret:
    """A secret with its revisions; ``owner`` is an application's or a unit's name.

    ``consumers`` maps a unit to the revision it tracks, ``labels`` a unit to its own label;
    ``grants`` maps a relation's id to the applications and units that may read.
    """

    id: str
    owner: str
    revisions: dict[int, dict[str, str]]
    label: str = ""
    description: str = ""
    rotate: str = ""
    rotates: datetime | None = None
    expires: datetime | None = None
    consumers: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    grants: dict[int, set[str]] = field(default_factory=dict)
    rotation_due: bool = False
    expired_revision: int = 0

    @property
    def latest(self) -> int:
        """The number of the newest revision."""
        return max(self.revisions)

    @property
    def obsolete(self) -> list[int]:
        """Revisions that are not the latest and that nobody tracks."""
        used = set(self.consumers.values())
        return [n for n in sorted(self.revisions) if n != self.latest and n not in used]


@dataclass
class Storage:
    """One storage instance of a unit; it outlives the unit's pods and the unit itself."""

    id: str
    name: str
    unit: str
    location: str
    mounted: bool = False


@dataclass(frozen=True)
class HookRecord:
    """One run of dispatch.

    ``rc`` is its exit code, negative for a signal; ``started`` is Unix time; ``cpu_s`` is user
    and system time of dispatch and of every process it waited for; ``tools`` counts the calls
    of each hook tool; ``cut_off`` says that its agent had lost the controller when it ended.
    """

    index: int
    unit: str
    name: str
    rc: int
    started: float
    wall_s: float
    cpu_s: float
    tools: dict[str, int]
    cut_off: bool = False
