"""The namespaces that one model lives in, from its first process to the last trace of it.

Run as a script this file is the model's init: process 1 of fresh pid, mount, network, uts and
ipc namespaces (and, for an ordinary user, a user namespace). Init starts the controller, reaps
orphans, and ends when the controller ends, whatever ended it; with process 1 the kernel removes
every process of the model, and with the last process every mount and network namespace. A
process of the model is recognised by the source of a mount that all of them see, so that a
model can be destroyed even if nobody has noted its process ids.

Source: man 7 pid_namespaces, mount_namespaces, user_namespaces.
"""

from __future__ import annotations

import ctypes
import dataclasses
import fcntl
import hashlib
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

RUN = Path("/run/lab")
"""The model's own files, on a tmpfs that only the model's processes see.

It is short because a Unix socket's path may have no more than 107 bytes.
"""

_RECORD = "controller.json"
_LOG = "controller.log"
_DESTROY_TIMEOUT_S = 20.0
_MAPPED_IDS = 65536
_STATE_DIRS = ("/etc", "/var/lib", "/var/log", "/var/cache", "/var/spool")
_LIBC = ctypes.CDLL(None, use_errno=True)

T = TypeVar("T")


class SandboxError(Exception):
    """The model's namespaces could not be made or removed; the text is one line for the user."""


# System calls that Python has no function for.


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Give the calling thread fresh namespaces of the kinds in ``flags``."""
    _check(_LIBC.unshare(flags), f"unshare {flags:#x}")


def setns(fd: int, flags: int) -> None:
    """Move the calling thread into the namespaces that ``fd`` (a namespace, a pidfd) names."""
    _check(_LIBC.setns(fd, flags), f"setns {flags:#x}")


def mount(source: str, target: Path | str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Make one mount; the arguments are those of man 2 mount, and an OSError names the target."""
    _check(
        _LIBC.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() or None,
            ctypes.c_ulong(flags),
            data.encode() or None,
        ),
        f"mount {kind or source} on {target}",
    )


def umount(target: Path | str) -> None:
    """Detach the mount at ``target``; it vanishes when its last user has left."""
    _check(_LIBC.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def bind(source: Path | str, target: Path | str, *, read_only: bool = False) -> None:
    """Show ``source``, with what is mounted below it, at the existing path ``target``."""
    mount(str(source), target, flags=MS_BIND | MS_REC)
    if read_only:
        # In a user namespace a remount may not drop the flags that the mount has already.
        kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount(str(source), target, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | kept)


def in_thread(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread of its own and return what it returns, or raise what it raises.

    Namespaces belong to a thread: what ``work`` unshares or enters ends with it, and a process
    that it starts stays in there.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # It is raised again in the calling thread.
            errors.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


# The client's side: start, destroy, leftovers.


def start_controller(model_dir: Path, argv: Sequence[str]) -> int:
    """Start ``argv`` as the controller of the model in ``model_dir``; it outlives the caller.

    The controller gets the caller's environment and directory, and ``LAB_MODEL_DIR``. What it
    prints goes to ``controller.log`` in the model's directory.

    Returns:
        The process id of the model's init. It is also written, with the time at which the
        process started, into ``controller.json``.

    Raises:
        SandboxError: the model runs already, or the machine does not allow namespaces.
    """
    model_dir = model_dir.resolve()
    model_dir.mkdir(parents=True, exist_ok=True)
    directory = _locked(model_dir)
    try:
        if _members(model_dir):
            raise SandboxError(f"the model in {model_dir} runs already")
        with (model_dir / _LOG).open("ab") as log:
            launcher = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).resolve()), str(model_dir), *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "LAB_MODEL_DIR": str(model_dir)},
                start_new_session=True,
                text=True,
            )
        assert launcher.stdout is not None
        report = launcher.stdout.read()
        launcher.stdout.close()
        launcher.wait()
        lines = report.splitlines()
        # Init may have said that it is ready before its parent has said who it is.
        ids = [int(line) for line in lines if line.isdigit()]
        said = [line for line in lines if not line.isdigit()]
        if not ids or said != ["ready"]:
            raise SandboxError(said[-1] if said else f"init failed, see {model_dir / _LOG}")
        pid = ids[0]
        record = {"pid": pid, "start_ticks": _start_ticks(pid)}
        (model_dir / _RECORD).write_text(json.dumps(record) + "\n")
        return pid
    finally:
        os.close(directory)


