# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Text: a ``World`` in; configuration files, shell variables and Pebble layers out."""

from __future__ import annotations

import hashlib
import hmac
import json
import pathlib
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import constants as c
from cluster.settings import (
    max_lag_s,
    min_replicas,
    pause_ms,
    sentinel_options,
    start_down_after_ms,
)
from engine.world import File, Image, World
from nodes.access import Mode
from tls import plan as tls
from tls.view import PLAIN, Serves

if TYPE_CHECKING:
    from ops.pebble import LayerDict, ServiceDict

    from passwords.users import Credentials

_LOGIN_LINES = (
    ["sentinel", "sentinel-user"],
    ["sentinel", "sentinel-pass"],
    ["sentinel", "auth-user"],
    ["sentinel", "auth-pass"],
)
_TEMPLATES = pathlib.Path(__file__).parents[2] / "templates"


def fingerprint(world: World) -> str:
    """Return a text that changes when anything does that the files and layers are made of.

    It stands in the Pebble plan, so it is keyed with a long random text: nobody can try
    passwords against it.
    """
    credentials = _credentials(world)
    parts = (world.app, world.host, world.planned, world.config, min_replicas(world))
    passwords = [
        (entry.name, entry.digests, entry.rights)
        for kind in (c.REDIS, c.SENTINEL)
        for entry in credentials.acl(kind)
    ]
    transport = (
        tls.redis_serves(world),
        tls.sentinel_serves(world),
        tls.bundle(world),
        tls.transport_mode(world).value,
        world.tls.active,
        world.tls.material and world.tls.material.name,
    )
    return _seal(world, repr((parts, passwords, transport)))


def owner_mark(world: World) -> str:
    """Return a text that tells this unit's ``sentinel.conf`` from one of another application."""
    return _seal(world, world.host)


def exporter_mark(world: World) -> str:
    """Return a text that changes when the exporter has to start again."""
    parts = (
        _credentials(world)[c.EXPORTER_USER],
        _exporter_address(world),
        _exporter_cert_dir(world),
        tls.bundle(world),
    )
    return _seal(world, repr(parts))


def _seal(world: World, text: str) -> str:
    key = _credentials(world).seal.encode()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]


def redis_files(world: World, image: Image) -> tuple[File, ...]:
    """Return the files of container redis.

    Args:
        world: with credentials.
        image: of the container.
    """
    credentials = _credentials(world)
    redis_conf = _render(
        "redis.conf.j2",
        port=c.REDIS_PORT,
        serves=_redis_serves(world),
        dir=c.STORAGE_DIR,
        users_acl=c.USERS_ACL,
        replication_user=c.REPLICATION_USER,
        replication_password=credentials[c.REPLICATION_USER],
        host=world.host,
        min_replicas=min_replicas(world),
        max_lag_s=max_lag_s(world),
        settings=world.config.settings,
        repl_timeout_s=c.REPL_TIMEOUT_S,
    )
    users = _render("users.acl.j2", users=credentials.acl(c.REDIS))
    address = _exporter_address(world)
    variables = {
        "DATA_DIR": c.STORAGE_DIR,
        "LEAVING": " ".join(sorted(world.leaving)),
        "BASE_CONF": c.REDIS_CONF,
        "PAUSE_MS": str(pause_ms(world)),
        "EXPORTER": image.exporter or "",
        "EXPORTER_PORT": str(c.EXPORTER_PORT),
        "EXPORTER_ADDR": address,
        "EXPORTER_PASSWORD_FILE": c.EXPORTER_PASSWORD,
        "EXPORTER_CERT_DIR": _exporter_cert_dir(world),
        "CHECK_NAMES": "no" if address.startswith("rediss://127") else "yes",
    }
    return (
        File(c.CLUSTER_ENV, _cluster_env(world, image, variables)),
        File(c.REDIS_CONF, redis_conf),
        File(c.USERS_ACL, users),
        # The key is what the exporter looks for: its address, by some releases with the user.
        File(
            c.EXPORTER_PASSWORD,
            json.dumps(
                {
                    address: credentials[c.EXPORTER_USER],
                    address.replace("//", f"//{c.EXPORTER_USER}@"): credentials[c.EXPORTER_USER],
                }
            ),
        ),
        *_tls_files(world),
        _script(c.LIB),
        _script(c.DECIDE),
        _script(c.START_REDIS),
        _script(c.WATCH_SYNC),
        _script(c.SYNC_LOG),
        _script(c.HAND_OVER),
        _script(c.WAKE),
        *((_script(c.START_EXPORTER),) if image.exporter else ()),
    )


