"""Torrents of v2 and hybrids: the file tree, and the two sides of a hybrid (BEP 52)."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha1, sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.metainfo import Info, Metainfo, MetainfoError
from anabranch.metainfo.files import MOST_RENAMED
from metainfo.v2 import SHA1, K, file, hybrid, listed, pad, v2

FILES = [("a", 20000), ("b/c", 10), ("d", 0), ("e", 5)]


def tree(**files: Any) -> bytes:
    return encode(v2([], file_tree=files)[0])


def test_every_file_of_a_v2_torrent_begins_at_a_piece() -> None:
    """Between them is nothing: the piece in which a file ends is short, and there are no pad files."""
    made, _ = v2(FILES, 2 * K)
    raw = encode(made)
    info = Info.parse(raw)
    assert info.v1 is None
    assert info.v2 == sha256(raw).digest()
    assert info.info_hash == info.v2.truncated
    assert info.swarm_hashes == (info.info_hash,)
    assert info.piece_hashes == info.hash_of(0) == b""
    assert [("/".join(one.path), one.offset, one.length) for one in info.files] == [
        ("t/a", 0, 20000),
        ("t/b/c", 32768, 10),
        ("t/d", 32778, 0),
        ("t/e", 65536, 5),
    ]
    assert info.files[0].root == made["file tree"]["a"][""]["pieces root"]
    assert info.files[2].root == b""
    assert not any(one.pad for one in info.files)
    assert [info.geometry.length_of(piece) for piece in range(info.geometry.piece_count)] == [20000, 10, 5]
    assert (info.geometry.total, info.geometry.content) == (65541, 20015)


def test_empty_files_at_the_end_lie_where_the_content_ends() -> None:
    info = Info.parse(encode(v2([("a", 5), ("b", 0)])[0]))
    assert (info.files[1].offset, info.geometry.total) == (5, 5)


def test_a_tree_of_one_file_at_its_top_is_that_file() -> None:
    """It gives the torrent its name, as in libtorrent; in a folder it does not."""
    one = Info.parse(tree(a=file(5)))
    assert (one.name, one.multi, one.files[0].path) == ("a", False, ("a",))
    assert Info.parse(tree(d={"a": file(5)})).files[0].path == ("t", "d", "a")
    assert Info.parse(tree(a=file(5), b={})).multi is False


def test_a_hybrid_has_two_names_and_one_layout() -> None:
    """Its v1 side says where the bytes are; of its v2 side it has the roots."""
    raw = hybrid(FILES)
    info = Info.parse(raw)
    assert (info.v1, info.v2) == (sha1(raw).digest(), sha256(raw).digest())
    assert info.v2 is not None
    assert info.swarm_hashes == (info.v1, info.v2.truncated)
    assert info.info_hash == info.v1
    assert [(one.path[-1], one.offset, one.pad, bool(one.root)) for one in info.files] == [
        ("a", 0, False, True),
        ("12768", 20000, True, False),
        ("c", 32768, False, True),
        ("d", 32778, False, False),
        ("16374", 32778, True, False),
        ("e", 49152, False, True),
    ]
    assert [info.geometry.length_of(piece) for piece in range(4)] == [K, K, K, 5]
    assert len(info.piece_hashes) == 80


def test_attributes_come_from_the_tree() -> None:
    """Symbolic links take no bytes, whatever they claim. In a hybrid libtorrent goes by the tree as well."""
    files = {"x": file(5, attr="x"), "y": file(5, attr="h"), "z": file(9, attr="l", symlink_path=["..", "x"])}
    run, hidden, link = Info.parse(tree(**files)).files
    assert (run.executable, run.hidden, run.symlink) == (True, False, None)
    assert (hidden.executable, hidden.hidden) == (False, True)
    assert (link.length, link.root, link.symlink) == (0, b"", ("t", "_", "x"))
    entries = listed(FILES)
    entries[0]["attr"] = "h"
    made = Info.parse(hybrid(FILES, entries))
    assert not made.files[0].hidden


def test_pad_files_by_name_alone_are_files_in_a_tree() -> None:
    """BitComet's custom is older than v2."""
    info = Info.parse(tree(_____padding_file_0=file(5, b"p" * 32), b=file(6, b"q" * 32)))
    assert [one.pad for one in info.files] == [False, False]


def test_names_are_cleaned_and_kept_apart_as_in_v1() -> None:
    """One rule for every list of files."""
    files = {"..": {"x": file(5, b"1" * 32)}, "A": file(6, b"2" * 32), "a": file(7, b"3" * 32)}
    info = Info.parse(tree(**files))
    assert [one.path for one in info.files] == [("t", "_", "x"), ("t", "A"), ("t", "a.1")]
    assert info.renamed == (("../x", "_/x"), ("a", "a.1"))
    assert info.files[2].named == ("t", "a")


