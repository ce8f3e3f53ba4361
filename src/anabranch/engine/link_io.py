"""The socket of one connection, from its first byte to its last.

Network thread only. A link first carries the handshakes, then a peer. What arrives is received where it belongs, handed
over in one turn, and what that queued is sent. Each callback of the loop is a bulkhead: whatever goes wrong here ends
this connection and nothing else (an exception left with unread data would spin the loop).
"""

from __future__ import annotations

import errno
import logging
import socket
from asyncio import TimerHandle
from collections.abc import Callable
from typing import Protocol

from anabranch.model import Address, Geometry, PeerFault
from anabranch.net import Bucket, dialled, hung_up
from anabranch.wire import Event, Handshake

from . import dialing, membership, receiving, serving
from .candidates import Candidate
from .chatter import MOST_SILENCES
from .engine import Engine
from .handshaking import Handshaking
from .membership import Met
from .metrics import BROKEN, DIALS_CONNECTED, FAULTS, HANDSHAKES_FAILED, HANDSHAKES_NAMED, HANDSHAKES_RECEIVED
from .state import Peer, TorrentState

log = logging.getLogger(__name__)

RECEIVE_AT_ONCE = 4 * 1024 * 1024  # bytes; what one readable socket may bring before others have their turn
PIECES_AT_ONCE = 64  # the same in pieces: each that is complete costs some 100 us, however small it is
SEND_AT_ONCE = 1024 * 1024  # bytes
PLAIN_SIZE = 256 * 1024  # bytes; the plain way receives into a buffer of this size, shared by all links
MESSAGES_AT_ONCE = 32 * 1024  # bytes from a peer that owes us no blocks: up to 6,500 messages in one turn
MOST_UNTOLD = 256 * 1024  # bytes of messages that a peer may leave unread, beside what tells it of our pieces
_ROUNDS = 4  # sends in a row before others have their turn
_LONGEST_PAUSE = 0.5  # seconds waited for a rate before looking again: it may have been changed
_CAN_SCATTER = hasattr(socket.socket, "recvmsg_into")
_CAN_GATHER = hasattr(socket.socket, "sendmsg")


class Host(Protocol):
    """What a link needs of the network thread."""

    engine: Engine
    plain: memoryview

    @property
    def port(self) -> int | None:
        """Where we accept peers; None where we do not."""

    def add_reader(self, sock: socket.socket, act: Callable[[], None]) -> None:
        """Call *act* whenever the socket has something to receive."""

    def remove_reader(self, sock: socket.socket) -> None:
        """Take add_reader() back."""

    def add_writer(self, sock: socket.socket, act: Callable[[], None]) -> None:
        """Call *act* whenever the socket takes something to send."""

    def remove_writer(self, sock: socket.socket) -> None:
        """Take add_writer() back."""

    def later(self, delay: float, act: Callable[[], None]) -> TimerHandle:
        """Call *act* in *delay* seconds."""

    def flush_touched(self) -> None:
        """Send what the last turn has queued, with any peer."""

    def blame(self, host: str) -> None:
        """A peer at that host broke the protocol."""

    def gone(self, link: SocketLink) -> None:
        """The link has closed."""


