"""One conversation with a peer after the handshakes, without its socket: what may be said, and what it means.

Sources: BEP 3, BEP 6 (fast extension), BEP 10 (extension protocol), BEP 52 (hashes), BEP 54 (lt_donthave). Bytes are
read by inbound.py and landing.py, queued by outbox.py; what the peer owes us is in expected.py, what it has in
telling.py. Whom to unchoke, what to ask for, how much to queue and how fast is the owner's to decide. All calls come
from one thread.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence

from bitarray import bitarray

from anabranch.model import Geometry, PeerFault

from .events import CancelRun, Choked, Event, ExpectedRun, Rejected, RequestRun, add_run
from .expected import Expected, Run
from .extensions import DONT_HAVE, DontHave, ExtendedHandshake, Extensions, OurExtensions, dont_have_payload
from .inbound import Inbound
from .landing import MAX_BUFFERS, Landing
from .messages import (
    CANCEL,
    FAST_KINDS,
    HAVE,
    REJECT,
    REQUEST,
    AllowedFast,
    Bitfield,
    Choke,
    Extended,
    Hashes,
    HashReject,
    HashRequest,
    Have,
    HaveAll,
    HaveNone,
    Interested,
    KeepAlive,
    NotInterested,
    Port,
    Suggest,
    Unchoke,
    decode,
    encode,
    known,
)
from .outbox import Outbox
from .ranges import Range, pack_ranges
from .telling import Telling
from .transform import ByteTransform

KEEPALIVE_AFTER = 60.0  # seconds in which we sent nothing; BEP 3 has peers hang up after 120
IDLE_TIMEOUT = 150.0  # seconds in which nothing came: the peer's keep-alive, due every 120, with allowance

_HAVE_MESSAGE = struct.Struct(">IBI")


class Connection:
    """A peer, as far as bytes go.

    Args:
        geometry: The torrent's measures; None where we do not have its info yet, until learn(). Till then what the peer
            tells of its pieces is held, and requests are skipped: we can neither serve nor ask for anything.
        fast: Both handshakes have the fast bit.
        extended: Both handshakes have the extension bit.
        now: The time, in seconds on the owner's clock.
        transform: The encryption agreed on, if any.

    Attributes:
        peer_choking, peer_interested, am_choking, am_interested: The four flags of BEP 3. For reading only.
        fast: See above. For reading only.
        encrypted: Whether the bytes of blocks are read, to be encrypted, before they are sent. For reading only.
    """

    def __init__(
        self,
        geometry: Geometry | None,
        *,
        fast: bool,
        extended: bool,
        now: float,
        transform: ByteTransform | None = None,
    ) -> None:
        self.peer_choking = True
        self.peer_interested = False
        self.am_choking = True
        self.am_interested = False
        self.fast = fast
        self.encrypted = transform is not None
        self._telling = Telling(geometry)
        self._extensions = Extensions(enabled=extended)
        self._expected = Expected()
        self._inbound = Inbound(geometry, self._expected, self._read_frame, self._read_ranges)
        self._landing = Landing(self._inbound, self._expected, transform)
        self._outbox = Outbox(transform)
        self._heard_at = now
        self._sent_at = now
        self._fault: PeerFault | None = None  # what ends the conversation, when the owner next looks

    # What comes in.

    def receive(self, data: bytes | bytearray | memoryview, now: float, *, decrypted: bool = False) -> list[Event]:
        """Take what the network brought, cut anywhere.

        Args:
            data: The bytes.
            now: The time.
            decrypted: They were encrypted and are not any more: what came behind the handshake together with it.

        Raises:
            PeerFault: the conversation is over. What came before the fault is returned first; the fault is then raised
                by the next call of this, landed() or tick(), which is due at once.
        """
        return self._read(lambda events: self._landing.feed(data, events, decrypted=decrypted), now)

    def learn(self, geometry: Geometry) -> list[Event]:
        """The torrent's measures are known now. Returns what was held: what the peer has, as one event, and its advice.

        Raises:
            Misused: they were known.
            PeerFault: what the peer told cannot be true of this torrent; the conversation is over.
        """
        if self._fault is not None:
            raise self._fault
        try:
            events = self._telling.learn(geometry)
        except PeerFault as fault:
            self._fault = fault
            raise
        self._inbound.learn(geometry)
        return events

    def landing(self, limit: int) -> list[memoryview]:
        """Where the next bytes belong: at most 1,024 buffers and *limit* bytes.

        Receive into them, in order, then call landed() before anything else. An empty list: use receive().
        """
        return self._landing.offer(limit) if self._fault is None else []

    def landed(self, count: int, now: float) -> list[Event]:
        """The first *count* bytes of the buffers from landing() have been received.

        Raises:
            PeerFault: as in receive().
        """
        return self._read(lambda events: self._landing.take(count, events), now)

    def deadline(self) -> float:
        """When tick() is next due."""
        if self._fault is not None:
            return -math.inf
        silent = self._heard_at + IDLE_TIMEOUT
        return silent if self._outbox.pending else min(silent, self._sent_at + KEEPALIVE_AFTER)

    def tick(self, now: float) -> list[Event]:
        """Let time pass: a keep-alive may be queued.

        Raises:
            PeerFault: silent for too long, or a fault that came behind events.
        """
        if self._fault is not None:
            raise self._fault
        if now >= self._heard_at + IDLE_TIMEOUT:
            raise PeerFault(f"silent for {IDLE_TIMEOUT:.0f} s")
        if now >= self._sent_at + KEEPALIVE_AFTER and not self._outbox.pending:
            self.keepalive()
        return []

    # What goes out.

    @property
    def pending(self) -> int:
        """Bytes that are queued to be sent."""
        return self._outbox.pending

    @property
    def pending_payload(self) -> int:
        """Those of the pending bytes that are blocks."""
        return self._outbox.pending_payload

    @property
    def pending_answers(self) -> int:
        """Pending bytes that are due to what the peer said: neither blocks, nor what tells of our pieces."""
        return max(self._outbox.pending - self._outbox.pending_payload - self._outbox.told, 0)

    def outgoing(self, limit: int, max_buffers: int = MAX_BUFFERS) -> list[bytes | memoryview]:
        """What is to be sent next, at most *limit* bytes. It stays queued until sent() is called."""
        return self._outbox.show(limit, max_buffers)

    def sent(self, count: int, now: float) -> int:
        """The first *count* bytes of outgoing() are gone. Returns how many of them were blocks' bytes."""
        self._sent_at = now
        return self._outbox.sent(count)

    def discard(self) -> None:
        """Forget what is queued, at close; memory lent to send_blocks() is given back."""
        self._outbox.discard()

    # What we say.

    def keepalive(self) -> None:
        """Say that we are still there."""
        self._outbox.put(encode(KeepAlive()))

    def choke(self) -> None:
        """Stop serving. With the fast extension, the owner rejects or serves what was asked for before."""
        if not self.am_choking:
            self.am_choking = True
            self._outbox.put(encode(Choke()))

    def unchoke(self) -> None:
        """Start serving."""
        if self.am_choking:
            self.am_choking = False
            self._outbox.put(encode(Unchoke()))

    def interested(self) -> None:
        """Say that the peer has something for us."""
        if not self.am_interested:
            self.am_interested = True
            self._outbox.put(encode(Interested()))

    def not_interested(self) -> None:
        """Say that the peer has nothing for us."""
        if self.am_interested:
            self.am_interested = False
            self._outbox.put(encode(NotInterested()))

    def send_pieces(self, bits: bitarray, complete: bool) -> None:
        """Say what we have, before any have(), in the shortest way; *complete* where every bit is set."""
        if self.fast and complete:
            self._outbox.put(encode(HaveAll()))
        elif complete or bits.any():
            self._outbox.put(encode(Bitfield(bits.tobytes())), tells=True)
        elif self.fast:
            self._outbox.put(encode(HaveNone()))

    def have(self, piece: int) -> None:
        """Say that we have got a piece."""
        self._outbox.put(_HAVE_MESSAGE.pack(5, HAVE, piece), tells=True)

    def have_many(self, pieces: Iterable[int]) -> None:
        """Say that we have got pieces, as one buffer."""
        joined = b"".join([_HAVE_MESSAGE.pack(5, HAVE, piece) for piece in pieces])
        if joined:
            self._outbox.put(joined, tells=True)

    def dont_have(self, piece: int) -> None:
        """Say that we have lost a piece, to a peer that understands it (BEP 54)."""
        self.send_extended(DONT_HAVE, dont_have_payload(piece))

    def suggest(self, piece: int) -> None:
        """Say that a piece is easy to serve; nothing without the fast extension."""
        if self.fast:
            self._outbox.put(encode(Suggest(piece)))

    def allowed_fast(self, piece: int) -> None:
        """Say that we serve a piece even while choking; nothing without the fast extension."""
        if self.fast:
            self._outbox.put(encode(AllowedFast(piece)))

    def reject(self, piece: int, begin: int, length: int, block: int) -> None:
        """Say that we will not serve these requests; nothing without the fast extension."""
        if self.fast:
            self._outbox.put(pack_ranges(REJECT, piece, begin, length, block))

    def send_blocks(
        self, piece: int, begin: int, data: memoryview, block: int, done: Callable[[], None] | None = None
    ) -> None:
        """Answer requests: *data*, not empty, from *begin* of the piece in blocks of *block* bytes, without a copy.

        *done* is called when the memory is no longer read: in sent() after its last byte, or in discard(). Encryption
        changes *data* where it lies, unless it is read-only. Without encryption nobody looks into *data* but the system
        that sends it: it may be pages of a file that could be cut short.
        """
        self._outbox.put_blocks(piece, begin, data, block, done)

    @property
    def peer_extensions(self) -> ExtendedHandshake:
        """What the peer has said about itself in the extension protocol so far."""
        return self._extensions.theirs

    def send_port(self, port: int) -> None:
        """Tell the UDP port of our DHT node (BEP 5)."""
        self._outbox.put(encode(Port(port)))

    def send_extended_handshake(self, ours: OurExtensions) -> None:
        """Introduce ourselves, or say what has changed; nothing without the extension protocol."""
        if self._extensions.enabled:
            self._outbox.put(encode(Extended(0, self._extensions.introduce(ours))))

    def send_extended(self, name: str, payload: bytes) -> bool:
        """Send a message of an extension. False, and nothing is sent, where the peer does not know it."""
        number = self._extensions.their_id(name)
        if number is None:
            return False
        self._outbox.put(encode(Extended(number, payload)))
        return True

    def hash_request(self, request: HashRequest) -> None:
        """Ask for hashes (BEP 52)."""
        self._outbox.put(encode(request))

    def hashes(self, request: HashRequest, hashes: bytes) -> None:
        """Answer a request for hashes: those of the base layer and their uncles, 32 bytes each."""
        self._outbox.put(encode(Hashes(*_words(request), hashes)))

    def hash_reject(self, request: HashRequest) -> None:
        """Say that we will not answer this request for hashes."""
        self._outbox.put(encode(HashReject(*_words(request))))

    # What we ask for.

    @property
    def outstanding(self) -> int:
        """Blocks that the peer owes us and that we still want."""
        filling = self._inbound.filling
        return self._expected.outstanding + (filling is not None and filling.view is not None)

    @property
    def cancelled(self) -> int:
        """Blocks that we no longer want and that may still come, as far as they are remembered."""
        return self._expected.cancelled

    def request(self, piece: int, begin: int, views: Sequence[memoryview], token: object) -> None:
        """Ask for consecutive blocks of a piece.

        Args:
            piece: Its index.
            begin: Where the first block begins.
            views: Where each block belongs: writable bytes as long as the block, all of one length but the last.
                They are lent until the block lands, is rejected, lost, cancelled or revoked; until then anything may
                be written to them. No block may be asked for twice at the same time.
            token: Comes back with the blocks.
        """
        run = Run(piece, begin, views, token)
        self._expected.add(run)
        self._outbox.put(pack_ranges(REQUEST, piece, begin, run.length_of(0, run.end), run.block))

    def cancel(self, piece: int, begin: int, length: int) -> None:
        """Tell the peer that we no longer want what we asked for in this stretch; the views are free at once."""
        for at, size, block in self._withdraw(piece, begin, length):
            self._outbox.put(pack_ranges(CANCEL, piece, at, size, block))

    def revoke(self, piece: int, begin: int, length: int) -> None:
        """Free the views of what we asked for in this stretch, without telling the peer: what comes is thrown away."""
        self._withdraw(piece, begin, length)

    def expected_runs(self) -> list[ExpectedRun]:
        """What the peer owes us and we still want, in the order in which it is due."""
        runs = self._expected.leftovers()
        filling = self._inbound.filling
        if filling is not None and filling.view is not None:
            runs.insert(0, ExpectedRun(filling.piece, filling.begin, filling.length, filling.token))
        return runs

    def latest_runs(self, count: int) -> list[ExpectedRun]:
        """The end of expected_runs(), the latest first, but for a block that is arriving. O(*count*)."""
        return self._expected.latest(count)

    def drop_expected(self) -> None:
        """Expect nothing any more, at close; all views are free."""
        self._expected.clear()
        if self._inbound.filling is not None:
            self._inbound.filling.view = None

    def _withdraw(self, piece: int, begin: int, length: int) -> list[tuple[int, int, int]]:
        filling = self._inbound.filling
        if filling is not None and filling.piece == piece and begin - filling.length < filling.begin < begin + length:
            filling.view = None
        return self._expected.withdraw(piece, begin, length)

    # What the peer says.

    def _read(self, step: Callable[[list[Event]], None], now: float) -> list[Event]:
        """Let *step* read. No event is lost to a fault behind it: blocks landed before are landed."""
        if self._fault is not None:
            raise self._fault
        self._heard_at = now
        events: list[Event] = []
        try:
            step(events)
        except PeerFault as fault:
            self._fault = fault
            if not events:
                raise
        return events

    def _read_ranges(self, kind: int, ranges: list[Range], events: list[Event]) -> None:
        """Requests, cancels and rejects, their bounds checked."""
        if kind == REQUEST:
            events += [RequestRun(*run) for run in ranges]
        elif kind == CANCEL:
            events += [CancelRun(*run) for run in ranges]
        else:
            self._need_fast(kind)
            for run in ranges:
                for begin, length in run.blocks():
                    self._rejected(run.piece, begin, length, events)

    def _rejected(self, piece: int, begin: int, length: int, events: list[Event]) -> None:
        """A reject answers a cancelled request before one that was made again; an unknown one is of no concern."""
        if not self._expected.answered(piece, begin):
            found = self._expected.take(piece, begin, length)
            if found is not None:
                add_run(events, Rejected, piece, begin, length, found[1])

    def _read_frame(self, kind: int, body: bytes, events: list[Event]) -> None:
        """Every other message, its length checked."""
        if not known(kind):
            return
        if kind in FAST_KINDS:
            self._need_fast(kind)
        match decode(bytes([kind]) + body):
            case Choke():
                events.append(self._choked())
            case Unchoke() as said:
                self.peer_choking = False
                events.append(said)
            case Interested() | NotInterested() as said:
                self.peer_interested = isinstance(said, Interested)
                events.append(said)
            case Have() | Bitfield() | HaveAll() | HaveNone() | Suggest() | AllowedFast() as said:
                self._telling.hear(said, events)
            case Port() | HashRequest() | Hashes() | HashReject() as said:
                events.append(said)
            case Extended(number, payload):
                heard = self._extensions.read(number, payload)
                if isinstance(heard, DontHave):
                    self._telling.hear(heard, events)
                elif heard is not None:
                    events.append(heard)

    def _choked(self) -> Choked:
        """With the fast extension each request is still answered; without, all are forgotten (BEP 3, BEP 6)."""
        self.peer_choking = True
        lost = []
        if not self.fast:
            lost = self._expected.leftovers()
            self._expected.clear()
        return Choked(lost)

    def _need_fast(self, kind: int) -> None:
        if not self.fast:
            raise PeerFault(f"message {kind} without the fast extension")


def _words(request: HashRequest) -> tuple[bytes, int, int, int, int]:
    return request.root, request.base_layer, request.index, request.length, request.proof_layers
