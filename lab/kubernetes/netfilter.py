"""Rules of the kernel's packet filter, as kube-proxy makes them, without a program for it.

A new connection to a Service's address is led to one of its endpoints, by chance, and stays there
until it ends, whatever the rules say later: its address is translated back and forth by the
kernel. A Service without endpoint refuses. All rules change in one transaction.

Source: linux/netfilter/nfnetlink.h and nf_tables.h; "Virtual IPs and Service Proxies",
https://kubernetes.io/docs/reference/networking/virtual-ips/
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Endpoint = tuple[str, int]
"""An address and a TCP port."""
Routes = Mapping[Endpoint, Sequence[Endpoint]]
"""By address and port of a Service, where its connections may go; nowhere: it refuses."""

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE, _DELETE_RULE = 0, 3, 6, 8
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_NESTED = 0x8000
_ERROR = 2
_IPV4 = 2
_REGISTER = 1
_ANSWER_S = 5.0
_TABLE = "services"
_PREROUTING, _POSTROUTING = 0, 4


@dataclass(frozen=True)
class _Chain:
    name: str
    kind: str
    hook: int
    priority: int


# What nobody has been found for is refused after the translation, and only then.
_TO_ENDPOINTS = _Chain("endpoints", "nat", _PREROUTING, -100)
_REFUSED = _Chain("refused", "filter", _PREROUTING, -50)
_HAIRPINS = _Chain("hairpins", "nat", _POSTROUTING, 100)
_CHAINS = (_TO_ENDPOINTS, _REFUSED, _HAIRPINS)


class FilterError(Exception):
    """The kernel has no such packet filter, or refused a rule."""


class Filter:
    """The rules of one network namespace; there is none before ``change``.

    Args:
        within: runs a function in the namespace and returns what it returns.
    """

    def __init__(self, within: Callable[[Callable[[], None]], None]) -> None:
        self._within = within

    def change(self, routes: Routes) -> None:
        """Let new connections take these routes and no others; connections that are stay.

        Raises:
            FilterError: the kernel cannot; the text says why.
        """
        batch = _Batch()
        batch.add(_NEW_TABLE, _text(1, _TABLE), flags=_CREATE)
        for chain in _CHAINS:
            hook = _attribute(1, _number(chain.hook)) + _attribute(
                2, struct.pack(">i", chain.priority)
            )
            batch.add(
                _NEW_CHAIN,
                _text(1, _TABLE) + _text(3, chain.name) + _nested(4, hook) + _text(7, chain.kind),
                flags=_CREATE,
            )
            # Without naming one it deletes all of the chain.
            batch.add(_DELETE_RULE, _text(1, _TABLE) + _text(2, chain.name))
        for service, endpoints in routes.items():
            for index, endpoint in enumerate(endpoints):
                left = len(endpoints) - index
                batch.rule(
                    _TO_ENDPOINTS, *_is_to(service), *_by_chance(left), *_translate(endpoint)
                )
            if not endpoints:
                batch.rule(_REFUSED, *_is_to(service), _expression("reject", _TCP_RESET))
        # The kernel follows connections for as long as there is a rule that needs it, so one that
        # fits none stays.
        addresses = {"0.0.0.0"} | {at for endpoints in routes.values() for at, _ in endpoints}
        for address in sorted(addresses):
            # A pod that is led back to itself would take its own address for a forged one.
            batch.rule(
                _HAIRPINS,
                *_is_address(_SOURCE, address),
                *_is_address(_DESTINATION, address),
                _expression("masq", b""),
            )
        self._within(batch.send)


_SOURCE, _DESTINATION = 12, 16
"""Where an address is in the header of a packet."""
_DESTINATION_PORT = 2


class _Batch:
    """Messages that the kernel takes all or none of."""

    def __init__(self) -> None:
        self._messages = bytearray()
        self._count = 0
        self._frame(_BATCH_BEGIN)

    def add(self, kind: int, attributes: bytes, flags: int = 0) -> None:
        self._count += 1
        body = struct.pack(">BBH", _IPV4, 0, 0) + attributes
        self._message(_SUBSYSTEM | kind, flags | _ACK, body)

    def rule(self, chain: _Chain, *expressions: bytes) -> None:
        listed = b"".join(_nested(1, expression) for expression in expressions)
        attributes = _text(1, _TABLE) + _text(2, chain.name) + _nested(4, listed)
        self.add(_NEW_RULE, attributes, _CREATE | _APPEND)

    def send(self) -> None:
        """Give it to the kernel of the thread's network namespace.

        Raises:
            FilterError: the kernel refused it.
        """
        self._frame(_BATCH_END)
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as link:
                link.settimeout(_ANSWER_S)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                link.bind((0, 0))
                link.send(self._messages)
                self._read_answers(link)
        except OSError as e:
            raise FilterError(f"the kernel's packet filter nf_tables does not answer: {e}") from e

    def _read_answers(self, link: socket.socket) -> None:
        answered = 0
        while answered < self._count:
            answers = link.recv(1 << 16)
            while answers:
                length, kind, _, number, _ = struct.unpack_from("=IHHII", answers)
                code = struct.unpack_from("=i", answers, 16)[0] if kind == _ERROR else 0
                if code:
                    why = os.strerror(-code)
                    raise FilterError(f"the kernel refused rule {number}: {why}")
                answered += kind == _ERROR
                answers = answers[_aligned(length) :]

    def _frame(self, kind: int) -> None:
        self._message(kind, 0, struct.pack(">BBH", 0, 0, _SUBSYSTEM >> 8))

    def _message(self, kind: int, flags: int, body: bytes) -> None:
        header = struct.pack("=IHHII", 16 + len(body), kind, flags | _REQUEST, self._count, 0)
        self._messages += header + body


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    head = struct.pack("=HH", 4 + len(value), kind)
    return head + value + bytes(_aligned(len(value)) - len(value))


def _nested(kind: int, attributes: bytes) -> bytes:
    return _attribute(kind | _NESTED, attributes)


def _number(value: int) -> bytes:
    return struct.pack(">I", value)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _expression(name: str, attributes: bytes) -> bytes:
    return _text(1, name) + _nested(2, attributes)


def _numbers(*values: int) -> bytes:
    """Return attributes 1, 2, … with these numbers."""
    return b"".join(_attribute(kind, _number(value)) for kind, value in enumerate(values, 1))


def _equals(value: bytes) -> bytes:
    data = _nested(3, _attribute(1, value))
    return _expression("cmp", _numbers(_REGISTER, 0) + data)


def _is_address(place: int, address: str) -> tuple[bytes, bytes]:
    load = _expression("payload", _numbers(_REGISTER, 1, place, 4))
    return load, _equals(socket.inet_aton(address))


def _is_to(service: Endpoint) -> tuple[bytes, ...]:
    address, port = service
    return (
        _expression("meta", _numbers(_REGISTER, 16)),
        _equals(bytes([socket.IPPROTO_TCP])),
        *_is_address(_DESTINATION, address),
        _expression("payload", _numbers(_REGISTER, 2, _DESTINATION_PORT, 2)),
        _equals(struct.pack(">H", port)),
    )


def _by_chance(one_in: int) -> tuple[bytes, ...]:
    if one_in == 1:
        return ()
    return _expression("numgen", _numbers(_REGISTER, one_in, 1)), _equals(struct.pack("=I", 0))


def _load(register: int, value: bytes) -> bytes:
    data = _attribute(1, _number(register)) + _nested(2, _attribute(1, value))
    return _expression("immediate", data)


def _translate(endpoint: Endpoint) -> tuple[bytes, ...]:
    address, port = endpoint
    first, second = _REGISTER, _REGISTER + 1
    registers = _attribute(3, _number(first)) + _attribute(5, _number(second))
    return (
        _load(first, socket.inet_aton(address)),
        _load(second, struct.pack(">H", port)),
        _expression("nat", _numbers(1, _IPV4) + registers),
    )


_TCP_RESET = _attribute(1, _number(1)) + _attribute(2, b"\0")
