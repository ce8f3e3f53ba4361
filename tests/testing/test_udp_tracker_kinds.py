"""What trackers say over UDP, without a socket."""

from __future__ import annotations

from random import Random

import pytest

from anabranch.testing.scene import Pause
from anabranch.testing.tracker_talk import Elsewhere, OverUdp, UdpQuestion, UdpStep
from anabranch.testing.udp_tracker_kinds import UDP_KINDS, right

CONNECT = bytes.fromhex("0000041727101980 00000000 01020304")
ANNOUNCE = b"CONNECTD" + bytes.fromhex("00000001 01020304") + b"h" * 20 + bytes(62)
SCRAPE = b"CONNECTD" + bytes.fromhex("00000002 01020304") + b"h" * 20 + b"i" * 20


def asked(datagram: bytes, number: int = 0) -> UdpQuestion:
    return UdpQuestion(datagram, number, Random(1))


def played(kind: str, datagram: bytes, number: int = 0) -> list[UdpStep]:
    serves = UDP_KINDS[kind].serves
    assert isinstance(serves, OverUdp)
    return list(serves.script(asked(datagram, number)))


def test_a_question_is_taken_apart_as_bep_15_has_it() -> None:
    """Connection id, action, transaction id, and what it is about."""
    scrape = asked(SCRAPE)
    assert (scrape.connection, scrape.action, scrape.transaction) == (b"CONNECTD", 2, b"\1\2\3\4")
    assert scrape.info_hashes == [b"h" * 20, b"i" * 20]
    assert asked(ANNOUNCE).info_hashes == [b"h" * 20]


def test_what_is_right_is_right_to_the_byte() -> None:
    """A connection id; interval, leechers, seeders and peers; and numbers of each torrent."""
    assert right(asked(CONNECT)) == bytes.fromhex("00000000 01020304") + b"CONNECTD"
    assert right(asked(ANNOUNCE)).hex(" ", 4) == (
        "00000001 01020304 00000708 00000004 00000003 c0000207 1ae1c000 02081ae1"
    )
    assert right(asked(SCRAPE)) == bytes.fromhex("00000002 01020304" + "00000003 00000005 00000004" * 2)


@pytest.mark.parametrize("kind", [kind for kind in UDP_KINDS if kind not in ("udp-noise", "udp-noise-then")])
def test_who_works_says_what_is_right_and_others_do_not(kind: str) -> None:
    """To a connect or an announce, sooner or later; but for who forgets, and who has other values."""
    if kind in ("udp-forgets-once", "udp-values", "udp-large", "udp-id-zero", "udp-peers-cut"):
        return
    steps = [played(kind, datagram) for datagram in (CONNECT, ANNOUNCE)]
    is_right = [right(asked(datagram)) in said for datagram, said in zip((CONNECT, ANNOUNCE), steps, strict=True)]
    late = any(isinstance(step, Pause) and step.seconds > 100 for said in steps for step in said)
    assert (all(is_right) and not late) is UDP_KINDS[kind].works


def test_a_short_reply_is_as_short_as_its_name_says() -> None:
    """And the beginning of the right one."""
    assert played("udp-announce-9", ANNOUNCE) == [right(asked(ANNOUNCE))[:9]]
    assert played("udp-announce-9", CONNECT) == [right(asked(CONNECT))]
    assert played("udp-connect-15", CONNECT) == [right(asked(CONNECT))[:15]]


def test_who_forgets_knows_the_second_connection_id() -> None:
    """The first announce is refused, as is whoever comes with its id."""
    assert played("udp-forgets-once", CONNECT, 0) == [right(asked(CONNECT))]
    [refusal] = played("udp-forgets-once", ANNOUNCE, 1)
    assert isinstance(refusal, bytes)
    assert refusal[:4] == b"\0\0\0\3"
    assert played("udp-forgets-once", ANNOUNCE, 3) == [right(asked(ANNOUNCE))]


def test_who_answers_from_elsewhere_says_so() -> None:
    """From another port, or from another address."""
    assert played("udp-elsewhere", CONNECT) == [Elsewhere(right(asked(CONNECT)))]
    assert played("udp-abroad", CONNECT) == [Elsewhere(right(asked(CONNECT)), abroad=True)]
