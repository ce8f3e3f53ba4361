"""What is not complete has a place of its own, and comes to where it belongs."""

from __future__ import annotations

from pathlib import Path

import pytest

from anabranch.engine import events
from anabranch.engine.relocating import files_in
from anabranch.engine.stage import Failed
from anabranch.model import Priority
from engine.places import names, settled
from engine.remotes import Remote
from engine.rig import run, until
from engine.samples import sample


def test_what_is_incomplete_is_elsewhere_until_it_is_complete(tmp_path: Path) -> None:
    """`complete` is said when the files are where they belong; what is wanted later goes there."""
    content = sample(pieces=6, blocks=2, files=(60_000, 60_000, 76_608))
    node, clock, torrent, home = settled(tmp_path, content, incomplete=str(tmp_path / "begun"))
    node.want(torrent, [Priority.NORMAL, Priority.NONE, Priority.NONE])
    node.settle()
    remote = Remote(node, torrent, content, rate=1)
    run(clock, node, 2)
    assert files_in(torrent) == str(tmp_path / "begun")
    assert torrent.data_path == str(tmp_path / "old")
    until(clock, node, lambda: torrent.signals.complete.is_set, 30)
    told = [event for event in node.told() if isinstance(event, events.Moved | events.Completed)]
    assert told == [events.Moved(torrent.info_hash, str(tmp_path / "old")), events.Completed(torrent.info_hash)]
    assert "sample 0/0.bin" in names(tmp_path / "old")
    assert names(tmp_path / "begun") == set()
    node.want(torrent, [Priority.NORMAL] * 3)
    until(clock, node, lambda: torrent.signals.complete.is_set, 40)
    assert not home.away
    assert names(tmp_path / "old") == {"sample 0/0.bin", "sample 0/1.bin", "sample 0/2.bin"}
    assert not remote.link.closed


def test_a_way_home_that_is_barred_is_tried_again(tmp_path: Path) -> None:
    """The torrent fails with the path that is in the way, every ten seconds, and is not called complete."""
    content = sample(pieces=4, blocks=2)
    node, clock, torrent, _ = settled(tmp_path, content, incomplete=str(tmp_path / "begun"))
    node.settle()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "sample 0").mkdir()
    Remote(node, torrent, content)
    until(clock, node, lambda: isinstance(torrent.stage, Failed), 10)
    assert isinstance(torrent.stage, Failed)
    assert "sample 0" in str(torrent.stage.error)
    run(clock, node, 35)
    assert not torrent.signals.complete.is_set
    assert sum(isinstance(event, events.MoveFailed) for event in node.told()) <= 5
    (tmp_path / "old" / "sample 0").rmdir()
    until(clock, node, lambda: torrent.signals.complete.is_set, 15)
    assert names(tmp_path / "old") == {"sample 0"}
    assert torrent.totals.downloaded == content.geometry.total


@pytest.mark.parametrize(("here", "begun", "used"), [(1, 0, "old"), (0, 1, "begun"), (1, 1, "begun"), (0, 0, "begun")])
def test_files_are_used_where_they_are_found(tmp_path: Path, here: int, begun: int, used: str) -> None:
    """Any that is where it belongs, and none begun elsewhere: then the torrent stays there."""
    content = sample(pieces=4, blocks=2, files=(60_000, 71_072))
    for folder, there in (("old", here), ("begun", begun)):
        (tmp_path / folder / "sample 0").mkdir(parents=True)
        if there:
            (tmp_path / folder / "sample 0" / "0.bin.part").write_bytes(content.content[:60_000])
    node, _, torrent, _ = settled(tmp_path, content, incomplete=str(tmp_path / "begun"))
    node.settle()
    assert files_in(torrent) == str(tmp_path / used)
