"""The last blocks of what is wanted."""

from __future__ import annotations

from collections import Counter
from functools import partial

from anabranch.engine.asking import COPIES
from anabranch.engine.state import TorrentState
from anabranch.engine.wanting import choose_file, read_ahead
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.wire import RequestRun
from engine.lines import Line, flow
from engine.remotes import Remote
from engine.rig import Clock, Node
from engine.samples import Sample, sample
from engine.truth import check


def fetching(content: Sample, *, want: Priority | None = Priority.NORMAL) -> tuple[Node, Clock, TorrentState]:
    node = Node(clock := Clock())
    torrent = node.add(content, want=want)
    node.settle()
    return node, clock, torrent


def times_asked(lines: list[Line]) -> Counter[tuple[int, int]]:
    """How often each block was asked for, of whomever."""
    asked: Counter[tuple[int, int]] = Counter()
    for line in lines:
        for event in line.heard:
            if isinstance(event, RequestRun):
                asked.update((event.piece, at) for at in range(event.begin, event.begin + event.length, event.block))
    return asked


def test_one_slow_peer_does_not_delay_the_end() -> None:
    """W24: the last pieces come in the time of the five fast ones. Few blocks come twice, and nobody is blamed."""
    content = sample(pieces=50, blocks=16)
    node, clock, torrent = fetching(content)
    slow = Line(node, torrent, content, speed=1, latency=0.5)
    fast = [Line(node, torrent, content, speed=40, latency=0.05) for _ in range(5)]

    def done() -> bool:
        return torrent.signals.complete.is_set

    seconds = flow(clock, node, [slow, *fast], 60, each=lambda: check(node), done=done)
    assert seconds < 800 / 200 * 1.1 + 0.5
    assert torrent.totals.wasted <= 0.02 * content.geometry.total
    assert not any(line.link.closed or line.peer.flow.snubbed for line in (slow, *fast))
    assert not any(line.peer.flow.unasked for line in (slow, *fast))


def test_a_peer_that_falls_silent_at_the_end_does_not_delay_it() -> None:
    """W24: it owes the last blocks and says nothing any more; within seconds others have brought them, once each."""
    content = sample(pieces=20, blocks=16)
    node, clock, torrent = fetching(content)
    lines = [Line(node, torrent, content, speed=40, latency=0.05) for _ in range(3)]

    def fall_silent() -> None:
        if torrent.pieces.complete_count >= 10:
            lines[0].speed = 0.0

    def done() -> bool:
        fall_silent()
        return torrent.signals.complete.is_set

    seconds = flow(clock, node, lines, 60, each=lambda: check(node), done=done)
    assert seconds < 320 / 80 + 2.5
    assert max(times_asked(lines).values()) <= COPIES
    assert torrent.totals.wasted <= 0.02 * content.geometry.total


def test_the_end_game_ends_when_more_is_wanted() -> None:
    """W24: the Go engine never left it, and fetched all the rest twice."""
    content = sample(files=(8 * 16384 * 4, 60 * 16384 * 4), blocks=4)
    node, clock, torrent = fetching(content, want=None)
    deaf = Remote(node, torrent, content, rate=0)
    with node.engine.turn:
        choose_file(node.engine, torrent, 0, Priority.NORMAL)
    node.settle()
    assert deaf.asked
    lines = [Line(node, torrent, content, speed=40) for _ in range(3)]
    flow(clock, node, lines, 60, each=lambda: check(node), done=lambda: torrent.signals.complete.is_set)
    first = set(torrent.worth.pieces_of(0))
    assert set(torrent.pieces.complete.search(1)) == first
    deaf.leave()
    for line in lines:
        line.heard.clear()
    with node.engine.turn:
        choose_file(node.engine, torrent, 1, Priority.NORMAL)
    node.settle()
    flow(clock, node, lines, 60, each=lambda: check(node), done=lambda: not len(torrent.pieces.order))
    assert max(times_asked(lines).values()) == 1


def test_few_wanted_pieces_are_no_end_game() -> None:
    """W24: a reader that wants ten pieces or fewer has nothing fetched twice while those who owe it deliver."""
    content = sample(pieces=40, blocks=4)
    node, clock, torrent = fetching(content, want=None)
    lines = [Line(node, torrent, content, speed=speed) for speed in (20, 20, 40, 80)]

    def have_come(pieces: int) -> bool:
        return torrent.pieces.complete_count == pieces

    flow(clock, node, lines, 1)
    for first in range(0, 40, 5):
        window = range(first, first + 5)
        with node.engine.turn:
            read_ahead(node.engine, torrent, "reader", window, first)
        node.settle()
        flow(
            clock,
            node,
            lines,
            20,
            each=lambda: check(node),
            done=partial(have_come, window.stop),
        )
    assert torrent.pieces.complete_count == 40
    assert torrent.totals.wasted <= 2 * BLOCK_SIZE, "what was on its way when it changed hands"


def test_wasted_copies_make_nobody_bad() -> None:
    """W24: the Go engine dropped good peers whose copies came second."""
    content = sample(pieces=12, blocks=8)
    node, clock, torrent = fetching(content)
    lines = [Line(node, torrent, content, speed=30, latency=1.5) for _ in range(6)]

    def ignore(run: object) -> None:
        return

    for line in lines:
        line.cancelled = ignore  # type: ignore[method-assign]  # what is cancelled was sent long ago
    flow(clock, node, lines, 60, done=lambda: torrent.signals.complete.is_set)
    flow(clock, node, lines, 5)
    assert torrent.signals.complete.is_set
    assert torrent.totals.wasted
    assert {line.link.closed for line in lines} <= {"", "both have everything"}
    assert not any(line.peer.flow.snubbed or line.peer.flow.unasked for line in lines)
