"""What the parts of one agent know together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lab.kubernetes.cluster import Cluster
from lab.model import Hook, Model, Storage, Unit
from lab.network import Network
from lab.pods import Pod, PodError, Volume
from lab.tools import Cache
from lab.watcher import Watcher


class Host(Protocol):
    """What an agent needs of the controller it belongs to."""

    model: Model
    network: Network
    model_dir: Path
    cluster: Cluster

    def volume(self, storage: Storage) -> Volume:
        """Return the volume of a storage, made when it has none yet."""
        ...

    def pods_changed(self, app: str) -> None:
        """Bring the names of an application's Services up to date."""
        ...

    def unit_gone(self, unit: Unit) -> None:
        """Forget a unit whose pod has ended for good."""
        ...

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        """Do some work after a time."""
        ...


@dataclass(frozen=True)
class End:
    """A request to end the pod; ``hold_s`` passes before the next one starts."""

    graceful: bool
    hold_s: float


@dataclass
class State:
    """What is so with one unit's agent at this moment; guarded by the model's lock.

    Attributes:
        unit: whose agent it is.
        model: the unit's model.
        pod: the unit's pod; ``None`` while there is none.
        ready: from the commit of ``start`` in this pod until the pod ends.
        end: how the pod is to end, when somebody has asked for it.
        lost: the pod was killed at once.
        connected: the pod's network reaches the controller.
        frozen: the agent's own processes stand still.
        charm_died: the container ``charm`` has been restarted, and the worker in it.
        pause_until: when the worker that was started again begins, by the model's clock.
        interrupted: the hook that ended with the last pod.
        events: what the unit's Pebbles have to tell, oldest first.
        members: the cache of members' unit databags.
        watchers: who follows the Pebbles, by container.
    """

    unit: Unit
    model: Model
    pod: Pod | None = None
    ready: bool = False
    end: End | None = None
    lost: bool = False
    connected: bool = True
    frozen: bool = False
    charm_died: bool = False
    pause_until: float = 0.0
    interrupted: Hook | None = None
    events: list[Hook] = field(default_factory=list)
    members: Cache = field(default_factory=dict)
    watchers: dict[str, Watcher] = field(default_factory=dict)

    def begin(self, pod: Pod) -> None:
        """Begin with a pod that has just started."""
        self.pod, self.end, self.lost, self.charm_died = pod, None, False, False
        self.connected, self.frozen, self.pause_until = True, False, 0.0
        self.members.clear()
        self.events.clear()

    def up(self) -> Pod:
        """Return the pod.

        Raises:
            PodError: there is none.
        """
        if self.pod is None:
            raise PodError(f"the pod of {self.unit.name} is not up")
        return self.pod

    def log(self, level: str, source: str, text: str) -> None:
        """Write to the debug log."""
        self.model.log.write(self.unit.tag, level, source, text)
