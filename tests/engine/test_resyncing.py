"""Pieces that a storage gives up by itself, in whole engines with the disk cache as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
from bitarray import bitarray

from anabranch.engine import asking, events
from anabranch.engine.reading import read_found, wait_for
from anabranch.engine.resyncing import still_there
from anabranch.engine.stage import Failed, Live
from anabranch.engine.state import TorrentState
from anabranch.engine.wanting import choose_pieces, read_ahead
from anabranch.model import InfoHash, Priority, StorageFailed
from anabranch.storage import CacheStorage, MemoryStorage
from anabranch.storage.backend import Layout
from anabranch.storage.memory import MemoryTorrent
from anabranch.wire import DontHave
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import Sample, on_disk, sample
from engine.truth import check

PIECE = 2 * 16384
ONE, OTHER = sample(pieces=6, blocks=2, seed=1), sample(pieces=6, blocks=2, seed=2)
BIG = sample(pieces=40, blocks=2, seed=3)


class Fickle(MemoryStorage):
    """Gives up what a test tells it to."""

    torrent: FickleTorrent

    def open(self, info: Layout, info_hash: InfoHash) -> MemoryTorrent:
        self.torrent = FickleTorrent(info.geometry, info_hash)
        return self.torrent


class FickleTorrent(MemoryTorrent):
    tell: Callable[[Sequence[int]], None]
    wanted: Callable[[], Mapping[InfoHash, bitarray]]

    def on_given_up(self, tell: Callable[[Sequence[int]], None]) -> None:
        self.tell = tell

    def heed(self, wanted: Callable[[], Mapping[InfoHash, bitarray]]) -> None:
        self.wanted = wanted

    def give_up(self, *pieces: int) -> None:
        for piece in pieces:
            del self._pieces[piece]
            self._complete[piece] = False
        self.tell(pieces)


def here(torrent: TorrentState) -> list[int]:
    return list(torrent.pieces.complete.search(1))


def is_here(torrent: TorrentState, piece: int) -> bool:
    return bool(torrent.pieces.complete[piece])


def fetched(torrent: TorrentState) -> float:
    """Pieces' worth of bytes that came."""
    return torrent.totals.downloaded / PIECE


def complete(content: Sample = ONE) -> tuple[Node, Clock, TorrentState, FickleTorrent]:
    """A torrent that is all there, and a seed of it."""
    node = Node(clock := Clock())
    torrent = node.add(content, home := Fickle())
    node.settle()
    Remote(node, torrent, content)
    until(clock, node, lambda: torrent.signals.said_complete)
    node.told()
    return node, clock, torrent, home.torrent


def read_all(node: Node, clock: Clock, torrent: TorrentState, content: Sample, pieces: Sequence[int]) -> None:
    """As a reader does whose readahead is everything."""
    count = content.geometry.piece_count
    for piece in pieces:
        with node.engine.turn:
            read_ahead(node.engine, torrent, "reader", range(piece, count), piece)
        until(clock, node, partial(is_here, torrent, piece), 30)
        room = bytearray(content.geometry.length_of(piece))
        torrent.opened().piece(piece).readinto(0, room)
        assert room == content.of_piece(piece)


@pytest.mark.parametrize("debug", [False, True])
def test_one_torrent_of_a_cache_closes_while_the_other_is_complete_and_then_loses_a_piece(
    tmp_path: Path, debug: bool
) -> None:
    """W26: it is fetched again, by a shared order that lives as long as it is used, in a space that is the same."""
    node = Node(clock := Clock(), debug=debug)
    home = CacheStorage(tmp_path, 12 * PIECE)
    one, other = node.add(ONE, home), node.add(OTHER, home)
    node.settle()
    for torrent, content in ((one, ONE), (other, OTHER)):
        Remote(node, torrent, content)
    until(clock, node, lambda: one.signals.said_complete and other.signals.said_complete)
    [shared] = node.engine.limits.orders.values()
    assert len(shared) == 2
    node.drop(one)
    node.settle()
    home.set_capacity(5 * PIECE)
    node.settle()
    assert len(here(other)) == 5, "the closed one's went first"
    assert not other.signals.said_complete
    home.set_capacity(6 * PIECE)
    until(clock, node, lambda: other.signals.said_complete)
    check(node)
    assert on_disk(other.opened(), OTHER) == OTHER.content
    assert fetched(other) == 7
    node.drop(other)
    node.settle()
    assert not node.engine.limits.orders


