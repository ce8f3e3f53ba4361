"""The numbers of torrents and peers, against plain sums."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.engine.checking import want_check
from anabranch.engine.stats import bytes_completed, peer_stats, stats_of
from anabranch.model import BLOCK_SIZE, Address, Priority, all_pieces
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import Faults, Held, PlainStorage, sample

FILES = (50_000, 0, 16_384, 1, 120_000, 7)


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_bytes_are_counted_by_complete_pieces(seed: int) -> None:
    """Of any stretch; and wanted bytes of the whole, with the short last piece."""
    draw = Random(seed)
    content = sample(files=FILES, blocks=draw.choice([1, 2]))
    geometry = content.geometry
    node = Node(Clock())
    have = draw.sample(range(geometry.piece_count), draw.randint(0, geometry.piece_count))
    torrent = node.add(content, Held(content, have), want=None)
    node.want(torrent, [draw.choice([Priority.NONE, Priority.NORMAL]) for _ in FILES])
    node.settle()
    offset = draw.randrange(geometry.total)
    length = draw.randint(0, geometry.total - offset)
    assert bytes_completed(torrent, offset, length) == sum(
        byte // geometry.piece_length in have for byte in range(offset, offset + length)
    )
    stats = stats_of(node.engine, torrent)
    wanted = [piece for piece in range(geometry.piece_count) if torrent.worth.of(piece)]
    assert stats.wanted == sum(map(geometry.length_of, wanted))
    assert stats.wanted_left == sum(geometry.length_of(piece) for piece in wanted if piece not in have)
    assert stats.pieces_complete == len(have)
    assert stats.complete == (not stats.wanted_left)
    assert stats.length == geometry.total


def test_a_torrent_tells_what_it_is_doing() -> None:
    """Its stage, its error, its peers and seeds, its rates."""
    content = sample(pieces=8, blocks=8)
    faults = Faults()
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage(faults))
    assert stats_of(node.engine, torrent).stage == "opening"
    node.settle()
    Remote(node, torrent, content, rate=4)
    Remote(node, torrent, content, pieces=[])
    run(clock, node, 4)
    stats = stats_of(node.engine, torrent)
    assert (stats.stage, stats.error) == ("live", "")
    assert (stats.peers, stats.seeds) == (2, 1)
    assert (stats.half_open, stats.pending, stats.total_peers) == (0, 0, 2)
    assert stats.hashed == torrent.totals.hashed
    assert stats.downloaded == torrent.totals.downloaded > 0
    assert 0.5 * 4 * BLOCK_SIZE < stats.rate_down < 2 * 4 * BLOCK_SIZE
    faults.always.add("write")
    run(clock, node, 10)
    stats = stats_of(node.engine, torrent)
    assert stats.stage == "failed"
    assert stats.error == "the file of write: No space left on device"


def test_a_check_tells_how_far_it_is() -> None:
    """From 0 to 1, also when the user asks for more meanwhile."""
    content = sample(pieces=8, blocks=2)
    home = PlainStorage()
    home.hold(content, range(8))
    node = Node(Clock())
    torrent = node.add(content, home)
    told: list[float] = []
    while node.step():
        if len(told) == 3:
            with node.engine.turn:
                want_check(node.engine, torrent, all_pieces(8))
        stats = stats_of(node.engine, torrent)
        told.append(stats.checked)
        assert 0.0 <= stats.checked <= 1.0
    assert told[-1] == 1.0
    assert stats_of(node.engine, torrent).check_left == 0


def test_a_peer_tells_what_passes_between_us() -> None:
    """As we see it."""
    content = sample(pieces=4, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content, Held(content, [0]))
    node.settle()
    remote = Remote(node, torrent, content, pieces=[1, 2], rate=2)
    remote.talk.interested()
    remote.ask(0, 0, 1000)
    run(clock, node, 2)
    stats = peer_stats(node.engine, remote.peer)
    assert stats.address == remote.peer.address
    assert stats.client == "scripted"
    assert not stats.outgoing
    assert stats.pieces == 2
    assert stats.downloaded == 4 * BLOCK_SIZE
    assert stats.uploaded == 1000
    assert stats.interested
    assert stats.interesting
    assert not stats.choked
    assert not stats.choking
    assert stats.outstanding == remote.peer.talk.outstanding > 0


def test_everybody_known_is_counted_once() -> None:
    """Connected, being dialed, or waiting to be."""
    content = sample()
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    for number in range(1, 8):
        torrent.swarm.candidates.add(Address(f"10.1.0.{number}", 1000 + number), "user")
    Remote(node, torrent, content)  # came by itself
    with node.turn:
        dialed = torrent.swarm.candidates.get(Address("10.1.0.3", 1003))
        assert dialed is not None
        torrent.swarm.candidates.engage(dialed, 0.0)
        torrent.swarm.dialing += 1
        stats = stats_of(node.engine, torrent)
    assert (stats.peers, stats.half_open, stats.pending, stats.total_peers) == (1, 1, 6, 8)
