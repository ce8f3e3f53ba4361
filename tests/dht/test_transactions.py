"""Open questions: what answers them, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from math import inf

import pytest

from anabranch.dht import Answer, DhtFault, NodeStats, Refusal, Reply, read
from anabranch.dht.krpc import query_head
from anabranch.dht.transactions import MOST_OPEN, MOST_TO_ONE, PATIENCE, SLOW, Outcome, Questions
from anabranch.model import Address
from dht.small_dht import address

HEAD = query_head("ping", {b"id": b"i" * 20})


class Asking:
    """Questions, and what was sent and heard."""

    def __init__(self, banned: Callable[[str], bool] | None = None) -> None:
        numbers = count(1)
        self.sent: list[tuple[bytes, Address]] = []
        self.heard: list[tuple[Outcome, float]] = []
        self.slow: list[float] = []
        self.stats = NodeStats()
        self.questions = Questions(
            lambda size: next(numbers).to_bytes(size, "big"), self._send, self.stats, banned=banned
        )

    def ask(self, number: int = 1, now: float = 0.0) -> bytes:
        """Ask somebody; the transaction id."""
        self.questions.ask(address(number), HEAD, self._heard, now, self.slow.append)
        return read(self.sent[-1][0]).transaction

    def _send(self, datagram: bytes, where: Address) -> None:
        self.sent.append((datagram, where))

    def _heard(self, outcome: Outcome, now: float) -> None:
        self.heard.append((outcome, now))


def pong(transaction: bytes) -> Answer:
    return Answer(transaction, b"t" * 20, {}, b"LT01", "1.2.3.4")


def test_an_answer_from_who_was_asked_counts() -> None:
    """Once; the same again answers nothing."""
    asking = Asking()
    transaction = asking.ask()
    assert asking.sent[0][1] == address(1)
    assert len(transaction) == 4
    found = asking.questions.receive(pong(transaction), address(1), 0.25)
    assert found is not None
    assert isinstance(found[1], Reply)
    assert (found[1].contact.id, found[1].seconds, found[1].version) == (b"t" * 20, 0.25, b"LT01")
    assert asking.questions.receive(pong(transaction), address(1), 0.3) is None
    assert (asking.stats.replies, asking.stats.strays) == (1, 1)
    assert asking.questions.deadline() == inf


@pytest.mark.parametrize("source", [address(2), address(1, 6882), Address("::1", 6881)])
def test_an_answer_from_anywhere_else_does_not(source: Address) -> None:
    """Who sees or guesses a transaction id does not speak for others: he would have to take their address too."""
    asking = Asking()
    assert asking.questions.receive(pong(asking.ask()), source, 0.1) is None
    assert asking.stats.strays == 1
    assert len(asking.questions) == 1


def test_an_answer_to_nothing_does_not() -> None:
    """A made-up transaction id."""
    asking = Asking()
    asking.ask()
    assert asking.questions.receive(pong(b"zzzz"), address(1), 0.1) is None


def test_an_error_is_a_fault_with_its_number() -> None:
    """The number says what to do about it."""
    asking = Asking()
    found = asking.questions.receive(Refusal(asking.ask(), 302, "sequence too low"), address(1), 0.1)
    assert found is not None
    assert isinstance(found[1], DhtFault)
    assert found[1].code == 302
    assert str(found[1]) == f"{address(1)} refused: 302 sequence too low"


def test_silence_is_slow_first_and_then_an_end() -> None:
    """Somebody else is asked early; who is slow may still answer."""
    asking = Asking()
    transaction = asking.ask()
    assert asking.questions.deadline() == SLOW
    assert asking.questions.tick(SLOW - 0.1) == []
    assert asking.questions.tick(SLOW) == []
    assert asking.slow == [SLOW]
    assert asking.questions.deadline() == PATIENCE
    [over] = asking.questions.tick(PATIENCE)
    assert over.address == address(1)
    assert asking.stats.timeouts == 1
    assert asking.questions.receive(pong(transaction), address(1), PATIENCE + 0.1) is None


def test_a_clock_that_jumps_ends_what_had_its_time() -> None:
    """After a sleep nothing is slow any more."""
    asking = Asking()
    asking.ask()
    assert len(asking.questions.tick(100.0)) == 1
    assert asking.slow == []


def test_a_forgotten_question_is_told_nothing() -> None:
    """Nor is it in the way of others."""
    asking = Asking()
    question = asking.questions.ask(address(1), HEAD, asking._heard, 0.0)
    asking.questions.forget(question)
    asking.questions.forget(question)
    assert asking.questions.tick(100.0) == []
    assert len(asking.questions) == 0


def test_open_questions_are_limited_to_each_address_and_in_all() -> None:
    """Nobody is flooded by our asking, and memory stays what it is."""
    asking = Asking()
    for _ in range(MOST_TO_ONE):
        asking.ask(1)
    with pytest.raises(DhtFault, match="too many questions to"):
        asking.ask(1)
    for number in range(2, 2 + MOST_OPEN - MOST_TO_ONE):
        asking.ask(number)
    with pytest.raises(DhtFault, match="too many questions are open"):
        asking.ask(1_000_000)
    assert len(asking.questions.tick(PATIENCE)) == MOST_OPEN
    asking.ask(1, now=10.0)


def test_a_banned_host_is_not_asked() -> None:
    """The user's list holds in both directions."""
    asking = Asking(banned=lambda host: host == address(1).host)
    with pytest.raises(DhtFault, match="banned"):
        asking.ask(1)
    asking.ask(2)


def test_word_that_nobody_is_there_ends_the_question_that_was_sent_there() -> None:
    """With what was sent as a proof: anybody can say so who does not know it."""
    asking = Asking()
    asking.ask(1)
    asking.ask(2)
    assert asking.questions.lost(b"d1:ad2:id20:", address(1)) is None
    assert asking.questions.lost(asking.sent[0][0], address(2)) is None
    assert asking.questions.lost(asking.sent[0][0], address(3)) is None
    question = asking.questions.lost(asking.sent[0][0], address(1))
    assert question is not None
    assert len(asking.questions) == 1
