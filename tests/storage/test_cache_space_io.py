"""The space of a disk cache: no kill and no fault leaves a record without its bytes."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from bitarray import bitarray

from anabranch.model import InfoHash, StorageFailed, no_pieces
from anabranch.storage import CacheStorage
from anabranch.storage import cache_space_io as space_io
from anabranch.storage.cache_index_io import CacheIndex
from anabranch.storage.cache_storage_io import CacheTorrent
from storage.small_torrents import HASH, put
from storage.test_cache_storage_io import BIG, ODD, OTHER, PIECE, check, fetch
from threads import background


class Watch:
    """Has something done around each step in which pieces come and go, in order; *step* counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[str], object]) -> None:
        for name in ("forget", "record", "leave"):
            self._around(monkeypatch, CacheIndex, name, act)
        self._around(monkeypatch, space_io, "punch", act)
        self._around(monkeypatch, sys.modules[CacheTorrent.__module__], "sync_data", act)
        self._around(monkeypatch, sys.modules[CacheTorrent.__module__], "write_at", act)

    def _around(self, monkeypatch: pytest.MonkeyPatch, where: object, name: str, act: Callable[[str], object]) -> None:
        real = getattr(where, name)

        def around(*given: object, **options: object) -> object:
            act(f"before {name}")
            result = real(*given, **options)
            act(f"after {name}")
            return result

        monkeypatch.setattr(where, name, around)


def live(directory: Path) -> None:
    """A short life of a cache that is too small."""
    home = CacheStorage(directory, 3 * PIECE)
    one, other = home.open(BIG, HASH), home.open(ODD, OTHER)
    fetch(one, BIG, 0, 1)
    fetch(other, ODD, 0, 1, 2)
    fetch(one, BIG, 2)
    one.record([], [2])
    one.writev(1, 7, [b"wrong"])
    fetch(one, BIG, 1, 3)
    other.close()
    fetch(one, BIG, 4)
    one.close()


def test_after_a_kill_at_any_step_no_record_is_without_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W41: the directory as it is between any two steps, opened by another run; and nothing is over the limit."""
    pictures: list[tuple[str, Path]] = []

    def take(step: str) -> None:
        picture = tmp_path / f"{len(pictures)} {step}"
        subprocess.run(["cp", "-a", "--sparse=always", tmp_path / "cache", picture], check=True)
        pictures.append((step, picture))

    with monkeypatch.context() as patched:
        Watch(patched, take)
        live(tmp_path / "cache")
    assert len({step for step, _ in pictures}) == 12
    for _, picture in pictures:
        home = CacheStorage(picture, 3 * PIECE)
        one, other = home.open(BIG, HASH), home.open(ODD, OTHER)
        check(one, BIG)
        check(other, ODD)
        assert home.used <= 4 * PIECE
        fetch(one, BIG, 5)
        assert 5 in check(one, BIG)
        one.close()
        other.close()
        shutil.rmtree(picture)


def test_after_a_fault_at_any_step_no_record_is_without_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call fails, and what is complete is right, in this run and in the next. Then all goes on."""
    number_of_steps = 40  # of two pieces that come and one that goes
    for number in range(number_of_steps):
        directory = tmp_path / str(number + 1)
        seen: list[str] = []

        def fail(step: str, number: int = number, seen: list[str] = seen) -> None:
            seen.append(step)
            if len(seen) == number + 1:
                kind = StorageFailed("cache.db", "disk I/O error") if "punch" not in step else None
                raise kind or OSError(errno.EIO, "Input/output error")

        home = CacheStorage(directory, 3 * PIECE)
        with monkeypatch.context() as patched:
            Watch(patched, fail)
            one = home.open(BIG, HASH)
            for piece in (0, 1, 2, 3, 1):
                try:
                    fetch(one, BIG, piece)
                except StorageFailed:
                    assert len(seen) > number
                check(one, BIG)
                assert home.used <= 4 * PIECE
        fetch(one, BIG, 6, 7)
        assert {6, 7} <= set(check(one, BIG))
        assert home.used <= 3 * PIECE
        one.close()
        one = CacheStorage(directory, 3 * PIECE).open(BIG, HASH)
        assert {6, 7} <= set(check(one, BIG))
        one.close()


