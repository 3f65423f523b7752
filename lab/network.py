"""The network of one model: a router between the pods and the clients, and the names.

Each pod has a network namespace of its own with one address and one link, to a router that is a
further namespace; the controller, and with it every client it starts, sits at another link of
it. There is no way out. The router forwards by address, so a cut is a policy rule that drops
packets: silently, in one direction or both, from everybody or from one pod only. An address that
nobody has is silent as well. Only the addresses of Services need a packet filter in the kernel:
the router translates them before it decides, so that a cut holds for them too.

Source: man 8 ip-rule ("blackhole"); for the names, "DNS for Services and Pods",
https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
"""

from __future__ import annotations

import itertools
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import dnslib

from lab import sandbox
from lab.kubernetes import netfilter
from lab.programs import need

_GATEWAY = "10.1.0.1"
_CLIENTS = "10.1.0.2"
_FIRST_POD = 10
_LAST_POD = 250 * 254
_DNS_TTL_S = 5

Upstream = Literal["nxdomain", "silent", "wildcard"]


class NetworkError(Exception):
    """The kernel refused a change of the model's network; the text says which."""


class Network:
    """The model's network; there is one, made by the controller after ``sandbox.prepare``.

    Attributes:
        address: the controller's address, where also the name server listens.
        namespace: that of the model's pods, the first label of what they search.
        cluster_domain: that of the cluster; the name server knows names below it.
        node_domain: what a pod searches after the cluster's domains, as its node does; or empty.
        upstream: what becomes of all other names: "nxdomain" knows none, "silent" gives no
            answer, "wildcard" has the clients' address for every name below ``node_domain``.
        dns_appear_s: seconds from ``set_name`` until the name server knows of it.
        dns_vanish_s: seconds from ``drop_name`` until it does.
        dns_cache_s: seconds for which it gives an answer again, also that there is no such name.
        dns_mode: "silent" lets the name server answer nothing at all.
        reuse_addresses: the address of a pod that has ended goes to the next other pod.
        queries: how many questions the name server has had.
    """

    def __init__(self, model: str, cluster_domain: str = "cluster.local") -> None:
        """Make the router, the controller's link to it and the name server."""
        self.address = _CLIENTS
        self.namespace = model
        self.cluster_domain = cluster_domain
        self.node_domain = ""
        self.upstream: Upstream = "nxdomain"
        self.dns_cache_s = 0.0
        self.reuse_addresses = False
        self.dns_appear_s = 0.0
        self.dns_vanish_s = 0.0
        self.dns_mode: Literal["ok", "silent"] = "ok"
        self.queries = 0
        self._lock = threading.Lock()
        # Per name, oldest first: from when on (monotonic) it has which addresses.
        self._names: dict[str, list[tuple[float, tuple[str, ...]]]] = {}
        # Per name and kind of question: until when (monotonic) which addresses are given again.
        self._cache: dict[tuple[str, int], tuple[float, tuple[str, ...] | None]] = {}
        # What pods have left behind, oldest first, and whose it was.
        self._left: list[tuple[str, str]] = []
        self._rules: set[tuple[str | None, str | None]] = set()
        self._numbers = itertools.count(_FIRST_POD)
        self._ip_program = str(need("ip")["ip"])
        self._router = _new_namespace(forward=True)
        self._filter = netfilter.Filter(self._in_router)
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._ip(self._router, "link set lo up", "route add blackhole default")
        self._connect(here, "clients", self.address)
        os.close(here)
        self.use_names()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.address, 53))
        threading.Thread(target=self._serve_names, name="dns", daemon=True).start()

    # Links.

    def new_pod(self, name: str = "") -> tuple[str, int]:
        """Return the address of a new pod and its network namespace, an open file descriptor.

        The address has never been used before, but with ``reuse_addresses``: then it is the one
        that was left first by a pod of another name, if there is any.
        """
        address = self._left_by_another(name) or self._new_address()
        namespace = _new_namespace(forward=False)
        self._connect(namespace, _link(address), address)
        return address, namespace

    def _left_by_another(self, name: str) -> str | None:
        with self._lock:
            for left in self._left:
                if self.reuse_addresses and left[1] != name:
                    self._left.remove(left)
                    return left[0]
        return None

    def _new_address(self) -> str:
        number = next(self._numbers)
        if number > _LAST_POD:
            raise NetworkError("the model has used up its addresses")
        address = f"10.1.{number // 250}.{number % 250 + 1}"
        return self._new_address() if address in (_GATEWAY, _CLIENTS) else address

    def remove_pod(self, address: str, namespace: int, name: str = "") -> None:
        """Take the pod's link and its cuts away and let go of its namespace and its address."""
        # The link first: a pod that was cut off may have answers waiting to be sent again, and
        # what a dead server says after its end is an acknowledgement that nobody stands for.
        self._ip(self._router, f"link del {_link(address)}")
        self.unblock(address)
        os.close(namespace)
        with self._lock:
            self._left.append((address, name))

    def block(self, source: str | None, destination: str | None) -> None:
        """Lose, from now on, every packet from one address to the other; None means any."""
        with self._lock:
            if (source, destination) not in self._rules:
                self._ip(self._router, f"rule add {_rule(source, destination)}")
                self._rules.add((source, destination))

    def unblock(self, address: str) -> None:
        """Lift every ``block`` that names the address."""
        with self._lock:
            lifted = {rule for rule in self._rules if address in rule}
            if lifted:
                self._ip(self._router, *(f"rule del {_rule(*rule)}" for rule in lifted))
                self._rules -= lifted

    def blocked(self, source: str | None, destination: str | None) -> bool:
        """Tell whether exactly this ``block`` holds."""
        with self._lock:
            return (source, destination) in self._rules

    def route(self, routes: netfilter.Routes) -> None:
        """Lead new connections to the addresses of Services where these routes say.

        Raises:
            NetworkError: the kernel has no packet filter for it.
        """
        try:
            self._filter.change(routes)
        except netfilter.FilterError as e:
            raise NetworkError(str(e)) from e

    def answer_at(self, address: str) -> None:
        """Give the controller one more address, at which pods reach it."""
        self._ip(self._router, f"route add {address}/32 dev clients")
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._ip(here, f"addr add {address}/32 dev eth0")
        os.close(here)

    def _in_router(self, work: Callable[[], None]) -> None:
        def enter() -> None:
            sandbox.setns(self._router, sandbox.CLONE_NEWNET)
            work()

        sandbox.in_thread(enter)

    def _connect(self, namespace: int, link: str, address: str) -> None:
        """Lay a link from the router to ``eth0`` of the namespace and give that the address."""
        self._ip(
            self._router,
            f"link add {link} type veth peer name eth0 netns /proc/self/fd/{namespace}",
            f"addr add {_GATEWAY}/32 dev {link}",
            f"link set {link} up",
            f"route add {address}/32 dev {link}",
            keep=(namespace,),
        )
        self._ip(
            namespace,
            "link set lo up",
            f"addr add {address}/32 dev eth0",
            "link set eth0 up",
            f"route add {_GATEWAY}/32 dev eth0",
            f"route add default via {_GATEWAY}",
        )

    def _ip(self, namespace: int, *commands: str, keep: Iterable[int] = ()) -> None:
        """Run commands of ip(8) inside a network namespace, all in one process."""

        def run() -> subprocess.CompletedProcess[str]:
            sandbox.setns(namespace, sandbox.CLONE_NEWNET)
            return subprocess.run(
                [self._ip_program, "-batch", "-"],
                input="\n".join(commands) + "\n",
                capture_output=True,
                text=True,
                pass_fds=tuple(keep),
            )

        done = sandbox.in_thread(run)
        if done.returncode != 0:
            raise NetworkError(f"ip {'; '.join(commands)}: {done.stderr.strip()}")

    # Names.

    @property
    def search(self) -> tuple[str, ...]:
        """The cluster's domains below which a name is looked for, as the kubelet lists them."""
        domain = self.cluster_domain
        return (f"{self.namespace}.svc.{domain}", f"svc.{domain}", domain)

    @property
    def resolv_conf(self) -> str:
        """The text of /etc/resolv.conf in every pod, as Kubernetes writes it."""
        return self._resolv_conf(*self.search, self.node_domain)

    def _resolv_conf(self, *domains: str) -> str:
        search = " ".join(filter(None, domains))
        return f"search {search}\nnameserver {self.address}\noptions ndots:5\n"

    @property
    def nsswitch_conf(self) -> str:
        """The machine's nsswitch.conf with names from /etc/hosts and DNS only, as in an image."""
        try:
            text = Path("/etc/nsswitch.conf").read_text()
        except FileNotFoundError:
            text = "hosts:\n"
        return re.sub(r"(?m)^hosts:.*$", "hosts: files dns", text)

    def set_name(self, host: str, *addresses: str) -> None:
        """Let ``host`` resolve to these addresses after ``dns_appear_s`` seconds."""
        self._change_name(host, self.dns_appear_s, addresses)

    def drop_name(self, host: str) -> None:
        """Let ``host`` no longer resolve after ``dns_vanish_s`` seconds."""
        self._change_name(host, self.dns_vanish_s, ())

    def resolve(self, host: str) -> tuple[str, ...] | None:
        """Return the addresses of ``host``, cached or not; None if there is no such name."""
        now = time.monotonic()
        with self._lock:
            current: tuple[str, ...] = ()
            for since, addresses in self._names.get(host.lower(), ()):
                if since <= now:
                    current = addresses
        return current or None

    def _change_name(self, host: str, delay_s: float, addresses: tuple[str, ...]) -> None:
        now = time.monotonic()
        with self._lock:
            changes = self._names.get(host.lower(), [])
            # A change that is due later than this one has been overtaken by it.
            kept = [change for change in changes if change[0] <= now + delay_s]
            past = [change for change in kept if change[0] <= now][-1:]
            future = [change for change in kept if change[0] > now]
            self._names[host.lower()] = [*past, *future, (now + delay_s, addresses)]

    def use_names(self) -> None:
        """Let the controller and the clients it starts use the model's names.

        They do not look below the node's domain: what that costs a client is not the charm's.
        """
        for name, text in (
            ("resolv.conf", self._resolv_conf(*self.search)),
            ("nsswitch.conf", self.nsswitch_conf),
        ):
            mine = sandbox.RUN / name
            if mine.exists() and mine.read_text() == text:
                continue
            mine.write_text(text)
            target = Path("/etc", name).resolve()
            if target.is_relative_to("/run"):
                # Where the machine keeps it in /run, the model has an empty one there.
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            elif target.exists() and not target.samefile(mine):
                sandbox.bind(mine, target)

    def _serve_names(self) -> None:
        while True:
            packet, sender = self._socket.recvfrom(4096)
            self.queries += 1
            try:
                answer = self._answer(packet)
            except dnslib.DNSError:
                # Whoever sends what is no question gets no answer.
                continue
            if answer is not None and self.dns_mode != "silent":
                self._socket.sendto(answer, sender)

    def _answer(self, packet: bytes) -> bytes | None:
        """Return what answers a question; None: nothing ever does."""
        question = dnslib.DNSRecord.parse(packet)
        reply = question.reply(aa=1, ra=1)
        name = str(question.q.qname).rstrip(".").lower()
        foreign = not _is_below(name, self.cluster_domain) and not _is_below(name, "arpa")
        if foreign and self.upstream == "silent" and self.resolve(name) is None:
            return None
        addresses = self._cached(name, question.q.qtype)
        pointer = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)\.(\d+)\.in-addr\.arpa", name)
        if pointer and question.q.qtype == dnslib.QTYPE.PTR:
            self._answer_pointer(reply, ".".join(reversed(pointer.groups())))
        elif addresses is None:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        elif question.q.qtype in (dnslib.QTYPE.A, dnslib.QTYPE.ANY):
            for address in addresses:
                data = dnslib.A(address)
                reply.add_answer(
                    dnslib.RR(question.q.qname, dnslib.QTYPE.A, rdata=data, ttl=_DNS_TTL_S)
                )
        return bytes(reply.pack())

    def _cached(self, name: str, kind: int) -> tuple[str, ...] | None:
        """Return what was answered to this question lately, else what holds now."""
        now = time.monotonic()
        with self._lock:
            until, addresses = self._cache.get((name, kind), (0.0, None))
        if until <= now:
            addresses = self.resolve(name)
            wild = self.upstream == "wildcard" and self.node_domain
            if addresses is None and wild and _is_below(name, self.node_domain):
                addresses = (self.address,)
            with self._lock:
                self._cache[name, kind] = (now + self.dns_cache_s, addresses)
        return addresses

    def _answer_pointer(self, reply: dnslib.DNSRecord, address: str) -> None:
        with self._lock:
            hosts = list(self._names)
        host = next((host for host in hosts if self.resolve(host) == (address,)), None)
        if host is None:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
            return
        data = dnslib.PTR(host)
        reply.add_answer(dnslib.RR(reply.q.qname, dnslib.QTYPE.PTR, rdata=data, ttl=_DNS_TTL_S))


def _new_namespace(*, forward: bool) -> int:
    """Return an open file descriptor of a fresh network namespace."""

    def make() -> int:
        sandbox.unshare(sandbox.CLONE_NEWNET)
        settings = {
            "ipv4/ip_forward": str(int(forward)),
            "ipv4/conf/all/rp_filter": "0",
            "ipv4/conf/default/rp_filter": "0",
            "ipv6/conf/default/disable_ipv6": "1",
        }
        for name, value in settings.items():
            path = Path("/proc/sys/net", name)
            # A kernel without IPv6 has no such settings.
            if path.exists():
                path.write_text(value)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    return sandbox.in_thread(make)


def _is_below(name: str, domain: str) -> bool:
    return f".{name}".endswith(f".{domain}")


def _link(address: str) -> str:
    """Return the name of the router's end of the link to a pod; at most 15 bytes."""
    third, fourth = address.split(".")[2:]
    return f"pod{third}-{fourth}"


def _rule(source: str | None, destination: str | None) -> str:
    return f"from {source or 'all'} to {destination or 'all'} priority 100 blackhole"