def test_who_wants_more_than_the_cache_holds_fetches_what_fits_and_no_more(tmp_path: Path) -> None:
    """It neither spins nor fetches for ever, with peers that gain pieces all the time; readers still get everything."""
    node = Node(clock := Clock())
    torrent = node.add(BIG, home := CacheStorage(tmp_path, 10 * PIECE))
    node.settle()
    Remote(node, torrent, BIG, rate=4)
    others = [Remote(node, torrent, BIG, pieces=[]) for _ in range(3)]
    for second in range(30):
        for number, other in enumerate(others):
            other.talk.have((second * 7 + number * 13) % 40)
            other.send()
        run(clock, node, 1, lambda: check(node))
    assert len(here(torrent)) == 10
    assert fetched(torrent) == 10
    read_all(node, clock, torrent, BIG, range(40))
    assert fetched(torrent) <= 41, "each piece once"
    assert home.used <= 12 * PIECE, "some are not recorded yet"
    read_all(node, clock, torrent, BIG, [3, 30, 4, 31, 5])
    run(clock, node, 20, lambda: check(node))
    before = fetched(torrent)
    run(clock, node, 20)
    assert fetched(torrent) == before
    assert home.used <= 10 * PIECE
    assert isinstance(torrent.stage, Live)


@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_cache_of_very_few_pieces_is_enough_to_read_through(tmp_path: Path, room: int) -> None:
    """What the reader waits for comes before everything."""
    node = Node(clock := Clock())
    torrent = node.add(ONE, home := CacheStorage(tmp_path, room * PIECE), want=None)
    node.settle()
    Remote(node, torrent, ONE, rate=2)
    read_all(node, clock, torrent, ONE, [*range(6), 2, 0])
    assert home.used <= (room + 1) * PIECE, "one is not recorded yet"
    assert fetched(torrent) <= 8 + room


def test_what_a_reader_left_behind_gives_its_room_back(tmp_path: Path) -> None:
    """Blocks of pieces that nobody goes on with would fill the cache in the end: none that is begun is given up."""
    node = Node(clock := Clock())
    torrent = node.add(BIG, home := CacheStorage(tmp_path, 4 * PIECE), want=None)
    node.settle()
    slow = Remote(node, torrent, BIG, rate=1)
    for piece in range(0, 40, 4):
        with node.engine.turn:
            read_ahead(node.engine, torrent, "reader", range(piece, piece + 1), piece)
        node.settle()
        run(clock, node, 1)
        slow.asked.clear()
        with node.engine.turn:
            asking.take_back_all(node.engine, slow.peer)
            read_ahead(node.engine, torrent, "reader", range(0), -1)
        run(clock, node, 8, lambda: check(node))
    assert home.used <= 4 * PIECE
    assert len(torrent.holding.written) <= 4
    slow.leave()
    Remote(node, torrent, BIG)
    read_all(node, clock, torrent, BIG, range(40))
    assert fetched(torrent) <= 50


def test_everybody_hears_of_what_was_given_up() -> None:
    """Peers by BEP 54, subscribers, who waits for completeness; and it is fetched again, once."""
    node, clock, torrent, storage = complete()
    [seed] = [end for end in node.ends if isinstance(end, Remote)]
    seed.leave()
    asker = Remote(node, torrent, ONE, pieces=[])
    node.settle()
    storage.give_up(1, 4)
    assert here(torrent) == list(range(6)), "nothing happens in the storage's thread"
    node.settle()
    assert here(torrent) == [0, 2, 3, 5]
    changes = [event for event in node.told() if isinstance(event, events.PieceChanged)]
    assert [(event.piece, event.complete) for event in changes] == [(1, False), (4, False)]
    assert not torrent.signals.said_complete
    assert not torrent.signals.complete.is_set
    assert asker.said(DontHave) == 2
    Remote(node, torrent, ONE)
    run(clock, node, 3, lambda: check(node))
    assert here(torrent) == list(range(6))
    assert fetched(torrent) == 8
    assert torrent.signals.said_complete


def test_pieces_that_go_in_great_numbers_go_in_few_turns() -> None:
    """A thousand pieces are one turn; with very many peers some more."""
    content = sample(pieces=1000, blocks=1, seed=5)
    node, clock, torrent, storage = complete(content)
    with node.engine.turn:
        choose_pieces(node.engine, torrent, range(1000), Priority.NONE)
    node.want(torrent, [Priority.NONE])
    node.settle()
    before = node.turn.taken
    storage.give_up(*range(1000))
    node.settle()
    assert node.turn.taken - before < 20
    assert not torrent.pieces.complete.any()
    run(clock, node, 2, lambda: check(node))
    assert fetched(torrent) == 500


