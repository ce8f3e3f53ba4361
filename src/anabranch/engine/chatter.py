"""How much a peer may say beside blocks before it is heard less: cheap words must not keep us from others' blocks.

A message of five or nine bytes costs us as much as a block of 16 KiB. A peer may say what honest ones say: twice of
each piece that it has it, a burst, a steady trickle, and more in proportion to the blocks that move. Beyond that it has
to wait for its next word. One that does nothing else is not worth its place.
"""

from __future__ import annotations

BURST = 32 * 1024  # bytes: 6,000 of the smallest messages, which cost us 30 ms
RATE = 8 * 1024  # bytes per second: some 900 messages
PER_PAYLOAD = 64  # bytes of blocks that bring the right to one more byte; requests and headers need a twelfth of it
UNKNOWN_PIECES = 16 * 1024  # as many are allowed for while a torrent's own number is not known
_PER_PIECE = 18  # bytes: two haves
_LONGEST = 5.0  # seconds of silence at a time
MOST_SILENCES = 3  # after which a peer with which no block was ever exchanged is sent away


class Chatter:
    """What one peer may still say.

    Attributes:
        silences: How often it was silenced.
    """

    __slots__ = ("_left", "_most", "_since", "silences")

    def __init__(self, pieces: int, now: float) -> None:
        self.silences = 0
        self._most = self._left = float(BURST + _PER_PIECE * pieces)
        self._since = now

    @property
    def overdrawn(self) -> bool:
        """Whether it has said more than it may."""
        return self._left < 0

    def credit(self, size: int) -> None:
        """We have asked for so many bytes."""
        self._left = min(self._left + size, self._most)

    def heard(self, size: int, payload: int, now: float) -> float:
        """Bytes came, or went.

        Args:
            size: Bytes that came beyond those of whole blocks. A block's bytes count here until its last one has come,
                and are then taken back: this is negative where more are taken back than came.
            payload: Bytes of whole blocks that came or went.
            now: The time.

        Returns:
            Seconds in which the peer is not to be heard.
        """
        left = min(self._left + (now - self._since) * RATE + payload / PER_PAYLOAD, self._most)
        self._left = min(left - size, self._most)
        self._since = now
        self.silences += self._left < 0
        return min(max(-self._left / RATE, 0.0), _LONGEST)
