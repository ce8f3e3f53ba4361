"""What a storage back end is: the Protocols that anybody may implement, and the values they speak in.

Three levels: a client storage opens a torrent, a torrent storage gives pieces, a piece storage moves bytes. All of it
is synchronous, called from worker threads (any of them, several at a time), and raises StorageFailed with the file and
the system's reason. The abilities at the end are optional: the engine looks for each with isinstance() and does
without where it is missing. What a back end does with the bytes, and where, is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

from bitarray import bitarray

from anabranch.model import Geometry, InfoHash

Buffer = bytes | bytearray | memoryview
Room = bytearray | memoryview  # a buffer that can be written to


class Completion(Enum):
    """What is recorded of a piece. It says nothing about trust, or about a check that is due."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


class LaidFile(Protocol):
    """One file of a torrent, as far as storage is concerned."""

    @property
    def path(self) -> tuple[str, ...]:
        """Names from the data directory down to the file, at least one."""

    @property
    def offset(self) -> int:
        """Where in the torrent the file starts, in bytes."""

    @property
    def length(self) -> int:
        """Length of the file in bytes; may be 0."""

    @property
    def pad(self) -> bool:
        """Whether this is padding (BEP 47): zeros that exist nowhere but in the hashes."""

    @property
    def symlink(self) -> tuple[str, ...] | None:
        """Where a symbolic link (BEP 47) would point to: it has no bytes and is never made. None for a real file."""

    @property
    def executable(self) -> bool:
        """Whether the file has the executable attribute (BEP 47)."""


class Layout(Protocol):
    """What storage needs to know of a torrent: its measures, and its files in the torrent's order without gaps."""

    @property
    def geometry(self) -> Geometry:
        """How the bytes fall into pieces."""

    @property
    def files(self) -> Sequence[LaidFile]:
        """All files, pad files and empty ones included."""


class PieceStorage(Protocol):
    """One piece's bytes. Safe from any thread."""

    def readinto(self, begin: int, buffer: Room) -> None:
        """Fill the whole buffer from *begin* in the piece.

        Raises:
            StorageFailed: fewer bytes are there, or the system refused; it names the file and the place.
            ValueError: the range is not inside the piece.
        """

    def writev(self, begin: int, buffers: Sequence[Buffer]) -> None:
        """Write the buffers one after another from *begin* in the piece. Done when a read would see the bytes.

        Raises:
            StorageFailed: the system refused; part of the bytes may have been written.
            ValueError: the range is not inside the piece.
        """

    def mark_complete(self) -> None:
        """Make the piece's bytes durable, then record that it passed its hash. Raises StorageFailed."""

    def mark_incomplete(self) -> None:
        """Record that the piece is not there. Raises StorageFailed."""

    def completion(self) -> Completion:
        """What is recorded of the piece."""


class TorrentStorage(Protocol):
    """One torrent's data."""

    @property
    def capacity(self) -> object | None:
        """What storages that share one limited space have in common (compared by identity); None is no limit.

        Looked at once, when the storage was opened. If it is a Capacity, it is asked now and then how large it is.
        """

    def piece(self, index: int) -> PieceStorage:
        """The piece of that number. Raises ValueError when the torrent has no such piece."""

    def flush(self) -> None:
        """Make all that was written durable. Raises StorageFailed."""

    def close(self) -> None:
        """Let go of files. What is asked afterwards raises Closed."""


class ClientStorage(Protocol):
    """Where a client keeps its torrents' data."""

    def open(self, info: Layout, info_hash: InfoHash) -> TorrentStorage:
        """Open a torrent's data, there or not.

        Raises:
            StorageFailed: the system refused.
            InputRefused: these files cannot be laid out here.
        """


@runtime_checkable
class Capacity(Protocol):
    """A limited space that torrents share. Who is full may let go of what is worth least to him."""

    def capacity(self) -> int | None:
        """Bytes that all of it has room for; None for no limit at present. Raises StorageFailed."""


@runtime_checkable
class ReadsWarm(Protocol):
    """Can read what is in memory already, without ever waiting for a disk."""

    def read_warm(self, offset: int, buffer: Room) -> int:
        """Fill the buffer's front from *offset* in the torrent; the number of bytes, 0 for "ask a worker".

        A short read is normal, it means that the rest is not in memory. Never raises StorageFailed: the worker's
        read will.
        """


@runtime_checkable
class ReadsAcross(Protocol):
    """Can read neighbouring pieces in one go."""

    def read_across(self, offset: int, buffer: Room) -> None:
        """Fill the whole buffer from *offset* in the torrent, as PieceStorage.readinto does.

        Raises:
            StorageFailed: fewer bytes are there, or the system refused; it names the file and the place.
            ValueError: the range is not inside the torrent, or not all of it is in pieces.
        """


