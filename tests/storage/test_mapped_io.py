"""The mmap back end: which pages are lent, and what becomes of them when files change."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any
from weakref import ref

import pytest

from anabranch.model import InfoHash, StorageFailed
from anabranch.storage import Completion, Direct, Handles, Mapped, Maps, MemoryCompletion, MmapStorage
from anabranch.storage.mapped_io import LONGEST_VIEW, WINDOW_SIZE, MmapTorrent
from anabranch.testing import StorageCheck
from storage.conformance import SMALL, every_rule
from storage.small_torrents import HASH, SmallFile, SmallTorrent, lay_down, named, put, torrent, whole

PAIR = torrent(64, named("t/a", 100), named("t/b", 92))  # pieces 0, 1 (shared), 2


pytestmark = pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="nobody can tell what is in memory")


def opened(path: Path, small: SmallTorrent = PAIR, maps: Maps | None = None) -> MmapTorrent:
    """A torrent that is there, opened, and each file once read by a worker."""
    lay_down(small, path)
    storage = MmapStorage(path, maps=maps).open(small, HASH)
    storage.record(range(small.geometry.piece_count))
    for piece in range(small.geometry.piece_count):
        whole(storage, small, piece)
    return storage


def looked_at(view: memoryview | None) -> bytes:
    """Only a test may look: it knows that nobody cuts the file short."""
    assert view is not None
    return bytes(view)


@every_rule
def test_mapped_files_are_a_whole_back_end(check: StorageCheck, tmp_path: Path) -> None:
    stores: dict[InfoHash, MemoryCompletion] = {}

    def store(info_hash: InfoHash) -> MemoryCompletion:
        return stores.setdefault(info_hash, MemoryCompletion())

    check(lambda: MmapStorage(tmp_path, store), persistent=True)


def test_the_files_are_those_of_the_file_back_end(tmp_path: Path) -> None:
    """With their abilities, and one more."""
    storage = MmapStorage(tmp_path).open(PAIR, HASH)
    assert isinstance(storage, Mapped)
    assert isinstance(storage, Direct)
    put(storage, PAIR, 0, 1, 2)
    assert (tmp_path / "t" / "a.part").read_bytes() == PAIR.of_file(0)
    storage.record([0, 1, 2])
    assert (tmp_path / "t" / "a").read_bytes() == PAIR.of_file(0)


def test_a_view_has_the_first_run_of_the_bytes_and_cannot_be_written_to(tmp_path: Path) -> None:
    """A file's border ends it."""
    storage = opened(tmp_path)
    view = storage.mapped(10, 182)
    assert looked_at(view) == PAIR.content[10:100]
    assert view is not None
    assert view.readonly
    assert looked_at(storage.mapped(100, 92)) == PAIR.of_file(1)
    assert looked_at(storage.mapped(191, 1)) == PAIR.content[191:]
    assert storage.mapped(192, 0) is None
    with pytest.raises(ValueError, match="bytes 190 to 193"):
        storage.mapped(190, 3)


def test_nothing_is_opened_to_be_mapped(tmp_path: Path) -> None:
    """The network thread asks, and must not wait for a disk: a worker's read opens the file."""
    lay_down(PAIR, tmp_path)
    storage = MmapStorage(tmp_path, handles=(handles := Handles())).open(PAIR, HASH)
    assert storage.mapped(0, 64) is None
    assert len(handles) == 0
    whole(storage, PAIR, 0)
    assert looked_at(storage.mapped(0, 64)) == PAIR.of_piece(0)


def test_padding_empty_files_and_the_parts_file_are_read(tmp_path: Path) -> None:
    """There is no file of their own to be mapped."""
    storage = opened(tmp_path / "all", SMALL)
    pad = next(file for file in SMALL.files if file.pad)
    assert storage.mapped(pad.offset, pad.length) is None
    assert looked_at(storage.mapped(130, 100)) == SMALL.of_file(2)

    parts = MmapStorage(tmp_path / "parts").open(PAIR, HASH)
    parts.select([True, False])
    put(parts, PAIR, 0, 1)
    assert looked_at(parts.mapped(64, 64)) == PAIR.content[64:100]
    assert parts.mapped(100, 28) is None
    assert whole(parts, PAIR, 1) == PAIR.of_piece(1)


def test_maps_follow_a_file_through_all_its_names(tmp_path: Path) -> None:
    """The flaw: maps that were kept by path showed, after a rename, another file or none."""
    maps = Maps()
    storage = MmapStorage(tmp_path, maps=maps).open(PAIR, HASH)
    put(storage, PAIR, 0, 1, 2)
    assert looked_at(storage.mapped(0, 64)) == PAIR.of_piece(0)
    storage.record([0, 1, 2])  # a.part is a
    (tmp_path / "t" / "a.part").write_bytes(b"?" * 100)
    assert looked_at(storage.mapped(0, 64)) == PAIR.of_piece(0)
    (tmp_path / "t" / "a.part").unlink()
    storage.piece(0).mark_incomplete()  # and a.part again
    storage.piece(0).writev(0, [b"new"])
    assert looked_at(storage.mapped(0, 3)) == b"new"
    assert len(maps) == 1


