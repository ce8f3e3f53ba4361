"""What is remembered from run to run, and who runs which torrent."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anabranch.model import Closed, Geometry, InfoHash, StorageFailed
from anabranch.storage import (
    CompletionStore,
    FileStorage,
    InUse,
    Place,
    Relocating,
    Removing,
    SavedTorrent,
    SavedTrackers,
    SavedWebSeed,
    SessionKey,
    SessionStore,
    Whereabouts,
    session_key,
)
from anabranch.storage.database_io import Database
from anabranch.testing import StorageCheck
from storage.conformance import every_rule
from storage.small_torrents import HASH, named, torrent

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


def test_what_the_dht_knew_is_remembered_as_it_was_saved_last(tmp_path: Path, caplog: Any) -> None:
    """Whatever bytes it is; where they are damaged nothing was known, and torrents are as they were."""
    store = SessionStore(tmp_path)
    assert store.load_dht() == b""
    store.save_dht(b"earlier")
    store.save_dht(bytes(range(256)) * 40)
    store.save(KEY, SAVED)
    store.forget(KEY)
    store.close()
    store = SessionStore(tmp_path)
    assert store.load_dht() == bytes(range(256)) * 40
    for damage in ("body = x'00'", "body = 'text'", "body = 7", "checksum = 'x'"):
        connection = sqlite3.connect(tmp_path / "session.db")
        connection.execute(f"UPDATE kept SET {damage}")
        connection.commit()
        connection.close()
        assert store.load_dht() == b""
    assert "what the DHT knew is damaged" in caplog.text
    store.save_dht(b"")
    assert store.load_dht() == b""
    assert store.warnings == []


def test_what_the_dht_knew_is_gone_on_with_by_one_at_a_time(tmp_path: Path) -> None:
    """Others may read it; what they save does not take its place, before the first one has ended."""
    first, second = SessionStore(tmp_path), SessionStore(tmp_path)
    assert first.claim_dht()
    assert first.claim_dht()
    assert not second.claim_dht()
    first.save_dht(b"first")
    second.save_dht(b"second")
    assert second.load_dht() == b"first"
    first.close()
    second.save_dht(b"second")
    assert second.claim_dht()
    assert second.load_dht() == b"second"
    second.close()


def test_web_seeds_that_the_user_added_are_remembered_with_their_headers(tmp_path: Path, caplog: Any) -> None:
    """Until the torrent is saved without them, or forgotten; where they are damaged the torrent is restored without."""
    web = SavedWebSeed("https://me:secret@host.example/a b", "url-list", (("authorization", "Bearer x"),))
    store = SessionStore(tmp_path)
    store.save(KEY, replace(SAVED, webseeds=(web, SavedWebSeed("http://other/", "httpseeds"))))
    store.close()
    store = SessionStore(tmp_path)
    assert store.load(KEY) == replace(SAVED, webseeds=(web, SavedWebSeed("http://other/", "httpseeds")))
    new = store.arrived(KEY, None, "/new")
    store.save(new, replace(SAVED, webseeds=(web,)))
    assert store.load(new) == replace(SAVED, webseeds=(web,))
    Database(str(tmp_path)).write(lambda database: database.execute("UPDATE webseeds SET body = body || x'00'"))
    assert store.load(new) == SAVED
    assert "what the user added is damaged" in caplog.text
    assert "webseeds" in caplog.text
    assert "secret" not in caplog.text
    store.save(new, SAVED)
    store.save(new, replace(SAVED, webseeds=(web,)))
    store.forget(new)
    assert store.load(new) is None
    assert Database(str(tmp_path)).read(lambda found: found.execute("SELECT * FROM webseeds").fetchall()) == []


def test_trackers_that_the_user_wants_are_remembered(tmp_path: Path, caplog: Any) -> None:
    """Also that there are to be none. Without them, or where they are damaged, the torrent has its own."""
    mine = SavedTrackers((("http://a/?passkey=secret", "udp://b:1"), ("wss://c/",)), frozenset({"udp://b:1"}))
    store = SessionStore(tmp_path)
    for trackers in (mine, SavedTrackers(()), None, mine):
        store.save(KEY, replace(SAVED, trackers=trackers))
        store.close()
        store = SessionStore(tmp_path)
        assert store.load(KEY) == replace(SAVED, trackers=trackers)
    new = store.arrived(KEY, None, "/new")
    assert store.load(new) == replace(SAVED, trackers=mine)
    Database(str(tmp_path)).write(lambda database: database.execute("UPDATE trackers SET body = body || x'00'"))
    assert store.load(new) == SAVED
    assert "trackers" in caplog.text
    assert "secret" not in caplog.text
    store.forget(new)
    assert Database(str(tmp_path)).read(lambda found: found.execute("SELECT * FROM trackers").fetchall()) == []


def test_partial_pieces_are_saved_apart_and_stay_until_they_are_replaced(tmp_path: Path) -> None:
    """As a hint for whoever starts after a crash; the hash decides."""
    store = SessionStore(tmp_path)
    other = replace(KEY, data_path="/other")
    store.save(KEY, replace(SAVED, partial={}))
    store.save_partial(KEY, {1: b"\xf0", 2: b"\x01"})
    store.save_partial(KEY, {2: b"\x03"})
    for _ in range(2):
        assert store.load_all([other, KEY]) == [None, replace(SAVED, partial={2: b"\x03"})]
    store.save_partial(KEY, {})
    assert store.load(KEY) == replace(SAVED, partial={})


def test_where_the_data_is_is_remembered_with_what_was_begun(tmp_path: Path) -> None:
    """Also of a torrent of which nothing else is; saving the torrent changes nothing of it."""
    place, intent = Place("/incomplete", {1: ("t", "b\udcff")}), Relocating(Place("/new"), "/new")
    store = SessionStore(tmp_path)
    assert store.place(KEY) == Whereabouts()
    store.arrived(KEY, place)
    store.intend(KEY, intent)
    store.save(KEY, SAVED)
    store.close()
    store = SessionStore(tmp_path)
    assert store.place(KEY) == Whereabouts(place, intent)
    store.intend(KEY, Removing())
    assert store.place(KEY) == Whereabouts(place, Removing())
    store.intend(KEY, None)
    assert store.place(KEY) == Whereabouts(place)
    store.intend(KEY, Removing())
    assert store.arrived(KEY, Place(KEY.data_path)) == KEY
    assert store.place(KEY) == Whereabouts()
    store.intend(KEY, Removing())
    store.forget(KEY)
    assert store.place(KEY) == Whereabouts()


def test_where_thousands_are_is_asked_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order asked for, and one that is asked for twice is told twice."""
    asked: list[str] = []

    class Traced(sqlite3.Connection):
        def __init__(self, *args: Any, **named: Any) -> None:
            super().__init__(*args, **named)
            self.set_trace_callback(asked.append)

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Traced))
    store = SessionStore(tmp_path)
    keys = [SessionKey(InfoHash(number.to_bytes(20, "big")), "/data") for number in range(1000)]
    for number in (0, 399, 400, 999):
        store.arrived(keys[number], Place(f"/{number}"))
    asked.clear()
    found = store.places([*keys, keys[0]])
    assert sum("FROM asked" in query for query in asked) == 3
    assert {number: where.place for number, where in enumerate(found) if where.place is not None} == {
        number: Place(f"/{number % 1000}") for number in (0, 399, 400, 999, 1000)
    }
    assert store.places([]) == []


