"""A torrent's files go elsewhere, or get other names, while it lives."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from anabranch.engine import events, relocating
from anabranch.engine.checking import want_check
from anabranch.engine.lodging import Wish
from anabranch.engine.reading import read_found, wait_for
from anabranch.engine.relocating import files_in, path_now
from anabranch.engine.signals_io import Signal
from anabranch.engine.stage import Checking, Closing, Dropped, Failed, Live, Moving
from anabranch.model import BLOCK_SIZE, Closed, InputRefused, Misused, Priority, StorageFailed, all_pieces
from anabranch.storage import Place, folder_io
from anabranch.wire import Choked, Unchoke
from engine.clocks import Clock
from engine.places import names, seeding, settled
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import on_disk, sample
from engine.truth import check


def stages(node: Node) -> list[str]:
    return [event.stage for event in node.told() if isinstance(event, events.StageChanged)]


def test_a_download_goes_on_where_its_files_went(tmp_path: Path) -> None:
    """Peers stay, nothing is hashed, what was verified is not fetched again, and the rest goes to the new place."""
    content = sample(pieces=12, blocks=4, files=(200_000, 300_000, 286_432))
    node, clock, torrent, _ = settled(tmp_path, content)
    node.settle()
    remote = Remote(node, torrent, content, rate=8)
    until(clock, node, lambda: torrent.pieces.complete_count >= 4, 20)
    had = torrent.pieces.complete.copy()
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    assert not done.is_set
    until(clock, node, lambda: done.is_set, 5)
    assert torrent.data_path == files_in(torrent) == str(tmp_path / "new")
    assert names(tmp_path / "old") == set()
    assert had & torrent.pieces.complete == had
    until(clock, node, lambda: torrent.signals.complete.is_set, 30)
    check(node)
    assert not remote.link.closed
    assert on_disk(torrent.opened(), content) == content.content
    assert names(tmp_path / "new") == {"sample 0/0.bin", "sample 0/1.bin", "sample 0/2.bin"}
    assert torrent.totals.hashed == content.geometry.total
    assert stages(node) == ["live", "moving", "live"]


def test_a_file_that_is_removed_after_the_move_is_missed_as_ever(tmp_path: Path) -> None:
    """What the storage says is heard from the one that was opened at the new place, too."""
    content = sample(pieces=24, blocks=2)
    node, clock, torrent, _ = settled(tmp_path, content)
    node.settle()
    remote = Remote(node, torrent, content, rate=8)
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    until(clock, node, lambda: done.is_set, 5)
    until(clock, node, lambda: torrent.pieces.complete_count >= 8, 20)
    run(clock, node, 1.5)  # they are recorded
    [file] = (tmp_path / "new").iterdir()
    file.unlink()
    until(clock, node, lambda: torrent.signals.complete.is_set, 60)
    assert not remote.link.closed
    assert on_disk(torrent.opened(), content) == content.content


def test_nothing_is_asked_or_served_meanwhile(tmp_path: Path) -> None:
    """Requests are taken back, peers choked, until the files are there; then they are served again."""
    content = sample(pieces=6, blocks=2)
    node, clock, torrent, _ = seeding(tmp_path, content)
    leech = Remote(node, torrent, content, pieces=())
    leech.talk.interested()
    leech.send()
    run(clock, node, 1)
    assert leech.said(Unchoke) == 1
    node.record.held = True
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    run(clock, node, 3, lambda: check(node))
    assert isinstance(torrent.stage, Moving)
    assert torrent.stage.under_way
    assert leech.said(Choked) == 1
    leech.ask(0, 0, BLOCK_SIZE)
    run(clock, node, 3, lambda: check(node))
    assert set(leech.answers().values()) <= {None}
    node.record.held = False
    until(clock, node, lambda: isinstance(torrent.stage, Live), 5)
    assert done.is_set
    assert not leech.link.closed
    until(clock, node, lambda: leech.said(Unchoke) == 2, 12)


def test_it_waits_until_nothing_is_under_way_on_the_storage(tmp_path: Path) -> None:
    """What is being hashed and written is brought to its end and recorded before the files go."""
    content = sample(pieces=4, blocks=2)
    node, clock, torrent, _ = settled(tmp_path, content)
    node.settle()
    node.disk.held = True
    Remote(node, torrent, content)
    node.settle()
    assert torrent.holding.finishing
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    run(clock, node, 3)
    assert isinstance(torrent.stage, Moving)
    assert not torrent.stage.under_way
    node.disk.held = False
    until(clock, node, lambda: done.is_set, 5)
    until(clock, node, lambda: torrent.signals.complete.is_set, 10)
    assert torrent.totals.downloaded == content.geometry.total
    assert on_disk(torrent.opened(), content) == content.content
    check(node)


def test_readers_wait_and_then_read(tmp_path: Path) -> None:
    """Neither an error nor wrong bytes: who comes meanwhile hears when the files are there."""
    content = sample(pieces=4, blocks=2)
    node, clock, torrent, _ = seeding(tmp_path, content)
    before = wait_for(node, torrent, 0, 100, False)
    node.record.held = True
    relocating.move(node, torrent, str(tmp_path / "new"))
    run(clock, node, 2)
    room = bytearray(100)
    assert read_found(node, torrent, before, 0, memoryview(room)) == 0
    waiting = wait_for(node, torrent, 0, 100, True)
    assert waiting.length == 0
    assert waiting.signal is not None
    assert not waiting.signal.is_set
    node.record.held = False
    until(clock, node, lambda: isinstance(torrent.stage, Live), 5)
    assert waiting.signal.is_set
    found = wait_for(node, torrent, 0, 100, False)
    assert read_found(node, torrent, found, 0, memoryview(room)) == 100
    assert room == content.content[:100]


def test_a_storage_that_is_closed_under_a_reader_has_it_wait_again(tmp_path: Path) -> None:
    """The reader looked before, and reads after: that is no error of the disk."""
    content = sample(pieces=2, blocks=2)
    node, _, torrent, _ = seeding(tmp_path, content)
    found = wait_for(node, torrent, 0, 10, False)
    storage = torrent.opened()

    class ClosedWhileRead:
        def piece(self, index: int) -> object:
            torrent.disk.storage = None
            storage.close()
            return storage.piece(index)

    closing: Any = ClosedWhileRead()
    torrent.disk.storage = closing
    assert read_found(node, torrent, found, 0, memoryview(bytearray(10))) == 0


def test_files_get_other_names_one_after_the_other(tmp_path: Path) -> None:
    """Several wishes before the first is granted; the present path is told, and the metainfo stays as it is."""
    content = sample(pieces=3, blocks=4, files=(100_000, 96_608))
    node, clock, torrent, _ = seeding(tmp_path, content)
    first = relocating.rename(node, torrent, {0: ("sample 0", "zero")})
    second = relocating.rename_folder(node, torrent, ("sample 0",), ("other", "place"))
    third = relocating.rename(node, torrent, {1: ("one",)})
    until(clock, node, lambda: first.is_set and second.is_set and third.is_set, 5)
    assert names(tmp_path / "old") == {"other/place/zero", "one"}
    assert path_now(torrent, 0) == ("other", "place", "zero")
    assert torrent.metainfo.info.files[0].path == ("sample 0", "0.bin")
    run(clock, node, 2)
    assert on_disk(torrent.opened(), content) == content.content
    assert [event.files for event in node.told() if isinstance(event, events.Moved)] == [(0,), (0, 1), (1,)]
    relocating.rename(node, torrent, {0: ("sample 0", "0.bin"), 1: ("sample 0", "1.bin")})
    run(clock, node, 2)
    assert names(tmp_path / "old") == {"sample 0/0.bin", "sample 0/1.bin"}


@pytest.mark.parametrize(
    "bad", [("..", "x"), ("", "x"), ("a/b",), (), ("sample 0", "1.bin"), ("sample 0", "1.bin", "x")]
)
def test_names_that_cannot_be_are_refused_at_once(tmp_path: Path, bad: tuple[str, ...]) -> None:
    """Unsafe, another file's, or below another file; nothing begins."""
    content = sample(pieces=3, blocks=4, files=(100_000, 96_608))
    node, clock, torrent, _ = seeding(tmp_path, content)
    with pytest.raises(InputRefused):
        relocating.rename(node, torrent, {0: bad})
    with pytest.raises(InputRefused):
        relocating.rename_folder(node, torrent, ("nothing",), ("x",))
    run(clock, node, 2)
    assert isinstance(torrent.stage, Live)
    assert stages(node) == []


