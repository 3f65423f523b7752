"""Pods: containers with a root of their own and a real Pebble, that share a network namespace.

A workload container's root is an overlay over the root of its image, see ``images``; the charm's
container has one over the machine's root, as has a workload whose image that is. What is written
stays in the model's memory and goes with the container. The mounts,
names and arguments are those that Juju gives a sidecar charm's pod; the emptyDir ``charm-data``
outlives a container and goes with the pod.

All the work on namespaces is done in threads, see ``sandbox.in_thread``: a process started by
such a thread is the controller's own child, so its exit code and its CPU time are at hand.
"""

from __future__ import annotations

import itertools
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from resource import struct_rusage
from typing import IO, Literal

from lab import sandbox
from lab.images import Image
from lab.memory import MemoryLimit, MemoryLimitError
from lab.network import Network
from lab.programs import tools_dir

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHARM = "charm"
PYTHON_BIN = "/charm/python/bin"
"""Where the container ``charm`` has the ``python3`` of its base, before the machine's own."""
_FIRST_PEBBLE_PORT = 38813
_PEBBLE_START_S = 30.0
_STOP_S = 10.0
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_HIDDEN = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/boot", "/snap")
_KERNEL = ("proc", "sys", "dev")
_NAME_FILES = ("hosts", "hostname", "resolv.conf", "nsswitch.conf")
_ENTER = sandbox.CLONE_NEWNS | sandbox.CLONE_NEWPID | sandbox.CLONE_NEWNET | sandbox.CLONE_NEWUTS
_POD_NUMBERS = itertools.count(1)

Stream = int | IO[bytes] | None


class PodError(Exception):
    """A pod or container could not do what was asked; the text says which and why."""


@dataclass(frozen=True)
class Mount:
    """Something of the controller's files that a container sees at ``target``."""

    source: Path
    target: str


@dataclass(frozen=True)
class ContainerSpec:
    """A workload container.

    Attributes:
        env: what the image's environment adds to Juju's variables for Pebble.
        index: the container's place by name; it decides Pebble's port, 38813 + index.
        image: what the root is made of; None for the machine's own.
    """

    name: str
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    index: int = 0
    image: Image | None = None


@dataclass(frozen=True)
class PodSpec:
    """A pod.

    Attributes:
        name: such as ``app-0``; also its host name.
        hosts: the names of its address in its /etc/hosts, the full one first.
        charm_dir: the unpacked charm; each pod sees a copy that it may change.
        python_dir: with the base's Python as ``bin/python3``; None for the machine's own.
        tools: names of the hook tools.
        mounts: what the container ``charm`` sees of the unit's storages.
        log_dir: where the output of the containers is added to; else it goes with the pod.
        memory_mb: what the processes of a workload container may take; 0 for no limit.
    """

    name: str
    app: str
    model: str
    hosts: tuple[str, ...]
    containers: tuple[ContainerSpec, ...]
    charm_dir: Path
    tools: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    log_dir: Path | None = None
    python_dir: Path | None = None
    memory_mb: int = 0

    @property
    def unit_tag(self) -> str:
        """The unit's name in paths, such as ``unit-app-0``."""
        return f"unit-{self.name}"


@dataclass(frozen=True)
class Finished:
    """What became of a process.

    Attributes:
        usage: CPU seconds and more, of the process and of those it has waited for.
    """

    returncode: int
    stdout: str
    stderr: str
    usage: struct_rusage


class Volume:
    """A storage: a directory of the model that outlives pods, as a provisioner makes it.

    It is owned by root with mode 0755 and holds ``lost+found``.
    """

    def __init__(self, name: str, size_mb: int | None = None) -> None:
        """Make the volume; with ``size_mb`` it can be filled up, in MiB."""
        self.path = sandbox.RUN / "volumes" / name
        self.path.mkdir(parents=True)
        self._limited = size_mb is not None
        if self._limited:
            sandbox.mount("volume", self.path, "tmpfs", data=f"size={size_mb}m,mode=0755")
        (self.path / "lost+found").mkdir(mode=0o700)

    def remove(self) -> None:
        """Delete the volume and all that is in it."""
        if self._limited:
            sandbox.umount(self.path)
        shutil.rmtree(self.path)


