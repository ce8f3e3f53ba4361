"""Reading .torrent files from disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from anabranch.bencode import encode
from anabranch.metainfo import MetainfoError, load
from anabranch.metainfo.load_io import MAX_FILE

TORRENT = encode({"info": {"length": 5, "name": "n", "piece length": 16384, "pieces": b"h" * 20}})


def test_a_torrent_file_is_loaded_by_any_kind_of_path(tmp_path: Path) -> None:
    path = tmp_path / "a.torrent"
    path.write_bytes(TORRENT)
    assert load(path) == load(str(path))
    assert load(path).raw == TORRENT


def test_what_cannot_be_read_is_told_with_the_path_and_the_systems_words(tmp_path: Path) -> None:
    with pytest.raises(MetainfoError, match=r"none\.torrent: No such file or directory"):
        load(tmp_path / "none.torrent")
    with pytest.raises(MetainfoError, match="Is a directory"):
        load(tmp_path)
    with pytest.raises(MetainfoError, match="null"):
        load("a\0b")


def test_what_is_no_torrent_is_told_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "a.torrent"
    path.write_bytes(b"<html>")
    with pytest.raises(MetainfoError, match=r"a\.torrent: this is not a torrent file"):
        load(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """Over 64 MiB it is no torrent but a film that somebody named wrongly."""
    path = tmp_path / "a.torrent"
    with path.open("wb") as file:
        file.truncate(MAX_FILE + 1)
    with pytest.raises(MetainfoError, match="larger than the 64 MiB"):
        load(path)
