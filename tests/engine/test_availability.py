"""How many peers have each piece, against a plain count."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.engine import availability
from anabranch.engine.chatter import BURST
from anabranch.model import PeerFault, all_pieces, no_pieces
from anabranch.wire import DONT_HAVE, OurExtensions
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import sample
from engine.truth import check

PIECES = 11


def said(remote: Remote, pieces: set[int]) -> None:
    bits = no_pieces(PIECES)
    for piece in pieces:
        bits[piece] = True
    remote.talk.send_pieces(bits, bool(bits.all()))


@given(st.integers(0, 10_000), st.sampled_from([2, 3, 4096]))
@settings(max_examples=60, deadline=None)
def test_whatever_peers_tell_in_whatever_order_the_numbers_are_a_plain_count(seed: int, slice_size: int) -> None:
    """Bitfield, have, have all, don't have, leave: also while large torrents are counted in slices over many turns."""
    draw = Random(seed)
    node = Node(Clock(), seed, slice_size=slice_size)
    content = sample(pieces=PIECES, blocks=1)
    torrent = node.add(content, want=None)
    node.settle()
    remotes: list[Remote] = []
    for _ in range(draw.randint(1, 60)):
        if not remotes or (len(remotes) < 6 and draw.random() < 0.2):
            remote = Remote(node, torrent, content, tells=False, fast=draw.random() < 0.7)
            remote.talk.send_extended_handshake(OurExtensions(names={}, version="", reqq=250))
            said(remote, set(draw.sample(range(PIECES), draw.choice([0, 3, PIECES]))))
            remotes.append(remote)
        else:
            remote = draw.choice(remotes)
            match draw.randrange(3):
                case 0:
                    remote.talk.have(draw.randrange(PIECES))
                case 1:
                    remote.talk.send_extended(DONT_HAVE, draw.randrange(PIECES).to_bytes(4, "big"))
                case _ if draw.random() < 0.3:
                    remote.leave()
                    remotes.remove(remote)
        remote.send()
        for _ in range(draw.choice([0, 1, 2, 50])):
            node.step()
    node.settle()
    check(node)


@pytest.mark.parametrize("fast", [True, False])
def test_a_peer_with_everything_is_one_number(fast: bool) -> None:
    """HAVE ALL or a full bitfield: nothing is counted piece by piece, and it is known as a seed."""
    node = Node(Clock())
    content = sample(pieces=PIECES, blocks=1)
    torrent = node.add(content, want=None)
    node.settle()
    remote = Remote(node, torrent, content, fast=fast)
    node.settle()
    assert torrent.pieces.seeds == 1
    assert not any(torrent.pieces.availability)
    remote.leave()
    assert torrent.pieces.seeds == 0


def test_a_peer_becomes_a_seed_with_its_last_piece() -> None:
    """It is told apart no longer, and its address is remembered as a seed's."""
    node = Node(Clock())
    content = sample(pieces=3, blocks=1)
    torrent = node.add(content, want=None)
    node.settle()
    remote = Remote(node, torrent, content, pieces=[0, 2])
    node.settle()
    assert list(torrent.pieces.availability) == [1, 0, 1]
    remote.talk.have(1)
    remote.send()
    node.settle()
    assert torrent.pieces.seeds == 1
    assert list(torrent.pieces.availability) == [0, 0, 0]


def test_a_seed_that_loses_a_piece_stays_one_number_less_that_piece() -> None:
    """BEP 54. To count all its pieces one by one each time would let it keep us busy."""
    node = Node(Clock())
    content = sample(pieces=3, blocks=1)
    torrent = node.add(content, want=None)
    node.settle()
    remote = Remote(node, torrent, content)
    node.settle()
    remote.talk.send_extended(DONT_HAVE, (1).to_bytes(4, "big"))
    remote.send()
    node.settle()
    assert not remote.peer.has_all
    assert torrent.pieces.seeds == 1
    assert list(torrent.pieces.availability) == [0, -1, 0]
    remote.talk.have(1)
    remote.send()
    node.settle()
    assert remote.peer.has_all
    assert list(torrent.pieces.availability) == [0, 0, 0]
    remote.talk.send_extended(DONT_HAVE, (2).to_bytes(4, "big"))
    remote.send()
    node.settle()
    remote.leave()
    node.settle()
    assert torrent.pieces.seeds == 0
    assert not any(torrent.pieces.availability)


@pytest.mark.parametrize("few", [True, False])
def test_a_peer_that_tells_all_its_pieces_anew_has_those(few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """aria2 sends another bitfield instead of many haves. It pays for it as if it had told each piece."""
    monkeypatch.setattr(availability, "_FEW", 1024 if few else 0)
    node = Node(Clock())
    torrent = node.add(sample(pieces=PIECES, blocks=1), want=None)
    node.settle()
    remote = Remote(node, torrent, sample(pieces=PIECES, blocks=1), tells=False)
    chatter = remote.peer.profile.chatter
    for pieces in ({1, 2}, {2, 3, 4}, set(range(PIECES)), set(range(PIECES)) - {5}, set(), set(range(PIECES)), {7}):
        before, had = chatter._left, set(remote.peer.has.search(1))
        told = bool(had) or remote.peer.among_seeds
        bits = no_pieces(PIECES)
        for piece in pieces:
            bits[piece] = True
        with node.engine.turn:
            availability.tell(node.engine, remote.peer, bits)
        node.settle()
        assert set(remote.peer.has.search(1)) == pieces
        assert before - chatter._left == (9 * len(pieces ^ had) if told else 0)
        check(node)


def test_a_peer_may_not_tell_all_its_pieces_anew_for_ever() -> None:
    """In few bytes it would have us count all pieces of the torrent, hundreds of times in a turn."""
    node = Node(Clock())
    torrent = node.add(sample(pieces=PIECES, blocks=1), want=None)
    node.settle()
    remote = Remote(node, torrent, sample(pieces=PIECES, blocks=1), tells=False)
    most = (BURST + 18 * PIECES) // (2 * 9 * PIECES)

    def flap(times: int) -> None:
        for _ in range(times):
            availability.tell(node.engine, remote.peer, all_pieces(PIECES))
            availability.tell(node.engine, remote.peer, no_pieces(PIECES))

    with node.engine.turn:
        flap(most)
        with pytest.raises(PeerFault, match="anew"):
            flap(2)
