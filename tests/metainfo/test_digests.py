"""What content is hashed to."""

from __future__ import annotations

from hashlib import sha1, sha256

from hypothesis import given
from hypothesis import strategies as st

from anabranch.metainfo.digests import PieceHashes, PieceRoots, RunDigests, TorrentDigests
from anabranch.metainfo.layout import ContentFile, Layout, Version

KIB = 2**10
BLOCK = 16 * KIB
LENGTHS = st.sampled_from([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 4 * BLOCK, 4 * BLOCK + 1, 9 * BLOCK + 5])


def content(number: int, length: int) -> bytes:
    """Of a file: no two blocks of any two files are the same."""
    return b"".join(b"%7d,%7d;" % (number, at) for at in range(-(-length // 16)))[:length]


def root_above(leaves: list[bytes]) -> bytes:
    """BEP 52 as it reads, for a number of leaves that is a power of two."""
    while len(leaves) > 1:
        leaves = [sha256(a + b).digest() for a, b in zip(leaves[::2], leaves[1::2], strict=True)]
    return leaves[0]


def root(data: bytes, width: int) -> bytes:
    """The plain way: all blocks of a file or piece, filled up with zeros to *width*."""
    leaves = [sha256(data[at : at + BLOCK]).digest() for at in range(0, len(data), BLOCK)]
    return root_above(leaves + [bytes(32)] * (width - len(leaves)))


def power(count: int) -> int:
    """The least power of two from *count* on."""
    return next(1 << n for n in range(64) if 1 << n >= count)


@given(st.binary(max_size=100), st.lists(st.integers(1, 30)), st.booleans())
def test_pieces_are_hashed_however_their_bytes_come(data: bytes, cuts: list[int], padded: bool) -> None:
    """Cut anywhere; the last piece may be filled with zeros."""
    hashes = PieceHashes(16)
    view = memoryview(data)
    for cut in cuts:
        hashes.feed(view[:cut])
        view = view[cut:]
    hashes.feed(view)
    if padded:
        hashes.pad()
        data += bytes(-len(data) % 16)
    assert hashes.joined() == b"".join(sha1(data[at : at + 16]).digest() for at in range(0, len(data), 16))


def test_a_pad_may_be_longer_than_the_zeros_at_hand() -> None:
    hashes = PieceHashes(KIB * KIB)
    hashes.feed(memoryview(b"x"))
    hashes.pad()
    hashes.pad()
    assert hashes.joined() == sha1(b"x" + bytes(KIB * KIB - 1)).digest()


@given(LENGTHS.filter(bool), st.integers(1, 5))
def test_a_file_in_one_piece_has_a_tree_of_its_own_width(length: int, blocks_at_once: int) -> None:
    """And one of several pieces has the width of a piece for each, also for the short last one."""
    data = content(0, length)
    roots = PieceRoots(4 * BLOCK)
    roots.begin(length)
    for at in range(0, length, blocks_at_once * BLOCK):
        roots.feed(memoryview(data)[at : at + blocks_at_once * BLOCK])
    width = 4 if length > 4 * BLOCK else power(-(-length // BLOCK))
    assert roots.joined() == b"".join(root(data[at : at + 4 * BLOCK], width) for at in range(0, length, 4 * BLOCK))


@given(st.lists(LENGTHS, min_size=1, max_size=5), st.sampled_from(["v1", "v2", "hybrid"]), st.integers(0, 2))
def test_runs_put_together_are_the_torrents_hashes(lengths: list[int], version: Version, shift: int) -> None:
    """Against all content in memory, filled up where BEP 47 fills it, and each file's tree as BEP 52 reads."""
    piece_length = BLOCK << shift
    files = tuple(ContentFile((str(number),), length) for number, length in enumerate(lengths))
    layout = Layout(version, files, piece_length)
    contents = [content(number, length) for number, length in enumerate(lengths)]
    digests = TorrentDigests(layout)
    for run in layout.runs():
        of_run = RunDigests(layout)
        for extent in run.extents:
            of_run.begin(files[extent.index].length)
            of_run.feed(memoryview(contents[extent.index])[extent.begin : extent.begin + extent.length])
        digests.put(run.first_piece, *of_run.joined())
    if version == "v2":
        assert digests.piece_hashes() == b""
    else:
        whole = b"".join(data + bytes(layout.pad_behind(file)) for data, file in zip(contents, files, strict=True))
        assert digests.piece_hashes() == b"".join(
            sha1(whole[at : at + piece_length]).digest() for at in range(0, len(whole), piece_length)
        )
    if version != "v1":
        roots, layers = digests.trees()
        assert roots == [root(data, power(-(-len(data) // BLOCK))) if data else b"" for data in contents]
        assert layers == {
            root(data, power(-(-len(data) // BLOCK))): b"".join(
                root(data[at : at + piece_length], piece_length // BLOCK) for at in range(0, len(data), piece_length)
            )
            for data in contents
            if len(data) > piece_length
        }
