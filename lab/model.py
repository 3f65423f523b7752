"""The state of one model: what Juju's controller would know and keep.

Nothing here starts a process or opens a file. Every method may be called from any thread and
holds ``Model.lock`` while it works; callers that read several fields hold it themselves.
Rules come from Juju's sources and from running models; where the versions differ,
``Settings`` has a switch.
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from lab import toolfaults
from lab.images import Image
from lab.packing import CharmMeta, Endpoint

LOG_LINES = 50_000
STATUSES = 1000
"""How many of its last statuses are remembered of each unit."""
SEVERITY = ("error", "blocked", "maintenance", "waiting", "active", "unknown")
"""Statuses from the one that an application shows first to the one it shows last."""

STORAGE_CHANGED = (
    "Juju on containers does not support updating storage on a statefulset: the new charm's "
    "metadata contains updated storage declarations"
)
"""Any difference counts, in a description too."""

ROTATION = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(weeks=1),
    "monthly": timedelta(days=30),
    "quarterly": timedelta(days=91),
    "yearly": timedelta(days=365),
}


class ModelError(Exception):
    """A request that the model refuses; the text is for the user or for the hook tool."""


class UnknownError(ModelError):
    """An application, unit, relation or secret that does not exist."""


PROFILES: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "field": {
        "pod_start_s": 4.0,
        "probe_s": 5.0,
        "storage_mb": 1024,
        "dns_cache_s": 5.0,
        "node_domain": "node.example",
        "reuse_addresses": True,
        "tool_cost_ms": 5.0,
    },
}
"""Settings that are set together. ``field``: what was seen of Juju 4.0 on Kubernetes 1.34."""


@dataclass
class Settings:
    """What differs among Juju versions and clusters.

    Attributes:
        departed: when peers learn that a unit left: ``early`` as soon as it is dying (Juju 3),
            ``late`` after it is dead (Juju 4), ``never`` (seen with Juju 4.0).
        leavers: which ordinals a scale-down removes, ``highest`` or ``lowest``.
        update_status_s: seconds between two update-status hooks of a unit, without jitter.
        lease_s: seconds until the leadership of an agent that is gone ends.
        dns_appear_s: seconds after which the name server knows a new pod's name.
        dns_vanish_s: seconds for which it still knows a dead pod's name.
        dns_cache_s: seconds for which it repeats an answer, also that there is no such name;
            CoreDNS in the field: 5.
        dns_mode: ``ok``, or ``silent`` for a server that gives no answer at all.
        namespace: that of the model in its cluster; empty: the model's name. In the field that
            of a model ``controller`` is ``controller-NAME``. It holds for units to come.
        cluster_domain: the domain of the cluster. It holds for units to come.
        node_domain: the domain that pods search after the cluster's, as their node does; empty
            for none. The field has one, such as ``node.example``.
        upstream: who answers for names that are not of the cluster: ``nxdomain`` has none,
            ``silent`` gives no answer, ``wildcard`` has the clients' address for every name
            below ``node_domain``.
        reuse_addresses: the next pod of another name gets the address of one that has ended.
            The field does that.
        storage_mb: size of each new volume; 0 for no limit of its own.
        tool_cost_ms: how long the agent takes to answer a hook tool (seen: 4 to 8, busy 76).
        tool_faults: which hook tools fail and when, as ``TOOL:WHEN`` separated by commas; see
            ``ToolFaults``.
        juju_version: what ``JUJU_VERSION`` says.
        pod_start_s: seconds from the making of a pod until its containers run: it is scheduled,
            its address and volumes are found, its image looked for.
        probe_s: seconds between two looks of the kubelet at whether a pod is ready. The first is
            made before the agent has begun to run hooks, and finds nothing against it. 0: a pod
            is ready from the commit of ``start`` on.
        memory_mb: what the processes of one workload container may take together; whatever goes
            beyond it kills all of them. 0 for no limit.
        profile: the name of the group of ``PROFILES`` that was last asked for.
    """

    departed: str = "early"
    leavers: str = "highest"
    update_status_s: float = 300.0
    lease_s: float = 60.0
    dns_appear_s: float = 0.0
    dns_vanish_s: float = 0.0
    dns_cache_s: float = 0.0
    dns_mode: Literal["ok", "silent"] = "ok"
    namespace: str = ""
    cluster_domain: str = "cluster.local"
    node_domain: str = ""
    upstream: Literal["nxdomain", "silent", "wildcard"] = "nxdomain"
    reuse_addresses: bool = False
    storage_mb: int = 0
    tool_cost_ms: float = 0.0
    tool_faults: str = ""
    juju_version: str = "3.6.11"
    pod_start_s: float = 0.0
    probe_s: float = 0.0
    memory_mb: int = 0
    profile: str = "none"

    def update(self, values: Mapping[str, Any]) -> None:
        """Take over new values; those of a profile first, so that the others may differ from it.

        A profile brings every setting that some profile names to its own value, or to the default.

        Raises:
            ModelError: for a name that is no setting or a value that it does not take.
        """
        choices = {
            "departed": ("early", "late", "never"),
            "leavers": ("highest", "lowest"),
            "dns_mode": ("ok", "silent"),
            "upstream": ("nxdomain", "silent", "wildcard"),
            "profile": tuple(PROFILES),
        }
        known = {item.name for item in fields(self)}
        group = PROFILES.get(values.get("profile", ""))
        if group is not None:
            grouped = {name for profile in PROFILES.values() for name in profile}
            values = {**{name: getattr(Settings, name) for name in grouped}, **group, **values}
        for name, value in values.items():
            if name not in known:
                raise ModelError(f"unknown setting {name!r}, expected one of {sorted(known)}")
            if name in choices and value not in choices[name]:
                raise ModelError(f"setting {name!r} must be one of {choices[name]}")
            try:
                kind = type(getattr(self, name))
                converted = _boolean(value) if kind is bool else kind(value)
            except (TypeError, ValueError) as e:
                raise ModelError(f"setting {name!r} does not take {value!r}") from e
            if name == "tool_faults":
                try:
                    toolfaults.parse(str(converted))
                except ValueError as e:
                    raise ModelError(f"setting {name!r}: {e}") from e
            setattr(self, name, converted)


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


USER = "user"
"""The owner of the secrets that ``juju add-secret`` makes."""
NO_RELATION = -1
"""In place of a relation's id: what the user granted."""


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


