"""The fast way in: bytes are received where they belong, and the headers between them are compared afterwards.

Peers answer in the order in which they were asked, so the next bytes are foreseeable: a header of 13 bytes, a block,
a header, a block. The owner gives the list from offer() to the system to receive into, then says with take() how many
bytes came. Where a header is not the foreseen one, what follows was received to the wrong place. Mostly it is a block
as long as that foreseen, since a peer that reads its disk in several threads swaps neighbours (libtorrent one in
five): it is moved to its place, and what comes behind is where it belongs again. Anything else is copied out and goes
the plain way (inbound.py), which is also the oracle of this file's property test.
"""

from __future__ import annotations

from .events import BlocksLanded, Event, add_run
from .expected import HEADER, Expected, Run
from .inbound import Filling, Inbound
from .messages import BLOCK, BLOCK_HEADER
from .transform import ByteTransform

MAX_BUFFERS = 1024  # the system's limit for one call (IOV_MAX)

_MAX_BLOCKS = (MAX_BUFFERS - 1) // 2  # each with its header, and the rest of a begun block before them
_FEW_BLOCKS = 4  # offered beyond twice what came the last time; each costs the system and us 0.4 us
_FEW_BYTES = 4096  # for less, a list of buffers costs more than the copy it saves

# Memory to copy misplaced bytes to, used again and again: 1 MiB of new memory costs 0.6 ms, ten times the copy. Shared
# by all conversations of all threads: whoever uses one has taken it from the list.
_SPARE: list[bytearray] = []


