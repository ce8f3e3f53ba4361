"""What is to be sent: messages and blocks, first in, first out, shown as a list of buffers for one system call.

Blocks are slices of memory that the owner lends until their last byte is sent. They are not copied, not even to be
encrypted: that happens where they lie, and who wants to keep them lends memory that cannot be written to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice

from .ranges import block_headers
from .transform import ByteTransform


class Outbox:
    """Bytes on their way out.

    Attributes:
        pending: Bytes that are queued.
        pending_payload: Those of them that are blocks, without headers.
        told: Bytes that tell of our pieces, put since nothing was queued last.
    """

    __slots__ = ("_clear", "_done", "_ready", "_sent", "_transform", "pending", "pending_payload", "told")

    def __init__(self, transform: ByteTransform | None) -> None:
        # A block's bytes are a memoryview, all else is bytes: that is how payload is told apart.
        self._ready: deque[bytes | memoryview] = deque()
        self._clear = self._ready if transform is None else deque[bytes | memoryview]()  # not encrypted yet
        self._transform = transform
        self._done: deque[tuple[int, Callable[[], None]]] = deque()  # due when so many bytes were sent in all
        self._sent = 0
        self.pending = 0
        self.pending_payload = 0
        self.told = 0

    def put(self, message: bytes, *, tells: bool = False) -> None:
        """Queue messages, joined or not; *tells*: of our pieces."""
        self._clear.append(message)
        self.pending += len(message)
        if tells:
            self.told += len(message)

    def put_blocks(
        self, piece: int, begin: int, data: memoryview, block: int, done: Callable[[], None] | None = None
    ) -> None:
        """Queue the blocks of *data*, which lies at *begin* in the piece; *done* is called when the memory is free.

        Encryption changes *data*, unless it is read-only; without it no byte of *data* is looked at here.
        """
        length = len(data)
        if block < 1 or not length:
            raise ValueError(f"{length} bytes in blocks of {block} cannot be sent")
        headers = block_headers(piece, begin, length, block)
        pairs: list[bytes | memoryview] = [b""] * (2 * len(headers))
        pairs[::2] = headers
        pairs[1::2] = [data[at : at + block] for at in range(0, length, block)]
        self._clear += pairs
        self.pending += length + sum(map(len, headers))
        self.pending_payload += length
        if done is not None:
            self._done.append((self._sent + self.pending, done))

    def show(self, limit: int, max_buffers: int) -> list[bytes | memoryview]:
        """What goes next, at most *limit* bytes; it stays queued until sent() is told."""
        if limit <= 0:
            return []
        if self._transform is not None:
            self._encrypt(self._transform, limit, max_buffers)
        if self.pending <= limit and len(self._ready) <= max_buffers:
            return list(self._ready)
        shown = list(islice(self._ready, max_buffers))
        room = limit
        for index, buffer in enumerate(shown):
            room -= len(buffer)
            if room <= 0:
                del shown[index + 1 :]
                if room:
                    shown[index] = buffer[:room]
                break
        return shown

    def sent(self, count: int) -> int:
        """The first *count* bytes are gone. Returns how many of them were payload; calls what is done."""
        self._sent += count
        self.pending -= count
        payload = 0
        ready = self._ready
        if not self.pending:  # mostly the system takes all there is
            payload, count = self.pending_payload, 0
            ready.clear()
        while count:
            buffer = ready.popleft()
            size = len(buffer)
            if size > count:
                ready.appendleft(buffer[count:])
                size = count
            if type(buffer) is memoryview:
                payload += size
            count -= size
        self.pending_payload -= payload
        if not self.pending:
            self.told = 0
        while self._done and self._done[0][0] <= self._sent:
            self._done.popleft()[1]()
        return payload

    def discard(self) -> None:
        """Send nothing of it; lent memory goes back to its owner."""
        self._ready.clear()
        self._clear.clear()
        self.pending = self.pending_payload = self.told = 0
        while self._done:
            self._done.popleft()[1]()

    def _encrypt(self, transform: ByteTransform, limit: int, max_buffers: int) -> None:
        """Make ready as much as may be shown. A byte is encrypted once, in order, also if it is shown several times."""
        ready = self._ready
        size = sum(map(len, ready))
        while self._clear and size < limit and len(ready) < max_buffers:
            buffer = self._clear.popleft()
            if isinstance(buffer, bytes):
                buffer = transform.outgoing(buffer)
            else:
                if buffer.readonly:
                    buffer = memoryview(bytearray(buffer))
                transform.outgoing_block(buffer)
            ready.append(buffer)
            size += len(buffer)
