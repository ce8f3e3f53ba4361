"""What the content of a new torrent is hashed to, from its bytes as they come from disk.

Source: BEP 3 (SHA-1 of each piece), BEP 52 (a hash tree over each file's blocks). Both in one pass over the bytes.
"""

from __future__ import annotations

from hashlib import sha1

from anabranch.model import BLOCK_SIZE

from .hashing import piece_sums
from .info import HASH_LENGTH
from .layout import Layout
from .merkle import DIGEST_LENGTH, next_power_of_two, root_of
from .sha import leaf_digests

_ZEROS = bytes(64 * 1024)


class PieceHashes:
    """The SHA-1 of consecutive pieces, from their bytes in order."""

    def __init__(self, piece_length: int) -> None:
        self._piece_length = piece_length
        self._due = piece_length  # bytes that the piece in hand still lacks
        self._digest = sha1(usedforsecurity=False)
        self._done = bytearray()

    def feed(self, data: memoryview) -> None:
        """Take the next bytes."""
        at, length = 0, self._piece_length
        if self._due < length and len(data) >= self._due:
            at = self._due
            self._digest.update(data[:at])
            self._next()
        if self._due == length and len(data) - at >= length:
            whole = at + (len(data) - at) // length * length
            self._done += piece_sums(data[at:whole], length)
            at = whole
        if at < len(data):
            self._digest.update(data[at:])
            self._due -= len(data) - at

    def pad(self) -> None:
        """Fill the piece in hand with zeros, if it has begun."""
        if self._due == self._piece_length:
            return
        zeros = memoryview(_ZEROS)
        while self._due > len(zeros):
            self._digest.update(zeros)
            self._due -= len(zeros)
        self.feed(zeros[: self._due])

    def joined(self) -> bytes:
        """The hashes, one after the other; a piece that has begun ends here."""
        if self._due < self._piece_length:
            self._next()
        return bytes(self._done)

    def _next(self) -> None:
        self._done += self._digest.digest()
        self._digest = sha1(usedforsecurity=False)
        self._due = self._piece_length


class PieceRoots:
    """The hash tree's root over each piece, from the bytes of files that begin with a piece."""

    def __init__(self, piece_length: int) -> None:
        self._widest = piece_length // BLOCK_SIZE
        self._width = self._widest  # leaves of the trees of the file in hand
        self._leaves = b""  # of the piece in hand, joined
        self._done: list[bytes] = []

    def begin(self, file_length: int) -> None:
        """What comes next is of a file of this length in bytes: if it fits into one piece, its tree is no wider."""
        self._end_piece()
        self._width = min(self._widest, next_power_of_two(-(-file_length // BLOCK_SIZE)))

    def feed(self, data: memoryview) -> None:
        """Take the next bytes: whole blocks, but for the last of a file."""
        leaves = self._leaves + leaf_digests(data)
        size = self._width * DIGEST_LENGTH
        whole = len(leaves) // size * size
        self._done += [root_of(leaves[at : at + size], 0, self._width) for at in range(0, whole, size)]
        self._leaves = leaves[whole:]

    def joined(self) -> bytes:
        """The roots, one after the other; a piece that has begun ends here."""
        self._end_piece()
        return b"".join(self._done)

    def _end_piece(self) -> None:
        if self._leaves:
            self._done.append(root_of(self._leaves, 0, self._width))
            self._leaves = b""


class RunDigests:
    """All that a layout's version wants of one run."""

    def __init__(self, layout: Layout) -> None:
        self._padded = layout.padded
        self._v1 = PieceHashes(layout.piece_length) if layout.version != "v2" else None
        self._v2 = PieceRoots(layout.piece_length) if layout.version != "v1" else None

    def begin(self, file_length: int) -> None:
        """What comes next is of another file, of this length in bytes."""
        if self._v1 and self._padded:
            self._v1.pad()
        if self._v2:
            self._v2.begin(file_length)

    def feed(self, data: memoryview) -> None:
        """Take the next bytes of the file: whole blocks, but for its last."""
        if self._v1:
            self._v1.feed(data)
        if self._v2:
            self._v2.feed(data)

    def joined(self) -> tuple[bytes, bytes]:
        """SHA-1 hashes and roots of the run's pieces, each joined; empty where the version has none."""
        if self._v1 and self._padded:
            self._v1.pad()
        return self._v1.joined() if self._v1 else b"", self._v2.joined() if self._v2 else b""


class TorrentDigests:
    """The hashes of all pieces, put together from those of the runs."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._v1 = bytearray(layout.piece_count * HASH_LENGTH if layout.version != "v2" else 0)
        self._v2 = bytearray(layout.piece_count * DIGEST_LENGTH if layout.version != "v1" else 0)

    def put(self, first_piece: int, hashes: bytes, roots: bytes) -> None:
        """Take what RunDigests has for the run that begins with that piece."""
        at = first_piece * HASH_LENGTH
        self._v1[at : at + len(hashes)] = hashes
        at = first_piece * DIGEST_LENGTH
        self._v2[at : at + len(roots)] = roots

    def piece_hashes(self) -> bytes:
        """The SHA-1 of every piece, joined; empty for v2."""
        return bytes(self._v1)

    def trees(self) -> tuple[list[bytes], dict[bytes, bytes]]:
        """The root of each file, empty for one without content; and by root, for files of several pieces, their roots.

        Not for v1.
        """
        roots: list[bytes] = []
        layers: dict[bytes, bytes] = {}
        height = (self._layout.piece_length // BLOCK_SIZE).bit_length() - 1
        at = 0
        for file in self._layout.files:
            count = self._layout.pieces_in(file)
            layer = bytes(self._v2[at : at + count * DIGEST_LENGTH])
            at += len(layer)
            roots.append(root_of(layer, height, next_power_of_two(count)))
            if count > 1:
                layers[roots[-1]] = layer
        return roots, layers
