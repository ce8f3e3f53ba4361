"""The disk cache: what it keeps, what it gives up, and that no kill and no fault leaves a record without its bytes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from anabranch.model import Closed, Geometry, InfoHash, InputRefused, StorageFailed
from anabranch.storage import CacheStorage, Completion, GivesUp, Heeds
from anabranch.storage import cache_space_io as space_io
from anabranch.storage.cache_storage_io import CacheTorrent
from anabranch.testing import SPACE, StorageCheck
from storage.conformance import every_rule
from storage.small_torrents import HASH, SmallTorrent, got, named, put, torrent, whole

KIB = 1024
PIECE = 64 * KIB
OTHER = InfoHash(b"\xcd" * 20)
BIG = torrent(PIECE, named("big", 12 * PIECE - 1000))
ODD = torrent(5000, named("odd", 60_000))  # pieces that begin within blocks of the file system


def fetch(storage: CacheTorrent, small: SmallTorrent, *pieces: int) -> None:
    """As the engine does with each piece that is right."""
    for piece in pieces:
        put(storage, small, piece)
        storage.record([piece])


def here(storage: CacheTorrent) -> list[int]:
    return list(storage.completions()[1].search(1))


def check(storage: CacheTorrent, small: SmallTorrent) -> list[int]:
    """What is recorded complete is right. Answers it."""
    complete = here(storage)
    for piece in complete:
        assert whole(storage, small, piece) == small.of_piece(piece), piece
    return complete


def on_disk(directory: Path, info_hash: InfoHash = HASH) -> int:
    return (directory / f"{info_hash}.cache").stat().st_blocks * 512


@every_rule
@pytest.mark.parametrize("limit", [1 << 20, SPACE])
def test_it_is_a_back_end_like_any_other(check: StorageCheck, limit: int, tmp_path: Path) -> None:
    """With room enough and with none to spare."""
    check(lambda: CacheStorage(tmp_path, limit), persistent=True)


def test_it_gives_up_what_was_used_longest_ago_and_says_so(tmp_path: Path) -> None:
    """Reading is use, by either way."""
    home = CacheStorage(tmp_path, 4 * PIECE)
    storage = home.open(BIG, HASH)
    assert isinstance(storage, GivesUp)
    gone: list[int] = []
    storage.on_given_up(gone.extend)
    fetch(storage, BIG, 0, 1, 2, 3)
    assert gone == []
    whole(storage, BIG, 0)
    storage.read_across(PIECE, bytearray(10))
    fetch(storage, BIG, 4, 5)
    assert gone == [2, 3]
    assert check(storage, BIG) == [0, 1, 4, 5]
    for piece in gone:
        assert not storage.present(piece)
        assert storage.completion(piece) is Completion.INCOMPLETE
        with pytest.raises(StorageFailed, match=f"piece {piece} is not in the cache"):
            whole(storage, BIG, piece)
    assert home.used == 4 * PIECE


@pytest.mark.parametrize("small", [BIG, ODD], ids=["blocks", "odd"])
def test_what_is_given_up_goes_from_the_disk_and_its_neighbours_stay(tmp_path: Path, small: SmallTorrent) -> None:
    """Counted by the file system; pieces that begin within a block, too."""
    stride = -(-small.geometry.piece_length // 4096) * 4096
    home = CacheStorage(tmp_path, 5 * stride)
    storage = home.open(small, HASH)
    draw = Random(1)
    for _ in range(60):
        fetch(storage, small, draw.randrange(12))
        check(storage, small)
        assert home.used <= 5 * stride
        assert on_disk(tmp_path) <= 5 * stride + 16 * KIB, "extents of the file system come on top"


def test_what_is_wanted_goes_last(tmp_path: Path) -> None:
    """Else a long readahead would be fetched again and again: its beginning was used longest ago."""
    storage = CacheStorage(tmp_path, 4 * PIECE).open(BIG, HASH)
    assert isinstance(storage, Heeds)
    wanted = BIG.geometry.piece_count * [False]
    wanted[0] = wanted[1] = True
    asked = []

    def tell() -> dict[InfoHash, object]:
        asked.append(1)
        bits = storage.completions()[0]
        bits.setall(False)
        bits[[0, 1]] = True
        return {HASH: bits}

    storage.heed(tell)  # type: ignore[arg-type]  # a bitarray, as its type does not say
    fetch(storage, BIG, 0, 1, 2, 3)
    assert not asked, "while there is room nobody is asked"
    fetch(storage, BIG, 4, 5, 6)
    assert check(storage, BIG) == [0, 1, 5, 6]
    storage.heed(dict)
    fetch(storage, BIG, 7)
    assert len(here(storage)) == 4


def test_what_is_begun_stays_and_may_go_beyond_the_limit(tmp_path: Path) -> None:
    """Somebody goes on with it. When it is complete the space is what it was."""
    home = CacheStorage(tmp_path, 3 * PIECE)
    storage = home.open(BIG, HASH)
    fetch(storage, BIG, 0)
    put(storage, BIG, 1, 2, 3, 4)
    assert here(storage) == []
    assert home.used == 4 * PIECE
    assert [whole(storage, BIG, piece) == BIG.of_piece(piece) for piece in (1, 2, 3, 4)] == [True] * 4
    storage.record([1, 2, 3, 4])
    fetch(storage, BIG, 5)
    assert home.used <= 3 * PIECE
    assert 5 in check(storage, BIG)


def test_torrents_share_the_space_and_its_object(tmp_path: Path) -> None:
    """W26: one capacity object for all of a directory, open or opened again. The flaw: each open made its own one."""
    home = CacheStorage(tmp_path, 4 * PIECE)
    one, other = home.open(BIG, HASH), home.open(BIG, OTHER)
    gone: list[int] = []
    one.on_given_up(gone.extend)
    assert one.capacity is other.capacity is not None
    fetch(one, BIG, 0, 1, 2)
    fetch(other, BIG, 0, 1, 2)
    assert gone == [0, 1]
    assert check(one, BIG) == [2]
    assert check(other, BIG) == [0, 1, 2]
    capacity = one.capacity
    one.close()
    assert home.open(BIG, HASH).capacity is capacity


def test_what_torrents_left_that_are_not_open_counts_and_goes_first(tmp_path: Path) -> None:
    """By last use, which is remembered over runs. A file of which nothing is left goes, too."""
    home = CacheStorage(tmp_path, 5 * PIECE)
    old = home.open(BIG, HASH)
    fetch(old, BIG, 0, 1, 2, 3)
    whole(old, BIG, 0)
    put(old, BIG, 7)
    old.close()
    home = CacheStorage(tmp_path, 5 * PIECE)
    fresh = home.open(BIG, OTHER)
    assert home.used == 5 * PIECE
    fetch(fresh, BIG, 0, 1)
    again = home.open(BIG, HASH)
    assert check(again, BIG) == [0, 2, 3], "what was begun went first, then the piece used longest ago"
    again.close()
    check(fresh, BIG)
    fetch(fresh, BIG, 2, 3)
    assert (tmp_path / f"{HASH}.cache").exists()
    fetch(fresh, BIG, 4)
    assert not (tmp_path / f"{HASH}.cache").exists()
    assert check(fresh, BIG) == [0, 1, 2, 3, 4]
    assert home.open(BIG, HASH).completions()[0].all()


def test_blocks_of_begun_pieces_survive_a_clean_stop(tmp_path: Path) -> None:
    """They are unknown then, which is to be hashed or gone on with, and nobody takes them away."""
    storage = CacheStorage(tmp_path, 3 * PIECE).open(BIG, HASH)
    storage.piece(5).writev(0, [BIG.of_piece(5)[: 32 * KIB]])
    storage.flush()
    storage.close()
    storage = CacheStorage(tmp_path, 3 * PIECE).open(BIG, HASH)
    assert storage.completion(5) is Completion.UNKNOWN
    assert storage.present(5)
    fetch(storage, BIG, 0, 1, 2, 3)
    assert got(storage.piece(5), 32 * KIB) == BIG.of_piece(5)[: 32 * KIB]


def test_what_is_left_of_a_killed_run_takes_nothing_from_what_may_be_wanted(tmp_path: Path) -> None:
    """Nobody may count on that space before somebody has looked at it: what was wanted would be fetched in turns."""
    home = CacheStorage(tmp_path, 4 * PIECE)
    storage = home.open(BIG, HASH)
    put(storage, BIG, 3, 4)
    storage.close()
    storage = home.open(BIG, HASH)
    space = storage.capacity
    assert isinstance(space, space_io.CacheSpace)
    assert space.capacity() == 2 * PIECE
    storage.record([3])
    assert space.capacity() == 3 * PIECE
    storage.record([], [4])
    assert space.capacity() == 4 * PIECE


def test_what_was_found_wrong_is_the_first_to_go(tmp_path: Path) -> None:
    """Before anything that is right; at the close at the latest."""
    home = CacheStorage(tmp_path, 4 * PIECE)
    storage = home.open(BIG, HASH)
    fetch(storage, BIG, 0, 1, 2, 3)
    storage.record([], [3])
    fetch(storage, BIG, 4)
    assert check(storage, BIG) == [0, 1, 2, 4]
    storage.record([], [0])
    storage.close()
    storage = home.open(BIG, HASH)
    assert storage.completion(0) is Completion.INCOMPLETE
    assert home.used == 3 * PIECE


def test_the_capacity_may_change_at_any_time(tmp_path: Path) -> None:
    """What does not fit any more goes at once, whoever is open."""
    home = CacheStorage(tmp_path, 8 * PIECE)
    storage = home.open(BIG, HASH)
    fetch(storage, BIG, *range(8))
    home.set_capacity(3 * PIECE)
    assert check(storage, BIG) == [5, 6, 7]
    assert on_disk(tmp_path) <= 3 * PIECE + 16 * KIB
    home.set_capacity(5 * PIECE)
    fetch(storage, BIG, 0, 1)
    assert check(storage, BIG) == [0, 1, 5, 6, 7]
    storage.close()
    home.set_capacity(2 * PIECE)
    assert check(home.open(BIG, HASH), BIG) == [6, 7], "in the order in which check() read them"
    for size in (0, -1):
        with pytest.raises(InputRefused, match="no cache has a capacity"):
            home.set_capacity(size)
    with pytest.raises(InputRefused, match=f"has no room for a piece of {PIECE}"):
        home.set_capacity(PIECE - 1)
    assert home.capacity == 2 * PIECE


def test_a_piece_that_is_longer_than_the_cache_is_refused_in_words(tmp_path: Path) -> None:
    """When the torrent is opened, before anything is fetched."""
    home = CacheStorage(tmp_path, PIECE - 1)
    with pytest.raises(InputRefused, match=f"a cache of {PIECE - 1} bytes has no room for a piece of {PIECE}"):
        home.open(BIG, HASH)
    CacheStorage(tmp_path, PIECE).open(BIG, HASH).close()


def test_a_directory_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    """Another storage of this process, and another process; when the last torrent is closed it is free."""
    storage = CacheStorage(tmp_path, 4 * PIECE).open(BIG, HASH)
    with pytest.raises(StorageFailed, match="in use by somebody else"):
        CacheStorage(tmp_path, 4 * PIECE).open(BIG, OTHER)
    program = (
        "import sys; from anabranch.storage import CacheStorage; from anabranch.model import Geometry, InfoHash\n"
        "class Info: geometry, files = Geometry(9, 9), ()\n"
        f"CacheStorage(sys.argv[1], {PIECE}).open(Info, InfoHash(bytes(20)))"
    )
    run = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert f"in use by process {os.getpid()}" in run.stderr
    with pytest.raises(StorageFailed, match="is open already"):
        CacheStorage.open(_home_of(storage), BIG, HASH)
    storage.close()
    storage.close()
    CacheStorage(tmp_path, 4 * PIECE).open(BIG, OTHER).close()


def _home_of(storage: CacheTorrent) -> CacheStorage:
    home = CacheStorage.__new__(CacheStorage)
    home._space, home._warm = storage._space, storage._warm
    return home


def test_files_that_the_index_does_not_know_go_and_records_without_bytes_too(tmp_path: Path) -> None:
    """Whatever is called otherwise stays: the directory may have been somebody's."""
    storage = CacheStorage(tmp_path, 8 * PIECE).open(BIG, HASH)
    fetch(storage, BIG, 0, 3, 5)
    storage.close()
    (tmp_path / f"{OTHER}.cache").write_bytes(b"x" * 9)
    (tmp_path / "mine.cache").write_bytes(b"x")
    os.truncate(tmp_path / f"{HASH}.cache", 3 * PIECE)
    home = CacheStorage(tmp_path, 8 * PIECE)
    storage = home.open(BIG, HASH)
    assert check(storage, BIG) == [0]
    assert storage.completion(3) is Completion.INCOMPLETE
    assert home.used == PIECE
    assert sorted(path.name for path in tmp_path.glob("*.cache")) == [f"{HASH}.cache", "mine.cache"]
    storage.close()
    (tmp_path / f"{HASH}.cache").unlink()
    assert check(home.open(BIG, HASH), BIG) == []


