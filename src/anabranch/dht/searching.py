"""Look-ups under way: their questions are sent, their answers read, and at the end what is to be stored is stored.

So many are under way at once, the others wait their turn: however many torrents there are, the line is not flooded.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from anabranch.bencode import Value
from anabranch.model import Address

from .contacts import Contact, unpack_contacts
from .faults import DhtFault
from .krpc import query_head
from .lookup import Hop, Lookup
from .operations import Looked, Operation, Reply
from .purposes import FindNode
from .stats import NodeStats
from .table import NEAREST, Sibling, Table
from .transactions import Outcome, Question, Questions

MOST_AT_ONCE = 32  # look-ups; at 5 seconds each that is 6 a second
_STARTED_WITH = 16  # nodes of the table
_MOST_NAMED = NEAREST  # nodes that are heard of from one answer, of each family
_MOST_BOOTSTRAP = 256  # contacts
_FEW = 32  # contacts; of those none is forgotten while nobody answers
_MOST_MISSES = 2
_MOST_TOKEN = 128  # bytes
_FAMILIES: tuple[tuple[bytes, bool], ...] = ((b"nodes", False), (b"nodes6", True))


class Search:
    """One look-up with its purpose. It ends once, whoever ends it.

    Args:
        purpose: What it is for.
        done: Told the result.
        own_id: Our id.
        now: When it was wished for.
        ours: What our own node would answer.
    """

    __slots__ = (
        "asked",
        "done",
        "ended",
        "head",
        "lookup",
        "open",
        "ours",
        "own_id",
        "purpose",
        "refused",
        "since",
        "stored",
    )

    def __init__(
        self,
        purpose: FindNode,
        done: Callable[[Looked], None],
        own_id: bytes,
        now: float,
        ours: Callable[[], Mapping[bytes, Value]],
    ) -> None:
        self.purpose = purpose
        self.done = done
        self.own_id = own_id
        self.since = now
        self.lookup = Lookup(purpose.target, own_id)
        self.head = b""  # of its queries; empty while it waits its turn
        self.open: dict[Hop, Question] = {}
        self.asked = 0  # to store something
        self.stored = 0
        self.refused: list[str] = []
        self.ended = False
        self.ours: Callable[[], Mapping[bytes, Value]] | None = ours  # None: heard

    def hear_ours(self) -> None:
        """Hear what our own node knows, once."""
        if self.ours is not None:
            ours, self.ours = self.ours, None
            self.purpose.heard(ours())

    def result(self, now: float) -> Looked:
        """What was found by now."""
        return self.purpose.found(
            Looked(
                self.purpose.target,
                tuple(hop.contact for hop in self.lookup.closest()),
                self.lookup.asked + self.asked,
                self.lookup.answered + self.stored + len(self.refused),
                now - self.since,
                stored=self.stored,
                refused=tuple(self.refused),
            )
        )


class Searches:
    """All look-ups of a node.

    Args:
        table: Where they start from.
        questions: Where they are asked.
        siblings: Told the nodes of their families that are named.
        stats: What is counted.
        v6: Which family we speak.
        read_only: Whether we answer nobody (BEP 43).
    """

    __slots__ = (
        "_misses",
        "_questions",
        "_read_only",
        "_running",
        "_siblings",
        "_stats",
        "_table",
        "_v6",
        "_waiting",
        "bootstrap",
        "stuck",
    )

    def __init__(
        self,
        table: Table,
        questions: Questions,
        siblings: Sequence[Sibling],
        stats: NodeStats,
        *,
        v6: bool,
        read_only: bool,
    ) -> None:
        self._table = table
        self._questions = questions
        self._siblings = siblings
        self._stats = stats
        self._v6 = v6
        self._read_only = read_only
        self._waiting: deque[Search] = deque()
        self._running: set[Search] = set()
        self.stuck: list[Search] = []  # had nobody to ask: they end with the next tick
        self._misses: Counter[Address] = Counter()  # of those in the next one
        self.bootstrap: dict[Address, Contact] = {}  # to be asked where the table knows too few

    def __len__(self) -> int:
        return len(self._running) + len(self._waiting)

    def add_contacts(self, contacts: Iterable[Contact]) -> None:
        """Somebody says that these are nodes."""
        for contact in contacts:
            if contact.address.is_v6 != self._v6:
                continue
            if len(self.bootstrap) >= _MOST_BOOTSTRAP and not contact.id:
                # those of an earlier run may all be gone: a host that everybody knows is worth more
                oldest = next((address for address, known in self.bootstrap.items() if known.id), contact.address)
                self.forget(oldest)
            if len(self.bootstrap) < _MOST_BOOTSTRAP:
                self.bootstrap[contact.address] = contact

    def forget(self, address: Address) -> None:
        """There is nobody to start from: it is in the table by now, or does not answer."""
        self.bootstrap.pop(address, None)
        self._misses.pop(address, None)

    def missed(self, address: Address) -> None:
        """It did not answer. While nobody does, our line may be broken: then some are asked again and again."""
        contact = self.bootstrap.get(address)
        if contact is not None:
            self._misses[address] += 1
            gone = contact.id and self._misses[address] >= _MOST_MISSES and len(self.bootstrap) > _FEW
            if self._table or gone:
                self.forget(address)

    def start(
        self,
        purpose: FindNode,
        done: Callable[[Looked], None],
        now: float,
        ours: Callable[[], Mapping[bytes, Value]] = dict,
    ) -> Operation:
        """Begin a look-up, or have it wait. *done* is not called from within this call.

        *ours* gives what our own node would answer: it may be one of those where others have stored something.
        """
        search = Search(purpose, done, self._table.own_id, now, ours)
        if len(self._running) < MOST_AT_ONCE:
            self._run(search, now)
        else:
            self._waiting.append(search)
        return Operation(partial(self._end, search))

    def tick(self, now: float) -> None:
        """End those that had nobody to ask."""
        stuck, self.stuck = self.stuck, []
        for search in stuck:
            self._step(search, now)

    def _run(self, search: Search, now: float) -> None:
        arguments = search.purpose.arguments() | {b"id": search.own_id}
        if any(len(sibling.table) < NEAREST for sibling in self._siblings):
            arguments[b"want"] = [b"n4", b"n6"]
        search.head = query_head(search.purpose.method, arguments, read_only=self._read_only)
        self._running.add(search)
        nearest = b"".join(self._table.nearest(search.purpose.target, _STARTED_WITH))
        search.lookup.add(unpack_contacts(nearest, v6=self._v6, most=_STARTED_WITH))
        if len(self._table) < NEAREST:
            search.lookup.add(self.bootstrap.values())
        self._ask(search, now)
        if search.lookup.done:
            self.stuck.append(search)

    def _ask(self, search: Search, now: float) -> None:
        lookup = search.lookup
        while (hop := lookup.next()) is not None:
            slow = partial(self._slow, search, hop)
            try:
                heard = partial(self._heard, search, hop)
                question = self._questions.ask(hop.contact.address, search.head, heard, now, slow, hop.contact.id)
            except DhtFault:
                lookup.failed(hop)
            else:
                search.open[hop] = question

    def _step(self, search: Search, now: float) -> None:
        """Ask who is to be asked; where nobody is, store what is to be stored, or end."""
        if search.ended:
            return
        self._ask(search, now)
        if search.lookup.done:
            self._store(search, now)

    def _slow(self, search: Search, hop: Hop, now: float) -> None:
        search.lookup.slow(hop)
        self._step(search, now)

    def _heard(self, search: Search, hop: Hop, outcome: Outcome, now: float) -> None:
        search.open.pop(hop, None)
        if search.ended:
            return
        search.hear_ours()
        if isinstance(outcome, DhtFault):
            search.lookup.failed(hop)
        else:
            token = outcome.values.get(b"token")
            hop.token = token if isinstance(token, bytes) and len(token) <= _MOST_TOKEN else b""
            search.lookup.heard(hop, outcome.contact, self._named(outcome.values, now))
            search.purpose.heard(outcome.values)
        self._step(search, now)

    def _named(self, values: Mapping[bytes, Value], now: float) -> list[Contact]:
        """The nodes of our family that an answer names; those of another one go to our node there."""
        for key, v6 in _FAMILIES:
            packed = values.get(key)
            if v6 != self._v6 and isinstance(packed, bytes) and packed:
                for sibling in self._siblings:
                    if sibling.v6 == v6 and len(sibling.table) < NEAREST:
                        sibling.add_contacts(unpack_contacts(packed, v6=v6, most=_MOST_NAMED), now)
        packed = values.get(_FAMILIES[self._v6][0])
        return list(unpack_contacts(packed, v6=self._v6, most=_MOST_NAMED)) if isinstance(packed, bytes) else []

    def _store(self, search: Search, now: float) -> None:
        for question in search.open.values():  # of those who are slow: they are waited for no longer
            self._questions.forget(question)
        search.open.clear()
        for hop in search.lookup.closest():
            storing = search.purpose.storing(hop.token) if hop.token else None
            if storing is not None:
                method, arguments = storing
                head = query_head(method, arguments | {b"id": search.own_id}, read_only=self._read_only)
                self._tell(search, hop, head, now)
        if not search.open:
            self._end(search, now)

    def _tell(self, search: Search, hop: Hop, head: bytes, now: float) -> None:
        try:
            search.open[hop] = self._questions.ask(hop.contact.address, head, partial(self._stored, search, hop), now)
        except DhtFault as fault:
            search.refused.append(str(fault))
        else:
            search.asked += 1

    def _stored(self, search: Search, hop: Hop, outcome: Outcome, now: float) -> None:
        del search.open[hop]
        if isinstance(outcome, Reply):
            search.stored += 1
        elif outcome.code:
            search.refused.append(str(outcome))
        if not search.open:
            self._end(search, now)

    def _end(self, search: Search, now: float) -> None:
        if search.ended:
            return
        search.hear_ours()
        search.ended = True
        self._stats.lookups += 1
        for question in search.open.values():
            self._questions.forget(question)
        search.open.clear()
        self._running.discard(search)
        if not search.head:
            self._waiting.remove(search)
        while self._waiting and len(self._running) < MOST_AT_ONCE:
            self._run(self._waiting.popleft(), now)
        search.done(search.result(now))
