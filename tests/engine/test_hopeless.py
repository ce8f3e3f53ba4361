"""Bytes fetched for one piece are bounded, whoever is at fault, and the torrent says who."""

from __future__ import annotations

import pytest

from anabranch.engine import events, hopeless
from anabranch.engine.checking import want_check
from anabranch.engine.stage import Failed, Live
from anabranch.engine.state import TorrentState
from anabranch.model import BLOCK_SIZE, InfoHash
from anabranch.storage import Buffer, Layout
from anabranch.storage.backend import Room
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import PlainPiece, PlainStorage, PlainTorrent, Sample, sample
from engine.truth import check

POOL = 1 << 20
LARGE = 9 * BLOCK_SIZE  # more than an eighth of the pool: such pieces are hashed from the disk


class LyingStorage(PlainStorage):
    """Flips a bit of each block that is written, or of each that is read, while it *lies* so."""

    def __init__(self, lies: str) -> None:
        super().__init__()
        self.lies = lies

    def open(self, info: Layout, info_hash: InfoHash) -> PlainTorrent:
        torrent = super().open(info, info_hash)
        torrent.piece = lambda index: LyingPiece(torrent, torrent.geometry.piece(index))  # type: ignore[method-assign]  # its pieces lie
        return torrent


class LyingPiece(PlainPiece):
    _home: LyingStorage

    def writev(self, begin: int, buffers: list[Buffer]) -> None:  # type: ignore[override]  # what we give it
        changed = [bytearray(buffer) for buffer in buffers]
        if self._home.lies == "written":
            changed[0][0] ^= 1
        super().writev(begin, changed)

    def readinto(self, begin: int, buffer: Room) -> None:
        super().readinto(begin, buffer)
        if self._home.lies == "read":
            buffer[0] ^= 1


def errors(node: Node) -> list[str]:
    return [str(event.error) for event in node.told() if isinstance(event, events.Failed)]


def spent(torrent: TorrentState) -> int:
    return torrent.totals.downloaded + torrent.totals.wasted


@pytest.mark.parametrize("lies", ["written", "read"])
def test_a_disk_that_lies_is_named_and_no_peer_is_blamed(lies: str) -> None:
    """Only what it has changed is fetched again, three times; then it is only looked whether it can read."""
    content = sample(pieces=2, blocks=9)
    home = LyingStorage(lies)
    node = Node(clock := Clock(), pool=POOL)
    torrent = node.add(content, home)
    node.settle()
    for host in ("10.9.9.1", "10.9.9.2"):
        Remote(node, torrent, content, host=host)
    run(clock, node, 120, lambda: check(node))
    assert isinstance(torrent.stage, Failed)
    fetched = spent(torrent)
    assert fetched <= 2 * content.geometry.total
    run(clock, node, 600)
    assert spent(torrent) == fetched
    assert not node.engine.banned
    assert len(torrent.swarm.peers) == 2
    [error, *others] = errors(node)
    assert "0: the disk gives back other bytes than were written to it, at offset" in error
    assert all("gives back other bytes" in other for other in others)
    assert not torrent.pieces.complete.any()
    home.lies = "nothing"
    if lies == "read":  # what it has is right after all
        until(clock, node, lambda: torrent.signals.complete.is_set, 60)
        assert spent(torrent) <= fetched + BLOCK_SIZE  # of the other piece, which was to be mended meanwhile
    else:
        with node.engine.turn:
            torrent.pieces.watch = None


def test_one_wrong_read_is_read_again_and_nothing_is_fetched_twice() -> None:
    """The second look sees the piece as it is: the piece is taken, nobody is told anything."""
    content = sample(pieces=1, blocks=9)
    home = LyingStorage("read")
    node = Node(Clock(), pool=POOL)
    torrent = node.add(content, home)
    node.settle()
    counted = home.faults.meet

    def once(kind: str) -> None:
        counted(kind)
        if home.faults.calls["read"] > 1:
            home.lies = "nothing"

    home.faults.meet = once  # type: ignore[method-assign]  # counted
    Remote(node, torrent, content)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert spent(torrent) == content.geometry.total
    assert not errors(node)


def test_of_a_large_piece_the_liar_is_found_all_the_same() -> None:
    """The disk gave back what came: then who sent it is to blame, as of a piece in memory."""
    content = sample(pieces=2, blocks=9)
    node = Node(clock := Clock(), pool=POOL)
    torrent = node.add(content, PlainStorage())
    node.settle()
    Remote(node, torrent, content, host="10.9.9.9", spoil=lambda piece, begin: begin == BLOCK_SIZE)
    node.settle(lambda: check(node))
    assert node.engine.banned == {"10.9.9.9"}
    Remote(node, torrent, content)
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    assert not errors(node)


