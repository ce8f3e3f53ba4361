"""What a query says to a tracker, and the answers, read by our own client."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote_from_bytes, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import decode, encode
from anabranch.model import Address
from anabranch.tracker import Event
from anabranch.tracking.announces import Announce, Refusal
from anabranch.tracking.queries import announce_of, announced, scrape_answer, scraped
from anabranch.tracking.requests import Request
from anabranch.tracking.swarms import Counted, Told
from tracking.peers import HASH, OTHER, compact, peer

ASKER = Address("192.0.2.7", 50_000)
ID = b"-AB0001- +&=%\xff\x00\x7f~.ab"
PLAIN = f"info_hash={quote_from_bytes(HASH)}&peer_id={quote_from_bytes(ID)}&port=6881"


def read(query: str | bytes, asker: Address = ASKER) -> Announce:
    raw = query.encode("latin-1") if isinstance(query, str) else query
    return announce_of(Request(b"/announce", raw, user_agent="x/1"), asker, 5.0)


def test_everything_that_is_said_is_read() -> None:
    """As libtorrent says it."""
    said = read(
        f"{PLAIN}&uploaded=1&downloaded=2&left=3&corrupt=0&key=0000ABCD&event=started&numwant=77&compact=1&no_peer_id=1"
    )
    assert said == Announce(
        info_hash=HASH,
        peer_id=ID,
        asker=ASKER,
        host="192.0.2.7",
        port=6881,
        event=Event.STARTED,
        left=3,
        uploaded=1,
        downloaded=2,
        wanted=77,
        key=b"\0\0\xab\xcd",
        with_ids=False,
        carrier="http",
        target=said.target,
        user_agent="x/1",
        at=5.0,
    )
    assert said.target.startswith("/announce?info_hash=%00%01")


@pytest.mark.parametrize("escape", [quote_from_bytes, quote_plus, lambda raw: "".join(f"%{b:02X}" for b in raw)])
def test_bytes_come_through_exactly_however_they_are_escaped(escape: object) -> None:
    """Blanks come as %20 or as a plus; all of a hash or only what must be may be escaped."""
    assert callable(escape)
    raw = bytes(range(0x18, 0x2C))  # a blank, a percent sign, an ampersand and a plus among them
    assert read(f"info_hash={escape(raw)}&peer_id={escape(ID)}&port=1").info_hash == raw
    assert read(f"info_hash={escape(raw)}&peer_id={escape(ID)}&port=1").peer_id == ID


def test_bytes_that_nobody_escaped_are_taken_as_they_are() -> None:
    """Some clients leave what is above 0x7F."""
    raw = bytes(range(0xE0, 0xF4))
    assert read(b"info_hash=" + raw + b"&peer_id=%41" + b"a" * 19 + b"&port=1").info_hash == raw


def test_what_may_be_missing_may_be_missing() -> None:
    """And what is not known is not refused: -1 for unknown, "paused" (BEP 21)."""
    said = read(PLAIN)
    assert (said.left, said.event, said.wanted, said.key, said.is_compact) == (None, Event.NONE, 50, b"", True)
    assert read(PLAIN + "&left=-1&event=paused&numwant=-1&numwant=3").left is None
    assert read(PLAIN + "&port=0").port == 6881
    assert read(PLAIN + "&key=secret word&compact=0").key == b"secret word"
    assert read(PLAIN + "&key=secret").key == b"secret"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "missing info_hash"),
        (f"info_hash={quote_from_bytes(HASH)}", "missing peer_id"),
        (f"info_hash=%00%01&peer_id={quote_from_bytes(ID)}&port=1", "invalid info_hash: it has 20 bytes, not 2"),
        (PLAIN.replace("port=6881", "port="), "missing port"),
        (PLAIN.replace("6881", "65536"), "invalid port"),
        (PLAIN.replace("6881", "x"), "invalid port"),
        (f"{PLAIN}&left=many", "invalid left"),
        (f"{PLAIN}&left=12345678901234567890", "invalid left"),
        (f"{PLAIN}&uploaded=1.5", "invalid uploaded"),
        (f"{PLAIN}&downloaded=²", "invalid downloaded"),
    ],
)
def test_what_is_wrong_is_said_in_words(query: str, words: str) -> None:
    """Whoever wrote that client reads them."""
    with pytest.raises(Refusal, match=words):
        read(query)


@given(st.binary(max_size=80), st.sampled_from([b"", PLAIN.encode() + b"&"]))
def test_any_query_is_read_or_refused(noise: bytes, before: bytes) -> None:
    """Nothing else comes out."""
    request = Request(b"/announce", before + noise)
    for look in (lambda: announce_of(request, ASKER, 0.0), lambda: scraped(request)):
        with suppress(Refusal):
            look()


def test_another_address_is_believed_from_this_machine_alone() -> None:
    """Anybody else could send a swarm to a stranger's door; and of another family it would be told to nobody."""
    near = Address("127.0.0.1", 5)
    assert read(f"{PLAIN}&ip=192.168.1.9", near).host == "192.168.1.9"
    for told, asker in (("192.168.1.9", ASKER), ("fd00::5", near), ("my.name", near), ("", near)):
        assert read(f"{PLAIN}&ip={told}", asker).host == asker.host
    assert read(f"{PLAIN}&ip=192.168.1.9", Address("192.168.1.2", 5)).host == "192.168.1.2"
    assert read(f"{PLAIN}&ip=fd00:0::5", Address("::1", 5)).host == "fd00::5"


