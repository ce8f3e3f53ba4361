"""What comes from web seeds lands where it belongs."""

from __future__ import annotations

import pytest

from anabranch.engine.state import TorrentState
from anabranch.model import BLOCK_SIZE
from engine.clocks import Clock
from engine.rig import Node, connect, run, until
from engine.samples import Sample, modern, sample
from engine.web_world import Server, Web, check

ONE = "http://one.test/content"


def read(torrent: TorrentState, content: Sample) -> bytes:
    got = bytearray(len(content.content))
    for piece in range(content.geometry.piece_count):
        view = memoryview(bytearray(content.geometry.length_of(piece)))
        torrent.opened().piece(piece).readinto(0, view)
        at = content.geometry.offset_of(piece)
        got[at : at + len(view)] = view
    return bytes(got)


@pytest.mark.parametrize("blocks", [1, 4, 33])
def test_all_of_a_torrent_comes_from_one_web_seed(blocks: int) -> None:
    """Without any peer, in order, each byte once."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=9, blocks=blocks, cut=5000)
    torrent = node.add(content)
    node.settle()
    web = Web(node)
    web.add(torrent, content, {ONE: (server := Server())})
    until(clock, node, lambda: torrent.pieces.is_seed)
    run(clock, node, 2, lambda: check(node))
    assert read(torrent, content) == content.content
    assert server.sent == len(content.content)
    assert torrent.totals.downloaded == len(content.content)
    assert torrent.totals.wasted == 0
    assert not len(node.engine.due.web.requests)
    assert not node.engine.pool.lent


@pytest.mark.parametrize("kind", ["v1", "v2", "hybrid"])
def test_files_that_begin_at_pieces_come_whole(kind: str) -> None:
    """Gaps of v2 are not asked for, and pads are zeros."""
    clock = Clock()
    content = modern(kind, (50_000, 20_000, 3 * BLOCK_SIZE, 1), piece_length=4 * BLOCK_SIZE)
    node = Node(clock)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {"http://one.test/": Server()})
    until(clock, node, lambda: torrent.pieces.is_seed)


def test_a_web_seed_and_a_peer_meet_in_the_middle() -> None:
    """Nothing is fetched twice, and both give."""
    clock = Clock()
    content = sample(pieces=64, blocks=16)
    seeder, node = Node(clock, 1), Node(clock, 2)
    seeder.line = seeder.allowance = 500_000
    theirs, torrent = seeder.seed(content), node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: (server := Server(rate=3e6))})
    connect(node, torrent, seeder, theirs)
    until(clock, [seeder, node], lambda: torrent.pieces.is_seed)
    total = len(content.content)
    given = theirs.totals.uploaded
    assert given > total // 4, (given, total)
    assert server.sent > total // 8
    assert torrent.totals.wasted <= 8 * BLOCK_SIZE, torrent.totals
    run(clock, [seeder, node], 2, lambda: check(node))
