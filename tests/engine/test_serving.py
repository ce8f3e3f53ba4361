"""Giving peers what they asked for."""

from __future__ import annotations

import pytest

from anabranch.engine import events
from anabranch.engine.sending import MOST_BUFFERS, SEND_SIZE, WATERMARK
from anabranch.engine.stage import Failed
from anabranch.engine.wanting import allow_upload
from anabranch.model import BLOCK_SIZE, Closed
from anabranch.storage import ClientStorage, Completion
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import Held, PlainStorage, Sample, sample


def storages(content: Sample) -> dict[str, ClientStorage]:
    cold = PlainStorage()
    cold.hold(content, range(content.geometry.piece_count), Completion.COMPLETE)
    return {"warm": Held(content), "cold": cold}


def leech(node: Node, content: Sample, storage: ClientStorage) -> Remote:
    torrent = node.engine.torrents.get(content.info_hash) or node.add(content, storage)
    node.settle()
    remote = Remote(node, torrent, content, pieces=[])
    remote.talk.interested()
    remote.send()
    node.settle()
    return remote


@pytest.mark.parametrize("kind", ["warm", "cold"])
def test_every_block_is_served_as_it_is(kind: str) -> None:
    """Whole pieces, odd lengths and odd places; from the page cache or by a worker."""
    content = sample(pieces=3, blocks=20, cut=1234)
    node = Node(Clock())
    remote = leech(node, content, storages(content)[kind])
    asked = [(piece, begin, BLOCK_SIZE) for piece in (0, 1) for begin in range(0, 20 * BLOCK_SIZE, BLOCK_SIZE)]
    asked += [(2, 17, 1), (2, 1000, 131072), (2, content.geometry.length_of(2) - 5, 5)]
    for piece, begin, length in asked:
        remote.ask(piece, begin, length)
    node.settle()
    assert remote.answers() == {
        (piece, begin): content.of_piece(piece)[begin : begin + length] for piece, begin, length in asked
    }
    total = sum(length for _, _, length in asked)
    assert remote.peer.torrent.totals.uploaded == remote.peer.flow.up.total == total


def test_a_cold_read_holds_up_only_the_peer_that_waits_for_it() -> None:
    """The other is served from its own."""
    slow_content, quick_content = sample(pieces=2, blocks=2, seed=1), sample(pieces=2, blocks=2, seed=2)
    node = Node(Clock())
    slow = leech(node, slow_content, storages(slow_content)["cold"])
    quick = leech(node, quick_content, storages(quick_content)["warm"])
    node.cold.held = True
    slow.ask(0, 0, 100)
    quick.ask(0, 0, 100)
    node.settle()
    assert not slow.answers()
    assert quick.answers() == {(0, 0): quick_content.content[:100]}
    node.cold.held = False
    node.settle()
    assert slow.answers() == {(0, 0): slow_content.content[:100]}


def test_what_was_cancelled_during_a_cold_read_is_not_sent() -> None:
    """Its memory comes back."""
    content = sample(pieces=2, blocks=2)
    node = Node(Clock())
    remote = leech(node, content, storages(content)["cold"])
    node.cold.held = True
    remote.ask(0, 0, 100)
    node.settle()
    remote.talk.cancel(0, 0, 100)
    remote.send()
    node.settle()
    node.cold.held = False
    node.settle()
    assert remote.peer.flow.up.total == 0
    assert len(node.engine.workshop.sending._idle) == node.engine.workshop.sending._made == 1


def test_who_leaves_during_a_cold_read_leaves_nothing_behind() -> None:
    """The read comes to its end, and its memory back."""
    content = sample(pieces=2, blocks=2)
    node = Node(Clock())
    remote = leech(node, content, storages(content)["cold"])
    node.cold.held = True
    remote.ask(0, 0, 100)
    node.settle()
    remote.leave()
    node.cold.held = False
    node.settle()
    assert len(node.engine.workshop.sending._idle) == 1


