"""The Python side of the lab: a handle on one model, in Juju's words.

``Model("demo")`` is a name until something is deployed; the first ``deploy`` starts the model's
controller, which goes on when the caller ends. ``destroy`` leaves nothing.
"""

from __future__ import annotations

import builtins
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import images, sandbox
from lab.bases import BaseError, base_of, python_home
from lab.model import HookRecord
from lab.packing import PackingError, pack, read_meta
from lab.programs import tools_dir

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 20.0
STATUS_EVERY_S = 0.05
PREDICATE_EVERY_S = 0.5
LOG_TAIL = 30


class LabError(Exception):
    """The lab refused a request; the text says why."""


class LabTimeout(LabError):
    """What was waited for did not come; the text has the status and the end of the log."""


@dataclass(frozen=True)
class ActionResult:
    """What became of an action; ``status`` is ``completed`` or ``failed``."""

    status: str
    results: dict[str, Any]
    message: str
    log: list[str]


def home() -> Path:
    """Return the directory of all models: ``$LAB_HOME``, or one in /tmp for this user."""
    return Path(os.environ.get("LAB_HOME") or f"/tmp/juju-lab-{os.getuid()}").absolute()


def cache() -> Path:
    """Return the directory of what outlives models: ``$LAB_CACHE``, or the project's."""
    return Path(os.environ.get("LAB_CACHE") or ROOT / ".cache" / "lab").absolute()


def _python(base: str) -> str:
    """Return the home of a base's Python.

    Raises:
        PackingError: this machine has none.
    """
    try:
        return str(python_home(base, cache()))
    except BaseError as e:
        raise PackingError(str(e)) from e


