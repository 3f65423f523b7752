"""Requests about applications: from deploy to remove, with roll-outs and actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.agent import Agent
from lab.controller.requests import Requests
from lab.images import Image
from lab.model import Application, ModelError
from lab.packing import read_meta

READY_POLL_S = 1.0


class Applications(Requests):
    """Settings, applications, relations, actions and secrets of the user."""

    def op_settings(self, values: dict[str, Any]) -> None:
        """Change settings of the model."""
        with self.model.lock:
            settings = self.model.settings
            settings.update(values)
            network = self.controller.network
            network.namespace = settings.namespace or self.model.name
            network.cluster_domain = settings.cluster_domain
            network.node_domain = settings.node_domain
            network.upstream = settings.upstream
            network.dns_appear_s = settings.dns_appear_s
            network.dns_vanish_s = settings.dns_vanish_s
            network.dns_cache_s = settings.dns_cache_s
            network.dns_mode = settings.dns_mode
            network.reuse_addresses = settings.reuse_addresses
            network.use_names()
            self.controller.cluster.look()

    def op_deploy(
        self,
        charm_dir: str,
        app: str,
        units: int,
        config: dict,
        resources: dict,
        base: str,
        python: str,
        images: dict[str, dict[str, Any]],
        trust: bool,
    ) -> None:
        """Add an application with its first units."""
        meta = read_meta(Path(charm_dir))
        with self.model.lock:
            name = app or meta.name
            found = self.model.add_app(name, charm_dir, meta, config, resources)
            found.base, found.python = base, python
            found.images = {key: Image.from_json(image) for key, image in images.items()}
            found.trusted = trust
            self.controller.cluster.add_app(found)
            self.controller.start_agents(self.model.add_units(name, units))

    def op_add_unit(self, app: str, count: int) -> list[str]:
        """Raise the scale of an application."""
        with self.model.lock:
            units = self.model.add_units(app, count)
            self.controller.start_agents(units)
            return [unit.name for unit in units]

    def op_remove_unit(self, app: str, count: int) -> list[str]:
        """Lower the scale of an application; the settings say which units go."""
        return [unit.name for unit in self.model.choose_leavers(app, count)]

    def op_remove_application(self, app: str) -> None:
        """Remove all units, then the application and its storages."""
        model = self.model
        with model.lock:
            found = model.app(app)
            found.removed = True
            found.scale = 0
            for relation in model.relations.values():
                if app in relation.ends and not relation.peer:
                    relation.life = "dying"
            for unit in found.units.values():
                model.set_dying(unit)
            if not found.units:
                self.controller.drop_app(app)
            model.touch()

    def op_config(self, app: str, values: dict[str, Any] | None) -> dict[str, Any]:
        """Set options, if any are given, and return all of them."""
        if values:
            self.model.set_config(app, values)
        with self.model.lock:
            found = self.model.app(app)
            return {**dict.fromkeys(found.meta.config), **found.settings()}

    def op_trust(self, app: str, trusted: bool) -> None:
        """Trust an application with the cluster, or no longer."""
        self.model.trust(app, trusted)

    def op_refresh(
        self,
        app: str,
        charm_dir: str,
        resources: dict,
        images: dict[str, dict[str, Any]],
        base: str,
        python: str,
    ) -> None:
        """Roll all pods of an application onto another charm.

        ``resources`` and ``images`` are those of the charm that it has when none is given: they
        are for a resource that the application does not have yet.
        """
        meta = read_meta(Path(charm_dir))
        with self.model.lock:
            self.model.refresh(app, charm_dir, meta)
            found = self.model.app(app)
            found.base, found.python = base, python
            for name in resources.keys() - found.resources.keys():
                found.resources[name] = resources[name]
                if name in images:
                    found.images[name] = Image.from_json(images[name])
        self._roll(app)

    def op_resources(self, app: str) -> dict[str, Any]:
        """Return the ``types`` of the charm's resources by name, and the names ``given``."""
        with self.model.lock:
            found = self.model.app(app)
            types = {name: spec.get("type") for name, spec in found.meta.resources.items()}
            return {"types": types, "given": sorted(found.resources)}

    def op_attach_resource(
        self, app: str, name: str, value: str, image: dict[str, Any] | None
    ) -> None:
        """Give an application another resource and roll its pods."""
        with self.model.lock:
            found = self.model.app(app)
            found.resources[name] = value
            if image is not None:
                found.images[name] = Image.from_json(image)
            found.charm_version += 1
        self._roll(app)

    def _roll(self, app: str) -> None:
        with self.model.lock:
            found = self.model.app(app)
            found.rolling += 1
            self.model.touch()
        self.controller.later(0.0, lambda: self._roll_pods(found))

    def _roll_pods(self, app: Application) -> None:
        """Restart the pods one by one, the highest ordinal first, each when the last is ready."""
        model, version = self.model, app.charm_version
        rolled: list[Agent] = []
        for unit in sorted(app.units.values(), key=lambda unit: -unit.number):
            agent = self.controller.agents.get(unit.name)
            if agent is None or unit.life != "alive" or app.charm_version != version:
                continue
            with model.lock:
                # A pod that is not up, or ends already, has the new charm when it comes back.
                old = agent.pod
                if old is not None and not agent.is_ending:
                    agent.end_pod(graceful=True, hold_s=0.0)
            rolled.append(agent)
            # A unit that leaves meanwhile holds nobody up; those of before must still be ready.
            while agent.pod is old or not all(
                each.is_pod_ready() for each in rolled if each.unit.name in self.controller.agents
            ):
                if unit.name not in self.controller.agents:
                    break
                with model.lock:
                    model.seen.wait(READY_POLL_S)
        with model.lock:
            app.rolling -= 1
            model.touch()

    def op_run(
        self, unit: str, action: str, params: dict[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        """Run an action and return what became of it."""
        model = self.model
        with model.lock:
            asked = model.add_action(unit, action, params)
            done = model.seen.wait_for(lambda: asked.status != "pending", timeout_s)
            if not done:
                raise ModelError(f"action {action} on {unit} still runs after {timeout_s:g} s")
            return {
                "status": asked.status,
                "results": asked.results,
                "message": asked.message,
                "log": asked.log,
            }

    def op_integrate(self, first: str, second: str) -> str:
        """Relate two applications."""
        relation = self.model.relations.integrate(first, second)
        return " ".join(f"{app}:{end.name}" for app, end in relation.ends.items())

    def op_remove_relation(self, first: str, second: str) -> None:
        """End the relation of two applications."""
        self.model.relations.end(first, second)

    def op_add_secret(self, content: dict[str, str]) -> str:
        """Keep a secret of the user."""
        return f"secret:{self.model.secrets.add_of_user(content)}"

    def op_change_secret(
        self, secret: str, content: dict[str, str] | None, app: str, granted: bool
    ) -> None:
        """Change the content or the grants of a secret of the user."""
        self.model.secrets.change_of_user(secret, content, app, granted)

    def op_remove_secret(self, secret: str) -> None:
        """Delete a secret of the user."""
        self.model.secrets.remove_of_user(secret)