def test_what_is_in_the_way_is_not_overwritten_and_the_torrent_goes_on(tmp_path: Path) -> None:
    """The signal says which file; data and peers stay, and the torrent is known by its old directory."""
    content = sample(pieces=4, blocks=2)
    node, clock, torrent, _ = seeding(tmp_path, content)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "sample 0").write_text("somebody's")
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    until(clock, node, lambda: done.error is not None, 5)
    assert isinstance(done.error, StorageFailed)
    assert done.error.errno == errno.EEXIST
    assert done.error.path == str(tmp_path / "new" / "sample 0")
    until(clock, node, lambda: isinstance(torrent.stage, Live), 5)
    assert torrent.data_path == str(tmp_path / "old")
    assert (tmp_path / "new" / "sample 0").read_text() == "somebody's"
    assert on_disk(torrent.opened(), content) == content.content
    assert [type(event) for event in node.told() if not isinstance(event, events.StageChanged)] == [events.MoveFailed]
    assert relocating.move(node, torrent, str(tmp_path / "other")) is not done
    until(clock, node, lambda: torrent.data_path == str(tmp_path / "other"), 5)


def test_a_move_that_fails_half_way_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever file the system refuses: all are where they were, and nothing is hashed or fetched again."""
    content = sample(pieces=6, blocks=2, files=(60_000, 60_000, 76_608))
    node, clock, torrent, home = seeding(tmp_path, content)
    refuse_third(monkeypatch, tmp_path / "new")
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    until(clock, node, lambda: done.error is not None, 5)
    until(clock, node, lambda: isinstance(torrent.stage, Live), 5)
    assert home.place == Place(str(tmp_path / "old"))
    assert names(tmp_path / "old") == {"sample 0/0.bin", "sample 0/1.bin", "sample 0/2.bin"}
    assert names(tmp_path / "new") == set()
    assert on_disk(torrent.opened(), content) == content.content
    run(clock, node, 3)
    assert torrent.totals.hashed == content.geometry.total


def refuse_third(monkeypatch: pytest.MonkeyPatch, new: Path) -> None:
    """Have the disk be full for the third file that goes there."""
    real, moved = folder_io.Folder.move, []

    def move(folder: Any, path: Any, to: Any, *rest: Any) -> None:
        if to.root == str(new):
            moved.append(path)
            if len(moved) == 3:
                raise StorageFailed(to.shown(path), "No space left on device", errno.ENOSPC)
        real(folder, path, to, *rest)

    monkeypatch.setattr(folder_io.Folder, "move", move)


def test_files_at_two_places_fail_the_torrent_until_they_come_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on nor back: that is a disk that failed, tried again every ten seconds."""
    content = sample(pieces=6, blocks=2, files=(60_000, 60_000, 76_608))
    node, clock, torrent, home = seeding(tmp_path, content)
    real = folder_io.Folder.move
    mended: list[bool] = []

    def move(folder: Any, path: Any, to: Any, *rest: Any) -> None:
        if path[-1] == "1.bin" and not mended:
            raise StorageFailed(folder.shown(path), "Input/output error", errno.EIO)
        if to.root == str(tmp_path / "old") and not mended:
            raise StorageFailed(folder.shown(path), "Read-only file system", errno.EROFS)
        real(folder, path, to, *rest)

    monkeypatch.setattr(folder_io.Folder, "move", move)
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    until(clock, node, lambda: isinstance(torrent.stage, Failed), 5)
    assert isinstance(done.error, StorageFailed)
    assert done.error.errno == errno.EIO
    assert names(tmp_path / "new") == {"sample 0/0.bin"}
    run(clock, node, 25)
    assert isinstance(torrent.stage, Failed)
    mended.append(True)
    until(clock, node, lambda: isinstance(torrent.stage, Live), 15)
    assert home.place == Place(str(tmp_path / "new"))
    assert names(tmp_path / "old") == set()
    assert on_disk(torrent.opened(), content) == content.content
    assert torrent.totals.hashed == content.geometry.total


