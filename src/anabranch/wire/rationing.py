"""How much of the metadata one peer is given: a request of 50 bytes brings 16 KiB, and nothing ends it by itself.

Source: BEP 9, which lets a client reject requests once it has served a few times as many as there are pieces. A peer
needs the whole once; one that asks again and again, or does not read what it asked for, is told no.
"""

from __future__ import annotations

from .metadata import METADATA_PIECE, metadata_pieces

TIMES = 3  # how often a peer may have the whole: at once, and again in each PERIOD
PERIOD = 60.0  # seconds
MAX_QUEUED = 64 * METADATA_PIECE  # bytes that wait for a peer to read; some ask for all pieces at once


class MetadataRation:
    """What one peer may still have.

    Args:
        size: Length of the info dictionary in bytes.
        now: The time.
    """

    __slots__ = ("_left", "_most", "_since")

    def __init__(self, size: int, now: float) -> None:
        self._most = self._left = float(TIMES * metadata_pieces(size))
        self._since = now

    def grant(self, queued: int, now: float) -> bool:
        """Whether to answer a request for a piece with the piece; if not, reject it.

        Args:
            queued: Bytes of messages, other than blocks, that this peer has not read yet.
            now: The time.
        """
        self._left = min(self._most, self._left + (now - self._since) * self._most / PERIOD)
        self._since = now
        if self._left < 1 or queued + METADATA_PIECE > MAX_QUEUED:
            return False
        self._left -= 1
        return True