def destroy(model_dir: Path) -> None:
    """End every process of the model and remove its files; fine when little or nothing is left.

    Raises:
        SandboxError: a process is still there after 20 s.
    """
    model_dir = model_dir.resolve()
    deadline = time.monotonic() + _DESTROY_TIMEOUT_S
    # A model that is being started is waited for, so that none of it comes up afterwards.
    directory = _locked(model_dir) if model_dir.exists() else None
    try:
        recorded = _recorded_pid(model_dir)
        if recorded is not None:
            _kill_verified(recorded, lambda: _recorded_pid(model_dir) == recorded, deadline)
        # Init took all others with it, unless whoever started it died before noting its id.
        for pid in _members(model_dir):
            _kill_verified(pid, lambda pid=pid: pid in _members(model_dir, [pid]), deadline)
        if _members(model_dir):
            raise SandboxError(f"processes of the model in {model_dir} do not end")
        # Not at the top: init is this file alone, as a script.
        from lab import memory

        memory.forget(_mark(model_dir))
        if model_dir.exists():
            shutil.rmtree(model_dir)
    finally:
        if directory is not None:
            os.close(directory)


def leftovers(model_dir: Path) -> list[str]:
    """Return one line for each process, namespace, mount and directory the model still has."""
    model_dir = model_dir.resolve()
    found: list[str] = []
    namespaces: set[str] = set()
    for pid in _members(model_dir):
        command = _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
        found.append(f"process {pid}: {command}")
        for kind in ("pid", "mnt", "net"):
            try:
                name = os.readlink(f"/proc/{pid}/ns/{kind}")
            except OSError:
                continue
            if name != os.readlink(f"/proc/self/ns/{kind}"):
                namespaces.add(f"namespace {name}")
    found += sorted(namespaces)
    for line in _read("/proc/self/mountinfo").splitlines():
        point = line.split()[4]
        if Path(point).is_relative_to(model_dir):
            found.append(f"mount {point}")
    if model_dir.exists():
        found.append(f"directory {model_dir}")
    return found


def _locked(model_dir: Path) -> int:
    """Return the model's directory, opened and locked against other clients until closed."""
    directory = os.open(model_dir, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    return directory


def _mark(model_dir: Path) -> str:
    """Return the mount source that shows in ``mountinfo`` of each process of the model."""
    return "juju-lab-" + hashlib.sha256(os.fsencode(model_dir)).hexdigest()[:20]


def _members(model_dir: Path, pids: Sequence[int] | None = None) -> list[int]:
    """Return those of ``pids`` (all of the machine, if None) that belong to the model."""
    mark = f" {_mark(model_dir)} "
    if pids is None:
        pids = sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    return [pid for pid in pids if mark in _read(f"/proc/{pid}/mountinfo")]


def _read(path: str) -> str:
    """Return the text of a file in /proc, empty when the process has gone or is not ours."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _start_ticks(pid: int) -> int:
    """Return when the process started, in clock ticks since boot; 0 if there is none."""
    # The name in brackets may itself hold blanks and brackets, so count from the last one.
    stat = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(stat[19]) if stat and stat[0] != "Z" else 0


def _recorded_pid(model_dir: Path) -> int | None:
    """Return init's process id if the recorded process still runs, else None."""
    try:
        record = json.loads((model_dir / _RECORD).read_text())
    except (OSError, ValueError):
        return None
    ticks = _start_ticks(record["pid"])
    return record["pid"] if ticks and ticks == record["start_ticks"] else None


def _kill_verified(pid: int, still_it: Callable[[], bool], deadline: float) -> None:
    """Kill ``pid`` and wait until it has gone, unless ``still_it`` denies that it is the one."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        # The handle names the process, not the number, so the answer stays true for the signal.
        if not still_it():
            return
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise SandboxError(f"process {pid} does not end")
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


# The controller's side.


def prepare() -> None:
    """Check that this process runs inside a model's sandbox, which init has made ready.

    Raises:
        SandboxError: it does not; going on would change the machine itself.
    """
    model_dir = os.environ.get("LAB_MODEL_DIR")
    if not model_dir or not _members(Path(model_dir), [os.getpid()]):
        raise SandboxError("not in a sandbox: the controller is started by start_controller")


def mark() -> str:
    """Return a name on the machine that is this model's alone."""
    return _mark(Path(os.environ["LAB_MODEL_DIR"]))


def owns_machine() -> bool:
    """Tell whether root in here is root of the machine, not of a user namespace."""
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]


@dataclasses.dataclass(frozen=True)
class Machine:
    """What init saw of the machine before it changed its own view of it.

    Attributes:
        mount_points: where file systems are mounted, outermost first.
        service_dirs: path, uid, gid and mode of the directories of the machine's own services,
            known by an owner other than root. A container shows them empty, so that the
            configuration and data of such a service never look like those of an image.
    """

    mount_points: list[str]
    service_dirs: list[tuple[str, int, int, int]]


def machine() -> Machine:
    """Return what init saw of the machine."""
    return Machine(**json.loads((RUN / "machine.json").read_text()))


