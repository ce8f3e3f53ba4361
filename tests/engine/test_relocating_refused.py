"""What a disk refuses just when a torrent's files are to go elsewhere."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from anabranch.engine import events, relocating
from anabranch.engine.stage import Failed, Live, Moving
from anabranch.model import StorageFailed
from anabranch.storage import TorrentStorage
from engine.places import names, seeding, settled
from engine.remotes import Remote
from engine.rig import run, until
from engine.samples import on_disk, sample
from engine.truth import check


class FullDisk:
    """A storage that takes nothing any more."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def piece(self, index: int) -> Any:
        piece = self._storage.piece(index)

        class FullPiece:
            readinto = piece.readinto

            def writev(self, begin: int, buffers: Any) -> None:
                raise StorageFailed("the file", "No space left on device", errno.ENOSPC)

        return FullPiece()


def test_what_a_disk_refuses_before_the_files_go_is_repeated_when_they_are_there(tmp_path: Path) -> None:
    """The torrent moves all the same, fails, tries again at the new place, and nothing is fetched twice."""
    content = sample(pieces=4, blocks=2)
    node, clock, torrent, _ = settled(tmp_path, content)
    node.settle()
    torrent.disk.storage = FullDisk(torrent.opened())
    node.disk.held = True
    Remote(node, torrent, content)
    node.settle()
    assert torrent.holding.finishing
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    run(clock, node, 1)
    assert isinstance(torrent.stage, Moving)
    node.disk.held = False
    until(clock, node, lambda: done.is_set, 5)
    until(clock, node, lambda: torrent.signals.complete.is_set, 30)
    told = node.told()
    assert [event.error.errno for event in told if isinstance(event, events.Failed)] == [errno.ENOSPC]  # type: ignore[attr-defined]  # a StorageFailed
    assert [event.stage for event in told if isinstance(event, events.StageChanged)] == [
        "live",
        "moving",
        "failed",
        "live",
    ]
    assert torrent.totals.downloaded == content.geometry.total
    assert on_disk(torrent.opened(), content) == content.content
    assert names(tmp_path / "new") == {"sample 0"}
    check(node)


def test_a_sync_that_fails_before_the_move_stops_it(tmp_path: Path) -> None:
    """What is not durable must not be taken for it later: the files stay, and the reason is told."""
    content = sample(pieces=2, blocks=2)
    node, clock, torrent, _ = seeding(tmp_path, content)

    class Unsynced(FullDisk):
        def flush(self) -> None:
            raise StorageFailed("the file", "Input/output error", errno.EIO)

    broken: TorrentStorage = Unsynced(torrent.opened())
    torrent.disk.storage = broken
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    until(clock, node, lambda: done.error is not None, 5)
    assert names(tmp_path / "old") == {"sample 0"}
    until(clock, node, lambda: isinstance(torrent.stage, Live), 5)


def test_a_torrent_whose_disk_failed_may_be_taken_elsewhere(tmp_path: Path) -> None:
    """What could not be written stays in memory and is written at the new place; nothing is fetched twice."""
    content = sample(pieces=6, blocks=2)
    node, clock, torrent, _ = settled(tmp_path, content)
    node.settle()
    storage = FullDisk(torrent.opened())
    torrent.disk.storage = storage
    Remote(node, torrent, content, rate=8)
    until(clock, node, lambda: isinstance(torrent.stage, Failed), 10)
    done = relocating.move(node, torrent, str(tmp_path / "new"))
    until(clock, node, lambda: done.is_set, 5)
    until(clock, node, lambda: torrent.signals.complete.is_set, 30)
    assert on_disk(torrent.opened(), content) == content.content
    assert any(isinstance(event, events.Recovered) for event in node.told())
    check(node)