def test_what_was_put_in_a_files_place_is_mapped_anew(tmp_path: Path) -> None:
    """Whoever holds the old pages keeps them; who asks again has them read first."""
    storage = opened(tmp_path)
    old = storage.mapped(0, 64)
    (tmp_path / "other").write_bytes(bytes(100))
    os.replace(tmp_path / "other", tmp_path / "t" / "a")
    assert storage.mapped(0, 64) is None
    assert whole(storage, PAIR, 0) == bytes(64)
    assert looked_at(storage.mapped(0, 64)) == bytes(64)
    assert looked_at(old) == PAIR.of_piece(0)


def test_what_lies_behind_the_end_of_a_file_is_not_lent(tmp_path: Path) -> None:
    """However long it was when it was mapped; and what is there again is lent again."""
    small = torrent(WINDOW_SIZE // 4, named("a", WINDOW_SIZE // 2))
    storage = opened(tmp_path, small)
    size = small.geometry.total
    assert looked_at(storage.mapped(size - 10, 10)) == small.content[-10:]
    os.truncate(tmp_path / "a", 5000)
    assert storage.mapped(size - 10, 10) is None
    assert storage.mapped(5000, 10) is None
    assert looked_at(storage.mapped(4990, 100)) == small.content[4990:5000]
    with pytest.raises(StorageFailed, match="short at offset 5000"):
        whole(storage, small, 0)
    with (tmp_path / "a").open("ab") as grows:
        grows.write(small.content[5000:])
    assert looked_at(storage.mapped(4990, 100)) == small.content[4990:5090]


def test_a_file_that_grows_is_mapped_anew(tmp_path: Path) -> None:
    """As it does while it downloads."""
    storage = MmapStorage(tmp_path, maps=(maps := Maps())).open(PAIR, HASH)
    put(storage, PAIR, 0)
    assert looked_at(storage.mapped(0, 100)) == PAIR.of_piece(0)
    put(storage, PAIR, 1)
    assert looked_at(storage.mapped(0, 100)) == PAIR.of_file(0)
    assert len(maps) == 1


def test_a_large_file_is_mapped_in_windows_and_no_view_is_cut_at_their_borders(tmp_path: Path) -> None:
    """The windows lap over by the longest view."""
    size = 2 * WINDOW_SIZE + 5
    small = torrent(WINDOW_SIZE, SmallFile(("a",), size))
    maps = Maps()
    storage = opened(tmp_path, small, maps)
    draw = Random(1)
    places = [0, WINDOW_SIZE - 1, WINDOW_SIZE, 2 * WINDOW_SIZE - 1, size - 1]
    for place in (*places, *(draw.randrange(size) for _ in range(20))):
        assert looked_at(storage.mapped(place, 1)) == small.content[place : place + 1]
        length = min(LONGEST_VIEW, size - place)
        assert looked_at(storage.mapped(place, length)) == small.content[place : place + length]
    assert len(maps) == 3


def test_the_number_of_windows_is_bounded(tmp_path: Path) -> None:
    """The one that was not used for longest goes, also another torrent's."""
    maps = Maps(most=2)
    ones = [opened(tmp_path / str(number), PAIR, maps) for number in range(3)]
    views = [storage.mapped(0, 64) for storage in ones]
    assert len(maps) == 2
    assert [looked_at(view) for view in views] == [PAIR.of_piece(0)] * 3
    assert looked_at(ones[0].mapped(0, 64)) == PAIR.of_piece(0)
    ones[0].close()
    assert len(maps) == 1


def test_views_that_never_come_back_do_not_have_more_and_more_mapped(tmp_path: Path) -> None:
    """Peers that take nothing hold them, and each map has a descriptor: from some number on bytes are read."""
    maps = Maps(most=2)
    ones = [opened(tmp_path / str(number), PAIR, maps) for number in range(6)]
    views = [storage.mapped(0, 64) for storage in ones]
    assert [view is not None for view in views] == [True] * 4 + [False] * 2
    views[0] = None
    assert looked_at(ones[5].mapped(0, 64)) == PAIR.of_piece(0)


@pytest.mark.parametrize("cold", [0, 63])
def test_what_is_not_in_memory_is_not_lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cold: int) -> None:
    """Whoever sent it would wait for the disk: its first and its last byte have to be there."""
    storage = opened(tmp_path)
    read = os.preadv

    def preadv(fd: int, views: list[memoryview], place: int, flags: int = 0) -> int:
        if place == cold:
            raise BlockingIOError
        return read(fd, views, place, flags)

    monkeypatch.setattr(os, "preadv", preadv)
    assert storage.mapped(0, 64) is None
    assert looked_at(storage.mapped(1, 60)) == PAIR.content[1:61]


