# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What one unit sees of Juju, Pebble, Redis and Sentinel: values only, nothing that acts.

Everywhere a node is known by its host, the DNS name of its unit; addresses change, names stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

import constants as c
from clients.view import ClientsView
from engine.purpose import Departure, Purpose, Routine, Stop, Switchover
from errors import Refusal
from nodes.access import Transport
from service.view import ServiceView
from tenants.view import TenantsView
from tls.view import TlsView
from values import dataclass

if TYPE_CHECKING:
    from passwords.users import Credentials


@dataclass(frozen=True)
class Logins:
    """The passwords that one node accepts and uses, as digests."""

    accepted: Mapping[str, frozenset[str]] = field(repr=False)
    """By user of its ACL."""
    used: Mapping[str, str] = field(repr=False)
    """By setting with which it logs in elsewhere."""


@dataclass(frozen=True)
class Image:
    """What an image has of what the charm needs; an empty name: it has none."""

    server: str = ""
    """The program that becomes Redis, and Sentinel."""
    cli: str = ""
    exporter: str | None = None
    """Path of the exporter; None where the image has none, and no metrics then."""
    user: str = ""
    """Who runs Redis."""
    group: str = ""
    missing: tuple[str, ...] = ()
    """What nothing can do without, by its names; empty: all is there."""


@dataclass(frozen=True)
class Holder:
    """A process that listens on a port of this unit."""

    container: str | None
    """None: it runs in no container of the charm."""
    name: str = ""
    pid: int = 0
    """As its container counts."""
    service: str | None = None
    """The service of the image that it belongs to, if one runs whose program it is."""
    is_own: bool = False
    """It is what a service of the charm has become."""


@dataclass(frozen=True)
class ContainerView:
    """One workload container as its Pebble shows it."""

    ready: bool = False
    """Pebble answers."""
    current: bool = False
    """The files and the layer in it are those of the present configuration."""
    running: frozenset[str] = frozenset()
    """The charm's services that are active; those that the image brings don't count."""
    services: frozenset[str] = frozenset()
    """The services of the charm's layer, running or not."""
    foreign: frozenset[str] = frozenset()
    """The services of the image that are active; one may have the name of one of the charm's."""
    image: Image | None = None
    """None: it was not looked at, since the files are current."""
    boot: str = ""
    """What tells this start of Pebble from the next; empty: it did not say."""


@dataclass(frozen=True)
class RedisView:
    """One Redis node that answered."""

    role: str
    """``"primary"`` or ``"replica"``."""
    primary_host: str | None = None
    """Of a replica: the node it follows."""
    link_up: bool = False
    """Of a replica: connected to its primary and in sync."""
    offset_bytes: int = 0
    priority: int = 0
    """0: Sentinel must not promote it."""
    connected_replicas: int = 0
    """Of a primary: the replicas in sync that acknowledge within the allowed lag."""
    handover_claims: int = 0
    """How many claim to be handing over from it: hooks, and the script of its own pod."""
    persists: bool = True
    """Its last write to the append-only file succeeded."""
    slow_write_ms: int = 0
    """How long all waited for such a write in the last minutes; 0: not for long."""
    has_log: bool = True
    """Its append-only file is on."""
    rewrites_log: bool = False
    """It writes that file anew; after a copy from its primary that file has nothing before."""
    version: str = ""
    """Such as ``7.0.15``, or ``valkey 9.1.2`` where the server is not Redis."""
    uptime_s: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    """The run-time settings the charm looks after (``plan.redis_settings``), as they are."""

    @property
    def is_primary(self) -> bool:
        """Whether it takes writes by its role."""
        return self.role == "primary"

    @property
    def is_logged(self) -> bool:
        """Whether all that it has is in its append-only file."""
        return self.has_log and not self.rewrites_log

    @property
    def fence(self) -> int:
        """How many replicas it must see to take a write; 0 also where that was not asked for."""
        return int(self.settings.get("min-replicas-to-write", "0"))

    @property
    def is_fenced(self) -> bool:
        """Whether it is a primary that refuses writes, since too few replicas are in step."""
        return self.is_primary and self.connected_replicas < self.fence


@dataclass(frozen=True)
class KnownReplica:
    """A replica as one Sentinel knows it."""

    host: str
    priority: int
    link_up: bool
    down: bool
    """Down in that Sentinel's opinion, or it has lost its connection to it."""


