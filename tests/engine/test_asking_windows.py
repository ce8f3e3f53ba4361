"""The request window with the whole engine around it: what it holds while data flow, whatever else happens."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from anabranch.engine.asking import ask, ask_everybody
from anabranch.engine.wanting import choose_pieces, read_ahead
from anabranch.model import BLOCK_SIZE, Priority
from engine.clocks import Clock
from engine.lines import STEP, Line, flow
from engine.rig import Node
from engine.samples import sample

SPEED = 200.0  # blocks a second
LATENCY = 0.1  # seconds
STEADY = SPEED * LATENCY  # blocks: what must be asked for at any time so that the line is never empty


def measured(extra: float, seconds: float = 12.0, seed: int = 0) -> tuple[float, int, int]:
    """A download from one peer, with *extra* looks a second at what to ask.

    Returns:
        Blocks a second, the least that was outstanding and the steps in which the peer was idle, all after 4 seconds.
    """
    content = sample(pieces=700, blocks=8)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    line = Line(node, torrent, content, speed=SPEED, latency=LATENCY, pieces=range(600))
    draw = Random(seed)
    least = 1 << 30
    due = 0.0

    def look() -> None:
        match draw.randrange(4):
            case 0:
                line.talk.have(draw.randrange(600, 700))
            case 1:
                with node.engine.turn:
                    first = draw.randrange(600)
                    choose_pieces(node.engine, torrent, range(first, first + 5), draw.choice(list(Priority)[1:3]))
            case 2:
                node.loop.run(ask, node.engine, line.peer, clock())
            case _:
                node.loop.run(ask_everybody, node.engine, torrent, clock())

    def each() -> None:
        nonlocal least, due
        due += extra * STEP
        while due >= 1:
            due -= 1
            look()
        least = min(least, line.peer.talk.outstanding)

    flow(clock, node, [line], 4, each=each)
    least, line.idle, before = 1 << 30, 0, line.sent
    flow(clock, node, [line], seconds - 4, each=each)
    assert not torrent.pieces.is_seed
    return (line.sent - before) / (seconds - 4), least, line.idle


def test_with_a_tenth_of_a_second_of_latency_the_peer_is_never_idle() -> None:
    """W23: the window is refilled before the line drains."""
    rate, least, idle = measured(0)
    assert idle == 0
    assert least >= STEADY
    assert rate >= 0.99 * SPEED


@pytest.mark.parametrize("extra", [1 / 3, 10.0, 50.0])
def test_looks_in_vain_change_nothing(extra: float) -> None:
    """W21, W22: words, changes of priority and wakes. The Go engine fell to a fortieth of its rate."""
    plain, least_plain, _ = measured(0)
    rate, least, idle = measured(extra)
    assert rate >= 0.95 * plain
    assert least >= least_plain / 2
    assert idle == 0


def test_a_short_rest_of_the_swarm_is_not_held_against_a_peer() -> None:
    """A peer that had nothing to give for ten seconds is asked for as much as before at once."""
    content = sample(pieces=100, blocks=8)
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    line = Line(node, torrent, content, speed=SPEED, latency=LATENCY, pieces=range(50))
    flow(clock, node, [line], 60, done=lambda: torrent.pieces.complete_count == 50)
    before = line.peer.window.size(500)
    flow(clock, node, [line], 10)
    for piece in range(50, 100):
        line.talk.have(piece)
    line.send()
    flow(clock, node, [line], 4 * LATENCY)
    assert line.peer.window.size(500) >= 0.9 * before
    flow(clock, node, [line], 60, done=lambda: torrent.signals.complete.is_set)
    assert torrent.signals.complete.is_set


@pytest.mark.parametrize("want", ["all", "reader"])
def test_pieces_without_a_source_keep_nothing_from_coming(want: str) -> None:
    """W25: 32 wanted pieces that nobody has, four times what memory holds, beside 32 that somebody has."""
    content = sample(pieces=64, blocks=32)
    node = Node(clock := Clock(), pool=4 << 20)
    torrent = node.add(content)
    node.settle()
    if want == "reader":
        with node.engine.turn:
            read_ahead(node.engine, torrent, "reader", range(64), 0)
    node.settle()
    line = Line(node, torrent, content, speed=250, pieces=range(32, 64))
    done: Callable[[], bool] = lambda: torrent.pieces.complete_count == 32  # noqa: E731 - a condition, used once
    seconds = flow(clock, node, [line], 60, done=done)
    assert seconds < 32 * 32 / 250 * 1.2 + 1
    assert set(torrent.pieces.complete.search(1)) == set(range(32, 64))
    assert torrent.totals.downloaded == 32 * 32 * BLOCK_SIZE
