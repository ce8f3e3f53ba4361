"""What readers are told: whether bytes are there, and a signal for when they will be."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.engine.reading import move_reader, peek, read_verified, stop_waiting, wait_for
from anabranch.engine.stage import Failed
from anabranch.model import BLOCK_SIZE, Closed, Priority, StorageFailed
from engine.remotes import Remote
from engine.rig import Clock, Node, run, until
from engine.samples import Faults, Held, PlainStorage, sample


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_what_is_there_is_told_up_to_the_first_missing_piece(seed: int) -> None:
    """Never past what was asked for, nor past the end; and the bytes are the right ones."""
    draw = Random(seed)
    content = sample(pieces=7, blocks=1, cut=9_000)
    total = content.geometry.total
    node = Node(Clock())
    have = draw.sample(range(7), draw.randint(0, 7))
    torrent = node.add(content, Held(content, have), want=None)
    node.settle()
    offset = draw.randrange(total)
    wanted = draw.randint(1, total - offset)
    found = wait_for(node, torrent, offset, wanted, False)
    there = 0
    while there < wanted and (offset + there) // BLOCK_SIZE in have:
        there += 1
    assert found.length == there
    assert (found.signal is None) == bool(there)
    if there:
        room = bytearray(there)
        read_verified(torrent, offset, memoryview(room))
        assert room == content.content[offset : offset + there]
    else:
        assert found.piece == offset // BLOCK_SIZE
        stop_waiting(node, torrent, found)
        assert not torrent.signals.of_piece


def test_a_reader_hears_when_its_piece_is_there() -> None:
    """Each of them, and nobody is remembered afterwards."""
    content = sample(pieces=3, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    waiting = [wait_for(node, torrent, 40_000, 10, False) for _ in range(3)]
    Remote(node, torrent, content)
    node.settle()
    for found in waiting:
        assert found.signal is not None
        assert found.signal.is_set
        stop_waiting(node, torrent, found)
    assert not torrent.signals.of_piece
    assert wait_for(node, torrent, 40_000, 10, False).length == 10


def test_a_drop_wakes_readers_with_closed() -> None:
    """And whoever comes later hears it at once."""
    node = Node(Clock())
    torrent = node.add(sample())
    node.settle()
    found = wait_for(node, torrent, 0, 10, False)
    node.drop(torrent)
    node.settle()
    assert found.signal is not None
    with pytest.raises(Closed):
        found.signal.wait(0)
    stop_waiting(node, torrent, found)
    with pytest.raises(Closed):
        wait_for(node, torrent, 0, 10, False)


def test_a_failed_disk_wakes_readers_with_its_error() -> None:
    """They would wait for what nobody asks for; what is there can still be read."""
    content = sample(pieces=4, blocks=2)
    faults = Faults()
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage(faults))
    node.settle()
    remote = Remote(node, torrent, content, rate=2)
    until(clock, node, lambda: torrent.pieces.complete_count == 1, 10)
    there = next(torrent.pieces.complete.search(1))
    missing = next(torrent.pieces.complete.search(0))
    found = wait_for(node, torrent, content.geometry.offset_of(missing), 10, False)
    faults.always.add("write")
    until(clock, node, lambda: isinstance(torrent.stage, Failed), 10)
    assert found.signal is not None
    assert found.signal.is_set
    stop_waiting(node, torrent, found)
    with pytest.raises(StorageFailed, match="No space left"):
        wait_for(node, torrent, content.geometry.offset_of(missing), 10, False)
    assert wait_for(node, torrent, content.geometry.offset_of(there), 10, False).length == 10
    assert not remote.link.closed


def test_a_responsive_reader_gets_blocks_as_they_come() -> None:
    """Before their piece is verified, block by block; what was written out meanwhile has to be verified first."""
    content = sample(pieces=1, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content, PlainStorage())
    node.settle()
    remote = Remote(node, torrent, content, rate=0)
    node.settle()
    found = wait_for(node, torrent, 5, 100_000, True)
    assert found.early is None
    remote.serve(2)
    remote.send()
    node.settle()
    assert found.signal is not None
    assert found.signal.is_set
    assert wait_for(node, torrent, 5, 100_000, False).length == 0
    assert wait_for(node, torrent, 5, 100_000, True).early == content.content[5:BLOCK_SIZE]
    assert wait_for(node, torrent, BLOCK_SIZE, 7, True).early == content.content[BLOCK_SIZE:][:7]
    assert wait_for(node, torrent, 2 * BLOCK_SIZE, 7, True).early is None
    remote.leave()
    run(clock, node, 8)
    assert torrent.holding.written
    with node.engine.turn:
        assert peek(torrent, 0, 5, 10) == b""
        assert peek(torrent, 3, 5, 10) == b""


def test_a_reader_moves_with_the_turn_or_without_it() -> None:
    """A finaliser's note runs within one."""
    content = sample(pieces=4, blocks=1)
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    reader = object()
    move_reader(node, torrent, reader, range(1, 3), 1)
    assert list(torrent.pieces.worth) == [0, Priority.NOW, Priority.READAHEAD, 0]
    node.engine.turn.note(move_reader, node, torrent, reader, range(0), -1)
    with node.engine.turn:
        assert not torrent.worth.readers
    assert not any(torrent.pieces.worth)


def test_a_wait_that_changes_nothing_is_no_wish() -> None:
    """W38: passive readers look and wait, and the scheduler is as it was."""
    content = sample(pieces=4, blocks=1)
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    Remote(node, torrent, content)
    node.settle()
    before = (bytes(torrent.pieces.worth), list(torrent.pieces.order.scan()), dict(torrent.pieces.begun))
    found = wait_for(node, torrent, 20_000, 10, False)
    node.settle()
    stop_waiting(node, torrent, found)
    node.settle()
    assert (bytes(torrent.pieces.worth), list(torrent.pieces.order.scan()), dict(torrent.pieces.begun)) == before
    assert torrent.totals.downloaded == 0


def test_nothing_is_waited_for_where_nothing_is_wanted() -> None:
    """At the end of an extent."""
    node = Node(Clock())
    torrent = node.add(sample())
    node.settle()
    found = wait_for(node, torrent, 0, 0, False)
    assert (found.length, found.signal) == (0, None)
