"""What keeps a table true while nobody looks for anything: who was silent is asked, who is new is tried.

Source: BEP 5 ("routing table"). Instead of a look-up in every bucket each quarter of an hour, each node that has been
silent for that long is asked for nodes that belong in its own bucket: what shows that it is there finds others as well.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from math import inf

from anabranch.bencode import Value
from anabranch.model import Address

from .contacts import ID_LENGTH, Contact, realm, unpack_contacts
from .faults import DhtFault
from .krpc import query_head, version_key
from .operations import Reply
from .table import NEAREST, Table
from .transactions import Outcome, Questions

CANDIDATE_PAUSE = 0.25  # seconds between two that are tried
MOST_CANDIDATES = 256  # that wait to be tried, of those who were named by somebody we asked or trust
MOST_UNCALLED = 32  # of them, while there are as many those who only asked us are not taken
OWN_PAUSES = (5.0, 900.0)  # seconds between look-ups for our own id: at first, and at most
STRANGER_PAUSE = 900.0  # seconds until a stranger is tried once more; who is in the table need not be
_MOST_TRIED = 1024  # strangers that are remembered
PING_SIZE = 58  # bytes of a ping that does not say which client we are
FAR_PAUSE = 2.0  # seconds between two strangers far from us that are tried
_ENOUGH = 4 * NEAREST  # nodes; who knows fewer takes all
_SILENT_PAUSE = 1.0  # seconds between two that were silent
_BITS = 8 * ID_LENGTH


class Upkeep:
    """Asks who is to be asked for the table's sake.

    Args:
        table: What is kept true.
        questions: Where they are asked.
        draw: Gives that many random bytes.
        v6: Which family we speak.
        read_only: Whether we answer nobody (BEP 43).
    """

    __slots__ = (
        "_candidates",
        "_draw",
        "_far_due",
        "_own_due",
        "_own_pause",
        "_questions",
        "_read_only",
        "_silent_due",
        "_strangers",
        "_table",
        "_tried",
        "_try_due",
        "_v6",
    )

    def __init__(
        self, table: Table, questions: Questions, *, draw: Callable[[int], bytes], v6: bool, read_only: bool
    ) -> None:
        self._table = table
        self._questions = questions
        self._draw = draw
        self._v6 = v6
        self._read_only = read_only
        self._candidates: OrderedDict[Address, Contact] = OrderedDict()  # oldest first
        self._strangers: set[Address] = set()  # those of them who only asked us something
        self._tried: OrderedDict[str, float] = OrderedDict()  # when a stranger was last tried, by realm(); latest last
        self._far_due = -inf  # when the next stranger far from us may be tried
        self._try_due = -inf  # when the next candidate may be tried
        self._silent_due = -inf  # not before then is looked for who was silent
        self._own_due = inf  # when we look for our own id
        self._own_pause = OWN_PAUSES[0]

    @property
    def candidates(self) -> int:
        """How many wait to be tried."""
        return len(self._candidates)

    def asked_us(self, node_id: bytes, source: Address, now: float) -> int:
        """A stranger asked us. If the table has a place he will be pinged; returns how many bytes that takes, or 0.

        He may be somebody else, whom we would help to flood: one ping is all that he gets, and his answer is shorter
        for it. So it is done for those near to us, who must know us and we them; for few others, once enough are known.
        """
        if len(self._candidates) >= MOST_UNCALLED or source in self._candidates:
            return 0
        contact = Contact(node_id, source)
        far = len(self._table) >= _ENOUGH and not self._table.near(contact)
        if (far and now < self._far_due) or not self._table.wants(contact, now):
            return 0
        who = realm(source)
        if now - self._tried.get(who, -inf) < STRANGER_PAUSE:
            return 0
        if far:
            self._far_due = now + FAR_PAUSE
        self._tried[who] = now
        self._tried.move_to_end(who)
        if len(self._tried) > _MOST_TRIED:
            self._tried.popitem(last=False)
        self._candidates[source] = contact
        self._strangers.add(source)
        return PING_SIZE + len(version_key(self._questions.version))

    def named(self, contacts: Iterable[Contact], now: float) -> None:
        """Somebody says that nodes are there, with or without their ids: those that the table has use for are tried."""
        for contact in contacts:
            if len(self._candidates) >= MOST_CANDIDATES:
                return
            if contact.address.is_v6 == self._v6 and contact.address not in self._candidates:
                self._candidates[contact.address] = contact

    def tick(self, now: float) -> None:
        """Let time pass: try one who is new, ask one who was silent."""
        while self._candidates and now >= self._try_due:
            address, contact = self._candidates.popitem(last=False)
            table = self._table
            stranger = address in self._strangers
            self._strangers.discard(address)
            if table.wants(contact, now) if contact.id else table.room_for(address):
                self._ask(contact, b"" if stranger else table.own_id, now)
                self._try_due = now + CANDIDATE_PAUSE
        if now >= self._silent_due:
            stalest = self._table.stalest()
            if stalest is not None and stalest.due() <= now:
                stalest.tried = now
                self._ask(stalest.contact, self._beside(self._table.shared(stalest)), now)
                self._silent_due = now + _SILENT_PAUSE
            else:
                self._silent_due = inf if stalest is None else max(stalest.due(), now + _SILENT_PAUSE)

    def deadline(self) -> float:
        """When tick() is next due."""
        return min(self._try_due if self._candidates else inf, self._silent_due, self._own_due)

    def own_lookup(self, now: float) -> bool:
        """Whether it is time to look for our own id; if so, it counts as done."""
        if now < self._own_due:
            return False
        self.own_looked(now)
        return True

    def own_looked(self, now: float) -> None:
        """We look for our own id: again after a while, sooner where few are known."""
        few = len(self._table) < NEAREST
        self._own_pause = min(2 * self._own_pause, OWN_PAUSES[1]) if few else OWN_PAUSES[0]
        self._own_due = now + (self._own_pause if few else OWN_PAUSES[1])

    def poor(self, now: float) -> None:
        """There is somebody to ask, and the table knows few: our own id is looked for soon."""
        if len(self._table) < NEAREST:
            self._own_due = min(self._own_due, now + self._own_pause)

    def changed(self, now: float) -> None:
        """Somebody new is in the table, or somebody failed: who is to be asked may be due earlier than was thought."""
        self._silent_due = min(self._silent_due, now + _SILENT_PAUSE)

    def _ask(self, contact: Contact, target: bytes, now: float) -> None:
        arguments: dict[bytes, Value] = {b"id": self._table.own_id}
        if target:
            arguments[b"target"] = target
        head = query_head("find_node" if target else "ping", arguments, read_only=self._read_only)
        try:
            self._questions.ask(contact.address, head, partial(self._heard, contact), now, named=contact.id)
        except DhtFault:
            return  # too many questions are open: this one can wait

    def _heard(self, asked: Contact, outcome: Outcome, now: float) -> None:
        """Who is named is tried where the table is not full; who only answers is in the table by now.

        Who answers as somebody else is not listened to: liars name each other, under ids that we would want.
        """
        if isinstance(outcome, Reply) and asked.id in (b"", outcome.contact.id):
            packed = outcome.values.get(b"nodes6" if self._v6 else b"nodes")
            if isinstance(packed, bytes):
                named = unpack_contacts(packed, v6=self._v6, most=NEAREST)
                self.named([contact for contact in named if self._table.wants(contact, now)], now)

    def _beside(self, shared: int) -> bytes:
        """An id by chance that shares so many first bits with ours, and no more."""
        chance = int.from_bytes(self._draw(ID_LENGTH), "big")
        own = int.from_bytes(self._table.own_id, "big")
        rest = _BITS - shared - 1  # last bits that are chance; the one before them is not ours
        return ((own >> rest ^ 1) << rest | chance & ((1 << rest) - 1)).to_bytes(ID_LENGTH, "big")