def test_a_file_that_is_removed_takes_its_pieces_with_it(tmp_path: Path) -> None:
    """The engine is told, and can go on."""
    home = CacheStorage(tmp_path, 8 * PIECE)
    storage = home.open(BIG, HASH)
    gone: list[int] = []
    storage.on_given_up(gone.extend)
    fetch(storage, BIG, 0, 3)
    (tmp_path / f"{HASH}.cache").unlink()
    with pytest.raises(StorageFailed, match="No such file"):
        whole(storage, BIG, 3)
    assert gone == [0, 3]
    assert home.used == 0
    fetch(storage, BIG, 3)
    assert check(storage, BIG) == [3]


def test_a_damaged_index_is_an_empty_cache(tmp_path: Path) -> None:
    """There is nothing of a user's in it that could be lost."""
    storage = CacheStorage(tmp_path, 8 * PIECE).open(BIG, HASH)
    fetch(storage, BIG, 0)
    storage.close()
    (tmp_path / "cache.db").write_bytes(b"no database " * 1000)
    home = CacheStorage(tmp_path, 8 * PIECE)
    storage = home.open(BIG, HASH)
    assert check(storage, BIG) == []
    assert home.used == 0
    fetch(storage, BIG, 1)
    assert check(storage, BIG) == [1]


