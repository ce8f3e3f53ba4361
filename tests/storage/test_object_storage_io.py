"""The object store back end: objects are the record whatever fails in between, and few requests do for many reads."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("obstore", reason="obstore is an extra: anabranch[s3]")

from anabranch.model import Closed, Geometry, InputRefused, StorageFailed
from anabranch.storage import (
    Bulk,
    Completion,
    Groups,
    ReadsAcross,
    ReadsWarm,
    Removes,
    Selects,
    Sparse,
    Streams,
    Surveys,
)
from anabranch.storage import object_staging_io as staging_io
from anabranch.storage.object_storage_io import ObjectStorage, ObjectTorrent, in_parallel
from anabranch.testing import StorageCheck
from storage.conformance import every_rule
from storage.flaky_store import FlakyStore, Killed, failing
from storage.object_torrents import KIB, SMALL, WIDE, files_of, key, opened, states, storage_of
from storage.small_torrents import HASH, SmallTorrent, got, named, put, torrent, whole


class Page(list[Any]):
    """A list that can be watched."""


@every_rule
def test_objects_in_memory_are_a_whole_back_end(check: StorageCheck, tmp_path: Path) -> None:
    store = FlakyStore()
    check(lambda: storage_of(store, tmp_path), persistent=True)


@every_rule
def test_objects_in_a_directory_named_by_a_url_are_a_whole_back_end(check: StorageCheck, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/objects"
    check(lambda: ObjectStorage(url, tmp_path / "staging", prefix="/here/"), persistent=True)


@every_rule
def test_with_no_room_to_spare_it_is_as_whole(check: StorageCheck, tmp_path: Path) -> None:
    """One copy at a time is kept, and whoever writes waits for uploads wherever there are any."""
    store = FlakyStore()
    check(lambda: storage_of(store, tmp_path, cache_size=1, staging_size=1), persistent=True)


def test_it_has_every_ability_but_leaving_files_out(tmp_path: Path) -> None:
    storage = opened(FlakyStore(), tmp_path)
    assert isinstance(storage, ReadsWarm)
    assert isinstance(storage, ReadsAcross)
    assert isinstance(storage, Groups)
    assert isinstance(storage, Bulk)
    assert isinstance(storage, Sparse)
    assert isinstance(storage, Streams)
    assert isinstance(storage, Surveys)
    assert isinstance(storage, Removes)
    assert not isinstance(storage, Selects)
    assert storage.capacity is None


def test_a_piece_is_an_object_from_when_it_is_recorded_and_not_before(tmp_path: Path) -> None:
    """Its key has the number with zeros in front, so that a listing is in order."""
    store = FlakyStore()
    storage = opened(store, tmp_path, prefix="seeds")
    put(storage, SMALL, 0, 4)
    assert store.keys() == []
    storage.record([0, 4])
    assert store.keys() == [key(0, "seeds/"), key(4, "seeds/")]
    assert bytes(store.inner.get(key(4, "seeds/")).bytes()) == SMALL.of_piece(4)


def test_objects_are_the_record_for_whoever_opens_the_torrent_next(tmp_path: Path) -> None:
    """Also on another machine: nothing of it is kept beside them. The listing is one request."""
    store = FlakyStore()
    storage = opened(store, tmp_path / "a")
    put(storage, SMALL, 0, 1, 4)
    storage.record([0, 1, 4])
    storage.close()
    again = opened(store, tmp_path / "b")
    known, complete = again.completions()
    assert known.to01() == "11111"
    assert complete.to01() == "11001"
    assert [whole(again, SMALL, piece) for piece in (0, 1, 4)] == [SMALL.of_piece(piece) for piece in (0, 1, 4)]
    assert store.asked["list"] == 2
    assert store.asked["head"] == 0


def test_objects_of_another_length_and_of_other_names_are_no_pieces(tmp_path: Path) -> None:
    store = FlakyStore()
    for name, body in {
        key(0): b"short",
        key(1): bytes(100),
        key(7): bytes(100),
        f"{HASH}/readme": b"",
        "0": b"",
    }.items():
        store.inner.put(name, body)
    storage = opened(store, tmp_path)
    assert storage.completions()[1].to01() == "01000"
    with pytest.raises(StorageFailed, match="has 5 bytes, 100 are due"):
        whole(storage, SMALL, 0)
    put(storage, SMALL, 0)
    storage.record([0])
    assert bytes(store.inner.get(key(0)).bytes()) == SMALL.of_piece(0)


def test_a_piece_is_recorded_by_no_put_that_was_not_acknowledged(tmp_path: Path) -> None:
    """W41. Its bytes stay where they are, and are hashed at the next start; then the put is tried again."""
    store = FlakyStore()
    storage = opened(store, tmp_path)
    put(storage, SMALL, 0, 1)
    store.before = failing("put")
    with pytest.raises(StorageFailed, match=r"memory|flaky"):
        storage.record([0, 1])
    assert states(storage) == "uuiii"
    storage.close()
    again = opened(store, tmp_path)
    assert states(again) == "uuiii"
    assert [again.present(piece) for piece in range(5)] == [True, True, False, False, False]
    assert whole(again, SMALL, 1) == SMALL.of_piece(1)
    store.before = lambda name, path: None
    again.record([0, 1])
    assert states(again) == "cciii"


def test_a_put_that_came_through_without_an_answer_is_deleted_before_its_piece_is_overwritten(tmp_path: Path) -> None:
    store = FlakyStore()
    storage = opened(store, tmp_path)
    put(storage, SMALL, 0)
    store.after = failing("put")
    with pytest.raises(StorageFailed):
        storage.record([0])
    assert store.keys() == [key(0)]
    store.after = lambda name, path: None
    storage.piece(0).writev(5, [b"other"])
    assert store.keys() == []


def test_an_object_is_gone_before_a_byte_of_its_piece_changes(tmp_path: Path) -> None:
    """Where it cannot be deleted nothing is written, and nobody believes the piece. The other bytes stay."""
    store = FlakyStore()
    for place in ("a", "b"):  # with a copy of it here, and without
        storage = opened(store, tmp_path / place)
        if place == "a":
            put(storage, SMALL, 0)
            storage.record([0])
        store.before = failing("delete")
        with pytest.raises(StorageFailed):
            storage.piece(0).writev(10, [b"other"])
        assert storage.piece(0).completion() is not Completion.COMPLETE
        assert whole(storage, SMALL, 0) == SMALL.of_piece(0)
        store.before = lambda name, path: None
        storage.piece(0).writev(10, [b"other"])
        assert store.keys() == []
        assert whole(storage, SMALL, 0) == SMALL.of_piece(0)[:10] + b"other" + SMALL.of_piece(0)[15:]
        put(storage, SMALL, 0)
        storage.record([0])
        storage.close()


def test_after_a_kill_at_any_step_no_piece_is_complete_with_other_bytes(tmp_path: Path) -> None:
    """W41. Puts, deletes and everything on the disk, each before and after it was done; what was recorded stays."""
    other = bytes(100)

    def life(storage: ObjectTorrent) -> None:
        put(storage, SMALL, 0, 1)
        storage.record([0, 1])
        storage.piece(0).writev(0, [other])
        storage.record([], [1])
        put(storage, SMALL, 0, 1, 2)
        storage.record([0, 1, 2])

    steps = 0
    while True:
        store, place, left = FlakyStore(), tmp_path / str(steps), steps

        def step(name: str, path: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        storage = opened(store, place, uploads=1)
        store.before = store.after = step
        try:
            life(storage)
        except Killed:
            pass
        else:
            break
        store.before = store.after = lambda name, path: None
        again = opened(store, place)
        for piece in range(5):
            if again.piece(piece).completion() is Completion.COMPLETE:
                assert whole(again, SMALL, piece) == SMALL.of_piece(piece)
            elif again.present(piece):  # it is hashed; what is right is recorded, what is wrong is written anew
                right = whole(again, SMALL, piece) == SMALL.of_piece(piece)
                again.record([piece] if right else [], [] if right else [piece])
        put(again, SMALL, *range(5))
        again.record(range(5))
        assert states(again) == "ccccc"
        steps += 1
    assert steps > 10


def test_when_one_of_a_group_fails_no_more_are_begun_and_those_that_came_through_are_right(tmp_path: Path) -> None:
    store = FlakyStore()
    storage = opened(store, tmp_path, uploads=1)
    put(storage, SMALL, 0, 1, 2)

    def second(name: str, path: str) -> None:
        if path == key(1):
            failing("put")(name, path)

    store.before = second
    with pytest.raises(StorageFailed) as failed:
        storage.record([0, 1, 2])
    assert failed.value.path.endswith(key(1))
    assert failed.value.reason == "the server says 503 Service Unavailable"
    assert store.keys() == [key(0)]
    assert store.asked["put"] == 2
    store.before = lambda name, path: None
    storage.record([0, 1, 2])
    assert store.asked["put"] == 4  # what is there is not put again


def test_several_pieces_of_a_group_are_put_at_a_time(tmp_path: Path) -> None:
    """As many as it was told: each waits here for the others."""
    store = FlakyStore()
    storage = opened(store, tmp_path, WIDE, uploads=3)
    put(storage, WIDE, *range(9))
    together = threading.Barrier(3, timeout=10)

    def wait(name: str, path: str) -> None:
        if name == "put":
            together.wait()

    store.before = wait
    storage.record(range(9))
    assert storage.completions()[1].to01() == "1111111110"


def test_what_cannot_be_put_because_it_is_not_here_is_not_recorded(tmp_path: Path) -> None:
    store = FlakyStore()
    storage = opened(store, tmp_path)
    storage.piece(0).writev(0, [SMALL.of_piece(0)[:50]])
    with pytest.raises(StorageFailed, match="50 bytes short at offset 50"):
        storage.record([0])
    with pytest.raises(StorageFailed, match="100 bytes short at offset 200"):
        storage.record([2])
    assert store.asked["put"] == 0


def test_blocks_of_an_unfinished_piece_outlast_a_stop(tmp_path: Path) -> None:
    """They are in the staging directory; the piece is unknown, so that it is looked at."""
    store = FlakyStore()
    storage = opened(store, tmp_path)
    storage.piece(3).writev(20, [SMALL.of_piece(3)[20:60]])
    storage.flush()
    storage.close()
    again = opened(store, tmp_path)
    assert states(again) == "iiiui"
    assert got(again.piece(3), 40, begin=20) == SMALL.of_piece(3)[20:60]
    again.piece(3).writev(0, [SMALL.of_piece(3)[:20]])
    again.piece(3).writev(60, [SMALL.of_piece(3)[60:]])
    again.record([3])
    assert states(again) == "iiici"


def test_what_a_kill_left_of_a_copy_is_removed_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    store = FlakyStore()
    put(storage := opened(store, tmp_path), SMALL, 0)
    storage.record([0])
    folder = tmp_path / str(HASH)
    (folder / "00000001.coming").write_bytes(b"half")
    (folder / "notes").write_bytes(b"mine")
    (folder / "00000099").write_bytes(b"of no piece")
    again = opened(store, tmp_path)
    assert files_of(tmp_path) == ["00000099", "notes"]
    assert states(again) == "ciiii"


def test_a_fast_writer_waits_for_a_slow_store_when_much_is_written(tmp_path: Path) -> None:
    """As long as an upload is under way; a piece that is begun already does not wait, nor who asks while none is."""
    store = FlakyStore()
    storage = opened(store, tmp_path, WIDE, staging_size=32 * KIB)
    put(storage, WIDE, 0, 1)
    putting, through = threading.Event(), threading.Event()

    def slowly(name: str, path: str) -> None:
        if name == "put":
            putting.set()
            assert through.wait(10)

    store.before = slowly
    recorder = threading.Thread(target=storage.record, args=([0],))
    recorder.start()
    assert putting.wait(10)
    looked = threading.Event()
    writer = threading.Thread(target=storage._staging.wait_for_room, args=(looked.set,))
    writer.start()
    assert looked.wait(10)
    storage.piece(1).writev(3, [b"x"])
    assert writer.is_alive()
    through.set()
    writer.join(10)
    recorder.join(10)
    assert not writer.is_alive()
    put(storage, WIDE, 2, 3, 4)
    assert storage._staging.written == 4 * 16 * KIB


def test_an_upload_that_fails_lets_writers_go_on(tmp_path: Path) -> None:
    """They need not wait for a store that takes nothing: that would hold up all that the disk has to do."""
    store = FlakyStore()
    storage = opened(store, tmp_path, WIDE, staging_size=1)
    put(storage, WIDE, 0)
    looked = threading.Event()
    writer = threading.Thread(target=storage._staging.wait_for_room, args=(looked.set,))

    def fail(name: str, path: str) -> None:
        if name == "put":
            writer.start()
            assert looked.wait(10)
            failing("put")(name, path)

    store.before = fail
    with pytest.raises(StorageFailed):
        storage.record([0])
    writer.join(10)
    assert not writer.is_alive()
    put(storage, WIDE, 1)


def test_a_piece_is_durable_here_before_its_object_is_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a store that is gone for long costs no bytes, also where the power goes meanwhile."""
    store = FlakyStore()
    storage = opened(store, tmp_path)
    put(storage, SMALL, 0)
    steps: list[str] = []
    monkeypatch.setattr(staging_io, "sync_data", lambda handle: steps.append("sync"))
    store.before = lambda name, path: steps.append(name)
    storage.record([0])
    assert steps == ["sync", "put"]


