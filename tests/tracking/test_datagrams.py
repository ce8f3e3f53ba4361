"""A tracker's side of UDP: who may ask, and how much anybody can make us send."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Address
from anabranch.tracker import Event
from anabranch.tracking import Announce, Counted
from anabranch.tracking.datagrams import Asked, Gate, announce_of, announced, refused, scrape_answer, scraped
from anabranch.tracking.swarms import Told
from tracking.asking import PEER, announce, connect, scrape
from tracking.peers import HASH, OTHER

HOST = "192.0.2.1"
ASKER = Address(HOST, 50_000)


def gate(secret: bytes = b"s" * 32) -> Gate:
    return Gate(secret)


def connected(at: Gate, now: float = 0.0, host: str = HOST) -> bytes:
    answer = at.receive(connect(), host, now)
    assert isinstance(answer, bytes)
    assert (len(answer), answer[:8]) == (16, struct.pack(">II", 0, 7))
    return answer[8:]


def test_who_connected_may_ask() -> None:
    """BEP 15."""
    one = gate()
    asked = one.receive(scrape(connected(one), HASH), HOST, 1.0)
    assert asked == Asked(2, struct.pack(">I", 9), HASH)


def test_a_connection_id_is_good_for_two_minutes_and_not_for_four() -> None:
    """BEP 15: clients use it for one, trackers take it for two; wherever in a minute it was given."""
    one = gate()
    for start in (0.0, 59.9, 1000.5):
        mine = connected(one, start)
        assert isinstance(one.receive(announce(mine), HOST, start + 119.9), Asked)
        assert isinstance(one.receive(announce(mine), HOST, start + 240.0), bytes)


def test_a_connection_id_is_good_for_its_host_and_its_tracker_alone() -> None:
    """Nobody can ask in another's name; the port may change, as routers do that."""
    one = gate()
    mine = connected(one)
    assert isinstance(one.receive(announce(mine), "192.0.2.2", 0.0), bytes)
    assert isinstance(gate(b"other" * 7).receive(announce(mine), HOST, 0.0), bytes)


@pytest.mark.parametrize("length", [15, 16, 36, 98, 1500])
def test_who_did_not_connect_gets_no_more_than_it_sent(length: int) -> None:
    """Else we could be made to flood somebody whose address is forged."""
    answer = gate().receive((scrape(b"x" * 8, HASH) * 40)[:length], HOST, 0.0)
    assert isinstance(answer, bytes)
    assert len(answer) <= length
    if length >= 98:
        assert answer[:8] == struct.pack(">II", 3, 9)
        assert b"connection id" in answer


@given(st.binary(max_size=200), st.sampled_from([b"", connect(), announce(b"12345678"), scrape(b"12345678", HASH)]))
def test_any_datagram_is_a_question_or_gets_little(noise: bytes, before: bytes) -> None:
    """Nothing that is made up is a question."""
    answer = gate().receive(before + noise, HOST, 0.0)
    assert isinstance(answer, bytes)
    assert len(answer) <= len(before + noise)


def test_an_announce_is_read() -> None:
    """With options behind it passed over (BEP 41)."""
    body = announce(b"12345678", downloaded=1, left=2, uploaded=3, event=1, wanted=5)[16:] + b"\x02\x04/key"
    assert announce_of(Asked(1, b"1234", body), ASKER, 9.0) == Announce(
        info_hash=HASH,
        peer_id=PEER,
        asker=ASKER,
        host=HOST,
        port=6881,
        event=Event.COMPLETED,
        left=2,
        uploaded=3,
        downloaded=1,
        wanted=5,
        key=b"\0\0\0\x05",
        at=9.0,
    )
    assert announce_of(Asked(1, b"1234", body[:81]), ASKER, 9.0) is None


@pytest.mark.parametrize("left", [2**63 - 1, 2**64 - 1])
def test_what_is_not_known_yet_is_not_known(left: int) -> None:
    """Clients say the largest number there is, or -1."""
    read = announce_of(Asked(1, b"1234", announce(b"12345678", left=left, wanted=-1, event=99)[16:]), ASKER, 0.0)
    assert read is not None
    assert (read.left, read.wanted, read.event) == (None, 50, Event.NONE)


def test_another_address_is_believed_from_this_machine_alone() -> None:
    """As over HTTP."""
    asked = Asked(1, b"1234", announce(b"12345678", ip=bytes([192, 168, 1, 9]))[16:])
    for asker, host in ((ASKER, HOST), (Address("127.0.0.1", 5), "192.168.1.9"), (Address("::1", 5), "::1")):
        read = announce_of(asked, asker, 0.0)
        assert read is not None
        assert read.host == host


def test_an_announce_is_answered_in_one_packet() -> None:
    """One that is cut in two gets lost twice as often, or always."""
    told = Told(Counted(1, 2, 3), [bytes([number]) * 6 for number in range(250)], [b"6" * 18] * 250, lambda _: b"")
    assert announced(b"1234", told, 1800, v6=False)[:32] == struct.pack(">I4sIII", 1, b"1234", 1800, 2, 1) + bytes(
        6
    ) + bytes([1] * 6)
    assert len(announced(b"1234", told, 1800, v6=False)) == 1232
    assert len(announced(b"1234", told, 1800, v6=True)) == 20 + 67 * 18


def test_a_scrape_is_answered_in_the_order_of_the_question() -> None:
    """BEP 15: of 74 at most, and a part of a hash is none."""
    assert scraped(Asked(2, b"1234", HASH + OTHER + b"xyz")) == [HASH, OTHER]
    assert len(scraped(Asked(2, b"1234", HASH * 80))) == 74
    assert scrape_answer(b"1234", [Counted(1, 2, 3)]) == struct.pack(">I4sIII", 2, b"1234", 1, 3, 2)


def test_a_refusal_is_not_longer_than_a_packet() -> None:
    """Whatever its words."""
    assert refused(b"1234", "no") == b"\0\0\0\x031234no"
    assert len(refused(b"1234", "ü" * 5000)) <= 508
