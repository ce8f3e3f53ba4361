"""UDP on the running loop: a socket that answers from the address that was asked.

A machine with several addresses would answer from the one its routes prefer, and who asked another would not take that
for an answer: so the address that a datagram was sent to is asked of the system, and answered from, where it tells
(Linux).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
import sys
from math import inf
from typing import Any

from anabranch.model import Address, canonical_host

from .holding import Holding
from .tracker import Question, Tracker

_LARGEST = 2048  # bytes; a scrape of 74 torrents has 1,496
_AT_ONCE = 64  # a flood must not keep the loop from everything else
_MOST_HELD = 10_000  # announces; beyond them none is held back
_IP_PKTINFO = 8  # Linux; Python 3.11 has no name for it
_PKTINFO = struct.Struct("=i4s4s")  # interface, our address, the address in the datagram
_ROOM = socket.CMSG_SPACE(20) if hasattr(socket, "CMSG_SPACE") else 0
_Ancillary = list[tuple[int, int, bytes]]

log = logging.getLogger(__name__)


class UdpSide:
    """One socket.

    Args:
        sock: From udp_socket().
        tracker: Who answers.
        holding: Says which announces are held back.
    """

    def __init__(self, sock: socket.socket, tracker: Tracker, holding: Holding) -> None:
        self._socket = sock
        self._tracker = tracker
        self._holding = holding
        self._loop = asyncio.get_running_loop()
        self._alarms: set[asyncio.TimerHandle] = set()
        self._receive = self._with_origin if _tells_origin(sock) else self._plainly
        self._loop.add_reader(sock, self._readable)

    def close(self) -> None:
        """Close the socket. Once more is harmless."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        for alarm in self._alarms:
            alarm.cancel()
            self._holding.end()
        self._alarms.clear()

    def _readable(self) -> None:
        now = self._loop.time()
        for _ in range(_AT_ONCE):
            try:
                datagram, origin, name = self._receive()
            except BlockingIOError:
                return
            except OSError:  # what befell an answer of ours; the socket is as good as before
                continue
            try:
                self._take(datagram, origin, name, now)
            except Exception:  # bulkhead: one datagram
                log.exception("internal error with a datagram")

    def _take(self, datagram: bytes, origin: _Ancillary, name: Any, now: float) -> None:
        if not name[1]:  # from port 0: nobody can be answered there
            return
        asked = self._tracker.over_udp(datagram, Address(canonical_host(name[0]), name[1]), now)
        if isinstance(asked, bytes):
            self._send(asked, origin, name)
            return
        verdict = self._holding.begin(asked.announce)
        if isinstance(verdict, float) and 0 < verdict < inf and len(self._alarms) < _MOST_HELD:
            self._hold(asked, verdict, origin, name)
            return
        self._holding.end()
        if verdict != inf:
            self._send(asked.refuse(verdict) if isinstance(verdict, str) else asked.answer(now), origin, name)

    def _hold(self, question: Question, seconds: float, origin: _Ancillary, name: Any) -> None:
        def answer() -> None:
            self._alarms.discard(alarm)
            self._holding.end()
            self._send(question.answer(self._loop.time()), origin, name)

        alarm = self._loop.call_later(seconds, answer)
        self._alarms.add(alarm)

    def _send(self, datagram: bytes, origin: _Ancillary, name: Any) -> None:
        """Send it, unless the system will not: who asked will ask again."""
        if not datagram:
            return
        try:
            if origin:
                self._socket.sendmsg([datagram], origin, 0, name)
            else:
                self._socket.sendto(datagram, name)
        except OSError as refusal:
            if refusal.errno not in (errno.EAGAIN, errno.EWOULDBLOCK):
                log.debug("answer not sent reason=%s", refusal.strerror)

    def _plainly(self) -> tuple[bytes, _Ancillary, Any]:
        datagram, name = self._socket.recvfrom(_LARGEST)
        return datagram, [], name

    def _with_origin(self) -> tuple[bytes, _Ancillary, Any]:
        datagram, told, _, name = self._socket.recvmsg(_LARGEST, _ROOM)
        return datagram, [answered for one in told for answered in _origin(*one)], name


def _tells_origin(sock: socket.socket) -> bool:
    """Have the system tell which of our addresses a datagram was sent to, where that is a question and it can."""
    if sys.platform != "linux" or sock.getsockname()[0] not in ("0.0.0.0", "::"):
        return False
    is_v6 = sock.family == socket.AF_INET6
    level, option = (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) if is_v6 else (socket.IPPROTO_IP, _IP_PKTINFO)
    try:
        sock.setsockopt(level, option, 1)
    except OSError:
        return False
    return True


def _origin(level: int, kind: int, data: bytes) -> _Ancillary:
    """What makes an answer leave from where the question came to, by whatever interface leads to who asked."""
    if level == socket.IPPROTO_IP and kind == _IP_PKTINFO and len(data) == _PKTINFO.size:
        _, ours, _ = _PKTINFO.unpack(data)
        return [(level, kind, _PKTINFO.pack(0, ours, bytes(4)))]
    if level == socket.IPPROTO_IPV6 and kind == getattr(socket, "IPV6_PKTINFO", -1) and len(data) == 20:
        return [(level, kind, data[:16] + bytes(4))]
    return []
