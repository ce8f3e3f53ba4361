"""WebSocket trackers on the running loop: one connection for each tracker and address family, for all torrents.

A tracker for browsers knows its peers by their connections and forgets them with these: a connection stays while a
torrent is announced over it. When it is lost, the next announce opens another; who stops where none is open has nothing
to say. What a tracker may have us do per second is bounded (_Pace): one that sends more is read later.
Nobody's address is judged here: whoever asks has done so, and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from secrets import token_bytes
from typing import NamedTuple, cast

from anabranch.model import Address
from anabranch.net import NetworkFailed, NotResolved, Resolve, Trouble, Url, connect_to, resolve_soon, system_tls

from .faults import FaultKind, TrackerFault
from .messages import AnnounceReply, AnnounceRequest, Event, ScrapeReply
from .websocket import Offer, Scraped, WebSocketTracker
from .websocket_frames import WebSocket

log = logging.getLogger(__name__)

IDLE_PATIENCE = 30.0  # seconds that a connection is kept without a torrent
MOST_CONNECTIONS = 64  # with trackers that are not being asked; a torrent may name thousands
_MOST_ADDRESSES = 4  # of a name that are tried
_ADDRESS_PATIENCE = 5.0  # seconds for one of them while there are others
_CONNECT_PATIENCE = 10.0  # seconds for the last
_SILENCE = 10.0  # seconds: who said nothing at all for so long after a question is not there any more
_LAST_PATIENCE = 1.0  # seconds for our last words
_RATE = 2 * 1024 * 1024  # bytes per second of one tracker; JSON of the worst kind takes 7 % of a core at that
_WHOLE_RATE = 2 * _RATE  # of all trackers
_FRAME_COST = 256  # bytes; a frame costs as much as that even if it is empty
_AHEAD = 1 / 32  # seconds' worth that may be read at once: some milliseconds of work

_Outcome = AnnounceReply | Scraped | TrackerFault


class WebSocketTrackers:
    """All conversations with WebSocket trackers. Belongs to the loop where it is first asked; close it there.

    Args:
        user_agent: What we call ourselves; empty for no such header.
        bind: Our own IP addresses to speak from, none for the system's choice; a family without one is not spoken.
        proxy: Whose tunnels we go through, an http URL; it is never passed by.
        tls: How servers are verified; None for the system's certificates.
        resolve: Who knows the proxy's name.
        heard: Told of each offer, on the loop; None for nobody. It bounds what it keeps of them.
    """

    def __init__(
        self,
        user_agent: str,
        *,
        bind: Sequence[str] = (),
        proxy: Url | None = None,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = resolve_soon,
        heard: Callable[[Offer], None] | None = None,
    ) -> None:
        self._user_agent = user_agent
        self._bind = bind
        self._proxy = proxy
        self._tls = tls
        self._resolve = resolve
        self._heard = heard
        self._open: OrderedDict[_Door, _Connection] = OrderedDict()  # whom we asked last is the last
        self._opening: dict[_Door, asyncio.Future[NetworkFailed | TrackerFault | None]] = {}
        self._all: set[_Connection] = set()
        self._pace = _Pace(_WHOLE_RATE)
        self._closed = False

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._all)

    async def announce(
        self, place: Url, addresses: Sequence[Address], request: AnnounceRequest, patience: float
    ) -> AnnounceReply:
        """Announce to a tracker. A stop is answered when it is on its way.

        Args:
            place: The tracker's URL, ws or wss.
            addresses: Of its host, all of one family; none with a proxy.
            request: What to tell.
            patience: Seconds for all of it.

        Raises:
            TrackerFault: no answer, or a refusal.
            NetworkFailed: no connection.
        """
        if request.event is Event.STOPPED:
            known = self._open.get(_door(place, addresses))
            if known is not None:
                known.leave(request)
            return AnnounceReply()
        answer = await self._ask(place, addresses, lambda talk: talk.announce(request), patience)
        assert isinstance(answer, AnnounceReply)  # the machine matches answers with what was asked
        return answer

    async def scrape(
        self, place: Url, addresses: Sequence[Address], info_hashes: Sequence[bytes], patience: float
    ) -> dict[bytes, ScrapeReply]:
        """Ask for the numbers of at most MAX_SCRAPED torrents. As announce()."""
        answer = await self._ask(place, addresses, lambda talk: talk.scrape(info_hashes), patience)
        assert isinstance(answer, dict)
        return answer

    async def close(self) -> None:
        """Say goodbye everywhere, what was told before included. Who still waits is told so by a TrackerFault."""
        self._closed = True
        for connection in list(self._all):
            connection.hang_up(_ended())
        if self._opening:
            await asyncio.wait(self._opening.values(), timeout=_LAST_PATIENCE)
        if going := [connection.gone for connection in self._all]:
            await asyncio.wait(going, timeout=2 * _LAST_PATIENCE)

    async def _ask(
        self, place: Url, addresses: Sequence[Address], question: Callable[[WebSocketTracker], int], patience: float
    ) -> AnnounceReply | Scraped:
        clock = asyncio.get_running_loop().time
        connection, asked, reads, strays = None, clock(), 0, 0
        try:
            async with asyncio.timeout(patience):
                while True:
                    connection, kept = await self._connection(place, addresses)
                    asked, reads, strays = clock(), connection.reads, connection.passed_over
                    answer = await connection.ask(question)
                    if not isinstance(answer, TrackerFault):
                        return answer
                    unheard = kept and answer.kind is FaultKind.NETWORK and connection.reads == reads
                    if not unheard:  # else it had died before, and was not known to have: once more, over a new one
                        raise answer.with_traceback(None)  # it may be everybody's
        except TimeoutError as late:
            if connection is not None and connection.reads == reads and clock() >= asked + _SILENCE:
                connection.hang_up(TrackerFault(FaultKind.NETWORK, "the tracker is silent, the connection dead"))
            strange = connection is not None and connection.passed_over > strays
            words = "; what it sent answers nothing that was asked" if strange else ""
            raise TrackerFault(FaultKind.TIMEOUT, f"no answer within {round(patience, 2):g} s{words}") from late

    async def _connection(self, place: Url, addresses: Sequence[Address]) -> tuple[_Connection, bool]:
        """A connection to ask over, and whether it was there before. One is opened at a time: others wait for it."""
        door = _door(place, addresses)
        while not self._closed:
            kept = self._open.get(door)
            if kept is not None and not kept.is_over:
                self._open.move_to_end(door)
                return kept, True
            if door not in self._opening:
                return await self._opened(door, addresses), False
            opening = self._opening[door]
            await asyncio.wait([opening])
            if failure := opening.result():
                raise failure.with_traceback(None)  # it is raised for everybody who waits
        raise _ended()

    async def _opened(self, door: _Door, addresses: Sequence[Address]) -> _Connection:
        self._opening[door] = opening = asyncio.get_running_loop().create_future()
        failure: NetworkFailed | TrackerFault | None = None  # None also where we are cancelled: another may try
        try:
            connection = await self._connected(door.place, addresses)
            if refusal := await connection.agreed():
                raise refusal
        except (NetworkFailed, TrackerFault) as one:
            failure = one
            raise
        finally:
            del self._opening[door]
            opening.set_result(failure)
        self._make_room()
        self._open[door] = connection
        connection.gone.add_done_callback(lambda _: self._forget(door, connection))
        return connection

    async def _connected(self, place: Url, addresses: Sequence[Address]) -> _Connection:
        """The first address that can be connected to."""
        if self._proxy is not None:
            try:
                addresses = await self._resolve(self._proxy.host, self._proxy.port)
            except NotResolved as unknown:
                raise NetworkFailed(Trouble.CONNECTION, f"the proxy: {unknown}") from unknown
        if place.scheme == "wss" and self._tls is None:
            self._tls = await system_tls()
        *others, last = addresses[:_MOST_ADDRESSES]
        for address in others:
            try:
                return await self._connect(place, address, _ADDRESS_PATIENCE)
            except NetworkFailed as failure:
                if failure.trouble not in (Trouble.CONNECTION, Trouble.TIMEOUT):
                    raise
        return await self._connect(place, last, _CONNECT_PATIENCE)

    async def _connect(self, place: Url, address: Address, patience: float) -> _Connection:
        try:
            async with asyncio.timeout(patience):
                connection = await connect_to(
                    place,
                    address,
                    lambda: _Connection(place, self._user_agent, _Pace(_RATE, self._pace), self._heard),
                    bind=self._bind,
                    proxy=self._proxy,
                    tls=self._tls,
                    user_agent=self._user_agent,
                    always_tunnel=True,
                )
        except TimeoutError as late:
            raise NetworkFailed(Trouble.TIMEOUT, f"no connection within {patience:g} s") from late
        self._all.add(connection)
        connection.gone.add_done_callback(lambda _: self._all.discard(connection))
        if self._closed:
            connection.hang_up(_ended())
        return connection

    def _make_room(self) -> None:
        """Give up the connection that was not asked over for the longest time, where there are too many."""
        if len(self._open) >= MOST_CONNECTIONS:
            spare = next((one for one in self._open.values() if not one.asked), None)
            if spare is not None:
                spare.hang_up(TrackerFault(FaultKind.NETWORK, "too many trackers at once"))

    def _forget(self, door: _Door, connection: _Connection) -> None:
        if self._open.get(door) is connection:
            del self._open[door]


class _Door(NamedTuple):
    """Questions that can go over one connection."""

    place: Url
    v6: bool


def _door(place: Url, addresses: Sequence[Address]) -> _Door:
    return _Door(place, bool(addresses) and addresses[0].is_v6)


def _ended() -> TrackerFault:
    return TrackerFault(FaultKind.CLOSED, "the client has ended")


class _Pace:
    """What somebody may have us do, as bytes per second.

    Args:
        rate: Bytes per second.
        whole: What all of them together may.
    """

    def __init__(self, rate: int, whole: _Pace | None = None) -> None:
        self._rate = rate
        self._whole = whole
        self._until = 0.0

    def spend(self, cost: int, now: float) -> None:
        """So much was done."""
        self._until = max(self._until, now) + cost / self._rate
        if self._whole is not None:
            self._whole.spend(cost, now)

    def wait(self, now: float) -> float:
        """Seconds to do nothing, until all that was done is made up for; 0 while little was."""
        ahead = self._until - now
        own = ahead if ahead > _AHEAD else 0.0
        return own if self._whole is None else max(own, self._whole.wait(now))


class _Connection(asyncio.Protocol):
    """One connection: its machines, who waits for what it brings, and its alarms.

    Attributes:
        gone: Done when it is closed.
        reads: How often something came.
    """

    def __init__(self, place: Url, user_agent: str, pace: _Pace, heard: Callable[[Offer], None] | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._stream = WebSocket(place, user_agent, token_bytes)
        self._talk = WebSocketTracker(place)
        self._heard = heard
        self._asking: dict[int, asyncio.Future[_Outcome]] = {}
        self._agreed: asyncio.Future[TrackerFault | None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.reads = 0
        self._transport: asyncio.Transport | None = None
        self._end: TrackerFault | None = None  # why it is over
        self._pace = pace
        self._resting: asyncio.TimerHandle | None = None  # until when nothing is read
        self._idling: asyncio.TimerHandle | None = None
        self._pushing: asyncio.Handle | None = None
        self._full = False  # the system takes no more for now

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or is about to."""
        return self._end is not None

    @property
    def passed_over(self) -> int:
        """How many messages came that told us nothing."""
        return self._talk.passed_over

    @property
    def asked(self) -> bool:
        """Whether somebody waits for an answer."""
        return bool(self._asking)

    async def agreed(self) -> TrackerFault | None:
        """Wait until the server speaks WebSocket; answers why not. Being cancelled ends the connection.

        Whoever waited asks at once: from then on the connection looks after itself.
        """
        try:
            return await asyncio.shield(self._agreed)
        except asyncio.CancelledError:
            self.hang_up(TrackerFault(FaultKind.CANCELLED, "given up"))
            raise

    async def ask(self, question: Callable[[WebSocketTracker], int]) -> _Outcome:
        """Ask, and wait for what comes of it; may be cancelled."""
        if self._end is not None:
            return self._end
        self._stay()
        number = question(self._talk)
        waiting: asyncio.Future[_Outcome] = self._loop.create_future()
        self._asking[number] = waiting
        self._wake()
        try:
            return await waiting
        finally:
            del self._asking[number]
            self._talk.forget(number)
            self._wake()
            self._idle()

    def leave(self, request: AnnounceRequest) -> None:
        """Say that a torrent stops."""
        self._talk.leave(request)
        self._wake()
        self._idle()

    def hang_up(self, why: TrackerFault) -> None:
        """End it, with what was to be said. *why* is for who waits."""
        if self._end is not None:
            return
        self._end = why
        for handle in (self._resting, self._idling, self._pushing):
            if handle is not None:
                handle.cancel()
        self._tell_all(why)
        if self._transport is not None:
            if self._stream.is_open:
                self._write()
                self._stream.close()
                self._write()
            self._transport.close()
            self._loop.call_later(_LAST_PATIENCE, self._transport.abort)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop's word that we are connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are so by what they can, not by their class
        self._transport.write(self._stream.outgoing())

    def data_received(self, data: bytes) -> None:
        """The loop has read so much."""
        self.reads += 1
        if self._end is None:
            self._pace.spend(len(data), self._loop.time())
            self._stream.receive(data)
            if self._resting is None:
                self._read()

    def eof_received(self) -> bool:
        """The tracker says no more: the transport closes itself."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        if self._end is None:
            self.hang_up(self._lost(exc))
        if not self.gone.done():
            self.gone.set_result(None)

    def pause_writing(self) -> None:
        """The system takes no more for now."""
        self._full = True

    def resume_writing(self) -> None:
        """It does again."""
        self._full = False
        self._wake()

    def _read(self) -> None:
        """Read what has come, as far as the pace allows; the time that this takes earns no more."""
        now = self._loop.time()
        try:
            while self._end is None and (message := self._stream.take()) is not None:
                self._pace.spend(_FRAME_COST, now)
                if message:
                    self._deliver(message)
                if rest := self._pace.wait(now):
                    self._rest(rest)
                    break
            if self._stream.is_open and not self._agreed.done():
                self._agreed.set_result(None)
            self._wake()
        except TrackerFault as fault:
            self.hang_up(fault)
        except Exception:  # bulkhead: our own mistake ends one connection
            log.exception("internal error in reading what a tracker sent")
            self.hang_up(TrackerFault(FaultKind.INTERNAL, "internal error"))

    def _deliver(self, message: str) -> None:
        for one in self._talk.receive(message):
            if isinstance(one, Offer):
                if self._heard is not None:
                    self._heard(one)
                continue
            number, answer = one
            waiting = self._asking.get(number)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)

    def _rest(self, seconds: float) -> None:
        """Read nothing for a while: TCP tells the tracker to wait."""
        if self._transport is not None:
            self._transport.pause_reading()
        self._resting = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._resting = None
        self._read()
        if self._resting is None and self._end is None and self._transport is not None:
            with suppress(RuntimeError):  # asyncio's word for a transport that is closing
                self._transport.resume_reading()

    def _wake(self) -> None:
        """Something is to be sent: soon, all that comes together in this turn of the loop."""
        if self._pushing is None and self._end is None:
            self._pushing = self._loop.call_soon(self._push)

    def _push(self) -> None:
        self._pushing = None
        if not self._full:
            self._write()

    def _stay(self) -> None:
        if self._idling is not None:
            self._idling.cancel()
            self._idling = None

    def _idle(self) -> None:
        """Where there is no torrent any more, end it soon."""
        if self._talk.idle and self._end is None:
            self._stay()
            unused = TrackerFault(FaultKind.CLOSED, "not in use any more")
            self._idling = self._loop.call_later(IDLE_PATIENCE, self.hang_up, unused)

    def _write(self) -> None:
        for message in self._talk.outgoing():
            self._stream.send(message)
        due = self._stream.outgoing()
        if due and self._transport is not None and not self._transport.is_closing():
            self._transport.write(due)

    def _tell_all(self, why: TrackerFault) -> None:
        if not self._agreed.done():
            self._agreed.set_result(why)
        for waiting in self._asking.values():
            if not waiting.done():
                waiting.set_result(why)

    def _lost(self, exc: Exception | None) -> TrackerFault:
        number = getattr(exc, "errno", None)
        if number:
            return TrackerFault(FaultKind.NETWORK, os.strerror(number))
        if self._stream.is_open:
            return TrackerFault(FaultKind.NETWORK, "the tracker hung up")
        if self._stream.is_cut:
            return TrackerFault(FaultKind.REPLY, "the answer ends too early")
        return TrackerFault(FaultKind.NETWORK, "the server hung up without an answer")
