"""One connection to an HTTP/1.1 server: requests one after the other, bodies received straight into somebody's memory.

The head lands in a small buffer; of the body, what came with the head is copied, and the rest is read by the event
loop into what the sink gives (asyncio.BufferedProtocol, plain and TLS alike). Measured with bare protocols, one
connection to nginx over loopback, 64 MiB ranges, 2 cores, SO_RCVBUF as the kernel has it: 4.6 GB/s on uvloop and 4.5 on
asyncio, 0.20 CPU-seconds per GB; add_reader() with recv_into() gave 3.7 on both, at 0.20 and 0.23: no reason for two
ways. A larger SO_RCVBUF gave a tenth and ends the kernel's own tuning, which long ways need. TLS: 1.2 GB/s at 0.75, by
OpenSSL. Not here: which connection to whom (http_pool_io), redirects (http_walk_io).
"""

from __future__ import annotations

import asyncio
import os
import select
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, cast

from anabranch.model import TorrentError

from .http_bodies import Body, body_of, refuse_packed
from .http_heads import Head, HeadReader
from .troubles import NetworkFailed, Trouble

HEAD_PATIENCE = 30.0  # seconds from the request to the end of the answer's head
BODY_PATIENCE = 30.0  # seconds without a byte of the body; the time in which the sink has no memory does not count
IDLE_PATIENCE = 30.0  # seconds a connection is kept for the next request
DRAIN_PATIENCE = 5.0  # seconds for what nobody wants of a body
MAX_DRAIN = 48 * 1024  # bytes of a body that are read for nothing, to keep the connection
_SCRAP = 64 * 1024  # bytes; heads, and what is left out, while something is under way
_SPILL = 4 * 1024  # bytes that may come while the sink has no memory; they are copied


class BodyFlow(Protocol):
    """What a sink holds that had no memory."""

    def resume(self) -> None:
        """The sink has memory again."""


class Landing(Protocol):
    """Where a body's bytes go."""

    def landing(self) -> memoryview | None:
        """Memory for what comes next, not empty, never beyond what is wanted; None: none now."""

    def landed(self, count: int) -> bool:
        """So many bytes are there now. False: no more is wanted."""


class Dead(NetworkFailed):
    """A kept connection had died before it was asked: nobody has heard of the request."""


class _Stage(Enum):
    IDLE = auto()  # nothing is due; any byte is one too many
    HEAD = auto()
    BODY = auto()
    DRAINING = auto()  # who asked has what he wanted
    SPOKE = auto()  # the server did, before it was asked the first time
    CLOSED = auto()


@dataclass(slots=True)
class _Exchange:
    """One request and its answer."""

    heard: Callable[[Head], int | None]
    sink: Landing
    length: int  # of what is wanted
    answered: asyncio.Future[Head]
    reader: HeadReader
    tunnel: bool
    whole: Callable[[], bool] | None
    left_out: int = 0  # bytes to skip before the wanted ones
    wanted: int = 0  # bytes still to come
    any_byte: bool = False
    head: Head | None = None

    def fail(self, error: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)

    def so_far(self) -> str:
        return "of the reply" if self.whole else f"after {self.length - self.wanted} of {self.length} bytes"


