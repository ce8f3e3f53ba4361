"""Stopped in order: the next run knows everything, hashes nothing, and fetches nothing twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import trees
from anabranch.api import Client, InfoHash, InputRefused, Metainfo, Priority, Torrent, create
from anabranch.storage import SavedTorrent, SessionStore, session_key
from ours import KIB, MIB, address_of, finished, make_client, stages, until, until_downloaded
from resilience.program import Downloader, DownloaderRefused

PIECE = MIB  # so that most of what is stopped is in the middle of some piece


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The content of these tests."""
    return trees.make_folder(tmp_path / "seed" / "folder", 20, largest=8 * MIB)


@pytest.fixture
def data(original: Path) -> bytes:
    """Its torrent."""
    return create(original, piece_length=PIECE)


@pytest.fixture
def seeder(original: Path, data: bytes, tmp_path: Path) -> Iterator[Client]:
    """Somebody who has everything."""
    with make_client(tmp_path / "seeder", "127.0.6.1", data_dir=original.parent) as client:
        assert client.add(data).checked.wait(30)
        yield client


def saved(folder: Path, data: bytes) -> SavedTorrent:
    """What is remembered of the torrent below *folder*."""
    store = SessionStore(folder / "state")
    try:
        found = store.load(session_key(Metainfo.parse(data).info.info_hash, folder / "data"))
    finally:
        store.close()
    assert found is not None
    return found


def kept(torrent: SavedTorrent) -> int:
    """Bytes of unfinished pieces that are remembered. All blocks but a torrent's last are 16 KiB."""
    return sum(int.from_bytes(bits, "big").bit_count() for bits in torrent.partial.values()) * 16 * KIB


def begun(client: Client, data: bytes) -> tuple[Torrent, list[str]]:
    """Add the torrent and wait until it is known what is there; the stages it went through."""
    feed = client.events()
    torrent = client.add(data)
    assert torrent.checked.wait(30)
    until(lambda: torrent.stats().stage == "live")
    return torrent, stages(feed)


