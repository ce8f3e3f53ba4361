"""What readers cost the others: turns, and priorities worked out. In virtual time, where both can be counted."""

from __future__ import annotations

import gc
from random import Random

import pytest

from anabranch.engine import Runner, TorrentState
from anabranch.model import BLOCK_SIZE, Closed, Priority, StorageFailed
from anabranch.storage import Completion
from anabranch.streaming import Reader
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import Faults, Held, PlainStorage, modern, sample

CONTENT = sample(pieces=20, blocks=2, files=(150_000, 200_001, 305_359))
PIECE = CONTENT.geometry.piece_length
assert CONTENT.geometry.total == 655_360


def reader_of(node: Runner, torrent: TorrentState, *, passive: bool = False) -> Reader:
    return Reader(node, torrent, 0, torrent.pieces.geometry.total, passive=passive)


def seeded(node: Node) -> TorrentState:
    torrent = node.add(CONTENT, Held(CONTENT), want=None)
    node.settle()
    return torrent


@pytest.mark.parametrize("passive", [True, False])
def test_what_is_complete_is_read_without_a_turn(passive: bool) -> None:
    """Nor does opening, seeking and closing take one: the engine does not feel who reads finished files."""
    node = Node(Clock())
    torrent = seeded(node)
    taken = node.turn.taken
    for _ in range(100):
        reader = reader_of(node, torrent, passive=passive)
        reader.seek(3 * PIECE + 7)
        assert reader.read(2 * PIECE) == CONTENT.content[3 * PIECE + 7 :][: 2 * PIECE]
        reader.seek(0)
        assert reader.read() == CONTENT.content
        reader.close()
    assert node.turn.taken == taken
    assert not node.loop.calls


def test_a_thousand_seeks_are_one_change_of_priorities() -> None:
    """W39: a seek fetches nothing and takes no turn; the last one counts, at the next turn; nothing is left behind."""
    node = Node(Clock())
    torrent = seeded(node)
    with reader_of(node, torrent) as reader:
        reader.readahead = 3 * PIECE
        draw, taken = Random(1), node.turn.taken
        for _ in range(1000):
            reader.seek(draw.randrange(CONTENT.geometry.total - 10))
            reader.read(1)
        reader.seek(15 * PIECE)
        reader.read(1)
        assert node.turn.taken == taken
        with node.turn:
            wishes = {piece: worth for piece, worth in enumerate(torrent.pieces.worth) if worth}
            assert wishes == {15: Priority.NOW, 16: 3, 17: 3, 18: 3}
        reader.seek(3)
        with node.turn:
            assert not any(torrent.pieces.worth)


def test_a_read_after_a_seek_asks_for_its_piece_at_once() -> None:
    """W39: in the very turn in which it begins to wait, however much was sought before. Then peers are asked."""
    node = Node(Clock())
    torrent = node.add(CONTENT, want=None)
    node.settle()
    Remote(node, torrent, CONTENT)
    node.settle()
    reader = reader_of(node, torrent)
    for piece in (*range(20), 7):
        reader.seek(piece * PIECE)
    node.settle()
    assert torrent.totals.downloaded == 0
    found = reader._find(10)
    assert found.signal is not None
    assert torrent.pieces.worth[7] == Priority.NOW
    node.settle()
    assert reader.read(10) == CONTENT.content[7 * PIECE :][:10]
    assert torrent.totals.downloaded == PIECE


def test_what_is_read_on_is_fetched_ahead_though_the_reader_takes_no_turn() -> None:
    """All that it reads is there; what its window comes to is not, and is asked for before it waits for that."""
    node = Node(Clock())
    torrent = node.add(CONTENT, Held(CONTENT, range(5)), want=None)
    node.settle()
    Remote(node, torrent, CONTENT)
    node.settle()
    reader, taken = reader_of(node, torrent), node.turn.taken
    assert reader.read(3 * PIECE) == CONTENT.content[: 3 * PIECE]
    assert node.turn.taken == taken
    node.settle()
    assert list(torrent.pieces.complete.search(1)) == [0, 1, 2, 3, 4, 5]
    reader.close()


def test_a_forgotten_reader_leaves_a_note_and_takes_no_turn() -> None:
    """The next turn, whoever takes it, forgets its wishes."""
    node = Node(Clock())
    torrent = seeded(node)
    reader = reader_of(node, torrent)
    reader.read(2 * PIECE)
    with node.turn:
        assert torrent.worth.readers
    taken = node.turn.taken
    del reader
    gc.collect()
    assert node.turn.taken == taken
    with node.turn:
        assert not torrent.worth.readers
        assert not any(torrent.pieces.worth)


