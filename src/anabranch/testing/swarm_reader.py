"""A player in a simulated swarm: it reads at a given rate, and wants what comes next as the engine's readers do."""

from __future__ import annotations

from anabranch.engine import Event, events, wanting

from .swarm_content import SharedTorrent, SimulatedContent
from .swarm_node import SimulatedNode
from .swarm_report import ReaderReport

_STEP = 16 * 1024  # bytes of one read


class SimulatedReader:
    """Reads the torrent from its beginning to its end.

    Args:
        node: Whose engine fetches.
        content: The torrent.
        rate: Bytes per second that it uses up.
        ahead: Bytes that it wants to be fetched before it needs them.
        buffered: Bytes that must be there before it begins to play.
        began: When the swarm began.
    """

    def __init__(
        self, node: SimulatedNode, content: SimulatedContent, rate: float, ahead: int, buffered: int, began: float
    ) -> None:
        self._node = node
        self._content = content
        self._rate = rate
        self._ahead = ahead
        self._buffered = buffered
        self._began = began
        self._timeline = node.line.timeline
        self._position = 0
        self._opened_at = self._timeline.now
        self._first_at: float | None = None
        self._waits_since: float | None = self._opened_at  # None: it plays
        self._ended_at: float | None = None
        self._stalls: list[float] = []
        self._right = True
        self._tell()
        self._timeline.after(0, self._look)

    @property
    def ended(self) -> bool:
        """Whether it has read everything."""
        return self._ended_at is not None

    def hear(self, event: Event) -> None:
        """Something happened at its node."""
        if isinstance(event, events.PieceChanged) and event.complete and self._waits_since is not None:
            self._timeline.after(0, self._look)

    def report(self) -> ReaderReport:
        """What it met so far."""
        return ReaderReport(
            begun=self._opened_at - self._began,
            start_delay=None if self._first_at is None else self._first_at - self._opened_at,
            stalls=tuple(self._stalls),
            read=self._position,
            right=self._right,
            ended=None if self._ended_at is None else self._ended_at - self._began,
        )

    def _look(self) -> None:
        """Something came while it waited."""
        now = self._timeline.now
        wanted = self._buffered if self._first_at is None else _STEP
        if self._waits_since is None or not self._has(wanted):
            return
        if self._first_at is None:
            self._first_at = now
        elif now > self._waits_since:
            self._stalls.append(now - self._waits_since)
        self._waits_since = None
        self._play()

    def _play(self) -> None:
        total = self._content.metainfo.info.geometry.total
        if not self._has(_STEP):
            self._waits_since = self._timeline.now
            return
        length = min(_STEP, total - self._position)
        storage = self._node.torrent.opened()
        if isinstance(storage, SharedTorrent):
            room = bytearray(length)
            storage.read_warm(self._position, room)
            self._right &= room == self._content.data[self._position : self._position + length]
        self._position += length
        self._tell()
        if self._position == total:
            self._ended_at = self._timeline.now
        else:
            self._timeline.after(length / self._rate, self._play)

    def _has(self, length: int) -> bool:
        geometry, complete = self._content.metainfo.info.geometry, self._node.torrent.pieces.complete
        length = min(length, geometry.total - self._position)
        return all(complete[piece] for piece in geometry.pieces_of(self._position, length))

    def _tell(self) -> None:
        """As Reader does: the pieces it wants soon, and the one it waits for."""
        node, geometry = self._node, self._content.metainfo.info.geometry
        left = geometry.total - self._position
        window = geometry.pieces_of(self._position, min(self._ahead, left)) if left else range(0)
        with node.engine.turn:
            wanting.read_ahead(node.engine, node.torrent, self, window, window.start if window else -1)