def wrong(content: Sample, piece: int = 0) -> Sample:
    """A torrent whose hash of one piece is not what everybody has."""
    changed = bytearray(content.content)
    changed[content.geometry.offset_of(piece)] ^= 1
    return Sample(content.metainfo, bytes(changed))


@pytest.mark.parametrize("blocks", [4, 9])
def test_a_torrent_that_nobody_can_satisfy_is_named_and_costs_little(blocks: int) -> None:
    """Everybody sends the same, which has another hash: nobody stays banned, the rest comes, the piece rests.

    Some clients fetched 20 GB of a torrent of 11 MB this way.
    """
    content = sample(pieces=4, blocks=blocks)
    served = wrong(content)
    node = Node(clock := Clock(), pool=POOL)
    torrent = node.add(content, PlainStorage())
    node.settle()
    for number in range(6):
        Remote(node, torrent, served, rate=5, host=f"10.9.9.{number}")
    run(clock, node, 120, lambda: check(node))
    assert torrent.pieces.complete_count == 3
    assert not node.engine.banned
    [error, *_] = errors(node)
    assert "piece 0 was wrong 4 times, with the same bytes from" in error
    assert "the .torrent is wrong" in error
    for number in range(6):  # they come back
        Remote(node, torrent, served, rate=5, host=f"10.9.8.{number}")
    run(clock, node, 3600)
    assert torrent.evidence.repeated[0].times <= 9
    copies = 3  # of each block at most, in the end game of many peers
    assert spent(torrent) <= content.geometry.total + 9 * copies * content.geometry.piece_length
    assert not node.engine.banned - {f"10.9.8.{number}" for number in range(6)}
    Remote(node, torrent, content)
    with node.engine.turn:
        torrent.evidence.repeated[0].until = clock.now
    for peer in list(torrent.swarm.peers.values())[:-1]:
        peer.link.close("gone")
    until(clock, node, lambda: torrent.signals.complete.is_set, 60)
    assert not torrent.evidence.repeated


def test_different_lies_are_bounded_too_and_the_liars_stay_banned() -> None:
    """One address after the other sends something else: after some rounds the piece rests."""
    content = sample(pieces=1, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage())
    node.settle()
    for number in range(hopeless.PATIENCE_WITH_LIARS):
        Remote(node, torrent, wrong_at(content, number), host=f"10.9.9.{number}")
        run(clock, node, 1)
    assert len(node.engine.banned) == hopeless.PATIENCE_WITH_LIARS
    assert isinstance(torrent.stage, Failed)
    assert "with different bytes from 8 addresses" in errors(node)[0]
    assert spent(torrent) == hopeless.PATIENCE_WITH_LIARS * content.geometry.total
    run(clock, node, 15)
    assert isinstance(torrent.stage, Live)
    for number in range(50, 60):
        Remote(node, torrent, wrong_at(content, number), host=f"10.9.9.{number}")
    run(clock, node, 20)
    assert spent(torrent) == hopeless.PATIENCE_WITH_LIARS * content.geometry.total


def wrong_at(content: Sample, place: int) -> Sample:
    changed = bytearray(content.content)
    changed[place] ^= 1
    return Sample(content.metainfo, bytes(changed))


def test_who_has_the_piece_checked_ends_its_rest() -> None:
    """The user has put the right file there."""
    content = sample(pieces=1, blocks=4)
    home = PlainStorage()
    node = Node(clock := Clock())
    torrent = node.add(content, home)
    node.settle()
    for number in range(4):
        Remote(node, torrent, wrong(content), host=f"10.9.9.{number}")
        run(clock, node, 1)
    assert torrent.evidence.repeated[0].until
    run(clock, node, 15)
    home.hold(content, [0])
    with node.engine.turn:
        want_check(node.engine, torrent, ~torrent.pieces.complete)
    run(clock, node, 2, lambda: check(node))
    assert torrent.signals.complete.is_set
    assert not torrent.evidence.repeated


def test_liars_who_take_turns_do_not_stop_the_torrent_so_soon() -> None:
    """Other bytes each time, from several: eight failures, not four. The same bytes, or a single sender: four."""
    for hosts, digests, most in (
        (("10.9.9.1", "10.9.9.2"), [b"%d" % number for number in range(9)], hopeless.PATIENCE_WITH_LIARS),
        (("10.9.9.1", "10.9.9.2"), [b"same"] * 9, hopeless.PATIENCE),
        (("10.9.9.1",), [b"%d" % number for number in range(9)], hopeless.PATIENCE),
    ):
        node = Node(Clock())
        torrent = node.add(sample(pieces=2, blocks=4))
        node.settle()
        times = 0
        while isinstance(torrent.stage, Live):
            with node.engine.turn:
                hopeless.failed(torrent, 0, hosts, [digests[times]])
                hopeless.rest(node.engine, torrent, 0)
            times += 1
        assert times == most
