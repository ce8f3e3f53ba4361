"""A UDP socket for asking servers: who waits for an address gets what comes from there, all else is dropped.

What the datagrams say is not known here. Sending never blocks and never fails: whoever speaks UDP sends again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from anabranch.model import Address, InputRefused, canonical_host

_LARGEST = 65536  # bytes; no datagram is larger
_AT_ONCE = 64  # a flood must not keep the loop from everything else

log = logging.getLogger(__name__)


class Datagrams:
    """One UDP socket on the running loop.

    Args:
        source: Our own IP address, the unspecified one for the system's choice; it also tells IPv4 or IPv6.

    Raises:
        InputRefused: the system does not give us such a socket; with its words.
    """

    def __init__(self, source: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Address, Callable[[bytes], None]] = {}
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as refusal:
            raise InputRefused(f"cannot open a UDP socket: {refusal.strerror or refusal}") from refusal
        try:
            self._socket.setblocking(False)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.bind((source, 0))
            self._loop.add_reader(self._socket, self._readable)
        except OSError as refusal:
            self._socket.close()
            raise InputRefused(f"cannot use UDP from {source}: {refusal.strerror or refusal}") from refusal

    def expect(self, address: Address, heard: Callable[[bytes], None]) -> None:
        """From now on hand what comes from there to *heard*, which is called on the loop."""
        self._waiting[address] = heard

    def forget(self, address: Address) -> None:
        """Hear nothing more from there."""
        self._waiting.pop(address, None)

    def send(self, datagram: bytes, address: Address) -> OSError | None:
        """Send it, unless the system will not: then why not. A full socket drops it without a word, as networks do."""
        try:
            self._socket.sendto(datagram, address)
        except BlockingIOError:
            return None
        except OSError as refusal:
            return refusal
        return None

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
                return
            except OSError:  # what befell one of those we sent; the socket is as good as before
                continue
            heard = self._waiting.get(Address(canonical_host(name[0]), name[1]))
            if heard is None:
                continue
            try:
                heard(datagram)
            except Exception:  # bulkhead: one server's conversation
                log.exception("internal error in a UDP conversation")
            if self._socket.fileno() < 0:
                return
