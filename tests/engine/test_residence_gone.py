"""Files that are not where they were left, and files that somebody else has: nothing is lost track of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anabranch.engine import adding, residence_io
from anabranch.engine.lodging import Wish
from anabranch.engine.relocating import _grant_all
from anabranch.engine.residence_io import Residence, is_away
from anabranch.engine.signals_io import Signal
from anabranch.model import Closed, InputRefused, StorageFailed
from anabranch.storage import (
    FileStorage,
    InUse,
    Place,
    Relocating,
    Removing,
    SavedTorrent,
    SessionKey,
    SessionStore,
    Whereabouts,
    relocate,
)
from engine.samples import on_disk, sample
from engine.test_residence_io import Stopping, begin, intact, interrupted, moving, next_run

CONTENT = sample(pieces=4, blocks=1, files=(20_000, 25_536, 20_000))
INFO = CONTENT.metainfo.info


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[SessionStore]:
    store = SessionStore(tmp_path / "state")
    yield store
    store.close()


def unmount(directory: Path) -> Path:
    """A mount point without its disk is an empty directory; answers where that disk is now."""
    disk = directory.with_name("disk")
    directory.rename(disk)
    directory.mkdir()
    return disk


def mount(disk: Path, directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    disk.rename(directory)


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("removed", [True, False])
def test_what_is_not_there_does_not_move(
    tmp_path: Path, sessions: SessionStore, remembered: bool, removed: bool
) -> None:
    """Its disk may not be mounted: the torrent stays known by where it is, and the path is told."""
    home = begin(tmp_path, sessions if remembered else None)
    disk = unmount(tmp_path / "old")
    if removed:
        (tmp_path / "old").rmdir()
    with pytest.raises(StorageFailed, match=r"old/sample 0/0\.bin: is gone"):
        home.grant(INFO, moving(tmp_path))
    assert home.key.data_path == home.place.directory == str(tmp_path / "old")
    assert not (tmp_path / "new").exists()
    mount(disk, tmp_path / "old")
    home.grant(INFO, moving(tmp_path))
    assert intact(home)
    assert home.place.directory == str(tmp_path / "new")


def test_a_move_that_is_to_go_on_waits_for_its_disk(tmp_path: Path, sessions: SessionStore) -> None:
    """Some files have arrived, and the disk of the others is not there after a restart: neither way is it given up."""
    home = begin(tmp_path, sessions, Stopping)
    with pytest.raises(Closed):
        home.grant(INFO, moving(tmp_path))
    disk = unmount(tmp_path / "old")
    again = next_run(tmp_path, sessions, "new")
    for _ in range(2):
        with pytest.raises(StorageFailed, match=r"[12]\.bin: is gone"):
            again.open(INFO, CONTENT.info_hash)
        assert list((tmp_path / "old").iterdir()) == []
    mount(disk, tmp_path / "old")
    assert intact(again)
    assert again.place.directory == str(tmp_path / "new")


def test_a_way_back_waits_for_its_disk_too(
    tmp_path: Path, sessions: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target's disk is gone with some of the files, and there is no room without it: the move stays begun."""
    home = begin(tmp_path, sessions, Stopping)
    with pytest.raises(Closed):
        home.grant(INFO, moving(tmp_path))
    disk = unmount(tmp_path / "new")

    def full(layout: Any, info_hash: Any, source: Place, target: Place, *rest: Any) -> None:
        if target.directory == str(tmp_path / "new"):
            raise StorageFailed(target.directory, "No space left on device")
        relocate(layout, info_hash, source, target, *rest)

    again = next_run(tmp_path, sessions, "new")
    with monkeypatch.context() as patched:
        patched.setattr(residence_io, "relocate", full)
        with pytest.raises(StorageFailed, match="No space"):
            again.open(INFO, CONTENT.info_hash)
    assert sessions.place(again.key).intent == Relocating(Place(str(tmp_path / "new")))
    mount(disk, tmp_path / "new")
    assert intact(again)


def test_what_somebody_removed_does_not_hold_up_the_rest(tmp_path: Path, sessions: SessionStore) -> None:
    """One file is gone, the others are there: the disk is, too."""
    home = begin(tmp_path, sessions)
    (tmp_path / "old" / "sample 0" / "1.bin").unlink()
    home.grant(INFO, moving(tmp_path))
    assert home.place.directory == str(tmp_path / "new")


def test_what_lies_in_the_parts_file_has_arrived_with_it(tmp_path: Path, sessions: SessionStore) -> None:
    """A recorded piece of a file that nobody wants is no file that is gone."""
    home = Residence(SessionKey(CONTENT.info_hash, str(tmp_path / "old")), FileStorage, sessions)
    storage: Any = home.open(INFO, CONTENT.info_hash)
    storage.select([True, False, False])
    for piece in (0, 1):
        storage.piece(piece).writev(0, [CONTENT.of_piece(piece)])
    storage.record([0, 1])
    storage.close()
    target = Place(str(tmp_path / "new"))
    relocate(INFO, CONTENT.info_hash, home.place, target)
    sessions.arrived(home.key, home.place, target.directory, Relocating(target))  # killed before it was settled
    again = next_run(tmp_path, sessions, "new")
    again.open(INFO, CONTENT.info_hash).close()
    assert not is_away(again)