def test_a_note_that_comes_before_the_torrent_has_begun_is_heeded_when_it_has() -> None:
    """What was complete when the storage was asked may be gone when the answer comes."""
    content = ONE

    class Early(Fickle):
        def open(self, info: Layout, info_hash: InfoHash) -> MemoryTorrent:
            torrent = super().open(info, info_hash)
            for piece in range(6):
                torrent.writev(piece, 0, [content.of_piece(piece)])
            torrent.record(range(6))
            return torrent

    node = Node(clock := Clock())
    torrent = node.add(content, home := Early())
    while not node.disk.waiting:
        assert node.step()
    assert node.disk.run_one()
    home.torrent.give_up(2)
    node.settle()
    assert here(torrent) == [0, 1, 3, 4, 5]
    Remote(node, torrent, content)
    run(clock, node, 3, lambda: check(node))
    assert here(torrent) == list(range(6))


def test_an_old_note_about_what_was_fetched_again_takes_nothing_away() -> None:
    """It is verified and being recorded: the storage is asked, once it is, and has it."""
    node, clock, torrent, storage = complete()
    node.record.held = True
    storage.give_up(3)
    until(clock, node, partial(is_here, torrent, 3))
    storage.tell([3])
    for _ in range(20):
        node.step()
    assert torrent.pieces.complete[3]
    node.record.held = False
    run(clock, node, 3, lambda: check(node))
    assert here(torrent) == list(range(6))
    assert fetched(torrent) == 7


def test_what_goes_while_it_is_being_recorded_is_lost_afterwards() -> None:
    """Its file was removed, say: the record came to nothing, and the engine does not go on believing it."""
    node, clock, torrent, storage = complete()
    node.record.held = True
    storage.give_up(3)
    until(clock, node, partial(is_here, torrent, 3))
    before = fetched(torrent)
    record = storage.record

    def to_nothing(complete: Sequence[int], incomplete: Sequence[int] = ()) -> None:
        del storage.record  # the class's own again
        assert list(complete) == [3]
        storage._pieces.pop(3)
        storage.tell([3])

    storage.record = to_nothing  # type: ignore[method-assign]  # as a cache whose file has gone
    assert record is not None
    node.record.held = False
    until(clock, node, lambda: fetched(torrent) > before)
    run(clock, node, 3, lambda: check(node))
    assert here(torrent) == list(range(6))
    assert on_disk(storage, ONE) == ONE.content


def test_a_note_about_a_torrent_that_ends_does_nothing() -> None:
    """Neither while it closes nor after it."""
    node, _, torrent, storage = complete()
    node.drop(torrent)
    storage.give_up(3)
    node.settle()
    storage.tell([4])
    node.settle()
    assert not isinstance(torrent.stage, Failed)


def test_the_storage_learns_what_is_wanted_and_fits(tmp_path: Path) -> None:
    """All torrents of the client in that space at once; none of one that shares no space."""
    node, _, _, storage = complete()
    assert storage.wanted() == {}
    node = Node(Clock())
    home = CacheStorage(tmp_path, 6 * PIECE)
    one, other = node.add(ONE, home, want=None), node.add(OTHER, home, want=None)
    node.settle()
    with node.engine.turn:
        read_ahead(node.engine, other, "reader", range(4, 6), 4)
        choose_pieces(node.engine, one, range(1, 6), Priority.NORMAL)
    node.settle()
    [shared] = node.engine.limits.orders.values()
    assert {name: bits.to01() for name, bits in shared.wanted().items()} == {
        one.info_hash: "011110",
        other.info_hash: "000011",
    }


def test_a_reader_that_finds_a_piece_gone_and_back_again_reads_it() -> None:
    """Between its look and its read the piece was given up, between its failure and the question it came back."""
    node, _, torrent, storage = complete()
    found = wait_for(node, torrent, 3 * PIECE, 100, responsive=False)
    data = storage._pieces.pop(3)
    with pytest.raises(StorageFailed):
        read_found(node, torrent, found, 3 * PIECE, memoryview(bytearray(100)))
    storage._pieces[3] = data
    assert not still_there(node, torrent, 3)
    room = bytearray(100)
    assert read_found(node, torrent, found, 3 * PIECE, memoryview(room)) == 100
    assert room == ONE.of_piece(3)[:100]
