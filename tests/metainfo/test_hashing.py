"""What a piece must hash to, and the hashing of bytes that come cut anywhere."""

from __future__ import annotations

from hashlib import sha1
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.metainfo import Due, Hasher, Info, MetainfoError, PieceLayers, due_of, is_right
from anabranch.model import BLOCK_SIZE
from metainfo.v2 import K, content, hybrid, listed, plain_layers, v2

LENGTHS = [("a", 100_000), ("b", 0), ("c", 40_000), ("d", 5), ("e", 2 * K)]
PIECE = 2 * K


def torrents() -> dict[str, tuple[Info, PieceLayers | None, bytes]]:
    """One of each kind, its piece hashes, and its content with zeros where padding or nothing is."""
    whole = b""
    for name, length in LENGTHS:
        if length:
            whole += bytes(-len(whole) % PIECE) + content(name, length)
    sums = b"".join(sha1(whole[at : at + PIECE]).digest() for at in range(0, len(whole), PIECE))
    table, layers = v2(LENGTHS, PIECE)
    both = Info.parse(hybrid(LENGTHS, None, PIECE, pieces=sums))
    alone = Info.parse(encode(table))
    old = Info.parse(encode({"files": listed(LENGTHS, PIECE), "name": "t", "piece length": PIECE, "pieces": sums}))
    return {
        "v1": (old, None, whole),
        "v2": (alone, PieceLayers(alone, layers), whole),
        "hybrid": (both, PieceLayers(both, layers), whole),
    }


def piece_of(info: Info, whole: bytes, piece: int) -> bytes:
    begin = info.geometry.offset_of(piece)
    return whole[begin : begin + info.geometry.length_of(piece)]


@pytest.mark.parametrize("kind", ["v1", "v2", "hybrid"])
def test_right_content_is_right_and_any_other_is_not(kind: str) -> None:
    """Every piece of every kind, and each with one bit changed: in its content, or in its padding."""
    info, layers, whole = torrents()[kind]
    draw = Random(1)
    for piece in range(info.geometry.piece_count):
        due = due_of(info, layers, piece)
        right = piece_of(info, whole, piece)
        assert due.known
        assert is_right(memoryview(right), due)
        for place in (0, len(right) - 1, draw.randrange(len(right))):
            wrong = bytearray(right)
            wrong[place] ^= 1 << draw.randrange(8)
            assert not is_right(memoryview(wrong), due), (piece, place)
        assert not is_right(memoryview(right[:-1]), due)


@given(st.sampled_from(["v1", "v2", "hybrid"]), st.lists(st.integers(1, 3 * K), max_size=30), st.integers(0, 20))
def test_how_the_bytes_are_cut_means_nothing(kind: str, cuts: list[int], number: int) -> None:
    """A buffer of a whole piece, stretches read from disk, single bytes: the same answer."""
    info, layers, whole = torrents()[kind]
    piece = number % info.geometry.piece_count
    rest = memoryview(piece_of(info, whole, piece))
    hasher = Hasher(due_of(info, layers, piece))
    for cut in cuts:
        hasher.update(rest[:cut])
        rest = rest[cut:]
    hasher.update(rest)
    assert hasher.good()


def test_what_is_not_known_is_not_right() -> None:
    """A v2 torrent whose layers have not come: no content is good, not even none."""
    info, _, whole = torrents()["v2"]
    due = due_of(info, PieceLayers(info, {}), 0)
    assert not due.known
    assert not is_right(memoryview(piece_of(info, whole, 0)), due)
    assert not is_right(memoryview(b""), due)


def test_a_hybrid_is_judged_by_its_v1_hash_as_long_as_the_other_is_not_known() -> None:
    """And files of one piece, whose root is in the info, by both from the start."""
    info, _, whole = torrents()["hybrid"]
    empty = PieceLayers(info, {})
    dues = [due_of(info, empty, piece) for piece in range(info.geometry.piece_count)]
    assert [due.root is not None for due in dues] == [False] * 6 + [True, True]
    for piece, due in enumerate(dues):
        assert is_right(memoryview(piece_of(info, whole, piece)), due)


def test_two_sides_of_different_content_are_told_in_words() -> None:
    """What is right by SHA-1 and wrong by SHA-256 shows a torrent that nothing can satisfy."""
    other = bytes(100_000)
    sums = b"".join(sha1(other[at : at + PIECE]).digest() for at in range(0, len(other), PIECE))
    info = Info.parse(hybrid([("a", 100_000)], None, PIECE, pieces=sums))
    layers = PieceLayers(info, v2([("a", 100_000)], PIECE)[1])
    with pytest.raises(MetainfoError, match="different content"):
        is_right(memoryview(other[:PIECE]), due_of(info, layers, 0))
    assert not is_right(memoryview(content("a", 100_000)[:PIECE]), due_of(info, layers, 0))
    assert not is_right(memoryview(bytes(range(256)) * 128), due_of(info, layers, 0))


@given(st.integers(1, 5 * BLOCK_SIZE), st.integers(0, 3))
def test_the_root_of_any_file_of_one_piece_is_that_of_the_tree_above_its_blocks(length: int, more: int) -> None:
    """Worked out the plain way; padding behind the content changes nothing of it."""
    data = bytes(length)
    layers = plain_layers(data)
    due = Due(b"", layers[-1][0], len(layers[0]), length)
    assert is_right(memoryview(data + bytes(more)), due)
    assert not is_right(memoryview(data[:-1]), due)