def test_a_scrape_is_about_named_torrents_each_once() -> None:
    """All at once would be megabytes for a line."""
    both = f"info_hash={quote_from_bytes(HASH)}&x=1&info_hash={quote_from_bytes(OTHER)}"
    assert scraped(Request(b"/scrape", f"{both}&{both}".encode())) == [HASH, OTHER]
    for query, words in (
        (b"", "missing info_hash"),
        (b"info_hash=short", "20 bytes"),
        (b"&".join([b"info_hash=" + b"a" * 20] * 201), "too many"),
    ):
        with pytest.raises(Refusal, match=words):
            scraped(Request(b"/scrape", query))


V4, V6 = compact("192.0.2.1", 6881), bytes.fromhex("20010db8" + "00" * 11 + "05" + "1ae1")


def told(v4: list[bytes], v6: list[bytes]) -> Told:
    return Told(Counted(1, 2, 3), v4, v6, lambda _: ID)


def test_an_announce_is_answered_with_packed_addresses() -> None:
    """BEP 23, BEP 24; peers6 (BEP 7) where there are any, or who asks is one."""
    answer = decode(announced(peer(1), told([V4, V4], []), 1800, 60))
    assert answer == {
        b"complete": 1,
        b"downloaded": 3,
        b"external ip": bytes([192, 0, 2, 1]),
        b"incomplete": 2,
        b"interval": 1800,
        b"min interval": 60,
        b"peers": V4 + V4,
    }
    answer = decode(announced(peer(1, host="2001:db8::1"), told([], [V6]), 1800, 60))
    assert isinstance(answer, dict)
    assert (answer[b"peers"], answer[b"peers6"], len(bytes(str(answer[b"external ip"]), "ascii")) > 16) == (
        b"",
        V6,
        True,
    )
    assert b"peers6" in announced(peer(1, host="2001:db8::1"), told([], []), 1800, 60)


def test_who_wants_a_list_gets_a_list() -> None:
    """BEP 3, with ids unless they are not wanted; IPv6 among the others."""
    answer = decode(announced(peer(1, is_compact=False), told([V4], [V6]), 1800, 60))
    assert isinstance(answer, dict)
    assert answer[b"peers"] == [
        {b"ip": b"192.0.2.1", b"peer id": ID, b"port": 6881},
        {b"ip": b"2001:db8::5", b"peer id": ID, b"port": 6881},
    ]
    assert b"peer id" not in announced(peer(1, is_compact=False, with_ids=False), told([V4], []), 1800, 60)


def test_a_scrape_is_answered_with_numbers() -> None:
    """BEP 48."""
    assert scrape_answer({HASH: Counted(1, 2, 3)}) == encode(
        {"files": {HASH: {"complete": 1, "downloaded": 3, "incomplete": 2}}}
    )
