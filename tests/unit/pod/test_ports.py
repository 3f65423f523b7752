# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""Who listens, by the kernel's tables."""

from __future__ import annotations

import socket

from pod import ports

TABLES = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4711 1
   1: 0100007F:18EB 0100007F:D431 01 00000000:00000000 00:00000000 00000000   101        0 4712 1
   2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:18EB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000   101        0 4714 1
"""  # noqa: E501  as the kernel writes it


def test_a_port_has_the_sockets_that_listen_on_it_of_either_family():
    assert ports.listeners(TABLES, {6379, 26379}) == {6379: frozenset({"4711", "4714"})}


def test_no_table_is_no_listener():
    assert ports.listeners("", {6379}) == {}


def test_this_machines_own_listener_is_found():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert set(ports.listening({port})) == {port}
