"""The info dictionary of a torrent (BEP 9), put together from many peers of whom any but one may lie.

Only the whole can be checked, by its hash. So the pieces are first taken from all peers that claim the same size; when
that fails and several gave something, nobody knows who lied, and from then on each peer of this size is tried by
itself. Each way to get the whole is an *attempt*. Few are under way at once, so that memory is bounded; the others wait
in line, first come first served. An attempt that is not done at the end of its turn gives way to them and goes to the
end of the line, its next turn twice as long: neither silence nor dribble nor any number of invented sizes keeps one
honest peer out. Only the attempt with the most peers need not give way: mostly it is the right one, and large.

It neither reads nor writes messages (metadata.py does), and whether to ban the convicted is the owner's to decide. Nor
does it hash: a whole of 16 MiB takes some 50 ms, so what is to be judged is handed out, and goes on when the verdict is
there.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeAlias

from .metadata import MAX_METADATA, METADATA_PIECE, metadata_pieces

MAX_ASKED = 3  # pieces asked of a peer at once
ANSWER_DUE = 5.0  # seconds; then another may be asked for the piece, and a late answer is taken as well
MAX_REST = 60.0  # seconds; whoever rejects or is late is left alone for 5, 10, 20 ... up to so many
TURN = 15.0  # seconds that an attempt has before it gives way to one that waits; its second turn is twice as long
MAX_ATTEMPTS = 8  # at once
MAX_HELD = 2 * MAX_METADATA  # bytes of all attempts under way, if each gets what it claims

_MAX_DOUBLINGS = 12  # of a turn
_MAX_EVIDENCE = 16  # sizes for which it is remembered who gave what to a whole that was wrong

Peer: TypeAlias = Hashable


class _Name(NamedTuple):
    """What tells attempts apart: the size they believe in; the peer that is tried alone, None where all are asked."""

    size: int
    alone: Peer | None


class _Place(NamedTuple):
    """A place in the line: the turns had so far, and from when on others must give way for this one."""

    turns: int
    patient_until: float


class _Source:
    """A peer that says it has the metadata.

    Attributes:
        size: What it says how long that is.
        asked: The pieces asked of it and not due yet.
        owed: How many answers it may still give, by piece; also late ones, and to attempts that are over.
    """

    __slots__ = ("asked", "owed", "rest", "resting_until", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: set[int] = set()
        self.owed: dict[int, int] = {}
        self.rest = 0.0
        self.resting_until = -math.inf

    def answered(self, piece: int) -> bool:
        """Take an answer off what is owed; False for one that nobody asked for."""
        count = self.owed.pop(piece, 0)
        if count > 1:
            self.owed[piece] = count - 1
        return count > 0

    def disappoint(self, now: float) -> None:
        """It rejected, or was late: leave it alone for a while."""
        self.rest = min(MAX_REST, 2 * self.rest or ANSWER_DUE)
        self.resting_until = now + self.rest


class _Claim:
    """A size, and the peers that say it is so. *spoilt*: a whole that several of them gave was wrong."""

    __slots__ = ("peers", "spoilt")

    def __init__(self) -> None:
        self.peers: dict[Peer, None] = {}
        self.spoilt = False


class _Attempt:
    """One way to get the whole, under way.

    Attributes:
        turn: How many turns this way has had before.
        until: When it must give way.
        got: The pieces that have come, with who gave them.
        asked: Whom a piece was last asked of and when that is overdue, longest asked first.
        due: The pieces to ask for next, among others that have come late or are named twice.
    """

    __slots__ = ("asked", "due", "got", "pieces", "size", "turn", "until")

    def __init__(self, size: int, turn: int, now: float) -> None:
        self.size = size
        self.turn = turn
        self.until = now + TURN * 2 ** min(turn, _MAX_DOUBLINGS)
        self.pieces = metadata_pieces(size)
        self.got: dict[int, tuple[bytes, Peer]] = {}
        self.asked: dict[int, tuple[Peer, float]] = {}
        self.due = deque(range(self.pieces))

    def next_due(self) -> int | None:
        """A piece that has not come and is asked of nobody."""
        while self.due and (self.due[0] in self.got or self.due[0] in self.asked):
            self.due.popleft()
        return self.due[0] if self.due else None

    def whole(self) -> bytes:
        """All pieces in order."""
        return b"".join([self.got[piece][0] for piece in range(self.pieces)])

    def without(self, peer: Peer) -> None:
        """Forget what this peer gave."""
        for piece in [piece for piece, (_, giver) in self.got.items() if giver == peer]:
            del self.got[piece]
            self.due.append(piece)


class Judged(NamedTuple):
    """What came of a doubt: the whole, None where it is wrong; and the digest of each piece."""

    whole: bytes | None
    digests: tuple[bytes, ...]


class Doubt:
    """A whole that is to be judged.

    Args:
        name: Which attempt gave it.
        attempt: That.
        check: Whether these bytes are it.
    """

    __slots__ = ("attempt", "check", "name")

    def __init__(self, name: _Name, attempt: _Attempt, check: Callable[[bytes], bool]) -> None:
        self.name = name
        self.attempt = attempt
        self.check = check

    def judge(self) -> Judged:
        """Hash it. Any thread, without the turn: nobody changes what is to be judged."""
        whole = self.attempt.whole()
        right = self.check(whole)
        return Judged(whole if right else None, tuple(_digest(part) for part in _parts(whole)))


class MetadataFetch:
    """The search for one torrent's info dictionary.

    The owner tells it what peers do, then sends what requests() asks for; again when deadline() is reached. What
    doubts() gives it has judged, and tells judged().

    Args:
        check: Whether these bytes are it: their hash is right. Called once for each whole that was put together, by
            Doubt.judge().

    Attributes:
        result: The right bytes; None until they are found. Then nothing is asked for any more.
        convicted: Peers proven to have sent wrong bytes or two different sizes. They are not asked again.
        wasted: Bytes by peer that it was not asked for, and a byte for each reject of that kind.
    """

    def __init__(self, check: Callable[[bytes], bool]) -> None:
        self.result: bytes | None = None
        self.convicted: set[Peer] = set()
        self.wasted: dict[Peer, int] = {}
        self._check = check
        self._sources: dict[Peer, _Source] = {}
        self._claims: dict[int, _Claim] = {}
        self._waiting: dict[_Name, _Place] = {}  # first in line first
        self._attempts: dict[_Name, _Attempt] = {}
        self._doubts: dict[_Name, Doubt] = {}  # being judged
        self._handed_out: set[_Name] = set()  # of these
        self._evidence: dict[int, list[tuple[Peer, int, bytes]]] = {}  # by size: who gave which piece, its digest

    @property
    def held(self) -> int:
        """Bytes of metadata in memory that are not the result."""
        attempts = [*self._attempts.values(), *(doubt.attempt for doubt in self._doubts.values())]
        return sum(len(payload) for attempt in attempts for payload, _ in attempt.got.values())

    # What peers do.

    def offer(self, peer: Peer, size: int, now: float) -> None:
        """A peer says that it has the metadata, of *size* bytes; it may say so again. Over 16 MiB it is not asked."""
        if self.result is not None or peer in self.convicted or not 0 < size <= MAX_METADATA:
            return
        known = self._sources.get(peer)
        if known is None:
            self._sources[peer] = _Source(size)
            self._claims.setdefault(size, _Claim()).peers[peer] = None
            self._line_up(self._name_for(peer, size))
        elif known.size != size:
            self._convict(peer)
        self._take_turns(now)

    def left(self, peer: Peer) -> None:
        """The peer has gone. What it gave is kept as long as others may complete it."""
        self.wasted.pop(peer, None)
        self._forget(peer)

    def data(self, peer: Peer, piece: int, total_size: int, payload: bytes, now: float) -> None:
        """A peer sent a piece, and with it what it says the size is."""
        source = self._answering(peer, piece, len(payload))
        if source is None:
            return
        if total_size != source.size or len(payload) != min(METADATA_PIECE, total_size - piece * METADATA_PIECE):
            self._convict(peer)
        else:
            source.rest = 0.0
            source.resting_until = -math.inf
            name = self._name_for(peer, source.size)
            attempt = self._attempts.get(name)
            if attempt is not None and piece not in attempt.got:
                self._free(attempt, piece)
                attempt.got[piece] = (payload, peer)
                if len(attempt.got) == attempt.pieces:
                    self._doubts[name] = Doubt(name, self._end(name), self._check)
        self._take_turns(now)

    def rejected(self, peer: Peer, piece: int, now: float) -> None:
        """A peer will not give a piece."""
        source = self._answering(peer, piece, 1)
        if source is None:
            return
        source.disappoint(now)
        if piece in source.asked:
            attempt = self._attempts[self._name_for(peer, source.size)]
            self._free(attempt, piece)
            attempt.due.append(piece)

    def judged(self, doubt: Doubt, judged: Judged, now: float) -> None:
        """The verdict is there: it is right, one peer lied, or somebody did."""
        if self._doubts.pop(doubt.name, None) is not doubt:
            return  # another was right meanwhile
        self._handed_out.discard(doubt.name)
        if judged.whole is not None:
            self._found(judged.whole, judged.digests)
        else:
            self._wrong(doubt, judged.digests)
        self._take_turns(now)

    # What we do.

    def doubts(self) -> list[Doubt]:
        """What is to be judged now. Each is given once."""
        fresh = [doubt for name, doubt in self._doubts.items() if name not in self._handed_out]
        self._handed_out.update(doubt.name for doubt in fresh)
        return fresh

    def requests(self, now: float) -> list[tuple[Peer, int]]:
        """What to ask for now: peer and piece. It counts as asked."""
        self.tick(now)
        wanted: list[tuple[Peer, int]] = []
        for name, attempt in self._attempts.items():
            for peer in self._peers_of(name):
                source = self._sources[peer]
                while len(source.asked) < MAX_ASKED and source.resting_until <= now:
                    piece = attempt.next_due()
                    if piece is None:
                        break
                    attempt.due.popleft()
                    attempt.asked[piece] = (peer, now + ANSWER_DUE)
                    source.asked.add(piece)
                    source.owed[piece] = source.owed.get(piece, 0) + 1
                    wanted.append((peer, piece))
        return wanted

    def deadline(self) -> float:
        """When requests() is next due, if nothing comes before."""
        soonest = math.inf
        leader = self._leader()
        place = next(iter(self._waiting.values()), None)
        for name, attempt in self._attempts.items():
            for _, overdue_at in attempt.asked.values():
                soonest = min(soonest, overdue_at)
                break  # the others were asked later
            if place is not None and name != leader:
                soonest = min(soonest, max(place.patient_until, self._over_at(name)))
            if attempt.next_due() is not None:
                for peer in self._peers_of(name):
                    if len(self._sources[peer].asked) < MAX_ASKED:
                        soonest = min(soonest, self._sources[peer].resting_until)
        return soonest

    def tick(self, now: float) -> None:
        """Let time pass: answers are overdue, turns end."""
        late: set[Peer] = set()
        for attempt in self._attempts.values():
            for piece in [piece for piece, (_, overdue_at) in attempt.asked.items() if overdue_at <= now]:
                late.add(self._free(attempt, piece))
                attempt.due.append(piece)
        for peer in late:
            self._sources[peer].disappoint(now)
        self._take_turns(now)

    # Who is asked.

    def _answering(self, peer: Peer, piece: int, size: int) -> _Source | None:
        """The peer that was asked for this piece; None, and it is counted, where it was not, or all is over."""
        source = self._sources.get(peer)
        if source is None or not source.answered(piece):
            self.wasted[peer] = self.wasted.get(peer, 0) + size
            return None
        return source if self.result is None else None

    def _free(self, attempt: _Attempt, piece: int) -> Peer | None:
        """The piece is asked of nobody any more. Returns of whom it was."""
        if piece not in attempt.asked:
            return None
        peer, _ = attempt.asked.pop(piece)
        self._sources[peer].asked.discard(piece)
        return peer

    def _forget(self, peer: Peer) -> None:
        source = self._sources.get(peer)
        if source is None:
            return
        if self.result is not None:
            del self._sources[peer]
            return
        name = self._name_for(peer, source.size)
        for piece in list(source.asked):
            self._free(self._attempts[name], piece)
            self._attempts[name].due.append(piece)
        claim = self._claims[source.size]
        del self._sources[peer], claim.peers[peer]
        if not claim.peers:
            del self._claims[source.size]
        if name.alone is not None:
            self._attempts.pop(name, None)
        if name.alone is not None or not claim.peers:
            self._waiting.pop(name, None)

    def _name_for(self, peer: Peer, size: int) -> _Name:
        return _Name(size, peer if self._claims[size].spoilt else None)

    def _peers_of(self, name: _Name) -> list[Peer]:
        if name.alone is not None:
            return [name.alone]
        return list(self._claims[name.size].peers) if name.size in self._claims else []

    # Turns.

    def _line_up(self, name: _Name) -> None:
        if name not in self._attempts and name not in self._doubts:
            self._waiting.setdefault(name, _Place(0, -math.inf))

    def _take_turns(self, now: float) -> None:
        """Begin attempts as far as there is room, and make room by ending those whose turn is over."""
        leader = self._leader()
        if leader in self._waiting:
            self._waiting = {leader: self._waiting.pop(leader)} | self._waiting
        while self._waiting:
            first, place = next(iter(self._waiting.items()))
            claimed = first.size + sum(name.size for name in (*self._attempts, *self._doubts))
            if len(self._attempts) + len(self._doubts) < MAX_ATTEMPTS and claimed <= MAX_HELD:
                self._attempts[first] = _Attempt(first.size, place.turns, now)
                del self._waiting[first]
                continue
            over = [name for name in self._attempts if name != leader and self._over_at(name) <= now]
            if not over or now < place.patient_until:
                return
            attempt = self._end(over[0])
            if self._peers_of(over[0]):
                self._waiting[over[0]] = _Place(attempt.turn + 1, now + TURN)

    def _leader(self) -> _Name | None:
        """The attempt at the size that most peers claim and that no wrong whole has spoilt."""
        sizes = {size: len(claim.peers) for size, claim in self._claims.items() if not claim.spoilt}
        return _Name(max(sizes, key=sizes.__getitem__), None) if sizes else None

    def _over_at(self, name: _Name) -> float:
        """When an attempt must give way: at the end of its turn, or at once where no peers are left."""
        return self._attempts[name].until if self._peers_of(name) else -math.inf

    def _end(self, name: _Name) -> _Attempt:
        """Give up what has come so far."""
        attempt = self._attempts.pop(name)
        for piece in list(attempt.asked):
            self._free(attempt, piece)
        return attempt

    # Judgement.

    def _wrong(self, doubt: Doubt, digests: Sequence[bytes]) -> None:
        """All pieces were there, and it was not it: who gave all of it lied; of several, nobody knows who."""
        name, given = doubt.name, doubt.attempt.got
        givers = {peer for _, peer in given.values()}
        if len(givers) == 1:
            self._convict(givers.pop())
            if name.alone is None and self._peers_of(name):
                self._line_up(self._name_for(self._peers_of(name)[0], name.size))
            return
        self._evidence.pop(name.size, None)
        if len(self._evidence) == _MAX_EVIDENCE:
            del self._evidence[next(iter(self._evidence))]
        self._evidence[name.size] = [(peer, piece, digests[piece]) for piece, (_, peer) in given.items()]
        claim = self._claims.get(name.size)
        if claim is not None:
            claim.spoilt = True
            for peer in claim.peers:
                self._line_up(_Name(name.size, peer))

    def _found(self, whole: bytes, digests: Sequence[bytes]) -> None:
        """Now it is known who lied. Those still asked may answer, and it is no waste."""
        self.result = whole
        parts = _parts(whole)
        for attempt in (*self._attempts.values(), *(doubt.attempt for doubt in self._doubts.values())):
            for piece, (payload, peer) in attempt.got.items():
                if attempt.size != len(whole) or payload != parts[piece]:
                    self.convicted.add(peer)
        for size, given in self._evidence.items():
            for peer, piece, digest in given:
                if size != len(whole) or digest != digests[piece]:
                    self.convicted.add(peer)
        self._attempts.clear()
        self._doubts.clear()
        self._waiting.clear()
        self._evidence.clear()

    def _convict(self, peer: Peer) -> None:
        source = self._sources.get(peer)
        if source is None:
            return  # it left while it was judged
        self.convicted.add(peer)
        attempt = self._attempts.get(self._name_for(peer, source.size))
        self._forget(peer)
        if attempt is not None:
            attempt.without(peer)


def _parts(whole: bytes) -> list[bytes]:
    return [whole[at : at + METADATA_PIECE] for at in range(0, len(whole), METADATA_PIECE)]


def _digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).digest()