def test_a_record_that_could_not_be_taken_back_lets_nobody_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W41: else a kill between that write and the next record leaves the old record with half of other bytes."""
    one = CacheStorage(tmp_path / "cache", 3 * PIECE).open(BIG, HASH)
    fetch(one, BIG, 0, 1)

    def fail(step: str) -> None:
        if step == "before forget":
            raise StorageFailed("cache.db", "disk I/O error", errno.EIO)

    with monkeypatch.context() as patched:
        Watch(patched, fail)
        for _ in range(2):
            with pytest.raises(StorageFailed, match="disk I/O error"):
                one.record([], [0])
            with pytest.raises(StorageFailed, match="disk I/O error"):
                one.writev(0, 7, [b"wrong"])
        assert check(one, BIG) == [0, 1]
    one.writev(0, 7, [b"wrong"])
    subprocess.run(["cp", "-a", tmp_path / "cache", tmp_path / "killed"], check=True)
    assert check(CacheStorage(tmp_path / "killed", 3 * PIECE).open(BIG, HASH), BIG) == [1]


@pytest.mark.parametrize("end", [CacheTorrent.remove, CacheTorrent.close])
def test_nothing_goes_under_the_hands_of_who_records_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[CacheTorrent], None]
) -> None:
    """The record would outlive its bytes: to remove and to close wait for it."""
    one = CacheStorage(tmp_path / "cache", 3 * PIECE).open(BIG, HASH)
    put(one, BIG, 0)
    steps: list[str] = []
    ending: list[Future[None]] = []

    def meanwhile(step: str) -> None:
        steps.append(step)
        if step == "after sync_data":
            ending.append(background(lambda: end(one)))
            with pytest.raises(TimeoutError):
                ending[0].result(0.05)

    with monkeypatch.context() as patched:
        Watch(patched, meanwhile)
        one.record([0])
        ending[0].result(20)
    assert steps[1:4] == ["after sync_data", "before record", "after record"]


def test_a_torrent_that_could_not_be_opened_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run left of it may go for others, who are open."""
    home = CacheStorage(tmp_path, 4 * PIECE)
    one, other = home.open(BIG, HASH), home.open(BIG, OTHER)
    put(one, BIG, 0, 1)
    one.close()

    def fail(*_: object) -> None:
        raise StorageFailed("cache.db", "disk I/O error", errno.EIO)

    with monkeypatch.context() as patched:
        patched.setattr(space_io.CacheSpace, "_make_room", fail)
        with pytest.raises(StorageFailed, match="disk I/O error"):
            home.open(BIG, HASH)
    fetch(other, BIG, 0, 1, 2, 3)
    assert check(other, BIG) == [0, 1, 2, 3]
    assert home.used == 4 * PIECE


def test_who_finds_the_room_taken_asks_what_is_wanted_before_anything_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was room when it looked; another thread was faster. What is wanted is not what goes."""
    one = CacheStorage(tmp_path, 3 * PIECE).open(BIG, HASH)
    asked: list[int] = []

    def wanted() -> dict[InfoHash, bitarray]:
        asked.append(1)
        bits = no_pieces(BIG.geometry.piece_count)
        bits[[0, 2]] = True
        return {HASH: bits}

    one.heed(wanted)
    fetch(one, BIG, 0, 1)
    made = space_io.CacheSpace._made

    def slow(*given: Any) -> bool:
        monkeypatch.setattr(space_io.CacheSpace, "_made", made)
        fetch(one, BIG, 2)  # what another thread does at this moment
        assert not asked
        return made(*given)

    monkeypatch.setattr(space_io.CacheSpace, "_made", slow)
    fetch(one, BIG, 3)
    assert check(one, BIG) == [0, 2, 3]
    assert asked == [1]


def test_an_index_that_was_removed_records_nothing_and_says_so(tmp_path: Path) -> None:
    """What is told to it would be forgotten at the end."""
    one = CacheStorage(tmp_path, 3 * PIECE).open(BIG, HASH)
    fetch(one, BIG, 0)
    (tmp_path / "cache.db").unlink()
    put(one, BIG, 1)
    with pytest.raises(StorageFailed, match="removed or replaced"):
        one.record([1])
    assert check(one, BIG) == [0]


def test_a_piece_goes_record_first_for_good_and_then_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W41: else what comes to its place later, by halves, would be found recorded after a kill."""
    one = CacheStorage(tmp_path / "cache", 3 * PIECE).open(BIG, HASH)
    fetch(one, BIG, 0, 1, 2)
    steps: list[str] = []
    one._space.index()._connection.set_trace_callback(steps.append)
    with monkeypatch.context() as patched:
        Watch(patched, steps.append)
        put(one, BIG, 3)
    places = [steps.index(step) for step in ("PRAGMA synchronous = FULL", "COMMIT", "before punch", "before write_at")]
    assert places == sorted(places)
    one.writev(0, 7, [b"half of it"])
    subprocess.run(["cp", "-a", tmp_path / "cache", tmp_path / "killed"], check=True)
    assert 0 not in check(CacheStorage(tmp_path / "killed", 3 * PIECE).open(BIG, HASH), BIG)


def test_what_an_earlier_run_wrote_is_synced_before_it_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That run was killed before it could, and this one has only hashed it."""
    one = CacheStorage(tmp_path, 3 * PIECE).open(BIG, HASH)
    put(one, BIG, 0)
    one.close()
    one = CacheStorage(tmp_path, 3 * PIECE).open(BIG, HASH)
    steps: list[str] = []
    with monkeypatch.context() as patched:
        Watch(patched, steps.append)
        one.record([0])
    assert steps == ["before sync_data", "after sync_data", "before record", "after record"]
