"""Files that know their place, across runs that end at any step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anabranch.engine import residence_io
from anabranch.engine.lodging import Wish
from anabranch.engine.residence_io import Residence, is_away, path_of
from anabranch.engine.signals_io import Signal
from anabranch.model import Closed, StorageFailed, no_pieces
from anabranch.storage import FileStorage, MemoryStorage, Place, Relocating, SessionKey, SessionStore, relocate
from engine.samples import on_disk, sample

CONTENT = sample(pieces=4, blocks=1, files=(20_000, 25_536, 20_000))


class Killed(BaseException):
    """The program ended here."""


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[SessionStore]:
    store = SessionStore(tmp_path / "state")
    yield store
    store.close()


class Stopping(Residence):
    """Its program closes when one file has moved."""

    def _may_go_on(self, moved: int) -> bool:
        went_on = super()._may_go_on(moved)
        self.stopped = True
        return went_on


def begin(folder: Path, sessions: SessionStore | None, kind: type[Residence] = Residence) -> Residence:
    """Everything is in *folder*/old and recorded."""
    content = CONTENT
    home = kind(SessionKey(content.info_hash, str(folder / "old")), FileStorage, sessions)
    storage: Any = home.open(content.metainfo.info, content.info_hash)
    for piece in range(content.geometry.piece_count):
        storage.piece(piece).writev(0, [content.of_piece(piece)])
    storage.record(list(range(content.geometry.piece_count)))
    storage.close()
    return home


def next_run(folder: Path, sessions: SessionStore, directory: str) -> Residence:
    key = SessionKey(CONTENT.info_hash, str(folder / directory))
    return Residence(key, FileStorage, sessions, sessions.place(key))


def intact(home: Residence) -> bool:
    """All is there, and known to be complete."""
    storage: Any = home.open(CONTENT.metainfo.info, CONTENT.info_hash)
    try:
        return bool(storage.completions()[1].all()) and on_disk(storage, CONTENT) == CONTENT.content
    finally:
        storage.close()


def moving(folder: Path, directory: str = "new") -> Wish:
    return Wish(Signal(), key=SessionKey(CONTENT.info_hash, str(folder / directory)))


@pytest.mark.parametrize("step", ["relocate", "arrived"])
@pytest.mark.parametrize("after", [False, True])
def test_after_a_kill_the_next_run_brings_it_to_its_end(
    tmp_path: Path, sessions: SessionStore, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    """Before and after the files move, and before and after that is remembered: known by the new directory."""
    home = begin(tmp_path, sessions)
    owner: Any = residence_io if step == "relocate" else sessions
    real, calls = getattr(owner, step), []

    def killed(*args: Any, **keys: Any) -> Any:
        calls.append(step)
        if step == "arrived" and len(calls) == 1:  # that it begins
            return real(*args, **keys)
        if after:
            real(*args, **keys)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, killed)
        with pytest.raises(Killed):
            home.grant(CONTENT.metainfo.info, moving(tmp_path))
    again = next_run(tmp_path, sessions, "new")
    assert intact(again)
    assert again.place == Place(str(tmp_path / "new"))
    assert not is_away(again)
    assert intact(next_run(tmp_path, sessions, "new"))
    assert not (tmp_path / "old" / "sample 0").exists()


def test_stopped_it_goes_on_in_the_next_run(tmp_path: Path, sessions: SessionStore) -> None:
    """A client that closes does not wait for a copy; what is remembered is where it was going to."""
    home = begin(tmp_path, sessions, Stopping)
    wish = moving(tmp_path)
    with pytest.raises(Closed):
        home.grant(CONTENT.metainfo.info, wish)
    with pytest.raises(Closed):  # nothing begins any more
        home.grant(CONTENT.metainfo.info, moving(tmp_path, "third"))
    assert sessions.place(home.key).intent == Relocating(Place(str(tmp_path / "new")))
    assert (tmp_path / "old" / "sample 0" / "2.bin").exists()
    assert (tmp_path / "new" / "sample 0" / "0.bin").exists()
    assert intact(next_run(tmp_path, sessions, "new"))


def interrupted(folder: Path, sessions: SessionStore) -> Residence:
    """The next run of a program that was killed before any file had moved."""
    home = begin(folder, sessions)
    target = str(folder / "new")
    sessions.arrived(home.key, home.place, target, Relocating(Place(target)))
    return next_run(folder, sessions, "new")


def test_what_cannot_go_on_in_the_next_run_is_taken_back(
    tmp_path: Path, sessions: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk became full: the files are used where they were, and are elsewhere than where they belong."""
    again = interrupted(tmp_path, sessions)

    def full(layout: Any, info_hash: Any, source: Place, target: Place, *rest: Any) -> None:
        if target.directory == str(tmp_path / "new"):
            raise StorageFailed(target.directory, "No space left on device")
        relocate(layout, info_hash, source, target, *rest)

    monkeypatch.setattr(residence_io, "relocate", full)
    assert intact(again)
    assert again.place == Place(str(tmp_path / "old"))
    assert is_away(again)
    assert sessions.place(again.key).intent is None


