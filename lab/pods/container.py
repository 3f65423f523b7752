"""One run of one container: from its process 1 to the end of that."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab import sandbox
from lab.memory import MemoryLimit
from lab.pods.spec import PATH, ContainerSpec, PodError

_FIRST_PEBBLE_PORT = 38813


class Container:
    """One run of one container: from its process 1 to the end of that."""

    def __init__(self, name: str, root: Path, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.root = root
        self.process = process
        self.ending = False
        self.limit: MemoryLimit | None = None
        self.handle = os.pidfd_open(process.pid)
        self.pid_namespace = os.readlink(f"/proc/{process.pid}/ns/pid")

    def end(self) -> None:
        """Kill process 1, with it all others of the container, and wait for its end."""
        self.ending = True
        self.process.kill()
        self.process.wait()
        if self.limit is not None:
            self.limit.remove()


def launch(
    pod: str,
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    namespace: int,
    make_root: Callable[[], Path],
    program: Path,
    log_file: Path,
) -> subprocess.Popen[bytes]:
    """Start process 1 of a container.

    Args:
        pod: the pod's name.
        name: the container's.
        command: what process 1 is.
        environment: all of it.
        namespace: of the pod's network.
        make_root: makes the container's root, in its namespace, and returns where it is.
        program: lab-init, which makes that the root of all.
        log_file: takes what is printed.

    Raises:
        PodError: it does not start; the text says why.
    """
    told, tell = os.pipe()

    def start() -> subprocess.Popen[bytes]:
        sandbox.unshare(sandbox.CLONE_NEWNS | sandbox.CLONE_NEWPID | sandbox.CLONE_NEWUTS)
        sandbox.setns(namespace, sandbox.CLONE_NEWNET)
        socket.sethostname(pod)
        top = make_root()
        with log_file.open("ab") as log:
            # lab-init pivots the root of this thread too, which must look up nothing once
            # it has started it.
            return subprocess.Popen(
                ["lab-init", str(tell), *command],
                executable=program,
                cwd=top,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(tell,),
            )

    try:
        process = sandbox.in_thread(start)
    except BaseException:
        os.close(told)
        raise
    finally:
        os.close(tell)
    with os.fdopen(told) as report:
        # It ends when lab-init has become the command, or has failed and says why.
        refusal = report.read()
    if refusal:
        process.wait()
        raise PodError(f"{name} of {pod} does not start: {refusal}")
    return process


def pebble(spec: ContainerSpec) -> tuple[list[str], dict[str, str]]:
    """Return arguments and environment of the container's Pebble, as Juju gives them.

    Source: Juju, internal/provider/kubernetes/application/application.go, ApplicationPodSpec.
    """
    port = _FIRST_PEBBLE_PORT + spec.index
    command = ["/charm/bin/pebble", "run", "--create-dirs", "--hold"]
    command += ["--http", f":{port}", "--verbose"]
    environment = {
        "PATH": PATH,
        **spec.env,
        "JUJU_CONTAINER_NAME": spec.name,
        "PEBBLE_SOCKET": "/charm/container/pebble.socket",
        "PEBBLE": "/charm/container/pebble",
        "PEBBLE_COPY_ONCE": "/var/lib/pebble/default",
    }
    return command, environment


def pebble_answers(path: str) -> bool:
    """Return whether a Pebble answers at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5.0)
        try:
            client.connect(path)
            client.sendall(b"GET /v1/system-info HTTP/1.0\r\n\r\n")
            return b" 200 " in client.recv(64)
        except OSError:
            return False
