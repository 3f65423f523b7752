# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Which events this unit has nothing to do for, decided before anything large is imported.

Importing ops and redis-py is most of what a hook costs, and with N units each runs 2 (N - 1) hooks
for its peers' comings alone. What these would tell a unit that is not the leader comes to it
once, with the leader's record of the units in the peer relation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from constants import CLIENT_RELATION, PEER_RELATION, TENANT_RELATION, TLS_KEY

# A joined peer is at once a changed one, and who leads learns that by an event of its own; the
# others come with nothing to act on.
_IDLE = frozenset(
    {
        "install",
        "remove",
        *(f"{PEER_RELATION}-relation-{kind}" for kind in ("created", "joined")),
        f"{CLIENT_RELATION}-relation-joined",
        f"{TENANT_RELATION}-relation-joined",
    }
)
_FOR_THE_LEADER = frozenset(f"{PEER_RELATION}-relation-{kind}" for kind in ("changed", "departed"))
_CLIENTS = frozenset(
    {
        *(f"{CLIENT_RELATION}-relation-{kind}" for kind in ("changed", "departed", "broken")),
        *(
            f"{TENANT_RELATION}-relation-{kind}"
            for kind in ("created", "changed", "departed", "broken")
        ),
    }
)
"""What becomes of a client is the leader's to decide. All tell it where to go when it comes by the
relation ``redis``; by the other one its leader alone does."""


def ask_is_leader() -> bool:
    """Ask Juju whether this unit leads; its answer holds for 30 s at least."""
    return bool(_ask("is-leader"))


def ask_has_tls() -> bool:
    """Ask Juju whether the peer that this hook is about says something of its TLS."""
    return bool(_ask("relation-get", TLS_KEY))


def _ask(tool: str, *words: str) -> object:
    """Return what a hook tool says; true when it fails: then the charm is to look for itself."""
    # Not needed for the most frequent of the idle events, and half of what they would cost.
    import json
    import subprocess

    answer = subprocess.run([tool, "--format=json", *words], check=False, capture_output=True)
    if answer.returncode:
        return True
    return json.loads(answer.stdout or "null")


def is_routine(env: Mapping[str, str]) -> bool:
    """Whether the hook tells nothing but that it is time to look: a notice, or update-status."""
    hook = env.get("JUJU_DISPATCH_PATH", "").removeprefix("hooks/")
    return hook == "update-status" or hook.endswith("-pebble-custom-notice")


def is_idle(
    env: Mapping[str, str],
    is_leader: Callable[[], bool] = ask_is_leader,
    has_tls: Callable[[], bool] = ask_has_tls,
) -> bool:
    """Whether the charm may sleep through the event that it was woken for.

    Args:
        env: the environment of the hook, as Juju sets it.
        is_leader: asked only for the events on which that depends.
        has_tls: likewise; each unit goes on with TLS by what the others publish.
    """
    hook = env.get("JUJU_DISPATCH_PATH", "").removeprefix("hooks/")
    if hook in _IDLE:
        return True
    if hook in _CLIENTS:
        return not is_leader()
    if hook not in _FOR_THE_LEADER:
        return False
    by_the_application = hook.endswith("-changed") and not env.get("JUJU_REMOTE_UNIT")
    leaving = env.get("JUJU_DEPARTING_UNIT") == env.get("JUJU_UNIT_NAME")
    if by_the_application or leaving or is_leader():
        return False
    return not (hook.endswith("-changed") and has_tls())
