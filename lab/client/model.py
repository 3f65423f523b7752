"""A handle on one model: what its user does to it."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lab import images, sandbox
from lab.bases import BaseError, base_of, python_home
from lab.client.errors import ActionResult, LabError
from lab.client.looking import Looking
from lab.client.places import ROOT, cache, home
from lab.client.trouble import Trouble
from lab.packing import PackingError, pack, read_meta
from lab.programs import tools_dir

START_TIMEOUT_S = 20.0


def _python(base: str) -> str:
    """Return the home of a base's Python.

    Raises:
        PackingError: this machine has none.
    """
    try:
        return str(python_home(base, cache()))
    except BaseError as e:
        raise PackingError(str(e)) from e


class Model(Looking, Trouble):
    """A handle on a model, which need not exist yet."""

    def __init__(self, name: str = "lab") -> None:
        super().__init__(name)

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
        trust: bool = False,
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
            trust: let it do what it likes with the cluster.

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
            trust=trust,
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

    def trust(self, app: str, trusted: bool = True) -> None:
        """Let an application do what it likes with the cluster, or no longer."""
        self._ask("trust", app=app, trusted=trusted)

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

    def destroy(self) -> None:
        """End every process of the model and remove all its files."""
        self._end_spawned()
        sandbox.destroy(self.dir)
        try:
            home().rmdir()
        except OSError:
            # Other models are there, or it never was.
            return
