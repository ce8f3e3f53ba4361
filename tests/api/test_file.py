"""Files, as users see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from anabranch.api import Client, File, Priority, Torrent
from origin import PIECE, Origin
from threads import PATIENCE


def named(torrent: Torrent, ending: str) -> File:
    [file] = [file for file in torrent.files if file.path.endswith(ending)]
    return file


def test_files_are_told_in_the_torrent_s_order(origin: Origin, client: Client) -> None:
    """With their paths below the data directory, whatever the system separates names with."""
    files = origin.added(client).files
    assert [file.path for file in files] == [
        "content/a.bin",
        "content/d ü.txt",
        "content/deep/b.bin",
        "content/deep/c empty.txt",
    ]
    assert [file.index for file in files] == [0, 1, 2, 3]
    assert [file.length for file in files] == [1_000_001, 5, 1_400_000, 0]
    assert [file.offset for file in files] == [0, 1_000_001, 1_000_006, 2_400_006]
    assert not any(file.pad for file in files)
    assert "b.bin" in repr(files[2])


def test_a_file_alone_is_downloaded_with_the_pieces_it_lies_in(origin: Origin, client: Client) -> None:
    """And nothing else: not another piece is fetched."""
    torrent = origin.served(client)
    file = named(torrent, "b.bin")
    file.download()
    assert torrent.complete.wait(PATIENCE)
    assert file.bytes_completed == file.length
    pieces = range(file.offset // PIECE, (file.offset + file.length - 1) // PIECE + 1)
    assert [state.complete for state in torrent.piece_states()] == [piece in pieces for piece in range(37)]
    assert Path(torrent.data_dir, file.path).read_bytes() == origin.content[file.offset : file.offset + file.length]


def test_bytes_completed_counts_bytes_of_the_file_in_verified_pieces(origin: Origin, client: Client) -> None:
    """Of a piece that files share, each counts its own; an empty file is complete with nothing."""
    torrent = origin.served(client)
    assert [file.bytes_completed for file in torrent.files] == [0, 0, 0, 0]
    shared = 1_000_001 // PIECE
    torrent.download_pieces(shared, shared + 1)
    assert torrent.complete.wait(PATIENCE)
    start, end = shared * PIECE, (shared + 1) * PIECE
    assert [file.bytes_completed for file in torrent.files] == [1_000_001 - start, 5, end - 1_000_006, 0]


def test_download_wants_a_file_and_lessens_nothing(origin: Origin, client: Client) -> None:
    """What is preferred already stays so."""
    wanted, preferred, *_ = files = origin.added(client).files
    preferred.priority = Priority.HIGH
    assert [file.priority for file in files] == [0, 2, 0, 0]
    for _ in range(2):
        wanted.download()
        preferred.download()
        assert [file.priority for file in files] == [1, 2, 0, 0]


def test_a_file_that_is_not_wanted_any_more_is_not_fetched(origin: Origin, client: Client) -> None:
    """The rest of the torrent is complete without it."""
    torrent = origin.added(client)
    torrent.download_all()
    file = named(torrent, "a.bin")
    file.priority = Priority.NONE
    torrent.add_peers([origin.address])
    assert torrent.complete.wait(PATIENCE)
    assert file.bytes_completed < file.length
    assert not torrent.piece(0).state.complete


def test_a_piece_is_worth_the_most_of_its_files(origin: Origin, client: Client) -> None:
    """The border piece belongs to three files."""
    torrent = origin.added(client)
    shared = torrent.piece(1_000_001 // PIECE)
    for ending, priority in [("a.bin", Priority.NORMAL), ("ü.txt", Priority.HIGH)]:
        named(torrent, ending).priority = priority
        assert shared.priority is priority
    named(torrent, "ü.txt").priority = Priority.NONE
    assert shared.priority is Priority.NORMAL


def test_an_empty_file_may_be_wanted_by_itself(origin: Origin, client: Client) -> None:
    """It is complete at once, and there is something to show for it."""
    torrent = origin.added(client)
    named(torrent, "empty.txt").download()
    assert torrent.complete.wait(PATIENCE)
    assert torrent.stats().downloaded == 0


def test_only_priorities_are_taken(origin: Origin, client: Client) -> None:
    """Numbers that mean one are; others change nothing."""
    file = origin.added(client).files[0]
    file.priority = 2  # type: ignore[assignment]  # what people write
    assert file.priority is Priority.HIGH
    with pytest.raises(ValueError, match="17"):
        file.priority = 17  # type: ignore[assignment]  # the mistake under test
    assert file.priority is Priority.HIGH
