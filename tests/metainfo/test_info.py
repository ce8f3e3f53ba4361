"""The info dictionary: what is refused, and what an Info promises."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha1
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.metainfo import Info, MetainfoError

HASH = b"h" * 20


def single(**changes: Any) -> bytes:
    """A good single-file info dictionary with some keys changed (None takes one out, _ stands for a space)."""
    info = {"length": 5, "name": "n", "piece length": 16384, "pieces": HASH}
    info |= {key.replace("_", " "): value for key, value in changes.items()}
    return encode({key: value for key, value in info.items() if value is not None})


def folder(*files: Any, pieces: Any = HASH, **changes: Any) -> bytes:
    return single(length=None, files=list(files), pieces=pieces, **changes)


def test_a_single_file_is_read() -> None:
    raw = single(length=40000, pieces=b"a" * 20 + b"b" * 20 + b"c" * 20, source="T", private=1)
    info = Info.parse(raw)
    assert info.raw == raw
    assert info.info_hash == info.v1 == sha1(raw).digest()
    assert info.v2 is None
    assert info.swarm_hashes == (info.info_hash,)
    assert info.name == "n"
    assert not info.multi
    assert info.private
    assert info.source == "T"
    assert (info.geometry.total, info.geometry.piece_length, info.geometry.piece_count) == (40000, 16384, 3)
    assert [info.hash_of(piece) for piece in range(3)] == [b"a" * 20, b"b" * 20, b"c" * 20]
    assert [(file.index, file.path, file.offset, file.length) for file in info.files] == [(0, ("n",), 0, 40000)]
    assert info.renamed == ()
    assert "h" * 20 not in repr(info)


@pytest.mark.parametrize(
    "raw",
    [
        single(name="6:pieces20:", pieces=b"p" * 20),
        single(name=b"6:pieces20:" + b"p" * 19 + b"q6:pieces20:", pieces=b"p" * 20),
        b"d6:lengthi5e4:name1:n12:piece lengthi16384e6:pieces020:" + b"p" * 20 + b"e",
    ],
)
def test_piece_hashes_are_found_whatever_else_looks_like_their_key(raw: bytes) -> None:
    """They are searched for by their key, which a name may hold, too, and which is read in other forms."""
    assert Info.parse(raw).hash_of(0) == b"p" * 20


def test_a_folder_is_read_with_offsets_and_the_torrents_name_in_front() -> None:
    info = Info.parse(
        folder({"length": 3, "path": ["d", "x"]}, {"length": 0, "path": ["y"]}, {"length": 7, "path": ["z"]})
    )
    assert info.multi
    assert [(file.path, file.offset, file.length) for file in info.files] == [
        (("n", "d", "x"), 0, 3),
        (("n", "y"), 3, 0),
        (("n", "z"), 3, 7),
    ]


def test_renamed_tells_what_was_changed_and_how_it_was_called() -> None:
    info = Info.parse(folder({"length": 1, "path": ["..", "x"]}, {"length": 4, "path": ["ok"]}, name="C:\\v\x1b"))
    assert info.name == "C_v_"
    assert info.files[0].path == ("C_v_", "_", "x")
    assert info.renamed == (("C:\\v\\x1b", "C_v_"), ("../x", "_/x"))


@pytest.mark.parametrize(
    ("private", "is_private"), [(1, True), (2, True), (0, False), (None, False), (b"1", False), ([], False)]
)
def test_private_is_a_number_that_is_not_zero(private: object, is_private: bool) -> None:
    """BEP 27 says 1; libtorrent takes any number but 0."""
    assert Info.parse(single(private=private)).private is is_private


REFUSED: list[tuple[bytes, str]] = [
    (b"", "cannot be read: the input ends"),
    (b"junk", "cannot be read: b'j' at byte 0"),
    (b"le", "the info dictionary is a list"),
    (single() + b"x", "1 bytes follow"),
    (single(name=None), "no 'name'"),
    (single(name=5), "no 'name'"),
    (single(length=None), "has no 'length'"),
    (single(length="5"), "has a string as 'length', a number is due"),
    (single(length=-1), "a length of -1 bytes"),
    (single(pieces=None), "has no 'pieces'"),
    (single(pieces=-23), "has a number as 'pieces'"),
    (single(pieces=HASH + b"x"), "21 bytes of piece hashes"),
    (single(pieces=HASH * 2), "2 piece hashes, but 5 bytes in pieces of 16384 need 1"),
    (single(pieces=b""), "0 piece hashes"),
    (single(length=0), "1 piece hashes, but 0 bytes"),
    (single(length=10**19), "at most 2097152 can be used"),
    (single(piece_length=None), "has no 'piece length'"),
    (single(piece_length=0), "a piece length of 0 bytes"),
    (single(piece_length=-16384), "a piece length of -16384 bytes"),
    (single(piece_length=2**31 + 1), "a piece length of 2147483649 bytes"),
    (single(piece_length=1, length=2_097_153), "2097153 pieces, at most 2097152"),
    (folder(), "the torrent has no files"),
    (folder(7), "file 1 is a number, a dictionary is due"),
    (single(files="x", length=None), "has a string as 'files', a list is due"),
    (folder({"length": 5}), "file 1 has no path"),
    (folder({"length": 5, "path": []}), "file 1 has no path"),
    (folder({"length": 5, "path": "x"}), "file 1 has no path"),
    (folder({"length": 5, "path": [1]}), "file 1 has no path"),
    (folder({"length": 5, "path": ["d"] * 101}), "a path of 101 parts"),
    (folder({"path": ["a"]}), "file 1 has no 'length'"),
    (folder({"length": 5, "path": ["a"]}, {"length": -1, "path": ["b"]}), "file 2 has a length of -1 bytes"),
]


@pytest.mark.parametrize(("raw", "reason"), REFUSED)
def test_what_cannot_be_used_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(MetainfoError, match=reason):
        Info.parse(raw)


def test_libtorrent_refuses_what_we_refuse() -> None:
    """It also refuses more: pieces over 512 MiB, torrents without content."""
    libtorrent = pytest.importorskip("libtorrent")
    for raw, _ in REFUSED:
        if raw.startswith(b"d") and raw.endswith(b"e"):
            with pytest.raises(RuntimeError):
                libtorrent.torrent_info(libtorrent.bdecode(b"d4:info" + raw + b"e"))


def test_a_torrent_of_nothing_but_empty_files_is_one_without_pieces() -> None:
    info = Info.parse(folder({"length": 0, "path": ["a"]}, {"length": 0, "path": ["b"]}, pieces=b""))
    assert info.geometry.piece_count == 0
    assert len(info.files) == 2


def test_names_in_utf8_are_preferred_where_they_are_utf8() -> None:
    """Old clients wrote the name in their system's encoding and again under "name.utf-8" and "path.utf-8"."""
    good = folder({"length": 5, "path": [b"\xe9"], "path.utf-8": ["é"]}, name=b"\xe8", **{"name.utf-8": "è"})
    assert Info.parse(good).files[0].path == ("è", "é")
    bad = folder({"length": 5, "path": ["é"], "path.utf-8": [b"\xe9"]}, name="è", **{"name.utf-8": b"\xe8"})
    assert Info.parse(bad).files[0].path == ("è", "é")


