"""Reading from the object store back end: a request does for many reads, and copies take a limited room."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("obstore", reason="obstore is an extra: anabranch[s3]")

from anabranch.model import StorageFailed
from anabranch.storage.object_storage_io import ObjectTorrent
from storage.flaky_store import FlakyStore, failing
from storage.object_torrents import KIB, SMALL, WIDE, files_of, key, opened, states, storage_of
from storage.small_torrents import HASH, got, named, put, torrent, whole


def test_many_reads_of_a_piece_are_one_request(tmp_path: Path) -> None:
    store = FlakyStore()
    put(first := opened(store, tmp_path / "a", WIDE), WIDE, 0, 1)
    first.record([0, 1])
    storage = opened(store, tmp_path / "b", WIDE)
    for begin in range(0, 16 * KIB, KIB):
        assert got(storage.piece(1), KIB, begin) == WIDE.of_piece(1)[begin : begin + KIB]
    room = bytearray(20 * KIB)
    storage.read_across(6 * KIB, room)
    assert room == WIDE.content[6 * KIB : 26 * KIB]
    assert store.asked["get"] == 2


def test_readers_of_the_same_piece_wait_for_one_request(tmp_path: Path) -> None:
    """And share its failure, so that a server that is gone costs each of them one wait, not all of them in turn."""
    store = FlakyStore()
    put(first := opened(store, tmp_path / "a"), SMALL, 0)
    first.record([0])
    for fails in (True, False):
        storage = opened(store, tmp_path / "b")
        asked, answer = threading.Event(), threading.Event()

        def wait(name: str, path: str, fails: bool = fails, asked: Any = asked, answer: Any = answer) -> None:
            asked.set()
            assert answer.wait(10)
            if fails:
                failing("get")(name, path)

        results: list[object] = []

        def read(storage: ObjectTorrent = storage, results: list[object] = results) -> None:
            try:
                results.append(whole(storage, SMALL, 0))
            except StorageFailed as failed:
                results.append(failed.reason)

        before, store.before = store.asked["get"], wait
        threads = [threading.Thread(target=read) for _ in range(4)]
        threads[0].start()
        assert asked.wait(10)
        coming = storage._fetching[0]
        others = threading.Semaphore(0)
        told = coming.result

        def result(timeout: float | None = None, told: Any = told, others: Any = others) -> None:
            others.release()
            told(timeout)

        coming.result = result  # type: ignore[method-assign]  # to see that the others have come to it
        for thread in threads[1:]:
            thread.start()
        for _ in threads[1:]:
            assert others.acquire(timeout=10)
        answer.set()
        for thread in threads:
            thread.join(10)
        assert store.asked["get"] == before + 1
        assert results == ["the server says 503 Service Unavailable" if fails else SMALL.of_piece(0)] * 4
        store.before = lambda name, path: None
        storage.close()


def test_copies_for_reading_take_no_more_room_than_they_may(tmp_path: Path) -> None:
    """Those read longest ago go first."""
    store = FlakyStore()
    storage = opened(store, tmp_path, WIDE, cache_size=50 * KIB, uploads=1)
    put(storage, WIDE, *range(10))
    storage.record(range(10))
    assert files_of(tmp_path) == ["00000007", "00000008", "00000009"]
    whole(storage, WIDE, 7)
    whole(storage, WIDE, 0)
    assert files_of(tmp_path) == ["00000000", "00000007", "00000009"]
    assert [whole(storage, WIDE, piece) for piece in range(10)] == [WIDE.of_piece(piece) for piece in range(10)]
    storage.close()
    assert files_of(tmp_path) == []


def test_a_piece_longer_than_all_the_room_for_copies_can_be_read(tmp_path: Path) -> None:
    store = FlakyStore()
    storage = opened(store, tmp_path, WIDE, cache_size=KIB)
    put(storage, WIDE, *range(10))
    storage.record(range(10))
    assert [whole(storage, WIDE, piece) for piece in range(10)] == [WIDE.of_piece(piece) for piece in range(10)]
    assert len(files_of(tmp_path)) == 1


def test_torrents_of_one_storage_share_the_room_for_copies(tmp_path: Path) -> None:
    other = torrent(16 * KIB, named("u", 48 * KIB))
    storage = storage_of(FlakyStore(), tmp_path, cache_size=50 * KIB, uploads=1)
    first, second = storage.open(WIDE, HASH), storage.open(other, type(HASH)(b"\xcd" * 20))
    put(first, WIDE, 0, 1, 2)
    first.record([0, 1, 2])
    put(second, other, 0, 1)
    second.record([0, 1])
    names = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("0*"))]
    assert names == [f"{HASH}/00000002", f"{'cd' * 20}/00000000", f"{'cd' * 20}/00000001"]
    second.close()
    assert whole(first, WIDE, 0) == WIDE.of_piece(0)


def test_warm_reads_give_what_is_here_and_open_and_ask_nobody(tmp_path: Path) -> None:
    store = FlakyStore()
    storage = opened(store, tmp_path, WIDE)
    put(storage, WIDE, 0, 1)
    storage.record([0, 1])
    room = bytearray(40 * KIB)
    warm = storage.read_warm(8 * KIB, room)
    assert warm <= 24 * KIB
    assert room[:warm] == WIDE.content[8 * KIB : 8 * KIB + warm]
    assert storage.read_warm(32 * KIB, room) == 0
    assert store.asked["get"] == 0


def test_a_whole_piece_comes_straight_from_the_store_and_no_copy_is_kept(tmp_path: Path) -> None:
    store = FlakyStore()
    put(first := opened(store, tmp_path / "a"), SMALL, 0)
    first.record([0])
    assert b"".join(first.stream(0)) == SMALL.of_piece(0)
    assert store.asked["get"] == 0
    storage = opened(store, tmp_path / "b")
    assert b"".join(storage.stream(0)) == SMALL.of_piece(0)
    assert store.asked["get"] == 1
    assert files_of(tmp_path / "b") == []
    with pytest.raises(StorageFailed, match="100 bytes short at offset 100"):
        list(storage.stream(1))


def test_an_object_that_somebody_deleted_is_missed_and_can_be_put_again(tmp_path: Path) -> None:
    """Who reads it is told; who asks what is recorded is told that it is not there, and it is not."""
    store = FlakyStore()
    put(first := opened(store, tmp_path / "a"), SMALL, 0, 1)
    first.record([0, 1])
    storage = opened(store, tmp_path / "b")
    store.inner.delete(key(0))
    store.inner.put(key(1), b"cut")
    for piece in (0, 1):
        with pytest.raises(StorageFailed) as failed:
            whole(storage, SMALL, piece)
        assert failed.value.path.endswith(key(piece))
    assert states(storage) == "iiiii"
    assert storage.completions()[1].to01() == "00000"
    put(storage, SMALL, 0, 1)
    storage.record([0, 1])
    assert states(storage) == "cciii"


def test_a_store_that_does_not_answer_has_not_lost_anything(tmp_path: Path) -> None:
    store = FlakyStore()
    put(storage := opened(store, tmp_path), SMALL, 0)
    storage.record([0])
    store.before = failing("head", "list")
    with pytest.raises(StorageFailed, match="503"):
        storage.piece(0).completion()
    with pytest.raises(StorageFailed, match="503"):
        opened(store, tmp_path / "b")
    store.before = lambda name, path: None
    assert states(storage) == "ciiii"


def test_a_copy_that_somebody_removed_is_fetched_again(tmp_path: Path) -> None:
    store = FlakyStore()
    storage = opened(store, tmp_path, handles=None)
    put(storage, SMALL, 0)
    storage.record([0])
    storage._staging.handles.drop_all(storage._local)
    for path in tmp_path.rglob("0*"):
        path.unlink()
    assert whole(storage, SMALL, 0) == SMALL.of_piece(0)
    assert store.asked["get"] == 1


def test_a_copy_that_comes_late_does_not_replace_what_was_written_meanwhile(tmp_path: Path) -> None:
    """The object was there when it was asked for, and is deleted by now."""
    store = FlakyStore()
    put(first := opened(store, tmp_path / "a"), SMALL, 0)
    first.record([0])
    storage = opened(store, tmp_path / "b")
    new = bytes(range(100, 200))

    def overwrite(name: str, path: str) -> None:
        if name == "get":
            storage.piece(0).writev(0, [new])

    store.after = overwrite
    assert whole(storage, SMALL, 0) == new
    assert (tmp_path / "b" / str(HASH) / "00000000").read_bytes() == new
    storage.record([0])
    assert bytes(store.inner.get(key(0)).bytes()) == new


def test_the_rest_of_a_complete_piece_is_fetched_before_a_part_of_it_is_overwritten(tmp_path: Path) -> None:
    """There is no copy of it here, and its object has to go."""
    store = FlakyStore()
    put(first := opened(store, tmp_path / "a"), SMALL, 0)
    first.record([0])
    storage = opened(store, tmp_path / "b")
    storage.piece(0).writev(10, [b"new"])
    assert store.keys() == []
    assert whole(storage, SMALL, 0) == SMALL.of_piece(0)[:10] + b"new" + SMALL.of_piece(0)[13:]
