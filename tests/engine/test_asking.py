"""Which blocks are asked for, of whom, and in which order."""

from __future__ import annotations

import pytest

from anabranch.engine import asking
from anabranch.engine.asking import ask
from anabranch.engine.wanting import allow_download, choose_pieces, read_ahead
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.wire import OurExtensions, RequestRun
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import Sample, huge, sample
from engine.truth import check


def order_of(remote: Remote) -> list[int]:
    """The pieces it was asked for, in order."""
    return list(dict.fromkeys(piece for piece, _, _ in remote.asked))


def silent(node: Node, content: Sample, **settings: object) -> Remote:
    """A peer that collects what it is asked for."""
    [torrent] = node.engine.torrents.values()
    return Remote(node, torrent, content, rate=0, **settings)  # type: ignore[arg-type]  # as Remote's


def test_the_rarest_pieces_are_asked_for_first() -> None:
    """So that they spread."""
    content = sample(pieces=6, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    for pieces in ([0, 1, 2, 3], [0, 1, 2], [0, 1], [5]):
        Remote(node, torrent, content, pieces=pieces, unchokes=False)
    node.settle()
    remote = silent(node, content)
    node.settle()
    assert order_of(remote)[:4] in ([4, 3, 5, 2], [4, 5, 3, 2])
    check(node)


def test_what_is_worth_more_is_asked_for_before_what_is_rare() -> None:
    """Priorities go before all."""
    content = sample(pieces=6, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    with node.engine.turn:
        choose_pieces(node.engine, torrent, range(4, 5), Priority.HIGH)
        read_ahead(node.engine, torrent, "reader", range(1, 4), 2)
    node.settle()
    remote = silent(node, content)
    node.settle()
    assert order_of(remote)[:4] == [2, 1, 3, 4]


def test_pieces_that_were_begun_are_finished_first() -> None:
    """Memory comes back sooner, and there is sooner something to share."""
    content = sample(pieces=40, blocks=4)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    first = silent(node, content)
    node.settle()
    begun = order_of(first)
    assert len(begun) == 4
    first.leave()
    second = silent(node, content)
    node.settle()
    assert set(order_of(second)) == set(begun)
    check(node)
    assert torrent.pieces.order.get(begun[0]) is None


def test_a_window_is_filled_and_not_more() -> None:
    """A fresh peer is trusted with a few blocks; never with more than it queues."""
    content = sample(pieces=40, blocks=4)
    node = Node(Clock())
    node.add(content)
    node.settle()
    remote = silent(node, content)
    node.settle()
    assert len(remote.asked) == 16
    modest = silent(node, content, tells=False)
    modest.talk.send_extended_handshake(OurExtensions(names={}, version="", reqq=3))
    for piece in range(40):
        modest.talk.have(piece)
    modest.send()
    node.settle()
    assert len(modest.asked) == 3


def test_neighbouring_blocks_are_asked_for_at_once() -> None:
    """A nearly full window is left alone until an eighth of it is free: runs, not single blocks."""
    content = sample(pieces=100, blocks=16)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, rate=100)
    run(clock, node, 5)
    requests = [event for event in remote.heard if isinstance(event, RequestRun)]
    assert sum(-(-event.length // BLOCK_SIZE) for event in requests) / len(requests) > 4


def test_a_peer_is_asked_only_for_what_it_has() -> None:
    """However far down the order that is."""
    content = sample(pieces=30, blocks=2)
    node = Node(Clock())
    node.add(content)
    node.settle()
    remote = silent(node, content, pieces=[7, 23])
    node.settle()
    assert sorted(order_of(remote)) == [7, 23]
    assert len(remote.asked) == 4


@pytest.mark.parametrize("has", [[], [5], [349_999], [0, 100_000, 200_000]])
def test_few_pieces_are_found_among_very_many(has: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a peer lacks is not offered; that it is not walked over either is the picker's affair."""
    content = huge()
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    looked = 0
    scan = torrent.pieces.order.scan

    def counted(has=None):  # type: ignore[no-untyped-def]  # as scan
        nonlocal looked
        for piece in scan(has):
            looked += 1
            yield piece

    monkeypatch.setattr(torrent.pieces.order, "scan", counted)
    remote = silent(node, content, pieces=has)
    node.settle()
    assert sorted(order_of(remote)) == has
    assert looked <= 8 * len(has)


def test_a_window_is_filled_in_two_searches_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each passes over all that the peer lacks, which may be hundred thousands of pieces."""
    monkeypatch.setattr(asking, "_AT_ONCE", 1)
    content = huge()
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    searches = 0
    scan = torrent.pieces.order.scan

    def counted(has=None):  # type: ignore[no-untyped-def]  # as scan
        nonlocal searches
        searches += 1
        return scan(has)

    monkeypatch.setattr(torrent.pieces.order, "scan", counted)
    remote = silent(node, content, pieces=range(0, 350_000, 100))
    node.settle()
    assert len(order_of(remote)) >= 16
    assert searches == 2


def test_nothing_is_asked_while_downloading_is_not_allowed() -> None:
    """What was asked is taken back, and interest is withdrawn; then all begins again."""
    content = sample(pieces=10, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, rate=2)
    run(clock, node, 2)
    with node.engine.turn:
        allow_download(node.engine, torrent, False)
    node.settle(lambda: check(node))
    assert not remote.asked
    assert remote.peer.talk.outstanding == 0
    assert not remote.peer.talk.am_interested
    got = torrent.totals.downloaded
    run(clock, node, 5)
    assert torrent.totals.downloaded == got
    remote.rate = None
    with node.engine.turn:
        allow_download(node.engine, torrent, True)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set


def test_interest_is_shown_in_who_has_something_we_want_and_withdrawn_only_when_there_is_nothing_left() -> None:
    """Some clients punish those who waver."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    useless = Remote(node, torrent, content, pieces=[])
    partial = Remote(node, torrent, content, pieces=[0], unchokes=False)
    node.settle()
    assert not useless.peer.talk.am_interested
    assert partial.peer.talk.am_interested
    Remote(node, torrent, content, rate=4)
    run(clock, node, 1)
    assert partial.peer.talk.am_interested
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    assert not partial.peer.talk.am_interested


def test_an_idle_peer_is_not_set_on_what_others_are_delivering() -> None:
    """In the end game it waits for what pauses, and half a second later helps with everything."""
    content = sample(pieces=1, blocks=8)
    node = Node(clock := Clock())
    node.add(content)
    node.settle()
    busy = silent(node, content)
    node.settle()
    busy.serve(1)
    busy.send()
    node.settle()
    idle = silent(node, content)
    node.settle()
    assert not set(idle.asked) & set(busy.asked), "shared, not copied"
    idle.serve(8)
    idle.send()
    node.settle()
    while idle.asked:
        idle.serve(8)
        idle.send()
        node.settle()
    left = list(busy.asked)
    assert left, "the last of it is awaited"
    clock.now += 0.6
    node.begin_tenth()
    node.settle(lambda: check(node))
    assert list(idle.asked) == left == list(busy.asked)


def test_asking_again_changes_nothing() -> None:
    """W21: wakes are cheap and harmless, however many come."""
    content = sample(pieces=40, blocks=4)
    node = Node(clock := Clock())
    node.add(content)
    node.settle()
    remote = silent(node, content)
    node.settle()
    before = list(remote.asked)
    for _ in range(50):
        node.loop.run(ask, node.engine, remote.peer, clock())
    node.settle()
    assert list(remote.asked) == before


def test_pieces_that_nobody_has_do_not_stand_in_the_way_of_those_that_somebody_has() -> None:
    """W25: they are the rarest and come first in the order, more of them than the memory holds."""
    content = sample(pieces=64, blocks=4)
    node = Node(Clock(), pool=1 << 20)
    torrent = node.add(content)
    node.settle()
    Remote(node, torrent, content, pieces=range(32, 64))
    node.settle(lambda: check(node))
    assert set(torrent.pieces.complete.search(1)) == set(range(32, 64))
