"""A check that a user asks for finds what somebody else put there; what comes by itself is not looked for."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from anabranch.engine import events
from anabranch.engine.checking import queue_check, want_check
from anabranch.engine.stage import Failed, Live
from anabranch.engine.state import TorrentState
from anabranch.model import StorageFailed, all_pieces
from anabranch.storage.file_storage_io import FileTorrent
from engine.places import settled
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import Sample, sample
from engine.truth import check

CONTENT = sample(pieces=8, blocks=2, files=(100_000, 162_144))


def lay_down(content: Sample, folder: Path, *files: int) -> None:
    for file in files:
        entry = content.metainfo.info.files[file]
        path = folder.joinpath(*entry.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.content[entry.offset : entry.offset + entry.length])


def verify(node: Node, torrent: TorrentState) -> None:
    with node.engine.turn:
        want_check(node.engine, torrent, all_pieces(8))


def test_what_has_come_is_not_fetched(tmp_path: Path) -> None:
    """Only what has not."""
    node, _, torrent, _ = settled(tmp_path, CONTENT)
    node.settle()
    lay_down(CONTENT, tmp_path / "old", 1)
    verify(node, torrent)
    node.settle(lambda: check(node))
    assert torrent.pieces.complete.to01() == "00001111"
    assert torrent.signals.checked.is_set
    Remote(node, torrent, CONTENT)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert torrent.totals.downloaded == 4 * CONTENT.geometry.piece_length
    check(node)


def test_nor_is_it_fetched_while_it_waits_to_be_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would be written over. What has not come is fetched all the time."""
    node, clock, torrent, _ = settled(tmp_path, CONTENT)
    node.settle()
    lay_down(CONTENT, tmp_path / "old", 1)
    find = FileTorrent.find

    def seen(storage: FileTorrent, pieces: range) -> Any:
        node.disk.held = True  # the jobs behind this one
        return find(storage, pieces)

    monkeypatch.setattr(FileTorrent, "find", seen)
    verify(node, torrent)
    run(clock, node, 1)
    assert torrent.pieces.known.to01() == "11100000"
    Remote(node, torrent, CONTENT)
    run(clock, node, 3, lambda: check(node))
    assert torrent.totals.downloaded == 3 * CONTENT.geometry.piece_length
    node.disk.held = False
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert torrent.totals.downloaded == 4 * CONTENT.geometry.piece_length


def test_only_a_user_has_it_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each check, however many jobs it has."""
    node, _, torrent, _ = settled(tmp_path, CONTENT)
    node.settle()
    looked: list[range] = []
    find = FileTorrent.find

    def seen(storage: FileTorrent, pieces: range) -> Any:
        looked.append(pieces)
        return find(storage, pieces)

    monkeypatch.setattr(FileTorrent, "find", seen)
    with node.engine.turn:
        queue_check(node.engine, torrent, all_pieces(8))
    node.settle()
    assert looked == []
    verify(node, torrent)
    verify(node, torrent)
    node.settle()
    assert looked in ([range(8)], [range(8)] * 2)
    with node.engine.turn:
        wanted = ~all_pieces(8)
        wanted[2:5] = True
        want_check(node.engine, torrent, wanted)
    node.settle()
    assert looked[-1] == range(2, 5)


def test_a_disk_that_refuses_to_look_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The torrent says why; when the cause is gone the check goes on, and finds what is there."""
    node, clock, torrent, _ = settled(tmp_path, CONTENT)
    node.settle()

    def refused(storage: FileTorrent, pieces: range) -> None:
        raise StorageFailed("the file", "Input/output error", errno.EIO)

    lay_down(CONTENT, tmp_path / "old", 0, 1)
    with monkeypatch.context() as broken:
        broken.setattr(FileTorrent, "find", refused)
        verify(node, torrent)
        run(clock, node, 12)
        assert isinstance(torrent.stage, Failed)
        assert not torrent.signals.checked.is_set
    until(clock, node, lambda: torrent.signals.checked.is_set, 15)
    until(clock, node, lambda: isinstance(torrent.stage, Live), 15)
    assert torrent.pieces.complete.all()
    assert any(isinstance(event, events.Recovered) for event in node.told())
    check(node)
