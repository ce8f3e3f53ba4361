"""Virtual time, and a network in it: lines with rates, latency, sockets whose buffers are bounded.

What happens waits in a heap of times; nothing looks at a clock. A line sends for its sockets in turn, a quantum each,
and takes in what comes in the order of its coming. A socket holds what was sent and not yet read at the far end, up to
its size: a reader that pauses stops its sender, as in TCP. Left out: loss of single packets, slow start, the bytes of
handshakes and acknowledgements.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Protocol

from anabranch.model import Address
from anabranch.wire import Handshake

TUNED_FOR = 0.1  # seconds of its rate that a socket holds, beside twice what is on its way
QUANTUM = 16 * 1024 + 13  # bytes; what one socket sends before the next has its turn: a block with its header
MOST_SIZE = 4 * 1024 * 1024  # bytes that a socket holds at most, however fast it is
_LONGEST_WAIT = 16.0  # seconds between tries to connect, before it is given up
MOST_EVENTS = 50_000_000  # of one run: more is a loop


class Timeline:
    """What is going to happen, in order of time; of one time in order of being said.

    Attributes:
        now: Seconds.
        happened: How much has.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.happened = 0
        self._due: list[tuple[float, int, Callable[..., object], tuple[object, ...]]] = []
        self._tickets = count()

    def __call__(self) -> float:
        """The time, for who needs a clock."""
        return self.now

    def at(self, when: float, act: Callable[..., object], *args: object) -> None:
        """Let something happen at a time; what is past happens now."""
        heappush(self._due, (max(when, self.now), next(self._tickets), act, args))

    def after(self, delay: float, act: Callable[..., object], *args: object) -> None:
        """Let something happen in *delay* seconds."""
        self.at(self.now + delay, act, *args)

    def step(self, most: float = inf) -> bool:
        """Let the next thing happen, if there is any until the time *most*."""
        if not self._due or self._due[0][0] > most:
            return False
        self.now, _, act, args = heappop(self._due)
        self.happened += 1
        if self.happened > MOST_EVENTS:
            raise AssertionError("it never ends")
        act(*args)
        return True


class Line:
    """Somebody's access to the network.

    Args:
        timeline: When things happen.
        up: Bytes per second that it sends.
        down: Bytes per second that it takes in.
        latency: Seconds from here to the middle of the network: a way is the latency of both its ends.

    Attributes:
        cut: Nothing passes.
        sent: Bytes.
        received: Bytes.
    """

    def __init__(self, timeline: Timeline, up: float = inf, down: float = inf, latency: float = 0.01) -> None:
        self.timeline = timeline
        self.up = up
        self.down = down
        self.latency = latency
        self.cut = False
        self.sent = 0
        self.received = 0
        self._queue: deque[Socket] = deque()
        self._busy = False
        self._free_at = 0.0  # when all that has come in is through

    def offer(self, socket: Socket) -> None:
        """The socket has something to send."""
        if not socket.queued:
            socket.queued = True
            self._queue.append(socket)
        if not self._busy:
            self._send_next()

    def take_in(self, data: bytes, to: Socket) -> None:
        """Something has come for a socket of this line."""
        if self.cut:
            return
        self.received += len(data)
        self._free_at = max(self._free_at, self.timeline.now) + len(data) / self.down
        self.timeline.at(self._free_at, to.arrived, data)

    def _send_next(self) -> None:
        while self._queue:
            socket = self._queue.popleft()
            socket.queued = False
            data = socket.take(QUANTUM)
            if data:
                self._busy = True
                self.timeline.after(len(data) / self.up, self._sent, socket, data)
                return

    def _sent(self, socket: Socket, data: bytes) -> None:
        self._busy = False
        if not self.cut:
            self.sent += len(data)
            far = socket.far
            self.timeline.after(socket.latency, far.line.take_in, data, far)
        if socket.waiting and not socket.queued:
            socket.queued = True
            self._queue.append(socket)
        self._send_next()


class Owner(Protocol):
    """Who has a socket."""

    def readable(self, data: bytes | bytearray) -> int:
        """Take what has come; answers how many bytes were taken. Called again with the rest while any are."""

    def writable(self) -> None:
        """The socket was full and has room again."""

    def hung_up(self) -> None:
        """The far end is gone."""


class _Nobody:
    """Owns a socket that nobody has taken over."""

    def readable(self, data: bytes | bytearray) -> int:
        return 0

    def writable(self) -> None:
        return

    def hung_up(self) -> None:
        return


