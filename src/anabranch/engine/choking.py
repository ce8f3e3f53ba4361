"""Who may download from us: tit for tat with an optimistic unchoke (BEP 3).

Every 10 seconds the slots go to the interested peers that serve us best. While seeding, most go to those that we reach
fastest, and some by turns to whoever waited longest, so that everybody gets something in bounded time and may show how
fast it is. One more slot is optimistic, falls on each alike and changes hands every 30 seconds. As long as there are
slots for all, an interested peer waits for nothing.

Who has no slot but serves us is served as much, and a little more (credit): then nobody who gives goes away with
nothing. Who took far more than there is (throttling.py) gets no slot while others want it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

SLOTS = 16  # regular slots of a torrent
TURNS = 4  # of them, while seeding, go by turns
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
        waits_since: When it came, or was last unchoked.
        greedy: Whether its address took far more than there is.
        credit: Whether it is served without a slot, for what it gave us.
    """

    peer: Hashable
    interested: bool
    snubbed: bool
    gain: float
    waits_since: float
    greedy: bool = False
    credit: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is unchoked.

    Args:
        slots: Who has a regular slot.
        optimistic: Who has the optimistic one; None for nobody.
        credit: Who is served without a slot.
    """

    slots: frozenset[Hashable]
    optimistic: Hashable | None = None
    credit: frozenset[Hashable] = frozenset()


def choose(
    contenders: Sequence[Contender],
    holder: Hashable | None,
    draw: Callable[[int], int],
    *,
    due: bool = False,
    slots: int = SLOTS,
    turns: int = 0,
) -> Choice:
    """Decide who is unchoked.

    Args:
        contenders: All peers of the torrent.
        holder: Who holds the optimistic slot.
        draw: Gives a random integer in [0, n).
        due: The optimistic slot goes to somebody else, if anybody waits.
        slots: Number of regular slots.
        turns: Number of these that go to whoever waited longest.
    """
    wanting = [contender for contender in contenders if contender.interested]
    if len(wanting) <= slots:
        return Choice(frozenset(contender.peer for contender in wanting))
    ranked = sorted(wanting, key=lambda one: (one.greedy, one.snubbed, -one.gain, one.waits_since))
    best, rest = ranked[: slots - turns], ranked[slots - turns :]
    rest.sort(key=in_line)
    left = rest[turns:]
    chosen = frozenset(contender.peer for contender in best + rest[:turns])
    credit = frozenset(contender.peer for contender in left if contender.credit)
    optimistic = holder
    stays = any(contender.peer == holder for contender in left)
    if due or not stays:
        waiting = [one for one in left if one.peer != holder and not one.credit]
        fair = [one for one in waiting if not one.greedy] or waiting
        if fair:
            optimistic = fair[draw(len(fair))].peer
        elif not stays:
            optimistic = None
    return Choice(chosen, optimistic, credit - {optimistic})


def in_line(contender: Contender) -> tuple[bool, bool, float]:
    """The order of those that wait for a turn."""
    return contender.greedy, contender.snubbed, contender.waits_since
