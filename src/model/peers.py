# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What Juju keeps for the application: the ``redis-peers`` databag, its secret, its units.

The one place that knows the keys.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

import ops
from ops import hookcmds

import texts
from constants import PEER_RELATION, SECRET_LABEL, TLS_KEY
from errors import CredentialsRefusedError, SecretError
from nodes.access import Mode
from tls.view import TlsRecord, parse
from values import dataclass

logger = logging.getLogger(__name__)

_PRIMARY_KEY = "leader-host"
_UNITS_KEY = "units"
_INITIALISED_KEY = "initialised"
_DATA_TIME_KEY = "data-time"
_EMPTY_KEY = "empty"
_NAME_KEY = "one-name"
_SERIAL_KEY = "credentials-serial"
"""In a unit's databag: the state that its nodes are in. In the application's: the newest one."""
_OBSOLETE_KEYS = ("redis-password", "sentinel-password", "enable-password")
"""Of the revision before this one."""
_TURN_KEY = "tls-turn"
_RESOLV_CONF = pathlib.Path("/etc/resolv.conf")


def services_domain(resolv_conf: str, model: str) -> str:
    """Return what the names of Services in the model's namespace end with.

    The namespace need not be named as the model: that of a model ``controller`` is
    ``controller-NAME``.

    Args:
        resolv_conf: text of a pod's file, whose search list begins with
            ``NAMESPACE.svc.DOMAIN``; the domains of its node come last.
        model: name of the Juju model, taken for the namespace where there is no such list.

    Returns:
        For instance ``demo.svc.cluster.local``.
    """
    for line in resolv_conf.splitlines():
        words = line.split()
        if words[:1] == ["search"]:
            for domain in words[1:]:
                if re.fullmatch(r"[^.]+\.svc\.[^.].*", domain):
                    return domain.rstrip(".")
    return f"{model}.svc.cluster.local"


class Hosts:
    """Knows the DNS name of each unit of the application."""

    def __init__(self, app: str, model: str):
        try:
            domain = services_domain(_RESOLV_CONF.read_text(), model)
        except OSError:
            domain = services_domain("", model)
        self._app = app
        self._suffix = f"{app}-endpoints.{domain}"

    def of(self, unit: str) -> str:
        """Return the host of a unit such as ``redis-k8s/0``."""
        return f"{self._app}-{ordinal(unit)}.{self._suffix}"

    def unit(self, host: str) -> str:
        """Return the unit of a host, as Juju writes it."""
        return f"{self._app}/{host.split('.')[0].rsplit('-', 1)[1]}"


def ordinal(unit: str) -> int:
    """Return the number of a unit, which is that of its pod."""
    return int(unit.rsplit("/", 1)[1])


@dataclass(frozen=True)
class UnitPlan:
    """Which units there are to be; sorted by number."""

    staying: Sequence[str]
    leaving: Sequence[str]
    known: bool = True
    """Juju has said so; else it is what was last recorded."""


def units_by_fate() -> UnitPlan:
    """Return the units that are to stay and those that Juju is removing.

    From goal-state, which is right also where Juju tells the peers late or never that a unit
    leaves, and before the pod of a new unit is there.

    Raises:
        hookcmds.Error: Juju does not say. It lists the units, then asks for each, so that one
            that goes in between is enough; or some relation to another model is broken.
    """
    goals = hookcmds.goal_state().units
    names = sorted(goals, key=ordinal)
    staying = [name for name in names if goals[name].status != "dying"]
    leaving = [name for name in names if goals[name].status == "dying"]
    return UnitPlan(staying, leaving)


