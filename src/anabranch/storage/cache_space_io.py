"""The space of a disk cache: the bytes of its torrents in one directory, and how those go that must.

Of each torrent there is one sparse file, `INFO HASH.cache`. A piece begins at a multiple of what the file system frees
at a time, so that its space can be given back without touching its neighbours; where the piece length is such a
multiple, as almost always, every byte lies at its offset in the torrent. Which pieces are complete is in `cache.db`.

A piece goes in this order: nobody reads it any more, its record is gone for good, its bytes are, and who had it is
told. So a record is never without its bytes. Everything is locked against other processes while any torrent is open,
and looked at anew by the next who opens one.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain

from bitarray import bitarray

from anabranch.model import Closed, Geometry, InfoHash, InputRefused, StorageFailed

from .cache_index_io import CacheIndex
from .folder_io import Folder
from .handles_io import Handle, Handles
from .holes_io import block_size, punch
from .ledger import Leaving, Ledger, Shelf, stride_of
from .locks_io import Lock, holder, try_lock
from .positional_io import data_runs

log = logging.getLogger(__name__)

_FILE = re.compile(r"([0-9a-f]{40})\.cache")
_INDEX = "cache.db"
_LOCKS, _LOCK = "cache.locks", b"cache"
_TRIES, _PATIENCE = 4, 1.0  # how often, and seconds each time, room is waited for that a record will make
_SAVE_EVERY = 30.0  # seconds between saves of what was used last, where nothing else is saved


class CacheSpace:
    """The space: a Capacity, the same one for all torrents in the directory. Safe from any thread."""

    def __init__(self, directory: str | os.PathLike[str], limit: int, handles: Handles) -> None:
        self.folder = Folder(directory)
        self.ledger = Ledger(limit)
        self._handles = handles
        self._saved_at = 0.0
        self._opened: tuple[CacheIndex, Lock, int] | None = None  # the index, the lock, what the file system frees
        self._untold: deque[tuple[Shelf, list[int]]] = deque()  # what was given up
        self._recording = 0  # groups that are being recorded
        self._lock = threading.Lock()  # over the ledger; held for no disk
        self._recorded = threading.Condition(self._lock)  # a group was, or failed
        self._giving = threading.Lock()  # held while pieces go; taken before the other
        self._gate = threading.Lock()  # held while torrents come and go, and the limit changes; taken before both

    def capacity(self) -> int:
        """See Capacity: how much may be wanted at a time, in bytes of pieces."""
        self._save_uses()
        with self._lock:
            return self.ledger.room() if self.ledger.opened() else self.ledger.limit

    def resize(self, limit: int) -> None:
        """Change the limit. What does not fit any more is given up. Raises StorageFailed, InputRefused."""
        with self._gate:
            for shelf in self.ledger.opened():
                _check_length(shelf.stride, shelf.row.piece_length, limit)
            self.ledger.limit = limit
            if self._opened is not None:
                self._make_room(0)

    def enter(self, geometry: Geometry, info_hash: InfoHash) -> Shelf:
        """Open what there is of a torrent.

        Raises:
            StorageFailed: another process uses the directory, or the system refused.
            InputRefused: the torrent's pieces are too long.
        """
        with self._gate:
            index, _, block = self._opened or self._open()
            try:
                shelf = self._shelf_of(geometry, info_hash, index, block)
                try:
                    self._make_room(0)
                except BaseException:
                    with self._lock:
                        self.ledger.leave(shelf)
                    raise
            finally:
                self._close_unused()
            return shelf

    def leave(self, shelf: Shelf) -> None:
        """Close it: what is wrong of it goes at once, the rest may go now. Again is harmless. Raises StorageFailed."""
        with self._gate:
            if not shelf.open:
                return
            try:
                with self._giving:
                    with self._lock:
                        self.ledger.leave(shelf)
                        wrong = self.ledger.dismiss_all(shelf, shelf.denied)
                    self._give_up(wrong)
                    self._remove_empty(shelf)
                self._save_uses(now=True)
            finally:
                self._handles.drop_all(shelf)
                self._close_unused()

    def clear(self, shelf: Shelf) -> None:
        """Give up all of a torrent, whoever has it. Raises StorageFailed."""
        with self._giving:
            with self._lock:
                self.check_open(shelf)
                leaving = self.ledger.dismiss_all(shelf, shelf.kept)
            self._give_up(leaving)
        self._tell()

    def hold(self, shelf: Shelf, piece: int) -> None:
        """Somebody is about to write to the piece: make room for it, and keep it from here on. Raises StorageFailed."""

        def take() -> None:
            self.check_open(shelf)
            self.ledger.keep(shelf, piece)

        with self._lock:
            if shelf.kept[piece]:
                take()
                return
        self._make_room(shelf.stride, take)

    def record(self, shelf: Shelf, complete: list[int], incomplete: list[int], sync: Callable[[], None]) -> None:
        """Have the complete pieces' bytes made durable, then record all. What is not kept is not complete, and told so.

        Raises:
            StorageFailed: nothing was recorded.
        """
        index, number = self.index(), shelf.row.number
        with self._lock:
            self.check_open(shelf)
            self._recording += 1
            there = self.ledger.take(shelf, complete)
            done = [piece for piece in there if shelf.complete[piece]]  # recorded before
        try:
            if complete:
                sync()
            if incomplete:
                index.forget((number, piece) for piece in incomplete)
                with self._lock:  # not before, or else somebody writes to a piece of which there is a record
                    for piece in incomplete:
                        self.ledger.deny(shelf, piece)
            if there:
                with self._lock:
                    used = self.ledger.uses()
                self._saved_at = time.monotonic()
                index.record([(number, piece) for piece in there], used)
            done = there
        finally:
            with self._lock:
                for piece in done:
                    self.ledger.settle(shelf, piece)
                self._recording -= 1
                self._recorded.notify_all()
        if len(there) < len(complete):
            self._untold.append((shelf, sorted(set(complete) - set(there))))
            self._tell()

    def index(self) -> CacheIndex:
        """The index, while any torrent is open."""
        if self._opened is None:
            raise Closed(f"the cache in {self.folder.root} is closed")
        return self._opened[0]

    @contextmanager
    def reading(self, shelf: Shelf, pieces: range) -> Iterator[None]:
        """Keep pieces from going while they are read. Raises StorageFailed if one is not there."""
        with self._lock:
            self._check_there(shelf, pieces)
            ledger = self.ledger
            ledger.begin_reading(shelf, pieces)
        try:
            yield
            self._check_there(shelf, pieces)  # nobody waits for readers of what is closed or removed
        finally:
            with self._lock:
                ledger.end_reading(shelf, pieces)

    @contextmanager
    def reading_at_once(self, shelf: Shelf, pieces: range) -> Iterator[bool]:
        """The same without waiting for anybody; False where that cannot be."""
        ledger, there = self.ledger, self._lock.acquire(blocking=False)
        if there:
            try:
                there = shelf.open and shelf.kept.find(0, pieces.start, pieces.stop) < 0
                if there:
                    ledger.begin_reading(shelf, pieces)
            finally:
                self._lock.release()
        try:
            yield there
        finally:
            if there:
                with self._lock:
                    ledger.end_reading(shelf, pieces)

    def borrow(self, shelf: Shelf, writable: bool = False) -> Handle:
        """The torrent's file. Raises StorageFailed; where somebody has removed it, all its pieces are gone."""
        try:
            return self._borrow(shelf, writable)
        finally:
            self._tell()

    def borrow_at_once(self, shelf: Shelf) -> Handle | None:
        """The same, if it is open already."""
        return self._handles.borrow_cached((shelf, 0))

    def check_open(self, shelf: Shelf) -> None:
        """Raise Closed if the torrent is closed."""
        if not shelf.open:
            raise Closed(f"the cache of {shelf.row.info_hash} in {self.folder.root} is closed")

    def _check_there(self, shelf: Shelf, pieces: range) -> None:
        self.check_open(shelf)
        missing = shelf.kept.find(0, pieces.start, pieces.stop)
        if missing >= 0:
            raise StorageFailed(self.folder.shown(shelf.path), f"piece {missing} is not in the cache")

    def _make_room(self, more: int, take: Callable[[], None] = lambda: None) -> None:
        """Give up what must go for *more* bytes to fit, then *take* them, under the lock.

        While something is being recorded, what may go next is waited for. What is in somebody's hands all the same may
        go beyond the limit: how much of that there is, the client limits.

        Raises:
            StorageFailed: what had to go cannot be recorded as gone, or freed.
        """
        wanted = self._ask() if not self._fits(more) else None
        try:
            while not self._made(more, wanted, take):
                wanted = self._ask()  # another thread has taken the room
        finally:
            self._tell()

    def _made(self, more: int, wanted: Mapping[InfoHash, bitarray] | None, take: Callable[[], None]) -> bool:
        """The same; without an answer to what is wanted only where nothing must go."""
        with self._giving:
            if wanted is None and not self._fits(more):
                return False
            for _ in range(_TRIES):
                with self._lock:
                    leaving = self.ledger.dismiss(more, wanted or {})
                self._give_up(leaving)
                with self._lock:
                    if self._fits(more) or not self._recording or not self._recorded.wait(_PATIENCE):
                        break
            with self._lock:
                take()
        return True

    def _fits(self, more: int) -> bool:
        return self.ledger.used + more <= self.ledger.limit

    def _ask(self) -> Mapping[InfoHash, bitarray]:
        """What the clients of all open torrents want; one torrent answers for all of a client."""
        with self._lock:
            shelves = self.ledger.opened()
        wanted: dict[InfoHash, bitarray] = {}
        for shelf in shelves:
            if shelf.row.info_hash not in wanted:
                wanted.update(shelf.wanted())
        return wanted

    def _give_up(self, leaving: list[Leaving]) -> None:
        """Let pieces go that are not kept any more. Only one thread does so at a time."""
        if not leaving:
            return
        try:
            self.index().forget((one.shelf.row.number, piece) for one in leaving for piece in one.complete)
        except StorageFailed:
            with self._lock:
                for one in leaving:
                    self.ledger.stays(one)
            raise
        self._untold += [(one.shelf, one.complete) for one in leaving if one.complete]
        failed: list[StorageFailed] = []
        for shelf, pieces, _ in leaving:
            try:
                self._free(shelf, pieces)
                self._remove_empty(shelf)
            except StorageFailed as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def _free(self, shelf: Shelf, pieces: list[int]) -> None:
        """Give the pieces' bytes back, neighbours together. What cannot be freed is tried again later."""
        freed = 0
        try:
            with self._borrow(shelf, writable=True) as handle:
                for run in _runs(pieces):
                    punch(handle.fd, run.start * shelf.stride, len(run) * shelf.stride)
                    freed += len(run)
        except OSError as error:
            raise StorageFailed.from_os(error, self.folder.shown(shelf.path)) from error
        finally:
            with self._lock:
                for piece in pieces[:freed]:
                    self.ledger.gone(shelf, piece)
                for piece in pieces[freed:] if shelf.made else ():
                    shelf.kept[piece] = True
                    self.ledger.deny(shelf, piece)

    def _tell(self) -> None:
        """Tell who had it what was given up. With no lock held."""
        while self._untold:
            try:
                shelf, pieces = self._untold.popleft()
            except IndexError:  # another thread was faster
                return
            shelf.tell(pieces)

    def _save_uses(self, *, now: bool = False) -> None:
        if self._opened is not None and (now or time.monotonic() > self._saved_at + _SAVE_EVERY):
            with self._lock:
                used = self.ledger.uses()
            self._saved_at = time.monotonic()
            if used:
                self.index().record((), used)

    def _shelf_of(self, geometry: Geometry, info_hash: InfoHash, index: CacheIndex, block: int) -> Shelf:
        _check_length(stride_of(geometry.piece_length, block), geometry.piece_length, self.ledger.limit)
        measures = geometry.piece_length, geometry.total
        shelf = next((one for one in self.ledger.shelves.values() if one.row.info_hash == info_hash), None)
        if shelf is not None and shelf.open:
            raise StorageFailed(self.folder.shown(shelf.path), "is open already", errno.EBUSY)
        if shelf is not None and (shelf.row.piece_length, shelf.row.total) != measures:  # somebody has told other ones
            self._remove(shelf)
            shelf = None
        if shelf is None:
            shelf = Shelf(index.enter(info_hash, *measures), block)
        with self._lock:
            self.ledger.shelves[shelf.row.number] = shelf
            self.ledger.enter(shelf)
        return shelf

    def _open(self) -> tuple[CacheIndex, Lock, int]:
        root = self.folder.root
        try:
            os.makedirs(root, exist_ok=True)
        except OSError as error:
            raise StorageFailed.from_os(error, root) from error
        locks = os.path.join(os.path.realpath(root), _LOCKS)
        lock = try_lock(locks, _LOCK)
        if lock is None:
            process = holder(locks, _LOCK)
            whom = f"process {process}" if process not in (0, os.getpid()) else "somebody else"
            raise StorageFailed(root, f"the cache is in use by {whom}", errno.EBUSY)
        try:
            block = block_size(self.folder)
            self._opened = CacheIndex(os.path.join(root, _INDEX), block), lock, block
            self._survey(*self._opened)
        except BaseException:
            self._close()
            lock.release()
            raise
        return self._opened

    def _close_unused(self) -> None:
        if not self.ledger.opened():
            self._close()

    def _close(self) -> None:
        if self._opened is None:
            return
        index, lock, _ = self._opened
        with self._giving:
            for shelf in self.ledger.shelves.values():
                self._handles.drop_all(shelf)
            with self._lock:
                self._opened = None
                self.ledger = Ledger(self.ledger.limit)
            index.close()
        lock.release()

    def _survey(self, index: CacheIndex, _: Lock, block: int) -> None:
        """Look what is there. Files that the index does not know go, and so do records without bytes."""
        rows = index.torrents()
        known = {f"{row.info_hash}.cache" for row in rows}
        try:
            for name in os.listdir(self.folder.root):
                if _FILE.fullmatch(name) and name not in known:
                    self.folder.remove((name,))
        except OSError as error:
            raise StorageFailed.from_os(error, self.folder.root) from error
        shelves = self.ledger.shelves
        for row in rows:
            shelves[row.number] = shelf = Shelf(row, block)
            [size] = self.folder.sizes((), shelf.path)
            shelf.made = size is not None
            shelf.dirty = True  # a run that was killed may have synced nothing
            for run in self._lying(shelf) if shelf.made else ():
                shelf.kept[run.start : run.stop] = True
            shelf.left = shelf.kept.copy()
        believed, lost = [], []
        for number, piece in index.pieces():
            one = shelves.get(number)
            if one is not None and piece < len(one.kept) and one.kept[piece]:
                one.complete[piece], one.left[piece] = True, False
                believed.append((number, piece))
            else:
                lost.append((number, piece))
        if lost:
            log.warning("recorded pieces are gone directory=%s count=%s", self.folder.root, len(lost))
            index.forget(lost)
        left = ((number, piece) for number, shelf in shelves.items() for piece in shelf.left.search(1))
        for number, piece in chain(left, believed):
            self.ledger.load(shelves[number], piece)
        for shelf in list(shelves.values()):
            self._remove_empty(shelf)

    def _lying(self, shelf: Shelf) -> Iterator[range]:
        """Runs of pieces of which the file has bytes."""
        with self._borrow(shelf) as handle:
            try:
                for place, length in data_runs(handle, 0, len(shelf.kept) * shelf.stride):
                    yield range(place // shelf.stride, (place + length - 1) // shelf.stride + 1)
            except OSError as error:
                raise StorageFailed.from_os(error, self.folder.shown(shelf.path)) from error

    def _remove_empty(self, shelf: Shelf) -> None:
        if not shelf.open and not shelf.kept.any():
            self._remove(shelf)

    def _remove(self, shelf: Shelf) -> None:
        self.index().leave(shelf.row.number)
        self._handles.drop_all(shelf)
        self.folder.remove(shelf.path)
        with self._lock:
            self.ledger.all_gone(shelf)
            self.ledger.shelves.pop(shelf.row.number, None)

    def _borrow(self, shelf: Shelf, writable: bool = False) -> Handle:
        key = (shelf, 0)
        handle = self._handles.borrow_cached(key, writable)
        if handle is not None:
            if os.fstat(handle.fd).st_nlink:
                return handle
            self._handles.drop(key)
            handle.__exit__(None, None, None)
        return self._handles.borrow(key, writable, lambda writable: self._open_file(shelf, writable))

    def _open_file(self, shelf: Shelf, writable: bool) -> int:
        flags = os.O_RDWR if writable else os.O_RDONLY
        if writable and not shelf.made:
            flags |= os.O_CREAT
        try:
            fd = self.folder.open(shelf.path, flags)
        except StorageFailed as failed:
            if failed.errno == errno.ENOENT and shelf.made:
                self.index().forget((shelf.row.number, piece) for piece in shelf.complete.search(1))
                with self._lock:
                    gone = self.ledger.all_gone(shelf)
                self._untold.append((shelf, gone))
            raise
        shelf.made = True
        return fd


def _check_length(stride: int, piece_length: int, limit: int) -> None:
    if stride > limit:
        raise InputRefused(f"a cache of {limit} bytes has no room for a piece of {piece_length}")


def _runs(pieces: list[int]) -> Iterator[range]:
    """Ascending numbers as runs of neighbours."""
    start = 0
    for at in range(1, len(pieces) + 1):
        if at == len(pieces) or pieces[at] != pieces[at - 1] + 1:
            yield range(pieces[start], pieces[at - 1] + 1)
            start = at
