# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Redis with Sentinel on Kubernetes: the charm.

An event wakes the charm; it looks (``World``), plans, applies the steps, and looks again until
nothing is left to do or the hook's budget is spent. What the events mean is in ``plan``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import ops

import constants as c
import events
import hooktools
import peers
import plan
import ports
import render
import rotation
import status
import tls
import turns
import workload
from errors import (
    AdapterError,
    CredentialsRefusedError,
    RedisClientError,
    Refusal,
    RefusedError,
    SecretError,
    WorkloadError,
)
from purpose import Departure, Purpose, Routine, Stop, Switchover
from world import (
    Config,
    ContainerView,
    Credentials,
    Holder,
    Image,
    Logins,
    RedisView,
    SentinelView,
    TlsRecord,
    TlsView,
    World,
)

if TYPE_CHECKING:
    from charmlibs.interfaces.tls_certificates import TLSCertificatesRequiresV4

    import certificates
    import redis_client
    import sentinel

logger = logging.getLogger(__name__)


class RedisK8sCharm(ops.CharmBase):
    """Observes Juju's events and applies the plan."""

    _memory = ops.StoredState()
    """What this unit has told Juju, and where Juju has put its volume; lost with the pod."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        hooktools.gather_logs()
        self._memory.set_default(volume="", unit_status="", app_status="", version="")
        self._memory.set_default(revision=0, ports_wait=False)
        self._redis = workload.Workload(self.unit.get_container(c.REDIS))
        self._sentinel = workload.Workload(self.unit.get_container(c.SENTINEL))
        self._hosts = peers.Hosts(self.app.name, self.model.name)
        self._host = self._hosts.of(self.unit.name)
        self._world: World | None = None
        self._begun_with: tuple[bool, bool] | None = None
        self._fates: tuple[list[str], list[str], bool] | None = None
        self._routine = events.is_routine(os.environ)
        self._thorough = False
        self._handover_problem: str | None = None
        self._credentials: Credentials | None = None
        self._secret_changed = False
        self._images: dict[str, Image] = {}
        self._tls_waits: bool | None = None
        self._found: certificates.Found | None = None
        self._chosen: Mapping[str, str] | str | None = None
        self._claim = contextlib.ExitStack()
        self._has_claim = False
        self._retired = False

        self._certificates = self._relate_certificates()

        on = self.on
        for event in (
            on.leader_elected,
            on.config_changed,
            on.upgrade_charm,
            on.start,
            on.update_status,
            on.secret_changed,
            on[c.STORAGE].storage_attached,
            on[c.STORAGE].storage_detaching,
            on[c.REDIS].pebble_ready,
            on[c.SENTINEL].pebble_ready,
            on[c.REDIS].pebble_custom_notice,
            on[c.SENTINEL].pebble_custom_notice,
            on[c.PEER_RELATION].relation_created,
            on[c.CERTIFICATES_RELATION].relation_changed,
            on[c.CERTIFICATES_RELATION].relation_broken,
            on[c.PEER_RELATION].relation_changed,
        ):
            framework.observe(event, self._on_event)
        framework.observe(on[c.PEER_RELATION].relation_departed, self._on_peers_departed)
        framework.observe(on.secret_remove, self._on_secret_remove)
        framework.observe(on.stop, self._on_stop)
        framework.observe(on.check_service_action, self._on_check_service)
        framework.observe(on.get_initial_admin_password_action, self._on_get_admin_password)
        framework.observe(on.get_sentinel_password_action, self._on_get_sentinel_password)
        framework.observe(on.switchover_action, self._on_switchover)
        framework.observe(on.rotate_passwords_action, self._on_rotate_passwords)
        framework.observe(on.collect_unit_status, self._on_collect_unit_status)
        framework.observe(on.collect_app_status, self._on_collect_app_status)

    def _relate_certificates(self) -> TLSCertificatesRequiresV4 | None:
        """Return the library's side of the relation certificates; None where it has no part.

        Without the relation, or when a hook tells nothing and TLS is off.
        """
        if self._routine and not self.config["enable-tls"]:
            return None
        if self.model.get_relation(c.CERTIFICATES_RELATION) is None:
            return None
        import certificates

        extra = [each.strip() for each in str(self.config["certificate-extra-sans"]).split(",")]
        namespace = self._host.split(".", 1)[1]
        service = f"{self.app.name}.{namespace.split('.', 1)[1]}"
        names = (self._host, namespace, service, *(each for each in extra if each))
        return certificates.requirer(
            self, names, [self.on.config_changed, self.on.upgrade_charm, self.on.update_status]
        )

    # Events

    def _on_event(self, event: ops.EventBase) -> None:
        world = self._reconcile()
        redis = world.own_redis
        # Each call costs as much as a look at a node.
        if redis and redis.version != self._memory.version:
            self.unit.set_workload_version(redis.version)
            self._memory.version = redis.version
        # Juju keeps what is open, so it is looked at once or twice for each pod.
        starts = isinstance(event, ops.StartEvent | ops.PebbleReadyEvent)
        if (starts or self._memory.ports_wait) and world.redis_container.ready:
            self._open_ports()

    def _open_ports(self) -> None:
        """Give the Service of the application its ports; the image decides on that of metrics."""
        try:
            ports = [c.REDIS_PORT, c.SENTINEL_PORT]
            image = self._images.get(c.REDIS) or self._redis.image()
            if image.exporter is not None:
                ports.append(c.EXPORTER_PORT)
            self.unit.set_ports(*ports)
            self._memory.ports_wait = False
        except (WorkloadError, ops.ModelError) as e:
            if isinstance(e, ops.ModelError) and not hooktools.is_spent(e):
                raise
            logger.warning("The ports are not open yet: %s", hooktools.reason_of(e))
            self._memory.ports_wait = True

    def _on_secret_remove(self, event: ops.SecretRemoveEvent) -> None:
        # Nobody reads this revision any more, so passwords that have gone leave Juju too.
        if event.secret.label != peers.SECRET_LABEL or self._memory.revision == event.revision:
            # Juju repeats a hook at whose end it found that the revision had gone.
            return
        self._memory.revision = event.revision
        try:
            event.remove_revision()
        except ops.ModelError as e:
            # It has gone, or this unit leads no more.
            if not (isinstance(e, ops.SecretNotFoundError) or hooktools.is_spent(e)):
                raise
            reason = hooktools.reason_of(e)
            logger.warning("Revision %s of the passwords stays: %s", event.revision, reason)

    def _on_peers_departed(self, event: ops.RelationDepartedEvent) -> None:
        unit = event.departing_unit
        self._reconcile(Departure(self._hosts.of(unit.name) if unit else None))

    def _on_stop(self, _: ops.StopEvent) -> None:
        self._reconcile(Stop())

    # An event that gave no reason to look, or an action, leaves the statuses as they are.

    def _on_collect_unit_status(self, event: ops.CollectStatusEvent) -> None:
        if self._world:
            self._show(event, "unit_status", status.unit_statuses(self._world))

    def _on_collect_app_status(self, event: ops.CollectStatusEvent) -> None:
        if self._world:
            self._show(event, "app_status", status.app_statuses(self._world))

    def _show(
        self, event: ops.CollectStatusEvent, kind: str, statuses: Iterable[ops.StatusBase]
    ) -> None:
        """Set statuses, but not in a hook that tells nothing when they are those that Juju has.

        In other hooks somebody else may have set one: Juju, or the leader before this one.
        """
        found = list(statuses)
        text = "; ".join(f"{each.name} {each.message}" for each in found)
        if self._routine and text == getattr(self._memory, kind):
            return
        for each in found:
            event.add_status(each)
        setattr(self._memory, kind, text)

    # Actions

    def _on_check_service(self, event: ops.ActionEvent) -> None:
        world = self.look()
        redis, watcher = world.own_redis, world.own_sentinel
        results = {"result": "Service is not running", "sentinel": "no answer"}
        if redis is not None:
            results["role"] = redis.role
            if plan.is_serving(redis):
                results["result"] = "Service is running"
            if not redis.is_primary:
                results["primary"] = str(redis.primary_host)
                results["link"] = "up" if redis.link_up else "down"
            else:
                results["replicas-in-step"] = str(redis.connected_replicas)
        if watcher is not None:
            results["sentinel"] = "running"
            results["sentinel-primary"] = watcher.primary_host or "none"
            results["sentinel-quorum"] = str(watcher.quorum)
            results["sentinel-majority"] = "yes" if watcher.has_majority else "no"
            results["sentinel-replicas"] = str(len(watcher.replicas))
            results["sentinel-others"] = str(len(watcher.others))
        event.set_results(results)

    def _on_get_admin_password(self, event: ops.ActionEvent) -> None:
        self._return_password(event, "redis-password", "admin")

    def _on_get_sentinel_password(self, event: ops.ActionEvent) -> None:
        self._return_password(event, "sentinel-password", "sentinel_admin")

    def _return_password(self, event: ops.ActionEvent, key: str, field: str) -> None:
        try:
            credentials = peers.Peers(self.model).credentials()
        except CredentialsRefusedError as e:
            if not hooktools.is_spent(e):
                raise
            event.fail("Juju does not give the passwords; try again in a moment")
            return
        if credentials is None:
            event.fail("The leader has not made the passwords yet; try again in a moment")
            return
        event.set_results({key: getattr(credentials, field)})

    def _on_switchover(self, event: ops.ActionEvent) -> None:
        if not self.unit.is_leader():
            event.fail("Run this action on the leader")
            return
        unit = event.params.get("unit", "")
        world = self.look()
        targets = [self._hosts.unit(h) for h in world.planned if h != world.agreed_primary]
        if unit and unit not in (*targets, self._hosts.unit(world.agreed_primary or self._host)):
            event.fail(f"{unit} is not a unit of this application; choose from {targets}")
            return
        before = world.agreed_primary
        after = self._reconcile(Switchover(self._hosts.of(unit) if unit else None))
        primary = after.agreed_primary
        if primary is None or (primary != self._hosts.of(unit) if unit else primary == before):
            reason = after.handover_problem or self._pending(after) or "no replica is in sync"
            event.fail(f"The primary stays as it is: {reason}")
            return
        event.set_results({"primary": self._hosts.unit(primary)})

    def _on_rotate_passwords(self, event: ops.ActionEvent) -> None:
        if not self.unit.is_leader():
            event.fail("Run this action on the leader")
            return
        world = self.look()
        user = event.params.get("user", "")
        if user and user not in rotation.FIELDS:
            event.fail(f"There is no user {user}; there are {', '.join(rotation.FIELDS)}")
            return
        fields = world.wanted_passwords
        chosen = {name for name, field in rotation.FIELDS.items() if field in fields}
        if user in chosen:
            event.fail(
                f"The password of {user} is chosen by the option system-users; change it there"
            )
            return
        if world.credentials is None or not rotation.is_settled(world):
            event.fail("The passwords of some unit are being changed; try again in a moment")
            return
        users = [user] if user else [name for name in rotation.FIELDS if name not in chosen]
        new = {rotation.FIELDS[name]: peers.new_password() for name in users}
        self._take(rotation.begin(world.credentials, new), world)
        self._ask_again(("the passwords are being changed",), world)
        event.set_results({"users": ", ".join(users)})

    def _pending(self, world: World) -> str | None:
        steps = plan.next_steps(world)
        return next((s.reason for s in steps if isinstance(s, plan.AskAgain)), None)

    # Look, plan, apply

    def _reconcile(self, purpose: Purpose = Routine()) -> World:  # noqa: B008  it is frozen
        """Bring this unit, and as leader the application, nearer to what it should be.

        Returns:
            The last look.
        """
        verdict = turns.run(self, purpose)
        self._release_claim()
        if verdict.reasons:
            self._ask_again(verdict.reasons, verdict.world)
        if not (verdict.world.units_known or verdict.world.planned):
            # Juju says nothing and nothing was recorded: no status would be true.
            return verdict.world
        self._world = replace(verdict.world, handover_problem=self._handover_problem)
        return self._world

    def now_s(self) -> float:
        """Return the time by which a hook's budget is kept."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Let what was ordered take effect."""
        time.sleep(seconds)

    def stretch(self, reasons: tuple[str, ...]) -> None:
        """Get ready for one more stretch of the last hook of a unit that is needed.

        Juju has no limit for this hook, and the pod is there until it ends. Meanwhile more units
        may be told to leave, all of them even; and no claim may grow old.
        """
        self._release_claim()
        try:
            self._memory.unit_status = ""
            self.unit.status = status.owing(reasons)
            self._fates = (*peers.units_by_fate(), True)
        except hooktools.FAILURES as e:
            # Juju may be away for a while. Nothing here depends on it for now.
            logger.warning("Juju gives no answer: %s", hooktools.reason_of(e))

    def _release_claim(self) -> None:
        self._claim.close()
        self._has_claim = False

    def look(self, purpose: Purpose = Routine()) -> World:  # noqa: B008  it is frozen
        """Return what this unit can see now.

        In a hook that tells nothing, a unit that is right asks no more than it takes to see that.
        """
        if self._routine and not self._thorough:
            world = self._look(purpose, self._glance())
            if plan.is_at_rest(world) and status.is_all_right(world):
                return world
            self._thorough = True
        return self._look(purpose, peers.Peers(self.model))

    def _glance(self) -> peers.Peers:
        return peers.Peers(self.model, reads_all=bool(self.config["enable-tls"]))

    def _look(self, purpose: Purpose, shared: peers.Peers) -> World:
        """Return one look, as thorough as what is read of the peers."""
        world = World(app=self.app.name, host=self._host, has_peer_relation=shared.exists)
        if not shared.exists:
            return world
        is_leader = self._leads()
        staying, leaving, units_known = self._units(shared, is_leader)
        refused = False
        if self._credentials is None:
            # Once in a hook: what others write meanwhile is for the next one, and what this hook
            # writes counts when it has succeeded.
            try:
                self._credentials = shared.credentials()
            except CredentialsRefusedError as e:
                if not hooktools.is_spent(e):
                    raise
                logger.warning("Juju does not give the passwords: %s", hooktools.reason_of(e))
                refused = True
        credentials = self._credentials
        if self._begun_with is None:
            self._begun_with = hooktools.begun_with(
                shared.primary is not None, credentials is not None
            )
        joined = shared.joined
        world = replace(
            world,
            is_leader=is_leader,
            planned=tuple(self._hosts.of(unit) for unit in staying),
            unmet=frozenset(self._hosts.of(u) for u in staying if u not in joined),
            units_known=units_known,
            leaving=frozenset(self._hosts.of(unit) for unit in leaving),
            purpose=purpose,
            has_claim=self._has_claim,
            recorded_primary=shared.primary,
            record_kept=self._begun_with[0],
            recorded_units=shared.units,
            initialised=shared.initialised,
            credentials=credentials,
            credentials_refused=refused,
            credentials_kept=self._begun_with[1],
            config=self._config(),
            secret_changed=self._secret_changed,
            serials={self._hosts.of(u): s for u, s in shared.serials().items()},
            plain_passwords=shared.has_plain_passwords,
        )
        if credentials is not None:
            if world.is_leader:
                world = self._look_at_chosen(world, shared)
            world = self._look_at_tls(world, shared)
        settled = credentials is not None and not world.config.problem
        fingerprint = render.fingerprint(world) if settled else None
        world = replace(
            world,
            redis_container=self._redis.view(fingerprint),
            sentinel_container=self._sentinel.view(fingerprint),
            data_times={self._hosts.of(u): t for u, t in shared.data_times().items()},
        )
        world = self._look_for_volume(world)
        if credentials is None:
            return world
        world = self._look_at_images(world)
        try:
            world = self._look_at_volume(world)
        except WorkloadError as e:
            logger.warning("%s", e)
            return replace(
                world, redis_container=ContainerView(), sentinel_container=ContainerView()
            )
        world = self._ask_nodes(world)
        if plan.is_in_doubt(world):
            world = self._ask_nodes(world, ask_all=True)
        return self._look_at_ports(world)

    def _leads(self) -> bool:
        """Whether this unit is the leader; Juju is asked now and then in a hook that waits."""
        try:
            return self.unit.is_leader()
        except ops.ModelError as e:
            if not hooktools.is_spent(e):
                raise
            logger.warning("Juju does not say who leads: %s", hooktools.reason_of(e))
            return False

    def _units(self, shared: peers.Peers, is_leader: bool) -> tuple[list[str], list[str], bool]:
        """Return the units that are to stay and those that leave, and whether Juju said so."""
        recorded = [self._hosts.unit(host) for host in shared.units]
        if self._fates is None and not (is_leader or shared.reads_all):
            if self.unit.name in recorded:
                # The leader keeps them, and wakes all when they change.
                return recorded, [], True
        if self._fates is None:
            try:
                self._fates = (*peers.units_by_fate(), True)
            except hooktools.FAILURES as e:
                if not hooktools.is_spent(e):
                    raise
                logger.warning(
                    "Juju does not say which units there are: %s", hooktools.reason_of(e)
                )
                self._fates = (recorded, [], False)
        return self._fates

    def _look_for_volume(self, world: World) -> World:
        """Add whether the volume is there, and its room."""
        if self._routine and not self._thorough and self._memory.volume:
            with contextlib.suppress(OSError):
                return replace(world, volume_free_bytes=_free_bytes(str(self._memory.volume)))
        storages = self.model.storages[c.STORAGE]
        world = replace(world, storage_attached=bool(storages))
        for storage in storages:
            try:
                location = str(storage.location)
                self._memory.volume = location
                return replace(world, volume_free_bytes=_free_bytes(location))
            except OSError as e:
                logger.info("The volume cannot be looked at: %s", e)
        return world

    def _in(self, container: str) -> workload.Workload:
        return self._redis if container == c.REDIS else self._sentinel

    def _look_at_images(self, world: World) -> World:
        """Add what the images have; it matters only before files are written."""

        def looked_at(name: str, view: ContainerView) -> ContainerView:
            if not view.ready or view.current:
                return view
            try:
                if name not in self._images:
                    self._images[name] = self._in(name).image()
            except WorkloadError as e:
                logger.warning("%s", e)
                return ContainerView()
            return replace(view, image=self._images[name])

        return replace(
            world,
            redis_container=looked_at(c.REDIS, world.redis_container),
            sentinel_container=looked_at(c.SENTINEL, world.sentinel_container),
        )

    def _look_at_ports(self, world: World) -> World:
        """Add who listens where this unit's own processes do not answer."""
        sockets = ports.listening(plan.silent_ports(world))
        if not sockets:
            return world
        inodes = sorted(set().union(*sockets.values()))
        found: dict[str, Holder] = {}
        ready = {c.REDIS: world.redis_container.ready, c.SENTINEL: world.sentinel_container.ready}
        try:
            for name in (name for name, is_ready in ready.items() if is_ready):
                found |= self._in(name).holders(inodes)
        except WorkloadError as e:
            logger.warning("%s", e)
            return world
        holders: dict[int, Holder] = {}
        for port, of_port in sockets.items():
            known = [found[inode] for inode in sorted(of_port) if inode in found]
            if not known and all(ready.values()):
                holders[port] = Holder(container=None)
            elif known and not any(holder.is_own for holder in known):
                holders[port] = known[0]
        return replace(world, holders=holders)

    def _look_at_volume(self, world: World) -> World:
        """Add what is on the volume; it matters only before the processes start.

        Raises:
            WorkloadError: Pebble stopped answering.
        """
        if world.sentinel_container.ready and c.SENTINEL not in world.sentinel_container.running:
            present = self._sentinel.has_sentinel_conf(render.owner_mark(world))
            world = replace(world, sentinel_conf_present=present)
        if world.redis_container.ready and c.REDIS not in world.redis_container.running:
            world = replace(world, own_data_time=self._redis.data_time())
        return world

    def _ask_nodes(self, world: World, ask_all: bool = False) -> World:
        """Add what the Redis and Sentinel processes say, all asked at once."""
        assert world.credentials
        if plan.needs_full_look(world) or ask_all:
            hosts = {*world.planned, *world.leaving}
        else:
            hosts = {world.host, world.recorded_primary} - {None}
        runs = world.redis_container.running or world.sentinel_container.running
        if not (runs or world.is_leaving):
            # Nothing runs here yet; what the others say would change nothing.
            return world
        # Imported here: redis-py is the largest import, and no hook before this point needs it.
        import redis_client
        import sentinel

        access = self._access(world)
        names = plan.redis_settings(world).keys() | {"replica-priority"}

        def ask(node: tuple[str, str]) -> RedisView | SentinelView:
            kind, host = node
            if kind == c.SENTINEL:
                return sentinel.Sentinel(host, access).view()
            return redis_client.RedisNode(host, access).view(names)

        nodes = [(kind, str(host)) for kind in (c.REDIS, c.SENTINEL) for host in hosts]
        answers = redis_client.ask_all(nodes, ask)
        refusals: dict[str, dict[str, Refusal]] = {c.REDIS: {}, c.SENTINEL: {}}
        for (kind, host), answer in answers.items():
            if isinstance(answer, RedisClientError):
                logger.debug("%s: %s", kind, answer)
            if isinstance(answer, RefusedError):
                refusals[kind][host] = answer.refusal
        world = replace(
            world,
            redis={h: a for (_, h), a in answers.items() if isinstance(a, RedisView)},
            sentinels={h: a for (_, h), a in answers.items() if isinstance(a, SentinelView)},
            redis_refusals=refusals[c.REDIS],
            sentinel_refusals=refusals[c.SENTINEL],
            asked_all=plan.needs_full_look(world) or ask_all,
        )
        if world.tls.active:
            world = self._ask_for_tls(world)
        return self._ask_for_logins(world) if rotation.is_behind(world) else world

    def _access(self, world: World) -> redis_client.Access:
        """Return what opens the nodes, as they speak now."""
        import redis_client

        assert world.credentials
        material = world.tls.material
        transport = redis_client.Transport(
            mode=render.transport_mode(world) if world.tls.active else tls.PLAIN,
            authorities=tls.bundle(world),
            names_hosts=material is not None and material.names_hosts,
        )
        return redis_client.Access(world.app, world.credentials.operator, transport=transport)

    def _ask_for_tls(self, world: World) -> World:
        """Add what the nodes of this unit serve."""
        import transport

        assert world.credentials
        redis_serves = sentinel_serves = None
        try:
            if world.own_redis is not None:
                redis_serves = transport.read(world.host, self._access(world))
            if world.own_sentinel is not None:
                sentinel_serves = self._sentinel.sentinel_serves()
        except AdapterError as e:
            logger.info("%s", e)
        view = replace(world.tls, redis=redis_serves, sentinel=sentinel_serves)
        world = replace(world, tls=view)
        # What the files are to say follows from what the nodes serve, so they are compared again.
        fingerprint = None if world.config.problem else render.fingerprint(world)
        world = replace(
            world,
            redis_container=self._redis.view(fingerprint),
            sentinel_container=self._sentinel.view(fingerprint),
        )
        return self._look_at_images(world)

    def _ask_for_logins(self, world: World) -> World:
        """Add the passwords that the nodes of this unit accept and use."""
        import logins

        assert world.credentials
        access = self._access(world)
        try:
            if world.own_redis is not None:
                found = logins.read(world.host, c.REDIS, access)
                world = replace(world, redis_logins=found)
            if world.own_sentinel is not None:
                found = logins.read(world.host, c.SENTINEL, access)
                # This one it tells nobody.
                used = rotation.logins_in_conf(self._sentinel.sentinel_conf()).used
                found = Logins(found.accepted, {**used, **found.used})
                world = replace(world, sentinel_logins=found)
        except AdapterError as e:
            logger.info("%s", e)
        return world

    def _look_at_tls(self, world: World, shared: peers.Peers) -> World:
        """Add the certificate to serve, and how far every unit is; nothing without TLS."""
        records = {self._hosts.of(u): record for u, record in shared.tls_records().items()}
        if not (world.config.tls or records):
            return world
        if self._tls_waits is None:
            self._tls_waits = records.get(world.host, TlsRecord()).restart
        view = TlsView(
            wanted=world.config.tls,
            active=True,
            records=records,
            turn=shared.turn,
            waits=self._tls_waits,
        )
        world = replace(world, tls=view)
        if not tls.needs_certificate(world):
            return world
        if self._found is None:
            self._found = self._find_material(records.get(world.host, TlsRecord()))
        found = self._found
        view = replace(view, material=found.material, kept=found.kept)
        if view.wanted:
            awaited = found.material is None and not found.problem
            view = replace(view, problem=found.problem or None, awaited=awaited)
        return replace(world, tls=view)

    def _find_material(self, known: TlsRecord) -> certificates.Found:
        """Return this unit's certificate, and what is wrong; neither: it has been asked for."""
        import certificates

        if self._certificates is None:
            return certificates.attached(self.model, known)
        try:
            return certificates.Found(certificates.issued(self._certificates, known))
        except certificates.WaitingForIssueError:
            return certificates.Found(None)
        except certificates.NoMaterialError as e:
            return certificates.Found(None, str(e))

    def _look_at_chosen(self, world: World, shared: peers.Peers) -> World:
        """Add the passwords that the operator chose, or what is wrong with them."""
        secret_id = str(self.config.get("system-users", ""))
        if not secret_id:
            return world
        if self._chosen is None:
            try:
                self._chosen = shared.chosen_passwords(secret_id)
            except SecretError as e:
                self._chosen = str(e)
        if isinstance(self._chosen, str):
            return replace(world, system_users_problem=self._chosen)
        problem = rotation.check_passwords(self._chosen)
        if problem:
            return replace(world, system_users_problem=problem)
        chosen = {rotation.FIELDS[user]: text for user, text in self._chosen.items()}
        return replace(world, wanted_passwords=chosen)

    def _config(self) -> Config:
        """Return the options, or what is wrong with them."""
        down_after_ms = int(self.config["down-after"])
        low, high = c.DOWN_AFTER_LIMITS_MS
        with_tls = bool(self.config["enable-tls"])
        if not low <= down_after_ms <= high:
            return Config(tls=with_tls, problem=f"Set down-after to a value from {low} to {high}")
        return Config(down_after_ms=down_after_ms, tls=with_tls)

    def apply(self, steps: Iterable[plan.Step], world: World) -> bool:
        """Take the steps in order; return False once this unit has retired."""

        def take(step: plan.Step) -> None:
            logger.info("%s", step)
            self._take(step, world)

        def failed(step: plan.Step, error: AdapterError) -> None:
            logger.warning("%s failed: %s", type(step).__name__, error)
            if isinstance(step, (plan.Handover, plan.ForceFailover)):
                self._handover_problem = str(error)

        turns.take_all(steps, take, failed)
        return not self._retired

    def _take(self, step: plan.Step, world: World) -> None:
        """Take one step.

        Raises:
            AdapterError: the world did not let it.
        """
        hooktools.note_act()
        match step:
            case plan.CreateCredentials():
                self._credentials = peers.Peers(self.model).create_credentials()
            case rotation.ChangeSecret(credentials):
                peers.Peers(self.model).change_credentials(credentials)
                self._secret_changed = True
            case rotation.PublishSerial(serial):
                peers.Peers(self.model).publish_serial(serial)
            case rotation.DropPlainPasswords():
                peers.Peers(self.model).drop_plain_passwords()
            case tls.KeepMaterial(material):
                import certificates

                certificates.keep(self.model, material)
                self._found = certificates.Found(material)
            case tls.RestartSentinel():
                self._sentinel.restart(c.SENTINEL)
            case tls.PublishTls(record):
                peers.Peers(self.model).publish_tls(record)
            case tls.GiveTurn(host):
                peers.Peers(self.model).give_turn(host)
            case plan.RecordPrimary(host):
                peers.Peers(self.model).record_primary(host)
            case plan.RecordUnits(hosts):
                peers.Peers(self.model).record_units(hosts)
            case plan.MarkInitialised():
                peers.Peers(self.model).mark_initialised()
            case plan.PublishDataTime(time_s):
                peers.Peers(self.model).publish_data_time(time_s)
            case plan.WriteFiles(c.REDIS):
                image = world.redis_container.image
                assert image
                self._redis.own_storage(image.user, image.group)
                self._redis.write(render.redis_files(world, image), image.user, image.group)
                layer = render.redis_layer(world, image)
                self._redis.restart_if_changed(c.EXPORTER_SERVICE, layer)
                self._redis.add_layer(layer)
            case plan.WriteFiles(c.SENTINEL):
                image = world.sentinel_container.image
                assert image
                self._sentinel.own_sentinel_state(image.user, image.group)
                files = render.sentinel_files(world, image)
                self._sentinel.write(files, image.user, image.group)
                self._sentinel.add_layer(render.sentinel_layer(world, image))
            case plan.WriteSentinelConf(primary):
                conf = render.sentinel_conf(world, primary)
                self._sentinel.write_sentinel_conf(conf, render.owner_mark(world))
            case plan.RefreshSentinelConf():
                text = self._sentinel.sentinel_conf()
                conf = render.refreshed_sentinel_conf(world, text)
                self._sentinel.refresh_sentinel_conf(conf)
            case plan.RenewSentinel(primary):
                self._sentinel.stop(c.SENTINEL)
                conf = render.sentinel_conf(world, primary)
                self._sentinel.write_sentinel_conf(conf, render.owner_mark(world))
                self._sentinel.start(c.SENTINEL)
            case plan.PermitBirth():
                self._redis.permit_birth()
            case plan.StartService(container, service):
                self._in(container).start(service)
            case plan.StopService(container, service):
                self._in(container).stop(service)
            case _:
                self._take_on_nodes(step, world)

    def _take_on_nodes(self, step: plan.Step, world: World) -> None:
        """Take a step that commands Redis or Sentinel processes."""
        import redis_client
        import sentinel

        assert world.credentials
        access = self._access(world)

        def watcher(host: str) -> sentinel.Sentinel:
            return sentinel.Sentinel(host, access)

        match step:
            case plan.RestoreUsers(service):
                on_redis = service == c.REDIS
                admin = world.credentials.admin if on_redis else world.credentials.sentinel_admin
                port = c.REDIS_PORT if on_redis else c.SENTINEL_PORT
                redis_client.restore_operator(world.host, port, admin, access)
            case plan.SetRedis(host, name, value):
                redis_client.RedisNode(host, access).set({name: value})
            case plan.Follow(host, primary):
                redis_client.RedisNode(host, access).follow(primary)
            case plan.SetSentinel(host, name, value):
                watcher(host).set_option(name, value)
            case plan.SetQuorum(host, quorum):
                watcher(host).set_option("quorum", str(quorum))
            case plan.ReleaseHandover():
                self._release_claim()
            case plan.ClaimHandover(source):
                self._claim.enter_context(redis_client.RedisNode(source, access).claim())
                self._has_claim = True
            case plan.Handover(source, target, executor):
                sentinel.handover(source, target, executor, access, plan.pause_ms(world))
            case plan.Readmit(hosts, primary):
                sentinel.readmit(hosts, primary, access)
            case plan.ForceFailover(host):
                watcher(host).force_failover()
            case rotation.SetPasswords(kind, user, add, remove):
                import logins

                logins.set_passwords(world.host, kind, user, add, remove, access)
            case tls.SwitchRedis(served):
                import transport

                transport.switch(world.host, served, access)
            case tls.CutOldConnections():
                import transport

                transport.cut_connections(world.host, access)
            case rotation.UsePassword(kind, setting):
                import logins

                field = rotation.NODE_LOGINS[kind][setting]
                value = getattr(world.credentials, field)
                logins.use(world.host, kind, setting, value, access)
            case plan.Forget(host, replicas, others):
                watcher(host).forget(replicas, others, c.FORGET_BUDGET_S)
            case plan.Retire():
                self._retire(watcher(world.host), keep_state=not world.planned)
            case _:
                raise TypeError(f"no such step: {step}")

    def _retire(self, watcher: sentinel.Sentinel, keep_state: bool) -> None:
        """End this unit's processes for good.

        Args:
            watcher: of this unit; it says goodbye first, so that the others get no more hello.
            keep_state: the whole application goes to zero and may come back from its volumes.
        """
        if not keep_state:
            try:
                watcher.unwatch()
            except RedisClientError as e:
                logger.info("This Sentinel is gone already: %s", e)
        self._redis.stop(c.REDIS)
        self._sentinel.stop(c.SENTINEL)
        if not keep_state:
            self._sentinel.drop_sentinel_state()
        self._retired = True

    def _ask_again(self, reasons: tuple[str, ...], world: World) -> None:
        """Have Pebble send a notice when there may be something to see.

        Before Pebble is there its own event will come.
        """
        logger.info("Looking again: %s", reasons[0])
        container = self._sentinel if world.sentinel_container.ready else self._redis
        here = plan.SEEN_HERE.issuperset(reasons)
        try:
            container.notify_later(len(world.planned) if here else None)
        except WorkloadError as e:
            logger.info("%s", e)


def _free_bytes(location: str) -> int:
    return shutil.disk_usage(location).free
