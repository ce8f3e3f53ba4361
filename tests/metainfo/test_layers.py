"""Piece layers: reading them out of a .torrent, and giving and getting them (BEP 52)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.metainfo import Info, Metainfo, MetainfoError, PieceLayers, Wanted, compose
from anabranch.metainfo.merkle import next_power_of_two, pad_hash, root_of
from anabranch.model import PeerFault
from metainfo.v2 import K, content, file, hybrid, plain_layers, root_and_layer, v2

FILES = [("a", 5 * K + 1), ("b", 10), ("c", 0), ("d", 2 * K), ("e", 2 * K + 1)]


def made(files: Any, piece_length: int = K, /, **outer: Any) -> Metainfo:
    info, layers = v2(files, piece_length)
    return Metainfo.parse(encode({"info": info, "piece layers": layers} | outer))


@cache
def tall(pieces: int, piece_length: int = K) -> tuple[Info, Mapping[bytes, bytes]]:
    """A torrent of one file of so many pieces, whose hashes are of nothing."""
    layer = Random(pieces).randbytes(32 * pieces)
    height = (piece_length // K).bit_length() - 1
    root = root_of(layer, height, next_power_of_two(pieces))
    return Info.parse(encode(v2([], piece_length, file_tree={"a": file(pieces * piece_length - 1, root)})[0])), {
        root: layer
    }


def answers(asked: PieceLayers, wanted: Wanted) -> bytes:
    answer = asked.answer(*wanted)
    assert answer is not None
    return answer


@pytest.mark.parametrize("piece_length", [K, 2 * K, 8 * K])
def test_every_piece_has_its_hash(piece_length: int) -> None:
    """From the layer, or the file's root where the file is one piece; with the width of its tree."""
    torrent = made(FILES, piece_length)
    layers = PieceLayers(torrent.info, torrent.layers)
    assert layers.complete
    assert layers.wanted() == []
    for one in torrent.info.files:
        data = content(one.path[-1], one.length)
        tree = plain_layers(data) if data else []
        for place, piece in enumerate(torrent.info.geometry.pieces_of(one.offset, one.length)):
            part = data[place * piece_length : (place + 1) * piece_length]
            width = min(piece_length // K, len(tree[0]))
            assert layers.width_of(piece) == width
            assert layers.content_of(piece) == len(part)
            assert layers.hash_of(piece) == tree[width.bit_length() - 1][place]


def test_in_a_hybrid_padding_has_no_hash() -> None:
    """Neither in the piece in which a file ends, nor behind the last."""
    entries = [{"length": 5, "path": ["a"]}, {"length": K - 5, "path": ["p"], "attr": "p"}]
    info = Info.parse(hybrid([("a", 5), ("b", 2 * K)], [*entries, {"length": 2 * K, "path": ["b"]}]))
    layers = PieceLayers(info, {})
    assert layers.hash_of(0) == info.files[0].root
    assert (layers.content_of(0), layers.width_of(0)) == (5, 1)
    assert layers.hash_of(1) is None
    assert layers.content_of(1) == K
    assert (layers.hash_of(3), layers.content_of(3), layers.width_of(3)) == (None, 0, 0)


def test_a_torrent_without_layers_loads_and_wants_them() -> None:
    """As in libtorrent: they are missing after a magnet link too."""
    torrent = made(FILES)
    changes: list[Any] = [{}, 5, []]
    for said in changes:
        assert made(FILES, **{"piece layers": said}).layers == {}
    layers = PieceLayers(torrent.info, {})
    assert not layers.complete
    assert layers.known() == {}
    assert [(one.base_layer, one.first, one.length, one.proof_layers) for one in layers.wanted()] == [
        (0, 0, 8, 2),
        (0, 0, 2, 0),
        (0, 0, 4, 1),
    ]


def test_layers_that_are_written_are_read_again() -> None:
    torrent = made(FILES)
    raw = compose(torrent.info.raw, layers=PieceLayers(torrent.info, torrent.layers).known(), webseeds=["http://w/"])
    assert Metainfo.parse(raw).layers == torrent.layers
    assert len(torrent.layers) == 3


ROOT, LAYER = root_and_layer(content("a", 5 * K + 1), K)


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ({ROOT: LAYER[:-32]}, "not the hashes of 6 pieces"),
        ({ROOT: LAYER + bytes(32)}, "not the hashes of 6 pieces"),
        ({ROOT: LAYER + b"x"}, "not the hashes of 6 pieces"),
        ({ROOT: 192}, "not the hashes of 6 pieces"),
        ({ROOT: LAYER[:-1] + b"\0"}, "does not have the file's pieces root"),
        ({b"r" * 32: LAYER}, "belongs to no file"),
        ({b"r" * 31: LAYER}, "belongs to no file"),
        ({b"r" * 32: 7}, "belongs to no file"),
        ({plain_layers(content("b", 10))[-1][0]: plain_layers(content("b", 10))[0][0]}, "belongs to no file"),
    ],
)
def test_wrong_layers_are_refused(layers: Any, reason: str) -> None:
    """libtorrent refuses each of these too."""
    with pytest.raises(MetainfoError, match=reason):
        made(FILES, **{"piece layers": layers})
    libtorrent = pytest.importorskip("libtorrent")
    with pytest.raises(RuntimeError):
        libtorrent.load_torrent_buffer(encode({"info": v2(FILES)[0], "piece layers": layers}))