def scheduler(torrent: TorrentState) -> tuple[object, ...]:
    """All that decides what is fetched."""
    table = torrent.pieces
    return bytes(table.worth), list(table.order.scan()), dict(table.begun), dict(torrent.worth.readers), len(table.busy)


def test_a_passive_reader_leaves_the_scheduler_as_it_is() -> None:
    """W38: open, read, seek, wait and close; it ends with its file, and where that begins is no matter."""
    node = Node(Clock())
    torrent = node.add(CONTENT, Held(CONTENT, range(8)), want=None)
    node.settle()
    Remote(node, torrent, CONTENT)
    node.settle()
    file = CONTENT.metainfo.info.files[1]
    before = scheduler(torrent)
    reader = Reader(node, torrent, file.offset, file.length, passive=True)
    assert scheduler(torrent) == before
    reader.readahead = 10 * PIECE
    assert reader.read(1000) == CONTENT.content[file.offset :][:1000]
    assert scheduler(torrent) == before
    reader.seek(9 * PIECE - file.offset)
    found = reader._find(100)  # waits for what nobody fetches
    node.settle()
    assert found.signal is not None
    assert not found.signal.is_set
    assert scheduler(torrent) == before
    reader.seek(5)
    reader.close()
    node.settle()
    assert scheduler(torrent) == before
    assert torrent.totals.downloaded == 0


def test_a_reader_never_passes_its_file_s_end() -> None:
    """W38: a read that asks for more gives what is left, then nothing; though the piece goes on."""
    node = Node(Clock())
    torrent = seeded(node)
    for file in CONTENT.metainfo.info.files:
        with Reader(node, torrent, file.offset, file.length, passive=True) as reader:
            reader.seek(file.length - 3)
            assert reader.read(PIECE) == CONTENT.content[file.offset + file.length - 3 :][:3]
            assert reader.read(PIECE) == b""


def test_a_passive_reader_of_the_second_file_bears_a_failing_disk() -> None:
    """W38: it learns why; nothing else changes, and when the disk is well again it reads on."""
    faults = Faults()
    home = PlainStorage(faults)
    home.hold(CONTENT, range(20), Completion.COMPLETE)
    node = Node(Clock())
    torrent = node.add(CONTENT, home, want=None)
    node.settle()
    file = CONTENT.metainfo.info.files[1]
    before = scheduler(torrent)
    with Reader(node, torrent, file.offset, file.length, passive=True) as reader:
        faults.always.add("read")
        with pytest.raises(StorageFailed, match="No space left"):
            reader.read(10)
        assert reader.tell() == 0
        faults.forgive()
        assert reader.read(10) == CONTENT.content[file.offset :][:10]
    assert scheduler(torrent) == before


def test_a_gap_between_files_of_v2_reads_as_zeros() -> None:
    """Each file begins with a piece of its own, and nothing is stored between."""
    content = modern("v2", (PIECE + 5, 40_000))
    node = Node(Clock())
    torrent = node.add(content, Held(content), want=None)
    node.settle()
    taken = node.turn.taken
    with reader_of(node, torrent, passive=True) as reader:
        whole = reader.read()
    second = content.metainfo.info.files[1]
    assert len(whole) == content.geometry.total
    assert not any(whole[PIECE + 5 : second.offset])
    with Reader(node, torrent, second.offset, second.length, passive=True) as reader:
        assert reader.read() == whole[second.offset :]
    assert node.turn.taken == taken


def test_a_reader_of_a_dropped_torrent_is_told_so_without_a_turn() -> None:
    """Also where all of it was there a moment ago; closing it then does no harm."""
    node = Node(Clock())
    torrent = seeded(node)
    reader = reader_of(node, torrent)
    assert reader.read(1) == CONTENT.content[:1]
    node.drop(torrent)
    taken = node.turn.taken
    with pytest.raises(Closed):
        reader.read(1)
    assert node.turn.taken == taken
    node.settle()
    with pytest.raises(Closed):
        reader.read(1)
    reader.close()
    node.settle()
    assert torrent not in node.engine.due.lively


def test_a_wait_that_was_answered_is_not_taken_back_with_a_turn() -> None:
    """Whoever answers has taken the reader out already."""
    node = Node(Clock())
    torrent = node.add(CONTENT, want=None)
    node.settle()
    Remote(node, torrent, CONTENT)
    node.settle()
    reader = reader_of(node, torrent)
    found = reader._find(BLOCK_SIZE)
    node.settle()
    assert found.signal is not None
    assert found.signal.is_set
    taken = node.turn.taken
    assert reader.read(10) == CONTENT.content[:10]
    assert node.turn.taken == taken
