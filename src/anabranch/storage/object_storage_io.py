"""The object store back end: a torrent's pieces as objects, one each, in S3 or what is like it.

An object is put when its piece has passed its hash, whole and in one step: so an object of the right length is the
record that the piece is complete, and there is no other. It is deleted before a byte of its piece is overwritten. Until
it is put a piece is a file in a local staging directory, and for reading it is copied there: a read of 16 KiB must not
be a request each. A kill between any two steps leaves an object that is right, or a file that is hashed at the start.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from bitarray import bitarray

from anabranch.model import Closed, InfoHash, StorageFailed, no_pieces

from .backend import Buffer, Completion, Layout, Room
from .handles_io import Handle, Handles
from .layout import check_range
from .object_staging_io import LocalPieces, Staging
from .objects_io import PART_SIZE, Objects
from .piece import PieceHandle
from .positional_io import read_at, write_at

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

CACHE_SIZE = 64 * 1024 * 1024  # bytes
STAGING_SIZE = 1024 * 1024 * 1024  # bytes
_READ_SIZE = 1024 * 1024  # bytes read at a time from a file
_AT_ONCE = 1000  # objects deleted with one request


class ObjectStorage:
    """A ClientStorage of objects.

    Args:
        store: An obstore store, or a URL: see Objects.
        staging: Local directory for pieces that are written or read; no other storage may use it.
        prefix: Put before every key, which is INFO_HASH/PIECE, the number with eight digits.
        cache_size: Bytes of copies of objects that are kept for reading; a single piece may be longer.
        staging_size: Bytes of written pieces from which on a writer waits for the uploads that are under way.
        uploads: Objects put at a time for a group of pieces; each takes up to 16 MiB of memory.
        handles: The open files, to be shared by all storages of a client.

    Raises:
        InputRefused: the URL cannot be used, or the package obstore is not installed.
    """

    def __init__(
        self,
        store: ObjectStore | str,
        staging: str | os.PathLike[str],
        *,
        prefix: str = "",
        cache_size: int = CACHE_SIZE,
        staging_size: int = STAGING_SIZE,
        uploads: int = 4,
        handles: Handles | None = None,
    ) -> None:
        self._objects = Objects(store)
        self._staging = Staging(staging, cache_size, staging_size, Handles() if handles is None else handles)
        self._prefix = f"{prefix.strip('/')}/".lstrip("/")
        self._uploads = uploads

    def open(self, info: Layout, info_hash: InfoHash) -> ObjectTorrent:
        """See ClientStorage. Lists the torrent's objects: a request for each thousand."""
        local = LocalPieces(self._staging, info_hash, info.geometry)
        prefix = f"{self._prefix}{info_hash}/"
        return ObjectTorrent(info, self._objects, prefix, self._staging, local, self._uploads)