class Peers:
    """Reads and writes what the units of the application share."""

    def __init__(self, model: ops.Model, reads_all: bool = True):
        """Take the relation, if it is there.

        Args:
            model: of this unit.
            reads_all: what each unit says is read; else only what this one does. Each is a call.
        """
        self._model = model
        self._relation = model.get_relation(PEER_RELATION)
        self.reads_all = reads_all

    @property
    def exists(self) -> bool:
        """Whether the peer relation is there; in ``install`` it is not."""
        return self._relation is not None

    @property
    def primary(self) -> str | None:
        """The recorded host of the primary; the key keeps the name it had on the wire."""
        return self._read(_PRIMARY_KEY)

    def record_primary(self, host: str) -> None:
        """Record who is primary. Leader only."""
        self._app_data[_PRIMARY_KEY] = host

    @property
    def units(self) -> tuple[str, ...]:
        """The recorded hosts of the units that are to stay."""
        return tuple((self._read(_UNITS_KEY) or "").split())

    def record_units(self, hosts: Iterable[str]) -> None:
        """Record which units are to stay, which wakes all of them. Leader only."""
        self._app_data[_UNITS_KEY] = " ".join(hosts)

    @property
    def one_name(self) -> str:
        """The host that leads clients to the primary, whoever it is; empty: there is none."""
        return self._read(_NAME_KEY) or ""

    def record_name(self, host: str) -> None:
        """Record that host; empty: it does not lead there. Leader only."""
        self._app_data[_NAME_KEY] = host

    @property
    def initialised(self) -> bool:
        """Whether the application has had a primary, and so may have data."""
        return self._read(_INITIALISED_KEY) == "true"

    def mark_initialised(self) -> None:
        """Record that the application has had a primary. Leader only."""
        self._app_data[_INITIALISED_KEY] = "true"

    def forget_initialised(self) -> None:
        """Record that the application is to have a first primary again. Leader only."""
        self._app_data[_INITIALISED_KEY] = ""

    @property
    def joined(self) -> frozenset[str]:
        """The units that have joined the relation, this one among them; none without it."""
        if self._relation is None:
            return frozenset()
        return frozenset(unit.name for unit in (self._model.unit, *self._relation.units))

    def data_times(self) -> dict[str, float]:
        """Return, by unit, when its data had last been written before its Redis started."""
        found = {name: bag.get(_DATA_TIME_KEY) for name, bag in self._unit_data().items()}
        return {name: float(text) for name, text in found.items() if text}

    def publish_data_time(self, time_s: float | None) -> None:
        """Tell the other units how new the data of this one is; None: it has none."""
        if self._relation is not None:
            text = "" if time_s is None else str(time_s)
            self._relation.data[self._model.unit][_DATA_TIME_KEY] = text

    def empty(self) -> list[str]:
        """Return the units that say that they serve nobody and that their volume has no data."""
        return [name for name, bag in self._unit_data().items() if bag.get(_EMPTY_KEY) == "true"]

    def publish_empty(self, is_empty: bool) -> None:
        """Tell the other units that this one is such a unit, or is not any more."""
        if self._relation is not None:
            self._relation.data[self._model.unit][_EMPTY_KEY] = "true" if is_empty else ""

    def secret(self) -> dict[str, str] | None:
        """Return the content of the secret of passwords; None while the leader has not made it.

        Raises:
            CredentialsRefusedError: they have been made, and Juju does not give them.
        """
        try:
            secret = self._model.get_secret(label=SECRET_LABEL)
            content = secret.get_content()
            if int(content.get("serial", "1")) < int(self._read(_SERIAL_KEY) or "1"):
                # This unit goes on getting the revision that it has read first.
                content = secret.get_content(refresh=True)
        except ops.SecretNotFoundError as e:
            # They are made before the units are recorded.
            if self.units:
                raise CredentialsRefusedError(str(e)) from e
            return None
        except ops.ModelError as e:
            raise CredentialsRefusedError(str(e)) from e
        return content

    @property
    def plain_passwords(self) -> dict[str, str]:
        """What an earlier revision kept in the databag, by the keys that the secret has too.

        It stays there for as long as a unit of that revision may run, which makes others when it
        finds none.
        """
        return {key: text for key in _OBSOLETE_KEYS if (text := self._read(key))}

    def add_secret(self, content: dict[str, str]) -> None:
        """Keep the first passwords in a secret of the application. Leader only."""
        self._model.app.add_secret(content, label=SECRET_LABEL)

    def change_secret(self, content: dict[str, str]) -> None:
        """Write the next state of the passwords. Leader only."""
        self._model.get_secret(label=SECRET_LABEL).set_content(content)
        # Also the leader itself hears of a change of this databag.
        self._app_data[_SERIAL_KEY] = content["serial"]

    def serials(self) -> dict[str, int]:
        """Return, by unit, the serial that it has published; absent: none yet."""
        found = {name: bag.get(_SERIAL_KEY) for name, bag in self._unit_data().items()}
        return {name: int(text) for name, text in found.items() if text}

    def publish_serial(self, serial: int) -> None:
        """Say which state of the passwords the nodes of this unit are in."""
        if self._relation is not None:
            self._relation.data[self._model.unit][_SERIAL_KEY] = str(serial)

    def tls_records(self) -> dict[str, TlsRecord]:
        """Return, by unit, what it has published of its TLS."""
        found = {name: bag.get(TLS_KEY) for name, bag in self._unit_data().items()}
        return {name: _tls_record(json.loads(text)) for name, text in found.items() if text}

    def publish_tls(self, record: TlsRecord) -> None:
        """Say how far this unit is with TLS."""
        if self._relation is not None:
            text = json.dumps(_of_tls(record), sort_keys=True)
            self._relation.data[self._model.unit][TLS_KEY] = text

    @property
    def has_tls_records(self) -> bool:
        """Whether any unit whose databag is read has published anything of TLS."""
        return any(bag.get(TLS_KEY) for bag in self._unit_data().values())

    @property
    def turn(self) -> str | None:
        """The host whose Sentinel may restart."""
        return self._read(_TURN_KEY) or None

    def give_turn(self, host: str) -> None:
        """Record whose Sentinel may restart; empty: nobody's. Leader only."""
        self._app_data[_TURN_KEY] = host

    @property
    def has_plain_passwords(self) -> bool:
        """Whether the databag has what an earlier revision kept there."""
        return any(self._read(key) is not None for key in _OBSOLETE_KEYS)

    def drop_plain_passwords(self) -> None:
        """Take what an earlier revision kept in the databag out of it. Leader only."""
        for key in _OBSOLETE_KEYS:
            self._app_data.pop(key, None)

    def chosen_passwords(self, secret_id: str) -> dict[str, str]:
        """Return the content of the operator's secret, by user.

        Raises:
            SecretError: it is not there, or not granted to this application.
        """
        try:
            return self._model.get_secret(id=secret_id).get_content(refresh=True)
        except ops.SecretNotFoundError as e:
            raise SecretError(texts.CHOSEN_NOT_THERE) from e
        except ops.ModelError as e:
            logger.info("%s", e)
            text = texts.CHOSEN_NOT_GRANTED.format(app=self._model.app.name)
            raise SecretError(text) from e

    @property
    def _app_data(self) -> ops.RelationDataContent:
        if self._relation is None:
            raise RuntimeError("the peer relation is not there yet")
        return self._relation.data[self._model.app]

    def _unit_data(self) -> dict[str, ops.RelationDataContent]:
        """Return the databags of the units that have joined, this one's among them, by unit."""
        if self._relation is None:
            return {}
        units = {self._model.unit, *(self._relation.units if self.reads_all else ())}
        return {unit.name: self._relation.data[unit] for unit in units}

    def _read(self, key: str) -> str | None:
        return self._app_data.get(key) if self._relation else None


def _of_tls(record: TlsRecord) -> dict[str, Any]:
    """Return what stands in the databag of a unit; empty: not known."""
    modes = {"wants": record.wants, "connections": record.connections}
    return {
        **dataclasses.asdict(record),
        **{name: mode.value if mode else "" for name, mode in modes.items()},
        "redis": str(record.redis or ""),
        "sentinel": str(record.sentinel or ""),
    }


def _tls_record(fields: dict[str, Any]) -> TlsRecord:
    given: dict[str, Any] = {
        **{name: tuple(fields[name]) for name in ("authorities", "trusts")},
        **{name: parse(fields[name]) for name in ("redis", "sentinel")},
    }
    for name in ("wants", "connections"):
        given[name] = Mode(fields[name]) if fields[name] else None
    return TlsRecord(**{**fields, **given})
