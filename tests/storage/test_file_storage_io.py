"""The file back end: names, sizes, reading, errors. Durability and selection have modules of their own."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from anabranch.model import Geometry, InfoHash, InputRefused, StorageFailed
from anabranch.storage import (
    Bulk,
    Completion,
    Direct,
    FileStorage,
    Groups,
    Handles,
    Hashes,
    MemoryCompletion,
    ReadsAcross,
    ReadsWarm,
    Selects,
    Sparse,
)
from anabranch.testing import StorageCheck
from storage.conformance import SMALL, every_rule
from storage.small_torrents import HASH, SmallFile, SmallTorrent, got, lay_down, named, put, torrent, tree, whole

PAIR = torrent(64, named("t/a", 100), named("t/b", 92))  # pieces 0, 1 (shared), 2


FAST_CALLS = ("preadv", "pwritev")
ALL_CALLS = (*FAST_CALLS, "pread", "pwrite", "SEEK_DATA", "RWF_NOWAIT", "fchmod")


@pytest.mark.parametrize(("hidden", "preallocate"), [((), False), ((), True), (FAST_CALLS, False), (ALL_CALLS, False)])
@every_rule
def test_files_are_a_whole_back_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hidden: tuple[str, ...],
    check: StorageCheck,
    preallocate: bool,
) -> None:
    """Also where the system lacks the fast calls."""
    for name in hidden:
        monkeypatch.delattr(os, name, raising=False)
    if hidden:
        monkeypatch.setattr(os, "supports_dir_fd", set())
    stores: dict[InfoHash, MemoryCompletion] = {}
    home = FileStorage(tmp_path, lambda hash_: stores.setdefault(hash_, MemoryCompletion()), preallocate=preallocate)
    check(lambda: home, persistent=True)


def test_it_has_every_ability(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path).open(SMALL, HASH)
    for ability in (ReadsWarm, ReadsAcross, Groups, Bulk, Selects, Sparse, Hashes, Direct):
        assert isinstance(storage, ability)
    assert storage.capacity is None


def test_a_file_has_its_name_once_its_last_piece_is_recorded(tmp_path: Path) -> None:
    """Until then it ends with .part, so that nobody takes it for complete."""
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    put(storage, PAIR, 0, 1, 2)
    assert set(tree(tmp_path)) == {"t/a.part", "t/b.part"}
    storage.record([0, 1])
    assert set(tree(tmp_path)) == {"t/a", "t/b.part"}
    storage.record([2])
    assert tree(tmp_path) == {"t/a": PAIR.of_file(0), "t/b": PAIR.of_file(1)}
    storage.piece(2).mark_incomplete()
    assert set(tree(tmp_path)) == {"t/a", "t/b.part"}
    assert whole(storage, PAIR, 1) == PAIR.of_piece(1)


def test_files_that_begin_at_pieces_are_whole_without_what_is_between_them(tmp_path: Path) -> None:
    """BEP 52: in a v2 torrent offsets have gaps, and files have not."""
    files = (SmallFile(("t", "a"), 100), SmallFile(("t", "b"), 5, 128), SmallFile(("t", "c"), 64, 192))
    gaps = SmallTorrent(Geometry(256, 64, {1: 36, 2: 5}), files, bytes(range(256)))
    storage = FileStorage(tmp_path).open(gaps, HASH)
    put(storage, gaps, 0, 1, 2, 3)
    assert [whole(storage, gaps, piece) for piece in range(4)] == [gaps.of_piece(piece) for piece in range(4)]
    storage.record(range(4))
    assert tree(tmp_path) == {"t/a": gaps.of_file(0), "t/b": gaps.of_file(1), "t/c": gaps.of_file(2)}
    assert all(map(storage.present, range(4)))


def test_pad_files_are_never_on_the_disk_and_read_as_zeros(tmp_path: Path) -> None:
    """BEP 47; a peer's non-zero padding is not kept either."""
    storage = FileStorage(tmp_path).open(SMALL, HASH)
    put(storage, SMALL, 0, 1, 2, 3)
    storage.piece(1).writev(75, [b"\xff" * 25])
    assert whole(storage, SMALL, 1) == SMALL.of_piece(1)
    storage.record(range(4))
    assert set(tree(tmp_path)) == {"t/a", "t/b", "t/c", "t/empty"}


