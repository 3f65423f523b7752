# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Whether a hook would only tell what the last look has seen.

In the first seconds of a pod's life Juju runs a hook for each of several things that one look sees
together: the volume, the options, the two Pebbles. So a whole look leaves a note of these, and the
hook that would tell of one of them ends before anything large is imported. Before there is a
volume, or a record of the primary, a unit can start nothing, and each of the two has a hook of its
own.

What Juju tells a pod first, it tells once. The same hook later tells of a change, and one that
failed is run again: a note ends neither.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import pebbles
from constants import PEER_RELATION, REDIS, SENTINEL, STORAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    # typing alone would take a sixth of what a hook that ends early takes to import.
    from collections.abc import Callable
    from typing import Any

_START = "start"
_CONFIG_CHANGED = "config-changed"
_PEERS_CHANGED = f"{PEER_RELATION}-relation-changed"
_STORAGE_ATTACHED = f"{STORAGE}-storage-attached"
_PEBBLE_READY = {f"{name}-pebble-ready": name for name in (REDIS, SENTINEL)}
_HOOKS = {_START, _CONFIG_CHANGED, _PEERS_CHANGED, _STORAGE_ATTACHED, *_PEBBLE_READY}


def ends(env: Mapping[str, str], ask: Callable[..., Any] | None = None) -> bool:
    """Whether this hook ends here.

    Args:
        env: the environment of the hook, as Juju sets it.
        ask: runs a hook tool by its name and arguments and returns what it says; raises OSError
            if it fails. By default, Juju's.

    Returns:
        False wherever there is any doubt.
    """
    hook = _hook(env)
    if hook not in _HOOKS:
        return False
    ask = ask or _ask
    try:
        note = _read(env)
        if hook == _START:
            # It comes right after config-changed, and where something can be started by then,
            # that has been looked at.
            if note is None:
                _show_what_it_waits_for(env, ask)
            return True
        if hook == _PEERS_CHANGED:
            # Whatever is shared by the application was written by its leaders, one after another.
            by_the_application = not env.get("JUJU_REMOTE_UNIT")
            return note is not None and by_the_application and bool(ask("is-leader"))
        if note is None:
            return _missing(env, ask) is not None
        if note["hook"] == hook:
            return False
        if hook in _PEBBLE_READY:
            container = _PEBBLE_READY[hook]
            return bool(note["boots"][container] == pebbles.boot_id(container))
        if hook == _CONFIG_CHANGED and not note["told"] and note["config"] == ask("config-get"):
            _write(env, {**note, "told": True})
            return True
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return False


def keep(env: Mapping[str, str], boots: Mapping[str, str], config: Mapping[str, object]) -> None:
    """Leave a note of a whole look, in which nothing was missing that another hook tells of.

    Args:
        env: the environment of the hook, as Juju sets it.
        boots: what tells one start of each container's Pebble from the next.
        config: the options, as Juju gives them.
    """
    hook = _hook(env)
    try:
        before = _read(env)
        told = before is not None and bool(before["told"])
    except (OSError, ValueError, LookupError, TypeError):
        told = True
    told = told or hook == _CONFIG_CHANGED
    try:
        _write(env, {"hook": hook, "boots": boots, "config": config, "told": told})
    except OSError:
        # Then each hook looks for itself.
        pass


def forget(env: Mapping[str, str]) -> None:
    """Drop the note: the hook that left it has failed."""
    try:
        os.unlink(_path(env))
    except OSError:
        # There is none. One that could not be dropped could not have been kept.
        pass


def _show_what_it_waits_for(env: Mapping[str, str], ask: Callable[..., Any]) -> None:
    """Say what nobody has said yet, since all hooks before this one have ended early."""
    import texts

    missing = _missing(env, ask)
    if missing is not None:
        text = texts.NO_STORAGE if missing == STORAGE else texts.NO_PRIMARY
        ask("status-set", "waiting", "--", text)


def _missing(env: Mapping[str, str], ask: Callable[..., Any]) -> str | None:
    """Return what this unit cannot start without, and Juju will tell of; None: it has all."""
    if _hook(env) != _STORAGE_ATTACHED and not ask("storage-list", STORAGE):
        return STORAGE
    (relation,) = ask("relation-ids", PEER_RELATION)
    app = env["JUJU_UNIT_NAME"].partition("/")[0]
    if ask("relation-get", "-r", relation, "--app", "-", app) or ask("is-leader"):
        return None
    return PEER_RELATION


def _ask(tool: str, *words: str) -> Any:
    import subprocess

    form = [] if tool == "status-set" else ["--format=json"]
    answer = subprocess.run([tool, *form, *words], check=False, capture_output=True)
    if answer.returncode:
        raise OSError(f"{tool}: {answer.stderr.decode(errors='replace')}")
    return json.loads(answer.stdout.strip() or "null")


def _hook(env: Mapping[str, str]) -> str:
    return env.get("JUJU_DISPATCH_PATH", "").removeprefix("hooks/")


def _path(env: Mapping[str, str]) -> str:
    # It is gone with the pod, like all that Juju has unpacked there.
    return os.path.join(env.get("JUJU_CHARM_DIR", "."), ".seen")


def _read(env: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the note; None: there is none."""
    try:
        with open(_path(env), encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return None
    return found


def _write(env: Mapping[str, str], note: Mapping[str, object]) -> None:
    path = _path(env)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(note, file)
    os.replace(f"{path}.new", path)
