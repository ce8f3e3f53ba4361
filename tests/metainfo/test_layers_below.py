"""Hashes of blocks, and of layers between them and the pieces: asking, believing, answering (BEP 52)."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.metainfo import Metainfo, PieceLayers, Wanted, leaves_of
from anabranch.model import PeerFault
from metainfo.v2 import K, content, plain_layers, v2

FILES = [("a", 13 * 4 * K + 1), ("b", 10), ("c", 0), ("d", 3 * K), ("e", 4 * K), ("f", 7 * K)]
PIECE = 4 * K


def made(piece_length: int = PIECE, files: list[tuple[str, int]] = FILES) -> tuple[Metainfo, PieceLayers]:
    info, known = v2(files, piece_length)
    torrent = Metainfo.parse(encode({"info": info, "piece layers": known}))
    return torrent, PieceLayers(torrent.info, torrent.layers)


def leaves(torrent: Metainfo, piece: int) -> bytes:
    """The hashes of a piece's blocks, from its bytes."""
    geometry = torrent.info.geometry
    begin = geometry.offset_of(piece)
    [file] = [one for one in torrent.info.files if one.offset <= begin < one.offset + one.length]
    start = begin - file.offset
    data = content(file.path[-1], file.length)[start : start + geometry.length_of(piece)]
    return b"".join(leaves_of(memoryview(data)))


def answered(torrent: Metainfo, layers: PieceLayers, wanted: Wanted) -> bytes | None:
    for pieces in layers.pieces_below(wanted):
        return layers.answer_below(wanted, pieces, [leaves(torrent, piece) for piece in pieces])
    return None


@pytest.mark.parametrize("piece_length", [K, 2 * K, 4 * K, 64 * K])
def test_what_one_wants_of_a_piece_another_answers(piece_length: int) -> None:
    """Of each piece that has several blocks; the others are known by their own hash."""
    torrent, layers = made(piece_length)
    for piece in range(torrent.info.geometry.piece_count):
        wanted = layers.leaves_wanted(piece)
        assert bool(wanted) == (torrent.info.geometry.blocks_of(piece) > 1 or layers.width_of(piece) > 1)
        for one in wanted:
            said = answered(torrent, layers, one)
            assert said is not None
            assert len(said) == 32 * one.length
            assert layers.leaves_in(piece, one, said) == leaves(torrent, piece)


def test_pieces_of_more_than_512_blocks_are_wanted_in_parts() -> None:
    """BEP 52 allows no more in a request; those parts that only filling is in are not wanted."""
    torrent, layers = made(1024 * K, [("a", 1024 * K + 513 * K), ("b", 511 * K)])
    for piece, count in ((0, 2), (1, 2), (2, 1)):
        wanted = layers.leaves_wanted(piece)
        assert [one.length for one in wanted] == [512] * count
        parts = []
        for one in wanted:
            said = answered(torrent, layers, one)
            assert said is not None
            parts.append(layers.leaves_in(piece, one, said))
        assert b"".join(parts) == leaves(torrent, piece)


def test_nothing_is_wanted_of_a_piece_whose_own_hash_is_not_known() -> None:
    """Nothing would prove it."""
    torrent, _ = made()
    layers = PieceLayers(torrent.info, {})
    assert [bool(layers.leaves_wanted(piece)) for piece in range(14)] == [False] * 14
    assert layers.leaves_wanted(15)  # a file of one piece
    assert not layers.pieces_below(Wanted(b"x" * 32, 0, 0, 4, 0))


@pytest.mark.parametrize("wrong", ["first", "last", "short", "long", "empty", "odd", "other"])
def test_hashes_of_blocks_that_do_not_prove_are_the_peers_fault(wrong: str) -> None:
    """W14: every one of them counts."""
    torrent, layers = made()
    [wanted] = layers.leaves_wanted(2)
    right = answered(torrent, layers, wanted)
    assert right is not None
    said = {
        "first": b"\0" + right[1:],
        "last": right[:-1] + b"\0",
        "short": right[:-32],
        "long": right + bytes(32),
        "empty": b"",
        "odd": right + b"x",
        "other": leaves(torrent, 3),
    }[wrong]
    with pytest.raises(PeerFault):
        layers.leaves_in(2, wanted, said)


def test_answers_below_the_pieces_are_what_the_tree_holds() -> None:
    """Every layer, run and number of proofs; of one piece, a part of one, and several."""
    torrent, layers = made()
    draw = Random(1)
    for file in torrent.info.files:
        if not file.root:
            continue
        tree = plain_layers(content(file.path[-1], file.length))
        height = len(tree) - 1
        blocks = -(-file.length // K)
        for layer in range(min(2, height)):
            for _ in range(30):
                length = 1 << draw.randrange(height - layer + 1)
                first = draw.randrange(1 << (height - layer)) // length * length
                proofs = draw.randrange(height - layer)
                said = answered(torrent, layers, Wanted(file.root, layer, first, length, proofs))
                if first << layer >= blocks:
                    assert said is None
                    continue
                assert said is not None
                uncles = []
                place, at = first // length, layer + length.bit_length() - 1
                while at <= layer + proofs:
                    uncles.append(tree[at][place ^ 1])
                    place, at = place >> 1, at + 1
                assert said == b"".join([*tree[layer][first : first + length], *uncles])


def test_other_bytes_are_not_told() -> None:
    """What is read from a disk must be what the torrent says."""
    _, layers = made()
    [wanted] = layers.leaves_wanted(2)
    [pieces] = layers.pieces_below(wanted)
    assert layers.answer_below(wanted, pieces, [bytes(128)]) is None


numbers = st.integers(0, 2**32 - 1) | st.integers(0, 20) | st.sampled_from([4, 16, 52, 64, 512])
TORRENT, LAYERS = made()


@settings(max_examples=300)
@given(
    st.sampled_from([*(one.root for one in TORRENT.info.files if one.root), b"u" * 32]),
    numbers,
    numbers,
    numbers,
    numbers,
)
def test_any_request_is_answered_or_refused(root: bytes, base_layer: int, first: int, length: int, proofs: int) -> None:
    """From the wire come any four numbers. No request has more than 512 blocks read, or a piece."""
    wanted = Wanted(root, base_layer, first, length, proofs)
    for pieces in LAYERS.pieces_below(wanted):
        assert sum(map(TORRENT.info.geometry.blocks_of, pieces)) <= 512
    said = answered(TORRENT, LAYERS, wanted)
    assert said is None or length * 32 <= len(said) <= (length + 32) * 32


@given(st.integers(0, 20), st.binary(max_size=300))
def test_any_hashes_of_blocks_are_blamed(piece: int, said: bytes) -> None:
    """Nobody guesses them."""
    for wanted in LAYERS.leaves_wanted(piece):
        with pytest.raises(PeerFault):
            LAYERS.leaves_in(piece, wanted, said)