class _Container:
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
        self._containers: dict[str, _Container] = {}
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
            _overlay(self.spec.charm_dir.resolve(), self._base / "charm", charm)
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
            uid, gid, groups = _identity(user)
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
            late = not _ends_within(process.pid, timeout_s)
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
        while awake := [p for p in self._targets(container, pid) if _state(p) not in "TXZ"]:
            # One that was about to start another has got that far, so we look until all stand.
            _signal(awake, signal.SIGSTOP)
            if time.monotonic() > deadline:
                raise PodError(f"processes {awake} of {self.spec.name} do not stop")
            time.sleep(0.001)

    def thaw(self, container: str | None = None, pid: int | None = None) -> None:
        """Let go on what ``freeze`` with the same arguments has stopped."""
        _signal(self._targets(container, pid), signal.SIGCONT)

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

    def _container(self, name: str) -> _Container:
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
            command, environment = _pebble(self._specs[name])

        told, tell = os.pipe()

        def start() -> subprocess.Popen[bytes]:
            sandbox.unshare(sandbox.CLONE_NEWNS | sandbox.CLONE_NEWPID | sandbox.CLONE_NEWUTS)
            sandbox.setns(self._namespace, sandbox.CLONE_NEWNET)
            socket.sethostname(self.spec.name)
            top = self._make_root(name, root, tools)
            with self._log_file(name).open("ab") as log:
                # lab-init pivots the root of this thread too, which must look up nothing once
                # it has started it.
                return subprocess.Popen(
                    ["lab-init", str(tell), *command],
                    executable=tools / "hooktool",
                    cwd=top,
                    env=environment,
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
            raise PodError(f"{name} of {self.spec.name} does not start: {refusal}")
        container = _Container(name, root, process)
        self._containers[name] = container
        if name in self._specs and self.spec.memory_mb:
            self._limit(container)
        watch = threading.Thread(
            target=self._watch, args=(container,), name=f"{self.spec.name}/{name}", daemon=True
        )
        watch.start()

    def _limit(self, container: _Container) -> None:
        """Limit the memory of a container that has just started, and has little yet."""
        try:
            name = f"{self.spec.name}-{container.root.name}-{self._base.name}"
            container.limit = MemoryLimit(sandbox.mark(), name, self.spec.memory_mb)
            container.limit.take(container.process.pid, container.process.kill)
        except (MemoryLimitError, OSError) as e:
            raise PodError(f"{container.name} of {self.spec.name}: {e}") from e

    def _watch(self, container: _Container) -> None:
        code = container.process.wait()
        if not container.ending:
            for callback in self._deaths:
                callback(container.name, code)

    def _make_root(self, name: str, base: Path, tools: Path) -> Path:
        """Mount the container's root and all that belongs into it; return where it is."""
        top = base / "root"
        top.mkdir(parents=True)
        image = None if name == CHARM else self._specs[name].image
        if image is not None and image.root != "/":
            _overlay(Path(image.root), base, top)
            _give_away(image, top)
        else:
            _show_machine(top, base)
        hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        names = " ".join((*self.spec.hosts, self.spec.name))
        texts = (
            f"{hosts}{self.ip}\t{names}\n",
            f"{self.spec.name}\n",
            self._network.resolv_conf,
            self._network.nsswitch_conf,
        )
        for directory in _KERNEL:
            (top / directory).mkdir(exist_ok=True)
        (top / "etc").mkdir(exist_ok=True)
        for file, text in zip(_NAME_FILES, texts, strict=True):
            # The machine's own may be a link to somewhere else.
            (top / "etc" / file).unlink(missing_ok=True)
            (top / "etc" / file).write_text(text)
        # As the kubelet does it: one file for all containers of the pod, written anew with each.
        shared = self._base / "etc-hosts"
        shared.write_text(texts[0])
        _show(shared, top, "/etc/hosts")
        for target, mode in (("tmp", "1777"), ("var/tmp", "1777"), ("run", "0755")):
            place = _inside(top, target)
            place.mkdir(parents=True, exist_ok=True)
            sandbox.mount("tmpfs", place, "tmpfs", data=f"mode={mode}")
        (top / "run/lock").mkdir(mode=0o1777)
        _make_devices(top / "dev")
        read_only = sandbox.MS_RDONLY | sandbox.MS_NOSUID | sandbox.MS_NODEV | sandbox.MS_NOEXEC
        sandbox.mount("sysfs", top / "sys", "sysfs", read_only)
        if name == CHARM:
            _show(tools, top, "/charm/bin", read_only=True)
            _show(self._data / "containers", top, "/charm/containers")
            _show(self._data / "juju", top, "/var/lib/juju")
            if self.spec.python_dir is not None:
                python = str(Path(PYTHON_BIN).parent)
                _show(self.spec.python_dir, top, python, read_only=True)
            mounts = self.spec.mounts
        else:
            _show(tools / "pebble", top, "/charm/bin/pebble", read_only=True)
            _show(self._data / "containers" / name, top, "/charm/container")
            mounts = self._specs[name].mounts
        for wanted in mounts:
            _show(wanted.source, top, wanted.target)
        return top

    def _wait_for_pebble(self, name: str) -> None:
        deadline = time.monotonic() + _PEBBLE_START_S
        process = self._container(name).process
        while not _pebble_answers(self.pebble_socket(name)):
            if process.poll() is not None or time.monotonic() > deadline:
                words = self.log(name)[-2000:]
                raise PodError(f"Pebble in {name} of {self.spec.name} does not answer: {words}")
            time.sleep(0.003)


def _pebble(spec: ContainerSpec) -> tuple[list[str], dict[str, str]]:
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


def _pebble_answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(5.0)
        try:
            client.connect(path)
            client.sendall(b"GET /v1/system-info HTTP/1.0\r\n\r\n")
            return b" 200 " in client.recv(64)
        except OSError:
            return False


def _overlay(lower: Path, base: Path, target: Path) -> None:
    """Mount at ``target`` what ``lower`` holds; changes go to ``base``, on the model's tmpfs."""
    for name in ("upper", "work"):
        (base / name).mkdir(parents=True, exist_ok=True)
    # In a user namespace overlayfs may keep its marks in user attributes only.
    extra = "" if sandbox.owns_machine() else ",userxattr"
    data = f"lowerdir={_escape(lower)},upperdir={base / 'upper'},workdir={base / 'work'}{extra}"
    sandbox.mount("overlay", target, "overlay", data=data)


def _give_away(image: Image, top: Path) -> None:
    """Give what is not root's in an image to its owner."""
    for owned in image.owned:
        place = _inside(top, owned.path)
        os.chown(place, owned.uid, owned.gid)
        place.chmod(owned.mode)


def _show_machine(top: Path, base: Path) -> None:
    """Make at ``top`` a root that is the machine's, without what its own services keep."""
    if sandbox.owns_machine():
        _overlay(Path("/"), base, top)
        _show_other_file_systems(top)
    else:
        _assemble(top, base)
    for index, (path, uid, gid, mode) in enumerate(sandbox.machine().service_dirs):
        empty = base / f"empty-{index}"
        empty.mkdir()
        os.chown(empty, uid, gid)
        empty.chmod(mode)
        _show(empty, top, path)


def _assemble(top: Path, base: Path) -> None:
    """Make at ``top``, for an ordinary user, what one overlay of / is for root.

    In a user namespace the kernel hands out no directory without the mounts below it, and
    overlayfs cannot change a directory whose owner the namespace does not know. So each
    directory that has no mounts below it gets an overlay, and those that containers write to
    are there beforehand, as directories of the namespace's root.
    """
    mounted = _mount_points()
    numbers = itertools.count()

    def fill(directory: Path, target: Path) -> None:
        for entry in _entries(directory):
            path, place = directory / entry.name, target / entry.name
            if entry.is_symlink():
                place.symlink_to(os.readlink(path))
            elif not entry.is_dir():
                if directory != Path("/etc") or entry.name not in _NAME_FILES:
                    _show(path, target, entry.name)
            elif str(path) in _HIDDEN:
                place.mkdir()
            elif any(point != path and point.is_relative_to(path) for point in mounted):
                place.mkdir()
                fill(path, place)
            else:
                place.mkdir()
                part = base / f"part-{next(numbers)}"
                if path.is_relative_to("/etc") or path.is_relative_to("/var"):
                    _copy_directories(path, part / "upper")
                _overlay(path, part, place)

    sandbox.mount("tmpfs", top, "tmpfs", data="mode=0755")
    fill(Path("/"), top)
    for hidden in _HIDDEN:
        (top / hidden.lstrip("/")).mkdir(parents=True, exist_ok=True)


def _copy_directories(source: Path, target: Path) -> None:
    """Make the tree of readable directories below ``source`` again, without their files."""
    for name, directories, _ in os.walk(source):
        for directory in directories:
            if not os.path.islink(os.path.join(name, directory)):
                (target / Path(name).relative_to(source) / directory).mkdir(parents=True)


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    """Return what is in a directory, nothing if the user may not know."""
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except PermissionError:
        return []


def _mount_points() -> list[Path]:
    """Return where the machine has mounts below /, without those that no container sees."""
    return [
        point
        for point in map(Path, sandbox.machine().mount_points)
        if point != Path("/") and not any(point.is_relative_to(place) for place in _HIDDEN)
    ]


def _escape(path: Path) -> str:
    """Return the path as overlayfs wants it, in whose options a colon and a comma mean more."""
    text = str(path)
    for character in "\\:,":
        text = text.replace(character, "\\" + character)
    return text


def _show(source: Path, top: Path, target: str, *, read_only: bool = False) -> None:
    """Bind ``source`` to the path ``target`` of the root at ``top``, made if need be."""
    place = _inside(top, target)
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    sandbox.bind(source, place, read_only=read_only)


def _inside(top: Path, target: str) -> Path:
    """Return where ``target`` lies when ``top`` is the root, also behind symbolic links.

    The kernel would follow an absolute link, such as Debian's /var/run, out of the container.
    """
    done, parts = Path("/"), [part for part in target.split("/") if part]
    for _ in range(1000):
        if not parts:
            return top / done.relative_to("/")
        part = parts.pop(0)
        done = done.parent if part == ".." else done / part
        here = top / done.relative_to("/")
        if here.is_symlink():
            link = os.readlink(here)
            done = Path("/") if link.startswith("/") else done.parent
            parts = [piece for piece in link.split("/") if piece not in ("", ".")] + parts
    raise PodError(f"{target} has too many symbolic links")


def _show_other_file_systems(top: Path) -> None:
    """Show, read-only, the machine's other file systems, which an overlay of / leaves out."""
    for point in _mount_points():
        place = _inside(top, str(point))
        if point.is_dir() and place.is_dir():
            sandbox.bind(point, place, read_only=True)


def _make_devices(dev: Path) -> None:
    """Fill /dev with what every container has."""
    sandbox.mount("tmpfs", dev, "tmpfs", sandbox.MS_NOSUID, "mode=0755")
    for name in filter(lambda name: Path("/dev", name).exists(), _DEVICES):
        (dev / name).touch()
        # Binding works in a user namespace too, where nobody may make a device.
        sandbox.bind(Path("/dev", name), dev / name)
    for name in ("pts", "shm"):
        (dev / name).mkdir()
    sandbox.mount("tmpfs", dev / "shm", "tmpfs", sandbox.MS_NOSUID, "mode=1777")
    options = "newinstance,ptmxmode=0666,mode=0620"
    sandbox.mount("devpts", dev / "pts", "devpts", sandbox.MS_NOSUID, options)
    links = {
        "ptmx": "pts/ptmx",
        "fd": "/proc/self/fd",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
    }
    for name, target in links.items():
        (dev / name).symlink_to(target)


def _identity(user: str | None) -> tuple[int | None, int | None, list[int] | None]:
    """Return uid, gid and groups of a user, nothing for None, by the /etc/passwd in sight."""
    if user is None:
        return None, None, None
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(user, entry.pw_gid)


def _ends_within(pid: int, timeout_s: float | None) -> bool:
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))
    finally:
        os.close(handle)


def _state(pid: int) -> str:
    """Return the letter of a process's state; Z, the end, also for one that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
