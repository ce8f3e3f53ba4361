"""A UDP socket for asking servers: who waits for an address gets what comes from there, all else is dropped.

What the datagrams say is not known here. Sending never blocks, and whoever speaks UDP sends again. Linux tells what
befell a datagram on its way (ICMP: nobody listens at that port, no way to that host) on a queue of the socket's, with
the datagram's own beginning; where there is no such queue, servers that are not there are silent.
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
from errno import EMSGSIZE, ENOBUFS
from typing import Any

from anabranch.model import Address, InputRefused, canonical_host

_LARGEST = 65536  # bytes; no datagram is larger
_AT_ONCE = 64  # a flood must not keep the loop from everything else

_BEGINNING = 64  # bytes of a lost datagram that are of interest
_ERRORS = {  # level and number of IP_RECVERR and IPV6_RECVERR, which socket does not name; Linux: ip(7), ipv6(7)
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
_ERROR = struct.Struct("=IB")  # sock_extended_err: the error's number, who told it, and more
_ERROR_ROOM = 256  # bytes that the system's words about one of them take at most: 16 + 16 + 28 and a header

log = logging.getLogger(__name__)

_Heard = Callable[[bytes], None]
_Lost = Callable[[bytes, OSError], None]


class Datagrams:
    """One UDP socket on the running loop.

    Args:
        source: Our own IP address, the unspecified one for the system's choice; it also tells IPv4 or IPv6.

    Raises:
        InputRefused: the system does not give us such a socket; with its words.
    """

    def __init__(self, source: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Address, tuple[_Heard, _Lost | None]] = {}
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as refusal:
            raise InputRefused(f"cannot open a UDP socket: {refusal.strerror or refusal}") from refusal
        try:
            self._socket.setblocking(False)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._tells = False
            if sys.platform == "linux":
                with suppress(OSError):  # sandboxes that are Linux by name
                    self._socket.setsockopt(*_ERRORS[family], 1)
                    self._tells = True
            self._socket.bind((source, 0))
            self._loop.add_reader(self._socket, self._readable)
        except OSError as refusal:
            self._socket.close()
            raise InputRefused(f"cannot use UDP from {source}: {refusal.strerror or refusal}") from refusal

    def expect(self, address: Address, heard: _Heard, lost: _Lost | None = None) -> None:
        """From now on hand what comes from there to *heard*; both are called on the loop.

        Args:
            address: From where.
            heard: Takes a datagram.
            lost: Takes the beginning of a datagram that was sent there and did not arrive, and why.
        """
        self._waiting[address] = heard, lost

    def forget(self, address: Address) -> None:
        """Hear nothing more from there."""
        self._waiting.pop(address, None)

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
        """Close the socket. Closing twice is harmless."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        self._waiting.clear()

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                datagram, name = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                break
            except OSError:  # what befell one of those we sent; the socket is as good as before
                continue
            heard, _ = self._who_waits(name)
            if heard is not None:
                self._hand(heard, datagram)
            if self._socket.fileno() < 0:
                return
        if self._tells and self._told_of_losses() and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)  # uvloop hears no more of a socket that had an error
            self._loop.add_reader(self._socket, self._readable)

    def _told_of_losses(self) -> bool:
        """Read what the system tells of lost datagrams; whether there was anything."""
        for count in range(_AT_ONCE):
            try:
                beginning, words, _, name = self._socket.recvmsg(_BEGINNING, _ERROR_ROOM, socket.MSG_ERRQUEUE)
            except OSError:
                return count > 0
            number = next((_ERROR.unpack_from(told)[0] for _, _, told in words if len(told) >= _ERROR.size), 0)
            _, lost = self._who_waits(name) if name else (None, None)
            if lost is not None and number not in (0, EMSGSIZE):  # that one says how long datagrams may be
                self._hand(lost, beginning, OSError(number, os.strerror(number)))
            if self._socket.fileno() < 0:
                break
        return True

    def _who_waits(self, name: tuple[Any, ...]) -> tuple[_Heard | None, _Lost | None]:
        return self._waiting.get(Address(canonical_host(name[0]), name[1]), (None, None))

    def _hand(self, take: Callable[..., None], *what: object) -> None:
        try:
            take(*what)
        except Exception:  # bulkhead: one server's conversation
            log.exception("internal error in a UDP conversation")
