"""The states of all pieces: together, in runs, and what changed."""

from __future__ import annotations

from itertools import groupby
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.engine.checking import queue_check
from anabranch.engine.piece_states import (
    Watcher,
    changed_pieces,
    codes_of,
    facts_of,
    runs_of,
    state_in,
    state_of,
    watch_pieces,
)
from anabranch.engine.state import TorrentState
from anabranch.engine.wanting import choose_file, choose_pieces
from anabranch.model import Priority, no_pieces
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import Held, huge, sample


def codes(node: Node, torrent: TorrentState) -> bytearray:
    with node.turn:
        return codes_of(facts_of(torrent))


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_all_states_together_are_those_of_each_piece(seed: int) -> None:
    """Whatever is under way; runs and changes are what a loop over the pieces would find."""
    draw = Random(seed)
    content = sample(pieces=12, blocks=4, cut=5000)
    node = Node(Clock())
    torrent = node.add(
        content, Held(content, draw.sample(range(12), draw.randint(0, 12))), want=draw.choice(list(Priority))
    )
    node.settle()
    remote = Remote(node, torrent, content, rate=0)
    before: list[object] = []
    told = bytearray(12)
    for _ in range(draw.randint(1, 60)):
        node.step()
        if draw.random() < 0.3:
            remote.serve(1)
            remote.send()
        if draw.random() < 0.1:
            with node.turn:
                torrent.pieces.set_worth(draw.randrange(12), draw.choice(list(Priority)))
        now = codes(node, torrent)
        with node.turn:
            states = [state_of(torrent, piece) for piece in range(12)]
        assert [state_in(now, piece) for piece in range(12)] == states
        assert runs_of(now) == [(len(list(equal)), state) for state, equal in groupby(states)]
        if before:
            assert changed_pieces(told, now) == [piece for piece in range(12) if states[piece] != before[piece]]
        before, told = list(states), now


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), max_size=8))
def test_runs_are_as_long_as_neighbours_are_alike(lengths: list[tuple[int, int]]) -> None:
    """From the first piece to the last, also where there is none."""
    worth = b"".join(bytes([worth]) * length for length, worth in lengths)
    runs = runs_of(worth)
    assert [(run.length, run.state.priority) for run in runs] == [
        (len(list(equal)), priority) for priority, equal in groupby(worth)
    ]


def test_a_turn_looks_at_no_piece_of_a_torrent_of_350_000() -> None:
    """It copies; runs and changes are worked out without it, in integers, a Python step for each run only."""
    node = Node(Clock())
    torrent = node.add(huge(), want=None)
    node.settle()
    first = codes(node, torrent)
    assert [run.length for run in runs_of(first)] == [350_000]
    with node.turn:
        torrent.pieces.set_worth(349_999, Priority.HIGH)
        torrent.pieces.set_complete(7, True)
    second = codes(node, torrent)
    assert [run.length for run in runs_of(second)] == [7, 1, 349_991, 1]
    assert changed_pieces(first, second) == [7, 349_999]


def watched(node: Node, torrent: TorrentState) -> Watcher:
    watcher = Watcher()
    with node.turn:
        watch_pieces(node.engine, torrent, watcher)
    return watcher


def test_who_watches_is_told_of_every_kind_of_change_once_a_turn() -> None:
    """W05: worth, blocks, hashing, completion, checks; nobody else is."""
    content = sample(pieces=4, blocks=4)
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    watcher = watched(node, torrent)
    remote = Remote(node, torrent, content, rate=0)
    node.settle()
    node.want(torrent, [Priority.NORMAL])
    assert watcher.is_set
    told = codes(node, torrent)
    for _ in range(200):
        mark = watcher.mark
        if not node.step():
            remote.serve(1)
            remote.send()
            if torrent.pieces.is_seed and not torrent.disk.checks.left:
                if torrent.totals.hashed > content.geometry.total:
                    break
                every = ~no_pieces(4)
                node.loop.post(queue_check, node.engine, torrent, every)
        now = codes(node, torrent)
        if now != told:
            assert watcher.mark is not mark, "a change was not told"
        told = now
    else:
        raise AssertionError("never complete")


def test_a_change_of_files_is_told_also_where_nobody_is_to_be_asked() -> None:
    """W05: the Go engine told nobody what a file's priority made of its pieces. Here only inner pieces change."""
    node = Node(Clock())
    torrent = node.add(sample(pieces=8, blocks=1), want=None)
    node.settle()
    with node.turn:
        for piece in (0, 7):
            choose_pieces(node.engine, torrent, range(piece, piece + 1), Priority.NOW)
    node.settle()
    assert not torrent.pieces.ordered
    watcher = watched(node, torrent)
    watcher.clear()
    with node.turn:
        choose_file(node.engine, torrent, 0, Priority.HIGH)
    assert watcher.is_set
    watcher.clear()
    node.want(torrent, [Priority.NORMAL])
    assert watcher.is_set
    assert [(run.length, run.state.priority) for run in runs_of(codes(node, torrent))] == [
        (1, Priority.NOW),
        (6, Priority.NORMAL),
        (1, Priority.NOW),
    ]


def test_nothing_is_kept_for_who_watches_no_more() -> None:
    """Who forgets the watcher is forgotten; the last one leaves no work behind."""
    node = Node(Clock())
    torrent = node.add(sample(), want=None)
    node.settle()
    one, other = watched(node, torrent), watched(node, torrent)
    del one
    with node.turn:
        torrent.pieces.set_worth(0, Priority.HIGH)
    assert other.is_set
    assert len(torrent.signals.watchers) == 1
    del other
    with node.turn:
        torrent.pieces.set_worth(0, Priority.NORMAL)
    assert torrent.pieces.watch is None
    assert not torrent.signals.watchers


def test_the_end_of_a_torrent_is_told() -> None:
    """Who watches has nothing more to wait for."""
    node = Node(Clock())
    torrent = node.add(sample(), want=None)
    node.settle()
    watcher = watched(node, torrent)
    watcher.clear()
    node.drop(torrent)
    node.settle()
    assert watcher.is_set


def test_pieces_that_wait_to_be_hashed_are_told() -> None:
    """Also where nobody can hash them yet, as the storage is not open."""
    node = Node(Clock())
    torrent = node.add(sample(pieces=4), want=None)
    watcher = watched(node, torrent)
    with node.turn:
        queue_check(node.engine, torrent, ~no_pieces(4))
    assert watcher.is_set
    assert [(run.length, run.state.queued) for run in runs_of(codes(node, torrent))] == [(4, True)]
    node.settle()
    assert [(run.length, run.state.queued) for run in runs_of(codes(node, torrent))] == [(4, False)]