def test_what_is_lent_stays_until_it_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map with views is never unmapped, and nobody hears of that; without, it goes at close, and its descriptor."""
    made: list[ref[mmap.mmap]] = []
    plain = mmap.mmap

    def watched(*given: Any, **named: Any) -> mmap.mmap:
        fresh = plain(*given, **named)
        made.append(ref(fresh))
        return fresh

    monkeypatch.setattr(mmap, "mmap", watched)
    storage = opened(tmp_path)
    view = storage.mapped(0, 64)
    assert view is not None
    part = view[10:20]
    del view
    storage.close()
    assert len(made) == 1
    assert made[0]() is not None
    assert bytes(part) == PAIR.content[10:20]
    del part
    assert made[0]() is None
    assert storage.mapped(0, 64) is None


@pytest.mark.parametrize(
    "refusal", [OSError(errno.ENODEV, "no maps here"), OSError(errno.ENOMEM, "no room"), ValueError()]
)
def test_where_nothing_can_be_mapped_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    """A file system without maps, no room, a file that is cut short at this moment."""

    def refuse(*given: object, **named: object) -> None:
        raise refusal

    storage = opened(tmp_path)
    monkeypatch.setattr(mmap, "mmap", refuse)
    assert storage.mapped(0, 64) is None
    assert whole(storage, PAIR, 0) == PAIR.of_piece(0)


class Unreadable(MemoryCompletion):
    """A completion store whose disk fails."""

    def record(self, *given: object, **named: object) -> None:
        raise StorageFailed("/db", "Input/output error", errno.EIO)


def test_a_completion_store_that_fails_is_an_error_like_others(tmp_path: Path) -> None:
    """The flaw: a completion store's error, met when a mapped piece was asked for its completion, ended the program."""
    lay_down(PAIR, tmp_path)
    storage = MmapStorage(tmp_path, completion=lambda _: Unreadable()).open(PAIR, HASH)
    assert storage.piece(0).completion() is Completion.UNKNOWN
    with pytest.raises(StorageFailed, match="Input/output error"):
        storage.piece(0).mark_complete()
    assert storage.piece(0).completion() is not Completion.COMPLETE
    assert whole(storage, PAIR, 0) == PAIR.of_piece(0)


CUT_SHORT = """
import errno, os, socket, sys
from pathlib import Path
from anabranch.storage import MmapStorage
from storage.small_torrents import HASH, lay_down, named, torrent

place = Path(sys.argv[1])
small = torrent(1 << 20, named("a", 1 << 20))
lay_down(small, place)
storage = MmapStorage(place).open(small, HASH)
storage.piece(0).readinto(0, bytearray(10))
view = storage.mapped(0, 1 << 20)
{sockets}
ours.setblocking(False)
try:
    while True:
        ours.send(bytes(1 << 16))  # until it is full
except BlockingIOError:
    pass
os.truncate(place / "a", 0)
theirs.setblocking(False)
try:
    while theirs.recv(1 << 20):
        pass
except BlockingIOError:
    pass
assert storage.mapped(0, 10) is None
try:
    ours.sendmsg([b"header", view])
    ours.sendmsg([view[:16384], b"header"])  # the first one may send what lies before the pages
except OSError as error:
    print(errno.errorcode[error.errno])
storage.close()
del view
print("alive")
"""
UNIX = "ours, theirs = socket.socketpair()"
TCP = """
ours, server = socket.socket(), socket.create_server(("127.0.0.1", 0))
ours.connect(server.getsockname())
theirs, _ = server.accept()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what other systems answer was not seen")
@pytest.mark.parametrize("sockets", [UNIX, TCP], ids=["unix", "tcp"])
def test_a_file_that_is_cut_short_while_its_pages_are_lent_ends_no_program(tmp_path: Path, sockets: str) -> None:
    """The system call that should send them answers EFAULT: a signal would have ended the child."""
    tests = Path(__file__).parent.parent
    child = subprocess.run(
        [sys.executable, "-c", CUT_SHORT.format(sockets=sockets), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (child.returncode, child.stdout.split()) == (0, ["EFAULT", "alive"]), child.stderr


def test_a_storage_that_is_closed_while_it_maps_keeps_no_map(tmp_path: Path) -> None:
    """By another thread: nobody would ever drop it."""

    class Closing(Maps):
        def view(self, *given: Any) -> memoryview | None:
            storage.close()
            return super().view(*given)

    storage = opened(tmp_path, maps=(maps := Closing()))
    storage.mapped(0, 64)
    assert len(maps) == 0
