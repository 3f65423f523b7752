# Copyright 2026 Canonical Ltd.
# See LICENSE file for licensing details.

"""A network of its own with a name server, and a program on it; both end together.

Run it by ``unshare --net``. Its arguments are a file and the program's words. The file is read
for each question; it has, in JSON, by name: a list of addresses, or what else becomes of it:
``silent``, ``failing``. There is no such name as one that is not in it; ``*`` stands for those
below ``node.example``.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import dnslib

ADDRESS = "127.0.0.1"
NODE_DOMAIN = "node.example"


def _answer(packet: bytes, names: dict[str, list[str] | str]) -> bytes | None:
    question = dnslib.DNSRecord.parse(packet)
    name = str(question.q.qname).rstrip(".").lower()
    found = names.get("*" if name.endswith(NODE_DOMAIN) else name)
    reply = question.reply(aa=1, ra=1)
    if found == "silent":
        return None
    if found == "failing":
        reply.header.rcode = dnslib.RCODE.SERVFAIL
    elif found is None:
        reply.header.rcode = dnslib.RCODE.NXDOMAIN
    elif question.q.qtype == dnslib.QTYPE.A:
        for address in found:
            data = dnslib.A(address)
            reply.add_answer(dnslib.RR(question.q.qname, dnslib.QTYPE.A, rdata=data))
    return bytes(reply.pack())


def _serve(server: socket.socket, zone: Path) -> None:
    while True:
        packet, sender = server.recvfrom(4096)
        answer = _answer(packet, json.loads(zone.read_text()))
        if answer is not None:
            server.sendto(answer, sender)


def main(zone: Path, argv: list[str]) -> None:
    """Serve names for as long as the program runs, whose process is told in ``ZONE.pid``."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((ADDRESS, 53))
    threading.Thread(target=_serve, args=(server, zone), daemon=True).start()
    process = subprocess.Popen(argv)
    zone.with_suffix(".pid").write_text(str(process.pid))
    sys.exit(process.wait())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
