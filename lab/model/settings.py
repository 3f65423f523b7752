"""What differs among Juju versions and clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from lab import toolfaults
from lab.model.checks import boolean
from lab.model.errors import ModelError

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
        "service_delay_s": 0.1,
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
        kube_api: ``ok``; ``off`` refuses connections to the API of Kubernetes, ``silent`` gives no
            answer, ``forbidden`` lets nobody do anything, and with ``absent`` pods to come have
            no service account and hooks no variables that say where it is.
        service_delay_s: seconds from a change of pods, labels or Services until connections go
            where they are to go now: kube-proxy hears of it and writes its rules.
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
    kube_api: Literal["ok", "off", "silent", "forbidden", "absent"] = "ok"
    service_delay_s: float = 0.0
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
            "kube_api": ("ok", "off", "silent", "forbidden", "absent"),
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
                converted = boolean(value) if kind is bool else kind(value)
            except (TypeError, ValueError) as e:
                raise ModelError(f"setting {name!r} does not take {value!r}") from e
            if name == "tool_faults":
                try:
                    toolfaults.parse(str(converted))
                except ValueError as e:
                    raise ModelError(f"setting {name!r}: {e}") from e
            setattr(self, name, converted)
