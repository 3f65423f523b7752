"""Roots of the containers that are made from an OCI resource: made once from packages, and kept.

A recipe, ``recipes/NAME.yaml`` beside this file, says what an image holds. Its root is made
without root's rights and without running anything of it: apt chooses and checks Debian's
packages, dpkg unpacks them, the recipe does what their scripts would have done. Nothing of the
machine's own package state is read but where its mirror of Debian is, and nothing is changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab import sandbox
from lab.programs import MissingProgram, need

RECIPES = Path(__file__).with_name("recipes")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "LAB_DEBIAN_MIRROR"
"""The environment variable that names a mirror of Debian where the machine knows none."""

_SUFFIX = ".yaml"
_PROGRAMS = ("apt-get", "apt-cache", "dpkg-deb", "tar")
_MAPPED_IDS = 65536
_MERGED = ("bin", "sbin", "lib", "lib64")
# What the scripts of these packages link, where there is such a file.
_ALTERNATIVES = {
    "usr/bin/awk": "mawk",
    "usr/bin/which": "which.debianutils",
}
_LEFT_OUT = ("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*", "./dev/*")


class ImageError(RuntimeError):
    """An image could not be made, or there is none of that name; the text says why."""


@dataclass(frozen=True)
class Owned:
    """A path of an image with its owner's numbers and its mode."""

    path: str
    uid: int
    gid: int
    mode: int