def test_a_move_that_was_not_begun_is_called_back(tmp_path: Path) -> None:
    """Who moves it to where it is takes the wish away."""
    content = sample(pieces=2, blocks=2)
    node, clock, torrent, _ = seeding(tmp_path, content)
    away = relocating.move(node, torrent, str(tmp_path / "new"))
    with pytest.raises(InputRefused, match="moved already"):
        relocating.move(node, torrent, str(tmp_path / "third"))
    back = relocating.move(node, torrent, str(tmp_path / "old"))
    node.settle()
    assert back.is_set
    assert isinstance(away.error, Closed)
    run(clock, node, 3)
    assert isinstance(torrent.stage, Live)
    assert names(tmp_path / "old") == {"sample 0"}


def test_a_move_under_way_is_called_back(tmp_path: Path) -> None:
    """The worker stops, and takes back what has moved."""
    content = sample(pieces=4, blocks=2, files=(60_000, 71_072))
    node, clock, torrent, home = seeding(tmp_path, content)
    node.record.held = True
    away = relocating.move(node, torrent, str(tmp_path / "new"))
    run(clock, node, 2)
    back = relocating.move(node, torrent, str(tmp_path / "old"))
    run(clock, node, 2)
    assert home.recalled
    assert not back.is_set
    node.record.held = False
    until(clock, node, lambda: isinstance(torrent.stage, Live), 5)
    assert isinstance(away.error, Closed)
    until(clock, node, lambda: back.is_set, 2)
    assert names(tmp_path / "old") == {"sample 0/0.bin", "sample 0/1.bin"}
    assert on_disk(torrent.opened(), content) == content.content
    assert torrent.data_path == str(tmp_path / "old")


