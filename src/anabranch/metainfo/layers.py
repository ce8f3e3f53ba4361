"""The hashes of the pieces of a v2 or hybrid torrent, and giving them to peers and getting them from peers.

Source: BEP 52 ("piece layers", "hash request", "hashes"). The info dictionary has of each file only the root of its
hash tree; the layer that has one hash for each piece stands beside it in a .torrent file, and is missing after a magnet
link. Numbers and bytes only: what messages look like is the wire's affair.

A request is for a run of hashes of one layer of a file's tree (layers are counted from the leaves) and for uncles that
prove them: the run is all that is below one node, and each sibling on the way from that node to the root is an uncle.
There is none in the layers that the run gives by itself, and *proof_layers* tells how far up above the run's own layer
they are wanted. So libtorrent 2.1.1 asks and answers.

Layers below the pieces' are not kept: who asks for hashes of blocks is answered from the blocks, and we ask for them
where a piece is wrong. They are proven by the piece's hash.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from anabranch.model import BLOCK_SIZE, PeerFault

from .errors import MetainfoError
from .files import FileEntry
from .info import Info
from .merkle import DIGEST_LENGTH, next_power_of_two, pad_hash, parents, root_of

MOST_ASKED = 512  # hashes of one request; BEP 52 allows no more
MOST_ANSWERED = 8192  # libtorrent's limit
_MOST_COPIES = 8  # files of the same content that are considered when the blocks of one are needed


class Wanted(NamedTuple):
    """A request for hashes.

    Args:
        root: Of the file.
        base_layer: The run's layer, counted from the leaves.
        first: Number of the first hash in the layer, a multiple of *length* (the BEP's "index").
        length: Number of hashes, a power of two; those behind the file's end are filling.
        proof_layers: How many layers above the run's own are looked at for uncles.
    """

    root: bytes
    base_layer: int
    first: int
    length: int
    proof_layers: int


class PieceLayers:
    """What is known of the piece hashes of one torrent with a v2 side.

    `answer` may run in any thread beside the others, which want one at a time.

    Args:
        info: The torrent's.
        known: Layers by their root, as in Metainfo: they have been checked.

    Attributes:
        requests: How many it takes to have all piece hashes from a peer.
        missing: How many of those have not been answered.
    """

    def __init__(self, info: Info, known: Mapping[bytes, bytes]) -> None:
        self._piece_length = info.geometry.piece_length
        self._files = [file for file in info.files if file.root]
        self._starts = [file.offset // self._piece_length for file in self._files]
        self._trees: dict[bytes, _Tree] = {}
        self._starts_of: dict[bytes, list[int]] = {}  # the first piece of each file that has this root
        for file, start in zip(self._files, self._starts, strict=True):
            self._starts_of.setdefault(file.root, []).append(start)
            if file.length > self._piece_length and file.root not in self._trees:
                self._trees[file.root] = _Tree(file, self._piece_length, known.get(file.root))
        self._incomplete = {root: None for root, tree in self._trees.items() if tree.missing}
        self.requests = sum(tree.stretches for tree in self._trees.values())
        self.missing = sum(len(tree.missing) for tree in self._trees.values())

    @property
    def complete(self) -> bool:
        """Whether the hash of every piece is known."""
        return not self.missing

    def hash_of(self, piece: int) -> bytes | None:
        """The root that the piece's blocks must give; None while unknown, or if no file has bytes in the piece."""
        file, place = self._at(piece)
        if file is None:
            return None
        tree = self._trees.get(file.root)
        return file.root if tree is None else tree.hash_of(place)

    def width_of(self, piece: int) -> int:
        """How many leaves the piece's tree has, filling included; 0 if no file has bytes in the piece."""
        file, _ = self._at(piece)
        if file is None:
            return 0
        return min(self._piece_length // BLOCK_SIZE, next_power_of_two(-(-file.length // BLOCK_SIZE)))

    def content_of(self, piece: int) -> int:
        """How many of the piece's bytes are a file's and so hashed here: padding, which only v1 hashes, is not."""
        file, place = self._at(piece)
        return 0 if file is None else min(self._piece_length, file.length - place * self._piece_length)

    def wanted(self, most: int | None = None) -> list[Wanted]:
        """Requests for exactly what is missing; the first *most* of them."""
        trees = (self._trees[root] for root in self._incomplete)
        return list(islice((tree.wanted(stretch) for tree in trees for stretch in sorted(tree.missing)), most))

    def accept(
        self, root: bytes, base_layer: int, first: int, length: int, proof_layers: int, hashes: bytes
    ) -> list[int]:
        """Take the answer to one of the requests that wanted() has, or had.

        Returns:
            The pieces whose hash was not known before.

        Raises:
            PeerFault: it is the answer to no such request, or does not prove to be right.
        """
        tree = self._trees.get(root)
        stretch = first // MOST_ASKED
        if tree is None or not 0 <= stretch < tree.stretches:
            raise PeerFault("hashes of a file or of pieces that the torrent does not have")
        if tree.wanted(stretch) != (root, base_layer, first, length, proof_layers):
            raise PeerFault(f"{length} hashes from {first} of layer {base_layer}, which nobody asked for")
        if stretch not in tree.missing:
            return []
        count = tree.accept(stretch, hashes)
        self.missing -= 1
        if not tree.missing:
            del self._incomplete[root]
        return [start + first + at for start in self._starts_of[root] for at in range(count)]

    def add(self, known: Mapping[bytes, bytes]) -> None:
        """Take whole layers by their root, as in Metainfo: they have been checked."""
        for root in self._incomplete.keys() & known.keys():
            self.missing -= len(self._trees[root].missing)
            self._trees[root].fill(known[root])
            del self._incomplete[root]

    def answer(self, root: bytes, base_layer: int, first: int, length: int, proof_layers: int) -> bytes | None:
        """The hashes that a peer asks for, with their proof; None if it cannot have them.

        Piece hashes and all above them are given, of files whose piece hashes are all known. For those below there is
        answer_below().
        """
        tree = self._trees.get(root)
        if tree is None or tree.missing:
            return None
        return tree.answer(base_layer, first, length, proof_layers)

    def known(self) -> dict[bytes, bytes]:
        """The layers that are complete, by their root."""
        return {root: bytes(tree.layer) for root, tree in self._trees.items() if not tree.missing}

    def leaves_wanted(self, piece: int) -> list[Wanted]:
        """Requests for the hashes of a piece's blocks; none where its own is not known, or is its only block's."""
        file, place = self._at(piece)
        width = self.width_of(piece)
        if file is None or width < 2 or self.hash_of(piece) is None:
            return []
        length = min(width, MOST_ASKED)
        proof_layers = width.bit_length() - 2 if length < width else 0  # up to the piece's hash
        blocks = -(-self.content_of(piece) // BLOCK_SIZE)
        return [Wanted(file.root, 0, place * width + at, length, proof_layers) for at in range(0, blocks, MOST_ASKED)]

    def leaves_in(self, piece: int, wanted: Wanted, hashes: bytes) -> bytes:
        """The blocks' hashes, without filling, out of the answer to one of the requests for a piece's.

        Raises:
            PeerFault: too few, too many, or not what the piece's hash proves.
        """
        if _top_of(wanted, hashes) != self.hash_of(piece):
            raise PeerFault("hashes of blocks that the hash of the piece does not prove")
        _, place = self._at(piece)
        before = wanted.first - place * self.width_of(piece)
        blocks = -(-self.content_of(piece) // BLOCK_SIZE)
        return hashes[: min(wanted.length, blocks - before) * DIGEST_LENGTH]

    def pieces_below(self, wanted: Wanted) -> list[range]:
        """The pieces whose blocks have to be hashed for an answer; any of several (not all) where files are the same.

        None for a request that answer() is for, or that cannot be answered: for no layer of that file, say, or for more
        than one piece and 512 blocks.
        """
        starts = self._starts_of.get(wanted.root, [])[:_MOST_COPIES]
        if not starts:
            return []
        file, _ = self._at(starts[0])
        assert file is not None  # it begins there
        width = self.width_of(starts[0])
        top, height = width.bit_length() - 1, next_power_of_two(-(-file.length // BLOCK_SIZE)).bit_length() - 1
        _, base_layer, first, length, proof_layers = wanted
        if not 0 <= base_layer < top or not 0 <= proof_layers < height - base_layer:
            return []
        if not 0 < length << base_layer <= max(width, MOST_ASKED) or length & (length - 1) or length > MOST_ANSWERED:
            return []
        begin, end = first << base_layer, (first + length) << base_layer
        if first % length or not 0 <= begin * BLOCK_SIZE < file.length or end > 1 << height:
            return []
        places = range(begin >> top, min(-(-end >> top), pieces_in(file, self._piece_length)))
        return [range(start + places.start, start + places.stop) for start in starts]

    def answer_below(self, wanted: Wanted, pieces: range, leaves: Sequence[bytes]) -> bytes | None:
        """The hashes that a peer asks for, with their proof.

        Args:
            wanted: The request.
            pieces: What pieces_below() has for it.
            leaves: The hashes of the blocks of each of those, joined.

        Returns:
            None where they are not those of the torrent's blocks, or not all hashes for the proof are known.
        """
        file, place = self._at(pieces.start)
        width = self.width_of(pieces.start)
        tree = self._trees.get(wanted.root)
        if file is None or (tree is not None and tree.missing):
            return None
        if any(root_of(one, 0, width) != self.hash_of(piece) for piece, one in zip(pieces, leaves, strict=True)):
            return None
        layers = [b"".join(leaves)]  # as far as they are below these pieces
        for layer in range(width.bit_length() - 2):
            layers.append(parents(layers[-1], layer))

        def hashes(layer: int, first: int, length: int) -> bytes:
            if layer >= len(layers) and tree is not None:
                return tree.hashes(layer, first, length)
            begin = first - (place * width >> layer)
            found = layers[layer][begin * DIGEST_LENGTH : (begin + length) * DIGEST_LENGTH]
            return found + pad_hash(layer) * (length - len(found) // DIGEST_LENGTH)

        return _with_proof(wanted, hashes)

    def _at(self, piece: int) -> tuple[FileEntry | None, int]:
        """The file that has bytes in a piece, and which of the file's pieces it is."""
        number = bisect_right(self._starts, piece) - 1
        if number >= 0:
            file, place = self._files[number], piece - self._starts[number]
            if place * self._piece_length < file.length:
                return file, place
        return None, 0


class _Tree:
    """The tree of one file of several pieces, from the piece layer up. Files of the same content share one.

    Attributes:
        layer: The piece hashes, joined; zeros for those that are not known.
        missing: The stretches that are not known, each of the hashes of one request.
        stretches: Number of those there are.
    """

    __slots__ = ("_base", "_count", "_height", "_root", "_uppers", "layer", "missing", "stretches")

    def __init__(self, file: FileEntry, piece_length: int, layer: bytes | None) -> None:
        self._root = file.root
        self._base = (piece_length // BLOCK_SIZE).bit_length() - 1  # layer of the piece hashes
        self._count = pieces_in(file, piece_length)
        self._height = self._base + next_power_of_two(self._count).bit_length() - 1  # layer of the root
        self._uppers: list[bytes] = []
        self.layer = bytearray(self._count * DIGEST_LENGTH) if layer is None else bytearray(layer)
        self.stretches = -(-self._count // MOST_ASKED)
        self.missing = set(range(self.stretches)) if layer is None else set()

    def hash_of(self, place: int) -> bytes | None:
        """The hash of one piece, where it is known."""
        if place // MOST_ASKED in self.missing:
            return None
        return bytes(self.layer[place * DIGEST_LENGTH : (place + 1) * DIGEST_LENGTH])

    def fill(self, layer: bytes) -> None:
        """Take all piece hashes at once."""
        self.layer[:] = layer
        self.missing.clear()

    def wanted(self, stretch: int) -> Wanted:
        """The request for a stretch, with all of its proof: then no answer depends on what else is known."""
        first = stretch * MOST_ASKED
        # BEP 52 wants at least two; libtorrent breaks off with itself over the single hash behind 512.
        length = max(min(MOST_ASKED, next_power_of_two(self._count - first)), 2)
        return Wanted(self._root, self._base, first, length, self._height - self._base - 1)

    def accept(self, stretch: int, hashes: bytes) -> int:
        """Check the answer to a stretch's request and keep its hashes. Tells how many of those are pieces'.

        Raises:
            PeerFault: too few, too many, or not what the root proves.
        """
        wanted = self.wanted(stretch)
        if _top_of(wanted, hashes) != self._root:
            raise PeerFault("hashes that the root of the file does not prove")
        count = min(wanted.length, self._count - wanted.first)
        begin = wanted.first * DIGEST_LENGTH
        self.layer[begin : begin + count * DIGEST_LENGTH] = hashes[: count * DIGEST_LENGTH]
        self.missing.discard(stretch)
        return count

    def answer(self, base_layer: int, first: int, length: int, proof_layers: int) -> bytes | None:
        """See PieceLayers.answer; all of the piece layer is known."""
        if not self._base <= base_layer < self._height or not 0 <= proof_layers < self._height - base_layer:
            return None
        if not 0 < length <= min(MOST_ANSWERED, 1 << (self._height - base_layer)) or length & (length - 1):
            return None
        if first % length or not 0 <= first < len(self._upper(base_layer)) // DIGEST_LENGTH:
            return None
        return _with_proof(Wanted(self._root, base_layer, first, length, proof_layers), self.hashes)

    def hashes(self, layer: int, first: int, length: int) -> bytes:
        """Neighbours in a layer; what is behind the file's end is filling."""
        found = bytes(self._upper(layer)[first * DIGEST_LENGTH : (first + length) * DIGEST_LENGTH])
        return found + pad_hash(layer) * (length - len(found) // DIGEST_LENGTH)

    def _upper(self, layer: int) -> bytes | bytearray:
        """A layer without its filling. All above the pieces' are worked out at once and kept: they are not longer."""
        if layer == self._base:
            return self.layer
        uppers = self._uppers
        if not uppers:
            below: bytes | bytearray = self.layer
            for at in range(self._base, self._height - 1):
                uppers = [*uppers, parents(bytes(below), at)]
                below = uppers[-1]
            self._uppers = uppers  # in one step: two threads may both have worked it out
        return uppers[layer - self._base - 1]


def _top_of(wanted: Wanted, hashes: bytes) -> bytes:
    """The node that an answer leads up to, with all of its proof.

    Raises:
        PeerFault: too few hashes, or too many.
    """
    uncles = _uncle_layers(wanted)
    if len(hashes) != (wanted.length + len(uncles)) * DIGEST_LENGTH:
        raise PeerFault(f"{len(hashes)} bytes of hashes, {wanted.length} and {len(uncles)} to prove them are due")
    run, proof = hashes[: wanted.length * DIGEST_LENGTH], hashes[wanted.length * DIGEST_LENGTH :]
    node = root_of(run, wanted.base_layer, wanted.length)
    place = wanted.first // wanted.length
    for at, layer in enumerate(uncles):
        uncle = proof[at * DIGEST_LENGTH : (at + 1) * DIGEST_LENGTH]
        node = parents(uncle + node if place & 1 else node + uncle, layer)
        place >>= 1
    return node


def _with_proof(wanted: Wanted, hashes: Callable[[int, int, int], bytes]) -> bytes:
    """The answer to a request, out of a function that has the hashes of (layer, first, length)."""
    answer = [hashes(wanted.base_layer, wanted.first, wanted.length)]
    node = wanted.first // wanted.length
    for layer in _uncle_layers(wanted):
        answer.append(hashes(layer, node ^ 1, 1))
        node >>= 1
    return b"".join(answer)


def _uncle_layers(wanted: Wanted) -> range:
    """The layers of the uncles of an answer, lowest first."""
    lowest = wanted.base_layer + wanted.length.bit_length() - 1
    return range(lowest, max(lowest, wanted.base_layer + wanted.proof_layers + 1))


def pieces_in(file: FileEntry, piece_length: int) -> int:
    """Number of pieces of a file that begins at one."""
    return -(-file.length // piece_length)


def check_layers(info: Info, layers: Mapping[bytes, object]) -> dict[bytes, bytes]:
    """Admit piece layers as those of a torrent; all, some or none may be there.

    Raises:
        MetainfoError: one has the wrong length or does not prove by its root, or no file of several pieces has it.
    """
    piece_length = info.geometry.piece_length
    height = (piece_length // BLOCK_SIZE).bit_length() - 1
    due = {file.root: file for file in info.files if file.root and file.length > piece_length}
    checked: dict[bytes, bytes] = {}
    for root, layer in layers.items():
        file = due.get(root)
        if file is None:
            raise MetainfoError(f"the piece layer {root.hex()} belongs to no file of several pieces")
        shown = "/".join(file.path)
        count = pieces_in(file, piece_length)
        if not isinstance(layer, bytes) or len(layer) != count * DIGEST_LENGTH:
            raise MetainfoError(f"the piece layer of {shown} is not the hashes of {count} pieces")
        if root_of(layer, height, next_power_of_two(count)) != root:
            raise MetainfoError(f"the piece layer of {shown} does not have the file's pieces root")
        checked[root] = layer
    return checked