def test_where_nothing_can_be_freed_a_cache_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a real try, before a byte is kept."""

    def refuse(fd: int, place: int, length: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("anabranch.storage.holes_io.punch", refuse)
    with pytest.raises(StorageFailed, match="frees no parts of files"):
        CacheStorage(tmp_path, PIECE).open(BIG, HASH)
    monkeypatch.setattr("anabranch.storage.holes_io.punch", lambda fd, place, length: None)
    with pytest.raises(StorageFailed, match="frees no parts of files"):
        CacheStorage(tmp_path, PIECE).open(BIG, HASH)


def test_who_reads_gets_right_bytes_or_none_while_pieces_come_and_go(tmp_path: Path) -> None:
    """Several threads write what the space has no room for, and read. A piece that is read stays until it was."""
    home = CacheStorage(tmp_path, 3 * PIECE)
    storage = home.open(BIG, HASH)
    failures: list[str] = []

    def work(seed: int) -> None:
        draw = Random(seed)
        room = bytearray(PIECE)
        for _ in range(150):
            piece = draw.randrange(4) * 3 + seed  # nobody writes what another does
            length = BIG.geometry.length_of(piece)
            if not storage.present(piece):
                storage.piece(piece).writev(0, [BIG.of_piece(piece)])
                storage.record([piece])
            for other in range(12):
                view = memoryview(room)[: BIG.geometry.length_of(other)]
                if storage.completion(other) is not Completion.COMPLETE:
                    continue
                warm = storage.read_warm(BIG.geometry.offset_of(other), view)
                if storage.completion(other) is Completion.COMPLETE and view[:warm] != BIG.of_piece(other)[:warm]:
                    failures.append(f"warm {other}")
                try:
                    storage.readinto(other, 0, view)
                except StorageFailed:
                    continue
                if view != BIG.of_piece(other):
                    failures.append(f"cold {other}")
            assert length

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert home.used <= 6 * PIECE
    check(storage, BIG)


def test_reading_across_stops_at_what_is_in_no_piece(tmp_path: Path) -> None:
    """Between two files of a v2 torrent there is nothing."""

    class Gapped:
        geometry = Geometry(2 * PIECE, PIECE, {0: 100})
        files = ()

    storage = CacheStorage(tmp_path, 4 * PIECE).open(Gapped(), HASH)
    storage.piece(0).writev(0, [b"a" * 100])
    storage.piece(1).writev(0, [b"b" * PIECE])
    room = bytearray(150)
    with pytest.raises(ValueError, match="no piece has the byte at offset 100"):
        storage.read_across(0, room)
    assert storage.read_warm(50, room) <= 50
    storage.read_across(PIECE, room)
    assert room == b"b" * 150


def test_after_the_close_everything_is_closed(tmp_path: Path) -> None:
    """Its space is another's then."""
    home = CacheStorage(tmp_path, 4 * PIECE)
    storage, other = home.open(BIG, HASH), home.open(BIG, OTHER)
    fetch(storage, BIG, 0)
    storage.close()
    calls: Sequence[Callable[[], object]] = (
        lambda: whole(storage, BIG, 0),
        lambda: put(storage, BIG, 0),
        lambda: storage.record([0]),
        lambda: storage.read_across(0, bytearray(1)),
        storage.flush,
        storage.remove,
    )
    for call in calls:
        with pytest.raises(Closed):
            call()
    assert storage.read_warm(0, bytearray(1)) == 0
    other.close()


def test_remove_leaves_nothing(tmp_path: Path) -> None:
    """Whatever of it was complete or begun."""
    home = CacheStorage(tmp_path, 8 * PIECE)
    storage = home.open(BIG, HASH)
    fetch(storage, BIG, 0, 1)
    put(storage, BIG, 2)
    storage.remove()
    assert home.used == 0
    storage.close()
    assert not list(tmp_path.glob("*.cache"))
    assert check(home.open(BIG, HASH), BIG) == []