def test_only_files_of_the_client_s_own_can_go(tmp_path: Path) -> None:
    """Memory, databases, and storages of the user's own stay: said at once."""
    content = sample(pieces=2, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    with pytest.raises(Misused, match="stored in files"):
        relocating.move(node, torrent, str(tmp_path))
    with pytest.raises(Misused, match="stored in files"):
        relocating.rename(node, torrent, {0: ("x",)})
    with pytest.raises(Misused, match="stored in files"):
        relocating.rename_folder(node, torrent, ("x",), ("y",))
    with node.turn, pytest.raises(Misused, match="waits for the disk"):
        relocating.move(node, torrent, str(tmp_path))


@pytest.mark.parametrize("held", [True, False])
def test_dropped_on_the_way_it_ends_and_who_waits_is_told(tmp_path: Path, held: bool) -> None:
    """Before the worker begins or while it is at it: no step is left hanging, every file is at one of the places."""
    content = sample(pieces=4, blocks=2, files=(60_000, 71_072))
    node, clock, torrent, _ = seeding(tmp_path, content)
    node.record.held = held
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    if held:
        run(clock, node, 2)
        assert isinstance(torrent.stage, Moving)
    node.drop(torrent)
    node.record.held = False
    run(clock, node, 2)
    assert isinstance(torrent.stage, Dropped)
    assert isinstance(done.error, Closed)
    assert torrent.signals.closed.is_set
    assert {*names(tmp_path / "old"), *names(tmp_path / "new")} == {"sample 0/0.bin", "sample 0/1.bin"}
    with pytest.raises(Closed):
        relocating.move(node, torrent, str(tmp_path / "x"))


def test_dropped_while_it_opens_again_it_ends(tmp_path: Path) -> None:
    """The storage that comes too late is closed."""
    content = sample(pieces=4, blocks=2)
    node, clock, torrent, _ = seeding(tmp_path, content)
    relocating.move(node, torrent, str(tmp_path / "new"))
    node.disk.held = True
    run(clock, node, 2)
    assert torrent.data_path == str(tmp_path / "new")
    node.drop(torrent)
    node.settle()
    assert isinstance(torrent.stage, Closing)
    node.disk.held = False
    run(clock, node, 1)
    assert isinstance(torrent.stage, Dropped)
    assert torrent.disk.storage is None


def test_what_is_wanted_and_allowed_may_change_meanwhile(tmp_path: Path) -> None:
    """Priorities and a check count when the files are there."""
    content = sample(pieces=6, blocks=2, files=(60_000, 60_000, 76_608))
    node, clock, torrent, _ = settled(tmp_path, content)
    node.want(torrent, [Priority.NORMAL, Priority.NONE, Priority.NONE])
    node.settle()
    Remote(node, torrent, content)
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    node.record.held = True
    relocating.move(node, torrent, str(tmp_path / "new"))
    run(clock, node, 2)
    node.want(torrent, [Priority.NORMAL] * 3)
    with node.turn:
        want_check(node.engine, torrent, all_pieces(6))
    run(clock, node, 3, lambda: check(node))
    assert isinstance(torrent.stage, Moving)
    assert not torrent.signals.checked.is_set
    assert not torrent.signals.complete.is_set
    node.record.held = False
    until(clock, node, lambda: torrent.signals.complete.is_set and torrent.signals.checked.is_set, 20)
    assert names(tmp_path / "new") == {"sample 0/0.bin", "sample 0/1.bin", "sample 0/2.bin"}
    check(node)


def test_a_check_goes_on_where_it_was(tmp_path: Path) -> None:
    """Pieces that are queued stay queued; those found right stay found."""
    content = sample(pieces=40, blocks=2)
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "sample 0").write_bytes(content.content)
    node, clock, torrent, _ = settled(tmp_path, content)
    node.disk.held = True
    node.settle()
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    node.settle()
    assert not done.is_set
    node.disk.held = False
    until(clock, node, lambda: done.is_set and torrent.signals.checked.is_set, 10)
    assert torrent.pieces.complete.all()
    assert torrent.totals.hashed == content.geometry.total