class Socket:
    """One end of a connection.

    Args:
        line: Whose access it uses.
        latency: Seconds to the other end.
        size: Bytes that it holds at first; as many as fast ones need once it moves them.

    Attributes:
        far: The other end; set at once.
        owner: Who has it.
        paused: Nothing is read: see resume().
        closed: It is over.
        waiting: Bytes that the line has not sent yet.
    """

    far: Socket

    def __init__(self, line: Line, latency: float, size: int) -> None:
        self.line = line
        self.latency = latency
        self.owner: Owner = _Nobody()
        self.paused = False
        self.closed = False
        self.queued = False
        self.waiting = 0
        self._unsent: deque[bytes] = deque()
        self._held = 0  # bytes sent from here that the far end has not read
        self._full = False
        self._came = bytearray()
        self._size = self._least = size
        self._moved = (0, line.timeline.now)  # bytes that were read since when

    @property
    def room(self) -> int:
        """Bytes that it takes now. Where there is none, its owner hears when there is."""
        room = self._size - self._held
        self._full = room <= 0
        return max(room, 0)

    def send(self, data: bytes) -> None:
        """Send *data*, for which there is room."""
        if data and not self.closed:
            self._held += len(data)
            self.waiting += len(data)
            self._unsent.append(data)
            self.line.offer(self)

    def take(self, most: int) -> bytes:
        """The next bytes for the line, up to so many."""
        parts: list[bytes] = []
        left = most
        while left and self._unsent:
            first = self._unsent.popleft()
            if len(first) > left:
                self._unsent.appendleft(first[left:])
                first = first[:left]
            parts.append(first)
            left -= len(first)
        self.waiting -= most - left
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def arrived(self, data: bytes) -> None:
        """The line has brought something. Who sends to what is closed here is told so."""
        if self.closed:
            self.line.timeline.after(self.latency, self.far.lost)
            return
        self._came += data
        self._read()

    def resume(self) -> None:
        """Go on reading."""
        self.paused = False
        self._read()

    def close(self) -> None:
        """End it; what was not sent is lost, and the far end hears of it."""
        if not self.closed:
            self.cut()
            if not self.line.cut:
                self.line.timeline.after(self.latency, self.far.lost)

    def cut(self) -> None:
        """End it without a word."""
        self.closed = True
        self.waiting = 0
        self._unsent.clear()
        self._came.clear()

    def lost(self) -> None:
        """The far end said that it is gone."""
        if not self.closed and not self.line.cut:
            self.cut()
            self.owner.hung_up()

    def _read(self) -> None:
        while self._came and not self.paused and not self.closed:
            count = self.owner.readable(self._came)
            if self.closed:
                return
            del self._came[:count]
            self.far.was_read(count)
            if not count:
                return

    def was_read(self, count: int) -> None:
        """The far end has read so many bytes."""
        self._held -= count
        now = self.line.timeline.now
        moved, since = self._moved[0] + count, self._moved[1]
        if now - since > 4 * self.latency:  # as a kernel does it
            self._size = min(max(self._least, int((4 * self.latency + TUNED_FOR) * moved / (now - since))), MOST_SIZE)
            moved, since = 0, now
        self._moved = moved, since
        if self._full and 3 * self._held <= 2 * self._size:
            self._full = False
            self.line.timeline.after(self.latency, self._has_room)

    def _has_room(self) -> None:
        if not self.closed:
            self.owner.writable()


class Resident(Protocol):
    """Who can be reached at an address."""

    line: Line

    def greet(self, socket: Socket, address: Address, theirs: Handshake) -> Handshake | None:
        """Somebody from *address* has shaken hands; the answer, None to refuse."""


class Net:
    """Who lives where, and how one reaches the other.

    Args:
        timeline: When things happen.
        socket_size: Bytes that a connection holds each way; what Linux gives a slow one.
    """

    def __init__(self, timeline: Timeline, socket_size: int = 64 * 1024) -> None:
        self.timeline = timeline
        self.residents: dict[Address, Resident] = {}
        self._socket_size = socket_size
        self._ports = count(49152)

    def call(
        self,
        caller: Resident,
        host: str,
        to: Address,
        ours: Handshake,
        met: Callable[[Socket, Handshake], None],
        refused: Callable[[], None],
    ) -> None:
        """Connect and shake hands: two round trips. Who is cut off, or dials one who is, is heard when it is back.

        That is tried as TCP does: after one, three, seven and fifteen seconds.
        """
        callee = self.residents.get(to)
        if callee is None:
            return
        way = caller.line.latency + callee.line.latency
        near, far = (Socket(line, way, self._socket_size) for line in (caller.line, callee.line))
        near.far, far.far = far, near
        address = Address(host, 49152 + next(self._ports) % 16384)

        def knock(wait: float) -> None:
            if caller.line.cut or callee.line.cut:
                if wait < _LONGEST_WAIT:
                    self.timeline.after(wait, knock, 2 * wait)
                return
            answer = callee.greet(far, address, ours)
            if answer is None:
                self.timeline.after(way, refused)
            else:
                self.timeline.after(way, met, near, answer)

        self.timeline.after(3 * way, knock, 1.0)
