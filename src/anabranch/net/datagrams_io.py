"""A UDP socket that many conversations share: each datagram goes to who takes its kind, or waits for its sender.

What the datagrams say is not known here, but for their first byte: that tells the DHT (bencode's "d"), uTP (its type
and version) and UDP trackers (zeros) apart. Sending never blocks, and whoever speaks UDP sends again. Linux tells what
befell a datagram on its way (ICMP: nobody listens at that port, no way to that host) on a queue of the socket's, with
the datagram's own beginning; where there is no such queue, servers that are not there are silent. Not here: answering
from the address that was asked, on a machine with several: bind a socket to each of them instead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from errno import EBADF, EMSGSIZE, ENOBUFS
from functools import lru_cache
from typing import Any

from anabranch.model import Address, InputRefused, canonical_host

_LARGEST = 65536  # bytes; no datagram is larger, nor is what the system makes of several
_AT_ONCE = 64  # receives; a flood must not keep the loop from everything else
_MOST_AT_ONCE = 256  # datagrams, where one receive brings several
_RECEIVE_BUFFERS = (4 << 20, 1 << 20)  # bytes, what is asked for: thousands of DHT nodes may speak at the same moment

_BEGINNING = 576  # bytes of a lost datagram that are of interest; no router tells more (RFC 1812, 4.3.2.3)
_ERRORS = {  # level and number of IP_RECVERR and IPV6_RECVERR, which socket does not name; Linux: ip(7), ipv6(7)
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
_ERROR = struct.Struct("=IB")  # sock_extended_err: the error's number, who told it, and more
_ERROR_ROOM = 256  # bytes that the system's words about one of them take at most: 16 + 16 + 28 and a header

_GRO = (socket.IPPROTO_UDP, 104)  # UDP_GRO; Linux 5.0: udp(7)
_GRO_SIZE = struct.Struct("=i")  # bytes of each datagram but the last
_GRO_ROOM = socket.CMSG_SPACE(_GRO_SIZE.size) if hasattr(socket, "CMSG_SPACE") else 0

log = logging.getLogger(__name__)

_Heard = Callable[[bytes], None]
_Lost = Callable[[bytes, OSError], None]
_Taken = Callable[[bytes, Address], None]
_TakenLost = Callable[[bytes, Address, OSError], None]
_NOBODY: tuple[None, None] = (None, None)


def udp_socket(host: str, port: int = 0) -> socket.socket:
    """Open a UDP socket that does not block. An IPv6 one hears no IPv4: that is another socket's port.

    Args:
        host: Our own IP address, the unspecified one for the system's choice; it also tells IPv4 or IPv6.
        port: 0 lets the system choose.

    Raises:
        InputRefused: the system does not give us such a socket; with its words.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as refusal:
        raise InputRefused(f"cannot open a UDP socket: {refusal.strerror or refusal}") from refusal
    try:
        sock.setblocking(False)
        if sys.platform == "win32":  # there another program could take the port from us
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for size in _RECEIVE_BUFFERS:
            with suppress(OSError):  # Linux gives what it may; others refuse what is too much
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
                break
        sock.bind((host, port))
    except OSError as refusal:
        sock.close()
        where = str(Address(host, port)) if port else host
        raise InputRefused(f"cannot use UDP from {where}: {refusal.strerror or refusal}") from refusal
    return sock


