"""Moving, renaming and removing a torrent's files, with real clients on real disks."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import trees
from anabranch.api import Client, Config, InputRefused, Misused, Priority, StorageFailed, create, events
from anabranch.storage import InUse
from ours import KIB, MIB, address_of, finished, make_client, stages, until, until_downloaded

OTHER = Path("/dev/shm")  # another file system than that of temporary files, on Linux


@pytest.fixture(params=["same", "other"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where to move to: on the file system of tmp_path, and on another one."""
    if request.param == "same":
        yield tmp_path / "target"
        return
    if not OTHER.is_dir() or OTHER.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with TemporaryDirectory(dir=OTHER) as name:
        yield Path(name) / "target"


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = trees.make_folder(tmp_path / "seed" / "folder", 8, largest=MIB)
    trees.make_file(folder / "large.bin", 4 * MIB, seed=1)
    return folder


def seeder_of(origin: Path, folder: Path, **settings: Any) -> Client:
    return make_client(folder / "seeder", "127.0.9.1", data_dir=origin.parent, **settings)


def test_a_seed_goes_on_serving_where_its_files_went(tmp_path: Path, origin: Path, target: Path) -> None:
    """A leech that is connected gets all of it; after a restart the torrent is there, and nothing is hashed."""
    digest, data = trees.digest(origin), create(origin, piece_length=64 * KIB)
    with seeder_of(origin, tmp_path, upload_rate=3 * MIB) as seeder, make_client(tmp_path, "127.0.9.2") as client:
        seed = seeder.add(data)
        assert seed.checked.wait(30)
        torrent = client.add(data)
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        until_downloaded(torrent, MIB)
        assert seed.move(target).wait(30)
        assert seed.data_dir == seed.files_dir == str(target)
        seeder.set_rates(None, None)
        finished(torrent)
        assert not origin.exists()
        assert torrent.stats().corrupt == 0
    assert trees.digest(target / "folder") == trees.digest(tmp_path / "data" / "folder") == digest
    with seeder_of(origin, tmp_path) as seeder:
        (seed,) = seeder.restore()
        assert seed.checked.wait(30)
        assert seed.data_dir == str(target)
        assert seed.stats().pieces_complete == seed.piece_count
        assert seed.stats().hashed == 0


def test_a_download_goes_on_where_its_files_went(tmp_path: Path, origin: Path, target: Path) -> None:
    """Moved twice, renamed and read meanwhile: all of it comes, into the last place, and readers get right bytes."""
    data = create(origin, piece_length=64 * KIB)
    with seeder_of(origin, tmp_path) as seeder, make_client(tmp_path, "127.0.9.2", download_rate=4 * MIB) as client:
        assert seeder.add(data).checked.wait(30)
        torrent = client.add(data)
        torrent.download_all()
        torrent.add_peers([address_of(seeder)])
        read: list[bytes] = []
        reading = threading.Thread(target=lambda: read.append(torrent.reader().readall()), daemon=True)
        reading.start()
        until_downloaded(torrent, MIB)
        assert torrent.move(target).wait(30)
        until_downloaded(torrent, 2 * MIB)
        name = torrent.files[3].path
        assert torrent.files[3].rename("folder/renamed.bin").wait(30)
        assert torrent.files[3].path == "folder/renamed.bin"
        until_downloaded(torrent, 3 * MIB)
        client.set_rates(None, None)
        finished(torrent)
        reading.join(30)
        assert not list((tmp_path / "data").rglob("*"))
        (target / "folder" / "renamed.bin").rename(target / name)
        assert trees.digest(target / "folder") == trees.digest(origin)
        assert len(read[0]) == torrent.length
        assert torrent.stats().hashed == torrent.info.geometry.total


def test_new_names_are_remembered(tmp_path: Path, origin: Path) -> None:
    """A file and its folder; files that are chosen later go below the new names, also in the next run."""
    data = create(origin, piece_length=16 * KIB)
    with seeder_of(origin, tmp_path) as seeder:
        assert seeder.add(data).checked.wait(30)
        with make_client(tmp_path, "127.0.9.2") as client:
            torrent = client.add(data)
            torrent.files[0].download()
            torrent.add_peers([address_of(seeder)])
            finished(torrent)
            before = [file.path for file in torrent.files]
            assert asyncio.run(renamed(torrent))
            assert torrent.files[0].path == "new/inside/first"
            assert torrent.metainfo.info.files[0].path == tuple(before[0].split("/"))
        with make_client(tmp_path, "127.0.9.2") as client:
            (torrent,) = client.restore()
            assert torrent.checked.wait(30)
            assert torrent.stats().hashed == 0
            torrent.files[1].priority = Priority.HIGH
            torrent.add_peers([address_of(seeder)])
            finished(torrent)
            for file, path in zip(torrent.files[:2], before, strict=False):
                assert file.path.startswith("new/inside/")
                assert (tmp_path / "data" / file.path).read_bytes() == (origin.parent / path).read_bytes()
            assert not (tmp_path / "data" / "folder").exists()
            with pytest.raises(InputRefused):
                torrent.files[0].rename(torrent.files[1].path)
            with pytest.raises(InputRefused):
                torrent.files[0].rename("../outside")


