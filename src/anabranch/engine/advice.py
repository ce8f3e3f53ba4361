"""What a peer has said of single pieces: which it suggests, which it gives while it chokes us, and which it refused.

Source: BEP 6. Hints and no more: what is to be asked is decided by fast.py and asking.py. Bounded, whatever it says.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_SUGGESTED = 32  # pieces; of more, those named last count
MOST_ALLOWED = 64  # pieces; senders of BEP 6 name some ten
MOST_REFUSED = 64  # pieces
REFUSED_FOR = 10.0  # seconds for which others are asked for a piece, and this peer only where it has nothing else
SHORTEST_REST = 0.05  # seconds after a reject; less than it takes to look at idle peers again
LONGEST_REST = 16.0  # seconds after many of them with no block between


@dataclass(slots=True)
class Advice:
    """Of one peer."""

    suggested: dict[int, None] = field(default_factory=dict)
    allowed: dict[int, None] = field(default_factory=dict)
    refused: dict[int, float] = field(default_factory=dict)  # piece -> until when it counts
    refusals: int = 0  # in a row, with no block between

    def suggest(self, piece: int) -> None:
        """The peer says that a piece is easy to serve."""
        self.suggested.pop(piece, None)
        self.suggested[piece] = None
        if len(self.suggested) > MOST_SUGGESTED:
            del self.suggested[next(iter(self.suggested))]

    def allow(self, piece: int) -> None:
        """The peer gives a piece even while it chokes us."""
        if len(self.allowed) < MOST_ALLOWED:
            self.allowed[piece] = None

    def refuse(self, piece: int, now: float) -> None:
        """The peer rejected a request."""
        self.allowed.pop(piece, None)
        self.suggested.pop(piece, None)
        self.refused.pop(piece, None)
        self.refused[piece] = now + REFUSED_FOR
        if len(self.refused) > MOST_REFUSED:
            del self.refused[next(iter(self.refused))]

    def forgive(self, now: float) -> None:
        """Time has passed since the oldest rejects."""
        for piece, until in list(self.refused.items()):
            if until > now:
                return
            del self.refused[piece]

    def rest(self) -> float:
        """One more time of being rejected: how long to leave the peer alone. Doubles until a block comes."""
        self.refusals += 1
        return min(SHORTEST_REST * 2.0 ** min(self.refusals - 1, 20), LONGEST_REST)
