"""A download that can never end, because its storage has not the room, is refused before it begins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anabranch.cli.fitting import Space
from anabranch.cli.options import Wishes
from anabranch.cli.session import CommandFailed
from anabranch.engine import CACHE_SIZE
from anabranch.metainfo import Info, Metainfo, create
from programs import run
from trees import make_file

PIECE = 16 * 1024


@pytest.fixture
def info(tmp_path: Path) -> Info:
    """Ten pieces and a byte: half a piece, eight and a half, all that is left, and nothing."""
    for name, length in (("a", PIECE // 2), ("b", 8 * PIECE + PIECE // 2), ("c", PIECE + 1), ("d", 0)):
        make_file(tmp_path / "data" / name, length)
    return Metainfo.parse(create(tmp_path / "data", piece_length=PIECE)).info


def space(storage: str, cache_size: int | None) -> Space:
    return Space(
        Wishes(
            sources=(),
            data_dir=".",
            state=None,
            peer=(),
            port=None,
            bind=(),
            storage=storage,
            limit_down=None,
            limit_up=None,
            max_peers=None,
            verify=False,
            json=False,
            quiet=False,
            seed=False,
            cache_size=cache_size,
        )
    )


@pytest.mark.parametrize("storage", ["sqlite", "cache"])
def test_all_of_a_torrent_fits_into_as_many_whole_pieces(info: Info, storage: str) -> None:
    """The last one counts as the others do."""
    space(storage, 11 * PIECE).claim(info, {0, 1, 2, 3})
    with pytest.raises(
        CommandFailed, match=r"data does not fit: 176\.0 KiB of pieces need --cache-size 1M, and it is "
    ):
        space(storage, 11 * PIECE - 1).claim(info, {0, 1, 2, 3})


def test_pieces_that_files_share_count_once(info: Info) -> None:
    """A file wants all pieces that it reaches into."""
    space("sqlite", 2 * PIECE).claim(info, {0})
    space("sqlite", 10 * PIECE).claim(info, {0, 1})
    space("sqlite", 3 * PIECE).claim(info, {2})
    space("sqlite", 4 * PIECE).claim(info, {0, 2, 3})
    space("sqlite", 1).claim(info, {3})
    with pytest.raises(CommandFailed):
        space("sqlite", 9 * PIECE - 1).claim(info, {0, 1})


@pytest.mark.parametrize("storage", ["sqlite", "cache"])
def test_what_is_smaller_than_its_torrents_keeps_some_room_free(info: Info, storage: str) -> None:
    """So that it has something to give up: it wants a little more than the pieces."""
    with pytest.raises(CommandFailed):
        space(storage, 9 * PIECE).claim(info, {1})
    space(storage, 10 * PIECE).claim(info, {1})


def test_torrents_share_the_room(info: Info, tmp_path: Path) -> None:
    """Each alone would fit; one that is asked about again counts once."""
    make_file(tmp_path / "other", 4 * PIECE)
    other = Metainfo.parse(create(tmp_path / "other", piece_length=PIECE)).info
    both = space("sqlite", 14 * PIECE)
    both.claim(info, {0, 1, 2})
    both.claim(info, {0, 1, 2})
    with pytest.raises(CommandFailed, match=r"other does not fit with the others: 240\.0 KiB"):
        both.claim(other, {0})
    both.claim(info, {1})
    both.claim(other, {0})


def test_a_cache_has_a_size_unless_told_and_others_have_none(info: Info) -> None:
    """10 GiB; files and a database without a limit are as large as the disk."""
    assert CACHE_SIZE == 10 << 30
    for storage in ("file", "sqlite", "cache"):
        space(storage, None).claim(info, {0, 1, 2})


@pytest.mark.usefixtures("info")
def test_what_does_not_fit_is_refused_in_one_line_and_nothing_is_made(tmp_path: Path) -> None:
    """Exit code 1; the data directory is not even there."""
    torrent = tmp_path / "data.torrent"
    torrent.write_bytes(create(tmp_path / "data", piece_length=PIECE))
    told = run(tmp_path, "download", torrent, "-d", "got", "--storage", "cache", "--cache-size", "100K")
    wanted = "anabranch: data does not fit: 176.0 KiB of pieces need --cache-size 1M, and it is 100.0 KiB\n"
    assert (told.returncode, told.stdout, told.stderr) == (1, "", wanted)
    assert "got" not in os.listdir(tmp_path)