def test_an_executable_file_becomes_executable_with_its_name(tmp_path: Path) -> None:
    """BEP 47 "x": for those who may read it."""
    small = torrent(64, SmallFile(("run",), 10, executable=True), named("read", 10))
    storage = FileStorage(tmp_path).open(small, HASH)
    put(storage, small, 0)
    storage.record([0])
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "read").stat().st_mode) == 0o644


def test_a_torrent_of_empty_files_is_made_when_they_are_selected(tmp_path: Path) -> None:
    small = torrent(64, named("t/wanted", 0), named("t/not", 0))
    storage = FileStorage(tmp_path).open(small, HASH)
    assert tree(tmp_path) == {}
    storage.select([True, False])
    assert tree(tmp_path) == {"t/wanted": b""}
    assert storage.completions() == storage.completions()


def test_symbolic_links_of_a_torrent_are_not_made_and_not_minded(tmp_path: Path) -> None:
    """BEP 47 "l": a link could lead anywhere. One that another program made is left as it is."""
    small = torrent(64, named("t/a", 10), SmallFile(("t", "link"), 0, symlink=("t", "a")))
    lay_down(torrent(64, named("t/a", 10)), tmp_path)
    storage = FileStorage(tmp_path).open(small, HASH)
    storage.select([True, True])
    assert set(tree(tmp_path)) == {"t/a"}
    (tmp_path / "t" / "link").symlink_to("a")
    assert whole(FileStorage(tmp_path).open(small, HASH), small, 0) == small.of_piece(0)


def test_names_in_any_script_and_of_any_length_are_kept(tmp_path: Path) -> None:
    small = torrent(64, named("東京/Ünï→😀", 50), named("x" * 255, 50), named("東京/Ünï→😀.part", 9))
    storage = FileStorage(tmp_path).open(small, HASH)
    put(storage, small, 0, 1)
    assert len(tree(tmp_path)) == 3
    storage.record([0, 1])
    assert tree(tmp_path) == {"/".join(file.path): small.of_file(number) for number, file in enumerate(small.files)}


