"""Torrents that share a limited space, in whole engines."""

from __future__ import annotations

from typing import Any

import pytest

from anabranch.engine import orders
from anabranch.engine.choosing import pieces_for
from anabranch.engine.stage import Failed, Live
from anabranch.engine.state import TorrentState
from anabranch.engine.wanting import choose_pieces, read_ahead
from anabranch.metainfo import Magnet
from anabranch.model import Priority
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Node, run
from engine.samples import Sample, sample
from engine.spaces import Space, Tenancy
from engine.truth import check

PIECE = 2 * 16384
ONE, OTHER = sample(pieces=6, blocks=2, seed=1), sample(pieces=6, blocks=2, seed=2)


def sharing(space: Space, want: Priority = Priority.NORMAL, **config: Any) -> tuple[Node, Clock, list[TorrentState]]:
    """Two torrents of six pieces each, the first of which is worth more, and seeds of both."""
    node = Node(clock := Clock(), **config)
    torrents = [node.add(ONE, Tenancy(space), want=want), node.add(OTHER, Tenancy(space))]
    node.settle()
    for torrent, content in zip(torrents, (ONE, OTHER), strict=True):
        Remote(node, torrent, content)
    return node, clock, torrents


def here(torrent: TorrentState) -> list[int]:
    return list(torrent.pieces.complete.search(1))


def lose(node: Node, torrent: TorrentState, content: Sample, piece: int) -> Remote:
    """The storage gives a piece up, and a peer asks for it."""
    home = torrent.disk.home
    assert isinstance(home, Tenancy)
    home.space.give_up(home, piece)
    asker = Remote(node, torrent, content, pieces=[])
    node.settle()
    asker.talk.interested()
    asker.send()
    node.settle()
    asker.ask(piece, 0, 16384)
    node.settle()
    return asker


@pytest.mark.parametrize("debug", [False, True])
def test_a_shared_order_lives_as_long_as_a_torrent_uses_it(debug: bool) -> None:
    """W26: two torrents, one space; one closes while the other is complete, which then loses a piece and fetches it."""
    node, clock, [one, other] = sharing(Space(1 << 30, told=None), debug=debug)
    run(clock, node, 3, lambda: check(node))
    assert here(one) == here(other) == list(range(6))
    [shared] = node.engine.limits.orders.values()
    assert len(shared) == 2
    node.drop(one)
    node.settle()
    assert list(node.engine.limits.orders.values()) == [shared]
    assert not other.pieces.missing_wanted
    lose(node, other, OTHER, 4)
    assert here(other) == [0, 1, 2, 3, 5]
    Remote(node, other, OTHER)
    run(clock, node, 3, lambda: check(node))
    assert here(other) == list(range(6))
    home = other.disk.home
    assert isinstance(home, Tenancy)
    assert home.data[4] == OTHER.of_piece(4), "it was fetched again"
    assert isinstance(other.stage, Live)
    node.drop(other)
    node.settle()
    assert not node.engine.limits.orders


def test_an_order_in_which_nothing_is_yet_stays_for_who_comes_later() -> None:
    """W26: one closes while the other has just come in with nothing; a third one is to share the space with that."""
    space = Space(1 << 30)
    node, _, [one, other] = sharing(space)
    third = node.add(sample(pieces=6, blocks=2, seed=3), Tenancy(space))
    with node.engine.turn:
        orders.enter(node.engine, other, space, None)
        shared = other.pieces.ordering.shared
        assert not len(other.pieces.order)
        orders.leave(node.engine, one)
        orders.enter(node.engine, third, space, None)
        assert third.pieces.ordering.shared is shared
        orders.leave(node.engine, other)
        orders.leave(node.engine, third)
        assert not node.engine.limits.orders


@pytest.mark.parametrize("debug", [False, True])
def test_a_space_may_come_to_have_a_limit_and_lose_it_again(debug: bool) -> None:
    """W28: in the middle of a download, with either twin of the order. The Go engine ended the program."""
    space = Space(1 << 30, told=None)
    node, clock, torrents = sharing(space, debug=debug)
    for told in (2 * PIECE, None, 0, 5 * PIECE, None):
        space.told = told
        run(clock, node, 2, lambda: check(node))
    assert [here(torrent) for torrent in torrents] == [list(range(6))] * 2


def test_a_piece_that_the_space_gave_up_is_rejected_and_missing() -> None:
    """It is not the torrent that failed: who asked is told, all are, and it is asked for again."""
    node, clock, [_, other] = sharing(Space(1 << 30, told=None))
    run(clock, node, 3)
    for remote in [end for end in node.ends if isinstance(end, Remote)]:
        remote.leave()
    node.settle()
    asker = lose(node, other, OTHER, 4)
    assert asker.answers() == {(4, 0): None}
    assert here(other) == [0, 1, 2, 3, 5]
    assert not isinstance(other.stage, Failed)
    assert other.pieces.requestable(4)
    check(node)


@pytest.mark.parametrize("room", range(13))
def test_no_more_is_fetched_than_the_space_has_room_for(room: int) -> None:
    """The first torrent is worth more; the second gets what is left, by index. Nothing is given up for anything."""
    space = Space(room * PIECE)
    node, clock, [one, other] = sharing(space, Priority.HIGH)
    run(clock, node, 4, lambda: check(node))
    assert here(one) == list(range(min(room, 6)))
    assert here(other) == list(range(max(room - 6, 0)))
    assert space.given_up == 0