class Model:
    """All applications, relations, secrets and storages of one model.

    ``work`` is notified when an agent may have something to do, ``seen`` whenever something
    changed that a watcher can see.
    """

    def __init__(
        self,
        name: str,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.uuid = str(uuid.uuid4())
        self.settings = settings or Settings()
        self.tool_faults = toolfaults.ToolFaults()
        self.clock = clock
        self.lock = threading.RLock()
        self.work = threading.Condition(self.lock)
        self.seen = threading.Condition(self.lock)
        self.version = 0
        self.apps: dict[str, Application] = {}
        self.relations: dict[int, Relation] = {}
        self.secrets: dict[str, Secret] = {}
        self.storages: dict[str, Storage] = {}
        self.records: list[HookRecord] = []
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.log_end = 0
        self._statuses: dict[str, list[Status]] = {}
        self._next_relation = 0
        self._next_storage = 0
        self._next_service = 10

    # What changed, and who hears of it.

    def touch(self) -> None:
        """Tell agents and watchers that something changed."""
        with self.lock:
            self.version += 1
            self.work.notify_all()
            self.seen.notify_all()

    def show(self) -> None:
        """Tell watchers alone that something changed that asks no agent to act."""
        with self.lock:
            self.version += 1
            self.seen.notify_all()

    def write_log(self, who: str, level: str, source: str, text: str) -> None:
        """Add lines in the form of ``juju debug-log``: who, time, level, source and text."""
        stamp = time.strftime("%H:%M:%S")
        with self.lock:
            for line in text.splitlines() or [""]:
                self.log.append(f"{who}: {stamp} {level} {source} {line}")
                self.log_end += 1
            self.seen.notify_all()

    def log_since(self, since: int) -> tuple[list[str], int]:
        """Return the lines after the first ``since`` ones, and how many there have been."""
        with self.lock:
            first = self.log_end - len(self.log)
            skip = max(0, since - first)
            return list(self.log)[skip:], self.log_end

    # Applications and units.

    def app(self, name: str) -> Application:
        """Return an application.

        Raises:
            UnknownError: if there is none of that name.
        """
        try:
            return self.apps[name]
        except KeyError:
            raise UnknownError(f'application "{name}" not found') from None

    def unit(self, name: str) -> Unit:
        """Return a unit.

        Raises:
            UnknownError: if there is none of that name.
        """
        app = self.apps.get(name.partition("/")[0])
        if app is None or name not in app.units:
            raise UnknownError(f'unit "{name}" not found')
        return app.units[name]

    def units(self) -> Iterator[Unit]:
        """Return every unit of every application."""
        for app in self.apps.values():
            yield from app.units.values()

    def add_app(
        self,
        name: str,
        charm_dir: str,
        meta: CharmMeta,
        config: Mapping[str, Any],
        resources: Mapping[str, str],
    ) -> Application:
        """Add an application without units, and its peer relations.

        Raises:
            ModelError: if the name is taken, or an option or a resource is not declared.
        """
        with self.lock:
            if name in self.apps:
                raise ModelError(f'application "{name}" already exists')
            app = Application(name, charm_dir, meta)
            app.config = self._checked_config(meta, config)
            for resource in resources:
                if resource not in meta.resources:
                    raise ModelError(f'charm "{meta.name}" has no resource "{resource}"')
            app.resources = dict(resources)
            app.service_ip = f"10.152.183.{self._next_service}"
            self._next_service += 1
            self.apps[name] = app
            for endpoint in meta.endpoints.values():
                if endpoint.role == "peer":
                    self._add_relation({name: endpoint})
            self.touch()
            return app

    def add_units(self, app_name: str, count: int) -> list[Unit]:
        """Raise the scale and return the new units, whose ordinals are the lowest free ones."""
        with self.lock:
            app = self.app(app_name)
            if app.removed:
                raise ModelError(f'application "{app_name}" is being removed')
            taken = {unit.number for unit in app.units.values()}
            made: list[Unit] = []
            number = 0
            while len(made) < count:
                if number not in taken:
                    made.append(self._add_unit(app, number))
                number += 1
            app.scale += count
            self.touch()
            return made

    def _add_unit(self, app: Application, number: int) -> Unit:
        name = f"{app.name}/{number}"
        host = f"{app.name}-{number}.{self.service(f'{app.name}-endpoints')}"
        unit = Unit(name, app.name, number, host)
        app.units[name] = unit
        if not app.leader:
            self._grant(app, unit)
        owned = {s.name: s for s in self.storages.values() if s.unit == name}
        for storage, spec in app.meta.storage.items():
            if storage not in owned:
                for _ in range(_minimum(spec)):
                    self.add_storage(unit, storage)
        for relation in self.relations.values():
            if app.name in relation.ends:
                self._fresh_bag(relation, unit, app)
        return unit

    def service(self, name: str) -> str:
        """Return the full name of a Service of the model."""
        settings = self.settings
        return f"{name}.{settings.namespace or self.name}.svc.{settings.cluster_domain}"

    def _fresh_bag(self, relation: Relation, unit: Unit, app: Application) -> None:
        # A unit that has the ordinal of a former one starts with a bag of its own.
        former = relation.bags.get(unit.name, Bag())
        data = {"egress-subnets": f"{app.service_ip}/32", "ingress-address": app.service_ip}
        if self.settings.juju_version.startswith("3."):
            data["private-address"] = app.service_ip
        relation.bags[unit.name] = Bag(data, former.version + 1)
        relation.bags.setdefault(app.name, Bag())

    def add_storage(self, unit: Unit, name: str) -> Storage:
        """Add a storage instance to a unit; pods mount it from their next start on."""
        app = self.apps[unit.app]
        spec = app.meta.storage[name]
        number = sum(1 for s in self.storages.values() if s.unit == unit.name and s.name == name)
        location = str(spec.get("location") or f"/var/lib/juju/storage/{name}")
        if not spec.get("location") or "multiple" in spec:
            location = f"{location}/{number}"
        storage = Storage(f"{name}/{self._next_storage}", name, unit.name, location)
        self._next_storage += 1
        self.storages[storage.id] = storage
        return storage

    def choose_leavers(self, app_name: str, count: int) -> list[Unit]:
        """Lower the scale, mark the units that go as dying, and return them."""
        with self.lock:
            app = self.app(app_name)
            alive = sorted(
                (unit for unit in app.units.values() if unit.life == "alive"),
                key=lambda unit: unit.number,
            )
            if count > len(alive):
                raise ModelError(f"cannot remove {count} units of {len(alive)}")
            highest = self.settings.leavers == "highest"
            leavers = alive[len(alive) - count :] if highest else alive[:count]
            app.scale -= count
            for unit in leavers:
                self.set_dying(unit)
            self.touch()
            return leavers

    def set_dying(self, unit: Unit) -> None:
        """Begin the removal of a unit; with ``departed=early`` its peers hear of it now."""
        with self.lock:
            if unit.life != "alive":
                return
            unit.life = "dying"
            if self.settings.departed == "early":
                self.leave_scopes(unit)
            self.touch()

    def leave_scopes(self, unit: Unit) -> None:
        """Take a unit out of its relations, so that the others get relation-departed."""
        with self.lock:
            for relation in self.relations.values():
                relation.scope.discard(unit.name)
            self.touch()

    def drop_unit(self, unit: Unit) -> None:
        """Delete a dead unit with its secrets; its storages stay for the next of its ordinal."""
        with self.lock:
            app = self.apps[unit.app]
            app.units.pop(unit.name, None)
            self._drop_secrets(unit.name)
            for secret in self.secrets.values():
                secret.consumers.pop(unit.name, None)
                secret.labels.pop(unit.name, None)
            for relation in self.relations.values():
                if self.settings.departed == "never" and unit.name in relation.scope:
                    relation.ghosts.add(unit.name)
                if self.settings.departed != "late" or not relation.peer:
                    relation.scope.discard(unit.name)
            if app.leader == unit.name:
                self._revoke(app)
            for storage in self.storages.values():
                if storage.unit == unit.name:
                    storage.mounted = False
            self.drop_finished_relations()
            self.touch()

    def drop_app(self, name: str) -> None:
        """Delete an application that has no unit any more, with all it owned."""
        with self.lock:
            self.apps.pop(name, None)
            self._drop_secrets(name)
            for relation in [r for r in self.relations.values() if name in r.ends]:
                self._delete_relation(relation)
            for storage in [s for s in self.storages.values() if s.unit.startswith(f"{name}/")]:
                del self.storages[storage.id]
            self.touch()

    def _drop_secrets(self, owner: str) -> None:
        for secret in [s for s in self.secrets.values() if s.owner == owner]:
            del self.secrets[secret.id]

    # Leadership.

    def _grant(self, app: Application, unit: Unit) -> None:
        app.leader = unit.name
        app.leader_since = self.clock()
        app.leader_until = float("inf")

    def _revoke(self, app: Application) -> None:
        if app.leader in app.units:
            app.units[app.leader].told.leader = False
        app.leader = ""
        candidates = [u for u in app.units.values() if u.present and u.life == "alive"]
        if candidates:
            self._grant(app, min(candidates, key=lambda unit: unit.number))

    def is_leader(self, unit: Unit) -> bool:
        """Return whether this unit holds the lease of its application now."""
        with self.lock:
            app = self.apps[unit.app]
            return app.leader == unit.name and self.clock() < app.leader_until

    def leads_in_a_hook(self, app_name: str) -> bool:
        """Return whether the leader of an application runs a hook at the moment."""
        with self.lock:
            app = self.apps[app_name]
            leader = app.units.get(app.leader or "")
            return leader is not None and leader.agent.current == "executing"

    def elect(self, unit: Unit) -> None:
        """Make this unit the leader; the one before hears nothing of it."""
        with self.lock:
            app = self.apps[unit.app]
            if app.leader in app.units and app.leader != unit.name:
                app.units[app.leader].told.leader = False
            self._grant(app, unit)
            self.touch()

    def set_present(self, unit: Unit, present: bool) -> None:
        """Note that a unit's agent reaches the controller, or no longer does.

        A leader's lease is renewed every half of its length while the agent is present, and runs
        out after the last renewal when it is not.
        """
        with self.lock:
            app = self.apps[unit.app]
            if unit.present == present:
                return
            self.expire_leases()
            unit.present = present
            now = self.clock()
            half = self.settings.lease_s / 2
            if app.leader == unit.name:
                renewed = app.leader_since + (now - app.leader_since) // half * half
                app.leader_until = float("inf") if present else renewed + 2 * half
                if present:
                    app.leader_since = now
            elif present and not app.leader and unit.life == "alive":
                self._grant(app, unit)
            self.touch()

    def expire_leases(self) -> float:
        """Give away the leases that ran out; return when the next one does, by ``clock``."""
        with self.lock:
            for app in self.apps.values():
                if app.leader and app.leader_until <= self.clock():
                    self._revoke(app)
                    self.touch()
            return min((app.leader_until for app in self.apps.values()), default=float("inf"))

    # Configuration, resources and charm.

    def set_config(self, app_name: str, values: Mapping[str, Any]) -> None:
        """Set options; ``None`` brings the default back.

        Raises:
            ModelError: for an unknown option or a value of the wrong type.
        """
        with self.lock:
            app = self.app(app_name)
            before = app.settings()
            cleared = {name for name, value in values.items() if value is None}
            given = {name: value for name, value in values.items() if value is not None}
            for name in cleared:
                if name not in app.meta.config:
                    raise ModelError(f'unknown option "{name}"')
            app.config.update(self._checked_config(app.meta, given))
            for name in cleared:
                app.config.pop(name, None)
            if app.settings() != before:
                app.config_version += 1
                self.touch()

    def refresh(self, app_name: str, charm_dir: str, meta: CharmMeta) -> None:
        """Give an application another charm; its next pods start with it.

        Raises:
            ModelError: if it is a charm of another name, or Juju would refuse it: a relation
                would lose its endpoint, or a storage is declared otherwise.
        """
        with self.lock:
            app = self.app(app_name)
            if meta.name != app.meta.name:
                raise ModelError(f'cannot refresh "{app_name}" to a charm named "{meta.name}"')
            for relation in self.relations.values():
                old = relation.ends.get(app_name)
                if old is not None and meta.endpoints.get(old.name) != old:
                    ends = " ".join(f"{name}:{end.name}" for name, end in relation.ends.items())
                    raise ModelError(
                        f'cannot upgrade application "{app_name}" to charm "{meta.name}": '
                        f'would break relation "{ends}"'
                    )
            if meta.storage != app.meta.storage:
                raise ModelError(STORAGE_CHANGED)
            known = app.meta.endpoints
            app.charm_dir, app.meta = charm_dir, meta
            app.charm_version += 1
            app.config = {name: v for name, v in app.config.items() if name in meta.config}
            for name, endpoint in meta.endpoints.items():
                if endpoint.role == "peer" and name not in known:
                    self._add_relation({app_name: endpoint})
            self.touch()

    @staticmethod
    def _checked_config(meta: CharmMeta, values: Mapping[str, Any]) -> dict[str, Any]:
        checked: dict[str, Any] = {}
        for name, value in values.items():
            spec = meta.config.get(name)
            if spec is None:
                raise ModelError(f'unknown option "{name}"')
            checked[name] = _converted(name, str(spec.get("type", "string")), value)
        return checked

    # Relations.

    def _add_relation(self, ends: dict[str, Endpoint]) -> Relation:
        relation = Relation(self._next_relation, ends)
        self._next_relation += 1
        self.relations[relation.id] = relation
        for name in ends:
            app = self.apps[name]
            relation.bags[name] = Bag()
            for unit in app.units.values():
                self._fresh_bag(relation, unit, app)
        return relation

    def integrate(self, first: str, second: str) -> Relation:
        """Relate ``app[:endpoint]`` with another; endpoints may be left out if only one fits.

        Raises:
            ModelError: if no pair, or more than one, fits, or they are related already.
        """
        with self.lock:
            pairs = [
                (one, two)
                for one in self._ends(first)
                for two in self._ends(second)
                if one[1].interface == two[1].interface
                and {one[1].role, two[1].role} == {"provider", "requirer"}
            ]
            if not pairs:
                raise ModelError(f"no relations found between {first} and {second}")
            if len(pairs) > 1:
                raise ModelError(f"ambiguous relation: {first} {second} could be any of several")
            one, two = pairs[0]
            ends = {one[0]: one[1], two[0]: two[1]}
            if len(ends) == 1:
                raise ModelError("an application cannot be related to itself")
            if any(r.ends == ends for r in self.relations.values()):
                raise ModelError(f"relation {first} {second} already exists")
            relation = self._add_relation(ends)
            self.touch()
            return relation

    def _ends(self, text: str) -> Iterable[tuple[str, Endpoint]]:
        name, _, wanted = text.partition(":")
        app = self.app(name)
        if wanted and wanted not in app.meta.endpoints:
            raise ModelError(f'application "{name}" has no "{wanted}" relation')
        return [
            (name, endpoint)
            for endpoint in app.meta.endpoints.values()
            if not wanted or endpoint.name == wanted
        ]

    def remove_relation(self, first: str, second: str) -> None:
        """Begin the end of a relation: departed and broken follow on both sides.

        Raises:
            UnknownError: if there is no such relation.
        """
        with self.lock:
            for relation in self.relations.values():
                if relation.peer or relation.life != "alive":
                    continue
                sides = {first.partition(":")[0]: first, second.partition(":")[0]: second}
                if set(sides) == set(relation.ends) and all(
                    relation.ends[app].name == (text.partition(":")[2] or relation.ends[app].name)
                    for app, text in sides.items()
                ):
                    relation.life = "dying"
                    self.drop_finished_relations()
                    self.touch()
                    return
            raise UnknownError(f'relation "{first} {second}" not found')

    def drop_finished_relations(self) -> None:
        """Delete the relations that are ending and that every unit has been told of."""
        for relation in list(self.relations.values()):
            told = (
                unit.told.relations.get(relation.id)
                for name in relation.ends
                if name in self.apps
                for unit in self.apps[name].units.values()
            )
            if relation.life == "dying" and all(t is None or t.broken for t in told):
                self._delete_relation(relation)

    def _delete_relation(self, relation: Relation) -> None:
        del self.relations[relation.id]
        for secret in self.secrets.values():
            secret.grants.pop(relation.id, None)

    def bag(self, relation: Relation, entity: str) -> Bag:
        """Return the databag of a unit or an application, made when it has none."""
        return relation.bags.setdefault(entity, Bag())

    def write_bag(self, relation: Relation, entity: str, values: Mapping[str, str]) -> None:
        """Merge values into a databag; an empty value deletes its key."""
        with self.lock:
            bag = self.bag(relation, entity)
            merged = {**bag.data, **values}
            merged = {key: value for key, value in merged.items() if value != ""}
            if merged != bag.data:
                bag.data = merged
                bag.version += 1
                self.touch()

    # Secrets.

    def secret(self, text: str) -> Secret:
        """Return a secret by any form of its id.

        Raises:
            UnknownError: with Juju's text, if there is none.
        """
        short = text.rpartition("/")[2].removeprefix("secret:")
        try:
            return self.secrets[short]
        except KeyError:
            raise UnknownError(f'secret "{short}" not found') from None

    @staticmethod
    def new_secret_id() -> str:
        """Return an id in the form of Juju's: twenty characters of base 32."""
        alphabet = "0123456789abcdefghijklmnopqrstuv"
        return "".join(secrets.choice(alphabet) for _ in range(20))

    def add_user_secret(self, content: Mapping[str, str]) -> str:
        """Keep a secret of the model's user, granted to nobody yet; return its id."""
        with self.lock:
            secret = Secret(self.new_secret_id(), USER, {1: dict(content)})
            self.secrets[secret.id] = secret
            self.touch()
            return secret.id

    def change_user_secret(
        self, text: str, content: Mapping[str, str] | None, app: str, granted: bool
    ) -> None:
        """Give a secret of the user another content, or grant it to an application, or not."""
        with self.lock:
            secret = self.secret(text)
            if content is not None and content != secret.revisions[secret.latest]:
                secret.revisions[secret.latest + 1] = dict(content)
            if app:
                names = secret.grants.setdefault(NO_RELATION, set())
                (names.add if granted else names.discard)(app)
            self.touch()

    def remove_user_secret(self, text: str) -> None:
        """Delete a secret of the user."""
        with self.lock:
            del self.secrets[self.secret(text).id]
            self.touch()

    def may_read(self, secret: Secret, unit: Unit) -> bool:
        """Return whether a secret is the unit's or its application's, or granted to either."""
        if secret.owner in (unit.name, unit.app):
            return True
        return any({unit.name, unit.app} & granted for granted in secret.grants.values())

    def owns(self, secret: Secret, unit: Unit) -> bool:
        """Return whether a unit manages a secret now; an application's is its leader's."""
        return secret.owner == unit.name or (secret.owner == unit.app and self.is_leader(unit))

    def track(self, secret: Secret, unit: Unit, refresh: bool) -> int:
        """Return the revision this unit reads; the first reading takes the latest."""
        with self.lock:
            if refresh or unit.name not in secret.consumers:
                before = secret.obsolete
                secret.consumers[unit.name] = secret.latest
                unit.told.secrets.setdefault(secret.id, secret.latest)
                if secret.obsolete != before:
                    self.touch()
            return secret.consumers[unit.name]

    def due_secrets(self, now: datetime) -> datetime | None:
        """Mark secrets whose rotation or expiry has come; return the next such moment."""
        with self.lock:
            pending: list[datetime] = []
            for secret in self.secrets.values():
                if secret.rotates and not secret.rotation_due:
                    if secret.rotates <= now:
                        secret.rotation_due = True
                        self.touch()
                    else:
                        pending.append(secret.rotates)
                if secret.expires and not secret.expired_revision:
                    if secret.expires <= now:
                        secret.expired_revision = secret.latest
                        self.touch()
                    else:
                        pending.append(secret.expires)
            return min(pending, default=None)

    # Actions.

    def add_action(self, unit_name: str, name: str, params: Mapping[str, Any]) -> Action:
        """Queue an action for a unit, its parameters checked and completed with defaults.

        Raises:
            ModelError: if the charm has no such action, or the parameters do not fit.
        """
        with self.lock:
            unit = self.unit(unit_name)
            spec = self.apps[unit.app].meta.actions.get(name)
            if spec is None:
                raise ModelError(f'action "{name}" not defined on unit "{unit_name}"')
            action = Action(str(uuid.uuid4()), name, _checked_params(name, spec, params))
            unit.actions.append(action)
            self.touch()
            return action

    # What the user sees.

    def set_workload(self, unit: Unit, status: Status) -> None:
        """Take over what a unit's charm says of itself."""
        with self.lock:
            unit.workload = status
            history = self._statuses.setdefault(unit.name, [])
            if not history or (history[-1].current, history[-1].message) != (
                status.current,
                status.message,
            ):
                history.append(status)
                del history[:-STATUSES]

    def status_log(self, unit_name: str) -> list[dict[str, str]]:
        """Return what a unit's charm has said of itself so far, also of a unit that has left."""
        with self.lock:
            return [
                {"current": each.current, "message": each.message}
                for each in self._statuses.get(unit_name, ())
            ]

    def unit_status(self, unit: Unit) -> dict[str, Any]:
        """Return a unit's part of ``status``."""
        return {
            "workload": {"current": unit.workload.current, "message": unit.workload.message},
            "agent": {"current": unit.agent.current, "message": unit.agent.message},
            "leader": self.is_leader(unit),
            "address": unit.address,
            "host": unit.host,
            "life": unit.life,
            "version": unit.version,
        }

    def app_status(self, app: Application) -> Status:
        """Return what the charm set for the application, else the worst of its units."""
        if app.status.current != "unset":
            return app.status
        shown = [
            Status("error", u.agent.message) if u.agent.current == "error" else u.workload
            for u in app.units.values()
        ]
        if not shown:
            return Status("waiting", "waiting for units") if not app.removed else Status("unknown")
        order = {name: rank for rank, name in enumerate(SEVERITY)}
        return min(shown, key=lambda status: order.get(status.current, len(SEVERITY)))

    def status(self) -> dict[str, Any]:
        """Return the state of everything, as ``Model.status`` of the client documents it."""
        with self.lock:
            apps: dict[str, Any] = {}
            for name, app in sorted(self.apps.items()):
                status = self.app_status(app)
                units = sorted(app.units.values(), key=lambda unit: unit.number)
                apps[name] = {
                    "status": {"current": status.current, "message": status.message},
                    "charm": app.meta.name,
                    "scale": app.scale,
                    "rolling": app.rolling > 0,
                    "containers": list(app.meta.containers),
                    "base": app.base,
                    "ports": sorted({port for u in app.units.values() for port in u.ports}),
                    "units": {unit.name: self.unit_status(unit) for unit in units},
                }
            relations = [
                {
                    "id": relation.id,
                    "endpoints": [f"{app}:{end.name}" for app, end in relation.ends.items()],
                    "interface": next(iter(relation.ends.values())).interface,
                    "life": relation.life,
                }
                for relation in self.relations.values()
            ]
            return {"model": self.name, "applications": apps, "relations": relations}

    def databags(self, app_name: str) -> dict[str, Any]:
        """Return ``{"endpoint:id": {unit or application: {key: value}}}`` of an application."""
        with self.lock:
            self.app(app_name)
            return {
                f"{relation.ends[app_name].name}:{relation.id}": {
                    entity: dict(bag.data) for entity, bag in sorted(relation.bags.items())
                }
                for relation in self.relations.values()
                if app_name in relation.ends
            }

    def secrets_of(self, app_name: str) -> dict[str, Any]:
        """Return ``{id: everything known}`` of the secrets of an application and its units."""
        with self.lock:
            self.app(app_name)
            return {
                secret.id: {
                    "owner": secret.owner,
                    "label": secret.label,
                    "description": secret.description,
                    "latest": secret.latest,
                    "revisions": {str(n): dict(c) for n, c in secret.revisions.items()},
                    "consumers": dict(secret.consumers),
                    "grants": {str(r): sorted(names) for r, names in secret.grants.items()},
                }
                for secret in self.secrets.values()
                if secret.owner.partition("/")[0] == app_name
            }

    def record(self, unit: str, name: str, rc: int, started: float, **costs: Any) -> None:
        """Keep what one run of dispatch cost; ``costs`` are the rest of ``HookRecord``."""
        with self.lock:
            self.records.append(HookRecord(len(self.records), unit, name, rc, started, **costs))
            self.show()

    def records_since(self, since: int) -> list[dict[str, Any]]:
        """Return the records from index ``since`` on, as mappings."""
        with self.lock:
            return [asdict(record) for record in self.records[since:]]


def _boolean(value: Any) -> bool:
    """Return a value, or what a command line says of it.

    Raises:
        ValueError: it is neither true nor false.
    """
    try:
        return {"true": True, "false": False}[str(value).lower()]
    except KeyError:
        raise ValueError(value) from None


def _minimum(spec: Mapping[str, Any]) -> int:
    """Return how many instances of a storage every unit has from the start."""
    wanted = str((spec.get("multiple") or {}).get("range", "1"))
    first = wanted.partition("-")[0].rstrip("+")
    return int(first) if first.isdigit() else 1


def _converted(name: str, kind: str, value: Any) -> Any:
    try:
        if kind == "boolean":
            if isinstance(value, bool):
                return value
            return {"true": True, "false": False}[str(value).lower()]
        if kind == "int":
            return int(str(value))
        if kind == "float":
            return float(value)
    except (KeyError, ValueError, TypeError):
        raise ModelError(f'option "{name}" expected {kind}, got {value!r}') from None
    return str(value)


_PARAM_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def _checked_params(
    action: str, spec: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, Any]:
    declared: Mapping[str, Any] = spec.get("params") or {}
    for name in spec.get("required") or ():
        if name not in params:
            raise ModelError(f'validation failed: (root) : "{name}" property is missing: {action}')
    for name, value in params.items():
        if name not in declared:
            if spec.get("additionalProperties") is False:
                raise ModelError(f'validation failed: additional property "{name}" is not allowed')
            continue
        kinds = _PARAM_TYPES.get(str(declared[name].get("type", "")))
        wrong_bool = isinstance(value, bool) and kinds is not None and bool not in kinds
        if kinds is not None and (wrong_bool or not isinstance(value, kinds)):
            raise ModelError(
                f"validation failed: (root).{name} : must be of type {declared[name]['type']}, "
                f"given {value!r}"
            )
    defaults = {
        name: sub["default"]
        for name, sub in declared.items()
        if isinstance(sub, Mapping) and "default" in sub
    }
    return {**defaults, **params}