def test_a_torrent_cannot_write_outside_its_directory(tmp_path: Path) -> None:
    """Neither by its names nor by a link that somebody planted."""
    with pytest.raises(InputRefused):
        FileStorage(tmp_path / "data").open(torrent(64, named("../a", 5)), HASH)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "t").symlink_to(tmp_path)
    with pytest.raises(StorageFailed, match="is a symbolic link"):
        FileStorage(tmp_path / "data").open(PAIR, HASH)
    (tmp_path / "data" / "t").unlink()
    storage = FileStorage(tmp_path / "data").open(PAIR, HASH)
    (tmp_path / "data" / "t").symlink_to(tmp_path)
    with pytest.raises(StorageFailed, match="is a symbolic link"):
        put(storage, PAIR, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_data_that_is_there_is_read_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeding from a read-only medium: nothing is renamed, made, or opened for writing."""
    lay_down(PAIR, tmp_path)
    real, opened = os.open, []

    def noting(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        opened.append(flags)
        return real(path, flags, mode, dir_fd=dir_fd)

    client = FileStorage(tmp_path)
    monkeypatch.setattr(os, "open", noting)
    storage = client.open(PAIR, HASH)
    assert storage.completions()[0].to01() == "000"  # data is never trusted by its size alone
    storage.select([True, True])
    assert [whole(storage, PAIR, piece) for piece in range(3)] == [PAIR.of_piece(piece) for piece in range(3)]
    storage.record(range(3))
    assert opened
    assert not any(flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT) for flags in opened)
    assert set(tree(tmp_path)) == {"t/a", "t/b"}


def test_what_lies_behind_a_files_end_is_not_the_torrents(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A longer file is read as it is; it is cut only when the torrent writes to it."""
    lay_down(PAIR, tmp_path)
    with (tmp_path / "t" / "a").open("ab") as file:
        file.write(b"more")
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    assert "file of wrong size" in caplog.text
    assert whole(storage, PAIR, 1) == PAIR.of_piece(1)
    assert (tmp_path / "t" / "a").stat().st_size == 104
    put(storage, PAIR, 0)
    storage.record(range(3))
    assert tree(tmp_path)["t/a"] == PAIR.of_file(0)


def test_recorded_pieces_whose_files_are_gone_or_short_are_incomplete(tmp_path: Path) -> None:
    """A file's size is compared with what is recorded, at each start."""
    small = torrent(10, named("a", 35), named("b", 35), named("c", 30))
    store = MemoryCompletion()
    store.record(range(10), [])
    lay_down(small, tmp_path)
    (tmp_path / "a").unlink()
    os.truncate(tmp_path / "b", 17)
    storage = FileStorage(tmp_path, lambda _: store).open(small, HASH)
    known, complete = storage.completions()
    assert complete.to01() == "0000100111"  # b's bytes 17 to 35 are the torrent's 52 to 70
    assert known.all()
    known, complete = store.load(10)
    assert complete.to01() == "0000100111"
    assert known == complete  # the next start finds out for itself: perhaps a disk was not mounted


def test_a_piece_that_cannot_be_there_needs_no_hashing(tmp_path: Path) -> None:
    small = torrent(8192, named("a", 3 * 8192), named("b", 8192), named("c", 100))
    (tmp_path / "a.part").write_bytes(b"x" * 8192)
    with (tmp_path / "a.part").open("r+b") as file:
        file.truncate(3 * 8192)
    (tmp_path / "c").write_bytes(b"x" * 40)
    storage = FileStorage(tmp_path).open(small, HASH)
    assert storage.completions()[0].to01() == "00011"
    assert [storage.piece(piece).completion() for piece in (0, 3)] == [Completion.UNKNOWN, Completion.INCOMPLETE]
    assert [storage.present(piece) for piece in range(5)] == [True, False, False, False, True]


def test_holes_of_a_file_that_was_whole_are_zeros_to_be_hashed(tmp_path: Path) -> None:
    """The image of a disk that somebody copied sparsely: nothing of it is missing."""
    small = torrent(8192, named("a", 3 * 8192), named("b", 8192))
    (tmp_path / "a").write_bytes(b"x" * 8192)
    with (tmp_path / "a").open("r+b") as file:
        file.truncate(3 * 8192)
    storage = FileStorage(tmp_path).open(small, HASH)
    assert [storage.present(piece) for piece in range(4)] == [True, True, True, False]


def test_a_file_that_was_cut_behind_our_back_is_named(tmp_path: Path) -> None:
    lay_down(PAIR, tmp_path)
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    whole(storage, PAIR, 0)
    os.truncate(tmp_path / "t" / "a", 80)
    with pytest.raises(StorageFailed, match=r"t/a: 20 bytes short at offset 80$"):
        whole(storage, PAIR, 1)


def test_a_file_that_was_removed_takes_its_pieces_with_it(tmp_path: Path) -> None:
    """Also while we hold it open: bytes written to a removed file are lost."""
    store = MemoryCompletion()
    storage = FileStorage(tmp_path, lambda _: store).open(PAIR, HASH)
    put(storage, PAIR, 0, 1, 2)
    storage.record(range(3))
    (tmp_path / "t" / "b").unlink()
    with pytest.raises(StorageFailed, match="t/b: No such file") as failed:
        whole(storage, PAIR, 2)
    assert failed.value.errno == errno.ENOENT
    assert storage.completions()[1].to01() == "100"
    assert store.load(3)[1].to01() == "100"
    put(storage, PAIR, 1, 2)
    storage.record([1, 2])
    assert tree(tmp_path)["t/b"] == PAIR.of_file(1)


def test_a_file_that_somebody_gave_its_other_name_is_found(tmp_path: Path) -> None:
    handles = Handles(limit=0)
    storage = FileStorage(tmp_path, handles=handles).open(PAIR, HASH)
    put(storage, PAIR, 0, 1, 2)
    (tmp_path / "t" / "a.part").rename(tmp_path / "t" / "a")
    assert whole(storage, PAIR, 0) == PAIR.of_piece(0)
    storage.record(range(3))
    assert set(tree(tmp_path)) == {"t/a", "t/b"}


def test_warm_reads_never_open_a_file(tmp_path: Path) -> None:
    """Opening may wait for a disk: a worker does it, and later reads are warm."""
    handles = Handles()
    storage = FileStorage(tmp_path, handles=handles).open(PAIR, HASH)
    put(storage, PAIR, 0, 1, 2)
    room = bytearray(150)
    warm = storage.read_warm(20, room)
    assert room[:warm] == PAIR.content[20 : 20 + warm]
    storage.close()
    assert len(handles) == 0
    storage = FileStorage(tmp_path, handles=handles).open(PAIR, HASH)
    assert storage.read_warm(20, room) == 0
    with pytest.raises(ValueError, match="of a piece of 192"):
        storage.read_warm(100, room)


def test_open_files_are_bounded(tmp_path: Path) -> None:
    """A torrent of thousands of files must leave descriptors for peers."""
    small = torrent(4, *(named(f"f{number}", 10) for number in range(50)))
    handles = Handles(limit=8)
    storage = FileStorage(tmp_path, handles=handles).open(small, HASH)
    pieces = range(small.geometry.piece_count)
    put(storage, small, *pieces)
    assert [whole(storage, small, piece) for piece in pieces] == [small.of_piece(piece) for piece in pieces]
    storage.record(pieces)
    assert len(handles) <= 8


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_what_the_system_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    put(storage, PAIR, 0)

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as system:
        system.setattr(os, "pwritev", refuse)
        with pytest.raises(StorageFailed) as failed:
            put(storage, PAIR, 1)
    assert (failed.value.errno, failed.value.reason) == (number, os.strerror(number))
    assert failed.value.path == str(tmp_path / "t" / "a.part")
    put(storage, PAIR, 1)  # there is room again: nothing was lost
    assert whole(storage, PAIR, 0) == PAIR.of_piece(0)


def test_a_disk_that_takes_no_more_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    """A real refusal by the system: a limit on the size of files, in a process of its own."""
    program = """if True:
        import resource, sys
        from anabranch.model import StorageFailed
        from anabranch.storage import FileStorage
        from storage.small_torrents import HASH, named, put, torrent, whole
        small = torrent(1 << 16, named("a", 5 << 16))
        storage = FileStorage(sys.argv[1]).open(small, HASH)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, resource.RLIM_INFINITY))
        put(storage, small, 0, 1)
        try:
            put(storage, small, 2)
        except StorageFailed as failed:
            print(failed)
        storage.record([0, 1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        put(storage, small, 2, 3, 4)
        storage.record([2, 3, 4])
        assert b"".join(whole(storage, small, piece) for piece in range(5)) == small.content
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    assert ran.stdout == f"{tmp_path / 'a.part'}: File too large\n"


def test_a_data_directory_that_cannot_be_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match=r"file/data: Not a directory"):
        FileStorage(tmp_path / "file" / "data").open(PAIR, HASH)


def test_threads_write_read_and_record_at_the_same_time(tmp_path: Path) -> None:
    """Files are promoted and demoted, and descriptors evicted, under readers that must not notice."""
    small = torrent(100, *(named(f"d{number % 3}/f{number}", 170) for number in range(12)))
    storage = FileStorage(tmp_path, handles=Handles(limit=3)).open(small, HASH)
    count = small.geometry.piece_count
    faults: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for piece in range(first, count, 4):
                put(storage, small, piece)
                storage.record([piece])
                assert whole(storage, small, piece) == small.of_piece(piece)
                again = range(first, piece + 1, 4)[piece % len(range(first, piece + 1, 4))]
                storage.piece(again).mark_incomplete()
                assert whole(storage, small, again) == small.of_piece(again)
                assert storage.present(again)
                storage.record([again])
                room = bytearray(100)
                warm = storage.read_warm(again * 100, room)
                assert room[:warm] == small.of_piece(again)[:warm]
        except BaseException as fault:
            faults.append(fault)
            raise

    threads = [Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert storage.completions()[1].all()
    assert tree(tmp_path) == {"/".join(file.path): small.of_file(number) for number, file in enumerate(small.files)}


def test_a_zero_length_read_of_a_piece_is_nothing(tmp_path: Path) -> None:
    lay_down(PAIR, tmp_path)
    storage = FileStorage(tmp_path).open(PAIR, HASH)
    assert got(storage.piece(0), 0, begin=64) == b""