async def renamed(torrent: Any) -> bool:
    await torrent.rename_folder("folder", "new/inside/")
    await torrent.files[0].rename(["new", "inside", "first"])
    return True


def test_dropped_with_its_data_nothing_of_it_is_left(tmp_path: Path, origin: Path) -> None:
    """Not in the directory either, nor in what is remembered; what is somebody else's stays."""
    data = create(origin, piece_length=64 * KIB)
    with seeder_of(origin, tmp_path) as seeder, make_client(tmp_path, "127.0.9.2", download_rate=4 * MIB) as client:
        assert seeder.add(data).checked.wait(30)
        torrent = client.add(data)
        torrent.files[0].download()
        next(file for file in torrent.files if file.path == "folder/large.bin").download()
        torrent.add_peers([address_of(seeder)])
        until_downloaded(torrent, 256 * KIB)
        mine = tmp_path / "data" / "folder" / "mine.txt"
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("mine")
        assert torrent.drop(delete_data=True).wait(30)
        assert [path for path in (tmp_path / "data").rglob("*") if path.is_file()] == [mine]
        again = client.add(data)
        assert again.checked.wait(30)
        assert again.stats().pieces_complete == 0
        assert again.drop(delete_data=True).wait(30)
        mine.unlink()
        mine.parent.rmdir()
    with make_client(tmp_path, "127.0.9.2") as client:
        assert client.restore() == []


def test_memory_is_forgotten_with_the_data(tmp_path: Path, origin: Path) -> None:
    """Any storage that can forget is asked to; one that cannot says so, and cannot move either."""
    data = create(origin, piece_length=64 * KIB)
    with make_client(tmp_path, storage="memory") as client:
        failed = client.events(events.Failed)
        torrent = client.add(data)
        with pytest.raises(Misused, match="stored in files"):
            torrent.move(tmp_path / "x")
        with pytest.raises(Misused, match="stored in files"):
            torrent.files[0].rename("x")
        assert torrent.drop(delete_data=True).wait(10)
        assert not len(failed)


def test_what_is_incomplete_has_a_place_of_its_own(tmp_path: Path, origin: Path, target: Path) -> None:
    """Stopped and restarted in between: identity stays, and complete is said where the files belong."""
    data = create(origin, piece_length=64 * KIB)
    with seeder_of(origin, tmp_path) as seeder:
        assert seeder.add(data).checked.wait(30)
        with make_client(tmp_path, "127.0.9.2", incomplete_dir=target, download_rate=4 * MIB) as client:
            torrent = client.add(data)
            torrent.download_all()
            torrent.add_peers([address_of(seeder)])
            until_downloaded(torrent, MIB)
            assert torrent.files_dir == str(target)
            assert torrent.data_dir == str(tmp_path / "data")
        assert not (tmp_path / "data").exists()
        with make_client(tmp_path, "127.0.9.2", incomplete_dir=target) as client:
            (torrent,) = client.restore()
            assert torrent.checked.wait(30)
            assert torrent.stats().pieces_complete > 4
            assert torrent.files_dir == str(target)
            torrent.add_peers([address_of(seeder)])
            finished(torrent)
            assert torrent.files_dir == torrent.data_dir == str(tmp_path / "data")
            assert trees.digest(tmp_path / "data" / "folder") == trees.digest(origin)
            assert not list(target.iterdir())
        with make_client(tmp_path, "127.0.9.2", incomplete_dir=target) as client:
            (torrent,) = client.restore()
            assert torrent.checked.wait(30)
            assert torrent.files_dir == torrent.data_dir
            assert torrent.stats().hashed == 0
    with pytest.raises(InputRefused, match="stored in files"):
        Config(storage="memory", incomplete_dir=target)


def test_two_of_one_torrent_do_not_meet(tmp_path: Path, origin: Path) -> None:
    """A directory where another client runs the same torrent, or that is remembered apart, is refused at once."""
    data = create(origin, piece_length=64 * KIB)
    with make_client(tmp_path, "127.0.9.1") as one, make_client(tmp_path, "127.0.9.2") as other:
        torrent = one.add(data)
        other.add(data, data_dir=tmp_path / "theirs")
        with pytest.raises(InUse):
            torrent.move(tmp_path / "theirs")
        until(lambda: other.close())
        with pytest.raises(InputRefused, match="remembered"):
            torrent.move(tmp_path / "theirs")
        assert torrent.move(tmp_path / "free").wait(10)
        assert torrent.move(torrent.data_dir).wait(10)


