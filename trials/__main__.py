# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""``python -m trials``: the lab's command line, whose ``status`` knows Redis too."""

import sys

from lab import Model
from lab.cli import Columns, main


def columns(model: Model) -> Columns:
    """Return the columns of Redis, whose client is imported only for them."""
    from trials.columns import RedisColumns

    return RedisColumns(model)


if __name__ == "__main__":
    sys.exit(main(program="python -m trials", columns=columns))