@pytest.mark.parametrize("pieces", [2, 3, 511, 512, 513, 514, 1024, 1025, 1100, 1537])
@pytest.mark.parametrize("piece_length", [K, 4 * K])
def test_what_one_wants_another_answers(pieces: int, piece_length: int) -> None:
    """Also where one hash is left behind a multiple of 512. In any order, each hash becomes known once."""
    info, known = tall(pieces, piece_length)
    seeder, leecher = PieceLayers(info, known), PieceLayers(info, {})
    wanted = leecher.wanted()
    assert len(wanted) == -(-pieces // 512)
    assert all(2 <= one.length <= 512 and one.first % one.length == 0 for one in wanted)
    Random(pieces).shuffle(wanted)
    got = []
    for one in wanted:
        assert leecher.hash_of(one.first) is None
        assert not leecher.complete
        fresh = leecher.accept(*one, answers(seeder, one))
        assert [leecher.hash_of(piece) for piece in fresh] == [seeder.hash_of(piece) for piece in fresh]
        assert leecher.accept(*one, answers(seeder, one)) == []
        got += fresh
    assert sorted(got) == list(range(pieces))
    assert leecher.complete
    assert leecher.wanted() == []
    assert leecher.known() == known


def test_files_of_the_same_content_share_their_hashes() -> None:
    """One request for all of them."""
    root, layer = root_and_layer(content("a", 3 * K), K)
    info = Info.parse(encode(v2([], file_tree={name: file(3 * K, root) for name in "abc"})[0]))
    leecher = PieceLayers(info, {})
    (wanted,) = leecher.wanted()
    fresh = leecher.accept(*wanted, answers(PieceLayers(info, {root: layer}), wanted))
    assert fresh == list(range(9))
    assert [leecher.hash_of(piece) for piece in range(9)] == [layer[at : at + 32] for at in (0, 32, 64)] * 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"root": b"x" * 32}, "does not have"),
        ({"first": 2048}, "does not have"),
        ({"first": -512}, "does not have"),
        ({"first": 1 << 40}, "does not have"),
        ({"first": 1}, "nobody asked for"),
        ({"first": 256}, "nobody asked for"),
        ({"length": 256}, "nobody asked for"),
        ({"length": 0}, "nobody asked for"),
        ({"base_layer": 1}, "nobody asked for"),
        ({"proof_layers": 0}, "nobody asked for"),
        ({"proof_layers": 99}, "nobody asked for"),
    ],
)
def test_an_answer_to_no_request_is_the_peers_fault(change: dict[str, Any], reason: str) -> None:
    """W14: unknown root, out of range, other proofs. Nothing is learned by it."""
    info, known = tall(1100)
    leecher = PieceLayers(info, {})
    wanted = leecher.wanted()[1]
    right = answers(PieceLayers(info, known), wanted)
    with pytest.raises(PeerFault, match=reason):
        leecher.accept(*wanted._replace(**change), right)
    assert len(leecher.wanted()) == 3


@pytest.mark.parametrize("wrong", ["first", "last", "proof", "short", "long", "empty", "odd", "other"])
def test_hashes_that_do_not_prove_are_the_peers_fault(wrong: str) -> None:
    """W14: every hash and every uncle counts."""
    info, known = tall(1100)
    leecher, seeder = PieceLayers(info, {}), PieceLayers(info, known)
    wanted = leecher.wanted()[1]
    right = answers(seeder, wanted)
    said = {
        "first": b"\0" + right[1:],
        "last": right[: 511 * 32] + bytes(32) + right[512 * 32 :],
        "proof": right[:-1] + b"\0",
        "short": right[:-32],
        "long": right + bytes(32),
        "empty": b"",
        "odd": right + b"x",
        "other": answers(seeder, leecher.wanted()[0]),
    }[wrong]
    with pytest.raises(PeerFault):
        leecher.accept(*wanted, said)
    assert leecher.hash_of(512) is None
    assert len(leecher.accept(*wanted, right)) == 512


