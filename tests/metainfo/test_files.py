"""The files of a torrent and their attributes (BEP 47)."""

from __future__ import annotations

from typing import Any

import pytest

from anabranch.bencode import encode
from anabranch.metainfo import FileEntry, Info

HASH = b"h" * 20


def folder(*files: Any) -> bytes:
    return encode({"name": "n", "piece length": 16384, "pieces": HASH, "files": list(files)})


def files_of(*files: Any) -> tuple[FileEntry, ...]:
    return Info.parse(folder(*files)).files


def test_attributes_are_letters() -> None:
    """x executable, h hidden, p pad; unknown letters and attributes of another kind mean nothing."""
    run, dim, plain, odd = files_of(
        {"length": 1, "path": ["run"], "attr": "x"},
        {"length": 1, "path": ["dim"], "attr": "hx"},
        {"length": 1, "path": ["plain"], "attr": "q"},
        {"length": 1, "path": ["odd"], "attr": 7},
    )
    assert (run.executable, run.hidden, run.pad) == (True, False, False)
    assert (dim.executable, dim.hidden, dim.pad) == (True, True, False)
    assert plain == FileEntry(2, ("n", "plain"), 2, 1)
    assert odd == FileEntry(3, ("n", "odd"), 3, 1)


def test_a_single_file_has_attributes_too() -> None:
    info = Info.parse(encode({"name": "n", "piece length": 16384, "pieces": HASH, "length": 5, "attr": "x"}))
    assert info.files[0].executable


def test_pad_files_take_their_place_but_no_name() -> None:
    """They are never written, so equal names are no collision and nothing is renamed."""
    info = Info.parse(
        folder(
            {"length": 1, "path": ["a"]},
            {"length": 9, "path": [".pad", "9"], "attr": "p"},
            {"length": 1, "path": ["b"]},
            {"length": 9, "path": [".pad", "9"], "attr": "p"},
            {"length": 2, "path": [".pad", "9"]},
        )
    )
    assert [file.pad for file in info.files] == [False, True, False, True, False]
    assert [file.offset for file in info.files] == [0, 1, 10, 11, 20]
    assert {info.files[i].path for i in (1, 3, 4)} == {("n", ".pad", "9")}
    assert info.renamed == ()


def test_bitcomets_pad_files_are_known_by_their_name() -> None:
    """Older than BEP 47; libtorrent knows them the same way."""
    pad, last = files_of(
        {"length": 3, "path": ["d", "_____padding_file_0_if you see this file"]},
        {"length": 3, "path": ["x"]},
    )
    assert pad.pad
    assert not last.pad


@pytest.mark.parametrize(
    ("target", "symlink"), [(["d", "x"], ("n", "d", "x")), (["..", "x"], ("n", "_", "x")), (None, ("n",)), (5, ("n",))]
)
def test_symbolic_links_are_recorded_without_content(target: object, symlink: tuple[str, ...]) -> None:
    """Any length they claim does not count (libtorrent does the same), and their target is as safe as a path."""
    table = {"length": 5, "path": ["link"], "attr": "l", "symlink path": target}
    link, after = files_of({k: v for k, v in table.items() if v is not None}, {"length": 5, "path": ["x"]})
    assert (link.length, link.symlink) == (0, symlink)
    assert (after.offset, after.symlink) == (0, None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_flags_and_lengths_are_those_of_libtorrent() -> None:
    libtorrent = pytest.importorskip("libtorrent")
    raw = folder(
        {"length": 5, "path": ["a"], "attr": "x"},
        {"length": 5, "path": ["b"], "attr": "h"},
        {"length": 5, "path": ["c"], "attr": "p"},
        {"length": 5, "path": ["_____padding_file_1"]},
        {"length": 5, "path": ["d"], "attr": "l", "symlink path": ["a"]},
        {"length": 5, "path": ["e"], "attr": "xhp"},
    )
    theirs = libtorrent.torrent_info(libtorrent.bdecode(b"d4:info" + raw + b"e")).files()
    for file in Info.parse(raw).files:
        flags = theirs.file_flags(file.index)
        assert theirs.file_size(file.index) == file.length
        assert theirs.file_offset(file.index) == file.offset
        assert (bool(flags & 1), bool(flags & 2), bool(flags & 4)) == (file.pad, file.hidden, file.executable)
        assert bool(flags & 8) == (file.symlink is not None)
