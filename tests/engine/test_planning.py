"""When and what web seeds are asked for."""

from __future__ import annotations

import pytest

from anabranch.engine import wanting
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.webseed import HOST_REQUESTS, STARTERS, State
from engine.clocks import Clock
from engine.rig import Node, run, until
from engine.samples import sample
from engine.web_world import Server, Web, check, in_book

ONE, TWO = "http://one.test/content", "http://two.test/content"


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of eight pieces of four blocks."""
    monkeypatch.setattr("anabranch.webseed.slices.SLICE_SIZE", 8 * 4 * BLOCK_SIZE)


@pytest.mark.usefixtures("small_slices")
def test_a_new_web_seed_has_to_show_first_that_it_gives_anything() -> None:
    """Slices are kept from others in vain, where a server does not answer."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=40 * 8, blocks=4)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: Server(delay=30.0, rate=5e3)})
    run(clock, node, 29, lambda: check(node))
    assert len(node.engine.due.web.requests) == STARTERS
    run(clock, node, 10, lambda: check(node))
    assert len(node.engine.due.web.requests) == HOST_REQUESTS
    run(clock, node, 60, lambda: check(node))
    assert 2 < in_book(node)[State.READING] <= 10


def test_what_is_wanted_more_comes_first() -> None:
    """A change of priorities plans anew at once."""
    clock = Clock()
    content = sample(pieces=40, blocks=4, files=(20 * 4 * BLOCK_SIZE, 20 * 4 * BLOCK_SIZE))
    node = Node(clock)
    torrent = node.add(content, want=None)
    node.settle()
    Web(node).add(torrent, content, {"http://one.test/": (server := Server(rate=1e5))})
    node.settle()
    assert not len(node.engine.due.web.requests)
    node.want(torrent, [Priority.NONE, Priority.NORMAL])
    node.settle()
    run(clock, node, 1)
    assert [one[0] for one in server.asked] == [20 * 4 * BLOCK_SIZE]
    node.want(torrent, [Priority.HIGH, Priority.NONE])
    node.settle()
    run(clock, node, 1)
    assert [one[0] for one in server.asked] == [20 * 4 * BLOCK_SIZE, 0]
    run(clock, node, 120)
    assert torrent.pieces.complete[:20].all()


def test_what_a_reader_waits_for_is_asked_at_once() -> None:
    """Even if its slice is being fetched from the front: that request makes place for it."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=300, blocks=4)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: (server := Server(rate=2e5))})
    run(clock, node, 3)
    with node.engine.turn:
        wanting.read_ahead(node.engine, torrent, object(), range(200, 210), 200)
    node.settle()
    run(clock, node, 4, lambda: check(node))
    assert server.asked[-1][0] == 200 * 4 * BLOCK_SIZE
    assert torrent.pieces.complete[200]


def test_a_second_web_seed_that_is_idle_takes_over_what_the_first_is_slow_with() -> None:
    """One small torrent of a single slice, two servers: both give."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=100, blocks=8)
    torrent = node.add(content)
    node.settle()
    one, two = Server(rate=2e5), Server(rate=2e5)
    Web(node).add(torrent, content, {ONE: one, TWO: two})
    seconds = until(clock, node, lambda: torrent.pieces.is_seed)
    assert min(one.sent, two.sent) > len(content.content) // 4
    assert seconds < 0.8 * len(content.content) / 2e5
    assert torrent.totals.wasted == 0


def test_a_web_seed_that_stalls_is_replaced_by_one_that_is_idle() -> None:
    """W03's stall in virtual time: it keeps nothing from others for long."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=10, blocks=4)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: Server(delay=1e9), TWO: Server()})
    assert until(clock, node, lambda: torrent.pieces.is_seed) < 15
    check(node)


def test_nobody_is_asked_while_downloading_is_not_allowed() -> None:
    """What is on its way ends at once, and goes on when it is allowed again."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=100, blocks=4)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: (server := Server(rate=1e6))})
    run(clock, node, 1)
    with node.engine.turn:
        wanting.allow_download(node.engine, torrent, False)
    node.settle()
    assert not len(node.engine.due.web.requests)
    assert not torrent.swarm.webseeds.fetches
    sent = server.sent
    run(clock, node, 10)
    assert server.sent == sent
    with node.engine.turn:
        wanting.allow_download(node.engine, torrent, True)
    until(clock, node, lambda: torrent.pieces.is_seed)


def test_w10_a_torrent_that_is_dropped_leaves_nothing_behind_in_the_same_turn() -> None:
    """W10: whatever the planner finds next, all counters are at zero."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=100, blocks=4)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: Server(rate=1e5)})
    run(clock, node, 2)
    assert len(node.engine.due.web.requests)
    node.drop(torrent)
    assert not len(node.engine.due.web.requests)
    assert torrent not in node.engine.due.web.torrents
    check(node)
    node.settle(lambda: check(node))
    assert not node.engine.pool.lent


@pytest.mark.usefixtures("small_slices")
def test_what_is_queued_is_begun_as_soon_as_another_has_ended() -> None:
    """Nobody waits for the next second: many short requests follow each other at once."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=40 * 8, blocks=4)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: (server := Server(rate=10e6))})
    assert until(clock, node, lambda: torrent.pieces.is_seed) <= 4
    assert len(server.asked) == 40


@pytest.mark.usefixtures("small_slices")
def test_who_has_shown_that_it_gives_something_is_asked_for_more_at_once() -> None:
    """And over more connections each second, where each brings little: eight slices take little longer than one."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=8 * 8, blocks=4)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: (server := Server(rate=5e4))})
    run(clock, node, 3, lambda: check(node))
    assert len(server.asked) == 8
    assert until(clock, node, lambda: torrent.pieces.is_seed) <= 11