def test_pieces_that_nobody_has_take_no_room_from_those_that_somebody_has() -> None:
    """W25: they are the rarest, and as many as there is room for. A peer that comes with them is asked for them."""
    node = Node(clock := Clock())
    torrent = node.add(ONE, Tenancy(space := Space(3 * PIECE)))
    node.settle()
    Remote(node, torrent, ONE, pieces=[3, 4, 5])
    run(clock, node, 3, lambda: check(node))
    assert here(torrent) == [3, 4, 5]
    space.size = space.told = 5 * PIECE
    Remote(node, torrent, ONE, pieces=[0, 1])
    run(clock, node, 3, lambda: check(node))
    assert here(torrent) == [0, 1, 3, 4, 5]
    assert space.given_up == 0


def test_what_is_worth_more_drives_out_what_is_worth_less() -> None:
    """Pieces that nobody wants any more stand last, complete as they are, and make room. A reader comes first."""
    space = Space(6 * PIECE)
    node, clock, [one, other] = sharing(space, Priority.HIGH)
    run(clock, node, 3)
    assert (here(one), here(other)) == (list(range(6)), [])
    with node.engine.turn:
        read_ahead(node.engine, other, "reader", range(4, 6), 4)
    run(clock, node, 3, lambda: check(node))
    assert here(other) == [4, 5]
    assert space.given_up == 2
    node.want(one, [Priority.NONE])
    run(clock, node, 3, lambda: check(node))
    assert here(other) == list(range(6))


def test_a_space_that_grows_is_used_a_second_later() -> None:
    """How large it is, is asked by a worker once for all, and never within a turn, because it is the user's code."""
    space = Space(3 * PIECE)
    node, clock, [one, other] = sharing(space, Priority.HIGH)
    within: list[bool] = []
    space.watch = lambda: within.append(node.engine.turn.held_by_me)
    run(clock, node, 3)
    assert len(here(one)) == 3
    assert 1 <= len(within) <= 3, "two torrents, one question a second"
    assert not any(within)
    space.size = space.told = 8 * PIECE
    run(clock, node, 3)
    assert (len(here(one)), len(here(other))) == (6, 2)
    space.told = None
    run(clock, node, 3)
    assert len(here(other)) == 6


def test_a_torrent_that_leaves_makes_room_for_the_others() -> None:
    """As soon as they are looked at, within a second."""
    node, clock, [one, other] = sharing(Space(6 * PIECE), Priority.HIGH)
    run(clock, node, 3)
    assert here(other) == []
    node.drop(one)
    run(clock, node, 3, lambda: check(node))
    assert here(other) == list(range(6))


def test_who_shares_a_space_keeps_the_order_while_there_is_nobody_to_be_asked() -> None:
    """What the torrent has in the space counts for the others."""
    node, clock, torrents = sharing(Space(7 * PIECE), Priority.HIGH)
    plain = node.add(sample(pieces=4, blocks=1, seed=3))
    run(clock, node, 3)
    for remote in [end for end in node.ends if isinstance(end, Remote)]:
        remote.leave()
    run(clock, node, 5, lambda: check(node))
    assert not plain.pieces.ordered
    assert all(len(torrent.pieces.order) == 6 for torrent in torrents)
    late = Remote(node, torrents[1], OTHER)
    run(clock, node, 2)
    assert late.sent == 0
    assert here(torrents[1]) == [0]


def test_a_torrent_without_an_order_may_be_changed_as_one_likes() -> None:
    """W27: before the info is there, without a storage, and after the close; nothing is asked, nothing is kept."""
    node = Node(Clock())
    content = sample(pieces=4, blocks=1)
    learning = node.learn(Magnet.of(content.metainfo))
    peer = Teacher(node, learning, content, silent=True).peer
    closed = node.add(OTHER, Tenancy(Space(1 << 30)))
    node.settle()
    assert len(node.engine.limits.orders) == 1
    node.drop(closed)
    node.settle()
    node.disk.held = True
    without = node.add(ONE, Tenancy(Space(1 << 30)))
    node.settle()
    for torrent in (learning, without, closed):
        table = torrent.pieces
        pieces = range(table.geometry.piece_count)
        with node.engine.turn:
            orders.look(node.engine, torrent)
            for piece in pieces:
                table.refresh(piece)
                table.count_have(piece, 1)
                table.count_have(piece, -1)
                assert not table.order.delete(piece)
                assert not table.order.update(piece, table.standing(piece))
            choose_pieces(node.engine, torrent, pieces, Priority.HIGH)
        node.settle()
        assert not len(table.order)
        assert pieces_for(torrent, peer, 64) == []
        if torrent is not without:
            for _ in range(2):
                orders.leave(node.engine, torrent)
    assert node.engine.limits.orders == {}
    node.disk.held = False
    node.settle()
    assert len(without.pieces.order) == 6


def test_what_a_peer_suggests_or_allows_has_to_fit_in() -> None:
    """BEP 6's words are hints: what the space has no room for is asked of nobody, choked or not."""
    node = Node(Clock())
    torrent = node.add(ONE, Tenancy(Space(3 * PIECE)))
    node.settle()
    peer = Remote(node, torrent, ONE, rate=0, unchokes=False)
    node.settle()
    peer.talk.allowed_fast(5)
    peer.talk.suggest(4)
    peer.send()
    node.settle()
    assert not peer.asked
    peer.talk.unchoke()
    peer.send()
    node.settle()
    assert {piece for piece, _, _ in peer.asked} == {0, 1, 2}
