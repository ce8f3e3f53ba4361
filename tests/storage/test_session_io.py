"""What is remembered from run to run, and who runs which torrent."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anabranch.model import Closed, InfoHash, StorageFailed
from anabranch.storage import CompletionStore, FileStorage, InUse, SavedTorrent, SessionKey, SessionStore, session_key
from storage.conformance import conforms
from storage.small_torrents import HASH

KEY = SessionKey(HASH, "/data/東京\udcff")
SAVED = SavedTorrent(b"d4:infoe", (1, 0, 5), True, False, 1 << 40, 3, 1.5e9, {7: b"\xf0", 350_000: b"\x01"})
CLAIMING = """if True:
    import sys
    from anabranch.storage import SessionStore, session_key
    from storage.small_torrents import HASH
    claim = SessionStore(sys.argv[1]).claim(session_key(HASH, sys.argv[2]))
    print("claimed", flush=True)
    sys.stdin.read()
"""


def test_what_is_saved_is_loaded_by_the_next_run(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "state")
    store.save(KEY, SAVED)
    store.close()
    store = SessionStore(tmp_path / "state")
    assert store.load(KEY) == SAVED
    assert store.torrents() == [KEY]
    assert store.load(replace(KEY, data_path="/other")) is None
    assert store.warnings == []


def test_saving_again_replaces_all_of_it(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    later = replace(SAVED, metainfo=b"other", uploaded=9, partial={1: b"\x80"})
    store.save(KEY, later)
    assert store.load(KEY) == later
    store.save(replace(KEY, data_path="/earlier"), replace(SAVED, added=1.0))
    assert [key.data_path for key in store.torrents()] == ["/earlier", KEY.data_path]


def test_partial_pieces_are_given_out_once(tmp_path: Path) -> None:
    """Once blocks are written the bitmaps are stale; a crash must not find them again."""
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    assert store.take_partial([KEY]) == [SAVED.partial]
    assert store.take_partial([KEY]) == [{}]
    assert store.load(KEY) == replace(SAVED, partial={})


def test_many_are_remembered_and_read_at_once(tmp_path: Path) -> None:
    """In the order asked for; what is not known is None. Metainfo that is not given stays as it was."""
    store = SessionStore(tmp_path)
    other = replace(KEY, data_path="/other")
    store.save_all([(KEY, SAVED), (other, replace(SAVED, uploaded=1))])
    store.save_all([(KEY, replace(SAVED, metainfo=None, uploaded=5, partial={}))])
    unknown = replace(KEY, data_path="/nowhere")
    assert store.load_all([other, unknown, KEY]) == [
        replace(SAVED, uploaded=1),
        None,
        replace(SAVED, uploaded=5, partial={}),
    ]
    assert store.metainfo(KEY) == SAVED.metainfo
    store.forget(KEY)
    with pytest.raises(StorageFailed, match="is not remembered any more"):
        store.metainfo(KEY)


def test_a_torrent_that_is_forgotten_leaves_nothing(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    store.completion(KEY).record([1], [])
    store.forget(KEY)
    assert store.load(KEY) is None
    assert store.torrents() == []
    assert not store.completion(KEY).load(9)[0].any()


def test_completion_is_remembered_for_pieces_of_all_rows(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    completion: CompletionStore = store.completion(KEY)
    completion.record([0, 32_767, 32_768, 349_999], [1, 40_000])
    completion.record([1], [0])
    completion.forget([32_768])
    known, complete = SessionStore(tmp_path).completion(KEY).load(350_000)
    assert list(known.search(1)) == [0, 1, 32_767, 40_000, 349_999]
    assert list(complete.search(1)) == [1, 32_767, 349_999]
    assert store.completion(KEY).load(2)[0].to01() == "11"
    assert not store.completion(SessionKey(InfoHash(bytes(20)), KEY.data_path)).load(9)[0].any()


CHANGES = st.lists(
    st.tuples(st.sampled_from(["record", "deny", "forget"]), st.sets(st.integers(0, 70_000), max_size=9))
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHANGES)
def test_completion_in_the_database_is_as_in_a_dict(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, set[int]]]
) -> None:
    store = SessionStore(tmp_path_factory.mktemp("state"))
    completion, model = store.completion(KEY), dict[int, bool]()
    for change, pieces in changes:
        if change == "forget":
            completion.forget(list(pieces))
            for piece in pieces:
                model.pop(piece, None)
        else:
            given, denied = (list(pieces), []) if change == "record" else ([], list(pieces))
            completion.record(given, denied)
            model.update(dict.fromkeys(given, True) | dict.fromkeys(denied, False))
    known, complete = completion.load(70_001)
    assert list(known.search(1)) == sorted(model)
    assert list(complete.search(1)) == sorted(piece for piece in model if model[piece])
    store.close()


def test_a_file_back_end_on_the_session_store_is_whole(tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "state")
    data = tmp_path / "data"
    conforms(FileStorage(data, lambda info_hash: store.completion(session_key(info_hash, data))))


def test_a_torrent_is_run_once_in_a_program(tmp_path: Path) -> None:
    first, second = SessionStore(tmp_path), SessionStore(tmp_path)
    with first.claim(KEY) as claim:
        assert claim.key == KEY
        for store in (first, second):
            with pytest.raises(InUse, match=f"torrent {HASH} in /data/.* is in use by this program"):
                store.claim(KEY)
        second.claim(replace(KEY, data_path="/other")).release()
    second.claim(KEY).release()


def test_a_torrent_is_run_by_one_process_and_is_free_when_that_dies(tmp_path: Path) -> None:
    """Also through another path to the same directory."""
    state, data, link = tmp_path / "state", tmp_path / "data", tmp_path / "link"
    data.mkdir()
    link.symlink_to(data)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", CLAIMING, str(state), str(link)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        store = SessionStore(state)
        with pytest.raises(InUse, match=f"is in use by process {other.pid}$"):
            store.claim(session_key(HASH, data))
        store.save(session_key(HASH, data), SAVED)  # the database is shared all the same
        other.kill()
        other.wait()
        store.claim(session_key(HASH, data)).release()


def test_two_stores_write_at_the_same_time(tmp_path: Path) -> None:
    """Several processes share a database, each with torrents of its own."""
    stores = [SessionStore(tmp_path) for _ in range(3)]

    def write(number: int) -> None:
        key = SessionKey(HASH, f"/{number}")
        for piece in range(30):
            stores[number].completion(key).record([piece], [])
        stores[number].save(key, SAVED)

    threads = [Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].torrents()) == 3
    assert all(stores[0].completion(key).load(30)[1].all() for key in stores[0].torrents())


def test_a_state_directory_that_cannot_be_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match="file/state: Not a directory"):
        SessionStore(tmp_path / "file" / "state")
    store = SessionStore(tmp_path)
    (tmp_path / "locks").write_bytes(b"")
    with pytest.raises(StorageFailed, match=r"locks/.: Not a directory"):
        store.claim(KEY)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    store.close()
    with pytest.raises(Closed):
        store.torrents()