def test_what_came_into_the_way_is_told_until_it_is_gone(tmp_path: Path, sessions: SessionStore) -> None:
    """Whose it is nobody knows: it is neither overwritten nor taken for the torrent's own."""
    again = interrupted(tmp_path, sessions)
    theirs = tmp_path / "new" / "sample 0" / "1.bin"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("somebody's")
    for _ in range(2):
        with pytest.raises(StorageFailed, match=r"1\.bin"):
            intact(again)
        assert theirs.read_text() == "somebody's"
    theirs.unlink()
    assert intact(again)
    assert again.place == Place(str(tmp_path / "new"))


def test_names_are_kept_through_moves(tmp_path: Path, sessions: SessionStore) -> None:
    """And dropped from what is remembered where they are the torrent's own again."""
    home, info = begin(tmp_path, sessions), CONTENT.metainfo.info
    home.grant(info, Wish(Signal(), {1: ("other", "one")}))
    home.grant(info, moving(tmp_path))
    assert path_of(home, info, 1) == ("other", "one")
    assert (tmp_path / "new" / "other" / "one").exists()
    again = next_run(tmp_path, sessions, "new")
    assert again.place.names == {1: ("other", "one")}
    assert intact(again)
    again.grant(info, Wish(Signal(), {1: info.files[1].path}))
    assert sessions.place(again.key).place is None
    assert intact(next_run(tmp_path, sessions, "new"))


def test_all_of_it_is_removed_from_both_places(tmp_path: Path, sessions: SessionStore) -> None:
    """A torrent that is dropped on its way leaves nothing, here or there."""
    home = begin(tmp_path, sessions, Stopping)
    with pytest.raises(Closed):
        home.grant(CONTENT.metainfo.info, moving(tmp_path))
    residence_io.remove_all(home, None, CONTENT.metainfo.info, CONTENT.info_hash)
    assert list((tmp_path / "old").iterdir()) == list((tmp_path / "new").iterdir()) == []


def test_other_storages_are_asked_to_forget() -> None:
    """Open or not; one that has no way to do it is an error that names it."""
    home, info = MemoryStorage(), CONTENT.metainfo.info
    storage = home.open(info, CONTENT.info_hash)
    storage.piece(0).writev(0, [CONTENT.of_piece(0)])
    residence_io.remove_all(home, storage, info, CONTENT.info_hash)
    with pytest.raises(Closed):
        storage.piece(0).readinto(0, bytearray(1))
    residence_io.remove_all(home, None, info, CONTENT.info_hash)

    class Stubborn:
        closed = False

        def close(self) -> None:
            self.closed = True

    stubborn: Any = Stubborn()
    with pytest.raises(StorageFailed, match="Stubborn has no way"):
        residence_io.remove_all(home, stubborn, info, CONTENT.info_hash)
    assert stubborn.closed


def lay_down(folder: Path, sizes: dict[int, int] | None = None) -> None:
    """The files as somebody brought them, some of another size."""
    for number, file in enumerate(CONTENT.metainfo.info.files):
        path = folder.joinpath(*file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT.content[file.offset : file.offset + (sizes or {}).get(number, file.length)])


@pytest.mark.parametrize("remembers", [True, False])
def test_resume_data_vouch_for_files_and_sizes_are_looked_at(
    tmp_path: Path, sessions: SessionStore, remembers: bool
) -> None:
    """Also where nothing is remembered: a file that is too short has lost its end, whoever says that it is complete."""
    lay_down(tmp_path / "old", {1: 25_000})
    home = Residence(SessionKey(CONTENT.info_hash, str(tmp_path / "old")), FileStorage, sessions if remembers else None)
    home.vouch(~no_pieces(4))
    storage: Any = home.open(CONTENT.metainfo.info, CONTENT.info_hash)
    known, complete = storage.completions()
    storage.close()
    assert known.all()
    assert list(complete.search(1)) == [0, 1, 3]


def test_resume_data_say_nothing_where_this_run_or_one_before_has_records(
    tmp_path: Path, sessions: SessionStore
) -> None:
    """Those are younger: a piece that was found wrong, and is half there anew, would be served as if it were right."""
    home = begin(tmp_path, sessions)
    storage: Any = home.open(CONTENT.metainfo.info, CONTENT.info_hash)
    storage.piece(2).writev(0, [bytes(100)])  # as after a check that found it wrong
    storage.close()
    again = next_run(tmp_path, sessions, "old")
    again.vouch(~no_pieces(4))
    storage = again.open(CONTENT.metainfo.info, CONTENT.info_hash)
    known, complete = storage.completions()
    storage.close()
    assert list(known.search(1)) == list(complete.search(1)) == [0, 1, 3]
