"""Pods: containers with a root of their own and a real Pebble, that share a network namespace.

A workload container's root is an overlay over the root of its image, see ``images``; the charm's
container has one over the machine's root, as has a workload whose image that is. What is written
stays in the model's memory and goes with the container. The mounts,
names and arguments are those that Juju gives a sidecar charm's pod; the emptyDir ``charm-data``
outlives a container and goes with the pod.

All the work on namespaces is done in threads, see ``sandbox.in_thread``: a process started by
such a thread is the controller's own child, so its exit code and its CPU time are at hand.
"""

from lab.pods.pod import Pod
from lab.pods.spec import (
    PATH,
    PYTHON_BIN,
    ContainerSpec,
    Finished,
    Mount,
    PodError,
    PodSpec,
    Volume,
)

__all__ = [
    "PATH",
    "PYTHON_BIN",
    "ContainerSpec",
    "Finished",
    "Mount",
    "Pod",
    "PodError",
    "PodSpec",
    "Volume",
]
