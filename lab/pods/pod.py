"""A pod: its containers, what runs in them, and what happens to it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal

from lab import sandbox
from lab.memory import MemoryLimit, MemoryLimitError
from lab.network import Network
from lab.pods.container import Container, launch, pebble, pebble_answers
from lab.pods.processes import ends_within, identity, signal_all, state
from lab.pods.root import Names, make_root, overlay
from lab.pods.spec import CHARM, PATH, Finished, PodError, PodSpec
from lab.programs import tools_dir

_PEBBLE_START_S = 30.0
_STOP_S = 10.0
_ENTER = sandbox.CLONE_NEWNS | sandbox.CLONE_NEWPID | sandbox.CLONE_NEWNET | sandbox.CLONE_NEWUTS
_POD_NUMBERS = itertools.count(1)

Stream = int | IO[bytes] | None


class Pod:
    """A pod on a network. ``start`` it once; ``terminate`` or ``kill`` ends it for good.

    Attributes:
        ip: its address; empty before ``start``.
        agent_dir: /var/lib/juju/agents/UNIT-TAG, seen from the controller.
    """

    def __init__(self, spec: PodSpec, network: Network) -> None:
        """Describe the pod; nothing is made yet."""
        self.spec = spec
        self.ip = ""
        self._network = network
        self._namespace = -1
        self._base = sandbox.RUN / "pods" / str(next(_POD_NUMBERS))
        self._data = self._base / "data"
        self.agent_dir = self._data / "juju" / "agents" / spec.unit_tag
        self._prepared = False
        self._runs = itertools.count()
        self._specs = {container.name: container for container in spec.containers}
        self._containers: dict[str, Container] = {}
        self._deaths: list[Callable[[str, int], None]] = []
        self._lock = threading.RLock()

    # From start to end.

    def prepare_files(self) -> None:
        """Make the emptyDir and the charm's directory, so that the agent can listen there."""
        with self._lock:
            if self._prepared:
                return
            self._prepared = True
            # There for a charm without workload containers too.
            (self._data / "containers").mkdir(parents=True)
            for name in self._specs:
                (self._data / "containers" / name / "pebble").mkdir(parents=True)
            if self.spec.log_dir is not None:
                self.spec.log_dir.mkdir(parents=True, exist_ok=True)
            charm = self.agent_dir / "charm"
            charm.mkdir(parents=True)
            (self.agent_dir / "resources").mkdir()
            overlay(self.spec.charm_dir.resolve(), self._base / "charm", charm)
            tools = self._data / "juju" / "tools" / self.spec.unit_tag
            tools.mkdir(parents=True)
            for tool in self.spec.tools:
                (tools / tool).symlink_to("/charm/bin/hooktool")

    def start(self) -> None:
        """Bring the pod up; on return every Pebble answers.

        Raises:
            PodError: a Pebble does not answer; the text has its last words.
        """
        self.prepare_files()
        with self._lock:
            self.ip, self._namespace = self._network.new_pod(self.spec.name)
            for name in (*self._specs, CHARM):
                self._start_container(name)
        for name in self._specs:
            self._wait_for_pebble(name)

    def terminate(self, grace_s: float = 30.0, agent_done: threading.Event | None = None) -> None:
        """End the pod as kubelet does: SIGTERM to every workload's process 1 at once.

        The container ``charm`` is its agent's to end: the pod stays until ``agent_done`` is
        set (at once, if None) and all workloads have ended, at most ``grace_s`` seconds.
        """
        deadline = time.monotonic() + grace_s
        with self._lock:
            workloads = [self._containers[n] for n in self._specs if n in self._containers]
            for container in workloads:
                container.ending = True
                # It does nothing to one that has died by itself.
                container.process.terminate()
        for container in workloads:
            try:
                container.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                break
        if agent_done is not None:
            agent_done.wait(max(0.0, deadline - time.monotonic()))
        self.kill(silent=False)

    def kill(self, *, silent: bool = True) -> None:
        """End the pod at once, with its network and its emptyDir.

        Args:
            silent: the network goes first, as when the node loses power: peers see their
                connections stop without an end. Otherwise they see them closed.
        """
        with self._lock:
            if silent and self._namespace >= 0:
                self.cut()
            for container in self._containers.values():
                container.ending = True
                container.process.kill()
            for container in self._containers.values():
                container.end()
                os.close(container.handle)
            self._containers.clear()
            if self._namespace >= 0:
                self._network.remove_pod(self.ip, self._namespace, self.spec.name)
                self._namespace = -1
            if self._prepared:
                sandbox.umount(self.agent_dir / "charm")
                shutil.rmtree(self._base)
                self._prepared = False

    def restart_container(self, name: str) -> None:
        """Give a container a new empty root and a new process 1, as kubelet does when it died.

        The emptyDir, the network and the other containers stay as they are.
        """
        with self._lock:
            old = self._container(name)
            old.end()
            os.close(old.handle)
            shutil.rmtree(old.root)
            self._start_container(name)
        if name in self._specs:
            self._wait_for_pebble(name)

    @property
    def workloads(self) -> tuple[str, ...]:
        """The names of the workload containers."""
        return tuple(self._specs)

    def kill_container(self, name: str) -> None:
        """Kill all processes of a container at once; its death is told as that of process 1."""
        with self._lock:
            # With process 1 the kernel kills all others of its namespace.
            self._container(name).process.kill()

    def on_death(self, callback: Callable[[str, int], None]) -> None:
        """Call back, in a thread, when a container's process 1 ends unasked.

        The callback gets the container's name and the exit code (negative: the signal).
        """
        self._deaths.append(callback)

    # What runs inside.

    def popen(
        self,
        container: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | None = None,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        user: str | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process inside a container, in a process group of its own.

        Its ``pid`` is the process itself, in the controller's numbers. ``os.wait4`` on it
        gives the CPU time of the process and of all that it waited for. ``env`` is the whole
        environment, nothing is inherited; ``cwd`` is a directory of the container, / if None;
        ``user`` is one of the container's /etc/passwd, root if None.

        Raises:
            PodError: the container does not run.
            OSError: the program cannot be started.
        """

        def start() -> subprocess.Popen[bytes]:
            sandbox.unshare(sandbox.CLONE_FS)
            try:
                sandbox.setns(self._container(container).handle, _ENTER)
            except ProcessLookupError as error:
                raise PodError(f"container {container} of {self.spec.name} is dead") from error
            uid, gid, groups = identity(user)
            return subprocess.Popen(
                list(argv),
                env=dict(env),
                cwd=cwd or "/",
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                user=uid,
                group=gid,
                extra_groups=groups,
            )

        # Under the lock, since the end of a container closes its handle.
        with self._lock:
            return sandbox.in_thread(start)

    def run(
        self,
        container: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | None = None,
        stdin: str | None = None,
        timeout_s: float | None = None,
        user: str | None = None,
    ) -> Finished:
        """Run a process inside a container to its end; the arguments are those of ``popen``.

        Raises:
            subprocess.TimeoutExpired: it took longer and its process group has been killed.
        """
        files = [os.fdopen(os.memfd_create(n), "w+b") for n in ("stdin", "stdout", "stderr")]
        given, out, err = files
        try:
            given.write((stdin or "").encode())
            given.seek(0)
            process = self.popen(
                container, argv, env=env, cwd=cwd, stdin=given, stdout=out, stderr=err, user=user
            )
            late = not ends_within(process.pid, timeout_s)
            if late:
                os.killpg(process.pid, signal.SIGKILL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
            if late:
                assert timeout_s is not None
                raise subprocess.TimeoutExpired(list(argv), timeout_s, *texts)
            return Finished(process.returncode, texts[0], texts[1], usage)
        finally:
            for file in files:
                file.close()

    def pebble_socket(self, container: str) -> str:
        """Return the path of the container's Pebble socket, as the controller sees it."""
        return str(self._data / "containers" / container / "pebble.socket")

    def path(self, container: str, inside: str) -> Path:
        """Return where the controller sees a file of the running container."""
        pid = self._container(container).process.pid
        return Path(f"/proc/{pid}/root", inside.lstrip("/"))

    def log(self, container: str) -> str:
        """Return what the container's process 1 has printed in all its runs, Pebble's log."""
        path = self._log_file(container)
        return path.read_text(errors="replace") if path.exists() else ""

    def _log_file(self, container: str) -> Path:
        return (self.spec.log_dir or self._base) / f"{container}.log"

    def processes(self, container: str) -> list[tuple[int, list[str]]]:
        """Return process id, in the controller's numbers, and arguments; process 1 first."""
        run = self._container(container)
        found: list[tuple[int, list[str]]] = []
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                if os.readlink(f"/proc/{name}/ns/pid") != run.pid_namespace:
                    continue
                command = Path("/proc", name, "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                # It has ended meanwhile, or waits as a zombie for its parent.
                continue
            found.append((int(name), command.split("\0")[:-1]))
        return sorted(found, key=lambda process: (process[0] != run.process.pid, process[0]))

    # Trouble.

    def freeze(self, container: str | None = None, pid: int | None = None) -> None:
        """Stop processes with SIGSTOP; on return all of them stand.

        Args:
            container: all its processes but process 1, so that Pebble still answers. None:
                every process of the pod, Pebble too.
            pid: this one only.
        """
        deadline = time.monotonic() + _STOP_S
        while awake := [p for p in self._targets(container, pid) if state(p) not in "TXZ"]:
            # One that was about to start another has got that far, so we look until all stand.
            signal_all(awake, signal.SIGSTOP)
            if time.monotonic() > deadline:
                raise PodError(f"processes {awake} of {self.spec.name} do not stop")
            time.sleep(0.001)

    def thaw(self, container: str | None = None, pid: int | None = None) -> None:
        """Let go on what ``freeze`` with the same arguments has stopped."""
        signal_all(self._targets(container, pid), signal.SIGCONT)

    def cut(self, from_pods: Sequence[Pod] | None = None) -> None:
        """Lose all packets to and from the pod, or those to and from some pods only."""
        for other in [None] if from_pods is None else [pod.ip for pod in from_pods]:
            self._network.block(self.ip, other)
            self._network.block(other, self.ip)

    def cut_one_way(
        self, direction: Literal["in", "out"], from_pods: Sequence[Pod] | None = None
    ) -> None:
        """Lose only the packets that go into the pod, or only those that come out of it."""
        for other in [None] if from_pods is None else [pod.ip for pod in from_pods]:
            ends = (other, self.ip) if direction == "in" else (self.ip, other)
            self._network.block(*ends)

    def heal(self) -> None:
        """Lift every cut of this pod, also those that another pod's cut has made."""
        self._network.unblock(self.ip)

    @property
    def is_cut(self) -> bool:
        """Whether the pod is cut off from everybody, in both directions."""
        blocked = self._network.blocked
        return blocked(self.ip, None) and blocked(None, self.ip)

    def _targets(self, container: str | None, pid: int | None) -> list[int]:
        if pid is not None:
            return [pid]
        if container is not None:
            return [process for process, _ in self.processes(container)[1:]]
        names = list(self._containers)
        return [process for name in names for process, _ in self.processes(name)]

    # Making a container.

    def _container(self, name: str) -> Container:
        container = self._containers.get(name)
        if container is None:
            raise PodError(f"{self.spec.name} has no running container {name}")
        return container

    def _start_container(self, name: str) -> None:
        root = self._base / f"{name}-{next(self._runs)}"
        tools = tools_dir()
        if name == CHARM:
            command, environment = ["pause"], {"PATH": PATH}
        else:
            command, environment = pebble(self._specs[name])
        process = launch(
            self.spec.name,
            name,
            command,
            environment,
            namespace=self._namespace,
            make_root=lambda: make_root(self.spec, name, root, self._data, tools, self._names()),
            program=tools / "hooktool",
            log_file=self._log_file(name),
        )
        container = Container(name, root, process)
        self._containers[name] = container
        if name in self._specs and self.spec.memory_mb:
            self._limit(container)
        watch = threading.Thread(
            target=self._watch, args=(container,), name=f"{self.spec.name}/{name}", daemon=True
        )
        watch.start()

    def _names(self) -> Names:
        local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        names = " ".join((*self.spec.hosts, self.spec.name))
        return Names(
            f"{local}{self.ip}\t{names}\n",
            f"{self.spec.name}\n",
            self._network.resolv_conf,
            self._network.nsswitch_conf,
        )

    def _limit(self, container: Container) -> None:
        """Limit the memory of a container that has just started, and has little yet."""
        try:
            name = f"{self.spec.name}-{container.root.name}-{self._base.name}"
            container.limit = MemoryLimit(sandbox.mark(), name, self.spec.memory_mb)
            container.limit.take(container.process.pid, container.process.kill)
        except (MemoryLimitError, OSError) as e:
            raise PodError(f"{container.name} of {self.spec.name}: {e}") from e

    def _watch(self, container: Container) -> None:
        code = container.process.wait()
        if not container.ending:
            for callback in self._deaths:
                callback(container.name, code)

    def _wait_for_pebble(self, name: str) -> None:
        deadline = time.monotonic() + _PEBBLE_START_S
        process = self._container(name).process
        while not pebble_answers(self.pebble_socket(name)):
            if process.poll() is not None or time.monotonic() > deadline:
                words = self.log(name)[-2000:]
                raise PodError(f"Pebble in {name} of {self.spec.name} does not answer: {words}")
            time.sleep(0.003)