class ObjectTorrent:
    """One torrent's objects: ReadsWarm, ReadsAcross, Groups, Bulk, Sparse, Surveys, Streams and Removes."""

    def __init__(
        self, info: Layout, objects: Objects, prefix: str, staging: Staging, local: LocalPieces, uploads: int
    ) -> None:
        self._geometry = info.geometry
        self._objects = objects
        self._prefix = prefix
        self._staging = staging
        self._local = local
        self._uploads = uploads
        self._lock = threading.Condition()  # over what follows; taken before that of the staging directory
        self._busy: set[int] = set()  # pieces that somebody changes
        self._fetching: dict[int, Future[None]] = {}
        self._deleted = 0  # how often objects were
        self._there = no_pieces(self._geometry.piece_count)  # pieces of which there may be an object, right or not
        self._known = no_pieces(self._geometry.piece_count)
        self._complete = no_pieces(self._geometry.piece_count)
        self._closed = False
        self._survey()

    @property
    def capacity(self) -> object | None:
        """No limit."""
        return None

    def piece(self, index: int) -> PieceHandle:
        """See TorrentStorage."""
        return PieceHandle(self, self._geometry.piece(index))

    def readinto(self, piece: int, begin: int, buffer: Room) -> None:
        """See PieceStorage. The piece is copied here first if it is not."""
        view = memoryview(buffer).cast("B")
        check_range(begin, len(view), self._geometry.length_of(piece))
        with self._borrow(piece) as handle:
            self._read(handle, piece, begin, view)

    def read_across(self, offset: int, buffer: Room) -> None:
        """See ReadsAcross."""
        view = memoryview(buffer).cast("B")
        check_range(offset, len(view), self._geometry.total)
        for piece, begin, run in self._runs(offset, view):
            if not run:
                raise ValueError(f"piece {piece} has no byte {begin}")
            self.readinto(piece, begin, run)

    def read_warm(self, offset: int, buffer: Room) -> int:
        """See ReadsWarm: what is open here, and in memory."""
        view = memoryview(buffer).cast("B")
        check_range(offset, len(view), self._geometry.total)
        got = 0
        for piece, begin, run in self._runs(offset, view):
            handle = self._local.borrow_warm(piece)
            if handle is None:
                break
            with handle:
                more = self._staging.warm.read(handle, run, begin)
            got += more
            if more < len(run) or not run:
                break
        return got

    def stream(self, piece: int) -> Iterator[Buffer]:
        """See Streams. Nothing is kept of what comes from the store."""
        piece = self._geometry.piece(piece)
        self._check_open()
        handle = self._local.borrow(piece)
        if handle is not None:
            return self._stream(handle, piece)
        if not self._there[piece]:
            raise self._short(piece, 0, self._geometry.length_of(piece))
        return self._objects.stream(self._key(piece), self._geometry.length_of(piece))

    def writev(self, piece: int, begin: int, buffers: Sequence[Buffer]) -> None:
        """See PieceStorage. First the object is deleted, if there may be one."""
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        size, length = sum(map(len, views)), self._geometry.length_of(piece)
        check_range(begin, size, length)
        self._check_open()
        if not self._local.is_written(piece):
            self._staging.wait_for_room(self._check_open)
        with self._alone([piece]):
            self._check_open()
            if self._complete[piece] and size < length:
                while not self._local.write_copy(piece):  # the other bytes stay
                    self._borrow(piece).__exit__(None, None, None)
            self._delete([piece])
            self._known[piece] = False
            with self._local.borrow_to_write(piece) as handle:
                try:
                    write_at(handle, views, begin)
                except OSError as error:
                    raise StorageFailed.from_os(error, self._local.shown(piece)) from error

    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        """See Groups. After an error some objects may be there: of pieces that passed their hash, so they are right.

        Raises:
            StorageFailed: also for a piece of which there is nothing here, nor in the store.
        """
        complete = sorted({self._geometry.piece(piece) for piece in complete})
        incomplete = sorted({self._geometry.piece(piece) for piece in incomplete})
        self._check_open()
        due = [piece for piece in complete if not self._complete[piece]]
        absent = [piece for piece in due if not self._local.has(piece)]
        if absent:
            length = self._geometry.length_of(absent[0])
            raise self._short(absent[0], 0, length)
        with self._staging.uploading():
            in_parallel(self._put, due, self._uploads)
        self._forget(incomplete)

    def completion(self, piece: int) -> Completion:
        """See PieceStorage. The store is asked whether it still has the object. Raises StorageFailed."""
        with self._alone([piece]):
            self._check_open()
            if self._complete[piece]:
                size = self._objects.size(self._key(piece))
                self._there[piece] = size is not None
                self._complete[piece] = size == self._geometry.length_of(piece)
            if not self._known[piece]:
                return Completion.UNKNOWN
            return Completion.COMPLETE if self._complete[piece] else Completion.INCOMPLETE

    def completions(self) -> tuple[bitarray, bitarray]:
        """See Bulk: as the objects were listed, and what came since."""
        with self._lock:
            self._check_open()
            return self._known.copy(), self._complete.copy()

    def present(self, piece: int) -> bool:
        """See Sparse."""
        return bool(self._there[self._geometry.piece(piece)]) or self._local.has(piece)

    def presence(self) -> bitarray:
        """See Surveys."""
        self._check_open()
        present = self._there.copy()
        for piece in self._local.pieces():
            present[piece] = True
        return present

    def remove(self) -> None:
        """See Removes: the objects, and what is here. Objects of other names stay."""
        self._check_open()
        self._forget(self._there.search(1))
        self._local.remove_all()
        self._known.setall(True)

    def flush(self) -> None:
        """See TorrentStorage: what is here and no object is durable here, then."""
        self._check_open()
        self._local.sync_all()

    def close(self) -> None:
        """See TorrentStorage. Pieces whose objects are not put stay in the staging directory."""
        self._closed = True
        self._local.close()

    def _survey(self) -> None:
        """Look which objects there are, and what a run before has left here."""
        self._known.setall(True)
        for key, size in self._objects.listed(self._prefix):
            name = key.removeprefix(self._prefix)
            if len(name) == 8 and name.isascii() and name.isdigit() and int(name) < self._geometry.piece_count:
                self._there[int(name)] = True
                self._complete[int(name)] = size == self._geometry.length_of(int(name))
        left = self._local.survey()
        for piece in left:
            if self._complete[piece]:
                self._local.remove(piece)  # put, or a copy: the object is the record
            else:
                self._known[piece] = False
        self._local.take(piece for piece in left if not self._complete[piece])

    def _put(self, piece: int) -> None:
        with self._alone([piece]):
            handle = self._local.borrow(piece)
            length = self._geometry.length_of(piece)
            if handle is None:
                raise self._short(piece, 0, length)
            with handle:
                if (size := os.fstat(handle.fd).st_size) < length:
                    raise self._short(piece, size, length - size, self._local.shown(piece))
                self._local.sync(piece, handle)
                self._there[piece] = True  # before: nobody knows what becomes of a request that fails
                self._objects.put(self._key(piece), self._stream(handle, piece, PART_SIZE, lent=True), length)
            self._known[piece] = self._complete[piece] = True
            self._local.settle(piece)

    def _forget(self, pieces: Iterable[int]) -> None:
        """Delete objects, many with one request; their pieces are known to be incomplete then."""
        left = iter(pieces)
        while group := list(islice(left, _AT_ONCE)):
            with self._alone(group):
                self._delete(group)
                for piece in group:
                    self._known[piece] = True

    def _delete(self, pieces: Sequence[int]) -> None:
        """Delete objects, if there may be any; the pieces are not complete then. Their callers are alone with them."""
        doomed = [piece for piece in pieces if self._there[piece]]
        with self._lock:
            for piece in doomed:
                self._complete[piece] = False  # before: nobody knows what becomes of a request that fails
            self._deleted += bool(doomed)
        self._objects.delete([self._key(piece) for piece in doomed])
        for piece in doomed:
            self._there[piece] = False

    def _borrow(self, piece: int) -> Handle:
        """The piece's file, fetched if it is not here."""
        while True:
            self._check_open()
            handle = self._local.borrow(piece)
            if handle is None and not self._there[piece]:
                raise self._short(piece, 0, self._geometry.length_of(piece))
            handle = handle or self._fetch(piece)
            if handle is not None:
                return handle

    def _fetch(self, piece: int) -> Handle | None:
        """Have the piece copied here, once for all who want it. None: look again."""
        with self._lock:
            coming = self._fetching.get(piece)
            if coming is None:
                mine = self._fetching[piece] = Future()
            deleted = self._deleted
        if coming is not None:
            coming.result()
            return None
        try:
            self._local.receive(piece, self._objects.stream(self._key(piece), self._geometry.length_of(piece)))
            with self._lock:
                handle = self._local.publish(piece) if deleted == self._deleted else None
            if handle is None:
                self._local.discard(piece)  # this or another piece was overwritten meanwhile
        except BaseException as error:
            self._local.discard(piece)
            with self._lock:
                del self._fetching[piece]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._fetching[piece]
        mine.set_result(None)
        return handle

    def _read(self, handle: Handle, piece: int, begin: int, view: memoryview) -> None:
        try:
            got = read_at(handle, view, begin)
        except OSError as error:
            raise StorageFailed.from_os(error, self._local.shown(piece)) from error
        if got < len(view):
            raise self._short(piece, begin + got, len(view) - got, self._local.shown(piece))

    def _stream(self, handle: Handle, piece: int, size: int = _READ_SIZE, *, lent: bool = False) -> Iterator[Buffer]:
        """A piece's bytes from its file, *size* at a time, each in a buffer of its own; ends the loan unless *lent*."""
        length = self._geometry.length_of(piece)
        try:
            for begin in range(0, length, size):
                view = memoryview(bytearray(min(size, length - begin)))
                self._read(handle, piece, begin, view)
                yield view
        finally:
            if not lent:
                handle.__exit__(None, None, None)

    def _runs(self, offset: int, view: memoryview) -> Iterator[tuple[int, int, memoryview]]:
        """What of the view belongs to which piece, and where in it; nothing of a gap, and no more after it."""
        while len(view):
            piece, begin = divmod(offset, self._geometry.piece_length)
            run = view[: max(0, self._geometry.length_of(piece) - begin)]
            yield piece, begin, run
            if not run:
                return
            offset += len(run)
            view = view[len(run) :]

    def _short(self, piece: int, begin: int, length: int, path: str = "") -> StorageFailed:
        offset = self._geometry.offset_of(piece) + begin
        return StorageFailed(path or self._objects.shown(self._key(piece)), f"{length} bytes short at offset {offset}")

    @contextmanager
    def _alone(self, pieces: Sequence[int]) -> Iterator[None]:
        """Change pieces while nobody else does."""
        with self._lock:
            while not self._busy.isdisjoint(pieces):
                self._lock.wait()
            self._busy.update(pieces)
        try:
            yield
        finally:
            with self._lock:
                self._busy.difference_update(pieces)
                self._lock.notify_all()

    def _key(self, piece: int) -> str:
        return f"{self._prefix}{piece:08}"

    def _check_open(self) -> None:
        if self._closed:
            raise Closed(f"the storage {self._objects.shown(self._prefix)} is closed")


def in_parallel(work: Callable[[T], None], items: Sequence[T], width: int) -> None:
    """Do *work* with each item, several at a time. After the first error none is begun; it is raised at the end."""
    waiting = deque(items)
    errors: list[BaseException] = []

    def run() -> None:
        while not errors:
            try:
                item = waiting.popleft()
            except IndexError:
                return
            try:
                work(item)
            except BaseException as error:  # noqa: BLE001 - it belongs to who called, who raises it
                errors.append(error)

    # Daemons, as those who call are: a store that hangs must not keep the program from ending.
    threads = [threading.Thread(target=run, name="upload", daemon=True) for _ in range(min(width, len(items)) - 1)]
    started = []
    for thread in threads:
        with suppress(RuntimeError):  # the system has no more: those there are will do it
            thread.start()
            started.append(thread)
    run()
    for thread in started:
        thread.join()
    if errors:
        raise errors[0]
