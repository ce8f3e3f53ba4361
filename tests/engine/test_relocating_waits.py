"""What has to end before a torrent's files may go, and what has to wait until they are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from anabranch.engine import closing, events, relocating, residence_io
from anabranch.engine.residence_io import Residence
from anabranch.engine.saving import save
from anabranch.engine.stage import Live, Moving
from anabranch.engine.state import TorrentState
from anabranch.engine.stats import stats_of
from anabranch.model import StorageFailed
from anabranch.storage import FileStorage, Removing, SessionKey, SessionStore
from engine.clocks import Clock
from engine.places import seeding
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import sample

CONTENT = sample(pieces=4, blocks=2)


def remembered(folder: Path) -> tuple[Node, Clock, TorrentState, SessionStore]:
    """A torrent in *folder*/old that lives, of which nothing is there."""
    sessions = SessionStore(folder / "state")
    node = Node(clock := Clock(), sessions=sessions)
    home = Residence(SessionKey(CONTENT.info_hash, str(folder / "old")), FileStorage, sessions)
    torrent = node.add(CONTENT, home)
    torrent.data_path = home.key.data_path
    node.settle()
    until(clock, node, lambda: isinstance(torrent.stage, Live), 5)
    return node, clock, torrent, sessions


def is_away(torrent: TorrentState) -> bool:
    return isinstance(torrent.stage, Moving) and torrent.stage.under_way


def test_what_is_read_for_a_peer_is_read_before_the_files_go(tmp_path: Path) -> None:
    """Its storage is not closed under a worker that reads."""
    node, clock, torrent, _ = seeding(tmp_path, CONTENT)
    leech = Remote(node, torrent, CONTENT, pieces=())
    run(clock, node, 1)
    peer = next(iter(torrent.swarm.peers.values()))
    peer.serving.reading = True
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    run(clock, node, 3)
    assert isinstance(torrent.stage, Moving)
    assert not is_away(torrent)
    peer.serving.reading = False
    until(clock, node, lambda: done.is_set, 5)
    assert not leech.link.closed


def test_nothing_is_saved_under_a_name_that_is_about_to_change(tmp_path: Path) -> None:
    """Neither begun while the files move, nor still under way when they go: the old name would be remembered again."""
    node, clock, torrent, sessions = remembered(tmp_path)
    until(clock, node, lambda: len(sessions.torrents()) == 1 and not torrent.disk.rest.saving, 5)
    torrent.disk.rest.saving = True
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    run(clock, node, 3)
    assert isinstance(torrent.stage, Moving)
    assert not is_away(torrent)
    torrent.disk.dirty = True
    torrent.disk.rest.saving = False
    with node.engine.turn:
        save(node.engine, [torrent])
    assert not torrent.disk.rest.saving
    until(clock, node, lambda: done.is_set, 5)
    run(clock, node, 30)
    assert [known.data_path for known in sessions.torrents()] == [str(tmp_path / "new")]
    sessions.close()


def test_it_is_told_how_much_has_moved_while_it_moves(tmp_path: Path) -> None:
    """And nothing of that before and afterwards."""
    node, clock, torrent, home = seeding(tmp_path, CONTENT)
    node.record.held = True
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    run(clock, node, 3)
    home.moved = 7
    assert stats_of(node.engine, torrent).moved == 7
    node.record.held = False
    until(clock, node, lambda: done.is_set and isinstance(torrent.stage, Live), 5)
    assert home.moved == CONTENT.geometry.total
    assert stats_of(node.engine, torrent).moved == 0


def test_what_could_not_be_removed_is_remembered_until_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run tries again, and knows the torrent's files for that."""
    node, clock, torrent, sessions = remembered(tmp_path)
    until(clock, node, lambda: len(sessions.torrents()) == 1 and not torrent.disk.rest.saving, 5)

    def refused(*_: object) -> int:
        raise StorageFailed("/a/file", "Operation not permitted")

    monkeypatch.setattr(residence_io, "remove_data", refused)
    with node.engine.turn:
        closing.begin(node.engine, torrent, forget=True, erase=True)
    until(clock, node, lambda: torrent.signals.closed.is_set, 10)
    (key,) = sessions.torrents()
    assert sessions.place(key).intent == Removing()
    assert any(isinstance(event, events.Failed) for event in node.told())
    sessions.close()