@dataclass(frozen=True)
class SentinelView:
    """One Sentinel process that answered."""

    primary_host: str | None
    """The primary it names; None: it does not watch this application."""
    config_epoch: int = 0
    quorum: int = 0
    failing_over: bool = False
    primary_down_ms: int = 0
    """For how long it has thought the primary down; 0: it does not."""
    hears_primary: bool = True
    """Whether the primary has answered it within the last second."""
    has_majority: bool = False
    """Its own count (``SENTINEL CKQUORUM``): quorum and majority can be reached."""
    in_tilt: bool = False
    replicas: tuple[KnownReplica, ...] = ()
    others: frozenset[str] = frozenset()
    """The hosts of the other Sentinels it counts as voters."""
    options: Mapping[str, str] = field(default_factory=dict)
    """``down-after-milliseconds``, ``failover-timeout``, ``parallel-syncs``, ``info-period``."""


@dataclass(frozen=True)
class File:
    """A file of a workload container.

    What is in the charm's directory belongs to root, and to the group of the user that runs
    Redis, who reads it and writes none of it.
    """

    path: str
    text: str = field(repr=False)
    mode: int = 0o640


@dataclass(frozen=True)
class Config:
    """The options of the charm, checked."""

    down_after_ms: int = 1200
    tls: bool = False
    """The option ``enable-tls``."""
    settings: tuple[tuple[str, str], ...] = ()
    """Of Redis, by name, as it writes them; none while something is wrong with one."""
    start_empty: bool = False
    """The option ``start-empty``."""
    problem: str | None = None
    """What is wrong with the options that the operator gave. What runs then stays as it is; only a
    new pod uses the defaults."""


