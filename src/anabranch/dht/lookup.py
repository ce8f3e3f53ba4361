"""The way to those who know about a target: who is asked next, and when they are found. Without any messages.

Source: BEP 5, and the paper it builds on (Maymounkov and Mazieres, "Kademlia"). It ends when the 8 nearest that are not
gone have answered, and 8 of those that we knew before were asked: liars near the target who name only each other have
the last word where all of these are liars too. Who answers names no more than 8 nodes that count, one in each network,
so that nobody fills the list alone; after three names that were nobody's, and none that was somebody's, the others are
forgotten. Ids that do not fit their addresses (BEP 42) can be made up next to any target: of those no more than 3 are
believed to be among the nearest, while there are enough that do fit.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator

from anabranch.model import Address

from .contacts import ID_LENGTH, Contact, realm
from .secure_ids import is_secure
from .table import NEAREST

WIDTH = 4  # questions under way at once
MOST_INSECURE = 3  # of the nearest, whose ids do not fit their addresses, where enough do fit
_MOST_FALSE = 3  # names that were nobody's; then who gave them is not believed
_MOST_OURS = 2 * NEAREST  # that count as known before
_LEAST_OURS = NEAREST  # of them that are asked, though nearer ones were named
_MOST_HOPS = 100  # that are kept; farther ones are forgotten
_MOST_ASKED = 150  # questions; 20 to 40 are usual, and liars can always name somebody who is still nearer
_FARTHEST = 1 << 8 * ID_LENGTH  # beyond all ids

FRESH, ASKED, SLOW, ANSWERED, GONE = range(5)  # what became of a hop


class Hop:
    """One node on the way."""

    __slots__ = ("contact", "distance", "false", "namer", "ours", "realm", "rival", "secure", "stage", "token", "true")

    def __init__(self, contact: Contact, target: int, namer: Hop | None = None) -> None:
        self.contact = contact
        self.distance = int.from_bytes(contact.id, "big") ^ target if contact.id else _FARTHEST
        self.realm = realm(contact.address)
        self.secure = bool(contact.id) and is_secure(contact.id, contact.address.host)
        self.stage = FRESH
        self.token = b""  # what it gave us to store something there
        self.rival: Contact | None = None  # of the same network; asked if this one does not answer
        self.ours = False  # we knew it before, and its id fits: it was not named to lead us astray
        self.namer = namer  # the only one who named it; None for several, or where we knew it
        self.false = 0  # names that it gave us and that were nobody's
        self.true = 0  # and those that were somebody's

    def __lt__(self, other: Hop) -> bool:
        return self.distance < other.distance


class Lookup:
    """One way to one target.

    Args:
        target: 20 bytes.
        own_id: Ours: who claims it is not asked.
    """

    __slots__ = ("_by_address", "_by_realm", "_hops", "_ours", "_own_id", "_target", "_under_way", "answered", "asked")

    def __init__(self, target: bytes, own_id: bytes) -> None:
        self._target = int.from_bytes(target, "big")
        self._own_id = own_id
        self._hops: list[Hop] = []  # nearest first; who is gone is not among them
        self._by_address: dict[Address, Hop] = {}  # those who are gone too
        self._by_realm: dict[str, Hop] = {}
        self._under_way = 0  # asked, and not slow
        self._ours = 0  # asked, of those that we knew before
        self.asked = 0
        self.answered = 0

    def add(self, contacts: Iterable[Contact], namer: Hop | None = None) -> None:
        """Somebody names nodes, or we know them. Without an id (b"") they are asked where others are few, or silent."""
        for contact in contacts:
            known = self._by_address.get(contact.address)
            hop = Hop(contact, self._target, namer)
            if known is not None and known.namer is not namer and known.contact == contact:
                known.namer = None
            if contact.id == self._own_id or (
                # somebody lies about its id: until it is asked, the nearer one counts
                known is not None and (known.stage != FRESH or known.distance <= hop.distance)
            ):
                continue
            if known is not None:
                self._leave(known)
            holder = self._by_realm.get(hop.realm)
            if holder is not None:
                if holder.stage != FRESH or holder.distance <= hop.distance:
                    if holder.rival is None and holder.stage != ANSWERED:
                        holder.rival = contact
                    continue
                self._leave(holder)
                hop.rival = holder.contact
            hop.ours = namer is None and hop.secure and len(self._hops) < _MOST_OURS
            self._enter(hop)
        while len(self._hops) > _MOST_HOPS:
            spare = [
                hop for hop in reversed(self._hops) if hop.stage == ANSWERED or (hop.stage == FRESH and not hop.ours)
            ]
            if not spare:
                return
            farthest = next((hop for hop in spare if hop.distance < _FARTHEST), spare[0])
            self._leave(farthest, known=farthest.stage == ANSWERED)

    def next(self) -> Hop | None:
        """Who is to be asked now; it counts as asked then. None while enough questions are under way."""
        if self._under_way >= WIDTH or self.asked >= _MOST_ASKED:
            return None
        for hop in self._wanted():
            if hop.stage == FRESH:
                hop.stage = ASKED
                self._under_way += 1
                self._ours += hop.ours
                self.asked += 1
                return hop
        return None

    @property
    def done(self) -> bool:
        """Whether nobody is to be asked any more, and no answer is waited for."""
        if self.asked < _MOST_ASKED and any(hop.stage != ANSWERED for hop in self._wanted()):
            return False
        if self.answered >= NEAREST:
            return self.asked < _MOST_ASKED or not self._under_way
        return not any(hop.stage in (ASKED, SLOW) for hop in self._hops)  # those who are slow are all there is

    def slow(self, hop: Hop) -> None:
        """It has not answered for a while: somebody else is asked in its place, and it may still answer."""
        if hop.stage == ASKED:
            hop.stage = SLOW
            self._under_way -= 1
            self._was_false(hop)

    def failed(self, hop: Hop) -> None:
        """It will not answer, or said that it cannot."""
        if hop.stage == ASKED:
            self._under_way -= 1
            self._was_false(hop)
        hop.stage = GONE
        self._leave(hop, known=True)
        if hop.rival is not None:
            self.add((hop.rival,))

    def heard(self, hop: Hop, contact: Contact, named: Iterable[Contact]) -> None:
        """It answered, as *contact*, and names others."""
        if hop.stage == ASKED:
            self._under_way -= 1
        self.answered += 1
        hop.stage = ANSWERED
        hop.rival = None
        if contact.id == hop.contact.id:
            if hop.namer is not None:
                hop.namer.true += 1
        else:
            self._was_false(hop)
            self._hops.remove(hop)
            hop.contact = contact
            hop.distance = int.from_bytes(contact.id, "big") ^ self._target
            hop.secure = is_secure(contact.id, contact.address.host)
            insort(self._hops, hop)
        self.add(named, hop)

    def closest(self) -> list[Hop]:
        """Those that answered, nearest first, 8 at most: where something is to be stored."""
        there = [hop for hop in self._hops if hop.stage == ANSWERED]
        secure = sum(hop.secure for hop in there)
        most_insecure = max(MOST_INSECURE, NEAREST - secure)
        insecure = [hop for hop in there if not hop.secure]
        left_out = set(insecure[most_insecure:])
        return [hop for hop in there if hop not in left_out][:NEAREST]

    def _wanted(self) -> Iterator[Hop]:
        """Those whose answers end the look-up, nearest first, as far as is known now. Who is slow is not waited for."""
        there = [hop for hop in self._hops if hop.stage != SLOW]
        most_insecure = max(MOST_INSECURE, NEAREST - sum(hop.secure for hop in there))
        secure = insecure = 0
        if self.asked >= NEAREST and not self.answered:  # those of an earlier run are gone; the others should be there
            yield from (hop for hop in there if hop.distance == _FARTHEST)
        for hop in there:
            if hop.distance == _FARTHEST:
                if secure + insecure < NEAREST:
                    yield hop
            elif hop.secure and secure < NEAREST:
                secure += 1
                yield hop
            elif not hop.secure and insecure < most_insecure:
                insecure += 1
                yield hop
            elif secure >= NEAREST and insecure >= most_insecure:
                break
        more = _LEAST_OURS - self._ours
        for hop in there:
            if hop.ours and (hop.stage == ASKED or (hop.stage == FRESH and more > 0)):
                more -= hop.stage == FRESH
                yield hop

    def _was_false(self, hop: Hop) -> None:
        """Nobody is there, or somebody else: who named it may be a liar, and what he names is not asked then."""
        namer = hop.namer
        if namer is None:
            return
        namer.false += 1
        if namer.false >= _MOST_FALSE and not namer.true:
            for other in [other for other in self._hops if other.namer is namer and other.stage == FRESH]:
                self._leave(other)

    def _enter(self, hop: Hop) -> None:
        insort(self._hops, hop)
        self._by_address[hop.contact.address] = hop
        self._by_realm[hop.realm] = hop

    def _leave(self, hop: Hop, *, known: bool = False) -> None:
        """It is no hop any more; with *known* it is never asked again."""
        self._hops.remove(hop)
        del self._by_realm[hop.realm]
        if not known:
            del self._by_address[hop.contact.address]
