"""What a unit's pod is made of."""

from __future__ import annotations

from pathlib import Path

from lab.agent.state import Host
from lab.model import Unit
from lab.pods import ContainerSpec, Mount, PodSpec
from lab.tools import TOOLS


def pod_spec(host: Host, unit: Unit) -> PodSpec:
    """Return what the next pod of a unit is made of; the cluster hears of it."""
    model = host.model
    app = model.apps[unit.app]
    storages = [s for s in model.storages.values() if s.unit == unit.name]
    volumes = {s.id: host.volume(s).path for s in storages}
    containers = tuple(
        ContainerSpec(
            name,
            tuple(
                Mount(volumes[storage.id], mount.location)
                for mount in mounts
                for storage in storages
                if storage.name == mount.storage
            ),
            app.images[resource].env if resource in app.images else {},
            index,
            app.images.get(resource),
        )
        for index, (name, mounts) in enumerate(app.meta.containers.items())
        for resource in [app.meta.images.get(name, "")]
    )
    return PodSpec(
        name=unit.pod,
        app=app.name,
        model=model.name,
        hosts=(unit.host,),
        containers=containers,
        charm_dir=Path(app.charm_dir),
        python_dir=Path(app.python),
        tools=TOOLS,
        mounts=tuple(Mount(volumes[s.id], s.location) for s in storages),
        log_dir=host.model_dir / "logs" / unit.pod,
        account=host.cluster.add_pod(unit),
        memory_mb=model.settings.memory_mb,
    )
