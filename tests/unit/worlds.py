# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Worlds as plain values: an application at rest, from which a test changes what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cluster.settings import max_lag_s, sentinel_options
from engine.world import (
    Config,
    ContainerView,
    Image,
    KnownReplica,
    RedisView,
    SentinelView,
    World,
)
from passwords.users import Credentials
from tests.fakes import fence_of

CREDENTIALS = Credentials(
    passwords={
        "default": "admin-pw",
        "sentinel-default": "sentinel-admin-pw",
        "operator": "operator-pw",
        "replication": "replication-pw",
        "sentinel": "watcher-pw",
        "peers": "peers-pw",
        "exporter": "exporter-pw",
    }
)
IMAGE = Image(server="redis-server", cli="redis-cli", user="redis", group="redis")
APP = "redis-k8s"
H0, H1, H2, H3, H4 = (f"redis-k8s-{number}" for number in range(5))
OPTIONS = sentinel_options(World(app=APP, host=H0))
SETTINGS = {
    "min-replicas-to-write": "1",
    "min-replicas-max-lag": str(max_lag_s(World(app=APP, host=H0))),
    "replica-priority": "100",
}


def primary(**changes: Any) -> RedisView:
    """Return a primary at rest, with its fence up."""
    view = RedisView(
        role="primary",
        offset_bytes=100,
        priority=-1,
        connected_replicas=2,
        version="7.2.5",
        settings=SETTINGS,
    )
    return replace(view, **changes)


def replica(of: str, **changes: Any) -> RedisView:
    """Return a replica at rest."""
    view = RedisView(
        role="replica",
        primary_host=of,
        link_up=True,
        offset_bytes=100,
        priority=100,
        version="7.2.5",
        settings=SETTINGS,
    )
    return replace(view, **changes)


def sentinel(host: str, hosts: Iterable[str], of: str = H0, **changes: Any) -> SentinelView:
    """Return the view of a Sentinel at rest that knows all hosts."""
    hosts = tuple(hosts)
    view = SentinelView(
        primary_host=of,
        config_epoch=1,
        quorum=len(hosts) // 2 + 1,
        has_majority=True,
        replicas=tuple(
            KnownReplica(h, priority=100, link_up=True, down=False) for h in hosts if h != of
        ),
        others=frozenset(hosts) - {host},
        options=OPTIONS,
    )
    return replace(view, **changes)


def at_rest(size: int = 3, host: str = H0, is_leader: bool = True, of: str = H0) -> World:
    """Return what a unit sees of an application in which nothing is left to do."""
    hosts = (H0, H1, H2, H3, H4)[:size]
    fence = {"min-replicas-to-write": fence_of(size)}

    def fenced(view: RedisView) -> RedisView:
        return replace(view, settings={**view.settings, **fence})

    return World(
        app=APP,
        host=host,
        is_leader=is_leader,
        planned=hosts,
        recorded_primary=of,
        recorded_units=hosts,
        initialised=True,
        credentials=CREDENTIALS,
        config=Config(),
        redis_container=ContainerView(
            ready=True,
            current=True,
            running=frozenset({"redis"}),
            services=frozenset({"redis"}),
        ),
        sentinel_container=ContainerView(
            ready=True,
            current=True,
            running=frozenset({"sentinel"}),
            services=frozenset({"sentinel"}),
        ),
        sentinel_conf_present=True,
        redis={h: fenced(primary() if h == of else replica(of)) for h in hosts},
        sentinels={h: sentinel(h, hosts, of) for h in hosts},
        asked_all=True,
    )


def with_redis(world: World, **views: RedisView | None) -> World:
    """Return the world with other views of some nodes: ``h1=None`` is silent."""
    return replace(world, redis=_merged(world.redis, views))


def with_sentinels(world: World, **views: SentinelView | None) -> World:
    """Return the world with other views of some Sentinels: ``h1=None`` is silent."""
    return replace(world, sentinels=_merged(world.sentinels, views))


def all_sentinels(world: World, **changes: Any) -> World:
    """Return the world with the same changes in the views of all Sentinels."""
    views = {h: replace(view, **changes) for h, view in world.sentinels.items()}
    return replace(world, sentinels=views)


def _merged(views: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**views, **{f"redis-k8s-{name[1:]}": view for name, view in changes.items()}}
    return {host: view for host, view in merged.items() if view is not None}


def lost_all(world: World) -> World:
    """Return the world with no data on any volume, and no Redis that answers."""
    return replace(world, own_empty=True, empty=frozenset(world.planned), redis={})