def sentinel_files(world: World, image: Image) -> tuple[File, ...]:
    """Return the files of container sentinel but for ``sentinel.conf``."""
    return (
        File(
            c.CLUSTER_ENV,
            _cluster_env(
                world,
                image,
                {
                    "SENTINEL_CONF": c.SENTINEL_CONF,
                    "SENTINEL_SERVES": str(tls.sentinel_serves(world) or PLAIN),
                },
            ),
        ),
        *_tls_files(world),
        _script(c.LIB),
        _script(c.START_SENTINEL),
        _script(c.ON_SWITCH),
        _script(c.ON_EVENT),
        _script(c.KEEP_NAMES),
        _script(c.WAKE),
    )


def sentinel_conf(world: World, primary: str) -> File:
    """Return the first ``sentinel.conf`` of this unit; Sentinel rewrites it from then on.

    Args:
        world: with credentials.
        primary: host to watch; its name need not resolve yet.
    """
    credentials = _credentials(world)
    options = {
        "down-after-milliseconds": str(world.config.down_after_ms),
        **sentinel_options(world),
    }
    text = _render(
        "sentinel.conf.j2",
        port=c.SENTINEL_PORT,
        dir=c.SENTINEL_DIR,
        users=credentials.acl(c.SENTINEL),
        peers_user=c.PEERS_USER,
        peers_password=credentials[c.PEERS_USER],
        host=world.host,
        master_name=world.app,
        primary=primary,
        replicas=_likely_replicas(world, primary),
        redis_port=c.REDIS_PORT,
        quorum=world.quorum,
        options=[(n, v) for n, v in options.items() if n not in c.SENTINEL_PERIODS_MS],
        sentinel_user=c.SENTINEL_USER,
        sentinel_password=credentials[c.SENTINEL_USER],
        on_switch=c.ON_SWITCH,
        on_event=c.ON_EVENT,
    )
    return File(c.SENTINEL_CONF, text, mode=0o600)


def _likely_replicas(world: World, primary: str) -> list[str]:
    """Return the hosts that a new Sentinel is to take for replicas before anybody tells it.

    It learns of them from the primary. If that is down just then, it would find nobody to
    promote, give up, and keep the others from trying for a while.
    """
    if not world.initialised:
        return []
    return [h for h in world.planned if h != primary and h not in world.unmet]


def refreshed_sentinel_conf(world: World, text: str) -> File:
    """Return a ``sentinel.conf`` for the start of a pod; what is not said here is Sentinel's own.

    It has the present users and passwords, and patience with a primary that comes up as well.

    Args:
        world: with credentials.
        text: the file as Sentinel left it.
    """
    patience = f"sentinel down-after-milliseconds {world.app} {start_down_after_ms(world)}"

    def is_login(line: str) -> bool:
        words = line.split()
        return words[:1] == ["user"] or words[:2] in _LOGIN_LINES

    kept = [
        patience if line.startswith("sentinel down-after-milliseconds ") else line
        for line in text.splitlines()
        if not is_login(line)
    ]
    fresh = sentinel_conf(world, world.host).text.splitlines()
    # After the rest, since what is said of the primary must follow the line that names it.
    text = "\n".join([*kept, *filter(is_login, fresh)]) + "\n"
    return File(c.SENTINEL_CONF, text, mode=0o600)


def redis_layer(world: World, image: Image) -> LayerDict:
    """Return the Pebble layer of container redis."""
    services: dict[str, ServiceDict] = {
        c.REDIS: _service(image, "Redis, through the guarded start", c.START_REDIS),
        # Pebble stops what requires a service before the service itself.
        c.HANDOVER_SERVICE: {
            **_service(image, "Moves the primary role before Redis is stopped", c.HAND_OVER),
            "requires": [c.REDIS],
            "after": [c.REDIS],
        },
        c.SYNC_SERVICE: _service(image, "Has the disk keep the append-only file", c.SYNC_LOG),
    }
    if image.exporter:
        services[c.EXPORTER_SERVICE] = {
            **_service(image, "Metrics of Redis", c.START_EXPORTER),
            "environment": {c.EXPORTER_MARK: exporter_mark(world)},
        }
    return _layer(world, image, services)