@dataclass(frozen=True)
class Image:
    """What a container starts from.

    Attributes:
        root: the tree of its files, which nobody may change; ``/`` for the machine's own.
        env: the image's environment.
        owned: what does not belong to root, or has another mode than in ``root``.
    """

    root: str
    env: Mapping[str, str] = field(default_factory=dict)
    owned: tuple[Owned, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the mapping that ``from_json`` takes."""
        return asdict(self)

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Image:
        """Return the image that ``as_json`` has written down."""
        owned = tuple(Owned(**each) for each in found["owned"])
        return Image(found["root"], dict(found["env"]), owned)


@dataclass(frozen=True)
class Recipe:
    """What an image is made of.

    Attributes:
        stands_for: repositories of images, without host and tag, in whose place this one is used.
        suite: Debian's name of the release that the packages are from.
        packages: beside those that every Debian has.
        version: how the version of a package must begin, by package; a suite may move on.
        users: user and group of one name each, with one number for both.
        moved: where files of the packages belong instead, by their path.
        links: what symbolic links hold, by their path.
        removed: files and directories that the image does not have.
        files: texts by path.
        owned: user, group (names) and mode (octal text) by path; the directory is made if need be.
        env: the image's environment.
    """

    name: str
    suite: str
    packages: tuple[str, ...]
    stands_for: tuple[str, ...] = ()
    version: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    owned: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


def names() -> list[str]:
    """Return the names of the images that there are recipes for."""
    return sorted(path.stem for path in RECIPES.glob(f"*{_SUFFIX}"))


def recipe(name: str) -> Recipe:
    """Return the recipe of an image.

    Raises:
        ImageError: there is none of that name.
    """
    path = RECIPES / f"{name}{_SUFFIX}"
    if name not in names():
        raise ImageError(f"no image {name!r}: neither a directory nor one of {', '.join(names())}")
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    fields = {key.replace("-", "_"): _frozen(value) for key, value in given.items()}
    return Recipe(name=name, **fields)


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return {key: _frozen(each) for key, each in value.items()}
    return value


def standing_for(reference: str) -> str | None:
    """Return the name of the image that is used in place of ``reference``, if there is one.

    Args:
        reference: an image as a charm's ``upstream-source`` names it, such as
            ``registry.example/someone/something:tag``.
    """
    # A host has a dot or a port, or is none; a tag and a digest come last.
    plain = reference.partition("@")[0]
    head, slash, rest = plain.partition("/")
    repository = rest if slash and ("." in head or ":" in head or head == "localhost") else plain
    folder, slash, last = repository.rpartition("/")
    repository = folder + slash + last.partition(":")[0]
    return next((name for name in names() if repository in recipe(name).stands_for), None)


def image(reference: str, cache: Path) -> Image:
    """Return an image, made now or taken from the cache.

    Args:
        reference: the name of a recipe, or a directory with a root's tree: ``/`` for the
            machine's own root.
        cache: where images are kept; safe to share between processes.

    Raises:
        ImageError: there is no such image, or it could not be made.
    """
    if reference in names():
        return _kept(recipe(reference), cache)
    if os.path.isdir(reference):
        return Image(str(Path(reference).resolve()))
    recipe(reference)
    raise AssertionError("unreachable")


def _kept(wanted: Recipe, cache: Path) -> Image:
    limited = os.geteuid() != 0 or not sandbox.owns_machine()
    identity = json.dumps([asdict(wanted), limited, os.geteuid()], sort_keys=True)
    source = Path(__file__).read_bytes()
    digest = hashlib.sha256(source + identity.encode()).hexdigest()[:16]
    home = cache / "images"
    home.mkdir(parents=True, exist_ok=True)
    place = home / f"{wanted.name}-{digest}"
    record = place / "image.json"
    # One lock for each image: making one takes many seconds, and others need not wait for it.
    with (home / f"{wanted.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            scratch = Path(tempfile.mkdtemp(prefix=f"{wanted.name}-making-", dir=home))
            try:
                made = _make(wanted, scratch, limited)
                (scratch / "made").mkdir()
                os.rename(scratch / "root", scratch / "made" / "root")
                text = json.dumps(made, indent=1)
                (scratch / "made" / "image.json").write_text(text, encoding="utf-8")
                os.rename(scratch / "made", place)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    kept = json.loads(record.read_text(encoding="utf-8"))
    return Image.from_json({**kept, "root": str(place / "root")})


def _make(wanted: Recipe, scratch: Path, limited: bool) -> dict[str, Any]:
    """Make ``scratch/root``; return what is to be known of the image beside its files.

    Args:
        wanted: what to make.
        scratch: an empty directory, which also gets what is needed only meanwhile.
        limited: there are no more than 65536 ids, as in a user's own namespace. A number beyond
            is replaced by its remainder.
    """
    try:
        need(*_PROGRAMS)
    except MissingProgram as e:
        raise ImageError(f"image {wanted.name} is made from Debian's packages: {e}") from e
    archives, versions = _download(wanted, scratch)
    root = scratch / "root"
    (root / "usr").mkdir(parents=True)
    root.chmod(0o755)
    for name in _MERGED:
        (root / "usr" / name).mkdir(exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for archive in archives:
        _unpack(archive, root)
    ids = {
        user: number % _MAPPED_IDS if limited else number for user, number in wanted.users.items()
    }
    _finish(wanted, root, ids)
    numbers = {"root": 0, **ids}
    owned = [
        asdict(Owned(path, numbers[user], numbers[group], int(mode, 8)))
        for path, (user, group, mode) in wanted.owned.items()
    ]
    return {"env": dict(wanted.env), "owned": owned, "packages": versions}


def _download(wanted: Recipe, scratch: Path) -> tuple[list[Path], dict[str, str]]:
    """Return the archives of all packages of the image, and their versions by name."""
    if not KEYRING.exists():
        raise ImageError(
            f"image {wanted.name} is made from Debian's packages, whose signatures are checked"
            f" with {KEYRING}: apt-get install {KEYRING.stem}"
        )
    apt = scratch / "apt"
    for name in ("state/lists/partial", "cache/archives/partial", "parts"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    source = f"deb [signed-by={KEYRING}] {_mirror(wanted.name)} {wanted.suite} main\n"
    (apt / "sources.list").write_text(source, encoding="utf-8")
    settings = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": apt / "parts",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": apt / "parts",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    _run(wanted, ["apt-get", "-qq", *options, "update"])
    for package, start in wanted.version.items():
        said = _run(wanted, ["apt-cache", *options, "policy", package])
        found = next((line.split()[-1] for line in said.splitlines() if "Candidate:" in line), "")
        if not found.rpartition(":")[2].startswith(start):
            raise ImageError(
                f"image {wanted.name} is made from {package} {start}*,"
                f" and {wanted.suite} has {found or 'none'}"
            )
    # usr-is-merged keeps out a converter, and Perl with it.
    packages = ["?essential", "usr-is-merged", *wanted.packages]
    _run(wanted, ["apt-get", "-qq", "-y", *options, "install", "--download-only", *packages])
    archives = sorted((apt / "cache" / "archives").glob("*.deb"))
    # NAME_VERSION_ARCHITECTURE.deb, in which a colon is %3a.
    words = [path.stem.split("_") for path in archives]
    return archives, {word[0]: word[1].replace("%3a", ":") for word in words}


def _mirror(name: str) -> str:
    """Return the mirror of Debian that the machine's own package sources name."""
    if given := os.environ.get(MIRROR):
        return given
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for address in dict.fromkeys(said.split()):
        # Every mirror has Debian in a directory of that name.
        if address.rstrip("/").rpartition("/")[2] == "debian":
            return address
    raise ImageError(
        f"image {name} is made from Debian's packages, and this machine's package sources name no"
        f" mirror of Debian: set {MIRROR} to the address of one, or give the machine's own root in"
        " place of an image (--resource NAME=/)"
    )


def _unpack(archive: Path, root: Path) -> None:
    """Put the files of a package into ``root``, as root's if we are, without its scripts."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as tar:
        command = ["tar", "-x", "-C", root, "--keep-directory-symlink", "--no-same-owner", "-p"]
        command += [f"--exclude={pattern}" for pattern in _LEFT_OUT]
        done = subprocess.run(
            command, stdin=tar.stdout, capture_output=True, text=True, check=False
        )
    if done.returncode or tar.returncode:
        raise ImageError(f"{archive.name} cannot be unpacked: {done.stderr.strip()[-500:]}")


def _finish(wanted: Recipe, root: Path, ids: Mapping[str, int]) -> None:
    """Do what the packages' scripts would have done, then what the recipe says."""
    for directory in ("dev", "proc", "sys", "run", "tmp", "root", "var/tmp", "var/log", "etc"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    for kind in ("passwd", "group"):
        master = root / f"usr/share/base-passwd/{kind}.master"
        lines = [master.read_text(encoding="utf-8")]
        for user, number in ids.items():
            home = "/nonexistent:/usr/sbin/nologin"
            rest = f"{number}:{number}::{home}" if kind == "passwd" else f"{number}:"
            lines.append(f"{user}:x:{rest}\n")
        (root / "etc" / kind).write_text("".join(lines), encoding="utf-8")
    for path, target in _ALTERNATIVES.items():
        link = root / path
        if (link.parent / target).exists() and not link.is_symlink() and not link.exists():
            link.symlink_to(target)
    for path, target in wanted.moved.items():
        place = _inside(root, target)
        os.rename(_inside(root, path), place)
    for path in wanted.removed:
        found = _inside(root, path)
        shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()
    for path, target in wanted.links.items():
        _inside(root, path).symlink_to(target)
    for path, text in wanted.files.items():
        _inside(root, path).write_text(text, encoding="utf-8")
    for path in wanted.owned:
        place = _inside(root, path)
        if not place.exists():
            place.mkdir()


def _inside(root: Path, path: str) -> Path:
    """Return where an absolute path of an image lies, with the directories above it made."""
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _run(wanted: Recipe, argv: Sequence[str | Path]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise ImageError(f"image {wanted.name} could not be made, {argv[0]} failed:\n{tail}")
    return done.stdout
