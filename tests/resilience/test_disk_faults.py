"""Each way in which a disk says no: which file and why, nothing is asked meanwhile, and it goes on by itself after."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trees
from anabranch.api import Client, Torrent, create
from anabranch.engine import events, failing
from anabranch.engine.stage import Failed
from anabranch.storage import Bulk, FileStorage
from anabranch.testing.faulty import Call, Fault, FaultyStorage
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import on_disk, sample
from engine.truth import check
from ours import KIB, MIB, address_of, finished, make_client
from ours import until as seen
from resilience.program import Downloader

PATH = "/data/film.part"


CALLS = [("open", 4), ("write", 4), ("write", 9), ("read", 9), ("record", 4), ("record", 9)]  # and blocks of a piece


@pytest.mark.parametrize(("call", "blocks"), CALLS)
@pytest.mark.parametrize("code", ["ENOSPC", "EIO", "EROFS", "EACCES", "EMFILE", "ENOENT", "EDQUOT"])
def test_whatever_the_disk_says_is_said_and_what_came_is_not_lost(
    code: str, call: Call, blocks: int, tmp_path: Path
) -> None:
    """W43: the file and the system's words, once; while it lasts nobody is asked; then all of it comes about.

    Pieces of nine blocks are written in stretches and read back; nobody is banned for what the disk did.
    """
    number = getattr(errno, code)
    content = sample(pieces=4, blocks=blocks)
    node = Node(clock := Clock(), pool=1 << 20)
    storage = FaultyStorage(FileStorage(tmp_path))
    fault = storage.faults.add(Fault(call, number, PATH, skip=0 if call == "open" else 1))
    torrent = node.add(content, storage)
    node.settle()
    if call != "open":
        for _ in range(2):
            Remote(node, torrent, content, rate=4)
    until(clock, node, lambda: isinstance(torrent.stage, Failed), 20)
    run(clock, node, 2, lambda: check(node))
    fetched = torrent.totals.downloaded
    run(clock, node, 45, lambda: check(node))
    assert isinstance(torrent.stage, Failed)
    assert torrent.totals.downloaded == fetched
    told = [str(event.error) for event in node.told() if isinstance(event, events.Failed)]
    assert set(told) == {f"{PATH}: {os.strerror(number)}"}
    storage.faults.remove(fault)
    until(clock, node, lambda: not isinstance(torrent.stage, Failed), 30)
    if not torrent.swarm.peers:
        Remote(node, torrent, content, rate=8)
    until(clock, node, lambda: torrent.signals.complete.is_set, 60)
    assert on_disk(torrent.opened(), content) == content.content
    assert torrent.totals.downloaded <= content.geometry.total + 4 * content.geometry.piece_length
    assert not node.engine.banned


@pytest.fixture(autouse=True)
def _impatience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "seeder" in request.fixturenames:
        monkeypatch.setattr(failing, "RETRY_EVERY", 0.3)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return trees.make_file(tmp_path / "seed" / "large.bin", 6 * MIB, seed=41)


@pytest.fixture
def seeder(large: Path, tmp_path: Path) -> Iterator[Client]:
    with make_client(tmp_path / "seeder", "127.0.7.31", data_dir=large.parent) as client:
        assert client.add(create(large, piece_length=64 * KIB)).checked.wait(30)
        yield client


def recorded(torrent: Torrent) -> bool:
    """Whether any piece is recorded as complete."""
    storage = torrent._state.disk.storage
    return isinstance(storage, Bulk) and storage.completions()[1].any()


def test_a_data_directory_that_is_removed_during_a_download_is_named_and_filled_again(
    seeder: Client, large: Path, tmp_path: Path
) -> None:
    """What was there is fetched again: nothing that is gone is believed, nothing written to a file without a name."""
    with make_client(tmp_path, "127.0.7.32", download_rate=4 * MIB) as client:
        torrent = client.add(create(large, piece_length=64 * KIB))
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        seen(lambda: recorded(torrent))
        shutil.rmtree(tmp_path / "data")
        feed = client.events()
        finished(torrent)
        assert torrent.stats().downloaded <= 2 * 6 * MIB
        told = [feed.get(0) for _ in range(len(feed))]
        failures = [str(event.error) for event in told if isinstance(event, events.Failed)]
        assert all("large.bin" in failure for failure in failures)
    assert trees.digest(tmp_path / "data" / "large.bin") == trees.digest(large)


@pytest.mark.deep
def test_what_peers_want_to_read_of_a_directory_that_is_removed_during_a_download_does_not_hold_it_up(
    seeder: Client, large: Path, tmp_path: Path
) -> None:
    """Whoever finds out first, a peer that reads or a piece that is written: what is gone is fetched again."""
    data = create(large, piece_length=64 * KIB)
    with (
        make_client(tmp_path, "127.0.7.34", download_rate=4 * MIB) as client,
        make_client(tmp_path / "leech", "127.0.7.35") as leech,
    ):
        torrent, other = client.add(data), leech.add(data)
        for one in (torrent, other):
            one.download_all()
        other.add_peers([address_of(client)])
        torrent.add_peers([address_of(seeder)])
        seen(lambda: recorded(torrent) and other.stats().downloaded)
        shutil.rmtree(tmp_path / "data")
        finished(torrent)
        finished(other)
        assert torrent.stats().downloaded <= 2 * 6 * MIB
        assert other.stats().corrupt == 0
    assert trees.digest(tmp_path / "data" / "large.bin") == trees.digest(large)
    assert trees.digest(tmp_path / "leech" / "data" / "large.bin") == trees.digest(large)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of open files")
def test_a_program_that_may_open_no_more_files_says_so_and_goes_on_when_it_may(
    seeder: Client, large: Path, tmp_path: Path
) -> None:
    """EMFILE: the file that it was, in the system's words; nothing is fetched that could not be written."""
    folder = trees.make_folder(tmp_path / "many" / "folder", 60, largest=64 * KIB)
    data = create(folder, piece_length=64 * KIB)
    length = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    (tmp_path / "folder.torrent").write_bytes(data)
    with make_client(tmp_path / "has", "127.0.7.36", data_dir=folder.parent) as has:
        assert has.add(data).checked.wait(30)
        with Downloader(tmp_path, "127.0.7.37", retry_every=0.3, download_rate=256 * KIB) as program:
            program.add(tmp_path / "folder.torrent", [address_of(has)])
            seen(lambda: program.stats()["downloaded"] > 0)
            program.ask("limit_open_files", size=8)
            seen(lambda: program.stats()["stage"] == "failed")
            told = program.stats()
            assert told["error"].startswith(str(tmp_path / "data"))
            assert told["error"].endswith(os.strerror(errno.EMFILE))
            assert told["peers"] == 1
            program.ask("limit_open_files", size=1024)
            assert program.wait_complete(30)
            assert program.stats()["error"] == ""
            assert program.stats()["downloaded"] <= length + 2 * 64 * KIB
    assert trees.digest(tmp_path / "data" / "folder") == trees.digest(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_a_directory_that_may_not_be_written_to_is_named_until_it_may(
    seeder: Client, large: Path, tmp_path: Path
) -> None:
    """Nothing is fetched that could not be written; the right is given, and it goes on."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o555)
    (tmp_path / "large.torrent").write_bytes(create(large, piece_length=64 * KIB))
    try:
        with Downloader(tmp_path, "127.0.7.33", obey_permissions=True, retry_every=0.3) as program:
            program.add(tmp_path / "large.torrent", [address_of(seeder)])
            seen(lambda: program.stats()["stage"] == "failed")
            told = program.stats()
            assert told["error"] == f"{data / 'large.bin.part'}: {os.strerror(errno.EACCES)}"
            assert told["downloaded"] <= 6 * MIB
            data.chmod(0o755)
            assert program.wait_complete(30)
            assert program.stats()["downloaded"] <= 7 * MIB
    finally:
        data.chmod(0o755)
    assert trees.digest(data / "large.bin") == trees.digest(large)