def test_a_torrent_that_has_moved_is_remembered_by_its_new_directory(tmp_path: Path) -> None:
    """All of it, and in one transaction: completion, metainfo, partial pieces, totals, names."""
    store = SessionStore(tmp_path)
    new = replace(KEY, data_path="/new")
    names = {0: ("other",)}
    store.save(KEY, SAVED)
    store.completion(KEY).record([1, 40_000], [2])
    store.completion(new).record([5, 340_000], [])  # of another time: it was never removed, and must not be believed
    store.save_partial(new, {9: b"x"})
    store.intend(KEY, Relocating(Place("/new", names), "/new"))
    assert store.arrived(KEY, Place("/new", names), "/new") == new
    assert store.torrents() == [new]
    assert store.load_all([KEY, new]) == [None, SAVED]
    assert store.places([KEY, new]) == [Whereabouts(), Whereabouts(Place("/new", names))]
    known, complete = store.completion(new).load(350_000)
    assert (list(known.search(1)), list(complete.search(1))) == ([1, 2, 40_000], [1, 40_000])
    assert not store.completion(KEY).load(350_000)[0].any()
    assert store.warnings == []


def test_a_torrent_does_not_take_anothers_place(tmp_path: Path) -> None:
    """The same torrent that is remembered in that directory is another one; nothing changes."""
    store = SessionStore(tmp_path)
    new = replace(KEY, data_path="/new")
    store.save(KEY, SAVED)
    store.save(new, replace(SAVED, uploaded=0))
    store.intend(KEY, Relocating(Place("/new"), "/new"))
    with pytest.raises(InUse, match="in /new is remembered already"):
        store.arrived(KEY, None, "/new")
    assert store.load_all([KEY, new]) == [SAVED, replace(SAVED, uploaded=0)]
    assert store.place(KEY).intent == Relocating(Place("/new"), "/new")