def test_a_file_that_somebody_took_meanwhile_is_missed(tmp_path: Path) -> None:
    """What the storage does not have any more where it opens again is hashed, and fetched anew."""
    content = sample(pieces=6, blocks=2, files=(98_304, 98_304))
    node, clock, torrent, _ = seeding(tmp_path, content)
    node.disk.held = True
    relocating.move(node, torrent, str(tmp_path / "new"))
    run(clock, node, 2)
    (tmp_path / "new" / "sample 0" / "1.bin").unlink()
    node.disk.held = False
    run(clock, node, 3)
    assert torrent.pieces.complete.to01() == "111000"
    Remote(node, torrent, content)
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    assert on_disk(torrent.opened(), content) == content.content


def test_a_wish_that_waits_for_the_storage_is_granted_later(tmp_path: Path) -> None:
    """Asked for while it is being opened, the move begins when that is through."""
    content = sample(pieces=2, blocks=2)
    node, clock, torrent, _ = settled(tmp_path, content)
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    node.disk.held = True
    run(clock, node, 2)
    assert not done.is_set
    node.disk.held = False
    until(clock, node, lambda: done.is_set, 5)
    assert torrent.data_path == str(tmp_path / "new")


def test_every_wish_has_its_own_outcome(tmp_path: Path) -> None:
    """One that cannot be granted does not take others with it."""
    content = sample(pieces=3, blocks=4, files=(100_000, 96_608))
    node, clock, torrent, home = seeding(tmp_path, content)
    (tmp_path / "old" / "mine").write_text("mine")
    refused = relocating.rename(node, torrent, {0: ("mine",)})
    granted = relocating.rename(node, torrent, {1: ("one",)})
    until(clock, node, lambda: granted.is_set, 5)
    assert isinstance(refused.error, StorageFailed)
    assert (tmp_path / "old" / "mine").read_text() == "mine"
    assert home.place.names == {1: ("one",)}
    assert Wish(Signal()).names == {}
    assert isinstance(torrent.stage, Live | Checking | Moving)