class Datagrams:
    """One UDP socket on the running loop, and who hears what comes. It owns the socket.

    Args:
        sock: From udp_socket().
    """

    def __init__(self, sock: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._waiting: dict[Address, tuple[_Heard, _Lost | None]] = {}
        self._takers: dict[bytes, tuple[_Taken, _TakenLost | None]] = {}  # by a datagram's first byte
        self._named = Address._make if sock.family == socket.AF_INET else _v6_named
        self.address = _v6_named(sock.getsockname())
        self._tells = _has(sock, *_ERRORS[sock.family])
        # recvmsg() with a new buffer for each, not recvmsg_into(): that costs more for a datagram alone (1.9 µs, 1.6),
        # and twice as much for 45 in one, whose parts are cut from bytes more cheaply than from a view (0.41 µs, 0.21).
        gathers = hasattr(sock, "recvmsg") and _has(sock, *_GRO)
        self._receive: Callable[[], tuple[bytes, int, Any]] = self._several if gathers else self._single
        self._loop.add_reader(sock, self._readable)

    def expect(self, address: Address, heard: _Heard, lost: _Lost | None = None) -> None:
        """From now on hand what comes from there, and is of no kind that somebody takes, to *heard*.

        Args:
            address: From where.
            heard: Takes a datagram, on the loop.
            lost: Takes the beginning of a datagram that was sent there and did not arrive, and why; on the loop. Others
                may have sent it, if they send there too.
        """
        self._waiting[address] = heard, lost

    def forget(self, address: Address) -> None:
        """Hear nothing more from there."""
        self._waiting.pop(address, None)

    def take(self, first: bytes, heard: _Taken | None, lost: _TakenLost | None = None) -> None:
        """From now on hand datagrams of some kinds to *heard*, whoever sends them.

        Args:
            first: The first byte of each kind. Who took one of them before does so no more.
            heard: Takes a datagram and its sender, on the loop; None lets these kinds go where all others go.
            lost: Takes the beginning of a datagram that began so and did not arrive, where it was sent to, and why.
        """
        for byte in first:
            self._takers.pop(bytes([byte]), None)
            if heard is not None:
                self._takers[bytes([byte])] = heard, lost

    def send(self, datagram: bytes, address: Address) -> OSError | None:
        """Send it, unless the system will not: then why not. A full socket drops it without a word, as networks do."""
        refusal: OSError | None = None
        for _ in range(2 if self._tells else 1):  # the first refusal may be what befell another datagram
            try:
                self._socket.sendto(datagram, address)
            except BlockingIOError:
                return None
            except OSError as told:
                refusal = told
            else:
                return None
        return None if refusal is not None and refusal.errno == ENOBUFS else refusal

    def close(self) -> None:
        """Close the socket; nothing more is heard. Closing twice is harmless."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        self._waiting.clear()
        self._takers.clear()

    def _readable(self) -> None:
        came = 0
        for _ in range(_AT_ONCE):
            try:
                data, size, name = self._receive()
            except BlockingIOError:
                break
            except OSError as error:  # what befell one of those we sent; the socket is as good as before
                if error.errno == EBADF:
                    return
                continue
            sender = self._named(name)
            if len(data) <= size:
                came += 1
                self._deliver(data, sender)
            else:
                for begin in range(0, len(data), size):
                    came += 1
                    self._deliver(data[begin : begin + size], sender)
            if came >= _MOST_AT_ONCE:
                break
        if self._tells and self._told_of_losses() and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)  # uvloop hears no more of a socket that had an error
            self._loop.add_reader(self._socket, self._readable)

    def _several(self) -> tuple[bytes, int, Any]:
        """What one receive brings: datagrams of one sender in a row, the size of each but the last, and the sender."""
        data, told, _, name = self._socket.recvmsg(_LARGEST, _GRO_ROOM)
        if told:
            for level, kind, size in told:
                if (level, kind) == _GRO:
                    return data, _GRO_SIZE.unpack_from(size)[0] or len(data), name
        return data, len(data), name

    def _single(self) -> tuple[bytes, int, Any]:
        data, name = self._socket.recvfrom(_LARGEST)
        return data, len(data), name

    def _deliver(self, datagram: bytes, sender: Address) -> None:
        """Hand a datagram to who takes its kind, else to who waits for its sender, else to nobody."""
        take, _ = self._takers.get(datagram[:1], _NOBODY)
        if take is not None:
            self._hand(take, datagram, sender)
            return
        heard, _ = self._waiting.get(sender, _NOBODY)
        if heard is not None:
            self._hand(heard, datagram)

    def _told_of_losses(self) -> bool:
        """Read what the system tells of lost datagrams; whether there was anything."""
        for count in range(_AT_ONCE):
            try:
                beginning, words, _, name = self._socket.recvmsg(_BEGINNING, _ERROR_ROOM, socket.MSG_ERRQUEUE)
            except OSError:
                return count > 0
            number = next((_ERROR.unpack_from(told)[0] for _, _, told in words if len(told) >= _ERROR.size), 0)
            if name and number not in (0, EMSGSIZE):  # that one says how long datagrams may be
                self._lost(beginning, self._named(name), OSError(number, os.strerror(number)))
            if self._socket.fileno() < 0:
                break
        return True

    def _lost(self, beginning: bytes, address: Address, why: OSError) -> None:
        """Tell all whose datagram it may be: what they sent to the same address may begin with the same byte."""
        _, taker = self._takers.get(beginning[:1], _NOBODY)
        _, waiting = self._waiting.get(address, _NOBODY)
        if taker is not None:
            self._hand(taker, beginning, address, why)
        if waiting is not None:
            self._hand(waiting, beginning, why)

    def _hand(self, take: Callable[..., None], *what: object) -> None:
        try:
            take(*what)
        except Exception:  # bulkhead: one conversation
            log.exception("internal error in a UDP conversation")


def _v6_named(name: tuple[Any, ...]) -> Address:
    """The address that the system names; it spells most as we do, and canonical_host() takes as long as a receive."""
    host = name[0]
    return Address(_spelt(host) if "." in host or "%" in host else host, name[1])


_spelt = lru_cache(1024)(canonical_host)


def _has(sock: socket.socket, level: int, option: int) -> bool:
    """Switch an option of Linux on; whether that could be done (there are sandboxes that are Linux by name)."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(level, option, 1)
    except OSError:
        return False
    return True
