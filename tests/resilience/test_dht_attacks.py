"""A DHT node under attack, in virtual time: what it sends and holds is counted, and whom it still answers.

Source of the limits: whoever has not shown that he gets what we send is sent no more than three times what came in his
name (RFC 9000, 8.1), and what a node remembers of others is bounded, whoever they say they are.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.dht import Node
from anabranch.model import Address
from anabranch.testing import DHT_ATTACKS
from anabranch.testing.dht_scene import DhtScene
from anabranch.testing.dht_siege import Siege, SiegeReport
from anabranch.testing.dht_spoilers import mutated
from anabranch.testing.dht_weight import weight

MOST_AMPLIFIED = 3.0
MIB = 1024 * 1024
MOST_HELD = 2 * MIB  # bytes; most of it are torrents and items of strangers, of which there may be so many
MOST_LURED = 3000  # bytes of questions to a victim whom liars name to us for 15 seconds, in a dozen look-ups of ours
NODE = Address("31.7.1.9", 6881)
STRANGER = Address("45.9.8.7", 50_000)
# Who floods as if he were everybody is not told apart from everybody; the others do not keep callers from being heard
DROWNS = {"flood-spoofed"}


@lru_cache
def outcome(name: str) -> SiegeReport:
    return Siege(seed=1).under(name)


@pytest.mark.parametrize("name", DHT_ATTACKS)
def test_honest_callers_are_answered_while_it_lasts_and_after(name: str) -> None:
    """Ping and find_node: within two seconds when it is over."""
    report = outcome(name)
    assert report.back_after <= 2.0
    assert report.answered == report.calls or name in DROWNS


@pytest.mark.parametrize("name", DHT_ATTACKS)
def test_nobody_is_sent_more_than_three_times_what_came_in_his_name(name: str) -> None:
    """Answers and questions together, to each who never showed that he hears us, and to all of them."""
    report = outcome(name)
    assert max(report.amplified, report.victim) <= MOST_AMPLIFIED
    assert report.lured <= MOST_LURED


@pytest.mark.parametrize("name", DHT_ATTACKS)
def test_what_is_held_in_memory_is_bounded(name: str) -> None:
    """However many say something, and however much."""
    report = outcome(name)
    assert report.before < report.most <= MOST_HELD


@pytest.mark.parametrize("name", DHT_ATTACKS)
def test_the_table_keeps_who_is_honest_and_takes_no_ghosts(name: str) -> None:
    """Good nodes do not give way, and nobody is let in who was only named."""
    report = outcome(name)
    assert report.kept == 1.0
    assert report.ghosts == 0


def test_the_same_seed_gives_the_same_attack() -> None:
    """Who finds a limit broken can look at it again."""
    first, again, other = (Siege(seed).under("mutated") for seed in (1, 1, 2))
    assert first == again != other


def _scene(seed: int) -> DhtScene:
    return DhtScene(NODE, (STRANGER,), STRANGER, lambda: STRANGER, lambda: STRANGER, Random(seed))


@given(seed=st.integers(0, 2**32), sources=st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=5))
def test_a_spoiled_message_of_any_kind_is_borne(seed: int, sources: list[int]) -> None:
    """From anywhere: never an error, and never an answer of more than three times its size."""
    draw = Random(seed)
    node = Node(v6=False, draw=draw.randbytes, now=0.0)
    now = 0.0
    for source in sources:
        address = Address(".".join(map(str, source.to_bytes(4, "big"))), draw.randrange(65536))
        for message in _scene(seed).valid():
            spoiled = mutated(message, draw)
            node.receive(spoiled, address, now)
            assert sum(len(sent) for sent, _ in node.outgoing()) <= MOST_AMPLIFIED * len(spoiled)
            now += 0.1
    node.tick(now + 60.0)


@given(noise=st.lists(st.binary(max_size=120), max_size=20), beginning=st.sampled_from([b"", b"d", b"d1:ad2:id20:"]))
def test_any_bytes_are_borne(noise: list[bytes], beginning: bytes) -> None:
    """They are no message, or one that is answered."""
    node = Node(v6=False, draw=Random(1).randbytes, now=0.0)
    for datagram in noise:
        node.receive(beginning + datagram, STRANGER, 0.0)
        node.outgoing()
    node.tick(1.0)


def test_a_million_strangers_leave_nothing_behind() -> None:
    """A hundred thousand here: what is remembered of them does not grow with their number."""
    node, draw = Node(v6=False, draw=Random(1).randbytes, now=0.0), Random(2)
    held = []
    for turn in range(10):
        for number in range(10_000):
            now = turn * 10.0 + number / 1000
            address = Address(f"100.{turn * 4 + number // 2500 + 128 & 255}.{number % 256}.{number // 256}", 6881)
            node.receive(b"d1:ad2:id20:%be1:q4:ping1:t2:aa1:y1:qe" % draw.randbytes(20), address, now)
            node.outgoing()
            if number % 100 == 0:
                node.tick(now)
        held.append(weight(node))
    assert max(held) < 4 * MIB
    assert held[-1] < 1.5 * held[1]
