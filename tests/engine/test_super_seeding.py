"""Giving a torrent to its first peers: who is shown what, and when."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from anabranch.engine.state import TorrentState
from anabranch.engine.super_seeding import PATIENCE, UNWANTED_AFTER, set_super_seeding
from anabranch.model import BLOCK_SIZE
from anabranch.wire import AllowedFast, Event, ExtendedHandshake, Have, HaveAll, HaveNone, Interested, PeerHas
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, connect, run, until
from engine.samples import Held, Sample, sample


class Taker(Remote):
    """Takes every piece that it is told of, unless *wants* is off, and says so."""

    wants = True

    def hear(self, event: Event) -> None:
        if isinstance(event, Have) and self.wants and not self.talk.am_interested:
            self.talk.interested()
        super().hear(event)

    def shown(self) -> list[int]:
        """The pieces it was told of, in order."""
        return [event.piece for event in self.heard if isinstance(event, Have)]

    def take(self, piece: int) -> None:
        """Fetch a piece from the node."""
        for begin in range(0, self.content.geometry.length_of(piece), BLOCK_SIZE):
            self.ask(piece, begin, BLOCK_SIZE)
        self._node.settle()
        assert None not in self.answers().values()

    def got(self, piece: int) -> None:
        """Say that it has a piece now, wherever from."""
        self.talk.have(piece)
        self.send()
        self._node.settle()


def super_seed(content: Sample) -> tuple[Node, Clock, TorrentState]:
    node = Node(clock := Clock())
    torrent = node.seed(content)
    switch(node, torrent, True)
    return node, clock, torrent


def switch(node: Node, torrent: TorrentState, on: bool) -> None:
    with node.engine.turn:
        set_super_seeding(node.engine, torrent, on)
    node.settle()


def takers(
    node: Node, torrent: TorrentState, content: Sample, count: int, pieces: Collection[int] = (), fast: bool = True
) -> list[Taker]:
    came = [Taker(node, torrent, content, pieces=pieces, fast=fast) for _ in range(count)]
    node.settle()
    return came


@pytest.mark.parametrize("fast", [True, False])
def test_a_newcomer_is_told_that_we_have_nothing_and_then_of_one_piece(fast: bool) -> None:
    """BEP 16: it takes us for a leecher that has just got a piece."""
    content = sample(pieces=16, blocks=2)
    node, clock, torrent = super_seed(content)
    (one,) = takers(node, torrent, content, 1, fast=fast)
    run(clock, node, 4)
    assert one.said(HaveNone) == fast
    assert not one.said(HaveAll) + one.said(PeerHas) + one.said(AllowedFast)
    assert len(one.shown()) == 1
    assert not one.talk.peer_extensions.upload_only
    assert not one.talk.peer_choking


def test_each_peer_is_shown_another_piece_and_none_that_somebody_has() -> None:
    """What is to be spread is what nobody has."""
    content = sample(pieces=16, blocks=2)
    node, _, torrent = super_seed(content)
    Remote(node, torrent, content, pieces=range(8, 16))
    node.settle()
    several = takers(node, torrent, content, 7)
    pieces = [piece for one in several for piece in one.shown()]
    assert len(pieces) == len(set(pieces)) == 7
    assert max(pieces) < 8


def test_the_next_piece_is_shown_when_another_peer_has_the_last_one() -> None:
    """To have it itself is not enough: it must pass it on."""
    content = sample(pieces=16, blocks=2)
    node, clock, torrent = super_seed(content)
    one, other = takers(node, torrent, content, 2)
    (piece,) = one.shown()
    one.take(piece)
    one.got(piece)
    run(clock, node, PATIENCE - 5)
    assert one.shown() == [piece]
    other.got(piece)
    assert len(one.shown()) == 2


def test_a_peer_that_is_alone_is_shown_the_next_piece_when_it_has_the_last() -> None:
    """There is nobody to pass it on to."""
    content = sample(pieces=6, blocks=2)
    node, _, torrent = super_seed(content)
    (one,) = takers(node, torrent, content, 1)
    for _ in range(5):
        one.take(one.shown()[-1])
        one.got(one.shown()[-1])
    assert sorted(one.shown()) == list(range(6))


def test_a_peer_that_waits_in_vain_for_others_gets_more_after_a_while() -> None:
    """It may know none of them, or they may not want it: nobody stalls for ever."""
    content = sample(pieces=4, blocks=2)
    node, clock, torrent = super_seed(content)
    one, _ = takers(node, torrent, content, 2)
    for count in range(1, 5):
        assert len(one.shown()) == count
        one.take(one.shown()[-1])
        one.got(one.shown()[-1])
        run(clock, node, PATIENCE + 2)


def test_a_peer_that_does_not_want_a_piece_is_shown_another_soon() -> None:
    """It may want some files only. The piece is shown to others then."""
    content = sample(pieces=3, blocks=2)
    node, clock, torrent = super_seed(content)
    picky, other = takers(node, torrent, content, 2)
    picky.wants = False
    picky.talk.not_interested()
    picky.send()
    run(clock, node, UNWANTED_AFTER + 2)
    assert len(picky.shown()) == 2
    assert picky.shown()[1] not in other.shown()
    other.take(other.shown()[0])
    other.got(other.shown()[0])
    picky.got(other.shown()[0])
    assert other.shown()[1] == picky.shown()[0]


def test_what_a_peer_was_not_shown_it_does_not_get() -> None:
    """Also not where it guesses; what it was shown it gets again, later, too."""
    content = sample(pieces=8, blocks=2)
    node, _, torrent = super_seed(content)
    (one,) = takers(node, torrent, content, 1)
    (piece,) = one.shown()
    one.take(piece)
    guess = (piece + 1) % 8
    one.ask(guess, 0, BLOCK_SIZE)
    node.settle()
    assert one.answers()[guess, 0] is None
    assert one.peer.flow.up.total == 2 * BLOCK_SIZE


def test_a_piece_whose_holder_leaves_is_shown_to_another() -> None:
    """Else nobody would ever pass it on."""
    content = sample(pieces=2, blocks=2)
    node, _, torrent = super_seed(content)
    (first,) = takers(node, torrent, content, 1)
    second = takers(node, torrent, content, 1)[0]
    (lost,), (kept,) = first.shown(), second.shown()
    assert lost != kept
    first.leave()
    third = takers(node, torrent, content, 1)[0]
    assert third.shown() == [lost]


def test_when_all_have_been_shown_the_rarest_comes_first() -> None:
    """Pieces that nobody has any more before pieces of which there are copies."""
    content = sample(pieces=8, blocks=2)
    node = Node(Clock())
    torrent = node.seed(content)
    for pieces in ((0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 5, 7), (0, 1, 2, 3, 4, 6, 7)):
        Remote(node, torrent, content, pieces=pieces)
    node.settle()
    switch(node, torrent, True)
    several = takers(node, torrent, content, 3)
    assert sorted(piece for one in several for piece in one.shown()) == [5, 6, 7]


def test_switched_off_everybody_is_told_the_rest() -> None:
    """And newcomers have it at once."""
    content = sample(pieces=16, blocks=2)
    node, _, torrent = super_seed(content)
    one, other = takers(node, torrent, content, 2)
    switch(node, torrent, False)
    assert sorted(one.shown()) == sorted(other.shown()) == list(range(16))
    assert one.talk.peer_extensions.upload_only
    one.take(7)
    late = takers(node, torrent, content, 1)[0]
    assert late.said(HaveAll)
    assert torrent.swarm.offers is None


def test_who_knew_before_is_served_as_before() -> None:
    """What was said cannot be taken back."""
    content = sample(pieces=16, blocks=2)
    node = Node(Clock())
    torrent = node.seed(content)
    (old,) = takers(node, torrent, content, 1)
    switch(node, torrent, True)
    (new,) = takers(node, torrent, content, 1)
    assert old.said(HaveAll)
    old.talk.interested()
    old.send()
    node.settle()
    old.take(3)
    assert new.said(HaveNone)
    switch(node, torrent, False)
    assert new.talk.peer_extensions.upload_only
    assert old.said(ExtendedHandshake) == 1


def test_who_has_not_everything_does_not_super_seed() -> None:
    """Not before it is complete, and not any more when a piece turns out to be wrong."""
    content = sample(pieces=8, blocks=2)
    node = Node(clock := Clock())
    torrent = node.add(content, Held(content, range(7)))
    node.settle()
    switch(node, torrent, True)
    (early,) = takers(node, torrent, content, 1)
    assert early.said(PeerHas)
    node, clock, torrent = super_seed(content)
    (one,) = takers(node, torrent, content, 1)
    with node.engine.turn:
        torrent.pieces.set_complete((one.shown()[0] + 1) % 8, False)
    run(clock, node, 2)
    assert len(one.shown()) == 7
    assert one.peer.serving.shown is None


@pytest.mark.parametrize("count", [2, 5, 9])
def test_hardly_anything_is_uploaded_twice(count: int) -> None:
    """Engines that know each other share one super-seeder: it sends less than 1.2 times the content."""
    content = sample(pieces=48, blocks=4)
    clock = Clock()
    seeder = Node(clock)
    source = seeder.seed(content)
    switch(seeder, source, True)
    nodes = [Node(clock, number) for number in range(1, count + 1)]
    torrents = [node.add(content) for node in nodes]
    for node in [seeder, *nodes]:
        node.line = 16 * BLOCK_SIZE
        node.settle()
    for at, (node, torrent) in enumerate(zip(nodes, torrents, strict=True)):
        connect(seeder, source, node, torrent)
        for other, theirs in list(zip(nodes, torrents, strict=True))[:at]:
            connect(other, theirs, node, torrent)
    until(clock, [seeder, *nodes], lambda: all(torrent.signals.complete.is_set for torrent in torrents), 300)
    assert source.totals.uploaded < 1.2 * len(content.content)
    assert sum(torrent.totals.uploaded for torrent in torrents) > (count - 1.3) * len(content.content)


def test_who_shows_its_pieces_one_by_one_is_not_sent_away() -> None:
    """One super-seeder of ours and one leecher of ours: neither takes the other for useless while it waits."""
    content = sample(pieces=4, blocks=2)
    clock = Clock()
    seeder, leecher = Node(clock), Node(clock, 1)
    source, torrent = seeder.seed(content), leecher.add(content)
    switch(seeder, source, True)
    leecher.settle()
    near, _ = connect(seeder, source, leecher, torrent)
    takers(seeder, source, content, 1)  # somebody who takes nothing: it is not alone
    until(clock, [seeder, leecher], lambda: torrent.signals.complete.is_set, 4 * (int(PATIENCE) + 5))
    assert near.peer.flow.up.total == len(content.content)


def test_a_peer_that_says_nothing_of_its_pieces_is_shown_one() -> None:
    """Without the fast extension who has none says nothing (BEP 3)."""
    content = sample(pieces=4, blocks=2)
    node, clock, torrent = super_seed(content)
    one = Taker(node, torrent, content, pieces=[], fast=False)
    one.talk.interested()
    one.send()
    node.settle()
    assert not one.shown()
    run(clock, node, 4)
    assert len(one.shown()) == 1
    assert not one.said(Interested)


@pytest.mark.parametrize("lies", ["at once", "one by one"])
def test_who_says_that_it_has_what_it_has_not_keeps_others_waiting_a_second_only(lies: str) -> None:
    """It seems as if all pieces were out. Who gets nothing from elsewhere shows that they are not."""
    content = sample(pieces=24, blocks=2)
    node, clock, torrent = super_seed(content)
    (liar,) = takers(node, torrent, content, 1, range(23) if lies == "at once" else ())
    for piece in range(23 if lies == "one by one" else 0):
        liar.got(piece)
    (one,) = takers(node, torrent, content, 1)
    for _ in range(60):
        if not one.answers() or one.shown()[-1] not in {piece for piece, _ in one.answers()}:
            one.take(one.shown()[-1])
            one.got(one.shown()[-1])
        run(clock, node, 1)
    assert len(one.shown()) == 24


def test_who_gets_pieces_from_others_is_shown_more_after_a_rest_only() -> None:
    """They are out, and the swarm has them from each other."""
    content = sample(pieces=24, blocks=2)
    node, clock, torrent = super_seed(content)
    takers(node, torrent, content, 1, range(23))
    (one,) = takers(node, torrent, content, 1)
    lacking = set(range(23))
    for _ in range(20):
        if one.shown()[-1] not in {piece for piece, _ in one.answers()}:
            one.take(one.shown()[-1])
            one.got(one.shown()[-1])
        lacking -= set(one.shown())
        one.got(lacking.pop())
        run(clock, node, 1)
    assert len(one.shown()) <= 4