@pytest.mark.parametrize(("pieces", "piece_length"), [(2, K), (5, 4 * K), (8, K), (600, 2 * K), (1025, K)])
def test_answers_are_what_the_tree_holds(pieces: int, piece_length: int) -> None:
    """Every layer from the pieces' up, with every number of proofs; the run and the uncles give the root."""
    info, known = tall(pieces, piece_length)
    layers, root = PieceLayers(info, known), info.files[0].root
    base = (piece_length // K).bit_length() - 1
    height = base + next_power_of_two(pieces).bit_length() - 1
    draw = Random(pieces)
    for layer in range(base, height):
        for _ in range(20):
            length = 1 << draw.randrange(height - layer + 1)
            first = draw.randrange(1 << (height - layer)) // length * length
            real = -(-pieces // (1 << (layer - base)))
            answer = layers.answer(root, layer, first, length, height - layer - 1)
            if first >= real:
                assert answer is None
                continue
            assert answer is not None
            node, proof = root_of(answer[: length * 32], layer, length), answer[length * 32 :]
            place = first // length
            for at in range(0, len(proof), 32):
                pair = proof[at : at + 32] + node if place & 1 else node + proof[at : at + 32]
                node, place = root_of(pair, 0, 2), place >> 1
            assert node == root
            fewer = [layers.answer(root, layer, first, length, count) for count in range(height - layer)]
            assert all(one is not None and answer.startswith(one) for one in fewer)


def test_the_filling_of_a_layer_is_told() -> None:
    """A request goes over the file's end up to a power of two."""
    info, known = tall(5, 2 * K)
    answer = PieceLayers(info, known).answer(info.files[0].root, 1, 0, 8, 0)
    assert answer == known[info.files[0].root] + pad_hash(1) * 3


@pytest.mark.parametrize(
    "change",
    [
        {"root": b"x" * 32},
        {"base_layer": 0},
        {"base_layer": 12},
        {"base_layer": 2**32 - 1},
        {"first": 1},
        {"first": 2048},
        {"first": 1536},
        {"length": 0},
        {"length": 3},
        {"length": 4096},
        {"length": 2**31},
        {"proof_layers": 11},
        {"proof_layers": 2**32 - 1},
    ],
)
def test_no_answer_to_what_is_not_there(change: dict[str, Any]) -> None:
    """Leaves below pieces are not kept; what is wrong with a request is for the peer to find out."""
    info, known = tall(1100, 2 * K)
    layers = PieceLayers(info, known)
    request = Wanted(info.files[0].root, 1, 0, 512, 10)
    assert layers.answer(*request)
    assert layers.answer(*request._replace(**change)) is None
    assert PieceLayers(info, {}).answer(*request) is None


def test_no_answer_is_longer_than_8192_hashes() -> None:
    """BEP 52 has 512; libtorrent answers up to this."""
    info, known = tall(16385)
    layers, root = PieceLayers(info, known), info.files[0].root
    assert layers.answer(root, 0, 0, 8192, 0)
    assert layers.answer(root, 0, 0, 16384, 0) is None


numbers = st.integers(0, 2**32 - 1) | st.integers(0, 20) | st.sampled_from([256, 512, 1024])


@settings(max_examples=200)
@given(st.sampled_from(["known", "unknown"]), numbers, numbers, numbers, numbers, st.binary(max_size=100))
def test_any_message_is_answered_refused_or_blamed(
    which: str, base_layer: int, first: int, length: int, proof_layers: int, hashes: bytes
) -> None:
    """From the wire come any four numbers and any bytes."""
    info, known = tall(600)
    root = info.files[0].root if which == "known" else b"u" * 32
    answer = PieceLayers(info, known).answer(root, base_layer, first, length, proof_layers)
    assert answer is None or len(answer) <= (8192 + 32) * 32
    leecher = PieceLayers(info, {})
    with pytest.raises(PeerFault):
        leecher.accept(root, base_layer, first, length, proof_layers, hashes)
    assert len(leecher.wanted()) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", ["v2", "hybrid"])
def test_layers_are_those_of_libtorrent(version: str, tmp_path: Any) -> None:
    """Of torrents that libtorrent made of files on disk."""
    libtorrent = pytest.importorskip("libtorrent")
    folder = tmp_path / "t"
    folder.mkdir()
    for name, length in FILES:
        (folder / name).write_bytes(content(name, length))
    listed = libtorrent.file_storage()
    libtorrent.add_files(listed, str(folder))
    flags = libtorrent.create_torrent.v2_only if version == "v2" else 0
    creating = libtorrent.create_torrent(listed, 2 * K, flags)
    libtorrent.set_piece_hashes(creating, str(tmp_path))
    torrent = Metainfo.parse(libtorrent.bencode(creating.generate()))
    assert (torrent.info.v1 is None) == (version == "v2")
    assert torrent.layers == v2(FILES, 2 * K)[1]
    assert PieceLayers(torrent.info, torrent.layers).complete
