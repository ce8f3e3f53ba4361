"""Torrents' files on their way: whatever stops it, no byte is lost and nothing of anybody else's is touched."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from anabranch.model import Closed, InputRefused, StorageFailed
from anabranch.storage import FileStorage, Place, check_target, relocate, remove_data, renamed
from storage.moved_torrents import MOVED, PARTS, SMALL, Killed, Steps, count_steps, lay, part, tree_with_directories
from storage.small_torrents import HASH, named, put, torrent, tree, whole


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody cuts the power here: thousands of syncs would only wait for the disk. They stay steps like others."""
    monkeypatch.setattr(os, "fsync", lambda fd: os.fstat(fd) and None)


@pytest.fixture(params=["one file system", "two file systems"])
def places(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two data directories, the first with a torrent in it."""
    here, there = tmp_path / "here", tmp_path / "above" / "there"
    if request.param == "two file systems":
        part(here, there, monkeypatch)
    lay(here)
    return here, there


def test_everything_of_the_torrent_moves_and_nothing_else(places: tuple[Path, Path]) -> None:
    """Final and incomplete files, the parts file; modes and times; directories that are empty then go."""
    here, there = places
    (here / "t" / "mine").write_bytes(b"the user's")
    heard: list[int] = []

    def hear(moved: int) -> bool:
        heard.append(moved)
        return True

    relocate(SMALL, HASH, Place(str(here)), Place(str(there)), hear)
    assert tree(there) == MOVED
    assert tree_with_directories(here) == {"t", "t/mine"}
    assert (there / "t/a").stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mtime for path in there.rglob("*") if path.is_file()} == {1e9}
    assert heard == sorted(heard)
    assert heard[-1] == sum(map(len, MOVED.values()))
    relocate(SMALL, HASH, Place(str(here)), Place(str(there)))  # again is harmless
    assert tree(there) == MOVED
    relocate(SMALL, HASH, Place(str(there)), Place(str(here)))
    assert tree(here) == {**MOVED, "t/mine": b"the user's"}
    assert tree_with_directories(there) == set()


def test_a_system_without_descriptors_of_directories_does_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step of a path is looked at, as everywhere else."""
    monkeypatch.setattr(os, "supports_dir_fd", set())
    here, there = tmp_path / "here", tmp_path / "there"
    relocate(SMALL, HASH, lay(here), Place(str(there)))
    assert (tree_with_directories(here), tree(there)) == (set(), MOVED)
    assert remove_data(SMALL, HASH, Place(str(there))) == sum(map(len, MOVED.values()))


def test_a_torrent_without_data_moves_without_a_trace(tmp_path: Path) -> None:
    """No directory is made for nothing."""
    relocate(SMALL, HASH, Place(str(tmp_path / "here")), Place(str(tmp_path / "there")))
    assert list(tmp_path.iterdir()) == []


def test_a_moved_torrent_is_opened_with_all_it_had(places: tuple[Path, Path], tmp_path: Path) -> None:
    """What the storage writes is what moves, also under other names."""
    _, there = places
    source = FileStorage(tmp_path / "written").open(SMALL, HASH)
    source.select([True] * 5 + [False])
    count = SMALL.geometry.piece_count
    put(source, SMALL, *range(count))
    source.record(range(count - 1))
    source.flush()
    source.close()
    target = Place(str(there), {0: ("other", "first"), 4: ("t", "b", "e")})
    relocate(SMALL, HASH, Place(str(tmp_path / "written")), target)
    moved = FileStorage(there).open(renamed(SMALL, target.names), HASH)
    assert all(whole(moved, SMALL, piece) == SMALL.of_piece(piece) for piece in range(count))
    moved.close()
    assert set(tree(there)) == {"other/first", "t/b/c", "t/b/d/empty", "t/b/e.part", PARTS}
    assert tree_with_directories(tmp_path / "written") == set()


def test_names_change_within_a_directory(tmp_path: Path) -> None:
    """A folder is renamed by renaming its files; what it held besides stays."""
    source = lay(tmp_path)
    (tmp_path / "t" / "mine").write_bytes(b"the user's")
    target = replace(source, names={n: ("u", *SMALL.files[n].path[1:]) for n in (0, 1, 3, 4)})
    check_target(SMALL, HASH, source, target)
    relocate(SMALL, HASH, source, target)
    assert tree(tmp_path) == {name.replace("t/", "u/"): content for name, content in MOVED.items()} | {
        "t/mine": b"the user's"
    }
    assert "t/b" not in tree_with_directories(tmp_path)
    relocate(SMALL, HASH, target, source)
    assert tree(tmp_path) == {**MOVED, "t/mine": b"the user's"}


@pytest.mark.parametrize(
    "names",
    [
        {0: ("t", "e")},
        {0: ("t", "e"), 4: ("t", "a")},
        {0: ("t", "a.part")},
        {5: ("t",)},
        {5: ("t", "a", "g")},
        {5: (PARTS,)},
        {5: ("t", f".{HASH}.moving")},
        {0: ("..", "a")},
    ],
)
def test_a_name_that_is_another_files_now_is_refused(tmp_path: Path, names: dict[int, tuple[str, ...]]) -> None:
    """After a kill in the middle nobody could tell which of the two it is."""
    source = lay(tmp_path)
    before = tree(tmp_path)
    for refusing in (check_target, relocate):
        with pytest.raises(InputRefused):
            refusing(SMALL, HASH, source, Place(str(tmp_path), names))
    assert tree(tmp_path) == before


def test_a_directory_inside_the_other_is_no_trap(tmp_path: Path) -> None:
    """Moving into a torrent's own folder: names of one place may be names of the other."""
    nested = torrent(1000, named("t/a", 10), named("t/t/a", 20))
    (tmp_path / "t/t").mkdir(parents=True)
    (tmp_path / "t/a").write_bytes(nested.of_file(0))
    (tmp_path / "t/t/a").write_bytes(nested.of_file(1))
    source = Place(str(tmp_path))
    with pytest.raises(InputRefused, match="t/t/a is in the way of the torrent's own files"):
        relocate(nested, HASH, source, Place(str(tmp_path / "t")))
    relocate(nested, HASH, source, Place(str(tmp_path / "t" / "u")))
    assert set(tree(tmp_path)) == {"t/u/t/a", "t/u/t/t/a"}


@pytest.mark.parametrize("taken", ["t/a", "t/a.part", "t/e", "t/e.part", PARTS])
def test_nothing_is_overwritten(places: tuple[Path, Path], taken: str) -> None:
    """A file that is there already is somebody's; nothing has moved when that is noticed."""
    here, there = places
    (there / taken).parent.mkdir(parents=True, exist_ok=True)
    (there / taken).write_bytes(b"the user's")
    before = tree(here)
    for refusing in (check_target, relocate):
        with pytest.raises(StorageFailed) as failed:
            refusing(SMALL, HASH, Place(str(here)), Place(str(there)))
        assert (failed.value.errno, failed.value.path) == (errno.EEXIST, str(there / taken))
    assert tree(here) == before
    assert tree(there) == {taken: b"the user's"}


def test_a_file_that_comes_during_the_move_is_not_overwritten(places: tuple[Path, Path]) -> None:
    """Between the first look and the last file hours may go by."""
    here, there = places

    def plant(moved: int) -> bool:
        (there / "t").mkdir(parents=True, exist_ok=True)
        (there / "t/e.part").write_bytes(b"the user's")
        return True

    with pytest.raises(StorageFailed, match="File exists"):
        relocate(SMALL, HASH, Place(str(here)), Place(str(there)), plant)
    assert tree(there)["t/e.part"] == b"the user's"
    assert tree(here)["t/e.part"] == MOVED["t/e.part"]
    (there / "t/e.part").unlink()
    relocate(SMALL, HASH, Place(str(here)), Place(str(there)))
    assert tree(there) == MOVED


def test_a_name_that_is_taken_is_refused_before_a_move_even_if_nothing_moves_there(tmp_path: Path) -> None:
    """After the move the user's file would be taken for the torrent's."""
    here, there = tmp_path / "here", tmp_path / "there"
    lay(here)
    there.mkdir()
    (there / "g").write_bytes(b"x")
    with pytest.raises(StorageFailed, match="g: File exists"):
        check_target(SMALL, HASH, Place(str(here)), Place(str(there)))


def test_what_is_equal_at_both_places_is_one(places: tuple[Path, Path]) -> None:
    """It has arrived, and a kill kept the original; or somebody has made a copy, which is as good."""
    here, there = places
    for name in ("t/a", "t/e.part"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_bytes(MOVED[name])
    relocate(SMALL, HASH, Place(str(here)), Place(str(there)))
    assert (tree(here), tree(there)) == ({}, MOVED)


def test_one_directory_reached_in_two_ways_loses_nothing(tmp_path: Path) -> None:
    """A link to itself, or a hard link of each file: the same bytes must not be taken for a second copy."""
    here, link, there = tmp_path / "here", tmp_path / "link", tmp_path / "there"
    lay(here)
    link.symlink_to(here)
    before = {name: content for name, content in tree(here).items() if not name.endswith("moving")}
    check_target(SMALL, HASH, Place(str(here)), Place(str(link)))
    relocate(SMALL, HASH, Place(str(here)), Place(str(link)))
    assert tree(here) in (before, before | {f".{HASH}.moving": b"left behind"})
    for name in before:
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(here / name, there / name)
    relocate(SMALL, HASH, Place(str(here)), Place(str(there)))
    assert tree(there) == MOVED


@pytest.mark.parametrize("where", ["here", "there"])
def test_no_link_is_followed(places: tuple[Path, Path], tmp_path: Path, where: str) -> None:
    """Below the data directories: a link would lead to other people's files."""
    here, there = places
    outside = tmp_path / "outside"
    if where == "here":
        (here / "t/b").rename(outside)
        (here / "t/b").symlink_to(outside)
    else:
        (there / "t").mkdir(parents=True)
        outside.mkdir()
        (there / "t/b").symlink_to(outside)
    before = tree(here), tree(outside)
    with pytest.raises(StorageFailed, match="is a symbolic link"):
        relocate(SMALL, HASH, Place(str(here)), Place(str(there)))
    assert (tree(here), tree(outside)) == before


def test_a_move_stops_when_it_is_told_and_goes_on_later(places: tuple[Path, Path]) -> None:
    """Between files, and within one: every file is then at one of the places, whole."""
    here, there = places
    asked: list[int] = []

    def stop(moved: int) -> bool:
        asked.append(moved)
        return False

    for stopped in range(1, 12):
        with suppress(Closed):
            relocate(SMALL, HASH, Place(str(here)), Place(str(there)), stop)
            break
        assert len(asked) == stopped
        found = tree(here) | tree(there)
        assert {name: found[name] for name in found if not name.endswith(".moving")} == MOVED
    assert len(asked) > 1
    relocate(SMALL, HASH, Place(str(here)), Place(str(there)))
    assert (tree(here), tree(there)) == ({}, MOVED)


@pytest.mark.parametrize("back", [False, True], ids=["on", "back"])
def test_a_kill_at_any_step_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: tuple[Path, Path], back: bool
) -> None:
    """Run again, it is finished; run the other way round, it is undone. Also when the second run is killed too."""
    here, there = places
    source, target = Place(str(here)), Place(str(there), {0: ("u", "a")})
    due = {("u/a" if name == "t/a" else name): content for name, content in MOVED.items()}
    total = Steps()
    relocate(SMALL, HASH, source, target)
    relocate(SMALL, HASH, target, source)
    with monkeypatch.context() as counted:
        count_steps(counted, total)
        relocate(SMALL, HASH, source, target)
    assert total.done > 15
    for step in range(total.done):
        relocate(SMALL, HASH, target, source)
        assert (tree(here), tree(there)) == (MOVED, {})
        for left, ending in ((step, pytest.raises(Killed)), (step // 2, suppress(Killed))):
            with monkeypatch.context() as killing, ending:
                count_steps(killing, Steps(left))
                relocate(SMALL, HASH, source, target)
            found = tree(here) | {name.replace("u/", "t/"): content for name, content in tree(there).items()}
            assert {name: found[name] for name in MOVED} == MOVED
        if back:
            relocate(SMALL, HASH, target, source)
            assert (tree(here), tree(there)) == (MOVED, {})
        relocate(SMALL, HASH, source, target)
        assert (tree(here), tree(there)) == ({}, due)
        assert tree_with_directories(here) == set()


@pytest.mark.parametrize("failing", ["pwritev", "fsync", "ftruncate", "mkdir", "unlink", "open"])
def test_an_error_at_any_step_leaves_each_file_whole_at_one_of_the_places(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A full disk in the middle: what moved stays moved, nothing is left half copied under its own name."""
    here, there = places
    original = {name: content for name, content in tree(here).items() if name in MOVED}
    for first in range(100):
        with monkeypatch.context() as filled:
            count_steps(filled, Steps(first, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))), [failing])
            failed: StorageFailed | None = None
            try:
                relocate(SMALL, HASH, Place(str(here)), Place(str(there)))
            except StorageFailed as error:
                failed = error
        assert failed is None or failed.errno == errno.ENOSPC
        assert tree(here) | tree(there) | original == tree(here) | tree(there)
        assert {path for path in tree(there) if path.endswith(".moving")} == set() or failing == "unlink"
        relocate(SMALL, HASH, Place(str(here)), Place(str(there)))
        assert (tree(here), tree(there)) == ({}, MOVED)
        relocate(SMALL, HASH, Place(str(there)), Place(str(here)))
        if failed is None:
            break
    else:
        pytest.fail("it never came to its end")


def test_files_are_copied_in_groups_durable_before_the_originals_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sync for each copied file, and a few for the directories, however many files there are."""
    many = torrent(1000, *(named(f"t/{number}", 10) for number in range(200)))
    here, there = tmp_path / "here", tmp_path / "there"
    part(here, there, monkeypatch)
    (here / "t").mkdir(parents=True)
    for number in range(200):
        (here / "t" / str(number)).write_bytes(many.of_file(number))
    log: list[str] = []
    fsync, unlink = os.fsync, os.unlink

    def synced(fd: int) -> None:
        log.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    def unlinked(name: str, *, dir_fd: int) -> None:
        log.append(f"unlink {name}")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "unlink", unlinked)
    relocate(many, HASH, Place(str(here)), Place(str(there)))
    syncs = [entry for entry in log if not entry.startswith("unlink")]
    assert len([entry for entry in syncs if ".moving" in entry]) == 200
    assert len(syncs) < 215
    copied = durable = 0
    for entry in log:
        if ".moving" in entry:
            copied += 1
        elif entry == str(there / "t"):
            durable = copied
        elif entry.startswith("unlink"):
            durable -= 1
            copied -= 1
            assert durable >= 0


def test_holes_stay_holes(places: tuple[Path, Path]) -> None:
    """A file of which a hundredth is there takes a hundredth of its room, at the new place too."""
    here, there = places
    sparse = torrent(1000, named("big", 10_000))
    (here / "big.part").write_bytes(b"begin")
    os.truncate(here / "big.part", 64 << 20)
    before = (here / "big.part").stat()
    if before.st_blocks * 512 > 1 << 20:
        pytest.skip("this file system knows no holes")
    relocate(sparse, HASH, Place(str(here)), Place(str(there)))
    after = (there / "big.part").stat()
    assert (after.st_size, after.st_blocks <= before.st_blocks) == (64 << 20, True)


@pytest.fixture
def other_file_system(tmp_path: Path) -> Iterator[Path]:
    memory = "/dev/shm"
    if not os.path.isdir(memory) or os.stat(memory).st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    with TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)


def test_a_real_second_file_system_there_and_back(tmp_path: Path, other_file_system: Path) -> None:
    """Nothing here is what we only think that the system does."""
    here = tmp_path / "here"
    lay(here)
    relocate(SMALL, HASH, Place(str(here)), Place(str(other_file_system / "new" / "there")))
    assert tree(other_file_system / "new" / "there") == MOVED
    assert {path.stat().st_mtime for path in other_file_system.rglob("*") if path.is_file()} == {1e9}
    relocate(SMALL, HASH, Place(str(other_file_system / "new" / "there")), Place(str(here)))
    assert (tree(here), tree(other_file_system)) == (MOVED, {})


KILLING = """if True:
    import os, sys
    from pathlib import Path
    from anabranch.storage import Place, relocate
    from storage.small_torrents import HASH, tree
    from storage.moved_torrents import MOVED, SMALL, STEPS, lay
    here, there = Path(sys.argv[1]), Path(sys.argv[2])
    lay(here)
    os.fsync = os.fstat
    for step in range(1000):
        child = os.fork()
        if not child:
            left = step
            def ending(name):
                work = getattr(os, name)
                def call(*args, **named):
                    global left
                    if name != "open" or args[1] & os.O_CREAT:
                        left -= 1
                        if left < 0:
                            os._exit(1)
                    return work(*args, **named)
                return call
            for name in STEPS:
                call = ending(name)
                if getattr(os, name) in os.supports_dir_fd:
                    os.supports_dir_fd.add(call)
                if getattr(os, name) in os.supports_fd:
                    os.supports_fd.add(call)
                setattr(os, name, call)
            relocate(SMALL, HASH, Place(str(here)), Place(str(there)))
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        relocate(SMALL, HASH, Place(str(here)), Place(str(there)))
        assert (tree(here), tree(there)) == ({}, MOVED), step
        relocate(SMALL, HASH, Place(str(there)), Place(str(here)))
        assert (tree(here), tree(there)) == (MOVED, {}), step
        if not killed:
            print(step)
            break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are ended in the middle of what they do")
def test_a_process_that_is_ended_at_any_step_loses_nothing(tmp_path: Path, other_file_system: Path) -> None:
    """The same as above, with processes that end and two file systems that are two."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", KILLING, str(tmp_path / "here"), str(other_file_system / "there")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 30


def test_data_is_removed_but_nothing_else(tmp_path: Path) -> None:
    """The torrent's files under either name, its parts file, the directories that are empty then."""
    place = lay(tmp_path)
    (tmp_path / "t" / "mine").write_bytes(b"the user's")
    (tmp_path / "t" / "b" / "c").symlink_to(tmp_path / "t" / "mine")
    assert remove_data(SMALL, HASH, place) == sum(map(len, MOVED.values())) + len(b"left behind")
    assert tree_with_directories(tmp_path) == {"t", "t/mine", "t/b", "t/b/c"}
    assert (tmp_path / "t" / "mine").read_bytes() == b"the user's"
    (tmp_path / "t" / "b" / "c").unlink()
    assert remove_data(SMALL, HASH, place) == 0
    assert tree_with_directories(tmp_path) == {"t", "t/mine"}
    (tmp_path / "t" / "mine").unlink()
    remove_data(SMALL, HASH, place)
    assert list(tmp_path.iterdir()) == []
    assert remove_data(SMALL, HASH, Place(str(tmp_path / "nowhere"))) == 0


def test_renamed_data_is_removed_by_its_present_names(tmp_path: Path) -> None:
    source = lay(tmp_path)
    target = replace(source, names={0: ("new", "name")})
    relocate(SMALL, HASH, source, target)
    remove_data(SMALL, HASH, target)
    assert list(tmp_path.iterdir()) == []


def test_nothing_behind_a_link_is_removed(tmp_path: Path) -> None:
    """A link that somebody planted would have us remove another directory's files of the same names."""
    lay(tmp_path / "other")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "t").symlink_to(tmp_path / "other" / "t")
    before = tree(tmp_path / "other")
    assert remove_data(SMALL, HASH, Place(str(tmp_path / "data"))) == 0
    assert tree(tmp_path / "other") == before


def test_a_removal_that_fails_says_which_file_and_is_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = lay(tmp_path)

    def forbid(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as forbidden:
        forbidden.setattr(os, "unlink", forbid)
        with pytest.raises(StorageFailed, match="Permission denied") as failed:
            remove_data(SMALL, HASH, place)
        assert failed.value.path.startswith(str(tmp_path))
    remove_data(SMALL, HASH, place)
    assert list(tmp_path.iterdir()) == []