class HttpConnection(asyncio.BufferedProtocol):
    """Made by the loop's create_connection(). While it is *free* it may be asked.

    Attributes:
        freed: Called whenever it is free again; None while it is not to be shared.
        gone: Done when the connection is closed.
        transport: As the loop gave it; another one once TLS runs in a tunnel.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.freed: Callable[[HttpConnection], None] | None = None
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.transport: asyncio.Transport | None = None
        self._scrap = _memory(_SPILL)  # what waits for a request needs no more
        self._offered: memoryview | None = self._scrap  # the loop reads into this, or else into the sink's memory
        self._held = b""  # came while the sink had no memory
        self._paused = False
        self._stage = _Stage.IDLE
        self._exchange: _Exchange | None = None
        self._body = Body(0, told=True)
        self._keeps = True
        self._drain = 0  # bytes that may still come for nobody
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def free(self) -> bool:
        """Whether it may be asked: nothing is under way."""
        return self._stage is _Stage.IDLE and self.transport is not None and not self.transport.is_closing()

    def stale(self) -> bool:
        """Whether a kept connection brought something since: its end, or what nobody asked for.

        A server can send a second answer behind the first, to be taken for the next request's. The loop may not have
        seen it yet: the system has. A new TLS connection is so too, as session tickets come unasked.
        """
        return self.transport is None or readable(self.transport.get_extra_info("socket").fileno())

    async def ask(
        self,
        request: bytes,
        heard: Callable[[Head], int | None],
        sink: Landing,
        length: int,
        *,
        tunnel: bool = False,
        whole: Callable[[], bool] | None = None,
    ) -> Head:
        """Send a request and see its answer through.

        Args:
            request: Its bytes.
            heard: Told of the answer's head: answers how many bytes to leave out before those wanted, or None where
                nothing of the body is. What it raises is raised here.
            sink: Where the body goes.
            length: Of what is wanted, in bytes, at least 1.
            tunnel: The request is a CONNECT: its answer has no body.
            whole: All of the body is wanted, packed or not, up to *length* bytes, of a server that may be careless (see
                HeadReader). It is asked where the server hangs up before the end that it told: whether this is all.

        Raises:
            NetworkFailed: no answer, or not all that was wanted. Dead: nobody has heard of the request.
        """
        reader = HeadReader(careless=whole is not None)
        exchange = _Exchange(heard, sink, length, self._loop.create_future(), reader, tunnel, whole, wanted=length)
        if self._stage is _Stage.SPOKE:
            raise NetworkFailed(Trouble.PROTOCOL, "it speaks before it is asked: no HTTP server")
        if not self.free or self.transport is None:
            raise Dead(Trouble.CONNECTION, "the server hung up without an answer")
        self._exchange, self._stage = exchange, _Stage.HEAD
        self._heard_at = self._loop.time()
        self._scrap = _memory(_SCRAP if whole is None else _SPILL)
        self._watch(HEAD_PATIENCE)
        self.transport.write(request)
        try:
            return await exchange.answered
        except asyncio.CancelledError:
            self.hang_up()
            raise

    def hang_up(self, why: NetworkFailed | None = None) -> None:
        """End the connection at once; nothing lands any more. *why* is for who waits for an answer."""
        if why is not None and self._exchange is not None:
            self._exchange.fail(why)
        self._stage = _Stage.CLOSED
        self._exchange = None
        self._paused = False
        self._held = b""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.transport is not None:
            self.transport.abort()

    def given_away(self) -> asyncio.Transport:
        """The transport of a free connection, for another protocol; this one is over."""
        transport, self.transport = self.transport, None
        if transport is None:
            raise NetworkFailed(Trouble.CONNECTION, "the server hung up")
        self.hang_up()
        self.connection_lost(None)
        return transport

    def resume(self) -> None:
        """The sink has memory again: it is asked for it soon, not from in here."""
        self._loop.call_soon(self._go_on)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop's word that we are connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are so by what they can, not by their class

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop is to read into. Never empty: uvloop takes that for an error.

        Nor may it pause or close the transport: libuv, which is just reading, would call what that has taken away.
        """
        exchange = self._exchange
        self._offered = self._scrap
        if self._paused:
            return self._scrap[:_SPILL]
        if self._stage is not _Stage.BODY or exchange is None or exchange.left_out or not self._body.ahead:
            return self._scrap
        try:
            room = exchange.sink.landing()
        except Exception:  # noqa: BLE001 # bulkhead: it is asked again, and blamed, when the bytes have come
            room = None
        if not room:
            return self._scrap[:_SPILL]
        room = room[: min(self._body.ahead, exchange.wanted)]
        self._offered = None
        return room

    def buffer_updated(self, nbytes: int) -> None:
        """The loop has read so much."""
        self._heard_at = self._loop.time()
        exchange = self._exchange
        offered, self._offered = self._offered, self._scrap
        try:
            if offered is not None and self._stage is not _Stage.CLOSED:
                self._take(offered[:nbytes])
            elif exchange is not None:
                self._count(exchange, nbytes)
                self._settle(b"")
        except Exception as fault:  # noqa: BLE001 # bulkhead: of one request; who asked is told, whoever's fault it was
            self._fail(fault)

    def eof_received(self) -> bool:
        """The server says no more: the transport closes itself."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; bytes that are held back may still be wanted."""
        if not self.gone.done():
            self.gone.set_result(None)
        exchange = self._exchange
        if self._stage is _Stage.SPOKE:
            return
        if exchange is None or self._stage is _Stage.DRAINING:
            self.hang_up()
        elif self._stage is _Stage.HEAD and not exchange.any_byte:
            self._fail(_lost(exc, "the server hung up without an answer", Dead))
        elif exchange.whole is not None:
            self._cut(exchange, exchange.whole, exc)
        elif self._stage is _Stage.HEAD:
            self._fail(_lost(exc, "the server hung up without an answer"))
        elif not self._held:
            self._lost()

    def _take(self, data: bytes | memoryview) -> None:
        """What came into our own buffer."""
        exchange = self._exchange
        if self._stage is _Stage.IDLE:
            self.hang_up()  # nobody asked: the next answer would not be the next request's
            if self.freed is None:
                self._stage = _Stage.SPOKE
            return
        if self._paused:
            self._held += data
            return
        if self._stage is _Stage.HEAD and exchange is not None:
            exchange.any_byte = True
            found = exchange.reader.receive(data)
            if found is None:
                return
            head, data = found
            self._begin(exchange, head)
        self._settle(self._pour(data))

    def _begin(self, exchange: _Exchange, head: Head) -> None:
        exchange.head = head
        self._keeps = head.keeps
        opened = exchange.tunnel and 200 <= head.status < 300
        self._body = Body(0, told=True) if opened else body_of(head)
        self._stage = _Stage.BODY
        self._watch(BODY_PATIENCE)
        try:
            leave_out = exchange.heard(head)
            if leave_out is not None and exchange.whole is None:
                refuse_packed(head)
        except TorrentError as refusal:  # the connection may serve another
            self._finish(exchange, refusal)
            return
        if leave_out is None:
            self._finish(exchange)
        else:
            exchange.left_out = leave_out

    def _pour(self, data: bytes | memoryview) -> bytes | memoryview:
        """Take a body's bytes out of our own buffer; answers those behind it."""
        body = self._body
        while data and not body.ended and self._stage in (_Stage.BODY, _Stage.DRAINING):
            exchange = self._exchange
            if not body.ahead:
                data = data[body.framing(data) :]
                continue
            count = min(len(data), body.ahead)
            if exchange is None:
                body.took(count)
                self._drain -= count
                if self._drain < 0:
                    self.hang_up()
            elif exchange.left_out:
                count = min(count, exchange.left_out)
                exchange.left_out -= count
                body.took(count)
            else:
                room = self._room(exchange)
                if room is None:
                    self._held = bytes(data)
                    return b""
                count = min(count, len(room))
                room[:count] = data[:count]
                self._count(exchange, count)
            data = data[count:]
        return data

    def _room(self, exchange: _Exchange) -> memoryview | None:
        """The sink's memory, no more of it than this body has bytes; None: reading is paused."""
        room = exchange.sink.landing()
        if room is not None:
            if not room:
                raise ValueError("a sink that has memory, of no bytes")
            return room[: min(self._body.ahead, exchange.wanted)]
        self._paused = True
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
        return None

    def _count(self, exchange: _Exchange, count: int) -> None:
        self._body.took(count)
        exchange.wanted -= count
        if not exchange.sink.landed(count) or not exchange.wanted:
            self._finish(exchange)

    def _finish(self, exchange: _Exchange, refusal: Exception | None = None) -> None:
        """Who asked is done; the connection may be kept if what is left of the body is little."""
        if refusal is not None:
            exchange.fail(refusal)
        elif not exchange.answered.done() and exchange.head is not None:
            exchange.answered.set_result(exchange.head)
        self._exchange = None
        self._stage = _Stage.DRAINING
        self._drain = MAX_DRAIN
        if not self._body.ended and (not self._keeps or self._body.ahead > MAX_DRAIN):
            self.hang_up()
        else:
            self._watch(DRAIN_PATIENCE)

    def _settle(self, rest: bytes | memoryview) -> None:
        """See whether the body has ended. *rest*: what came behind it."""
        if not self._body.ended:
            return
        if self._stage is _Stage.BODY and self._exchange is not None:
            if self._exchange.whole is None:
                self._fail(NetworkFailed(Trouble.PROTOCOL, f"the body ends {self._exchange.so_far()}"))
                return
            self._finish(self._exchange)
        if self._stage is _Stage.DRAINING:
            if rest or not self._keeps or self._body.odd:
                self.hang_up()
                return
            self._stage = _Stage.IDLE
            if len(self._scrap) > _SPILL:
                self._scrap = _memory(_SPILL)
            self._watch(IDLE_PATIENCE)
            if self.freed is not None:
                self.freed(self)

    def _go_on(self) -> None:
        if not self._paused or self._stage is not _Stage.BODY:
            return
        self._paused = False
        self._heard_at = self._loop.time()
        held, self._held = self._held, b""
        try:
            self._settle(self._pour(held))
        except Exception as fault:  # noqa: BLE001 # bulkhead: of one request; who asked is told
            self._fail(fault)
        if self._paused or self.transport is None:
            return
        if not self.transport.is_closing():
            self.transport.resume_reading()
        elif self.gone.done():
            self._lost()

    def _cut(self, exchange: _Exchange, whole: Callable[[], bool], exc: Exception | None) -> None:
        """The connection ended within a reply that is wanted whole, or at its end if nothing else tells that."""
        head = exchange.head
        if exc is not None:
            self._fail(_lost(exc, "the connection broke within the reply"))
        elif head is None or ((head.length is not None or head.in_parts) and not whole()):
            self._fail(NetworkFailed(Trouble.PROTOCOL, "the reply ends too early"))
        else:
            self._finish(exchange)
            self.hang_up()

    def _lost(self) -> None:
        if self._exchange is not None:
            self._fail(NetworkFailed(Trouble.CONNECTION, f"the connection ended {self._exchange.so_far()}"))

    def _fail(self, fault: Exception) -> None:
        if self._exchange is not None:
            self._exchange.fail(fault)
        self.hang_up()

    def _watch(self, patience: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(patience, self._look)

    def _look(self) -> None:
        """The time is up, unless bytes came meanwhile."""
        self._timer = None
        exchange = self._exchange
        if exchange is None:
            self.hang_up()
        elif self._stage is _Stage.HEAD:
            self._fail(NetworkFailed(Trouble.TIMEOUT, f"no answer within {HEAD_PATIENCE:g} s"))
        else:
            left = BODY_PATIENCE if self._paused else self._heard_at + BODY_PATIENCE - self._loop.time()
            if left > 0.001:  # loops round their timers
                self._watch(left)
            else:
                self._fail(NetworkFailed(Trouble.TIMEOUT, f"nothing for {BODY_PATIENCE:g} s {exchange.so_far()}"))


def _lost(exc: Exception | None, otherwise: str, kind: type[NetworkFailed] = NetworkFailed) -> NetworkFailed:
    """Why a connection ended, in OpenSSL's or the system's words where there are any."""
    if isinstance(exc, ssl.SSLError):  # TLS 1.3: a server says that it wants a certificate of ours when all seems done
        return kind(Trouble.TLS, f"no secure connection: {getattr(exc, 'reason', None) or 'it broke'}")
    number = getattr(exc, "errno", None)
    return kind(Trouble.CONNECTION, os.strerror(number) if number and number > 0 else otherwise)


def _memory(size: int) -> memoryview:
    return memoryview(bytearray(size))  # asyncio's TLS slices what it is given: no copies, please


def readable(descriptor: int) -> bool:
    """Whether bytes, or the end, have come."""
    if not hasattr(select, "poll"):  # Windows, where select() knows no limit to the numbers of descriptors
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