class Landing:
    """Foresees the stream of one peer. Between offer() and take() nothing may be asked for or withdrawn."""

    __slots__ = ("_area", "_blocks", "_cut", "_expected", "_inbound", "_offered", "_slots", "_transform")

    def __init__(self, inbound: Inbound, expected: Expected, transform: ByteTransform | None) -> None:
        self._inbound = inbound
        self._expected = expected
        self._transform = transform
        self._blocks = _FEW_BLOCKS
        self._offered: list[memoryview] = []
        self._cut: memoryview | None = None  # of which a part was offered, as the last
        self._area = bytearray()
        self._slots: list[memoryview] = []  # of the area, 13 bytes each: where the headers are received

    def offer(self, limit: int) -> list[memoryview]:
        """Where the next bytes belong, at most *limit* of them; empty when the plain way is better."""
        self._offered = offered = []
        self._cut = None
        filling = self._inbound.filling
        inbox = self._inbound.inbox
        runs = self._expected.runs
        size = -len(inbox)
        if filling is not None:
            if filling.view is None or (not runs and filling.length - filling.got < _FEW_BYTES):
                return []
            size = filling.length - filling.got
            offered.append(filling.view[filling.got :] if filling.got else filling.view)
        elif not runs or not runs[0].headers.startswith(inbox, HEADER * runs[0].at):
            return []
        slots = self._slots if len(self._slots) >= self._blocks else self._more_slots()
        first = 0
        for run in runs:
            end = min(first + run.end - run.at, self._blocks)
            pairs = [slots[0]] * (2 * (end - first))
            pairs[::2] = slots[first:end]
            pairs[1::2] = run.views[run.at : run.at + end - first]
            offered += pairs
            size += HEADER * (end - first) + run.length_of(run.at, run.at + end - first)
            first = end
            if end == self._blocks or size >= limit:
                break
        if inbox:
            slots[0][: len(inbox)] = inbox
            offered[0] = slots[0][len(inbox) :]
        while size > limit:
            size -= len(offered[-1])
            last = offered.pop()
            if size < limit:
                self._cut = last
                offered.append(last[: limit - size])
                size = limit
        return offered

    def feed(self, data: bytes | bytearray | memoryview, events: list[Event], *, decrypted: bool = False) -> None:
        """Bytes have been received elsewhere: they go the plain way. *decrypted*: they are plain already.

        Raises:
            PeerFault: what was read before the fault is in *events*.
        """
        self._pace(len(data))
        if self._transform is not None and not decrypted:
            data = bytearray(data)
            self._transform.incoming(memoryview(data))
        self._inbound.feed(memoryview(data), events)

    def take(self, count: int, events: list[Event]) -> None:
        """The first *count* bytes of what was offered have been received. What they bring is added to *events*.

        Raises:
            PeerFault: what was read before the fault is in *events*.
        """
        self._pace(count)
        offered, self._offered = self._offered, []
        if self._transform is not None:
            _decrypt(self._transform, offered, count)
        inbound = self._inbound
        filling = inbound.filling
        if filling is not None:
            missing = filling.length - filling.got
            if count < missing:
                filling.got += count
                return
            inbound.filling = None
            filling.told(events)
            self._take_headers(offered[1:], count - missing, events)
        else:
            count += len(inbound.inbox)  # slot 0 begins with them
            inbound.inbox.clear()
            self._take_headers(offered, count, events)

    def _take_headers(self, offered: list[memoryview], left: int, events: list[Event]) -> None:
        """*offered* begins with slot 0, or with what was missing of it; *left* counts from the start of slot 0."""
        slot, left = self._in_place(offered, 0, left, events, foreseen=True)
        if left:
            self._sort_out(offered, slot, left, events)

    def _in_place(
        self, offered: list[memoryview], slot: int, left: int, events: list[Event], *, foreseen: bool
    ) -> tuple[int, int]:
        """Take what is where it belongs, from this slot on; *foreseen*: so far everything came as it was offered.

        Returns:
            Where something else begins, and how many bytes there are from there on: 0 when all is taken.
        """
        area = self._area
        while left and self._expected.runs:
            run = self._expected.runs[0]
            at, blocks = run.at, run.end - run.at
            if not foreseen and (2 * slot + 1 >= len(offered) or offered[2 * slot + 1] is not run.views[at]):
                return slot, left
            stride = HEADER + run.block
            headers = min(blocks, (left + run.block) // stride)  # those that came whole
            found = area[HEADER * slot : HEADER * (slot + headers)]
            right = headers
            if found != run.headers[HEADER * at : HEADER * (at + headers)]:
                right = _first_difference(found, run.headers[HEADER * at :])
            whole = min(right, left // stride)
            if right == blocks and left >= HEADER * blocks + run.length_of(at, run.end):
                whole = blocks  # with a short last one
            if whole:
                length = run.length_of(at, at + whole)
                add_run(events, BlocksLanded, run.piece, run.begin_of(at), length, run.token)
                self._expected.arrived(whole)
                left -= HEADER * whole + length
                slot += whole
                at += whole
            if right < headers:
                return slot, left
            if whole == blocks or not left:
                continue
            if left < HEADER:
                begun = area[HEADER * slot : HEADER * slot + left]
                if not run.headers.startswith(begun, HEADER * at):
                    return slot, left
                self._inbound.inbox += begun
            else:
                self._begin_block(run, left - HEADER)
            return slot, 0
        return slot, left

    def _begin_block(self, run: Run, got: int) -> None:
        """The last bytes were the first run's next header and *got* bytes of its block."""
        view = run.views[run.at]
        filling = Filling(run.piece, run.begin_of(run.at), len(view), view, run.token)
        filling.got = got
        self._inbound.filling = filling
        self._expected.arrived(1)

    def _sort_out(self, offered: list[memoryview], slot: int, left: int, events: list[Event]) -> None:
        """From this slot on the bytes are not what was foreseen: move blocks to their places."""
        slots = {id(view): number for number, view in enumerate(offered[1::2])}
        if self._cut is not None:
            slots[id(self._cut)] = (len(offered) - 1) // 2
        saved: dict[int, bytes] = {}  # what came to places that have been filled with others since
        while left:
            found = None
            size = HEADER + len(offered[2 * slot + 1]) if 2 * slot + 1 < len(offered) else 0
            if HEADER < size <= left:
                length, kind, piece, begin = BLOCK_HEADER.unpack_from(self._area, HEADER * slot)
                if kind == BLOCK and length == size - 4:
                    found = self._expected.take(piece, begin, size - HEADER)
            if found is None:
                self._go_plain(offered, slot, left, saved, events)
                return
            view, token = found
            came = saved.pop(slot, offered[2 * slot + 1])
            if came is not view:
                other = slots.get(id(view), slot)
                if other > slot:
                    saved[other] = bytes(offered[2 * other + 1])  # of the last place perhaps a part
                view[:] = came
            add_run(events, BlocksLanded, piece, begin, size - HEADER, token)
            slot, left = self._in_place(offered, slot + 1, left - size, events, foreseen=False)

    def _go_plain(
        self, offered: list[memoryview], slot: int, left: int, saved: dict[int, bytes], events: list[Event]
    ) -> None:
        """Copy all out from this slot on, since the places are needed, and have it read the plain way."""
        try:
            spare = _SPARE.pop()
        except IndexError:
            spare = bytearray()
        if len(spare) < left:
            spare = bytearray(left)
        copy = memoryview(spare)[:left]
        copy[:HEADER] = self._slots[slot][:left]
        at = HEADER
        for number, view in enumerate(offered[2 * slot + 1 :], 2 * slot + 1):
            if at >= left:
                break
            came = saved.get(number // 2, view) if number % 2 else view
            copy[at : at + len(view)] = came[: min(len(view), left - at)]
            at += len(view)
        try:
            self._inbound.feed(copy, events)
        finally:
            _SPARE.append(spare)

    def _pace(self, count: int) -> None:
        """Foresee about twice as much as came the last time."""
        self._blocks = min(_MAX_BLOCKS, _FEW_BLOCKS + count // (8 * 1024))

    def _more_slots(self) -> list[memoryview]:
        """Grow with the pace: a thousand slow peers need no thousand times 512 slots."""
        count = min(_MAX_BLOCKS, max(self._blocks, 2 * len(self._slots)))
        self._area = bytearray(HEADER * count)
        area = memoryview(self._area)
        self._slots = [area[at : at + HEADER] for at in range(0, HEADER * count, HEADER)]
        return self._slots


def _first_difference(found: bytearray, due: bytes) -> int:
    """The first of the 13-byte headers in *found* that is not the one that is due."""
    at = 0
    while found[at : at + HEADER] == due[at : at + HEADER]:
        at += HEADER
    return at // HEADER


def _decrypt(transform: ByteTransform, offered: list[memoryview], count: int) -> None:
    for view in offered:
        if count <= len(view):
            transform.incoming(view[:count])
            return
        transform.incoming(view)
        count -= len(view)
