"""What was given up while a disk refused is tried with zeros before anything is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from anabranch.engine.rereading import fail_reading
from anabranch.engine.stage import Failed, Live
from anabranch.model import StorageFailed
from anabranch.storage import FileStorage
from anabranch.testing.faulty import Fault, FaultyStorage
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import on_disk, sample
from engine.truth import check

POOL = 1 << 20  # bytes


@pytest.mark.parametrize("blocks", [4, 9])
@pytest.mark.parametrize("code", [2, 5, 28])
def test_a_disk_that_refuses_for_long_costs_no_more_than_the_memory_that_there_is(
    tmp_path: Path, code: int, blocks: int
) -> None:
    """Others get its memory, and what is lost with it is not fetched each time that the torrent is tried."""
    content, other = sample(pieces=40, blocks=blocks), sample(pieces=60, blocks=4, seed=2)
    node = Node(clock := Clock(), pool=POOL)
    storage = FaultyStorage(FileStorage(tmp_path))
    fault = storage.faults.add(Fault("write", code, "/data/film.part", skip=4))
    torrent, healthy = node.add(content, storage), node.add(other)
    node.settle()
    for _ in range(4):
        Remote(node, torrent, content, rate=16)
    until(clock, node, lambda: isinstance(torrent.stage, Failed), 20)
    for _ in range(8):
        Remote(node, healthy, other, rate=2)
    until(clock, node, lambda: healthy.signals.complete.is_set, 120)
    fetched = torrent.totals.downloaded
    run(clock, node, 200, lambda: check(node))
    assert isinstance(torrent.stage, Failed)
    assert torrent.totals.downloaded == fetched <= 5 * content.geometry.piece_length + POOL
    storage.faults.remove(fault)
    until(clock, node, lambda: isinstance(torrent.stage, Live), 25)
    until(clock, node, lambda: torrent.signals.complete.is_set, 90)
    assert on_disk(torrent.opened(), content) == content.content
    assert torrent.totals.downloaded <= content.geometry.total + fetched


def test_files_that_somebody_removes_during_a_download_are_not_waited_for(tmp_path: Path) -> None:
    """Who reads finds out: it is said, and what was recorded of them is fetched again; nothing else would make them."""
    content = sample(pieces=6, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content, FileStorage(tmp_path))
    node.settle()
    Remote(node, torrent, content, pieces=[0, 1, 2])
    until(clock, node, lambda: torrent.pieces.complete_count == 3 and not torrent.disk.unrecorded, 10)
    for path in [path for path in tmp_path.rglob("*") if path.is_file()]:
        path.unlink()
    with pytest.raises(StorageFailed, match=r"No such file") as gone:
        torrent.opened().piece(0).readinto(0, bytearray(16))
    node.loop.run(fail_reading, node.engine, torrent, 0, gone.value)
    assert isinstance(torrent.stage, Failed)
    node.settle()
    assert not torrent.pieces.complete_count
    until(clock, node, lambda: isinstance(torrent.stage, Live), 25)
    Remote(node, torrent, content)
    until(clock, node, lambda: torrent.signals.complete.is_set, 40)
    assert on_disk(torrent.opened(), content) == content.content
    assert torrent.totals.downloaded == 9 * content.geometry.piece_length