@dataclass(frozen=True)
class World:
    """One look. Frozen: a decision is taken on one picture."""

    app: str
    """Also the name by which the Sentinels know the primary (``master_name``)."""
    host: str
    """This unit."""
    is_leader: bool = False
    planned: tuple[str, ...] = ()
    """The hosts of the units that are to stay, sorted by ordinal."""
    unmet: frozenset[str] = frozenset()
    """Those of them that have not joined the peer relation yet; their pods may not be there."""
    units_known: bool = True
    """Juju has said which units are to stay; else ``planned`` is what was last recorded."""
    leaving: frozenset[str] = frozenset()
    """The hosts of units that Juju is removing and has not removed yet."""
    purpose: Purpose = Routine()
    """Why this hook looks."""
    waited_in_vain_s: float = 0.0
    """For how long this hook has seen nothing to wait for (``plan.may_yet_hand_over``)."""
    has_claim: bool = False
    """This hook holds the claim on the handover."""
    has_peer_relation: bool = True
    recorded_primary: str | None = None
    """``leader-host`` of the peer relation."""
    recorded_units: tuple[str, ...] = ()
    """The planned units as the peer relation has them, by which the leader wakes the others."""
    record_kept: bool = True
    """The record was there when this hook began, so it outlives a failure of the hook."""
    initialised: bool = False
    """A primary of this application has been up: from now on there is data to lose."""
    credentials: Credentials | None = None
    credentials_refused: bool = False
    """Juju does not give the passwords that there are, or does not say whether there are any."""
    credentials_kept: bool = True
    """The secret was there when this hook began. A secret made in a hook that fails is void."""
    config: Config = Config()
    redis_container: ContainerView = ContainerView()
    sentinel_container: ContainerView = ContainerView()
    holders: Mapping[int, Holder] = field(default_factory=dict)
    """By port: who listens in the place of this unit's own process, which does not answer."""
    sentinel_conf_present: bool = False
    """``sentinel.conf`` of this unit and this application is on the storage."""
    storage_attached: bool = True
    volume_free_bytes: int | None = None
    """Room on this unit's volume; None: it is not attached."""
    own_data_time: float | None = None
    """When this unit's data was last written, in seconds since 1970; None: it has none, or its
    Redis runs, so that the question does not arise."""
    data_times: Mapping[str, float] = field(default_factory=dict)
    """By host: when the data of a unit had last been written before its Redis started."""
    own_empty: bool = False
    """The Redis of this unit serves nobody, and there are no data on its volume."""
    empty: frozenset[str] = frozenset()
    """The hosts of the units that have said so of themselves."""
    redis: Mapping[str, RedisView] = field(default_factory=dict)
    """By host. Absent: it gave no answer, or this look did not ask it."""
    sentinels: Mapping[str, SentinelView] = field(default_factory=dict)
    """By host. Absent: it gave no answer, or this look did not ask it."""
    asked_all: bool = False
    """This look asked all planned and leaving hosts, so an absent one is silent."""
    redis_refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """By host: why a Redis that is there refused to answer (a wrong password, loading)."""
    sentinel_refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """By host: why a Sentinel that is there refused to answer."""
    secret_changed: bool = False
    """This hook has written a new state of the passwords, which counts when it succeeds."""
    serials: Mapping[str, int] = field(default_factory=dict)
    """By host: the serial of the passwords that a unit says its nodes have. Absent: it has never
    said one, and has those of its birth."""
    plain_passwords: bool = False
    """The earlier charm's databag still has the passwords."""
    wanted_passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By user: what the operator chose (``system-users``). Leader only."""
    system_users_problem: str | None = None
    """What is wrong with the option ``system-users``. Leader only."""
    redis_logins: Logins | None = None
    """Of this unit's Redis; None: no answer, or there was no reason to ask."""
    sentinel_logins: Logins | None = None
    """Of this unit's Sentinel. None as above."""
    transport: Transport = Transport()
    """How nodes are spoken to now."""
    tls: TlsView = TlsView()
    service: ServiceView = ServiceView()
    clients: ClientsView = ClientsView()
    tenants: TenantsView = TenantsView()
    """Leader only."""
    handover_problem: str | None = None
    """Why a failover that this hook asked for was refused."""

    @property
    def stopping(self) -> bool:
        """Whether this is the stop hook."""
        return isinstance(self.purpose, Stop)

    @property
    def departing(self) -> str | None:
        """The host of the unit whose departure Juju tells of; None: it tells of none."""
        return self.purpose.host if isinstance(self.purpose, Departure) else None

    @property
    def ordered(self) -> Switchover | None:
        """The operator's order to move the primary role; None: there is none."""
        return self.purpose if isinstance(self.purpose, Switchover) else None

    @property
    def is_leaving(self) -> bool:
        """Whether Juju is removing this unit."""
        return self.host in self.leaving

    def unit(self, host: str | None) -> str:
        """Return the unit of a host, as Juju writes it; ``nobody`` for None."""
        if host is None:
            return "nobody"
        found = re.fullmatch(rf"{re.escape(self.app)}-(\d+)(\..*)?", host)
        return f"{self.app}/{found[1]}" if found else host

    def units(self, hosts: Iterable[str | None]) -> str:
        """Return the units of hosts as an operator reads them, sorted by number."""
        names = {self.unit(host) for host in hosts}
        return ", ".join(sorted(names, key=lambda name: (len(name), name)))

    def in_units(self, text: str) -> str:
        """Return a text with the units in it where it has their hosts."""
        host = rf"(?<![\w.-]){re.escape(self.app)}-(\d+)(\.[\w-]+)*\b"
        return re.sub(host, rf"{self.app}/\1", text)

    @property
    def quorum(self) -> int:
        """How many Sentinels must agree that the primary is down."""
        return len(self.planned) // 2 + 1

    @property
    def containers(self) -> Mapping[str, ContainerView]:
        """What runs in the containers, by name."""
        return {c.REDIS: self.redis_container, c.SENTINEL: self.sentinel_container}

    @property
    def missing(self) -> Mapping[str, tuple[str, ...]]:
        """What the images of the containers lack, by container; those that lack nothing aren't."""
        views = self.containers.items()
        return {name: v.image.missing for name, v in views if v.image and v.image.missing}

    @property
    def own_redis(self) -> RedisView | None:
        """The Redis of this unit; None: no answer."""
        return self.redis.get(self.host)

    @property
    def own_sentinel(self) -> SentinelView | None:
        """The Sentinel of this unit; None: no answer."""
        return self.sentinels.get(self.host)

    @property
    def agreed_primary(self) -> str | None:
        """The host that a majority of the planned Sentinels name; None: there is none."""
        named = [view.primary_host for h, view in self.sentinels.items() if h in self.planned]
        for host in set(named) - {None}:
            if named.count(host) >= self.quorum:
                return host
        return None

    def is_loading(self, host: str) -> bool:
        """Whether the Redis of a host is there and refuses to answer until it has its data."""
        return self.redis_refusals.get(host) is Refusal.LOADING

    @property
    def handing_over(self) -> bool:
        """Whether somebody is moving the primary's role; the priorities are theirs then."""
        return any(view.handover_claims for view in self.redis.values())

    @property
    def failing_over(self) -> bool:
        """Whether a Sentinel that answered says that a failover is under way."""
        return any(view.failing_over for view in self.sentinels.values())