def alter(store: SessionStore, statement: str, *values: object) -> None:
    Database(os.path.dirname(store._database.path)).write(lambda database: database.execute(statement, values))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE completion SET complete = zeroblob(4095) || x'01' WHERE page = 1",
        "UPDATE completion SET known = x'ff' WHERE page = 1",
        "UPDATE completion SET complete = 7 WHERE page = 1",
        "UPDATE completion SET checksum = checksum + 1 WHERE page = 1",
        "UPDATE completion SET page = 2 WHERE page = 1",
        "UPDATE completion SET page = -1 WHERE page = 1",
        "UPDATE completion SET page = 'x' WHERE page = 1",
        "UPDATE completion SET info_hash = (SELECT info_hash FROM metainfo) WHERE page = 1",
    ],
)
def test_a_row_that_does_not_fit_its_checksum_is_not_believed(tmp_path: Path, damage: str) -> None:
    """Its pieces are unknown and get hashed; a person is told once. What is recorded then is believed again."""
    store = SessionStore(tmp_path)
    key = SessionKey(InfoHash(bytes(20)), "/data") if "SELECT" in damage else KEY
    store.save(SessionKey(InfoHash(bytes(20)), "/data"), SAVED)
    store.completion(replace(KEY, data_path="/data") if "SELECT" in damage else KEY).record([3, 40_000], [])
    alter(store, damage)
    for _ in range(2):
        known, complete = store.completion(key).load(100_000)
        assert list(known.search(1)) == list(complete.search(1)) == ([] if "SELECT" in damage else [3])
    (warning,) = store.warnings
    assert f"torrent {key.info_hash} is damaged: up to 32,768 of its pieces have to be hashed" in warning
    store.completion(key).record([40_001], [])
    assert [piece for piece in store.completion(key).load(100_000)[0].search(1) if piece > 3] == [40_001]


def test_damaged_words_on_where_the_data_is_are_not_believed(tmp_path: Path) -> None:
    """A wrong directory would have the torrent written to somewhere else."""
    store = SessionStore(tmp_path)
    store.arrived(KEY, Place("/incomplete"))
    alter(store, "UPDATE places SET whereabouts = replace(whereabouts, 'inc', 'inx')")
    assert store.place(KEY) == Whereabouts()
    alter(store, "UPDATE places SET whereabouts = 3")
    assert store.places([KEY]) == [Whereabouts()]
    store.intend(KEY, Removing())
    assert store.place(KEY) == Whereabouts(None, Removing())


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE torrents SET added = 'x'",
        "UPDATE torrents SET priorities = 3",
        "UPDATE torrents SET uploaded = 'x'",
        "UPDATE torrents SET downloading_allowed = 0.5",
        "UPDATE metainfo SET body = 'x'",
        "UPDATE torrents SET data_path = x'41'",
        "UPDATE torrents SET data_path = x'2f0041'",
    ],
)
def test_a_row_that_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path, damage: str) -> None:
    """Nobody downstream meets a value of the wrong kind."""
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    alter(store, damage)
    assert [saved for saved in store.load_all(store.torrents()) if saved is not None] == []


def test_blocks_that_cannot_be_read_are_as_if_they_were_not_there(tmp_path: Path) -> None:
    """The torrent itself is none the worse for it."""
    store = SessionStore(tmp_path)
    store.save(KEY, SAVED)
    assert SAVED.partial
    alter(store, "UPDATE partial SET blocks = 7")
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


@every_rule
def test_a_file_back_end_on_the_session_store_is_whole(check: StorageCheck, tmp_path: Path) -> None:
    store = SessionStore(tmp_path / "state")
    data = tmp_path / "data"
    check(lambda: FileStorage(data, lambda info_hash: store.completion(session_key(info_hash, data))), persistent=True)
    store.close()


@pytest.mark.parametrize("known", [False, True])
def test_350_000_pieces_are_opened_and_recorded_in_a_few_transactions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """The flaw: a transaction of one row for each piece when a torrent was opened or verified."""
    content = torrent(1, named("t/a", 350_000))
    small = replace(content, geometry=Geometry(350_000 << 20, 1 << 20), files=(named("t/a", 350_000 << 20),))
    store = SessionStore(tmp_path / "state")
    key, data = session_key(HASH, tmp_path / "data"), tmp_path / "data"
    (data / "t").mkdir(parents=True)
    (data / "t/a").write_bytes(b"")
    if known:
        store.completion(key).record(range(350_000), [])
    began: list[str] = []

    def note(database: sqlite3.Connection) -> None:
        database.set_trace_callback(lambda said: began.append(said) if said.startswith("BEGIN") else None)

    store._database.read(note)
    began.clear()
    opened = FileStorage(data, lambda info_hash: store.completion(key)).open(small, HASH)
    assert not opened.completions()[1].any()
    assert len(began) == (3 if known else 1)  # read; and what turned out to be gone: recorded, and made unknown
    os.truncate(data / "t/a", 350_000 << 20)
    began.clear()
    opened.record(range(350_000))
    assert opened.completions()[1].all()
    assert len(began) == 1
    opened.close()


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
