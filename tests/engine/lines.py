"""Peers at the end of a line that has a rate and a latency, and time that passes in small steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from anabranch.engine.state import TorrentState
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import Sample

STEP = 0.02  # seconds


class Line(Remote):
    """A peer that sends *speed* blocks a second, each of which takes *latency* seconds from the request to us."""

    def __init__(
        self, node: Node, torrent: TorrentState, content: Sample, *, speed: float, latency: float = 0.0, **more: Any
    ) -> None:
        self.speed = speed
        self.latency = latency
        self.idle = 0  # steps in which it could have sent more than it was asked for
        self._credit = 0.0
        self._under_way: deque[tuple[float, bytes]] = deque()
        super().__init__(node, torrent, content, rate=0, **more)

    def send(self) -> None:
        now = self._node.engine.clock()
        while data := b"".join(self.talk.outgoing(1 << 20)):
            self.talk.sent(len(data), now)
            self._under_way.append((now + self.latency, data))

    def pass_time(self) -> None:
        """One step has passed."""
        if self.link.closed:
            return
        self._credit = min(self._credit + self.speed * STEP, self.speed * STEP + 1)
        blocks = int(self._credit)
        self._credit -= blocks
        self.idle += blocks > len(self.asked)
        self.serve(blocks)
        self.send()
        while self._under_way and self._under_way[0][0] <= self._node.engine.clock() + 1e-9:
            self.link.inbox += self._under_way.popleft()[1]


def flow(
    clock: Clock,
    node: Node,
    lines: Sequence[Line],
    seconds: float,
    *,
    each: Callable[[], object] = lambda: None,
    done: Callable[[], bool] = lambda: False,
) -> float:
    """Let time pass until something is true; *each* is called after every step. Answers the seconds that took."""
    start = clock.now
    for step in range(1, round(seconds / STEP) + 1):
        clock.now = start + step * STEP
        for line in lines:
            line.pass_time()
        if step % 5 == 0:
            node.begin_tenth()
        node.settle()
        if step % 50 == 0:
            node.tick()
            node.settle()
        each()
        if done():
            break
    return clock.now - start
