"""The routing table: who of the DHT is known to be there, more of those whose ids are near to ours.

Source: BEP 5 ("routing table"). A bucket holds the nodes whose ids share so many first bits with ours and no more; the
first few are wider than the 8 of the BEP: whoever knows more that is far away needs fewer steps to come near. Only who
answered a question is in the table. A good node does not give way to a newer one, save one whose id does not fit its
address (BEP 42) to one whose does; nobody is in it twice, and no network either.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from math import inf
from typing import Protocol

from anabranch.model import Address

from .contacts import ID_LENGTH, Contact, pack_address, realm
from .secure_ids import is_secure

NEAREST = 8  # nodes that know about a target: k of the BEP
FRESH = 900.0  # seconds for which who answered is good without being asked again
REFRESH = 780.0  # seconds without an answer after which it is asked
RETRY = 60.0  # seconds after which who did not answer is asked once more
_WIDTHS = (128, 64, 32, 16)  # nodes of the first buckets; NEAREST for the others
_MOST_FAILURES = 2  # questions in a row without an answer; then a node is bad
_MOST_REPLACEMENTS = NEAREST  # of a bucket
_BITS = 8 * ID_LENGTH


class Entry:
    """One node in the table, or waiting for a place in it."""

    __slots__ = ("bits", "contact", "failures", "heard", "packed", "realm", "secure", "tried")

    def __init__(self, contact: Contact, now: float) -> None:
        self.contact = contact
        self.bits = int.from_bytes(contact.id, "big")
        self.packed = contact.id + pack_address(contact.address)
        self.realm = realm(contact.address)
        self.secure = is_secure(contact.id, contact.address.host)
        self.heard = now
        self.tried = now  # when it was last asked whether it is still there
        self.failures = 0

    def due(self) -> float:
        """When it is to be asked whether it is still there."""
        return self.tried + RETRY if self.failures else max(self.heard, self.tried) + REFRESH

    def good(self, now: float) -> bool:
        """Whether it answered lately, and nothing since says that it is gone."""
        return self.failures == 0 and now - self.heard < FRESH


class Table:
    """The nodes that a node knows.

    Args:
        node_id: Our own id.
    """

    __slots__ = (
        "_buckets",
        "_by_address",
        "_by_realm",
        "_good_until",
        "_own",
        "_sorted_bits",
        "_sorted_packed",
        "_waiting",
        "own_id",
    )

    def __init__(self, node_id: bytes) -> None:
        self.own_id = node_id
        self._own = int.from_bytes(node_id, "big")
        self._buckets: dict[int, list[Entry]] = {}  # by how many first bits are shared
        self._waiting: dict[int, list[Entry]] = {}  # replacements, latest last
        self._good_until: dict[int, float] = {}  # of full buckets: until when at least nobody gives way
        self._by_address: dict[Address, Entry] = {}  # of the buckets
        self._by_realm: dict[str, Entry] = {}  # of the buckets
        self._sorted_bits: list[int] = []  # ids of those that are told to others: who did not answer last is not
        self._sorted_packed: list[bytes] = []  # in the same order, as messages have them

    def __len__(self) -> int:
        return len(self._by_address)

    def __contains__(self, address: Address) -> bool:
        return address in self._by_address

    def move(self, node_id: bytes) -> None:
        """We have another id: all get their places anew, as far as there are some."""
        entries = sorted(self._by_address.values(), key=lambda entry: -entry.heard)
        Table.__init__(self, node_id)
        for entry in entries:
            shared = self._shared(entry.bits)
            if len(self._buckets.get(shared, ())) < _width(shared) and not entry.failures:
                self._place(entry, shared)

    def good(self, now: float) -> int:
        """How many answered lately."""
        return sum(entry.good(now) for entry in self._by_address.values())

    def contacts(self) -> list[Contact]:
        """All of them, those that did not answer last excepted."""
        return [entry.contact for entry in self._by_address.values() if not entry.failures]

    def nearest(self, target: bytes, most: int = NEAREST) -> list[bytes]:
        """Those nearest to an id, nearest first, as messages have them: 26 or 38 bytes each.

        All ids that share more first bits with the target are nearer to it than all others, and stand side by side in a
        sorted list. So only as many bits are looked at as leave enough of them, and few are left to be sorted.
        """
        bits, packed = self._sorted_bits, self._sorted_packed
        if len(bits) <= most:
            low, high = 0, len(bits)
        else:
            wanted = int.from_bytes(target, "big")
            rest = _BITS - (len(bits) // most).bit_length()  # last bits that do not count; a guess
            low, high = _with_prefix(bits, wanted, rest)
            if high - low < most:
                while high - low < most:
                    rest += 1
                    low, high = _with_prefix(bits, wanted, rest)
            else:
                inner_low, inner_high = _with_prefix(bits, wanted, rest - 1)
                while inner_high - inner_low >= most and rest:
                    low, high, rest = inner_low, inner_high, rest - 1
                    inner_low, inner_high = _with_prefix(bits, wanted, rest - 1)
        wanted = int.from_bytes(target, "big")
        order = sorted(range(low, high), key=lambda place: bits[place] ^ wanted)
        return [packed[place] for place in order[:most]]

    def wants(self, contact: Contact, now: float) -> bool:
        """Whether a node would get a place, or come nearer to one, if it answered."""
        if contact.address in self._by_address:
            return False
        bits = int.from_bytes(contact.id, "big")
        shared = self._shared(bits)
        if shared == _BITS:
            return False
        if now < self._good_until.get(shared, -inf):
            return False
        bucket = self._buckets.get(shared, ())
        if len(bucket) >= _width(shared) and all(entry.good(now) for entry in bucket):
            self._good_until[shared] = min(entry.heard for entry in bucket) + FRESH
            return False
        holder = self._by_realm.get(realm(contact.address))
        return holder is None or not holder.good(now)

    def near(self, contact: Contact) -> bool:
        """Whether that is in one of the buckets that are not wider than they must be."""
        return self._shared(int.from_bytes(contact.id, "big")) >= len(_WIDTHS)

    def room_for(self, address: Address) -> bool:
        """Whether a node whose id is not known may be worth a question."""
        return address not in self._by_address and realm(address) not in self._by_realm

    def answered(self, contact: Contact, now: float) -> bool:
        """A node answered from that address, with that id. Returns False where the address had another id before.

        Such an address loses its place, and has to answer once more with the new id to get one.
        """
        known = self._by_address.get(contact.address)
        if known is not None:
            if known.contact.id != contact.id:
                self._remove(known)
                self._replace(self._shared(known.bits), now)
                return False
            if known.failures:
                known.failures = 0
                self._tell(known)
            known.heard = now
            return True
        entry = Entry(contact, now)
        shared = self._shared(entry.bits)
        if shared == _BITS:
            return True  # ourselves, or somebody who says so
        bucket = self._buckets.get(shared, [])
        rivals = {one for one in bucket if one.bits == entry.bits}
        if entry.realm in self._by_realm:
            rivals.add(self._by_realm[entry.realm])
        if not all(_gives_way(rival, entry) for rival in rivals):
            return True
        if len(bucket) >= _width(shared) and rivals.isdisjoint(bucket):
            worst = max(bucket, key=lambda one: (one.failures, not one.secure, -one.heard))
            if not _gives_way(worst, entry):
                self._wait(entry, shared)
                return True
            rivals.add(worst)
        for rival in rivals:
            self._remove(rival)
        self._place(entry, shared)
        return True

    def failed(self, address: Address, now: float) -> Contact | None:
        """A question to that address was not answered. Returns the node if it is bad now: it has left the table."""
        entry = self._by_address.get(address)
        if entry is None:
            return None
        entry.failures += 1
        entry.tried = now
        if entry.failures == 1:
            self._untell(entry)
            self._good_until.pop(self._shared(entry.bits), None)
        if entry.failures >= _MOST_FAILURES:
            self._remove(entry)
            self._replace(self._shared(entry.bits), now)
            return entry.contact
        return None

    def silent(self, address: Address, now: float) -> bool:
        """Whether a node that has a place has not answered for long."""
        entry = self._by_address.get(address)
        return entry is not None and now - entry.heard >= REFRESH

    def stalest(self) -> Entry | None:
        """The one that is to be asked first whether it is still there."""
        return min(self._by_address.values(), key=Entry.due, default=None)

    def shared(self, entry: Entry) -> int:
        """How many first bits of its id are those of ours."""
        return self._shared(entry.bits)

    def entries(self) -> Iterator[Entry]:
        """All that have a place."""
        return iter(self._by_address.values())

    def _shared(self, bits: int) -> int:
        return _BITS - (bits ^ self._own).bit_length()

    def _place(self, entry: Entry, shared: int) -> None:
        self._buckets.setdefault(shared, []).append(entry)
        self._by_address[entry.contact.address] = entry
        self._by_realm[entry.realm] = entry
        self._tell(entry)

    def _remove(self, entry: Entry) -> None:
        shared = self._shared(entry.bits)
        bucket = self._buckets[shared]
        bucket.remove(entry)
        self._good_until.pop(shared, None)
        if not bucket:
            del self._buckets[shared]
        del self._by_address[entry.contact.address]
        del self._by_realm[entry.realm]
        if not entry.failures:
            self._untell(entry)

    def _wait(self, entry: Entry, shared: int) -> None:
        """Keep a node for when a place gets free: the latest ones, those with ids that fit before others."""
        waiting = [one for one in self._waiting.get(shared, ()) if one.realm != entry.realm]
        waiting.append(entry)
        if len(waiting) > _MOST_REPLACEMENTS:
            waiting.remove(min(waiting, key=lambda one: (one.secure, one.heard)))
        self._waiting[shared] = waiting

    def _replace(self, shared: int, now: float) -> None:
        """Give a free place to who answered lately."""
        waiting = self._waiting.get(shared, [])
        while waiting:
            entry = max(waiting, key=lambda one: (one.secure, one.heard))
            waiting.remove(entry)
            free = entry.realm not in self._by_realm and entry.contact.address not in self._by_address
            bucket = self._buckets.get(shared, [])
            if free and entry.good(now) and all(one.bits != entry.bits for one in bucket):
                self._place(entry, shared)
                return
        self._waiting.pop(shared, None)

    def _tell(self, entry: Entry) -> None:
        place = bisect_left(self._sorted_bits, entry.bits)
        self._sorted_bits.insert(place, entry.bits)
        self._sorted_packed.insert(place, entry.packed)

    def _untell(self, entry: Entry) -> None:
        place = bisect_left(self._sorted_bits, entry.bits)
        del self._sorted_bits[place]
        del self._sorted_packed[place]


class Sibling(Protocol):
    """Our node of the other family: what one of them hears of such nodes is for that one."""

    @property
    def v6(self) -> bool:
        """Whether that is IPv6."""

    @property
    def table(self) -> Table:
        """Whom it knows."""

    def add_contacts(self, contacts: Iterable[Contact], now: float) -> None:
        """Nodes of its family were named."""


def _gives_way(old: Entry, new: Entry) -> bool:
    return old.failures > 0 or (new.secure and not old.secure)


def _width(shared: int) -> int:
    return _WIDTHS[shared] if shared < len(_WIDTHS) else NEAREST


def _with_prefix(bits: list[int], wanted: int, rest: int) -> tuple[int, int]:
    """Where in the sorted list those lie whose bits before the last *rest* are the same as of *wanted*."""
    start = wanted >> rest << rest
    low = bisect_left(bits, start)
    return low, bisect_left(bits, start + (1 << rest), low)
