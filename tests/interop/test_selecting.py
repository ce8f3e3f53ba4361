"""Some files of a folder: what is not wanted leaves nothing on the disk that a person would take for it."""

from __future__ import annotations

from pathlib import Path

import pytest

import trees

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from anabranch.api import Metainfo, Priority, Torrent
from interop.libtorrent_peer import LibtorrentPeer, make_torrent
from ours import KIB, finished, make_client

pytestmark = pytest.mark.interop


def below(folder: Path) -> dict[str, str]:
    """Every file below the folder: its path, and the digest of what is in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): trees.digest(path) for path in files}


def choose(torrent: Torrent, wanted: set[int]) -> None:
    """Want these files and no others."""
    count = len(torrent.files)
    torrent.set_priorities([Priority.NORMAL if file in wanted else Priority.NONE for file in range(count)])


@pytest.mark.parametrize("piece_length", [16 * KIB, 1024 * KIB])
def test_files_that_are_not_selected_leave_no_file_and_come_whole_when_they_are(
    tmp_path: Path, piece_length: int
) -> None:
    """Bytes of theirs that share a piece with a wanted file wait in the parts file, which goes when it is empty."""
    original = trees.make_folder(tmp_path / "seed" / "folder", 40, largest=512 * KIB)
    data = make_torrent(original, piece_length)
    files = Metainfo.parse(data).info.files
    wanted = set(range(0, len(files), 3))  # some of them empty
    with LibtorrentPeer("127.0.4.1") as seeder, make_client(tmp_path, "127.0.4.2") as client:
        seeder.add(data, original.parent)
        torrent = client.add(data)
        choose(torrent, wanted)
        torrent.add_peers([(seeder.host, seeder.port)])
        finished(torrent)
        length = torrent.stats().downloaded
        assert length <= sum(len(torrent_pieces(torrent, number)) for number in wanted) * piece_length
        there = {path for path in below(tmp_path / "data") if not path.endswith(".parts")}
        assert there == {"/".join(files[number].path) for number in wanted}
        for number in wanted:
            path = Path(*files[number].path)
            assert trees.digest(tmp_path / "data" / path) == trees.digest(original.parent / path)
        choose(torrent, set(range(len(files))))
        finished(torrent)
        assert torrent.stats().downloaded == torrent.length
    assert below(tmp_path / "data") == below(original.parent)


def torrent_pieces(torrent: Torrent, file: int) -> range:
    """The pieces that a file has bytes in."""
    entry = torrent.files[file]
    return torrent.info.geometry.pieces_of(entry.offset, entry.length)


def test_a_choice_is_kept_over_a_restart(tmp_path: Path) -> None:
    """So are the bytes that wait in the parts file: they are not fetched again."""
    original = trees.make_folder(tmp_path / "seed" / "folder", 30, largest=256 * KIB)
    data = make_torrent(original, 64 * KIB)
    wanted = {number for number, file in enumerate(Metainfo.parse(data).info.files) if file.length} - {1, 4, 7}
    with LibtorrentPeer("127.0.4.3") as seeder:
        seeder.add(data, original.parent)
        with make_client(tmp_path, "127.0.4.4") as client:
            torrent = client.add(data)
            choose(torrent, wanted)
            torrent.add_peers([(seeder.host, seeder.port)])
            finished(torrent)
            first = torrent.stats().downloaded
        with make_client(tmp_path, "127.0.4.4") as client:
            torrent = client.add(data)
            finished(torrent, 10)
            assert {file.index for file in torrent.files if file.priority} == wanted
            assert torrent.stats().downloaded == first
            torrent.download_all()
            torrent.add_peers([(seeder.host, seeder.port)])
            finished(torrent)
            assert torrent.stats().downloaded == torrent.length
    assert below(tmp_path / "data") == below(original.parent)


def test_more_and_less_is_wanted_while_data_comes(tmp_path: Path) -> None:
    """The choice changes many times during the download; in the end all is there and nothing else."""
    original = trees.make_folder(tmp_path / "seed" / "folder", 40, largest=512 * KIB)
    data = make_torrent(original, 32 * KIB)
    with (
        LibtorrentPeer("127.0.4.5") as seeder,
        make_client(tmp_path, "127.0.4.6", download_rate=8 * 1024 * KIB) as client,
    ):
        seeder.add(data, original.parent)
        torrent = client.add(data)
        torrent.add_peers([(seeder.host, seeder.port)])
        for turn in range(60):
            choose(torrent, {number for number in range(len(torrent.files)) if (number * 7 + turn) % 5})
            torrent.files[turn % 40].priority = Priority.HIGH
        torrent.download_all()
        finished(torrent)
    assert below(tmp_path / "data") == below(original.parent)