def test_without_a_state_directory_it_moves_as_well(tmp_path: Path, origin: Path, target: Path) -> None:
    """What is complete is known by this client alone, and still known after the move: nothing is hashed again."""
    data = create(origin, piece_length=64 * KIB)
    with seeder_of(origin, tmp_path, state_dir=None) as seeder:
        seed = seeder.add(data)
        assert seed.checked.wait(30)
        feed = seeder.events()
        assert seed.move(target).wait(30)
        until(lambda: seed.stats().stage == "live")
        assert seed.stats().hashed == seed.length
        assert seed.stats().pieces_complete == seed.piece_count
        assert stages(feed) == ["moving", "live"]
        seed.piece(0).verify()
        assert seed.checked.wait(30)
        assert seed.stats().pieces_complete == seed.piece_count


def test_what_cannot_be_made_is_told_and_the_torrent_stays(tmp_path: Path, origin: Path) -> None:
    """The signal raises the system's words with the path; on the way nothing was overwritten or lost."""
    data = create(origin, piece_length=64 * KIB)
    digest = trees.digest(origin)
    (tmp_path / "taken").write_text("a file")
    with seeder_of(origin, tmp_path) as seeder:
        seed = seeder.add(data)
        assert seed.checked.wait(30)
        with pytest.raises(StorageFailed) as refusal:
            seed.move(tmp_path / "taken").wait(30)
        assert refusal.value.errno in (errno.ENOTDIR, errno.EEXIST)
        assert str(tmp_path / "taken") in refusal.value.path
        until(lambda: seed.stats().stage == "live")
        assert seed.data_dir == str(origin.parent)
        assert trees.digest(origin) == digest


def test_one_move_may_follow_another_as_soon_as_its_signal_is_set(tmp_path: Path, origin: Path) -> None:
    """The storage may still be opening there: nobody has to wait for that."""
    with seeder_of(origin, tmp_path) as seeder:
        seed = seeder.add(create(origin, piece_length=64 * KIB))
        assert seed.checked.wait(30)
        for directory in ("one", "two", "three"):
            assert seed.move(tmp_path / directory).wait(30)
        assert seed.data_dir == str(tmp_path / "three")
        until(lambda: seed.stats().stage == "live")
        assert seed.stats().pieces_complete == seed.piece_count


def test_what_is_incomplete_can_be_left_where_it_is(tmp_path: Path, origin: Path) -> None:
    """Moved to the directory in which its files are already; nobody else may have them there, before or after."""
    data, begun = create(origin, piece_length=64 * KIB), tmp_path / "begun"
    with make_client(tmp_path, incomplete_dir=begun) as client, make_client(tmp_path, "127.0.9.2") as other:
        torrent = client.add(data)
        until(lambda: torrent.stats().stage == "live")
        for _ in range(2):
            with pytest.raises(InUse):
                other.add(data, data_dir=begun)
            assert torrent.move(begun).wait(10)
            assert torrent.data_dir == torrent.files_dir == str(begun)
            until(lambda: torrent.stats().stage == "live")
        assert torrent.drop().wait(10)
        assert other.add(data, data_dir=begun).data_dir == str(begun)


def test_who_drops_a_torrent_in_the_directory_for_the_incomplete_leaves_it_to_others(
    tmp_path: Path, origin: Path
) -> None:
    """Of two clients with one such directory the first has it, the other puts the torrent where it belongs."""
    data, begun = create(origin, piece_length=64 * KIB), tmp_path / "begun"
    with (
        make_client(tmp_path, incomplete_dir=begun) as client,
        make_client(tmp_path, "127.0.9.2", incomplete_dir=begun, data_dir=tmp_path / "theirs") as other,
    ):
        first = client.add(data)
        until(lambda: first.stats().stage == "live")
        second = other.add(data)
        until(lambda: second.stats().stage == "live")
        assert (first.files_dir, second.files_dir) == (str(begun), second.data_dir)
        assert first.drop().wait(10)
        assert second.drop().wait(10)
        again = other.add(data)
        until(lambda: again.stats().stage == "live")
        assert again.files_dir == str(begun)


@pytest.mark.parametrize("storage", ["file", "mmap"])
def test_the_whole_room_is_taken_at_the_first_write_where_that_is_wished(
    tmp_path: Path, origin: Path, storage: str
) -> None:
    """Of what is wanted; without the wish nothing is taken before it comes."""
    data = create(origin, piece_length=64 * KIB)
    with seeder_of(origin, tmp_path, upload_rate=MIB) as seeder:
        assert seeder.add(data).checked.wait(30)
        for wish in (False, True):
            folder = tmp_path / str(wish)
            with make_client(folder, "127.0.9.2", preallocate=wish, storage=storage) as client:
                torrent = client.add(data)
                large = next(file for file in torrent.files if file.length == 4 * MIB)
                large.download()
                torrent.add_peers([address_of(seeder)])
                until_downloaded(torrent, 256 * KIB)
                part = folder / "data" / f"{large.path}.part"
                until(part.exists)
                until(lambda: not wish or part.stat().st_blocks * 512 >= large.length)  # noqa: B023  # called at once
                assert (part.stat().st_blocks * 512 >= large.length) == wish
                assert len(list((folder / "data").rglob("*.part"))) == 1
