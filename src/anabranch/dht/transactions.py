"""Questions that are open: who was asked what, and whether what comes is the answer.

Source: BEP 5 ("transaction id"). Only who was asked can answer, from the very address and with 32 bits of chance that
nobody else has seen; the rest is counted and passed over. Nobody is asked twice because a datagram was lost: a look-up
asks somebody else, and the table asks again in its own time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import TypeAlias

from anabranch.model import Address

from .contacts import Contact
from .faults import DhtFault
from .krpc import Answer, Refusal, query
from .operations import Reply
from .stats import NodeStats

SLOW = 1.0  # seconds after which a look-up asks somebody else as well
PATIENCE = 6.0  # seconds after which no answer is expected any more
MOST_OPEN = 2048  # questions
MOST_TO_ONE = 48  # open questions to one address: more than look-ups that are under way at once
_TRANSACTION_LENGTH = 4  # bytes

Outcome: TypeAlias = "Reply | DhtFault"


@dataclass(slots=True, eq=False)
class Question:
    """One query that was sent.

    Args:
        transaction: Its id.
        address: Who was asked.
        heard: Told once what came of it, with the time.
        asked: When it was sent.
        due: When time does something to it.
        slow: Told when the answer takes longer than most.
        named: The id under which it is known; b"" where only the address is.
    """

    transaction: bytes
    address: Address
    heard: Callable[[Outcome, float], None]
    asked: float
    due: float
    slow: Callable[[float], None] | None = field(default=None)
    named: bytes = b""


class Questions:
    """All open questions of a node.

    Args:
        draw: Gives that many random bytes.
        send: Queues a datagram.
        stats: What is counted.
        version: Sent with each query.
        banned: Says which hosts are not asked.
    """

    __slots__ = ("_agenda", "_banned", "_by_address", "_draw", "_open", "_send", "_stats", "version")

    def __init__(
        self,
        draw: Callable[[int], bytes],
        send: Callable[[bytes, Address], None],
        stats: NodeStats,
        version: bytes = b"",
        banned: Callable[[str], bool] | None = None,
    ) -> None:
        self._draw = draw
        self._send = send
        self._stats = stats
        self.version = version
        self._banned = banned
        self._open: dict[bytes, Question] = {}
        self._by_address: dict[Address, int] = {}  # how many are open
        self._agenda: list[tuple[float, bytes]] = []  # heap of (due, transaction), all of them gone when due

    def __len__(self) -> int:
        return len(self._open)

    def ask(
        self,
        address: Address,
        head: bytes,
        heard: Callable[[Outcome, float], None],
        now: float,
        slow: Callable[[float], None] | None = None,
        named: bytes = b"",
    ) -> Question:
        """Send a query.

        Args:
            address: Who is asked.
            head: What query_head() made.
            heard: Told once what came of it, with the time; not from within this call.
            now: The time.
            slow: Told if no answer came within SLOW seconds.
            named: The id under which it is known; b"" where only the address is.

        Raises:
            DhtFault: the host is banned, or too many questions are open, there or in all.
        """
        if self._banned is not None and self._banned(address.host):
            raise DhtFault(f"{address} is banned")
        to_one = self._by_address.get(address, 0)
        if len(self._open) >= MOST_OPEN or to_one >= MOST_TO_ONE:
            where = f" to {address}" if to_one >= MOST_TO_ONE else ""
            raise DhtFault(f"too many questions{where} are open")
        transaction = self._draw(_TRANSACTION_LENGTH)
        while transaction in self._open:
            transaction = self._draw(_TRANSACTION_LENGTH)
        question = Question(transaction, address, heard, now, now + (PATIENCE if slow is None else SLOW), slow, named)
        self._open[transaction] = question
        self._by_address[address] = to_one + 1
        heappush(self._agenda, (question.due, transaction))
        self._stats.asked += 1
        self._send(query(head, transaction, self.version), address)
        return question

    def awaits(self, address: Address) -> bool:
        """Whether an answer may come from there."""
        return address in self._by_address

    def forget(self, question: Question) -> None:
        """Nobody waits for that answer any more."""
        if self._open.get(question.transaction) is question:
            self._close(question)

    def receive(self, message: Answer | Refusal, source: Address, now: float) -> tuple[Question, Outcome] | None:
        """The question that a message answers, and what it says; None where it answers none."""
        question = self._open.get(message.transaction)
        if question is None or question.address != source:
            self._stats.strays += 1
            return None
        self._close(question)
        self._stats.replies += 1
        if isinstance(message, Refusal):
            return question, DhtFault(f"{source} refused: {message.code} {message.text}".rstrip(), message.code)
        seconds = now - question.asked
        contact = Contact(message.id, source)
        return question, Reply(message.values, contact, seconds, message.version, message.external)

    def lost(self, datagram: bytes, address: Address) -> Question | None:
        """Somebody says that a datagram did not arrive: the question that was in it, now closed."""
        for question in self._open.values() if address in self._by_address else ():
            if question.address == address and question.transaction in datagram:
                self._close(question)
                return question
        return None

    def tick(self, now: float) -> list[Question]:
        """Let time pass; return the questions that will not be answered any more."""
        over, slow = [], []
        while self._agenda and self._agenda[0][0] <= now:
            due, transaction = heappop(self._agenda)
            question = self._open.get(transaction)
            if question is None or question.due != due:
                continue
            if question.slow is not None and now < question.asked + PATIENCE:
                slow.append(question.slow)
                question.slow = None
                question.due = question.asked + PATIENCE
                heappush(self._agenda, (question.due, transaction))
            else:
                self._close(question)
                self._stats.timeouts += 1
                over.append(question)
        for tell in slow:
            tell(now)
        return over

    def deadline(self) -> float:
        """When tick() is next due; now and then earlier than needed."""
        return self._agenda[0][0] if self._agenda else inf

    def _close(self, question: Question) -> None:
        del self._open[question.transaction]
        left = self._by_address[question.address] - 1
        if left:
            self._by_address[question.address] = left
        else:
            del self._by_address[question.address]
        if not self._open:
            self._agenda.clear()
