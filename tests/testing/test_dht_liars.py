"""Liars of a simulated DHT: each does what its kind says."""

from __future__ import annotations

from random import Random

import pytest

from anabranch.model import Address
from anabranch.testing.dht_liars import LIAR_KINDS, Liar, NodeAt, Underworld
from anabranch.testing.dht_talk import distance, nodes_in, part, query, read

ASKER = Address("9.9.9.9", 999)
TARGET = bytes(range(20))
HONEST = [(Random(number).randbytes(20), Address(f"5.5.{number}.5", 5)) for number in range(100)]
VICTIM = Address("8.8.8.8", 53)


def world() -> Underworld:
    draw = Random(3)
    liars: list[NodeAt] = [(draw.randbytes(20), Address(f"6.6.{number}.6", 6)) for number in range(5)]

    def nobody() -> Address:
        return Address(f"7.7.{draw.randrange(256)}.7", 7)

    return Underworld(draw, lambda datagram, source, target: None, [*HONEST], liars, nobody, [VICTIM])


def told_by(kind: str, *, now: float = 0.0, question: bytes = b"") -> dict[bytes, object]:
    """What a liar answers to who looks for peers."""
    around = world()
    liar = Liar(kind, b"L" * 20, Address("6.6.6.6", 6), around, 0.0)
    question = question or query(b"get_peers", b"A" * 20, b"tt", info_hash=TARGET)
    liar.receive(question, ASKER, now)
    answers = liar.outgoing()
    assert all(to == ASKER for _, to in answers)
    return read(answers[0][0]) if answers else {}


@pytest.mark.parametrize("kind", LIAR_KINDS)
def test_every_kind_answers_a_ping_as_one_who_is_there(kind: str) -> None:
    """Or it would be in nobody's table. Those whose transaction or id is wrong are not."""
    answer = told_by(kind, question=query(b"ping", b"A" * 20, b"tt"))
    is_right = answer[b"t"] == b"tt" and part(answer, b"r")[b"id"] == b"L" * 20
    assert is_right == (kind not in ("wrong-transaction", "wrong-id"))


def test_the_nodes_that_are_named_are_what_the_kind_says() -> None:
    """Honest ones are the nearest that the liar knows of."""
    named = {kind: nodes_in(part(told_by(kind), b"r")) for kind in LIAR_KINDS if kind != "noise"}
    assert {node in HONEST or node[1].host.startswith("6.6.") for node in named["forgetful"]} == {True}
    assert {address.host[:3] for _, address in named["ghosts"]} == {"7.7"}
    assert {address.host[:3] for _, address in named["eclipse"] + named["chameleon"]} == {"6.6"}
    assert set(named["clique"]) == set(world().liars)
    assert {address for _, address in named["victims"]} == {VICTIM}
    assert {address for _, address in named["themselves"]} == {ASKER}
    assert named["false-peers"] == []
    assert len(named["huge"]) == 32
    assert max(distance(node_id, TARGET) for node_id, _ in named["eclipse"]) < 1 << 100


def test_who_fades_is_silent_after_a_while() -> None:
    """Honest until then."""
    assert told_by("fades", now=100.0)
    assert not told_by("fades", now=1000.0)


def test_what_is_unknown_is_refused() -> None:
    """As by an honest node."""
    assert told_by("ghosts", question=query(b"vote", b"A" * 20))[b"e"] == [204, b"Method Unknown"]
    announce = query(b"announce_peer", b"A" * 20, info_hash=TARGET, port=1, token=b"tokn")
    assert told_by("forgetful", question=announce)[b"e"] == [203, b"Bad token"]
    assert part(told_by("ghosts", question=announce), b"r") == {b"id": b"L" * 20}


def test_a_liar_makes_itself_known_and_speaks_for_victims() -> None:
    """By questions: nobody is found who never asks."""
    sent: list[tuple[Address, Address]] = []
    around = world()
    around.send = lambda datagram, source, target: sent.append((source, target))
    liar = Liar("spoofs", b"L" * 20, Address("6.6.6.6", 6), around, 0.0)
    liar.tick(liar.deadline())
    [(question, _)] = liar.outgoing()
    assert read(question)[b"q"] == b"find_node"
    assert {source for source, _ in sent} == {VICTIM}
    assert around.spoofed > 500
    assert liar.deadline() > 0