@runtime_checkable
class Groups(Protocol):
    """Can record many pieces for the price of one."""

    def record(self, complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        """Make the complete pieces' bytes durable (one sync for each touched file), then record all pieces at once.

        Raises:
            StorageFailed: nothing was recorded. After a failed sync the system may have dropped bytes of *any* piece
                written before: every piece not recorded yet must be hashed again, from the disk.
        """


@runtime_checkable
class Bulk(Protocol):
    """Can tell the completion of all pieces at once."""

    def completions(self) -> tuple[bitarray, bitarray]:
        """Two sets of pieces, the caller's to keep: those known, and of them those complete."""


@runtime_checkable
class Selects(Protocol):
    """Keeps files that nobody wants off the disk."""

    def select(self, wanted: Sequence[bool]) -> None:
        """Say for each file whether it is wanted (until then all are); moves bytes that lay elsewhere.

        To be called before the first write, and whenever the choice changes. Raises StorageFailed.
        """


@runtime_checkable
class Sparse(Protocol):
    """Can tell holes from data."""

    def present(self, piece: int) -> bool:
        """False when certainly no byte of the piece was ever written, so that it need not be hashed."""


@runtime_checkable
class Surveys(Protocol):
    """Can tell holes from data in all pieces at once, for less than one by one."""

    def presence(self) -> bitarray:
        """The pieces that are present, as Sparse has it; the caller's to keep. Raises StorageFailed."""


@runtime_checkable
class Streams(Protocol):
    """Can hand out a whole piece cheaper than by many reads: for whom each read is a request to somewhere else."""

    def stream(self, piece: int) -> Iterator[Buffer]:
        """The bytes of the piece from its first to its last, in buffers of any size; each may be reused by the next.

        Raises:
            StorageFailed: fewer bytes are there, or the system refused; also in the middle.
        """


@runtime_checkable
class Hashes(Protocol):
    """Can tell the SHA-1 of some pieces without anybody reading them."""

    def sha1(self, piece: int) -> bytes | None:
        """The digest of the piece's bytes as they are now, 20 bytes; None: read it. Raises StorageFailed."""


class Run(NamedTuple):
    """Bytes of a torrent that lie in one file of the system: [place, place + length) of what *fd* is open on."""

    fd: int
    place: int
    length: int


@runtime_checkable
class Direct(Protocol):
    """Keeps bytes in files of the system, from which the kernel can send them on without a copy (sendfile)."""

    def direct(self, offset: int, length: int) -> AbstractContextManager[Run | None]:
        """Where the bytes from *offset* in the torrent lie: the first run of them, at most *length* bytes.

        The descriptor is good for reading within the `with` block only. None where they are in no file (padding).

        Raises:
            StorageFailed: they are not there, or the system refused.
            ValueError: the range is not inside the torrent.
        """


@runtime_checkable
class Mapped(Protocol):
    """Has its files mapped into memory, for system calls to take the bytes from."""

    def mapped(self, offset: int, length: int) -> memoryview | None:
        """A read-only view of at most *length* bytes from *offset* in the torrent; None for "read it".

        To be handed to system calls and never looked into: where the file was cut short meanwhile a system call
        answers EFAULT, but a look ends the program. Never raises StorageFailed, and waits for no disk; None also where
        whoever sends the bytes would have to, as far as that can be told cheaply.
        """


@runtime_checkable
class Removes(Protocol):
    """Can forget all that it has of a torrent. (Of files, whoever knows their place removes them.)"""

    def remove(self) -> None:
        """Remove the torrent's bytes and what is recorded of them; close() comes next. Raises StorageFailed."""


@runtime_checkable
class GivesUp(Protocol):
    """Makes room by itself, by giving up pieces that it had."""

    def on_given_up(self, tell: Callable[[Sequence[int]], None]) -> None:
        """Have *tell* called with pieces of this torrent that were complete and are gone, after they are.

        From any thread, with no lock held; *tell* only takes note and returns at once. To be called once, when the
        storage was opened.
        """


@runtime_checkable
class Loses(Protocol):
    """Notices when somebody else removes bytes that it had."""

    def on_lost(self, tell: Callable[[Sequence[int]], None]) -> None:
        """Have *tell* called with pieces of this torrent that were recorded complete and turned out to be gone.

        As GivesUp.on_given_up(). Whoever ran into it gets StorageFailed besides. Pieces that were not recorded yet are
        not told of: record() refuses them.
        """


@runtime_checkable
class Finds(Protocol):
    """Would not notice by itself that somebody else puts bytes where its own belong."""

    def find(self, pieces: range) -> bitarray:
        """Look anew at what is there of these pieces, and use it from here on; done when a user asks for a check.

        Returns:
            The pieces, these and others, of which bytes have come; unknown bytes, to be hashed. The caller's to keep.

        Raises:
            StorageFailed: the system refused.
        """


@runtime_checkable
class Heeds(Protocol):
    """Makes room by itself, and gives up last what its client still wants."""

    def heed(self, wanted: Callable[[], Mapping[InfoHash, bitarray]]) -> None:
        """Have *wanted* asked which pieces are worth keeping, of all torrents of the client that share the space.

        From any thread, with no lock held, before something is given up; it may wait for a moment. To be called once,
        when the storage was opened. What is wanted fits into what capacity() told, so that nothing is fetched in turns.
        """
