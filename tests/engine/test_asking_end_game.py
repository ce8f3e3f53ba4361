"""The last blocks of what is wanted."""

from __future__ import annotations

from collections import Counter
from functools import partial

from anabranch.engine.asking import COPIES
from anabranch.engine.state import TorrentState
from anabranch.engine.wanting import choose_file, read_ahead
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.wire import RequestRun
from engine.clocks import Clock
from engine.lines import Line, flow
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import Sample, sample
from engine.truth import check


def fetching(content: Sample, *, want: Priority | None = Priority.NORMAL) -> tuple[Node, Clock, TorrentState]:
    node = Node(clock := Clock())
    torrent = node.add(content, want=want)
    node.settle()
    return node, clock, torrent


def test_who_left_while_others_were_looked_at_is_asked_for_nothing() -> None:
    """To ask one idle peer may end the connection of the next: what that was asked for, nobody would give back."""
    content = sample(pieces=2, blocks=2)
    node, _, torrent = fetching(content)
    remote = Remote(node, torrent, content, rate=0, unchokes=False)
    node.settle()
    remote.talk.unchoke()
    remote.send()
    remote.leave()
    node.settle()
    remote.peer.talk.peer_choking = False
    node.engine.due.idle.add(remote.peer)
    node.loop.look_at_idle()
    assert not torrent.pieces.begun
    assert not node.engine.pool.lent


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


def test_what_is_not_wanted_any_more_is_not_copied() -> None:
    """Somebody still owes blocks of it; that is no reason to have others bring them, too."""
    content = sample(files=(8 * 16384 * 4, 40 * 16384 * 4), blocks=4)
    node, clock, torrent = fetching(content, want=None)
    with node.engine.turn:
        choose_file(node.engine, torrent, 0, Priority.NORMAL)
    node.settle()
    deaf = Remote(node, torrent, content, rate=0)
    node.settle()
    assert deaf.asked
    with node.engine.turn:
        choose_file(node.engine, torrent, 0, Priority.NONE)
        choose_file(node.engine, torrent, 1, Priority.NORMAL)
    node.settle()
    fast = Line(node, torrent, content, speed=200)
    flow(clock, node, [fast], 20, each=lambda: check(node), done=lambda: torrent.signals.complete.is_set)
    assert torrent.signals.complete.is_set
    assert all(torrent.pieces.worth[piece] for piece, _ in times_asked([fast]))


def test_the_end_of_what_there_is_comes_as_soon_although_a_piece_has_no_source() -> None:
    """W24: what nobody has is not free to be asked for; the slow one's blocks change hands."""
    content = sample(pieces=40, blocks=16)
    node, clock, torrent = fetching(content)
    slow = Line(node, torrent, content, speed=1, latency=0.5, pieces=range(39))
    fast = [Line(node, torrent, content, speed=40, latency=0.05, pieces=range(39)) for _ in range(5)]

    def done() -> bool:
        return torrent.pieces.complete_count == 39

    seconds = flow(clock, node, [slow, *fast], 60, each=lambda: check(node), done=done)
    assert seconds < 39 * 16 / 200 * 1.1 + 0.3
    assert torrent.totals.wasted <= 0.02 * content.geometry.total


def test_who_falls_silent_does_not_keep_the_last_block_from_who_answers() -> None:
    """W24: three that were good owe it, and pass it on to others that are silent; who comes later brings it."""
    content = sample(pieces=1, blocks=4)
    node, clock, torrent = fetching(content)
    silent = [Remote(node, torrent, content, rate=0) for _ in range(5)]
    for remote in silent[:3]:
        remote.peer.flow.last_block = clock.now  # the last copy is not given to who has delivered nothing
        run(clock, node, 1)
        remote.serve(1)
        remote.send()
        node.settle(lambda: check(node))
    assert torrent.pieces.begun[0].missing == 1
    run(clock, node, 3, lambda: check(node))
    assert torrent.pieces.begun[0].copies == {torrent.pieces.begun[0].got.find(0): COPIES}
    Remote(node, torrent, content)
    run(clock, node, 100, lambda: check(node))
    assert torrent.signals.complete.is_set