def test_close_wakes_who_waits_for_room_and_everything_afterwards_is_closed(tmp_path: Path) -> None:
    store = FlakyStore()
    storage = opened(store, tmp_path, WIDE, staging_size=1)
    put(storage, WIDE, 0)
    looked = threading.Event()
    with storage._staging.uploading():
        thread = threading.Thread(target=storage._staging.wait_for_room, args=(looked.set,))
        thread.start()
        assert looked.wait(10)
        storage.close()
        thread.join(10)
    assert not thread.is_alive()
    piece = storage.piece(0)
    calls: list[Callable[[], object]] = [
        lambda: whole(storage, WIDE, 0),
        lambda: piece.writev(0, [b"x"]),
        piece.completion,
        piece.mark_complete,
        piece.mark_incomplete,
        storage.completions,
        storage.presence,
        storage.remove,
        storage.flush,
        lambda: storage.stream(0),
    ]
    for call in calls:
        with pytest.raises(Closed):
            call()
    storage.close()


def test_many_pieces_are_missed_with_few_requests(tmp_path: Path) -> None:
    """A thousand at a time; those that are gone already stop nothing, in a directory either."""
    many = torrent(1, named("t", 2500))
    store = FlakyStore()
    for piece in range(2500):
        store.inner.put(key(piece), b"x")
    storage = opened(store, tmp_path, many)
    assert storage.completions()[1].all()
    storage.record([], range(2500))
    assert store.asked["delete"] == 3
    assert store.keys() == []

    place = ObjectStorage(f"file://{tmp_path}/objects", tmp_path / "b").open(SMALL, HASH)
    put(place, SMALL, 0, 1, 2)
    place.record([0, 1, 2])
    (tmp_path / "objects" / key(1)).unlink()
    place.record([], [0, 1, 2])
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []


def test_all_of_a_torrent_is_removed_from_the_store_and_from_here(tmp_path: Path) -> None:
    """What a run before left, too. Other torrents' objects, and those of other names, stay."""
    store = FlakyStore()
    store.inner.put(f"{HASH}/readme", b"mine")
    store.inner.put(f"{'cd' * 20}/00000000", bytes(100))
    put(storage := opened(store, tmp_path), SMALL, 0, 1, 2)
    storage.record([0])
    storage.close()
    storage = opened(store, tmp_path)
    put(storage, SMALL, 3)
    storage.record([3])
    assert storage.presence().to01() == "11110"
    storage.remove()
    assert storage.presence().to01() == "00000"
    assert states(storage) == "iiiii"
    storage.close()
    assert store.keys() == [f"{HASH}/readme", f"{'cd' * 20}/00000000"]
    assert [path for path in tmp_path.rglob("*") if path.name == str(HASH)] == []


def test_350_000_objects_are_listed_a_page_at_a_time(tmp_path: Path) -> None:
    """In memory there is a page and three bitmaps, nothing for each piece."""
    count = 350_000

    pages: list[weakref.ref[Page]] = []

    class Listing(FlakyStore):
        def list(self, prefix: str, **size: int) -> Any:
            for at in range(0, count, 1000):
                assert all(page() is None for page in pages[-3:-1])
                page = Page({"path": key(piece), "size": 1} for piece in range(at, at + 1000))
                pages.append(weakref.ref(page))
                yield page

    storage = opened(Listing(), tmp_path, SmallTorrent(Geometry(count, 1), (), b""))
    assert storage.completions()[1].all()
    assert len(pages) == 350


def test_a_v2_gap_is_in_no_piece(tmp_path: Path) -> None:
    gapped = SmallTorrent(Geometry(150, 100, {0: 60}), (), b"")
    storage = opened(FlakyStore(), tmp_path, gapped)
    storage.piece(0).writev(0, [bytes(60)])
    with pytest.raises(ValueError, match="piece 0 has no byte 60"):
        storage.read_across(50, bytearray(60))


def test_without_the_package_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    with pytest.raises(InputRefused, match=r"needs the package obstore: pip install 'anabranch\[s3\]'"):
        ObjectStorage("s3://bucket", tmp_path)


def test_work_in_parallel_ends_with_the_first_error_of_whatever_kind() -> None:
    done: list[int] = []
    in_parallel(done.append, range(100), 4)
    assert sorted(done) == list(range(100))
    in_parallel(done.append, [], 4)
    done.clear()

    def work(item: int) -> None:
        if item == 1:
            raise Killed
        done.append(item)

    with pytest.raises(Killed):
        in_parallel(work, range(5), 1)
    assert done == [0]