def _look_at_machine() -> Machine:
    points = [line.split()[4] for line in _read("/proc/self/mountinfo").splitlines()]
    # A blank or a backslash in a path shows as its octal code.
    plain = [point.encode().decode("unicode_escape").encode("latin-1") for point in points]
    found: list[tuple[str, int, int, int]] = []
    for path in (path for parent in _STATE_DIRS for path in Path(parent).glob("*")):
        if path.is_symlink() or not path.is_dir():
            continue
        stat = path.stat()
        if stat.st_uid != 0 or stat.st_gid != 0:
            # A user namespace has no more ids than that.
            uid = stat.st_uid if stat.st_uid < _MAPPED_IDS else 0
            gid = stat.st_gid if stat.st_gid < _MAPPED_IDS else 0
            found.append((str(path), uid, gid, stat.st_mode & 0o7777))
    return Machine([os.fsdecode(point) for point in plain], sorted(found))


# Init: this file as a script.


def _launch(model_dir: Path, argv: list[str]) -> NoReturn:
    """Become the model's init in fresh namespaces; the launching process itself ends.

    Standard output gets two lines, init's process id and "ready", or ends with a line that
    says what is wrong.
    """
    seen = _look_at_machine()
    try:
        if os.geteuid() != 0:
            _enter_user_namespace()
        unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)
    except OSError as error:
        raise SandboxError(_namespaces_refused(error)) from error
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        os._exit(0)
    try:
        _set_up(model_dir, seen)
    except OSError as error:
        raise SandboxError(_namespaces_refused(error)) from error
    print("ready", flush=True)
    # The client reads until nobody holds the pipe any more; from here on print goes to the log.
    os.dup2(2, 1)
    controller = os.fork()
    if controller == 0:
        os.execvp(argv[0], argv)
    while True:
        pid, status = os.wait()
        if pid == controller:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _namespaces_refused(error: OSError) -> str:
    return (
        f"the kernel refuses the lab's namespaces ({error}): run as root (a container needs"
        " --privileged), or allow them to users: sysctl -w user.max_user_namespaces=10000"
        " kernel.apparmor_restrict_unprivileged_userns=0"
    )


def _set_up(model_dir: Path, seen: Machine) -> None:
    """Make the model's mounts: its own /proc, and a tmpfs on /run that marks the model."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    held = os.open(model_dir, os.O_PATH | os.O_DIRECTORY)
    flags = MS_NOSUID | MS_NODEV
    mount(_mark(model_dir), "/run", "tmpfs", flags, "mode=0755")
    if model_dir.is_relative_to("/run"):
        model_dir.mkdir(parents=True)
        # The tmpfs has hidden it, but the open directory is still the one from before.
        mount(f"/proc/self/fd/{held}", model_dir, flags=MS_BIND)
    os.close(held)
    Path("/run/lock").mkdir(mode=0o1777)
    for name in ("pods", "volumes"):
        (RUN / name).mkdir(parents=True)
    (RUN / "machine.json").write_text(json.dumps(dataclasses.asdict(seen)))
    mount("proc", "/proc", "proc", flags | MS_NOEXEC)


def _enter_user_namespace() -> None:
    """Make this process root of a user namespace that also maps the user's sub-ids.

    Raises:
        SandboxError: there are no sub-ids, or the programs that map them are missing.
    """
    pid, uid, gid = os.getpid(), os.getuid(), os.getgid()
    user = pwd.getpwuid(uid).pw_name
    maps: list[list[str]] = []
    for program, inside, file in (
        ("newuidmap", uid, "/etc/subuid"),
        ("newgidmap", gid, "/etc/subgid"),
    ):
        if shutil.which(program) is None:
            raise SandboxError(f"{program} is missing: apt-get install uidmap")
        first, count = _sub_ids(file, user, uid)
        command = [program, str(pid), "0", str(inside), "1", "1", str(first), str(count)]
        maps.append(command)
    ready, go = os.pipe()
    helper = os.fork()
    if helper == 0:
        # The maps are written from outside, by a process that is still the user.
        os.close(go)
        os.read(ready, 1)
        os._exit(max(subprocess.run(command, stdout=2).returncode for command in maps))
    os.close(ready)
    unshare(CLONE_NEWUSER)
    os.write(go, b"x")
    os.close(go)
    _, status = os.waitpid(helper, 0)
    if status != 0:
        raise SandboxError(
            f"newuidmap refuses the sub-ids of {user}: see /etc/subuid, /etc/subgid"
        )
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.setgroups([])


def _sub_ids(file: str, user: str, uid: int) -> tuple[int, int]:
    """Return the first sub-id and the number of them that ``file`` grants the user."""
    for line in _read(file).splitlines():
        owner, _, rest = line.partition(":")
        if owner in (user, str(uid)) and rest.count(":") == 1:
            first, count = rest.split(":")
            if int(count) >= _MAPPED_IDS - 1:
                return int(first), int(count)
    raise SandboxError(
        f"{user} has no 65536 sub-ids in {file}: usermod --add-subuids 100000-165535"
        f" --add-subgids 100000-165535 {user}"
    )


if __name__ == "__main__":
    try:
        _launch(Path(sys.argv[1]), sys.argv[2:])
    except SandboxError as refused:
        print(refused, flush=True)
        os._exit(1)
