"""Whose blocks a peer takes over that finds nothing new to be asked for.

Source: the Go engine's comparison. Of those who owe us blocks, who owes most is looked at first, and what it was asked
for last is taken, because that is what it would serve last; a block changes hands where the thief then owes no more
than the owner, or one more if it delivered later. There each owner's number of blocks decides; here the time in which
it will have delivered them does, as far as both rates are known, and as many blocks change hands at once as make both
times equal. Equal rates give the same rule. Who was robbed takes nothing over before it has delivered something, so
that blocks do not go to and fro. Only the decision is here: asking.py cancels and asks.
"""

from __future__ import annotations

from heapq import nlargest
from typing import NamedTuple

from anabranch.model import BLOCK_SIZE

from .state import Peer

MOST_OWNERS = 4  # looked at for one thief
MOST_RUNS = 32  # at the end of an owner's queue
TRIAL = 4  # blocks for a thief that has delivered nothing yet, and only while it owes none
SOON = 0.2  # seconds; what comes within that is on its way, and to cancel it would not keep it from coming
WORTH_IT = 8  # the part of an owner's blocks below which a thief that is not idle leaves them: two that are
# nearly even would pass the odd block to and fro
_SILENT = 1.0  # seconds without the first block, after which an owner is taken for slow


class Taking(NamedTuple):
    """Blocks of one piece that change hands: *length* bytes from *begin*, which the owner owes us now."""

    owner: Peer
    piece: int
    begin: int
    length: int


def share(mine: int, theirs: int, my_pace: float, their_pace: float, *, later: bool) -> int:
    """How many of the owner's blocks a thief takes.

    Args:
        mine: Blocks that the thief owes.
        theirs: Blocks that the owner owes.
        my_pace: Blocks a second that the thief delivers; 0 where it is not known.
        their_pace: The same of the owner.
        later: The thief delivered something later than the owner.
    """
    if not my_pace or not their_pace:
        my_pace = their_pace = 1.0
    elif theirs < SOON * their_pace:
        return 0
    even = (theirs * my_pace - mine * their_pace) / (my_pace + their_pace)
    return max(int(even + 0.5 if later else even), 0)


def takings(thief: Peer, room: int, now: float) -> list[Taking]:
    """What the thief, who has room for that many blocks, takes over. O(peers); the queues are not gone through."""
    mine, my_pace = thief.talk.outstanding, thief.window.pace(now)
    flow = thief.flow
    if flow.snubbed or flow.robbed_at >= flow.last_block or (mine and not my_pace):
        return []
    if not my_pace:
        room = min(room, TRIAL)
    found: list[Taking] = []
    for owner in _owners(thief, my_pace or 1.0, now):
        later = thief.flow.last_block > owner.flow.last_block
        theirs = owner.talk.outstanding
        most = min(room, share(mine, theirs, my_pace, pace(owner, now), later=later))
        if not most or (mine and most * WORTH_IT < theirs):
            continue
        taken = _tail(thief, owner, most, found)
        room -= taken
        mine += taken
        if room <= 0:
            break
    return found


def pace(owner: Peer, now: float) -> float:
    """Blocks a second that one who owes us any is delivering; 0 while that cannot be said."""
    measured = owner.window.pace(now)
    waited = now - owner.flow.asked_at
    if measured or waited < _SILENT:
        return measured
    return 1 / waited


def _owners(thief: Peer, usual: float, now: float) -> list[Peer]:
    """Those who will need longest for what they owe, longest first."""
    owners = [peer for peer in thief.torrent.swarm.peers.values() if peer is not thief and peer.talk.outstanding]
    return nlargest(MOST_OWNERS, owners, key=lambda owner: owner.talk.outstanding / (pace(owner, now) or usual))


def _tail(thief: Peer, owner: Peer, most: int, found: list[Taking]) -> int:
    """Find blocks at the end of the owner's queue that the thief has. Answers how many."""
    left = most
    for piece, begin, length, _ in owner.talk.latest_runs(MOST_RUNS):
        if _may_take(thief, piece):
            blocks = -(-length // BLOCK_SIZE)
            passed = max(blocks - left, 0) * BLOCK_SIZE
            found.append(Taking(owner, piece, begin + passed, length - passed))
            left -= min(blocks, left)
            if not left:
                break
    return most - left


def _may_take(thief: Peer, piece: int) -> bool:
    """Whether the thief is one to be asked for the piece, and no block of it is asked of several (end game)."""
    table = thief.torrent.pieces
    progress = table.begun.get(piece)
    if progress is None or progress.copies or not table.worth[piece]:
        return False
    return (thief.has_all or bool(thief.has[piece])) and piece not in thief.profile.advice.refused
