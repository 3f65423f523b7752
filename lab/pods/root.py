"""A container's root: an overlay of its image's or the machine's, and what is mounted in it."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from lab import sandbox
from lab.images import Image
from lab.pods.spec import PYTHON_BIN, PodError, PodSpec

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_HIDDEN = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/boot", "/snap")
_KERNEL = ("proc", "sys", "dev")
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_NAME_FILES = ("hosts", "hostname", "resolv.conf", "nsswitch.conf")


@dataclass(frozen=True)
class Names:
    """The texts of the files by which a container knows names."""

    hosts: str
    hostname: str
    resolv_conf: str
    nsswitch_conf: str


def make_root(pod: PodSpec, name: str, base: Path, data: Path, tools: Path, names: Names) -> Path:
    """Mount a container's root and all that belongs into it; return where it is.

    Args:
        pod: what the pod is made of.
        name: of the container.
        base: an empty directory for what this run of the container changes.
        data: the pod's emptyDir.
        tools: the directory of Pebble and of the hook tools' program.
        names: what the pod knows of names.
    """
    own = next((spec for spec in pod.containers if spec.name == name), None)
    top = base / "root"
    top.mkdir(parents=True)
    image = None if own is None else own.image
    if image is not None and image.root != "/":
        overlay(Path(image.root), base, top)
        _give_away(image, top)
    else:
        _show_machine(top, base)
    texts = (names.hosts, names.hostname, names.resolv_conf, names.nsswitch_conf)
    for directory in _KERNEL:
        (top / directory).mkdir(exist_ok=True)
    (top / "etc").mkdir(exist_ok=True)
    for file, text in zip(_NAME_FILES, texts, strict=True):
        # The machine's own may be a link to somewhere else.
        (top / "etc" / file).unlink(missing_ok=True)
        (top / "etc" / file).write_text(text)
    # As the kubelet does it: one file for all containers of the pod, written anew with each.
    shared = data.parent / "etc-hosts"
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
    if own is None:
        _show(tools, top, "/charm/bin", read_only=True)
        _show(data / "containers", top, "/charm/containers")
        _show(data / "juju", top, "/var/lib/juju")
        if pod.python_dir is not None:
            python = str(Path(PYTHON_BIN).parent)
            _show(pod.python_dir, top, python, read_only=True)
        mounts = pod.mounts
    else:
        _show(tools / "pebble", top, "/charm/bin/pebble", read_only=True)
        _show(data / "containers" / name, top, "/charm/container")
        mounts = own.mounts
    if pod.account is not None:
        _show(pod.account, top, ACCOUNT, read_only=True)
    for wanted in mounts:
        _show(wanted.source, top, wanted.target)
    return top


def overlay(lower: Path, base: Path, target: Path) -> None:
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
        overlay(Path("/"), base, top)
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
                overlay(path, part, place)

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
