"""Which hook a unit runs next, and what the model remembers when it has run.

The order is that of the unit agent of Juju (internal/worker/uniter/resolver.go): relation-created,
leader-elected, Pebble's events, secrets, actions, storage, then the hooks of the unit's own life,
configuration, relations with the peers last, update-status.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from lab.model import (
    ROTATION,
    Action,
    Hook,
    Model,
    Relation,
    ToldRelation,
    Unit,
)

RETRY_FIRST_S = 5.0
RETRY_LAST_S = 300.0


def next_hook(model: Model, unit: Unit, events: Sequence[Hook], now: float) -> Hook | None:
    """Return what this unit runs next, or ``None`` when nothing is due.

    Args:
        model: everything; its lock is held by the caller.
        unit: whose turn it is.
        events: what its Pebbles have to tell, oldest first.
        now: the model's clock, in seconds.
    """
    told = unit.told
    alive = unit.life == "alive"
    if unit.failed is not None:
        if unit.actions:
            return _action(unit.actions[0])
        return unit.failed if now >= unit.retry_at else None
    if unit.queue:
        return unit.queue[0]
    if not told.installed:
        return Hook("install", "install") if alive else None
    if alive:
        for relation in _relations_of(model, unit):
            if relation.id not in told.relations and relation.life == "alive":
                name = f"{relation.ends[unit.app].name}-relation-created"
                remote = relation.remote(unit.app)
                return Hook("relation-created", name, relation.id, remote_app=remote)
        if model.leases.is_leader(unit) and not told.leader:
            return Hook("leader-elected", "leader-elected")
    if events:
        return events[0]
    if alive and (hook := next(_secret_hooks(model, unit), None)):
        return hook
    if unit.actions:
        return _action(unit.actions[0])
    if hook := _storage_hook(model, unit):
        return hook
    if alive:
        version = model.apps[unit.app].config_version
        if told.config_version != version:
            return Hook("config-changed", "config-changed", version=version)
    for relation in _relations_of(model, unit):
        if hook := _relation_hook(model, unit, relation):
            return hook
    if not alive:
        if told.started and not told.stopped:
            return Hook("stop", "stop")
        return None if told.removed else Hook("remove", "remove")
    return Hook("update-status", "update-status") if now >= unit.update_status_at else None


def is_finished(unit: Unit) -> bool:
    """Return whether a dying unit has run all it had to, given that no hook is due."""
    blocked = unit.failed is not None or bool(unit.queue)
    return unit.life == "dying" and not blocked and (unit.told.removed or not unit.told.installed)


def committed(model: Model, unit: Unit, hook: Hook) -> None:
    """Note that a hook has ended well, and queue what follows it."""
    told, app = unit.told, model.apps[unit.app]
    if unit.queue and unit.queue[0] == hook:
        unit.queue.popleft()
    if unit.failed == hook:
        unit.failed, unit.retries = None, 0
    if hook.kind == "install":
        told.installed = True
    elif hook.kind == "config-changed":
        told.config_version = hook.version
        start = Hook("start", "start")
        if not told.started and start not in unit.queue:
            unit.queue.appendleft(start)
    elif hook.kind == "upgrade-charm":
        unit.queue.appendleft(Hook("config-changed", "config-changed", version=app.config_version))
    elif hook.kind == "start":
        told.started = True
    elif hook.kind == "stop":
        told.stopped = True
    elif hook.kind == "remove":
        told.removed = True
    elif hook.kind == "leader-elected":
        told.leader = model.leases.is_leader(unit)
    elif hook.kind == "update-status":
        unit.update_status_at = model.clock() + model.settings.update_status_s
    elif hook.kind == "storage-attached":
        told.storages.add(hook.storage_id)
    elif hook.kind == "storage-detaching":
        told.storages.discard(hook.storage_id)
    elif hook.relation_id is not None:
        _relation_committed(model, unit, hook)
    elif hook.kind.startswith("secret-"):
        _secret_committed(model, unit, hook)
    model.touch()


def failed(model: Model, unit: Unit, hook: Hook) -> None:
    """Note that a hook has failed; it is run again after a time that doubles each time."""
    if unit.queue and unit.queue[0] == hook:
        unit.queue.popleft()
    unit.failed = hook
    delay = min(RETRY_FIRST_S * 2**unit.retries, RETRY_LAST_S)
    unit.retries += 1
    unit.retry_at = model.clock() + delay
    model.touch()


def pod_started(model: Model, unit: Unit, interrupted: Hook | None) -> None:
    """Queue what a new pod of a unit runs first.

    Args:
        model: everything; its lock is held by the caller.
        unit: whose pod it is.
        interrupted: the hook that was running when the pod before was killed; it is run again
            after 5 s, instead of upgrade-charm.
    """
    unit.queue = deque()
    unit.update_status_at = model.clock() + model.settings.update_status_s
    if interrupted is not None and unit.failed is None:
        failed(model, unit, interrupted)
    if unit.told.installed and unit.failed is None:
        unit.queue.append(Hook("upgrade-charm", "upgrade-charm"))
    queue_start(unit)


def queue_start(unit: Unit) -> None:
    """Queue the ``start`` that every start of the agent brings to a unit that had started."""
    start = Hook("start", "start")
    if unit.told.started and not unit.told.stopped and start not in unit.queue:
        unit.queue.append(start)


def _action(action: Action) -> Hook:
    return Hook("action", action.name, action_id=action.id)


def _relations_of(model: Model, unit: Unit) -> list[Relation]:
    mine = [relation for relation in model.relations.values() if unit.app in relation.ends]
    return sorted(mine, key=lambda relation: (relation.peer, relation.id))


def _storage_hook(model: Model, unit: Unit) -> Hook | None:
    mine = [storage for storage in model.storages.values() if storage.unit == unit.name]
    for storage in sorted(mine, key=lambda storage: storage.id):
        attached = storage.id in unit.told.storages
        if unit.life == "alive" and storage.mounted and not attached:
            kind = "storage-attached"
        elif unit.life != "alive" and attached:
            kind = "storage-detaching"
        else:
            continue
        return Hook(kind, f"{storage.name}-{kind}", storage_id=storage.id)
    return None


def _secret_hooks(model: Model, unit: Unit) -> Iterator[Hook]:
    everything = sorted(model.secrets.values(), key=lambda secret: secret.id)
    owned = [secret for secret in everything if model.secrets.owns(secret, unit)]

    def hook(kind: str, secret_id: str, label: str, revision: int = 0, version: int = 0) -> Hook:
        return Hook(
            kind,
            kind,
            secret_id=f"secret:{secret_id}",
            secret_label=label,
            secret_revision=revision,
            version=version,
        )

    for secret in owned:
        if secret.expired_revision:
            yield hook("secret-expired", secret.id, secret.label, secret.expired_revision)
    for secret in owned:
        if secret.rotation_due:
            yield hook("secret-rotate", secret.id, secret.label)
    for secret in everything:
        known = unit.told.secrets.get(secret.id)
        if unit.name in secret.consumers and known not in (None, secret.latest):
            mine = secret.owner in (unit.name, unit.app)
            label = secret.label if mine else secret.labels.get(unit.name, "")
            yield hook("secret-changed", secret.id, label, version=secret.latest)
    for secret in owned:
        for revision in secret.obsolete:
            if (secret.id, revision) not in unit.told.obsolete:
                yield hook("secret-remove", secret.id, secret.label, revision)


def _secret_committed(model: Model, unit: Unit, hook: Hook) -> None:
    secret = model.secrets.get(hook.secret_id.removeprefix("secret:"))
    if secret is None:
        return
    if hook.kind == "secret-changed":
        unit.told.secrets[secret.id] = hook.version
    elif hook.kind == "secret-remove":
        unit.told.obsolete.add((secret.id, hook.secret_revision))
    elif hook.kind == "secret-expired":
        secret.expired_revision, secret.expires = 0, None
    elif hook.kind == "secret-rotate":
        secret.rotation_due = False
        if secret.rotate:
            secret.rotates = datetime.now(timezone.utc) + ROTATION[secret.rotate]


def _relation_hook(model: Model, unit: Unit, relation: Relation) -> Hook | None:
    told = unit.told.relations.get(relation.id)
    if told is None or not told.created or told.broken:
        return None
    remote = relation.remote(unit.app)
    leaving = unit.life != "alive" or relation.life != "alive"

    def hook(kind: str, remote_unit: str = "", departing: str = "", version: int = 0) -> Hook:
        return Hook(
            kind,
            f"{relation.ends[unit.app].name}-{kind}",
            relation.id,
            remote_app=remote,
            remote_unit=remote_unit,
            departing_unit=departing,
            version=version,
        )

    def version(entity: str) -> int:
        return model.relations.bag(relation, entity).version

    if told.changed_next:
        return hook("relation-changed", told.changed_next, version=version(told.changed_next))
    present: set[str] = set()
    if not leaving:
        others = relation.scope - {unit.name}
        present = {name for name in others if name.partition("/")[0] == remote}
    silent = set() if leaving else relation.ghosts
    for name in sorted(told.members.keys() - present - silent):
        departing = name if unit.life == "alive" else unit.name
        return hook("relation-departed", name, departing)
    if leaving:
        return None if relation.peer else hook("relation-broken")
    if version(remote) != told.apps.get(remote, 0):
        return hook("relation-changed", version=version(remote))
    for name in sorted(present):
        if name not in told.members:
            return hook("relation-joined", name, version=version(name))
        if told.members[name] != version(name):
            return hook("relation-changed", name, version=version(name))
    return None


def _relation_committed(model: Model, unit: Unit, hook: Hook) -> None:
    assert hook.relation_id is not None
    told = unit.told.relations.setdefault(hook.relation_id, ToldRelation())
    relation = model.relations.get(hook.relation_id)
    if hook.kind == "relation-created":
        told.created = True
        if relation is not None and unit.life == "alive":
            relation.scope.add(unit.name)
            relation.ghosts.discard(unit.name)
    elif hook.kind == "relation-joined":
        told.members[hook.remote_unit] = hook.version
        told.changed_next = hook.remote_unit
    elif hook.kind == "relation-changed":
        if hook.remote_unit:
            told.members[hook.remote_unit] = hook.version
            told.changed_next = ""
        else:
            told.apps[hook.remote_app] = hook.version
    elif hook.kind == "relation-departed":
        told.members.pop(hook.remote_unit, None)
    elif hook.kind == "relation-broken":
        told.broken = True
        if relation is not None:
            relation.scope.discard(unit.name)
            model.relations.drop_finished()
