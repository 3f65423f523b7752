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
    import seen

    if seen.ends(os.environ):
        return
    import pulse

    if not events.is_routine(os.environ):
        pulse.forget(os.environ)
    elif pulse.is_steady(os.environ):
        return
    import lean

    lean.import_later("websocket")
    lean.import_later("redis.asyncio")
    import ops

    import charm
    from model import hooktools

    with hooktools.second_chance():
        try:
            ops.main(charm.RedisK8sCharm)
        except BaseException:
            # What it has told Juju, a status, may not have come there: the next hook looks.
            pulse.forget(os.environ)
            seen.forget(os.environ)
            raise


if __name__ == "__main__":
    main()