def test_a_folder_with_a_long_name_costs_no_more_for_each_of_its_files() -> None:
    """Its name is in the paths of all: made readable for each, these 150 KB take a minute."""
    files = {f"{number:05d}": {"": {"length": 0}} for number in range(1_200)}
    info = Info.parse(tree(**{"n" * 100_000: files}))
    assert info.files[0].path == ("t", "n" * 250, "00000")
    assert len(info.renamed) == MOST_RENAMED
    assert len(info.renamed[0][0]) < 600


def test_few_bytes_do_not_say_more_paths_than_memory_holds() -> None:
    """W44: 3,000 files in 90 folders inside each other: 130 MB of paths in 140 KB."""
    files: dict[str, Any] = {f"{number:04d}": {"": {"length": 0}} for number in range(3_000)}
    for _ in range(90):
        files = {"n" * 500: files}
    with pytest.raises(MetainfoError, match="paths of all files in the file tree are too long"):
        Info.parse(tree(**files))


REFUSED: list[tuple[bytes, str]] = [
    (encode(v2(FILES, meta_version=3)[0]), "version 3; 1 and 2 are known"),
    *((encode(v2(FILES, meta_version=version)[0]), "'meta version' is not 2") for version in (None, 0, 1, -1, "2")),
    (encode(v2([], file_tree=None)[0]), "no 'file tree'"),
    (encode(v2([], file_tree=[])[0]), "a list as 'file tree'"),
    (encode(v2([], files=listed(FILES), pieces=SHA1 * 4, file_tree=5)[0]), "a number as 'file tree'"),
    (tree(), "no files"),
    (tree(a={"b": {}}), "no files"),
    (tree(a=5), "a in the file tree is a number"),
    (tree(a={"": 5}), "a is neither"),
    (tree(a={**file(5), "b": file(6)}), "a is neither"),
    (tree(**file(5)), "the file tree is neither"),
    (tree(a={"": {}}), "a has no 'length'"),
    (tree(a=file(-1)), "a has a length of -1"),
    (tree(a={"": {"length": "5"}}), "a has a string as 'length'"),
    (tree(a={"": {"length": 5}}), "a has no 'pieces root'"),
    (tree(a=file(5, b"r" * 31)), "a pieces root that is no hash"),
    (tree(a=file(5, bytes(32))), "a pieces root that is no hash"),
    (tree(a=file(5, attr="p"), b=file(5)), "a is padding"),
    (tree(a=file(5), b=file(6)), "b has the pieces root of a file of another length"),
    (tree(a=file(2**21 * K + 1)), "at most 2097152"),
    (tree(a=file(2**63)), "at most 2097152"),
    *(
        (encode(v2(FILES, piece_length=size)[0]), "piece length")
        for size in (0, -K, 1, K // 2, K + 1, 3 * K, 2**32, None, "x")
    ),
    (encode(v2(FILES, name=None)[0]), "no 'name'"),
    (tree(a=file(5)).replace(b"i5e", b"i05e"), "not canonical, as version 2 must be: integer with a leading zero"),
    (tree(a=file(5)).replace(b"1:a", b"01:a"), "not canonical"),
    (b"d4:name1:t" + tree(a=file(5)).replace(b"4:name1:t", b"")[1:], "not canonical.* out of order"),
    (tree(a=file(5)).replace(b"4:name1:t", b"4:name1:t4:name1:u"), "not canonical"),
    (b"d9:file tree" + b"d1:a" * 10_000 + b"e" * 10_000 + b"e", "nested more than 100 deep"),
]


def differing(change: int, **values: Any) -> bytes:
    entries = listed(FILES)
    entries[change] |= values
    return hybrid(FILES, entries)


def spliced(start: int, stop: int, *new: Any) -> bytes:
    entries = listed(FILES)
    entries[start:stop] = new
    return hybrid(FILES, entries)


UNEQUAL_SIDES: list[tuple[bytes, str]] = [
    (hybrid(FILES, [entry for entry in listed(FILES) if "attr" not in entry]), "does not begin at a piece"),
    (differing(0, length=19999), "a of 19999 bytes where the v2 side has a of 20000"),
    (differing(0, path=["z"]), "has z of 20000"),
    (differing(0, path=["A"]), "has A of 20000"),
    (differing(1, attr=""), "has 5 files, the v2 side 4"),
    (differing(1, length=12768 + K), "bytes of padding"),
    (spliced(1, 2, pad(12000), pad(768)), "12000 bytes of padding"),
    (spliced(1, 1, pad(0)), "0 bytes of padding"),
    (spliced(6, 6, pad(5)), "5 bytes of padding"),
    (spliced(6, 6, pad(2 * K - 5)), "bytes of padding"),
    (spliced(3, 4), "has 3 files, the v2 side 4"),
    (spliced(0, 0, {"length": 0, "path": ["new"]}), "has 5 files"),
    (spliced(0, 4, *(listed(FILES)[at] for at in (3, 0, 1, 2))), "has d of 0 bytes where the v2 side has a"),
    (encode(v2([("a", 5)], name="b", length=5, pieces=SHA1)[0]), "has b of 5 bytes"),
    (encode(v2([("a", 5)], name="a", length=6, pieces=SHA1)[0]), "has a of 6 bytes"),
    (encode(v2([("a/b", 5)], name="a", length=5, pieces=SHA1)[0]), "has a of 5 bytes"),
    (encode(v2([("a", 5)], name="a", length="5", pieces=SHA1)[0]), "a string as 'length'"),
    (hybrid(FILES, pieces=SHA1), "1 piece hashes"),
    (hybrid(FILES, pieces=b""), "0 piece hashes"),
]


@pytest.mark.parametrize(("raw", "reason"), REFUSED + UNEQUAL_SIDES)
def test_what_cannot_be_used_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    """W44, and the two sides of a hybrid."""
    with pytest.raises(MetainfoError, match=reason):
        Info.parse(raw)


LOADED = [
    encode(v2(FILES)[0]),
    hybrid(FILES),
    spliced(6, 6, pad(K - 5)),  # padding behind the last file
    spliced(3, 5, pad(16374), listed(FILES)[3]),  # and before an empty one
    differing(1, path=["any", "name"]),
    differing(1, path=["_____padding_file_0"], attr=""),
    differing(0, attr="x"),
    encode(v2([("a", 20000)], name="a", length=20000, pieces=SHA1 * 2)[0]),
    encode(v2([("a", 20000)], name="a", files=[{"length": 20000, "path": ["a"]}], pieces=SHA1 * 2)[0]),
    encode(v2([("a", 5), ("a2", 0)], name="z")[0]),
    encode(v2([("a", 5)], name="z")[0]),
    encode(v2(FILES, files=5)[0]),
    encode(v2(FILES, pieces=SHA1 * 4)[0]),
    encode({"length": 5, "name": "n", "piece length": K, "pieces": SHA1, "meta version": 1}),
    encode({"length": 5, "name": "n", "piece length": K, "pieces": SHA1, "meta version": "x", "file tree": 5}),
    tree(a=file(5, b"1" * 32), **{"..": {"b": file(6, b"2" * 32)}}, A=file(7, b"3" * 32), d={"e": {}}),
    tree(a=file(5, attr="xh"), b=file(9, attr="l", symlink_path=["a"])),
]
DIFFER = ("no 'pieces'", "another length")  # refused by us alone: docs/torrents.md says why


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("raw", LOADED)
def test_what_libtorrent_loads_is_the_same_here(raw: bytes) -> None:
    """Hashes, names, places and attributes of files; libtorrent shows gaps as pad files."""
    libtorrent = pytest.importorskip("libtorrent")
    ours = Info.parse(raw)
    theirs = libtorrent.torrent_info(libtorrent.bdecode(b"d4:info" + raw + b"e"))
    hashes, files = theirs.info_hashes(), theirs.files()
    assert (hashes.v1.to_bytes() if hashes.has_v1() else None) == ours.v1
    assert (hashes.v2.to_bytes() if hashes.has_v2() else None) == ours.v2
    assert (theirs.name(), theirs.num_pieces()) == (ours.name, ours.geometry.piece_count)
    real = [index for index in range(files.num_files()) if not files.file_flags(index) & 1]
    for index, one in zip(real, (one for one in ours.files if not one.pad), strict=True):
        assert (files.file_path(index), files.file_size(index)) == ("/".join(one.path), one.length)
        assert not one.length or files.file_offset(index) == one.offset
        assert not one.root or files.root(index).to_bytes() == one.root
        assert files.file_flags(index) == 2 * one.hidden + 4 * one.executable + 8 * (one.symlink is not None)


def test_libtorrent_refuses_what_we_refuse() -> None:
    """All but what is listed in docs/torrents.md."""
    libtorrent = pytest.importorskip("libtorrent")
    for raw, reason in REFUSED + UNEQUAL_SIDES:
        if not any(word in reason for word in DIFFER):
            with pytest.raises(RuntimeError):
                libtorrent.load_torrent_buffer(b"d4:info" + raw + b"e")


names = st.sampled_from(["", "a", "b", "..", "length", "pieces root", "attr"])
odd = st.recursive(
    st.integers(-2, 50000)
    | st.binary(max_size=3)
    | st.just(b"r" * 32)
    | st.just({"length": 7, "pieces root": b"r" * 32}),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200)
@given(odd, st.sampled_from([K, 2 * K]), st.booleans(), odd)
def test_any_tree_is_read_or_blamed(drawn: Any, piece_length: int, both: bool, entries: Any) -> None:
    """Whatever it holds: MetainfoError, or files that each begin at a piece and cover all pieces."""
    changes = {"files": entries, "pieces": SHA1} if both else {}
    for raw in (encode(v2([], piece_length, file_tree=drawn, **changes)[0]), encode({"x": drawn})[4:-1]):
        with suppress(MetainfoError):
            info = Metainfo.parse(b"d4:info" + raw + b"e").info
            geometry = info.geometry
            pieces = [piece for one in info.files for piece in geometry.pieces_of(one.offset, one.length)]
            assert sorted(set(pieces)) == list(range(geometry.piece_count))
            if info.v1 is None:
                assert len(pieces) == geometry.piece_count
                assert sum(map(geometry.length_of, pieces)) == sum(one.length for one in info.files)
