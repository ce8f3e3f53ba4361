"""What a torrent that is known by its name costs the turn: neither hashing nor telling holds it for long."""

from __future__ import annotations

import pytest

from anabranch.engine import introducing
from anabranch.metainfo import Magnet
from anabranch.wire import Have
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Node, run
from engine.samples import Held, modern, sample

LENGTHS = (100_000, 0, 40_000, 5, 65_536)


def test_what_peers_give_is_hashed_by_a_worker() -> None:
    """The largest info dictionary takes some 50 ms; meanwhile turns go on, and who gave it may leave."""
    content = modern("hybrid", LENGTHS)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    node.disk.held = True
    liar = Teacher(node, torrent, content, raw=bytes(len(content.metainfo.info.raw)))
    run(clock, node, 3)
    assert not liar.link.closed
    assert len(node.disk.waiting) == 1
    node.disk.held = False
    node.settle()
    assert "sent wrong metadata" in liar.link.closed
    node.disk.held = True
    Teacher(node, torrent, content).leave()
    teacher = Teacher(node, torrent, content)
    run(clock, node, 3)
    teacher.leave()
    assert not torrent.signals.got_info.is_set
    node.disk.held = False
    node.settle()
    assert torrent.signals.got_info.is_set


def test_who_came_early_is_told_of_many_pieces_over_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """W01: 350,000 recorded pieces would be one long turn for each peer; none is told what was lost meanwhile."""
    monkeypatch.setattr(introducing, "_TOLD", 8)
    content = sample(pieces=64, blocks=1)
    node = Node(Clock())
    torrent = node.learn(Magnet.of(content.metainfo), Held(content, range(60)))
    early, leaver = (Remote(node, torrent, content, pieces=[]) for _ in range(2))
    node.settle()
    Teacher(node, torrent, content, pieces=[])
    while not torrent.pieces.complete.any():
        assert node.step()
    with node.engine.turn:
        torrent.pieces.set_complete(50, False)
    leaver.leave()
    before = len(node.slices.items)
    node.settle()
    assert {event.piece for event in early.heard if isinstance(event, Have)} == set(range(60)) - {50}
    assert len(node.slices.items) - before >= 64 // 8 - 1
    assert not leaver.said(Have)
