"""Who may download from us: tit for tat with an optimistic unchoke (BEP 3).

Every 10 seconds the slots go to the interested peers that serve us best; while seeding to those that we reach fastest,
and among those that take nothing yet to the one that waited longest, so that all get their turn. One more slot is
optimistic and changes hands every 30 seconds: newcomers show there what they can do. As long as there are slots for
all, an interested peer waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

SLOTS = 16  # regular slots of a torrent
RECHOKE_EVERY = 10.0  # seconds
OPTIMISTIC_EVERY = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Contender:
    """What the choice is made from.

    Args:
        peer: Whoever it is.
        interested: Whether the peer wants anything.
        snubbed: Whether it keeps us waiting for what we asked.
        gain: Bytes it gave us since the slots were last given, or while seeding took from us.
        unchoked_at: When it was last unchoked; minus infinity for never.
    """

    peer: Hashable
    interested: bool
    snubbed: bool
    gain: float
    unchoked_at: float


def choose(
    contenders: Sequence[Contender],
    optimistic: Hashable | None,
    draw: Callable[[int], int],
    slots: int = SLOTS,
) -> tuple[set[Hashable], Hashable | None]:
    """Decide who is unchoked.

    Args:
        contenders: All peers of the torrent.
        optimistic: Who holds the optimistic slot and keeps it; None where it is to be given anew.
        draw: Gives a random integer in [0, n).
        slots: Number of regular slots.

    Returns:
        Everybody to be unchoked, and the holder of the optimistic slot among them (None if there is none).
    """
    wanting = [contender for contender in contenders if contender.interested]
    if len(wanting) <= slots:
        return {contender.peer for contender in wanting}, None
    ranked = sorted(wanting, key=lambda one: (one.snubbed, -one.gain, one.unchoked_at))
    chosen = {contender.peer for contender in ranked[:slots]}
    others = [contender.peer for contender in ranked[slots:]]
    if optimistic is None or optimistic not in others:
        optimistic = others[draw(len(others))]
    return chosen | {optimistic}, optimistic