def sentinel_layer(world: World, image: Image) -> LayerDict:
    """Return the Pebble layer of container sentinel."""
    services: dict[str, ServiceDict] = {
        c.SENTINEL: _service(image, "Sentinel", c.START_SENTINEL),
        c.NAMES_SERVICE: {
            **_service(
                image,
                "Keeps the peers' addresses for when the DNS does not answer",
                c.KEEP_NAMES,
            ),
            # The file that it writes belongs to root, and so does all that it reads.
            "user": "root",
            "group": "root",
        },
    }
    return _layer(world, image, services)


def _layer(world: World, image: Image, services: dict[str, ServiceDict]) -> LayerDict:
    wake: ServiceDict = {
        "override": "replace",
        # The configuration that the files of this container were written for.
        "summary": fingerprint(world),
        "command": c.WAKE,
        "user": image.user,
        "group": image.group,
        "on-success": "ignore",
        "on-failure": "ignore",
    }
    return {"summary": "redis-k8s", "services": {**services, c.WAKE_SERVICE: wake}}


def _service(image: Image, summary: str, command: str) -> ServiceDict:
    return {
        "override": "replace",
        "summary": summary,
        "command": command,
        "startup": "enabled",
        "user": image.user,
        "group": image.group,
        "on-success": "restart",
        "on-failure": "restart",
        # The guarded start makes a quick restart safe, and each tenth of a second counts.
        "backoff-delay": "100ms",
        "backoff-limit": "5s",
        "kill-delay": f"{c.PEBBLE_KILL_DELAY_S}s",
    }


def _cluster_env(world: World, image: Image, more: Mapping[str, str]) -> str:
    bundle = tls.bundle(world)
    variables = {
        "SERVER": image.server,
        "CLI": image.cli,
        "HOST": world.host,
        "PEERS": " ".join(world.planned),
        "MASTER_NAME": world.app,
        "REDIS_PORT": str(c.REDIS_PORT),
        "SENTINEL_PORT": str(c.SENTINEL_PORT),
        "REPL_TIMEOUT": str(c.REPL_TIMEOUT_S),
        "NOTICE_KEY": c.NOTICE_KEY,
        "OPERATOR_PASSWORD": _credentials(world)[c.OPERATOR_USER],
        "TLS": tls.transport_mode(world).value if world.tls.active else "never",
        "CA_FILE": f"{c.TLS_DIR}/ca-{tls.digest(bundle)}.pem" if bundle else "",
        **c.SCRIPT_NUMBERS,
        **more,
    }
    quoted = [(name, shlex.quote(value)) for name, value in variables.items()]
    return _render("cluster.env.j2", variables=quoted)


def _served(world: World) -> Serves:
    """Return what the Redis of this unit is to serve; the exporter goes with it."""
    return tls.redis_serves(world) or PLAIN


def _redis_serves(world: World) -> list[tuple[str, str]]:
    served = _served(world)
    if served.mode is Mode.PLAIN:
        return [("port", str(c.REDIS_PORT))]
    return list(tls.redis_settings(served).items())


def _exporter_address(world: World) -> str:
    if _served(world).mode is Mode.PLAIN:
        return f"redis://127.0.0.1:{c.REDIS_PORT}"
    material = world.tls.material
    host = world.host if material and material.names_hosts else "127.0.0.1"
    return f"rediss://{host}:{c.REDIS_PORT}"


def _exporter_cert_dir(world: World) -> str:
    """Return the directory of the certificate that the exporter serves; empty: plain text."""
    served = _served(world)
    return "" if served.mode is Mode.PLAIN else served.cert_dir


def _tls_files(world: World) -> tuple[File, ...]:
    """The certificate and the key to serve next, and the authorities to trust now."""
    bundle = tls.bundle(world)
    files = [File(f"{c.TLS_DIR}/ca-{tls.digest(bundle)}.pem", bundle)] if bundle else []
    material = world.tls.material
    if material is not None:
        directory = f"{c.TLS_DIR}/{material.name}"
        files += [
            File(f"{directory}/cert.pem", material.cert),
            File(f"{directory}/key.pem", material.key),
        ]
    return tuple(files)


def _script(path: str) -> File:
    return File(path, (_TEMPLATES / pathlib.PurePosixPath(path).name).read_text(), mode=0o755)


def _render(template: str, **values: Any) -> str:
    # Imported here: most hooks change no file, and the import is a tenth of their time.
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  configuration files, not HTML
    )
    return environment.get_template(template).render(**values)


def _credentials(world: World) -> Credentials:
    if world.credentials is None:
        raise ValueError("nothing is rendered before there are passwords")
    return world.credentials
