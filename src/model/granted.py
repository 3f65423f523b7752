# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Secrets that the application gives to those it is related to.

Whoever reads a secret tracks the revision that it read. The leader would track the old one of a
secret that it changes, so that this never became obsolete: here none is read.
"""

from __future__ import annotations

from collections.abc import Mapping

import ops


def _owned(model: ops.Model, label: str) -> ops.Secret:
    # ``model.get_secret`` reads the content.
    return ops.Secret(model._backend, label=label)


def give(model: ops.Model, relation: ops.Relation, label: str, content: Mapping[str, str]) -> str:
    """Let an application read a secret, with this content from now on. Leader only.

    Args:
        model: of this unit.
        relation: with the application.
        label: by which whoever leads finds it.
        content: all of it.

    Returns:
        The id. Of a secret that is new it is void if the hook fails.
    """
    secret = _owned(model, label)
    try:
        secret.set_content(dict(content))
    except ops.SecretNotFoundError:
        secret = model.app.add_secret(dict(content), label=label)
    secret.grant(relation)
    assert secret.id
    return secret.id


def take_back(model: ops.Model, label: str) -> None:
    """Remove a secret, if there is one. Leader only."""
    try:
        _owned(model, label).remove_all_revisions()
    except ops.SecretNotFoundError:
        return