class SocketLink:
    """One connection.

    Args:
        host: The network thread.
        sock: Connected or connecting; does not block.
        address: The other end.
        shaking: The handshakes.
        torrent: Whom we dialed for; None for a connection that came by itself.
        candidate: Whom we dialed.
    """

    def __init__(
        self,
        host: Host,
        sock: socket.socket,
        address: Address,
        shaking: Handshaking,
        torrent: TorrentState | None = None,
        candidate: Candidate | None = None,
    ) -> None:
        self.address = address
        self.peer: Peer | None = None
        self._host = host
        self._sock = sock
        self._shaking = shaking
        self._torrent = torrent
        self._candidate = candidate
        self._closed = False
        self._reading = False
        self._writing = False
        self._held = False  # the peer is to be slowed: it asked for too much
        self._deaf = False  # or does not read our answers, which would fill the memory
        self._pause: TimerHandle | None = None  # reading goes on when the rate allows
        self._send_pause: TimerHandle | None = None  # the same of sending
        self._timer: TimerHandle | None = None

    def start(self, timeout: float) -> None:
        """Begin: send what we have to say when the socket takes it, and listen."""
        self._timer = self._host.later(timeout, self._too_late)
        if self._torrent is not None:
            self._write(True)
        else:
            self._read(True)

    # What policies ask for.

    def flush(self) -> None:
        """See Link."""
        if not self._closed and self.peer is not None:
            self._guard(self._send)
            self._mind_backlog(self.peer)

    def ended(self) -> bool:
        """See Link."""
        return self._closed or hung_up(self._sock)

    def flush_soon(self) -> None:
        """See Link."""
        self._host.later(0, self.flush)

    def close(self, reason: str) -> None:
        """See Link. The one place where a connection ends."""
        if self._closed:
            return
        self._closed = True
        self._read(False)
        self._write(False)
        for timer in (self._timer, self._pause, self._send_pause):
            if timer is not None:
                timer.cancel()
        self._sock.close()
        engine = self._host.engine
        peer = self.peer
        if peer is None and (metrics := engine.metrics) is not None:
            metrics.add(HANDSHAKES_FAILED, self._candidate is not None)
        if peer is not None:
            log.debug("peer lost peer=%s reason=%s", self.address, reason)
            with engine.turn:
                membership.leave(engine, peer, reason)
        elif self._candidate is not None and self._torrent is not None:
            log.debug("dial failed peer=%s reason=%s", self.address, reason)
            with engine.turn:
                misunderstood = self._shaking.heard and not self._shaking.answered
                dialing.ended(engine, self._torrent, self._candidate, misunderstood=misunderstood)
        else:
            log.debug("connection refused peer=%s reason=%s", self.address, reason)
        self._host.gone(self)

    def pause_reading(self, paused: bool) -> None:
        """See Link."""
        if paused != self._held:
            self._held = paused
            self._read_if_due()

    def learn(self, geometry: Geometry) -> None:
        """See Link."""
        peer = self.peer
        if peer is not None:
            self._guard(lambda: self._hear(peer, peer.talk.learn(geometry)))

    def tick(self, now: float) -> None:
        """Let time pass for the conversation."""
        if self.peer is not None and now >= self.peer.talk.deadline():
            self._guard(self._tick)

    # The handshakes.

    def _too_late(self) -> None:
        self.close("no handshake in time")

    def _greet_out(self) -> None:
        data = self._shaking.outgoing()
        if data:
            torrent, candidate = self._torrent, self._candidate
            if torrent is not None and candidate is not None and not membership.may_speak(torrent, candidate):
                raise PeerFault(membership.UNTOLD)
            sent = self._sock.send(data)
            if sent != len(data):  # at most some 1,300 bytes into an empty socket buffer
                raise PeerFault("the socket takes no handshake")

    def _greet_in(self) -> None:
        try:
            data = self._sock.recv(4096)
        except ConnectionResetError:
            self._shaking.heard = True
            raise
        self._shaking.heard = True
        if not data:
            raise PeerFault("closed during the handshake")
        engine = self._host.engine
        shaking = self._shaking
        shaking.receive(data, engine.clock())
        if self._torrent is None and shaking.named is not None:
            with engine.turn:
                self._torrent = engine.directory.get(shaking.named)
                reason = membership.refuse(engine, self._torrent, self.address)
            if (metrics := engine.metrics) is not None:
                metrics.add(HANDSHAKES_RECEIVED, bool(shaking.obfuscated))
                metrics.add(HANDSHAKES_NAMED, self._torrent is not None)
            if reason or self._torrent is None:
                raise PeerFault(reason)
            shaking.answer(*membership.our_greeting(engine, self._torrent, shaking.named))
        self._greet_out()
        if shaking.complete and shaking.theirs is not None and self._torrent is not None:
            self._become_peer(self._torrent, shaking.theirs, shaking.rest)

    def _become_peer(self, torrent: TorrentState, theirs: Handshake, rest: bytes) -> None:
        engine = self._host.engine
        with engine.turn:
            met = Met(
                self.address,
                theirs,
                self._candidate,
                self._shaking.transform,
                obfuscated=bool(self._shaking.obfuscated),
            )
            peer = membership.join(engine, torrent, self, met, self._host.port)
            if self._candidate is not None:
                torrent.swarm.dialing -= 1
                engine.due.half_open -= 1
        self.peer = peer
        if self._timer is not None:
            self._timer.cancel()
        log.debug("peer joined peer=%s outgoing=%s", self.address, peer.outgoing)
        if rest:
            self._hear(peer, peer.talk.receive(rest, engine.clock(), decrypted=True))
        self._host.flush_touched()

    # The conversation.

    def _receive(self, peer: Peer) -> None:
        host = self._host
        bucket = host.engine.limits.down
        now = host.engine.clock()
        talk, flow = peer.talk, peer.flow
        allowance = MESSAGES_AT_ONCE
        if talk.outstanding:
            allowance = min(RECEIVE_AT_ONCE, PIECES_AT_ONCE * peer.torrent.pieces.geometry.piece_length)
        if bucket.limited:
            allowance = _granted(bucket, min(allowance, PLAIN_SIZE), now)
            if not allowance:
                self._read(False)
                self._pause = self._host.later(_pause(bucket, now), self._rested)
                return
        came = flow.down.total
        views = talk.landing(allowance) if _CAN_SCATTER else []
        count = 0
        try:
            if views:
                count = self._sock.recvmsg_into(views)[0]
            else:
                count = self._sock.recv_into(host.plain[:allowance])
        finally:
            if bucket.limited:
                bucket.give_back(allowance - count, now)
        if count == 0:
            self.close("closed by the peer")
            return
        now = host.engine.clock()
        self._hear(peer, talk.landed(count, now) if views else talk.receive(host.plain[:count], now))
        self._mind_chatter(peer, count, came)

    def _mind_chatter(self, peer: Peer, count: int, came: int) -> None:
        """Listen no more for a while to a peer that says much and gives little; *came* was its payload before."""
        blocks = peer.flow.down.total - came
        silence = peer.profile.chatter.heard(count - blocks, blocks, self._host.engine.clock())
        if silence and not self._closed and self._pause is None:
            if peer.profile.chatter.silences > MOST_SILENCES and not (peer.flow.down.total or peer.flow.up.total):
                raise PeerFault("says much, and neither gives nor takes anything")
            self._read(False)
            self._pause = self._host.later(silence, self._rested)

    def _hear(self, peer: Peer, events: list[Event]) -> None:
        engine = self._host.engine
        if events:
            with engine.turn:
                receiving.take(engine, peer, events, engine.clock())
        self._host.flush_touched()

    def _send(self) -> None:
        peer = self.peer
        if peer is None:
            return
        engine, talk = self._host.engine, peer.talk
        bucket = engine.limits.up
        for _ in range(_ROUNDS):
            serving.fill(engine, peer)
            if not talk.pending:
                self._write(False)
                return
            now = engine.clock()
            allowance = SEND_AT_ONCE
            limited = bucket.limited and talk.pending_payload > 0
            if limited:
                allowance = _granted(bucket, min(talk.pending, 64 * 1024), now)
                if not allowance:
                    self._write(False)
                    if self._send_pause is None:
                        self._send_pause = self._host.later(_pause(bucket, now), self._send_rested)
                    return
            count = 0
            try:
                count = self._push(peer, talk.outgoing(allowance))
            finally:
                if limited:
                    bucket.give_back(allowance - count, now)
            if count:
                payload = talk.sent(count, now)
                if payload:
                    with engine.turn:
                        peer.flow.up.add(payload, now)
                        peer.profile.chatter.heard(0, payload, now)
                        peer.torrent.totals.uploaded += payload
            else:
                break
        self._write(True)

    def _push(self, peer: Peer, buffers: list[bytes | memoryview]) -> int:
        try:
            if _CAN_GATHER:
                return self._sock.sendmsg(buffers)
            return self._sock.send(buffers[0])
        except BlockingIOError:
            return 0
        except OSError as failure:
            if failure.errno == errno.EFAULT:
                serving.cannot_send(self._host.engine, peer)  # before the close, which takes back what was lent
                failure.strerror = "what was to be sent cannot be read any more"
            raise

    def _tick(self) -> None:
        peer = self.peer
        if peer is not None:
            self._hear(peer, peer.talk.tick(self._host.engine.clock()))
            self._send()

    # The loop's callbacks.

    def _readable(self) -> None:
        peer = self.peer
        if peer is None:
            self._guard(self._greet_in)
        else:
            self._guard(lambda: self._receive(peer))

    def _writable(self) -> None:
        if self.peer is None:
            self._guard(self._connected)
        else:
            self._guard(self._send)
            self._mind_backlog(self.peer)

    def _connected(self) -> None:
        dialled(self._sock)
        if (metrics := self._host.engine.metrics) is not None:
            metrics.add(DIALS_CONNECTED)
        self._write(False)
        self._greet_out()
        self._read(True)

    def _guard(self, act: Callable[[], None]) -> None:
        if self._closed:
            return
        try:
            act()
        except (BlockingIOError, InterruptedError):
            return
        except PeerFault as fault:
            if self.peer is not None:  # before, it may only be another one than we are looking for
                self._host.blame(self.address.host)
                if (metrics := self._host.engine.metrics) is not None:
                    metrics.add(FAULTS)
            self.close(str(fault))
        except OSError as failure:
            if self.peer is not None and (metrics := self._host.engine.metrics) is not None:
                metrics.add(BROKEN)
            told = failure.strerror or str(failure)
            self.close(f"the connection broke: {told}" if self.peer is not None else f"no connection: {told}")
        except Exception:  # bulkhead: our own mistake ends one connection
            log.exception("link failed peer=%s", self.address)
            self.close("internal error")

    def _rested(self) -> None:
        self._pause = None
        self._read_if_due()

    def _send_rested(self) -> None:
        self._send_pause = None
        self.flush()

    def _mind_backlog(self, peer: Peer) -> None:
        """Listen no more to a peer that talks and does not read, until it has read: answers must not pile up here.

        Haves come of our own doing and do not count, so that two who tell each other much both go on reading.
        """
        deaf = peer.talk.pending_answers > (MOST_UNTOLD // 2 if self._deaf else MOST_UNTOLD)
        if deaf != self._deaf:
            self._deaf = deaf
            self._read_if_due()

    def _read_if_due(self) -> None:
        self._read(not (self._held or self._deaf or self._closed) and self._pause is None)

    def _read(self, on: bool) -> None:
        if on != self._reading:
            self._reading = on
            if on:
                self._host.add_reader(self._sock, self._readable)
            else:
                self._host.remove_reader(self._sock)

    def _write(self, on: bool) -> None:
        if on != self._writing:
            self._writing = on
            if on:
                self._host.add_writer(self._sock, self._writable)
            else:
                self._host.remove_writer(self._sock)


def _granted(bucket: Bucket, wanted: int, now: float) -> int:
    """What may move now of *wanted* bytes; 0 until the rate allows what is worth a system call: else the loop spins."""
    return bucket.grant(wanted, now) if bucket.ready_at(now) <= now else 0


def _pause(bucket: Bucket, now: float) -> float:
    """Seconds to wait for the rate."""
    return min(max(bucket.ready_at(now) - now, 0.001), _LONGEST_PAUSE)
