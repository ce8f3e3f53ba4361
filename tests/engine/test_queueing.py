"""What peers ask us for: queued, cancelled, rejected."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.engine.queueing import MOST_SEARCHED, PATIENCE, cancel, drop_queue, enqueue
from anabranch.model import BLOCK_SIZE
from anabranch.wire import CancelRun, RequestRun
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import sample


def serving(node: Node, *, blocks: int = 8, fast: bool = True) -> Remote:
    """A peer that we have unchoked, whose socket takes nothing."""
    content = sample(pieces=4, blocks=blocks)
    torrent = node.seed(content)
    remote = Remote(node, torrent, content, pieces=[], fast=fast)
    remote.talk.interested()
    remote.send()
    node.settle()
    assert not remote.peer.talk.am_choking
    remote.link.blocked = True
    remote.peer.serving.allowed.clear()  # nothing is given while choking
    return remote


def test_what_we_do_not_have_or_do_not_give_is_rejected() -> None:
    """BEP 6: a choked peer's requests, and those for pieces that are not complete."""
    content = sample(pieces=4, blocks=2)
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, pieces=[])
    remote.ask(0, 0, 100)
    node.settle()
    assert remote.answers() == {(0, 0): None}
    remote.talk.interested()
    remote.ask(1, 0, 100)
    node.settle()
    assert remote.answers() == {(0, 0): None, (1, 0): None}


def test_without_the_fast_extension_they_are_passed_over() -> None:
    """There is no message for it."""
    content = sample(pieces=4, blocks=2)
    node = Node(Clock())
    torrent = node.seed(content)
    remote = Remote(node, torrent, content, pieces=[], fast=False)
    remote.ask(0, 0, 100)
    node.settle()
    assert remote.answers() == {}
    assert not remote.peer.serving.queue


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_the_queue_is_what_was_asked_and_not_cancelled(seed: int) -> None:
    """Against a list of single blocks: cancels cut runs in all ways, and each cancelled block is answered."""
    draw = Random(seed)
    node = Node(Clock())
    remote = serving(node)
    peer = remote.peer
    model: list[tuple[int, int]] = []
    for _ in range(draw.randint(1, 15)):
        piece, first = draw.randrange(4), draw.randrange(8)
        count = draw.randint(1, 8 - first)
        run = (piece, first * BLOCK_SIZE, count * BLOCK_SIZE, BLOCK_SIZE)
        blocks = [(piece, (first + place) * BLOCK_SIZE) for place in range(count)]
        with node.engine.turn:
            if draw.random() < 0.6:
                enqueue(node.engine, peer, RequestRun(*run))
                model += blocks
            else:
                cancel(node.engine, peer, CancelRun(*run))
                model = [block for block in model if block not in blocks]
    queued = [
        (run.piece, begin)
        for run in peer.serving.queue
        for begin in range(run.begin, run.begin + run.length, run.block)
    ]
    assert queued == model
    assert peer.serving.blocks == len(model)


def test_who_asks_for_too_much_is_slowed_and_not_dropped() -> None:
    """Nothing more is read from it until half of it is served."""
    node = Node(Clock())
    remote = serving(node)
    with node.engine.turn:
        for _ in range(PATIENCE // 8 + 1):
            enqueue(node.engine, remote.peer, RequestRun(0, 0, 8 * BLOCK_SIZE, BLOCK_SIZE))
    assert remote.link.paused
    remote.link.blocked = False
    remote.link.flush()
    node.settle()
    assert not remote.link.paused
    assert not remote.peer.serving.queue


@pytest.mark.parametrize("how", ["cancel", "choke"])
def test_who_was_slowed_is_heard_again_when_its_requests_are_gone(how: str) -> None:
    """Else it would never be heard again: nothing is sent that could end the pause."""
    node = Node(Clock())
    remote = serving(node)
    with node.engine.turn:
        for _ in range(PATIENCE // 8 + 1):
            enqueue(node.engine, remote.peer, RequestRun(0, 0, 8 * BLOCK_SIZE, BLOCK_SIZE))
        assert remote.link.paused
        if how == "cancel":
            cancel(node.engine, remote.peer, CancelRun(0, 0, 8 * BLOCK_SIZE, BLOCK_SIZE))
        else:
            drop_queue(node.engine, remote.peer)
    assert not remote.link.paused
    assert remote.peer.serving.blocks == 0


def test_a_flood_of_cancels_is_passed_over_until_the_next_second() -> None:
    """Each costs a walk through the queue; serving what was cancelled is an answer, too."""
    clock = Clock()
    node = Node(clock)
    remote = serving(node)
    queue = remote.peer.serving.queue
    missing, queued = CancelRun(3, 0, BLOCK_SIZE, BLOCK_SIZE), CancelRun(0, 0, BLOCK_SIZE, BLOCK_SIZE)
    with node.engine.turn:
        for _ in range(1000):
            enqueue(node.engine, remote.peer, RequestRun(0, 0, BLOCK_SIZE, BLOCK_SIZE))
        waiting = len(queue)
        for _ in range(MOST_SEARCHED // waiting):
            cancel(node.engine, remote.peer, missing)
        cancel(node.engine, remote.peer, queued)
        assert len(remote.peer.serving.queue) == waiting
        clock.now += 1
        cancel(node.engine, remote.peer, queued)
        assert not remote.peer.serving.queue
