"""What the content of a piece must hash to: SHA-1 in v1, the root of a tree of SHA-256 in v2, both in a hybrid.

Sources: BEP 3, BEP 52. A hybrid's piece must have both, as far as its v2 hash is known: one that has only the first
shows that the torrent's two sides are of different content.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1, sha256

from anabranch.model import BLOCK_SIZE

from .errors import MetainfoError
from .info import HASH_LENGTH, Info
from .layers import PieceLayers
from .merkle import leaves_of, piece_root, root_of
from .sha import leaf_digests, sha1_digests

WARM_SIZE = 2 * 1024 * 1024  # bytes to read and hash at a time: still warm in between, and two pieces go together

TWO_CONTENTS = "the v1 and the v2 side of this hybrid torrent are of different content"


@dataclass(frozen=True, slots=True)
class Due:
    """The hashes that a piece must have.

    Args:
        sha1: Of all its bytes; b"" in a v2-only torrent.
        root: Of the tree of its blocks; None in a v1 torrent, where the piece is padding only, and as long as it is not
            known.
        width: Leaves of that tree, the empty ones included.
        content: Bytes of the piece that are in that tree: in a hybrid, padding is not.
    """

    sha1: bytes
    root: bytes | None = None
    width: int = 0
    content: int = 0

    @property
    def known(self) -> bool:
        """Whether there is any."""
        return bool(self.sha1) or self.root is not None


def due_of(info: Info, layers: PieceLayers | None, piece: int) -> Due:
    """The hashes that the piece must have, as far as they are known; *layers* where the torrent has a v2 side."""
    digest = info.hash_of(piece)
    root = layers.hash_of(piece) if layers is not None else None
    if layers is None or root is None:
        return Due(digest)
    return Due(digest, root, layers.width_of(piece), layers.content_of(piece))


class Hasher:
    """Hashes one piece, whose bytes come in order, cut anywhere."""

    __slots__ = ("_begun", "_begun_length", "_due", "_leaves", "_left", "_whole")

    def __init__(self, due: Due) -> None:
        self._due = due
        self._whole = sha1(usedforsecurity=False)
        self._leaves: list[bytes] = []
        self._left = due.content if due.root is not None else 0
        self._begun = sha256()  # the block that is not all here yet
        self._begun_length = 0

    def update(self, view: memoryview) -> None:
        """Take the next bytes."""
        if self._due.sha1:
            self._whole.update(view)
        if self._left:
            content = view[: self._left]
            self._left -= len(content)
            self._take(content)

    @property
    def leaves(self) -> tuple[bytes, ...]:
        """The hashes of the blocks so far, where the piece must have a root."""
        return tuple(self._leaves)

    def good(self) -> bool:
        """Whether all that came has the hashes it must have.

        Raises:
            MetainfoError: it is right by SHA-1 and wrong by SHA-256: no content can satisfy the torrent.
        """
        due = self._due
        if due.sha1 and self._whole.digest() != due.sha1:
            return False
        right = due.root is None or (not self._left and piece_root(self._leaves, due.width) == due.root)
        if due.sha1 and not right:
            raise MetainfoError(TWO_CONTENTS)
        return right and due.known

    def _take(self, content: memoryview) -> None:
        """Hash content block by block."""
        start = 0
        if self._begun_length:
            start = min(BLOCK_SIZE - self._begun_length, len(content))
            self._add(content[:start])
        whole = start + (len(content) - start) // BLOCK_SIZE * BLOCK_SIZE
        self._leaves += leaves_of(content[start:whole])
        if whole < len(content):
            self._add(content[whole:])

    def _add(self, part: memoryview) -> None:
        """Add to the block that is begun; it ends when it is full, or with the content."""
        self._begun.update(part)
        self._begun_length += len(part)
        if self._begun_length == BLOCK_SIZE or (self._begun_length and not self._left):
            self._leaves.append(self._begun.digest())
            self._begun, self._begun_length = sha256(), 0


def is_right(view: memoryview, due: Due, digest: bytes = b"") -> bool:
    """Whether these bytes are the piece; *digest*: their SHA-1, where that is known.

    Raises:
        MetainfoError: see Hasher.good().
    """
    if due.sha1 and (digest or sha1(view, usedforsecurity=False).digest()) != due.sha1:
        return False
    if due.root is None:
        return due.known
    right = len(view) >= due.content and root_of(leaf_digests(view[: due.content]), 0, due.width) == due.root
    if due.sha1 and not right:
        raise MetainfoError(TWO_CONTENTS)
    return right


def are_right(view: memoryview, info: Info, layers: PieceLayers | None, pieces: range) -> list[bool]:
    """Which of neighbouring pieces are right, from all of their bytes, one piece behind the other.

    Raises:
        MetainfoError: see Hasher.good().
    """
    geometry = info.geometry
    if layers is None:
        found = piece_sums(view, geometry.piece_length)
        due = info.hashes_of(pieces.start, pieces.stop)
        if found == due:
            return [True] * len(pieces)
        places = range(0, len(pieces) * HASH_LENGTH, HASH_LENGTH)
        return [found[at : at + HASH_LENGTH] == due[at : at + HASH_LENGTH] for at in places]
    views = []
    begin = 0
    for piece in pieces:
        views.append(view[begin : begin + geometry.length_of(piece)])
        begin += len(views[-1])
    digests = sha1_digests(views) if info.v1 is not None else [b""] * len(views)
    return [
        is_right(one, due_of(info, layers, piece), digest)
        for one, piece, digest in zip(views, pieces, digests, strict=True)
    ]


def piece_sums(view: memoryview, piece_length: int) -> bytes:
    """The SHA-1 of each piece that these bytes consist of, joined; the last may be short."""
    return b"".join(sha1_digests([view[at : at + piece_length] for at in range(0, len(view), piece_length)]))