def test_a_torrent_that_is_dropped_during_a_cold_read_does_not_fail_over_it() -> None:
    """The storage is closed by then, and nobody waits for the block."""
    content = sample(pieces=2, blocks=2)
    node = Node(Clock())
    remote = leech(node, content, storages(content)["cold"])
    torrent = remote.peer.torrent
    node.cold.held = True
    remote.ask(0, 0, 100)
    node.settle()
    node.drop(torrent)
    node.settle()
    assert torrent.signals.closed.is_set
    failed = node.cold.waiting.popleft().failed
    failed(Closed("the storage is closed"))
    node.settle()
    assert not [event for event in node.told() if isinstance(event, events.Failed)]
    assert len(node.engine.workshop.sending._idle) == 1


def test_little_is_read_ahead_for_a_peer_that_takes_nothing() -> None:
    """W15: half a megabyte, however much it asked for."""
    content = sample(pieces=8, blocks=64)
    node = Node(Clock())
    remote = leech(node, content, Held(content))
    remote.link.blocked = True
    for piece in range(8):
        for begin in range(0, 64 * BLOCK_SIZE, BLOCK_SIZE):
            remote.ask(piece, begin, BLOCK_SIZE)
    node.settle()
    assert remote.peer.talk.pending_payload <= WATERMARK + SEND_SIZE
    assert remote.peer.serving.queue


def test_peers_that_take_nothing_do_not_keep_the_buffers_from_others() -> None:
    """W15: they hold all of them, and another is served all the same."""
    content = sample(pieces=4, blocks=64)
    node = Node(Clock())
    torrents = [sample(pieces=4, blocks=64, seed=seed) for seed in range(4)]
    stuck = [leech(node, torrents[number % 4], Held(torrents[number % 4])) for number in range(48)]
    for remote in stuck:
        remote.link.blocked = True
        for piece in range(4):
            for begin in range(0, 64 * BLOCK_SIZE, BLOCK_SIZE):
                remote.ask(piece, begin, BLOCK_SIZE)
    node.settle()
    assert node.engine.workshop.sending._made == MOST_BUFFERS
    remote = leech(node, sample(pieces=2, blocks=40, seed=9), Held(sample(pieces=2, blocks=40, seed=9)))
    for begin in range(0, 40 * BLOCK_SIZE, BLOCK_SIZE):
        remote.ask(1, begin, BLOCK_SIZE)
    node.settle()
    assert len(remote.answers()) == 40
    for one in stuck:
        one.leave()
    node.settle()
    assert len(node.engine.workshop.sending._idle) == MOST_BUFFERS
    assert content


def test_a_choke_answers_what_is_queued() -> None:
    """BEP 6: with a reject each, once uploading is forbidden."""
    content = sample(pieces=4, blocks=64)
    node = Node(Clock())
    remote = leech(node, content, Held(content))
    remote.link.blocked = True
    for piece in range(4):
        for begin in range(0, 64 * BLOCK_SIZE, BLOCK_SIZE):
            remote.ask(piece, begin, BLOCK_SIZE)
    node.settle()
    with node.engine.turn:
        allow_upload(node.engine, remote.peer.torrent, False)
    node.settle()
    remote.link.blocked = False
    remote.link.flush()
    node.settle()
    answers = remote.answers()
    assert len(answers) == 256
    assert 0 < sum(data is None for data in answers.values()) < 256
    assert all(
        data == content.of_piece(piece)[begin : begin + BLOCK_SIZE]
        for (piece, begin), data in answers.items()
        if data is not None
    )


def test_a_failed_read_stops_the_torrent_and_not_the_peer() -> None:
    """The file was removed behind our back: whoever asked is choked, and the torrent says which file."""
    content = sample(pieces=2, blocks=2)
    home = PlainStorage()
    home.hold(content, range(2), Completion.COMPLETE)
    node = Node(clock := Clock())
    remote = leech(node, content, home)
    home.data.clear()
    remote.ask(0, 0, 100)
    node.settle()
    assert isinstance(remote.peer.torrent.stage, Failed)
    assert remote.answers() == {(0, 0): None}
    assert not remote.link.closed
    run(clock, node, 3)
    assert len(node.engine.workshop.sending._idle) == node.engine.workshop.sending._made
