#!/usr/bin/env python3
# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What dispatch starts: the charm, unless there is nothing to do or no way to do it.

What stands here is compiled anew in every hook, so it is short, and written for Python 3.8: older
ones than the charm needs get far enough to say so.
"""

import os

import foreign


def main() -> None:
    """Handle the event that this process was started for."""
    if foreign.stops(os.environ):
        return
    import events

    if events.is_idle(os.environ):
        return
    import ops

    import charm
    import hooktools

    with hooktools.second_chance():
        ops.main(charm.RedisK8sCharm)


if __name__ == "__main__":
    main()
