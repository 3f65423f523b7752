# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""What a trial's logs say of where its time went."""

from pathlib import Path

from trials import timeline

REDIS = """\
2026-01-01T00:00:01.000Z [pebble] Started daemon.
2026-01-01T00:00:02.500Z [pebble] Service "redis" starting: /etc/redis-k8s/start-redis
2026-01-01T00:00:02.600Z [redis] guarded start: waiting: no majority
2026-01-01T00:00:04.600Z [redis] guarded start: waiting: no majority
2026-01-01T00:00:05.000Z [redis] 17:M 01 Jan 2026 00:00:05.000 * Ready to accept connections
"""
SENTINEL = """\
2026-01-01T00:00:00.500Z [pebble] Started daemon.
2026-01-01T00:00:03.000Z [sentinel] 9:X 01 Jan 2026 00:00:03.000 # +sdown master app app-0.app-endpoints.m.svc.cluster.local 6379
2026-01-01T00:00:03.500Z [sentinel] 9:X 01 Jan 2026 00:00:03.500 # Failed to resolve hostname 'app-1.app-endpoints.m.svc.cluster.local'
2026-01-01T00:00:04.000Z [pebble] Started daemon.
2026-01-01T00:00:05.500Z [sentinel] 9:X 01 Jan 2026 00:00:05.500 # +sdown master app app-0.app-endpoints.m.svc.cluster.local 6379
"""  # noqa: E501


def test_moments_of_all_containers_are_in_the_order_of_time(tmp_path: Path):
    (tmp_path / "app-0-redis.log").write_text(REDIS)
    (tmp_path / "app-1-sentinel.log").write_text(SENTINEL)
    assert timeline.rows(tmp_path) == [
        ("0.00", "app-1-sentinel", "Pebble is up"),
        ("0.50", "app-0-redis", "Pebble is up"),
        ("2.00", "app-0-redis", "redis starts"),
        ("2.10", "app-0-redis", "guarded start: waiting: no majority"),
        ("2.50", "app-1-sentinel", "+sdown master"),
        ("3.00", "app-1-sentinel", "app-1 does not resolve"),
        ("3.50", "app-1-sentinel", "Pebble is up"),
        ("4.50", "app-0-redis", "Redis serves"),
        ("5.00", "app-1-sentinel", "+sdown master"),
    ]
