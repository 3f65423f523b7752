# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Clusters whose clients follow passwords and TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.conftest import Shared
from tests.lab.security.secured import Secured


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Shared]:
    """The cluster of this module, made when the first test wants it."""
    name = "sec-" + request.module.__name__.rsplit("test_", 1)[1].replace("_", "-")
    found = Shared(lambda: Secured(name, tmp_path_factory.mktemp(name)))
    yield found
    found.drop()
