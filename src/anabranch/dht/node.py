"""One node of the DHT, over one socket of one family, without its socket.

Source: BEP 5, with 32 (IPv6), 33 (scrape), 42 (ids that fit the address), 43 (read-only nodes), 44 (items), 45 (one
node for each address), 51 (sampling). This is where its parts meet: what comes is read, counted, and given to who
answers it or waits for it; the parts know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import inf
from typing import TypeVar

from anabranch.bencode import Value
from anabranch.model import Address
from anabranch.net import why_not_dialed

from .answering import Answers
from .contacts import ID_LENGTH, Contact, unpack_contacts
from .external import Votes
from .faults import DhtFault
from .item_store import ItemStore
from .items import Item
from .krpc import Answer, Malformed, Query, Refusal, query_head, read
from .operations import Announcing, Looked, Operation, Pong, Reply, Samples
from .peer_store import PeerStore
from .purposes import FindNode, GetItem, GetPeers, PutItem
from .searching import Searches
from .secure_ids import is_secure, node_id_for
from .stats import NodeStats
from .table import NEAREST, Table
from .transactions import Outcome, Question, Questions
from .upkeep import Upkeep

MOST_OUTGOING = 4096  # datagrams that wait to be sent; whoever drains them is called after each batch that came
_STORES_PAUSE = 60.0  # seconds between two looks at what has expired
_QUERY_END = b"1:y1:qe"  # of nearly all queries: floods of them are seen before they are read
_T = TypeVar("_T")


class Node:
    """A node. Nothing it does takes time; *now* is any clock's seconds, always of the same one.

    Args:
        v6: Whether its socket speaks IPv6.
        draw: Gives that many random bytes; who can guess them can answer for others.
        now: The time.
        node_id: Its id of former times, 20 bytes; none for a new one.
        contacts: Who was known in former times.
        read_only: Whether it answers nobody, because nobody could reach it (BEP 43).
        banned: Says which hosts are neither asked nor answered.
        on_query: Told of each query, its method and who asks; where it returns False, nothing is answered.
        on_announce: Told who announced itself for which info hash, after it has shown that it is there.
        version: What is told of us in messages; nothing is by default.
    """

    def __init__(
        self,
        *,
        v6: bool,
        draw: Callable[[int], bytes],
        now: float,
        node_id: bytes = b"",
        contacts: Sequence[Contact] = (),
        read_only: bool = False,
        banned: Callable[[str], bool] | None = None,
        on_query: Callable[[str, Contact], bool] | None = None,
        on_announce: Callable[[bytes, Address], None] | None = None,
        version: bytes = b"",
    ) -> None:
        self.v6 = v6
        self.siblings: list[Node] = []
        self.stats = NodeStats()
        self.table = Table(node_id or draw(ID_LENGTH))
        self._draw = draw
        self._read_only = read_only
        self._banned = banned
        self._outbox: list[tuple[bytes, Address]] = []
        self._soon: list[Callable[[], None]] = []  # ends of operations that could not begin
        self._stores_due = inf
        self._questions = Questions(draw, self._send, self.stats, version, banned)
        self._searches = Searches(self.table, self._questions, self.siblings, self.stats, v6=v6, read_only=read_only)
        self._upkeep = Upkeep(self.table, self._questions, draw=draw, v6=v6, read_only=read_only)
        self._answers = Answers(
            self.table,
            self.siblings,
            self.stats,
            v6=v6,
            draw=draw,
            version=version,
            on_query=on_query,
            on_announce=on_announce,
        )
        self._votes = Votes()
        self.add_contacts(contacts, now)

    @property
    def id(self) -> bytes:
        """Its id now: 20 bytes."""
        return self.table.own_id

    @property
    def host(self) -> str:
        """Our IP address as enough others see it, empty while it is not known."""
        return self._votes.elected

    @property
    def peers(self) -> PeerStore:
        """Who announced itself here."""
        return self._answers.peers

    @property
    def items(self) -> ItemStore:
        """What was put here."""
        return self._answers.items

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """Take a datagram. Whatever it is, nothing is raised."""
        size = len(datagram)
        self.stats.bytes_in += size
        host = source[0]
        if not source[1] or (self._banned is not None and self._banned(host)):
            self.stats.dropped["banned"] += 1
            return
        admits = self._answers.budgets.admits
        asks = datagram.endswith(_QUERY_END) or not self._questions.awaits(source)
        if asks and not admits(host, size, now):
            self.stats.dropped["flood"] += 1
            return
        try:
            message = read(datagram)
        except Malformed as malformed:
            self.stats.dropped["malformed"] += 1
            if malformed.transaction and not self._read_only and (asks or admits(host, size, now)):
                self._reply(self._answers.complain(malformed, size, source, now), source)
            return
        if not isinstance(message, Query):
            self._answered(message, source, now)
        elif not asks and not admits(host, size, now):
            self.stats.dropped["flood"] += 1
        elif self._read_only:
            self.stats.dropped["read only"] += 1
        else:
            spared = 0 if message.read_only else self._upkeep.asked_us(message.id, source, now)
            self._reply(self._answers.answer(message, size, source, now, spared), source)
            if self._stores_due == inf and (self.peers or self.items):
                self._stores_due = now + _STORES_PAUSE

    def lost(self, datagram: bytes, address: Address, now: float) -> None:
        """The system says that nobody is there; *datagram* is what was sent, or its beginning."""
        question = self._questions.lost(datagram, address)
        if question is not None:
            self._failed(question, DhtFault(f"nobody is at {address}"), now)

    def tick(self, now: float) -> None:
        """Let time pass."""
        soon, self._soon = self._soon, []
        for tell in soon:
            tell()
        for question in self._questions.tick(now):
            seconds = now - question.asked
            self._failed(question, DhtFault(f"no answer from {question.address} in {seconds:.0f} s"), now)
        self._searches.tick(now)
        self._upkeep.tick(now)
        if self._upkeep.own_lookup(now):
            self._searches.start(FindNode(self.id), _ignored, now)
        if now >= self._stores_due:
            self._answers.tick(now)
            self._stores_due = now + _STORES_PAUSE if self.peers or self.items else inf

    def deadline(self) -> float:
        """When tick() is next due; now and then earlier than needed. It may change with every call of the others."""
        if self._soon or self._searches.stuck:
            return -inf
        return min(self._questions.deadline(), self._upkeep.deadline(), self._stores_due)

    def outgoing(self) -> list[tuple[bytes, Address]]:
        """Drain the datagrams that are to be sent, and where."""
        sent, self._outbox = self._outbox, []
        return sent

    def add_node(self, address: Address, now: float) -> None:
        """Somebody says that a node is there: it is asked soon, if the table has use for it."""
        if not why_not_dialed(address):
            self._upkeep.named((Contact(b"", address),), now)

    def add_contacts(self, contacts: Iterable[Contact], now: float) -> None:
        """Nodes to start from; an id of b"" where only the address is known. They are believed when they answer."""
        known = [contact for contact in contacts if not why_not_dialed(contact.address)]
        if known:
            self._searches.add_contacts(known)
            self._upkeep.named([contact for contact in known if contact.id], now)
            self._upkeep.poor(now)

    def ping(self, address: Address, done: Callable[[Pong | DhtFault], None], now: float) -> Operation:
        """Ask whether a node is there."""

        def pong(reply: Reply) -> Pong:
            return Pong(reply.contact.id, address, reply.seconds, reply.version, reply.external)

        return self._ask(address, "ping", {}, done, pong, now)

    def query(
        self,
        address: Address,
        method: str,
        arguments: Mapping[bytes, Value],
        done: Callable[[Reply | DhtFault], None],
        now: float,
    ) -> Operation:
        """Ask one node anything; our id is added to the arguments.

        Raises:
            BencodeError: bencode cannot say the arguments.
        """
        return self._ask(address, method, arguments, done, lambda reply: reply, now)

    def sample(
        self, address: Address, target: bytes, done: Callable[[Samples | DhtFault], None], now: float
    ) -> Operation:
        """Ask one node for which torrents it knows peers (BEP 51), and for nodes near *target*."""
        return self._ask(address, "sample_infohashes", {b"target": target}, done, partial(_samples, v6=self.v6), now)

    def find_node(self, target: bytes, done: Callable[[Looked], None], now: float) -> Operation:
        """Look for the nodes nearest to an id."""
        return self._searches.start(FindNode(target), done, now)

    def get_peers(
        self,
        info_hash: bytes,
        heard: Callable[[list[Address]], None],
        done: Callable[[Looked], None],
        now: float,
        *,
        announce: Announcing | None = None,
        scrape: bool = False,
        noseed: bool = False,
    ) -> Operation:
        """Look for the peers of a torrent; *heard* is given new ones as they come.

        Args:
            info_hash: Its 20 bytes; of a v2 torrent the first 20.
            heard: Told new peers.
            done: Told the end.
            now: The time.
            announce: What to tell those nearest to the torrent about ourselves, if anything.
            scrape: Whether to ask how many there are.
            noseed: Whether to ask for peers that are no seeds.
        """
        purpose = GetPeers(info_hash, heard, announce, scrape=scrape, noseed=noseed)
        ours = partial(self._answers.peers_of, info_hash, now, noseed=noseed, scrape=scrape)
        return self._searches.start(purpose, done, now, ours)

    def get(
        self,
        target: bytes,
        done: Callable[[Looked], None],
        now: float,
        *,
        salt: bytes = b"",
        sequence: int | None = None,
    ) -> Operation:
        """Look for the newest version of an item; only one that is newer than *sequence*."""
        ours = partial(self._answers.item_of, target, now)
        return self._searches.start(GetItem(target, salt, sequence), done, now, ours)

    def put(self, item: Item, done: Callable[[Looked], None], now: float, *, cas: int | None = None) -> Operation:
        """Store an item at those nearest to its target, in place of version *cas* only, if that is given."""
        return self._searches.start(PutItem(item, cas), done, now)

    def bootstrap(self, done: Callable[[Looked], None] | None, now: float) -> Operation:
        """Look for our own id, so that those near to us are known, and know us."""
        self._upkeep.own_looked(now)
        return self._searches.start(FindNode(self.id), done or _ignored, now)

    def external(self, host: str, by: str, now: float) -> None:
        """Somebody at *by* says that our address is *host*. When enough say so, the node takes an id that fits it."""
        if (":" in host) != self.v6 or not self._votes.cast(host, by) or is_secure(self.id, host):
            return
        self.table.move(node_id_for(host, self._draw(ID_LENGTH)))
        self.bootstrap(None, now)

    def saved(self) -> tuple[bytes, tuple[Contact, ...]]:
        """Our id, and who is there: what to begin with another time."""
        return self.id, tuple(self.table.contacts())

    def _send(self, datagram: bytes, address: Address) -> None:
        if len(self._outbox) < MOST_OUTGOING:
            self.stats.bytes_out += len(datagram)
            self._outbox.append((datagram, address))
        else:
            self.stats.dropped["not sent"] += 1

    def _reply(self, reply: bytes | None, source: Address) -> None:
        if reply is not None:
            self._send(reply, source)

    def _answered(self, message: Answer | Refusal, source: Address, now: float) -> None:
        found = self._questions.receive(message, source, now)
        if found is None:
            return
        question, outcome = found
        if isinstance(outcome, Reply):
            self._answers.budgets.proven(source.host, now)
            self._searches.forget(source)
            if outcome.contact.id == self.id:
                outcome = DhtFault(f"{source} is ourselves, or has our id")
            else:
                if not self.table:
                    self._upkeep.changed(now)
                # liars name each other under ids that we would want; who knows few takes whoever is there
                false = question.named not in (b"", outcome.contact.id) and source not in self.table
                if (false and len(self.table) >= NEAREST) or not self.table.answered(outcome.contact, now):
                    self.stats.wrong_ids += 1
                if outcome.external:
                    self.external(outcome.external, source.host, now)
        if isinstance(outcome, DhtFault) and self.table.silent(source, now):
            self._failed(question, outcome, now)  # who only ever refuses is as good as gone
        else:
            question.heard(outcome, now)

    def _failed(self, question: Question, fault: DhtFault, now: float) -> None:
        """A question will not be answered. While nobody answers at all, it may be our line that is broken."""
        address = question.address
        lost = self.table.failed(address, now)
        self._upkeep.changed(now)
        self._searches.missed(address)
        if lost is not None and len(self.table) < NEAREST:
            self.add_contacts((lost,), now)
        question.heard(fault, now)

    def _check(self, address: Address) -> None:
        reason = why_not_dialed(address) or ("it is of another family" if address.is_v6 != self.v6 else "")
        if reason:
            raise DhtFault(f"{address} cannot be asked: {reason}")

    def _ask(
        self,
        address: Address,
        method: str,
        arguments: Mapping[bytes, Value],
        done: Callable[[_T | DhtFault], None],
        read_reply: Callable[[Reply], _T],
        now: float,
    ) -> Operation:
        head = query_head(method, {**arguments, b"id": self.id}, read_only=self._read_only)
        ended = False

        def end(outcome: _T | DhtFault) -> None:
            nonlocal ended
            if not ended:
                ended = True
                done(outcome)

        def heard(outcome: Outcome, now: float) -> None:
            if isinstance(outcome, DhtFault):
                end(outcome)
                return
            try:
                result = read_reply(outcome)
            except DhtFault as fault:
                end(fault)
            else:
                end(result)

        try:
            self._check(address)
            question = self._questions.ask(address, head, heard, now)
        except DhtFault as fault:
            self._soon.append(partial(end, fault))
            return Operation(lambda now: end(DhtFault("cancelled")))

        def cancel(now: float) -> None:
            self._questions.forget(question)
            end(DhtFault("cancelled"))

        return Operation(cancel)


def _ignored(looked: Looked) -> None:
    """Nobody wants to know."""


def _samples(reply: Reply, *, v6: bool) -> Samples:
    hashes, total, interval = (reply.values.get(key) for key in (b"samples", b"num", b"interval"))
    if not isinstance(hashes, bytes) or len(hashes) % ID_LENGTH:
        raise DhtFault(f"{reply.contact.address} gives no samples")
    nodes = reply.values.get(b"nodes6" if v6 else b"nodes")
    return Samples(
        tuple(hashes[start : start + ID_LENGTH] for start in range(0, len(hashes), ID_LENGTH)),
        total if isinstance(total, int) and total >= 0 else len(hashes) // ID_LENGTH,
        float(interval) if isinstance(interval, int) and interval >= 0 else 0.0,
        tuple(unpack_contacts(nodes, v6=v6, most=NEAREST)) if isinstance(nodes, bytes) else (),
    )