def test_a_removal_that_was_killed_on_the_way_is_finished_at_both_places(
    tmp_path: Path, sessions: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropped with its data while it moved: the next run leaves nothing, here or there."""
    home = begin(tmp_path, sessions, Stopping)
    with pytest.raises(Closed):
        home.grant(INFO, moving(tmp_path))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(residence_io, "remove_data", killed)
        with pytest.raises(KeyboardInterrupt):
            residence_io.remove_all(home, None, INFO, CONTENT.info_hash)
    assert sessions.place(home.key).intent == Removing(Place(str(tmp_path / "new")))
    saved = SavedTorrent(CONTENT.metainfo.raw, (1, 1, 1), True, True, 0, 0, 0.0)
    adding.finish_removal(sessions, next_run(tmp_path, sessions, "new"), home.key, saved)
    assert list((tmp_path / "old").iterdir()) == list((tmp_path / "new").iterdir()) == []
    assert sessions.place(home.key).intent is None


def beginner(folder: Path, sessions: SessionStore, directory: str) -> Residence:
    """A torrent that nobody knows, of somebody who has a directory for what is incomplete."""
    key = SessionKey(CONTENT.info_hash, str(folder / directory))
    return Residence(key, FileStorage, sessions, None, str(folder / "begun"))


def test_of_two_that_share_a_directory_for_the_incomplete_one_has_it(tmp_path: Path, sessions: SessionStore) -> None:
    """The same torrent twice would write into, and move, each other's files: the second is where it belongs."""
    one, two = (beginner(tmp_path, sessions, name) for name in ("one", "two"))
    for home in (one, two):
        home.open(INFO, CONTENT.info_hash).close()
    assert (is_away(one), is_away(two)) == (True, False)
    known = Residence(two.key, FileStorage, sessions, Whereabouts(Place(str(tmp_path / "begun"))))
    with pytest.raises(StorageFailed, match="in use by this program"):  # it was begun there by an earlier run
        known.open(INFO, CONTENT.info_hash)
    one.leave()
    known.open(INFO, CONTENT.info_hash).close()
    assert known.occupies(SessionKey(CONTENT.info_hash, str(tmp_path / "begun")))


def test_who_comes_home_leaves_room_for_others(tmp_path: Path, sessions: SessionStore) -> None:
    """And who is dropped, with its data or without."""
    begun = SessionKey(CONTENT.info_hash, str(tmp_path / "begun"))
    home = beginner(tmp_path, sessions, "one")
    home.open(INFO, CONTENT.info_hash).close()
    with pytest.raises(InUse):
        sessions.claim(begun)
    home.grant(INFO, Wish(Signal(), home=True))
    home.open(INFO, CONTENT.info_hash).close()
    sessions.claim(begun).release()
    other = beginner(tmp_path, sessions, "two")
    storage = other.open(INFO, CONTENT.info_hash)
    residence_io.remove_all(other, storage, INFO, CONTENT.info_hash)
    sessions.claim(begun).release()


def test_bytes_that_move_are_counted(tmp_path: Path, sessions: SessionStore) -> None:
    """From nothing for each move."""
    home = begin(tmp_path, sessions)
    for directory in ("new", "newer"):
        home.grant(INFO, moving(tmp_path, directory))
        assert home.moved == len(CONTENT.content)
    home.grant(INFO, moving(tmp_path, "new"))
    assert intact(home)


def test_what_is_interrupted_is_not_missed(tmp_path: Path, sessions: SessionStore) -> None:
    """Nothing had moved: all of it is at the source."""
    again = interrupted(tmp_path, sessions)
    storage: Any = again.open(INFO, CONTENT.info_hash)
    assert on_disk(storage, CONTENT) == CONTENT.content
    storage.close()


def test_nobody_is_known_by_a_directory_without_the_right_to_it(tmp_path: Path, sessions: SessionStore) -> None:
    """A wish to leave the files where they are comes too late, they have gone home: it is refused, nothing changes."""
    home = beginner(tmp_path, sessions, "one")
    home.open(INFO, CONTENT.info_hash).close()
    wishes = [Wish(Signal(), home=True), moving(tmp_path, "begun")]
    with sessions.claim(home.key) as claim:
        _grant_all(home, INFO, None, wishes[:1], claim)
        home.open(INFO, CONTENT.info_hash).close()
        granted = _grant_all(home, INFO, None, wishes[1:], claim)
        assert granted.claim is claim
    assert isinstance(granted.errors[0], InputRefused)
    assert home.key.data_path == home.place.directory == str(tmp_path / "one")


def test_a_removal_that_has_to_wait_for_others_is_finished_by_a_later_run(
    tmp_path: Path, sessions: SessionStore
) -> None:
    """They have the torrent where its files are: that it is to go is remembered before anything else."""
    begun = Place(str(tmp_path / "begun"))
    key = SessionKey(CONTENT.info_hash, str(tmp_path / "one"))
    sessions.arrived(key, begun)
    home = next_run(tmp_path, sessions, "one")
    with sessions.claim(SessionKey(CONTENT.info_hash, begun.directory)), pytest.raises(StorageFailed, match="in use"):
        residence_io.remove_all(home, None, INFO, CONTENT.info_hash)
    assert sessions.place(key) == Whereabouts(begun, Removing())
