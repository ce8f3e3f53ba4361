"""The fast extension: pieces given and taken while choking, and suggested ones."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.engine import fast
from anabranch.engine.fast import SET_SIZE, canonical_set
from anabranch.engine.state import Policy, TorrentState
from anabranch.engine.unchoking import choke_everybody
from anabranch.engine.wanting import allow_upload, choose_pieces, read_ahead
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.wire import AllowedFast, Rejected, RequestRun
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import Sample, sample
from engine.truth import check

HOST = "80.4.4.200"


def allowed(remote: Remote) -> list[int]:
    return [event.piece for event in remote.heard if isinstance(event, AllowedFast)]


def seeding(pieces: int = 100, blocks: int = 1, **policy: bool) -> tuple[Node, Clock, TorrentState, Sample]:
    content = sample(pieces=pieces, blocks=blocks)
    node = Node(clock := Clock())
    torrent = node.seed(content)
    for name, value in policy.items():
        setattr(torrent.policy, name, value)
    return node, clock, torrent, content


def fetching(pieces: int = 20, blocks: int = 2) -> tuple[Node, Clock, TorrentState, Sample]:
    content = sample(pieces=pieces, blocks=blocks)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    return node, clock, torrent, content


def test_the_set_is_that_of_the_specification() -> None:
    """BEP 6 has an example, of seven and of nine pieces."""
    nine = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508]
    assert canonical_set(HOST, b"\xaa" * 20, 1313, 7) == nine[:7]
    assert canonical_set(HOST, b"\xaa" * 20, 1313, 9) == nine


@given(st.ip_addresses(), st.binary(min_size=20, max_size=20), st.integers(1, 400_000), st.integers(0, 20))
def test_a_neighbourhood_has_one_set(host: object, info_hash: bytes, count: int, size: int) -> None:
    """A /24, or a /48 of IPv6: who changes address there gains nothing. It has as many pieces as there are to have."""
    found = canonical_set(str(host), info_hash, count, size)
    assert len(found) == len(set(found)) == min(size, count)
    assert all(0 <= piece < count for piece in found)
    packed = ip_address(str(host)).packed
    neighbour = ip_address(packed[: 3 if len(packed) == 4 else 6] + bytes([7] * (1 if len(packed) == 4 else 10)))
    assert canonical_set(str(neighbour), info_hash, count, size) == found


def test_who_has_next_to_nothing_is_given_pieces_while_choked() -> None:
    """Those of its address, and each but once."""
    node, _, torrent, content = seeding(blocks=2)
    remote = Remote(node, torrent, content, pieces=[], host=HOST)
    node.settle()
    given_away = allowed(remote)
    assert given_away == canonical_set(HOST, bytes(content.info_hash), 100, SET_SIZE)
    for piece in given_away:
        for begin in (0, BLOCK_SIZE):
            remote.ask(piece, begin, BLOCK_SIZE)
    node.settle()
    assert remote.peer.talk.am_choking
    assert all(
        remote.answers()[piece, begin] == content.of_piece(piece)[begin : begin + BLOCK_SIZE]
        for piece in given_away
        for begin in (0, BLOCK_SIZE)
    )
    for piece in given_away:
        remote.ask(piece, 0, BLOCK_SIZE)
    node.settle()
    assert all(remote.answers()[piece, 0] is None for piece in given_away), "no free lunch twice"


def test_what_is_not_allowed_is_rejected_as_before() -> None:
    """A choked peer has only the pieces of its set."""
    node, _, torrent, content = seeding()
    remote = Remote(node, torrent, content, pieces=[], host=HOST)
    node.settle()
    other = next(piece for piece in range(100) if piece not in allowed(remote))
    remote.ask(other, 0, BLOCK_SIZE)
    node.settle()
    assert remote.answers() == {(other, 0): None}


@pytest.mark.parametrize("why", ["has enough", "old", "no upload", "nothing here"])
def test_others_are_given_nothing(why: str) -> None:
    """Who has something to trade, who does not know the words, and where we do not upload or have nothing."""
    node, _, torrent, content = fetching(100, 1) if why == "nothing here" else seeding()
    torrent.policy.upload = why != "no upload"
    remote = Remote(
        node, torrent, content, pieces=range(11) if why == "has enough" else [], host=HOST, fast=why != "old"
    )
    node.settle()
    assert not allowed(remote)
    assert not remote.peer.serving.allowed


def test_large_pieces_are_few() -> None:
    """What a peer has for nothing is some megabytes, whatever the length of the pieces."""
    node, _, torrent, content = seeding(pieces=20, blocks=256)
    remote = Remote(node, torrent, content, pieces=[], host=HOST)
    node.settle()
    assert len(allowed(remote)) == fast.MOST_GIVEN // (256 * BLOCK_SIZE) == 2


def test_who_has_got_enough_is_given_no_more() -> None:
    """It has something to trade now."""
    node, _, torrent, content = seeding()
    remote = Remote(node, torrent, content, pieces=[], host=HOST)
    node.settle()
    for piece in range(11):
        remote.talk.have(piece)
    wanted = next(piece for piece in allowed(remote) if piece >= 11)
    remote.ask(wanted, 0, BLOCK_SIZE)
    node.settle()
    assert remote.answers() == {(wanted, 0): None}


def test_a_choke_leaves_what_is_allowed_in_the_queue() -> None:
    """BEP 6: requests for allowed pieces are not rejected by it; where nobody is served any more, they are."""
    node, _, torrent, content = seeding(blocks=4)
    remote = Remote(node, torrent, content, pieces=[], host=HOST)
    node.settle()
    mine, other = allowed(remote)[0], next(piece for piece in range(100) if piece not in allowed(remote))
    remote.talk.interested()
    remote.send()
    node.settle()
    assert not remote.peer.talk.am_choking
    remote.link.blocked = True
    remote.peer.serving.reading = True  # the disk is slow
    for piece in (mine, other):
        remote.ask(piece, 0, BLOCK_SIZE)
    node.settle()
    with node.engine.turn:
        choke_everybody(node.engine, torrent)
    assert [(run.piece, run.begin) for run in remote.peer.serving.queue] == [(mine, 0)]
    with node.engine.turn:
        allow_upload(node.engine, torrent, False)
    remote.talk.interested()
    remote.ask(mine, BLOCK_SIZE, BLOCK_SIZE)
    node.settle()
    assert [(run.piece, run.begin) for run in remote.peer.serving.queue] == [(mine, 0)], "no new ones"


def test_what_a_peer_allows_is_asked_for_while_it_chokes_us() -> None:
    """If it has it and we want it; interest is shown all the same."""
    node, _, torrent, content = fetching()
    remote = Remote(node, torrent, content, pieces=range(10), unchokes=False)
    for piece in (3, 5, 15):
        remote.talk.allowed_fast(piece)
    remote.send()
    node.settle(lambda: check(node))
    assert remote.peer.talk.am_interested
    assert remote.peer.talk.peer_choking
    assert set(torrent.pieces.complete.search(1)) == {3, 5}
    assert remote.sent == 4


def test_an_allowed_piece_that_is_rejected_is_not_asked_for_again() -> None:
    """The offer is over."""
    node, clock, torrent, content = fetching()
    remote = Remote(node, torrent, content, unchokes=False, rate=0)
    remote.talk.allowed_fast(3)
    remote.send()
    node.settle()
    assert [piece for piece, _, _ in remote.asked] == [3, 3]
    remote.withdraw(2)
    remote.send()
    run(clock, node, 30, lambda: check(node))
    assert not remote.asked
    assert remote.said(RequestRun) == 1


def test_a_choke_is_no_refusal_and_what_was_allowed_goes_on() -> None:
    """A peer that chokes rejects the rest (BEP 6): when it lets us in again, it is asked at once for the same."""
    node, _, torrent, content = fetching()
    remote = Remote(node, torrent, content, rate=0)
    remote.talk.allowed_fast(7)
    remote.send()
    node.settle()
    remote.talk.choke()
    for one in list(remote.asked):
        if one[0] != 7:
            remote.asked.remove(one)
            remote.talk.reject(*one, one[2])
    remote.send()
    node.settle(lambda: check(node))
    assert {piece for piece, _, _ in remote.asked} == {7}
    assert remote.peer.profile.advice.refusals == 0
    remote.talk.unchoke()
    remote.send()
    node.settle(lambda: check(node))
    assert len(remote.asked) == 16


def test_allowed_pieces_come_in_the_order_of_the_torrent() -> None:
    """What is worth more first."""
    node, _, torrent, content = fetching()
    with node.engine.turn:
        choose_pieces(node.engine, torrent, range(9, 10), Priority.HIGH)
    remote = Remote(node, torrent, content, unchokes=False, rate=0)
    for piece in (2, 9):
        remote.talk.allowed_fast(piece)
    remote.send()
    node.settle()
    assert [piece for piece, _, _ in remote.asked][:2] == [9, 9]


def test_a_suggested_piece_comes_before_its_equals() -> None:
    """If the peer has it. Not before what is worth more, nor between what a reader waits for."""
    node, _, torrent, content = fetching(40, 2)
    with node.engine.turn:
        choose_pieces(node.engine, torrent, range(30, 31), Priority.HIGH)
        read_ahead(node.engine, torrent, "reader", range(10, 13), 10)
    node.settle()
    remote = Remote(node, torrent, content, pieces=range(39), unchokes=False, rate=0)
    for piece in (39, 12, 21, 25):
        remote.talk.suggest(piece)
    remote.talk.unchoke()
    remote.send()
    node.settle(lambda: check(node))
    pieces = list(dict.fromkeys(piece for piece, _, _ in remote.asked))
    assert pieces[:4] == [10, 11, 12, 30]
    assert set(pieces[4:6]) == {21, 25}


def test_suggestions_and_offers_that_lead_nowhere_are_harmless() -> None:
    """Pieces that are here, that nobody wants, or that the peer lacks."""
    node, _, torrent, content = fetching()
    with node.engine.turn:
        choose_pieces(node.engine, torrent, range(20), Priority.NORMAL)
    Remote(node, torrent, content, pieces=range(5))
    node.settle()
    other = Remote(node, torrent, content, pieces=range(10), unchokes=False)
    for piece in range(20):
        other.talk.suggest(piece)
        other.talk.allowed_fast(piece)
    other.send()
    node.settle(lambda: check(node))
    assert set(torrent.pieces.complete.search(1)) == set(range(10))
    other.talk.unchoke()
    other.send()
    node.settle(lambda: check(node))
    assert other.sent == 10
    assert not other.said(Rejected)
    assert isinstance(torrent.policy, Policy)


def test_an_address_is_given_each_block_once_over_all_its_connections() -> None:
    """Who comes back, or comes twice at a time, gets what is left, and then nothing."""
    node, _, torrent, content = seeding(blocks=2)
    first = Remote(node, torrent, content, pieces=[], host=HOST)
    node.settle()
    mine = allowed(first)
    for piece in mine:
        first.ask(piece, 0, BLOCK_SIZE)
    node.settle()
    first.ask(mine[0], BLOCK_SIZE, BLOCK_SIZE)
    node.settle()
    second = Remote(node, torrent, content, pieces=[], host=HOST)
    node.settle()
    first.leave()
    assert allowed(second) == mine[1:]
    for piece in mine[1:]:
        second.ask(piece, BLOCK_SIZE, BLOCK_SIZE)
    node.settle()
    assert None not in second.answers().values()
    third = Remote(node, torrent, content, pieces=[], host=HOST)
    node.settle()
    assert not allowed(third)
    third.ask(mine[0], 0, BLOCK_SIZE)
    node.settle()
    assert third.answers() == {(mine[0], 0): None}
    stranger = Remote(node, torrent, content, pieces=[], host="80.4.5.200")
    node.settle()
    assert allowed(stranger)


def test_only_so_many_addresses_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that came last."""
    monkeypatch.setattr(fast, "REMEMBERED", 3)
    node, _, torrent, content = seeding()
    for number in range(5):
        Remote(node, torrent, content, pieces=[], host=f"80.4.{number}.1")
    node.settle()
    assert list(torrent.swarm.given) == ["80.4.2.1", "80.4.3.1", "80.4.4.1"]
