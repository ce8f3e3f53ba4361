"""What becomes of a torrent's pieces, as a feed that can neither fall behind nor grow.

It is not fed: who reads it is given the difference between what he was told last and what is so now. So each piece
comes once however often it changed meanwhile, nothing is lost, and who does not read costs nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import NamedTuple

from anabranch.engine import (
    PieceState,
    Runner,
    TorrentState,
    Watcher,
    changed_pieces,
    codes_of,
    facts_of,
    has_ended,
    state_in,
    watch_pieces,
)
from anabranch.model import Closed, Misused

LOOK_EVERY = 0.1  # seconds between two looks at all pieces: a look at 350,000 takes a few milliseconds


class PieceChange(NamedTuple):
    """A piece, and the state that it is in now."""

    piece: int
    state: PieceState


class PieceChanges:
    """Changes of a torrent's pieces: `for change in changes`, `async for change in changes`, or changes.get().

    They count from the making of the feed on. It ends when the torrent has let go of everything, or with close().
    Several threads and tasks may read; each change goes to one of them.

    Args:
        runner: The engine.
        torrent: Whose pieces.
    """

    def __init__(self, runner: Runner, torrent: TorrentState) -> None:
        self._runner = runner
        self._torrent = torrent
        self._lock = threading.Lock()  # over what follows; whoever has it may take the turn, never the other way round
        self._changed = Watcher(runner.forbidden)
        self._changes: deque[int] = deque()  # pieces whose state is yet to be told
        self._next_look = 0.0
        self._closed = False
        with runner.turn:
            watch_pieces(runner.engine, torrent, self._changed)
            facts = facts_of(torrent)
        self._codes = codes_of(facts)

    def get(self, timeout: float | None = None) -> PieceChange:
        """The next change.

        Args:
            timeout: Seconds to wait for it; None waits for ever.

        Raises:
            TimeoutError: there was none.
            Closed: there will be none.
            Misused: on the engine's own thread, or holding the turn.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (change := self._look()) is None:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if not self._changed.wait(left):
                raise TimeoutError(f"no change within {timeout} s")
            pause = self._pause()
            if deadline is not None and time.monotonic() + pause > deadline:
                raise TimeoutError(f"no change within {timeout} s")
            time.sleep(pause)
        return change

    def close(self) -> None:
        """Take no more: who reads comes to the end."""
        self._closed = True
        self._changed.set()

    def __iter__(self) -> PieceChanges:
        return self

    def __next__(self) -> PieceChange:
        try:
            return self.get()
        except Closed:
            raise StopIteration from None

    def __aiter__(self) -> PieceChanges:
        return self

    async def __anext__(self) -> PieceChange:
        try:
            while (change := self._look()) is None:
                await self._changed
                await asyncio.sleep(self._pause())
        except Closed:
            raise StopAsyncIteration from None
        return change

    def _pause(self) -> float:
        """Seconds until pieces may be looked at again."""
        return 0.0 if self._closed else max(self._next_look - time.monotonic(), 0.0)

    def _look(self) -> PieceChange | None:
        """The next change; None if there is none. Raises Closed when there will be none."""
        if self._runner.forbidden():
            raise Misused("waiting here would make the engine wait for itself: read in a thread or loop of your own")
        with self._lock:
            if not self._changes and not self._closed and self._changed.is_set and not self._pause():
                self._take()
            if self._changes and not self._closed:
                piece = self._changes.popleft()
                return PieceChange(piece, state_in(self._codes, piece))
            if self._closed:
                raise Closed("there are no changes to come")
            return None

    def _take(self) -> None:
        """Compare what is so now with what was so."""
        self._changed.clear()  # before looking: what changes from here on is seen next time
        with self._runner.turn:
            ended = has_ended(self._torrent)
            facts = facts_of(self._torrent)
        self._next_look = time.monotonic() + LOOK_EVERY
        codes = codes_of(facts)
        self._changes.extend(changed_pieces(self._codes, codes))
        self._codes = codes
        if ended and not self._changes:
            self.close()
        elif ended or self._changes:
            self._changed.set()
