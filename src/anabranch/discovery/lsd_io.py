"""Announcing on the local networks of this machine, and hearing who else does (BEP 14), by multicast.

A socket per family listens for the group on every interface of interest (interfaces.py says which), and sends from
each. Programs of one machine share the port, and hear one another. What we send stays on the network it is sent to (a
TTL of 1, as Transmission has it; libtorrent lets routers carry it further).

Senders with a link-local IPv6 address are passed over: an Address has no room for the link that it is an address of.
Where the system does not tell its interfaces, that is elsewhere than on Linux, the one that it chooses must do.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from anabranch.model import Address, PeerFault, canonical_host
from anabranch.net import is_this_machine, why_not_dialed

from .interfaces import ADDRESSES_WANTED, LINKS_WANTED, Interface, interfaces_from, is_last
from .lsd import GROUPS, Hearing, LocalAnnounce, checked_cookie

LOOK_INTERVAL = 60.0  # seconds; cables are plugged in, and networks joined
_AT_ONCE = 64  # a flood must not keep the loop from everything else
_LARGEST = 8192  # bytes; more than lsd.py reads
_IP_PKTINFO, _IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 8, 49, 29  # Linux; Python has no names for them
_LINUX = sys.platform == "linux"
_UNSPECIFIED = {False: "0.0.0.0", True: "::"}
_LARGEST_TOLD = 65536  # bytes; the kernel tells of interfaces in parts of at most 32 KiB

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalStats:
    """What local discovery has done so far. Datagrams, but for the first and `heard`.

    Args:
        networks: Interfaces that are listened on now, each family for itself.
        sent: Handed to the system.
        unsent: The system would not have them.
        heard: Torrents that others told of.
        own: Came back from ourselves.
        unreadable: Not to be understood, or from where nobody can be reached.
        too_many: Beyond what is listened to in a second.
    """

    networks: int = 0
    sent: int = 0
    unsent: int = 0
    heard: int = 0
    own: int = 0
    unreadable: int = 0
    too_many: int = 0


class LocalDiscovery:
    """Both groups, on the running loop.

    Args:
        port: Where we listen for peers.
        heard: Takes an info hash, and who has it.
        cookie: 1 to 16 hexadecimal digits drawn by chance: by it we know our own announces.
        clock: Seconds.
        bind: Our own addresses, where the user has chosen some: only the networks of these are spoken to, from these.
            An unspecified one stands for all of its family; none at all for everything. Names stand for nothing.
        v4: Whether IPv4 is used.
        v6: Whether IPv6 is used.

    Raises:
        ValueError: a cookie that is none.
    """

    def __init__(
        self,
        port: int,
        heard: Callable[[bytes, Address], None],
        *,
        cookie: str,
        clock: Callable[[], float],
        bind: Sequence[str] = (),
        v4: bool = True,
        v6: bool = True,
    ) -> None:
        self._port = port
        self._heard = heard
        self._cookie = checked_cookie(cookie)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._hearing = Hearing()
        self._counts = dict.fromkeys(("sent", "unsent", "heard", "own", "unreadable", "too_many"), 0)
        self._groups = [_Group(family, bind, self._readable) for family, used in ((False, v4), (True, v6)) if used]
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def stats(self) -> LocalStats:
        """What was done so far."""
        return LocalStats(sum(len(group.joined) for group in self._groups), **self._counts)

    def open(self) -> None:
        """Listen on every network there is, and look again each minute. What cannot be is left out, and logged."""
        if self._alarm is not None:
            self._alarm.cancel()
        interfaces = _interfaces()
        for group in self._groups:
            group.look(interfaces)
        self._alarm = self._loop.call_later(LOOK_INTERVAL, self.open)

    def announce(self, info_hashes: Sequence[bytes]) -> None:
        """Tell all local networks of these torrents: a datagram each, all at once.

        Give a few at a time: Transmission 3.00 listens to ten in a second, and a socket's queue is short.
        """
        for info_hash in info_hashes:
            said = LocalAnnounce(self._port, (info_hash,), self._cookie)
            for group in self._groups:
                if not group.joined:
                    continue
                sent, unsent = group.send(said.datagram(v6=group.v6))
                self._counts["sent"] += sent
                self._counts["unsent"] += unsent

    def close(self) -> None:
        """Leave all groups. Closing twice is harmless."""
        if self._alarm is not None:
            self._alarm.cancel()
        for group in self._groups:
            group.close()

    def _readable(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                datagram, name = sock.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            except OSError:  # what befell one of those we sent; the socket is as good as before
                continue
            try:
                self._take(datagram, canonical_host(name[0]))
            except Exception:  # bulkhead: one datagram
                log.exception("internal error with a local announce")
            if sock.fileno() < 0:
                return

    def _take(self, datagram: bytes, host: str) -> None:
        if not self._hearing.admits(host, self._clock()):
            self._counts["too_many"] += 1
            return
        try:
            said = LocalAnnounce.parse(datagram)
        except PeerFault as fault:
            self._counts["unreadable"] += 1
            log.debug("local announce not read from=%s reason=%s", host, fault)
            return
        if said.cookie.lower() == self._cookie.lower():
            self._counts["own"] += 1
            return
        address = Address(host, said.port)
        if why_not_dialed(address):
            self._counts["unreadable"] += 1
            return
        self._counts["heard"] += len(said.info_hashes)
        for info_hash in said.info_hashes:
            self._heard(info_hash, address)


class _Group:
    """One family's socket, and the networks it has joined: by the interface's index, the addresses to send from."""

    def __init__(self, v6: bool, bind: Sequence[str], readable: Callable[[socket.socket], None]) -> None:
        self.v6 = v6
        self.joined: dict[int, tuple[str, ...]] = {}
        hosts = [each for host in bind for each in _canonical(host)] if bind else [_UNSPECIFIED[v6]]
        self._bound = tuple(dict.fromkeys(host for host in hosts if (":" in host) == v6))
        self._readable = readable
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._complaints: set[str] = set()  # each reason is logged once

    def look(self, interfaces: Sequence[Interface] | None) -> None:
        """Join the networks that are new, and leave those that are no more. None: the system does not tell which."""
        if interfaces is None:
            wanted = {0: self._unseen()} if not any(self.joined) else dict(self.joined)  # it told them before
        else:
            wanted = {interface.index: self._sources(interface.hosts) for interface in interfaces}
        wanted = {index: sources for index, sources in wanted.items() if sources}
        if wanted and self._socket is None:
            self._socket = self._opened()
        if self._socket is None:
            return
        for index in [index for index in self.joined if not index or index not in wanted]:  # 0: which one may change
            with suppress(OSError):  # gone, and its membership with it
                self._change(self._socket, index, self.joined[index], join=False)
            del self.joined[index]
        for index, sources in wanted.items():
            if index in self.joined:  # its addresses may have changed
                self.joined[index] = sources
                continue
            try:
                self._change(self._socket, index, sources, join=True)
            except OSError as refusal:  # Linux lets a socket join 20 networks (igmp_max_memberships)
                self._complain(refusal, network=index)
            else:
                self.joined[index] = sources

    def send(self, datagram: bytes) -> tuple[int, int]:
        """Send it into each network; how many the system took, and how many it did not."""
        if self._socket is None:
            return 0, 0
        sent = unsent = 0
        for index, sources in self.joined.items():
            for source in sources:
                try:
                    self._send(self._socket, datagram, index, source)
                    sent += 1
                except OSError:  # a full queue, or a network that went since we looked: who announces does it again
                    unsent += 1
        return sent, unsent

    def close(self) -> None:
        """Leave all networks. Closing twice is harmless."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        self._socket = None
        self.joined.clear()

    def _sources(self, hosts: Sequence[str]) -> tuple[str, ...]:
        """Which of these addresses of an interface to send from; the unspecified one for the system's choice."""
        mine = [host for host in hosts if (":" in host) == self.v6]
        if mine and _UNSPECIFIED[self.v6] in self._bound:
            return (_UNSPECIFIED[self.v6],)
        return tuple(host for host in mine if host in self._bound)

    def _unseen(self) -> tuple[str, ...]:
        """The same where interfaces are not told. IPv6 knows them by index alone: no address that is bound has one."""
        if _UNSPECIFIED[self.v6] in self._bound:
            return (_UNSPECIFIED[self.v6],)
        return () if self.v6 else tuple(host for host in self._bound if not is_this_machine(host))

    def _opened(self) -> socket.socket | None:
        host, port = GROUPS[self.v6]
        try:
            sock = socket.socket(socket.AF_INET6 if self.v6 else socket.AF_INET, socket.SOCK_DGRAM)
        except OSError as refusal:
            self._complain(refusal)
            return None
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not _LINUX and hasattr(socket, "SO_REUSEPORT"):  # there it is this that lets programs share a port
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            for option, value in self._options():
                sock.setsockopt(socket.IPPROTO_IPV6 if self.v6 else socket.IPPROTO_IP, option, value)
            with suppress(OSError):  # what other programs of this machine have joined is no affair of ours
                if _LINUX and self.v6:
                    sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
                elif _LINUX:
                    sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
            sock.bind((host if _LINUX else "", port))  # to the group: what is sent to us alone is not for the group
            self._loop.add_reader(sock, self._readable, sock)
        except OSError as refusal:
            sock.close()
            self._complain(refusal)
            return None
        return sock

    def _options(self) -> tuple[tuple[int, int], ...]:
        if self.v6:
            return (
                (socket.IPV6_V6ONLY, 1),
                (socket.IPV6_MULTICAST_HOPS, 1),
                (socket.IPV6_MULTICAST_LOOP, 1),
            )
        return (socket.IP_MULTICAST_TTL, 1), (socket.IP_MULTICAST_LOOP, 1)

    def _change(self, sock: socket.socket, index: int, sources: Sequence[str], *, join: bool) -> None:
        """Join a network or leave it.

        Raises:
            OSError: the system will not.
        """
        host = GROUPS[self.v6].host
        if self.v6:
            option = socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP
            group = socket.inet_pton(socket.AF_INET6, host)
            sock.setsockopt(socket.IPPROTO_IPV6, option, group + struct.pack("=I", index))
            return
        option = socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP
        group = socket.inet_aton(host)
        if index:
            sock.setsockopt(socket.IPPROTO_IP, option, group + bytes(4) + struct.pack("=i", index))
            return
        for source in sources:
            sock.setsockopt(socket.IPPROTO_IP, option, group + socket.inet_aton(source))

    def _send(self, sock: socket.socket, datagram: bytes, index: int, source: str) -> None:
        """Send it from that address into that network.

        Raises:
            OSError: the system will not.
        """
        if index and self.v6:
            origin = socket.inet_pton(socket.AF_INET6, source) + struct.pack("=I", index)
            sock.sendmsg([datagram], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, origin)], 0, GROUPS[True])
        elif index:
            origin = struct.pack("=i4s4s", index, socket.inet_aton(source), bytes(4))
            sock.sendmsg([datagram], [(socket.IPPROTO_IP, _IP_PKTINFO, origin)], 0, GROUPS[False])
        else:
            if not self.v6:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
            sock.sendto(datagram, GROUPS[self.v6])

    def _complain(self, refusal: OSError, network: int | None = None) -> None:
        reason = refusal.strerror or str(refusal)
        if reason not in self._complaints:
            self._complaints.add(reason)
            family = "IPv6" if self.v6 else "IPv4"
            log.info("local discovery left out family=%s network=%s reason=%s", family, network or "all", reason)


def _canonical(host: str) -> tuple[str, ...]:
    """Its shortest spelling; nothing for a name: what it stands for is not known here."""
    try:
        return (canonical_host(host),)
    except ValueError:
        return ()


def _interfaces() -> tuple[Interface, ...] | None:
    """The machine's networks, None where the system does not tell. Answered at once, from the kernel's memory."""
    if not _LINUX:
        return None
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.setblocking(False)
            return interfaces_from(_told(kernel, LINKS_WANTED), _told(kernel, ADDRESSES_WANTED))
    except (OSError, ValueError) as refusal:  # sandboxes that are Linux by name
        log.debug("interfaces not told reason=%s", refusal)
        return None


def _told(kernel: socket.socket, wanted: bytes) -> bytes:
    kernel.send(wanted)
    parts = [kernel.recv(_LARGEST_TOLD)]
    while not is_last(parts[-1]):
        parts.append(kernel.recv(_LARGEST_TOLD))
    return b"".join(parts)
