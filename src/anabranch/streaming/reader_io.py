"""A torrent's bytes as a file: reads wait for the data, and ask for them first.

Source: the Go engine's readers; passive ones come from a fork of it. A reader gives only verified bytes, unless it is
responsive. One reader is for one thread or task at a time; a torrent may have any number of them.

What is there is read in the caller's thread, straight from the storage, and no turn is taken for it, nor to open, seek
and close: only who has to wait takes one. So readers of complete files and the engine do not feel each other.
"""

from __future__ import annotations

import asyncio
import io
import os
import socket
from typing import TYPE_CHECKING

from anabranch.engine import Availability, Place, Runner, TorrentState, read_found, stop_waiting, wait_for

from .sending_io import send_directly, stays_open, wait_writable, writable
from .window import Readahead, contiguous, window_of

if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import WriteableBuffer

_AT_ONCE = 1024 * 1024  # bytes that one read of the disk brings
_SENT_AT_ONCE = 4 * 1024 * 1024  # bytes that the system sends by itself before the reader is seen to have moved


class Reader(io.RawIOBase):
    """Reads [offset, offset + length) of a torrent; made by reader() and passive_reader() of Torrent and File.

    While downloading is not allowed, or nobody has the data, a read waits; it ends when that changes, when the torrent
    is dropped or its disk fails.

    Args:
        core: The engine.
        torrent: Whose bytes.
        offset, length: The extent, in the torrent.
        passive: Never causes anything to be fetched: it waits for what others want. If nobody does it waits for ever.

    Attributes:
        responsive: Give blocks as soon as they arrive, before their piece is verified. May be set at any time.
    """

    def __init__(self, core: Runner, torrent: TorrentState, offset: int, length: int, *, passive: bool = False) -> None:
        super().__init__()
        self._place = None if passive else Place(core, torrent)  # None: the engine knows nothing of it
        self._core = core
        self._torrent = torrent
        self._offset = offset
        self._length = length
        self._position = 0
        self._start = 0  # where contiguous reading began
        self._reading = False
        self._readahead: Readahead = contiguous
        self.responsive = False

    def __repr__(self) -> str:
        kind = "passive " if self._place is None else ""
        where = "closed" if self.closed else f"at {self._position} of {self._length}"
        return f"<{kind}Reader of {self._torrent.metainfo.info.name} {where}>"

    async def __aenter__(self) -> Reader:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def readahead(self) -> Readahead:
        """Bytes to fetch ahead, or a function of (where contiguous reading began, position) that tells them."""
        return self._readahead

    @readahead.setter
    def readahead(self, ahead: Readahead) -> None:
        self._readahead = ahead
        self._announce(hurry=True)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position, from the start of the extent."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move. Nothing is fetched before the next read.

        Raises:
            ValueError: before the start, or no such *whence*.
        """
        self._check_open()
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}
        if whence not in bases or bases[whence] + offset < 0:
            raise ValueError(f"cannot seek to {offset} from {whence}")
        target = bases[whence] + offset
        if target != self._position:
            self._position = self._start = target
            self._reading = False
            self._announce()
        return target

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer's front with what is there; waits until at least one byte is, 0 at the end.

        Raises:
            Closed: the torrent was dropped, or the client closed.
            StorageFailed: the data cannot be read.
            Misused: called on the engine's own thread.
        """
        self._check_open()
        view = memoryview(buffer).cast("B")
        while view:
            found = self._find(len(view))
            if found.length:
                if read := self._fill(found, view[: found.length]):
                    self._advance(read)
                    return read
                continue
            if not self._wait(found):
                break
        return 0

    def readall(self) -> bytes:
        """Everything that is left. Raises as readinto()."""
        parts: list[bytes] = []
        while part := self.read(_AT_ONCE):
            parts.append(part)
        return b"".join(parts)

    async def aread(self, size: int = -1) -> bytes:
        """Read up to *size* bytes (all that is left for -1) without blocking the loop; b"" at the end.

        When it is cancelled or fails, nothing was read: the position is where it was.

        Raises:
            As readinto().
        """
        self._check_open()
        begin = self._position
        try:
            return await self._gathered(size)
        except BaseException:
            self._position = begin
            self._announce()
            raise

    def send_to(self, sock: socket.socket, size: int = -1) -> int:
        """Send the next *size* bytes (all that is left for -1) to a connected socket, waiting for both ends.

        Where the bytes lie in files the system sends them from there; else, or through TLS, they are read and sent.

        Args:
            sock: A stream socket. Its timeout counts whenever it takes nothing.
            size: Bytes.

        Returns:
            How many bytes were sent: fewer than *size* only at the end. After an error tell() says what was sent for
            sure.

        Raises:
            OSError: the socket broke, or (TimeoutError) took nothing for too long.
            ValueError: the socket does not block.
            As readinto().
        """
        self._check_open()
        if sock.gettimeout() == 0:
            raise ValueError("send_to() waits, which this socket does not: see asend_to()")
        begin = self._position
        end = self._end_of(size)
        while self._position < end:
            found = self._find(min(end - self._position, _SENT_AT_ONCE))
            if not found.length:
                if not self._wait(found):
                    break
                continue
            sent = send_directly(sock, self._torrent, found, self._offset + self._position)
            if sent == 0:
                wait_writable(sock)
            elif sent is None:
                room = memoryview(bytearray(min(found.length, _AT_ONCE)))
                sent = self._fill(found, room)
                sock.sendall(room[:sent])
            if sent:
                self._advance(sent)
        return self._position - begin

    async def asend_to(self, target: socket.socket | asyncio.StreamWriter, size: int = -1) -> int:
        """The same for a task: to a socket that does not block, or to a stream, TLS or not, which gets bytes read.

        When it is cancelled, more may have been sent than tell() says.

        Raises:
            ValueError: the socket blocks.
            As send_to().
        """
        self._check_open()
        if isinstance(target, socket.socket) and target.gettimeout() != 0:
            raise ValueError("asend_to() must not wait, which this socket does: see setblocking()")
        begin = self._position
        end = self._end_of(size)
        while self._position < end:
            found = self._find(min(end - self._position, _SENT_AT_ONCE))
            if not found.length:
                if not await self._await(found):
                    break
            elif sent := await self._asend(target, found):
                self._advance(sent)
        return self._position - begin

    async def _asend(self, target: socket.socket | asyncio.StreamWriter, found: Availability) -> int:
        """Send something of what was found; 0 where it is to be tried again."""
        if isinstance(target, socket.socket):
            place = self._offset + self._position
            sent = await asyncio.to_thread(stays_open(target, send_directly), self._torrent, found, place)
            if sent == 0:
                await writable(target)
            if sent is not None:
                return sent
        room = memoryview(bytearray(min(found.length, _AT_ONCE)))
        read = await asyncio.to_thread(self._fill, found, room)
        if isinstance(target, socket.socket):
            await asyncio.get_running_loop().sock_sendall(target, room[:read])
        else:
            target.write(room[:read])
            await target.drain()
        return read

    def close(self) -> None:
        """Want nothing any more. Takes no turn, and may be called wherever one is; closing twice does nothing."""
        if not self.closed:
            super().close()
            if self._place is not None:
                self._place.move(range(0), -1)

    def __del__(self) -> None:
        # A finaliser may come at any instant and never takes the turn: close() does not, either.
        self.close()

    async def _gathered(self, size: int) -> bytes:
        left = self._left()
        wanted = left if size < 0 else min(size, left)
        parts: list[bytes] = []
        while wanted:
            found = self._find(min(wanted, _AT_ONCE))
            if not found.length:
                if not await self._await(found):
                    break
                continue
            room = bytearray(found.length)
            read = await asyncio.to_thread(self._fill, found, memoryview(room))
            if not read:
                continue
            self._advance(read)
            parts.append(bytes(memoryview(room)[:read]))
            wanted -= read
            if size >= 0:
                break
        return b"".join(parts)

    def _end_of(self, size: int) -> int:
        """Where *size* bytes from the position end, in the extent; all that is left for -1."""
        left = self._left()
        return self._position + (left if size < 0 else min(size, left))

    def _left(self) -> int:
        return max(self._length - self._position, 0)

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("read of a closed reader")
        if self._core.forbidden():
            self._torrent.signals.closed.wait(0)  # raises Misused

    def _find(self, wanted: int) -> Availability:
        """What can be read now from the position on, or the signal to wait for."""
        if not self._reading:
            self._reading = True
            self._announce()  # if this read has to wait, its turn heeds that at once
        wanted = min(wanted, self._left())
        return wait_for(self._core, self._torrent, self._offset + self._position, wanted, self.responsive)

    def _fill(self, found: Availability, view: memoryview) -> int:
        """Read what was found; see read_found(). Changes nothing here: a cancelled task leaves this in its thread."""
        return read_found(self._core, self._torrent, found, self._offset + self._position, view)

    def _wait(self, found: Availability) -> bool:
        """Wait for what is not here yet. False at the end, where nothing will come."""
        if found.signal is None:
            return False
        try:
            found.signal.wait()
        finally:
            stop_waiting(self._core, self._torrent, found)
        return True

    async def _await(self, found: Availability) -> bool:
        """The same for a task."""
        if found.signal is None:
            return False
        try:
            await found.signal
        finally:
            stop_waiting(self._core, self._torrent, found)
        return True

    def _advance(self, length: int) -> None:
        self._position += length
        self._announce(hurry=True)

    def _announce(self, *, hurry: bool = False) -> None:
        """Tell the engine where the reader is; *hurry* where no turn of this reader's own will come soon."""
        if self._place is None or self.closed:
            return
        window, current = window_of(
            self._torrent.pieces.geometry,
            self._readahead,
            self._offset + self._start,
            self._offset + self._position,
            self._offset + self._length,
            self._reading,
        )
        self._place.move(window, current)
        if hurry:
            self._place.hurry()