def test_mistakes_of_real_torrents_are_forgiven_and_hashed_as_they_are() -> None:
    """The info hash is that of the bytes as they came: keys out of order, numbers with leading zeros."""
    raw = b"d6:pieces20:" + HASH + b"6:lengthi05e4:name1:n12:piece lengthi16384ee"
    assert Info.parse(raw).info_hash == sha1(raw).digest()


keys = st.sampled_from(["length", "name", "piece length", "pieces", "files", "path", "attr", "name.utf-8", "private"])
odd = st.recursive(
    st.integers(-2, 50000) | st.binary(max_size=8) | st.just(HASH),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=10,
)


@settings(max_examples=150)
@given(st.dictionaries(keys, odd), st.binary(max_size=20))
def test_any_dictionary_is_read_or_blamed(changes: dict[str, Any], noise: bytes) -> None:
    """Whatever the keys hold: MetainfoError, or an Info whose files fill its geometry without gaps."""
    for raw in (single(**changes), folder(changes), noise):
        with suppress(MetainfoError):
            info = Info.parse(raw)
            ends = [0, *(file.offset + file.length for file in info.files)]
            assert [file.offset for file in info.files] == ends[:-1]
            assert info.geometry.total == ends[-1]
            assert len(info.piece_hashes) == 20 * info.geometry.piece_count