def test_blocks_of_unfinished_pieces_are_kept(seeder: Client, data: bytes, original: Path, tmp_path: Path) -> None:
    """Five stops in the middle of pieces; over all runs every byte is fetched once."""
    length = Metainfo.parse(data).info.geometry.total
    partial = 0
    for run in range(5):
        with make_client(tmp_path, "127.0.6.2", download_rate=6 * MIB) as client:
            torrent, told = begun(client, data)
            assert told == ["live"]
            torrent.download_all()
            torrent.add_peers([address_of(seeder)])
            until_downloaded(torrent, (run + 1) * length // 7)
        partial += kept(saved(tmp_path, data))
    assert partial > 0
    with make_client(tmp_path, "127.0.6.2") as client:
        torrent, told = begun(client, data)
        assert told == ["live"]
        torrent.add_peers([address_of(seeder)])
        finished(torrent)
        assert torrent.stats().downloaded == length
        assert torrent.stats().wasted == 0
    assert trees.digest(tmp_path / "data" / "folder") == trees.digest(original)


def test_what_was_chosen_allowed_and_counted_is_kept(seeder: Client, data: bytes, tmp_path: Path) -> None:
    """Priorities, pauses, totals and the time of adding."""
    with make_client(tmp_path, "127.0.6.3") as client:
        torrent, _ = begun(client, data)
        count = len(torrent.files)
        priorities = [[Priority.NONE, Priority.NORMAL, Priority.HIGH][file % 3] for file in range(count)]
        torrent.set_priorities(priorities)
        torrent.add_peers([address_of(seeder)])
        finished(torrent)
        torrent.allow_upload(False)
        before = torrent.stats()
    first = saved(tmp_path, data)
    assert first.priorities == tuple(priorities)
    assert (first.downloading_allowed, first.uploading_allowed) == (True, False)
    with make_client(tmp_path, "127.0.6.3") as client:
        torrent, told = begun(client, data)
        assert told == ["live"]
        assert [file.priority for file in torrent.files] == priorities
        finished(torrent, 5)
        after = torrent.stats()
        assert (after.downloaded, after.uploaded) == (before.downloaded, before.uploaded)
        assert (after.pieces_complete, after.wanted) == (before.pieces_complete, before.wanted)
    assert saved(tmp_path, data) == first


def test_resume_data_move_a_torrent_to_another_machine(
    seeder: Client, data: bytes, original: Path, tmp_path: Path
) -> None:
    """Its files are copied and no byte of them is read: it seeds at once."""
    with make_client(tmp_path / "old", "127.0.6.4") as client:
        torrent, _ = begun(client, data)
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        finished(torrent)
        resume = torrent.resume_data()
        uploaded = torrent.stats().uploaded
    shutil.copytree(tmp_path / "old" / "data", tmp_path / "new" / "data")
    with make_client(tmp_path / "new", "127.0.6.5") as client, make_client(tmp_path / "third", "127.0.6.6") as third:
        feed = client.events()
        moved = client.add(data, resume=resume)
        finished(moved, 10)
        assert "checking" not in stages(feed)
        assert (moved.stats().downloaded, moved.stats().uploaded) == (moved.length, uploaded)
        wanting, _ = begun(third, data)
        wanting.download_all()
        wanting.add_peers([address_of(client)])
        finished(wanting)
    assert trees.digest(tmp_path / "third" / "data" / "folder") == trees.digest(original)


def test_resume_data_of_a_download_go_on_in_the_middle_of_pieces(
    seeder: Client, data: bytes, original: Path, tmp_path: Path
) -> None:
    """Taken after a stop's worth of blocks is on disk; what they do not vouch for is hashed or fetched."""
    with make_client(tmp_path / "old", "127.0.6.7", download_rate=6 * MIB) as client:
        torrent, _ = begun(client, data)
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        until_downloaded(torrent, 5 * MIB)
        resume = torrent.resume_data()
    shutil.copytree(tmp_path / "old" / "data", tmp_path / "new" / "data")
    with make_client(tmp_path / "new", "127.0.6.8") as client:
        moved = client.add(data, resume=resume)
        moved.add_peers([address_of(seeder)])
        finished(moved)
        assert moved.stats().corrupt == 0
    assert trees.digest(tmp_path / "new" / "data" / "folder") == trees.digest(original)


def test_resume_data_do_not_make_files_out_of_nothing(data: bytes, tmp_path: Path, original: Path) -> None:
    """A file that was not copied, or not wholly, is missing whatever the resume data say."""
    with make_client(tmp_path / "old", "127.0.6.9", data_dir=original.parent) as client:
        torrent, _ = begun(client, data)
        torrent.download_all()
        finished(torrent, 10)
        resume = torrent.resume_data()
        files = sorted(torrent.files, key=lambda file: file.length)
    shutil.copytree(original.parent, tmp_path / "new" / "data")
    (tmp_path / "new" / "data" / files[-1].path).unlink()
    short = tmp_path / "new" / "data" / files[-2].path
    with short.open("rb+") as file:
        file.truncate(files[-2].length - 1)
    with make_client(tmp_path / "new", "127.0.6.10") as client:
        moved = client.add(data, resume=resume)
        assert moved.checked.wait(10)
        assert not moved.complete.wait(0)
        completed = {file.path: file.bytes_completed for file in moved.files}
        assert completed[files[-1].path] == 0
        assert completed[files[-2].path] < files[-2].length


@pytest.mark.parametrize("damage", [b"", b"d4:infod", b"magnet:?dn=x", b"magnet:\xff", None], ids=repr)
def test_one_damaged_memory_is_left_out_and_stands_in_nobodys_way(
    data: bytes, original: Path, tmp_path: Path, damage: bytes | None
) -> None:
    """The others are restored; the torrent itself goes on with what is still known of it when its file is given."""
    other = create(trees.make_file(original.parent / "other.bin", 100 * KIB), piece_length=16 * KIB, version="v2")
    link = "magnet:?xt=urn:btih:" + "a1" * 20
    with make_client(tmp_path, "127.0.6.14", data_dir=original.parent) as client:
        for source in (data, other):
            assert client.add(source).checked.wait(30)
        client.add(link)
    store = SessionStore(tmp_path / "state")
    key = session_key(Metainfo.parse(other).info.info_hash, original.parent)
    found = store.load(key)
    assert found is not None
    store.save(key, replace(found, metainfo=data if damage is None else damage))
    store.close()
    with make_client(tmp_path, "127.0.6.14", data_dir=original.parent) as client:
        restored = {torrent.info_hash for torrent in client.restore()}
        assert restored == {Metainfo.parse(data).info.info_hash, InfoHash.parse("a1" * 20)}
        feed = client.events()
        torrent = client.add(other)
        finished(torrent, 10)
        assert "checking" not in stages(feed)
        assert len(client.torrents) == 3


def test_a_torrent_is_run_once_below_one_directory(data: bytes, original: Path, tmp_path: Path) -> None:
    """Another process, or another client of this one, is told who has it; below another directory it is another."""
    (tmp_path / "folder.torrent").write_bytes(data)
    with make_client(tmp_path, "127.0.6.11", data_dir=original.parent) as client:
        torrent, _ = begun(client, data)
        with Downloader(tmp_path, "127.0.6.12", data_dir=str(original.parent)) as program:
            with pytest.raises(DownloaderRefused, match=r"in use by process \d+") as refused:
                program.add(tmp_path / "folder.torrent")
            assert refused.value.kind == "InUse"
            assert str(torrent.info_hash) in str(refused.value)
            assert str(original.parent) in str(refused.value)
            program.add(tmp_path / "folder.torrent", [address_of(client)], data_dir=tmp_path / "elsewhere")
            assert program.wait_complete(30)
        with make_client(tmp_path, "127.0.6.13", data_dir=original.parent) as other:
            with pytest.raises(InputRefused, match="in use by this program"):
                other.add(data)
            torrent.drop().wait(10)
            assert other.add(data).checked.wait(30)
    assert trees.digest(tmp_path / "elsewhere" / "folder") == trees.digest(original)
