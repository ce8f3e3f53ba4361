"""What is asked for when a reader waits, and when there is no memory for another piece."""

from __future__ import annotations

from anabranch.engine.wanting import read_ahead
from anabranch.model import BLOCK_SIZE
from engine.clocks import Clock
from engine.lines import Line, flow
from engine.rig import Node
from engine.samples import sample
from engine.truth import check


def test_a_reader_does_not_wait_for_a_slow_peer() -> None:
    """Who is fast has enough else to fetch; still the slow one's blocks are asked of it, too, while it holds us up."""
    content = sample(pieces=200, blocks=16)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    slow = Line(node, torrent, content, speed=0.5, latency=0.05)
    flow(clock, node, [slow], 1)
    [held] = torrent.pieces.begun
    fast = Line(node, torrent, content, speed=100, latency=0.05, pieces=set(range(200)) - {199})
    flow(clock, node, [slow, fast], 1)
    assert not torrent.pieces.complete[held]
    with node.engine.turn:
        read_ahead(node.engine, torrent, "reader", range(held, held + 1), held)
    node.settle()

    def there() -> bool:
        return bool(torrent.pieces.complete[held])

    assert flow(clock, node, [slow, fast], 20, each=lambda: check(node), done=there) < 3
    assert not torrent.signals.complete.is_set
    assert torrent.totals.wasted <= 16 * BLOCK_SIZE


def test_without_memory_for_another_piece_begun_ones_are_gone_on_with() -> None:
    """What only this seed has comes first, and there is no room for it: its line is not left idle for that."""
    content = sample(pieces=40, blocks=8)
    node = Node(clock := Clock(), pool=8 * 8 * BLOCK_SIZE)
    torrent = node.add(content)
    node.settle()
    gone = [Line(node, torrent, content, speed=8, latency=0.05, pieces=range(12)) for _ in range(4)]
    chokes = Line(node, torrent, content, speed=0, pieces=range(12), unchokes=False)
    flow(clock, node, [*gone, chokes], 0.5)
    for line in gone:
        line.leave()
    node.settle()
    begun = set(torrent.pieces.begun)
    assert begun
    seed = Line(node, torrent, content, speed=0)
    flow(clock, node, [seed], 0.1)
    asked = {run.piece for run in seed.peer.talk.expected_runs()}
    assert asked
    assert asked <= begun
    check(node)
