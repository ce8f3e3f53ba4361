"""The plain way in: bytes cut anywhere become frames, and blocks are copied to where they belong.

This is all a conversation needs; landing.py is faster for blocks that come in the order in which they were asked for,
shares this state, and comes back here for everything else. What messages mean is connection.py's affair.
"""

from __future__ import annotations

from collections.abc import Callable

from anabranch.model import Geometry, PeerFault

from .events import BlocksLanded, CancelledBlock, Event, UnexpectedBlock, add_run
from .expected import HEADER, Expected
from .messages import BITFIELD, BLOCK, BLOCK_HEADER, HEAD, RANGE, check_length
from .ranges import RANGE_KINDS, Range, check_bounds, read_ranges
from .telling import MAX_UNMEASURED


class Filling:
    """A block whose header was read and whose bytes are coming.

    Attributes:
        view: Where it belongs; None if its bytes are thrown away.
        got: How many of its bytes have come.
        waste: What to call it when it is thrown away.
    """

    __slots__ = ("begin", "got", "length", "piece", "token", "view", "waste")

    def __init__(self, piece: int, begin: int, length: int, view: memoryview | None, token: object) -> None:
        self.piece = piece
        self.begin = begin
        self.length = length
        self.view = view
        self.token = token
        self.got = 0
        self.waste: type[CancelledBlock | UnexpectedBlock] = CancelledBlock

    def told(self, events: list[Event]) -> None:
        """Tell that all of it has come."""
        if self.view is None:
            events.append(self.waste(self.piece, self.begin, self.length))
        else:
            add_run(events, BlocksLanded, self.piece, self.begin, self.length, self.token)


class Inbound:
    """Bytes in, frames out.

    Args:
        geometry: The torrent's measures; None until learn(). Until then nothing can be asked for on either side:
            requests, cancels and rejects are frames like others, and blocks are thrown away.
        expected: What the peer owes us; blocks that come are taken off it.
        on_frame: Is given each other message: its id, its body, and the list for what it means.
        on_ranges: Is given requests, cancels and rejects in bulk.

    Attributes:
        inbox: The beginning of a frame that is not complete.
        filling: The block that is being received, if the bytes stand inside one; the inbox is then empty.
        on_keepalive: Called for each keep-alive, where somebody counts them.
    """

    __slots__ = (
        "_bitfield_lengths",
        "_expected",
        "_geometry",
        "_on_frame",
        "_on_ranges",
        "filling",
        "inbox",
        "on_keepalive",
    )

    def __init__(
        self,
        geometry: Geometry | None,
        expected: Expected,
        on_frame: Callable[[int, bytes, list[Event]], None],
        on_ranges: Callable[[int, list[Range], list[Event]], None],
    ) -> None:
        self._geometry: Geometry | None = None
        self._bitfield_lengths = (0, MAX_UNMEASURED // 8)  # least and greatest, in bytes
        self._expected = expected
        self._on_frame = on_frame
        self._on_ranges = on_ranges
        self.on_keepalive: Callable[[], None] | None = None
        self.inbox = bytearray()
        self.filling: Filling | None = None
        if geometry is not None:
            self.learn(geometry)

    def learn(self, geometry: Geometry) -> None:
        """The measures are known now."""
        self._geometry = geometry
        due = (geometry.piece_count + 7) // 8
        self._bitfield_lengths = (due, due)

    def feed(self, data: memoryview, events: list[Event]) -> None:
        """Read on in the stream; what it brings is added to *events*.

        Raises:
            PeerFault: what was read before the fault is in *events*.
        """
        at = 0
        size = len(data)
        while at < size:
            if self.filling is not None:
                at += self._fill(self.filling, data[at:], events)
            elif self.inbox:
                at += self._top_up(data[at:], events)
            else:
                at += self._frame(data, at, events)

    def _fill(self, filling: Filling, data: memoryview, events: list[Event]) -> int:
        """Copy the block that is coming to its place."""
        count = min(filling.length - filling.got, len(data))
        if filling.view is not None:
            filling.view[filling.got : filling.got + count] = data[:count]
        filling.got += count
        if filling.got == filling.length:
            self.filling = None
            filling.told(events)
        return count

    def _top_up(self, data: memoryview, events: list[Event]) -> int:
        """Complete the frame whose beginning came earlier."""
        used = 0
        while missing := self._missing():
            more = data[used : used + missing]
            if not more:
                return used
            self.inbox += more
            used += len(more)
        frame = memoryview(bytes(self.inbox))
        self.inbox.clear()
        self._frame(frame, 0, events)
        return used

    def _missing(self) -> int:
        """How many bytes the inbox needs before more can be known about its frame; 0 when it can be read."""
        have = len(self.inbox)
        if have < 4:
            return 4 - have
        length = int.from_bytes(self.inbox[:4])
        if length == 0:
            return 0
        if have == 4:
            return 1
        kind = self.inbox[4]
        self._check(kind, length)
        return (HEADER if kind == BLOCK else 4 + length) - have

    def _frame(self, data: memoryview, at: int, events: list[Event]) -> int:
        """Read a frame that begins at *at*, or store its beginning. Returns how many bytes that took."""
        have = len(data) - at
        if have < HEAD.size:
            if have == 4 and not any(data[at:]):
                return self._keepalive()
            self.inbox += data[at:]
            return have
        length, kind = HEAD.unpack_from(data, at)
        if length == 0:
            return self._keepalive()  # the fifth byte is the next frame's first
        self._check(kind, length)
        if kind == BLOCK and have >= HEADER:
            self._open_block(data, at, events)
            return HEADER
        if kind in RANGE_KINDS and have >= RANGE.size and self._geometry is not None:
            count, ranges = read_ranges(data[at:], kind, self._geometry)
            self._on_ranges(kind, ranges, events)
            return count
        if kind == BLOCK or have < 4 + length:
            self.inbox += data[at:]
            return have
        self._on_frame(kind, bytes(data[at + 5 : at + 4 + length]), events)
        return 4 + int(length)

    def _keepalive(self) -> int:
        if self.on_keepalive is not None:
            self.on_keepalive()
        return 4

    def _open_block(self, data: memoryview, at: int, events: list[Event]) -> None:
        """Find out where a block belongs whose header was read."""
        length, _, piece, begin = BLOCK_HEADER.unpack_from(data, at)
        length -= BLOCK_HEADER.size - 4
        if self._geometry is not None:
            check_bounds(self._geometry, piece, begin, length)
        found = self._expected.take(piece, begin, length)  # one asked for again after a cancel goes before that cancel
        if found is not None:
            filling = Filling(piece, begin, length, *found)
        else:
            filling = Filling(piece, begin, length, None, None)
            if not self._expected.answered(piece, begin):
                filling.waste = UnexpectedBlock
        if length:
            self.filling = filling
        else:
            filling.told(events)

    def _check(self, kind: int, length: int) -> None:
        check_length(kind, length)
        if kind == BITFIELD:
            least, most = self._bitfield_lengths
            if not least <= length - 1 <= most:
                due = f"{least}" if least == most else f"at most {most}"
                raise PeerFault(f"bitfield of {length - 1} bytes, {due} are due")