class Model:
    """A handle on a model, which need not exist yet."""

    def __init__(self, name: str = "lab") -> None:
        self.name = name
        self.dir = home() / name
        self._spawned: builtins.list[subprocess.Popen] = []

    @staticmethod
    def list() -> list[str]:
        """Return the names of the models whose controller answers or has left something."""
        return sorted(path.name for path in home().iterdir()) if home().exists() else []

    # Applications.

    def deploy(
        self,
        charm_dir: Path | str,
        app: str | None = None,
        units: int = 1,
        config: Mapping[str, Any] | None = None,
        resources: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        base: str | None = None,
    ) -> None:
        """Deploy a charm, starting the model's controller when there is none.

        Args:
            charm_dir: the charm's source directory, a packed charm, or an unpacked one.
            app: the application's name, the charm's when left out.
            units: how many units to start with.
            config: options by name.
            resources: by name, the path of a file; for an image the name of a recipe, see
                ``images``, or a directory that is a root's tree, ``/`` for the machine's own.
                An image that is left out is the one that stands for the charm's
                ``upstream-source``, else the machine's own root.
            settings: see ``lab.model.Settings``; they hold for the whole model.
            base: such as ``ubuntu@24.04``: the containers ``charm`` have its Python, and what
                is packed now is packed for it. Without one it is that which a packed charm was
                packed for, and for a source directory the Python that runs the lab.

        Raises:
            LabError: the model refuses it.
            lab.images.ImageError: there is no such image, or it could not be made.
            lab.packing.PackingError: it is no charm, or this machine has not the base's Python.
        """
        packed = self._pack(Path(charm_dir), base or "")
        base = base_of(packed) if base is None else base
        python = _python(base)
        kept, made = self._resources(packed, resources or {})
        self.start(settings)
        self._ask(
            "deploy",
            charm_dir=str(packed),
            app=app or "",
            units=units,
            config=dict(config or {}),
            resources=kept,
            images=made,
            base=base,
            python=python,
        )

    def start(self, settings: Mapping[str, Any] | None = None) -> None:
        """Start the controller if none answers, and take over settings."""
        if not self._answers():
            tools_dir()
            self.dir.mkdir(parents=True, exist_ok=True)
            program = (
                f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; "
                f"from lab.controller import main; main(Path({str(self.dir)!r}))"
            )
            sandbox.start_controller(self.dir, [sys.executable, "-c", program])
            deadline = time.monotonic() + START_TIMEOUT_S
            while not self._answers():
                log = self.dir / "controller.log"
                if time.monotonic() > deadline or not self._runs():
                    text = log.read_text(errors="replace")[-2000:] if log.exists() else ""
                    raise LabError(f"the controller of {self.name} does not start:\n{text}")
                time.sleep(0.01)
        if settings:
            self.settings(settings)

    def settings(self, values: Mapping[str, Any]) -> None:
        """Change settings of the model, see ``lab.model.Settings``."""
        self._ask("settings", values=dict(values))

    def _pack(self, source: Path, base: str) -> Path:
        charms = self.dir / "charms"
        for number in itertools.count():
            target = charms / str(number)
            if not target.exists():
                pack(source.absolute(), target, cache(), base)
                return target
        raise AssertionError("unreachable")

    def _resources(
        self, charm_dir: Path, resources: Mapping[str, str], given: Collection[str] = ()
    ) -> tuple[dict[str, str], dict[str, Any]]:
        """Return what a charm gets for its resources, and the images that are among them.

        Nothing for the resources in ``given``, which its application has already.
        """
        declared = read_meta(charm_dir).resources
        kept: dict[str, str] = {}
        made: dict[str, Any] = {}
        for name, value in resources.items():
            kept[name] = value
            kind = declared.get(name, {}).get("type")
            if kind == "file":
                kept[name] = self._keep_file(name, value)
            elif kind == "oci-image":
                made[name] = images.image(value, cache()).as_json()
        for name, spec in declared.items():
            source = str(spec.get("upstream-source") or "")
            if name not in (*kept, *given) and source and spec.get("type") == "oci-image":
                kept[name] = source
                if stand_in := images.standing_for(source):
                    made[name] = images.image(stand_in, cache()).as_json()
        return kept, made

    def _keep_file(self, name: str, path: str) -> str:
        """Copy a resource's file into the model's directory and return where it is."""
        folder = self.dir / "resources"
        folder.mkdir(parents=True, exist_ok=True)
        handle, kept = tempfile.mkstemp(prefix=f"{name}-", dir=folder)
        os.close(handle)
        shutil.copyfile(path, kept)
        return kept

    def add_unit(self, app: str, n: int = 1) -> list[str]:
        """Add units and return their names."""
        return self._ask("add_unit", app=app, count=n)

    def remove_unit(self, app: str, n: int = 1) -> list[str]:
        """Lower the scale and return which units go; the settings decide which."""
        return self._ask("remove_unit", app=app, count=n)

    def remove_application(self, app: str) -> None:
        """Remove an application with its units and storages."""
        self._ask("remove_application", app=app)

    def config(self, app: str, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Set options, where ``None`` resets one, and return all of them."""
        return self._ask("config", app=app, values=dict(values) if values else None)

    def refresh(self, app: str, charm_dir: Path | str, base: str | None = None) -> None:
        """Roll the pods of an application onto another revision of its charm.

        Args:
            app: the application.
            charm_dir: as for ``deploy``; a source directory is packed for the base that the
                application has then.
            base: the new base. Without one the application keeps its own, whatever the charm
                was packed for.
        """
        found = self.status()["applications"].get(app, {})
        kept_base = found.get("base", "") if base is None else base
        packed = self._pack(Path(charm_dir), kept_base)
        kept, made = self._resources(packed, {}, self._ask("resources", app=app)["given"])
        self._ask(
            "refresh",
            app=app,
            charm_dir=str(packed),
            resources=kept,
            images=made,
            base=kept_base,
            python=_python(kept_base),
        )

    def attach_resource(self, app: str, name: str, value: str) -> None:
        """Give an application a resource, as ``deploy`` takes it, and roll its pods."""
        declared = self._ask("resources", app=app)["types"]
        if name not in declared:
            raise LabError(f'application "{app}" has no resource "{name}"')
        if declared[name] == "oci-image":
            made = images.image(value, cache()).as_json()
            self._ask("attach_resource", app=app, name=name, value=value, image=made)
        else:
            kept = self._keep_file(name, value)
            self._ask("attach_resource", app=app, name=name, value=kept, image=None)

    def run(
        self,
        unit: str,
        action: str,
        params: Mapping[str, Any] | None = None,
        timeout_s: float = 60,
    ) -> ActionResult:
        """Run an action and wait for its end.

        Raises:
            LabError: there is no such action, the parameters do not fit, or it takes too long.
        """
        found = self._ask(
            "run",
            unit=unit,
            action=action,
            params=dict(params or {}),
            timeout_s=timeout_s,
            wait_s=timeout_s,
        )
        return ActionResult(**found)

    def integrate(self, first: str, second: str) -> str:
        """Relate two applications, each given as ``app`` or ``app:endpoint``."""
        return self._ask("integrate", first=first, second=second)

    def remove_relation(self, first: str, second: str) -> None:
        """End the relation of two applications."""
        self._ask("remove_relation", first=first, second=second)

    # Secrets of the user.

    def add_secret(self, content: Mapping[str, str]) -> str:
        """Keep a secret and return its id, as an option takes it; nobody may read it yet."""
        return self._ask("add_secret", content=dict(content))

    def update_secret(self, secret: str, content: Mapping[str, str]) -> None:
        """Give a secret a new revision."""
        self._ask("change_secret", secret=secret, content=dict(content), app="", granted=False)

    def grant_secret(self, secret: str, app: str) -> None:
        """Let an application read a secret."""
        self._ask("change_secret", secret=secret, content=None, app=app, granted=True)

    def remove_secret(self, secret: str) -> None:
        """Delete a secret."""
        self._ask("remove_secret", secret=secret)

    # Looking.

    def status(self) -> dict[str, Any]:
        """Return applications, units and relations with their statuses.

        The mapping has ``model``; ``applications``, by name, each with ``status`` (``current``,
        ``message``), ``charm``, ``base``, ``ports`` (such as ``80/tcp``), ``scale``, ``rolling``,
        ``containers`` and ``units``; and
        ``relations``, each with ``id``, ``endpoints``, ``interface`` and ``life``. A unit, by
        its name, has ``workload`` and ``agent`` (``current``, ``message``), ``leader``,
        ``address``, ``host``, ``life`` (``alive``, ``dying``, ``dead``) and ``version``.
        An agent is ``allocating``, ``idle``, ``executing``, ``error`` or ``lost``.
        """
        return self._ask("status", after=-1, timeout_s=0.0)["status"]

    def wait(
        self, predicate: Callable[[dict[str, Any]], bool], timeout_s: float, what: str = ""
    ) -> dict[str, Any]:
        """Wait until a status satisfies ``predicate``, and return it.

        Raises:
            LabTimeout: none did in time.
        """
        deadline = time.monotonic() + timeout_s
        version = -1
        while True:
            left = deadline - time.monotonic()
            # A predicate may also ask for what is no part of the status, so it is tried regularly.
            wait_s = max(0.0, min(left, PREDICATE_EVERY_S))
            answer = self._ask("status", after=version, timeout_s=wait_s)
            version, status = answer["version"], answer["status"]
            if predicate(status):
                return status
            if left <= 0:
                raise LabTimeout(self._timeout_text(what or "what was waited for", timeout_s))
            # A status changes many times a second while hooks run; this is how often we look.
            time.sleep(min(STATUS_EVERY_S, left))

    def wait_idle(self, timeout_s: float, hold_s: float = 1.0) -> dict[str, Any]:
        """Wait until every unit that is wanted is idle and none is leaving, for ``hold_s``.

        Raises:
            LabTimeout: that did not happen; a unit in error is never idle.
        """
        since: float | None = None
        deadline = time.monotonic() + timeout_s
        version = -1
        while True:
            wait_s = deadline - time.monotonic()
            if since is not None:
                wait_s = min(wait_s, since + hold_s - time.monotonic())
            answer = self._ask("status", after=version, timeout_s=max(0.0, wait_s))
            now = time.monotonic()
            if answer["version"] != version:
                version = answer["version"]
                since = (since or now) if _settled(answer["status"]) else None
            if since is not None and now >= since + hold_s:
                return answer["status"]
            if now >= deadline:
                raise LabTimeout(self._timeout_text("idle units", timeout_s))
            time.sleep(min(STATUS_EVERY_S, max(0.0, deadline - now)))

    def _timeout_text(self, what: str, timeout_s: float) -> str:
        status = json.dumps(self.status(), indent=1)
        tail = "\n".join(self.log()[-LOG_TAIL:])
        return f"{what}: not within {timeout_s:g} s\n{status}\n{tail}"

    def status_log(self, unit: str) -> list[dict[str, str]]:
        """Return what a unit's charm has said of itself, as ``juju show-status-log`` does.

        Each has ``current`` and ``message``, oldest first; those of a unit that has left stay.
        """
        return self._ask("status_log", unit=unit)

    def hooks(self, since: int = 0) -> list[HookRecord]:
        """Return the runs of dispatch from index ``since`` on, in the order of their ends."""
        return [HookRecord(**record) for record in self._ask("hooks", since=since)]

    def log(self, since: int = 0) -> list[str]:
        """Return the lines of the debug log after the first ``since``."""
        return self._ask("log", since=since, timeout_s=0.0)["lines"]

    def follow_log(self, since: int, timeout_s: float) -> tuple[list[str], int]:
        """Wait for lines after the first ``since``; return them and how many there are in all."""
        answer = self._ask("log", since=since, timeout_s=timeout_s)
        return answer["lines"], answer["end"]

    def databags(self, app: str) -> dict[str, dict[str, dict[str, str]]]:
        """Return ``{"endpoint:id": {unit or app: {key: value}}}``."""
        return self._ask("databags", app=app)

    def secrets(self, app: str) -> dict[str, dict[str, Any]]:
        """Return all secrets of an application and its units, with content, by id."""
        return self._ask("secrets", app=app)

    # Inside the pods.

    def exec(
        self,
        unit: str,
        container: str,
        argv: Sequence[str],
        stdin: str | None = None,
        timeout_s: float = 30,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a container and wait for its end.

        Raises:
            LabError: the container does not run, or the command takes too long.
        """
        found = self._ask(
            "exec",
            unit=unit,
            container=container,
            argv=list(argv),
            stdin=stdin,
            timeout_s=timeout_s,
            wait_s=timeout_s,
        )
        return subprocess.CompletedProcess(list(argv), **found)

    def spawn(
        self, argv: Sequence[str], *, beside: str | None = None, **kwargs: Any
    ) -> subprocess.Popen:
        """Start a process on the model's network, with its names; it ends with the model.

        Args:
            argv: the command.
            beside: a unit whose pod's own network the process uses, so that a cut of the pod
                cuts it off too; it sees no file of the pod and outlives it. Without it the
                process has the place of any other client.
            kwargs: as for ``subprocess.Popen``.
        """
        pid = json.loads((self.dir / "controller.json").read_text(encoding="utf-8"))["pid"]
        pod_pid = 0 if beside is None else self._ask("pod_pid", unit=beside)
        if os.geteuid() != 0:
            enter = Path(__file__).with_name("enter.py")
            command = [sys.executable, str(enter), str(pid), str(pod_pid)]
            return self._note(subprocess.Popen([*command, *argv], **kwargs))
        handle = os.pidfd_open(pid)
        spaces = sandbox.CLONE_NEWNS | sandbox.CLONE_NEWNET | sandbox.CLONE_NEWPID
        kwargs.setdefault("cwd", os.getcwd())

        def start() -> subprocess.Popen:
            sandbox.unshare(sandbox.CLONE_FS)
            sandbox.setns(handle, spaces)
            if pod_pid:
                network = os.open(f"/proc/{pod_pid}/ns/net", os.O_RDONLY)
                sandbox.setns(network, sandbox.CLONE_NEWNET)
                os.close(network)
            return subprocess.Popen(list(argv), **kwargs)

        try:
            return self._note(sandbox.in_thread(start))
        finally:
            os.close(handle)

    def _note(self, process: subprocess.Popen) -> subprocess.Popen:
        self._spawned = [each for each in self._spawned if each.poll() is None] + [process]
        return process

    # Trouble.

    def kill_process(self, unit: str, container: str, match: str) -> int:
        """Kill with SIGKILL every process whose command line holds ``match``."""
        return self._ask("kill_process", unit=unit, container=container, match=match)

    def oom(self, unit: str, container: str) -> None:
        """Kill a workload container as the kernel does when it takes too much memory.

        All its processes go, Pebble too, and all its files but those on storages.
        """
        self._ask("oom", unit=unit, container=container)

    def kill_pod(self, unit: str, graceful: bool = False, hold_s: float = 0.0) -> None:
        """Delete a pod; a new one with a new address comes up by itself after ``hold_s``."""
        self._ask("kill_pod", unit=unit, graceful=graceful, hold_s=hold_s)

    def pids(self, unit: str, container: str, match: str = "") -> builtins.list[int]:
        """Return the processes whose command line holds ``match``, as ``spawn`` sees them.

        Process 1 of the container is the first, if it is among them; ``/proc/PID/root`` is the
        container's root.
        """
        return self._ask("pids", unit=unit, container=container, match=match)

    def slow_disk(
        self, unit: str, container: str, match: str, seconds: float, delay_s: float
    ) -> None:
        """Have each write of a process to the files it has open take long; return when it is over.

        Args:
            unit: whose it is.
            container: in which it runs.
            match: part of its command line, which the first such process has.
            seconds: for how long.
            delay_s: what each write, and each wait for the disk, takes longer.

        Raises:
            LabError: the machine has no strace, or it may not do that here.
        """
        program = (
            "files=$(find /proc/$0/fd -lname '/*' ! -lname '/dev/*' -printf '-P %l ') && "
            "exec timeout $1 strace -f -q -o /dev/null -p $0 $files "
            "-e trace=write,fdatasync -e inject=write,fdatasync:delay_enter=$2"
        )
        pid = self.pids(unit, container, match)[0]
        argv = ["sh", "-c", program, str(pid), str(seconds), f"{delay_s * 1e6:.0f}"]
        code, said = self._beside(argv, timeout_s=seconds + 30)
        # 124: timeout has ended it; 0: the process has ended before.
        if code not in (0, 124):
            raise LabError(f"the disk could not be slowed: {said or code}")

    def kill_on_a_busy_disk(self, unit: str, container: str, match: str, after_s: float) -> None:
        """Kill a process with SIGKILL while the disk has not finished what it was given.

        Args:
            unit: whose it is.
            container: in which it runs.
            match: part of its command line, which the first such process has.
            after_s: how long the disk has been busy by then.

        Raises:
            LabError: the machine has no strace, or it may not do that here.
        """
        program = (
            "{ strace -f -q -o /dev/null -p $0 "
            "-e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_enter=60000000 & } && "
            # Together: strace would hold on to a process that it has delayed.
            "sleep $1 && kill -0 $! && kill -9 $0 $!"
        )
        pid = self.pids(unit, container, match)[0]
        code, said = self._beside(["sh", "-c", program, str(pid), f"{after_s:.2f}"], timeout_s=30)
        if code:
            raise LabError(f"the disk could not be kept busy: {said or code}")

    def _beside(self, argv: Sequence[str], timeout_s: float) -> tuple[int, str]:
        """Run a command beside the pods, where the machine's programs are; code and stderr."""
        process = self.spawn(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, said = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as e:
            process.kill()
            process.communicate()
            raise LabError(f"{argv[0]} took longer than {timeout_s:g} s") from e
        return process.returncode, said

    def freeze(self, unit: str, container: str | None = None, match: str | None = None) -> None:
        """Stop the processes of a pod, of one container, or those that ``match``."""
        self._ask("freeze", unit=unit, container=container, match=match)

    def thaw(self, unit: str, container: str | None = None, match: str | None = None) -> None:
        """Undo ``freeze`` with the same arguments."""
        self._ask("thaw", unit=unit, container=container, match=match)

    def cut(self, unit: str, others: Sequence[str] = (), direction: str | None = None) -> None:
        """Lose packets silently.

        Args:
            unit: whose pod it is.
            others: lose only what goes between this unit and these.
            direction: ``in`` or ``out`` for one way; both without it. With no ``others`` and
                both ways the unit's agent loses its controller too.
        """
        self._ask("cut", unit=unit, others=list(others), direction=direction)

    def heal(self, unit: str) -> None:
        """Undo every cut of a unit's pod."""
        self._ask("heal", unit=unit)

    def resolved(self, unit: str) -> None:
        """Retry a failed hook at once."""
        self._ask("resolved", unit=unit)

    def elect(self, unit: str) -> None:
        """Make a unit the leader of its application."""
        self._ask("elect", unit=unit)

    def update_status(self, unit: str) -> None:
        """Let a unit run update-status as soon as nothing else is due."""
        self._ask("update_status", unit=unit)

    def fill_disk(self, unit: str, storage: str) -> int:
        """Fill a storage to the last byte; it needs the setting ``storage_mb``."""
        return self._ask("fill_disk", unit=unit, storage=storage)

    def empty_disk(self, unit: str, storage: str) -> None:
        """Delete all that a storage holds, as if the unit got a new volume."""
        self._ask("empty_disk", unit=unit, storage=storage)

    def free_disk(self, unit: str, storage: str) -> None:
        """Undo ``fill_disk``."""
        self._ask("free_disk", unit=unit, storage=storage)

    def destroy(self) -> None:
        """End every process of the model and remove all its files."""
        # The model's first process does not end before each of these has been waited for, which
        # only their parent can.
        for process in self._spawned:
            process.kill()
            process.wait()
        self._spawned.clear()
        sandbox.destroy(self.dir)
        try:
            home().rmdir()
        except OSError:
            # Other models are there, or it never was.
            return

    # The socket.

    def _runs(self) -> bool:
        return any(line.startswith("process") for line in sandbox.leftovers(self.dir))

    def _answers(self) -> bool:
        try:
            with self._connect():
                return True
        except OSError:
            return False

    def _connect(self) -> socket.socket:
        # Through the open directory, since a socket's path has at most 107 bytes.
        folder = os.open(self.dir, os.O_PATH | os.O_DIRECTORY)
        try:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(f"/proc/self/fd/{folder}/controller.sock")
            except OSError:
                connection.close()
                raise
            return connection
        finally:
            os.close(folder)

    def _ask(self, op: str, wait_s: float = 0.0, **arguments: Any) -> Any:
        """Send a request; ``wait_s`` is what it may take beyond the usual 60 s."""
        try:
            connection = self._connect()
        except OSError as e:
            raise LabError(f"model {self.name} does not run") from e
        with connection:
            connection.settimeout(60.0 + wait_s)
            try:
                connection.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
                with connection.makefile("rb") as lines:
                    text = lines.readline()
            except OSError as e:
                raise LabError(f"the controller of {self.name} gives no answer: {e}") from e
        if not text:
            raise LabError(f"the controller of {self.name} has ended")
        answer = json.loads(text)
        if "error" in answer:
            raise LabError(answer["error"])
        return answer["result"]


def _settled(status: Mapping[str, Any]) -> bool:
    for app in status["applications"].values():
        if app["rolling"] or len(app["units"]) != app["scale"]:
            return False
        for unit in app["units"].values():
            if unit["agent"]["current"] != "idle" or unit["life"] != "alive":
                return False
    return True
