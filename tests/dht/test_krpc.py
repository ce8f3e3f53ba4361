"""Messages of the DHT: what BEP 5 shows, and what strangers send."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import Value, encode
from anabranch.dht import Answer, Malformed, Query, Refusal, krpc, read

ME, THEM = b"abcdefghij0123456789", b"mnopqrstuvwxyz123456"
IDS = st.binary(min_size=20, max_size=20)
TRANSACTIONS = st.binary(min_size=1, max_size=krpc.MAX_TRANSACTION)
VALUES = st.recursive(
    st.integers(-(10**18), 10**18) | st.binary(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=9), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from([b"a", b"r", b"e", b"q", b"t", b"y", b"v", b"ip", b"ro"])


@pytest.mark.parametrize(
    ("datagram", "method", "arguments"),
    [
        (b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", "ping", {}),
        (
            b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
            "find_node",
            {b"target": THEM},
        ),
        (
            b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
            "get_peers",
            {b"info_hash": THEM},
        ),
        (
            b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e"
            b"5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
            "announce_peer",
            {b"info_hash": THEM, b"implied_port": 1, b"port": 6881, b"token": b"aoeusnth"},
        ),
    ],
)
def test_the_queries_that_bep_5_shows_are_read_and_written(
    datagram: bytes, method: str, arguments: dict[bytes, Value]
) -> None:
    """Byte by byte, in both directions."""
    everything = {b"id": ME, **arguments}
    assert read(datagram) == Query(b"aa", method, ME, everything, False)
    assert krpc.query(krpc.query_head(method, everything), b"aa") == datagram


def test_the_answers_and_errors_that_bep_5_shows_are_read() -> None:
    """Their transaction ids are ours."""
    pong = b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re"
    assert read(pong) == Answer(b"aa", THEM, {b"id": THEM}, b"", "")
    error = b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee"
    assert read(error) == Refusal(b"aa", 201, "A Generic Error Ocurred")


def test_who_asks_is_told_his_address() -> None:
    """BEP 42: `ip` in answers and in errors; a port of 0, or none, does not matter."""
    for ip in (b"\x01\x02\x03\x04\x1a\xe1", b"\x01\x02\x03\x04\0\0", b"\x01\x02\x03\x04"):
        heard = read(krpc.answer(b"aa", b"2:id20:" + THEM, ip))
        assert isinstance(heard, Answer)
        assert heard.external == "1.2.3.4"
    assert read(krpc.refusal(b"aa", 203, "no", b"\x01\x02\x03\x04\x1a\xe1")) == Refusal(b"aa", 203, "no")


@pytest.mark.parametrize("ip", [b"", b"abc", b"\0\0\0\0\x1a\xe1", b"\xff\xff\xff\xff\x1a\xe1"])
def test_an_address_that_is_none_is_not_heard(ip: bytes) -> None:
    """Nobody is at 0.0.0.0."""
    heard = read(encode({"ip": ip, "r": {"id": THEM}, "t": "aa", "y": "r"}))
    assert isinstance(heard, Answer)
    assert heard.external == ""


def test_who_does_not_answer_says_so() -> None:
    """BEP 43: `ro` of 1."""
    heard = read(krpc.query(krpc.query_head("ping", {b"id": ME}, read_only=True), b"aaaa"))
    assert isinstance(heard, Query)
    assert heard.read_only


def test_a_message_says_of_which_client_it_is_only_if_that_is_wished() -> None:
    """An engine that is told to be somebody else must not be given away by its DHT node."""
    assert b"1:v" not in krpc.query(krpc.query_head("ping", {b"id": ME}), b"aa")
    heard = read(krpc.answer(b"aa", b"2:id20:" + THEM, bytes(6), krpc.version_key(b"AB01")))
    assert isinstance(heard, Answer)
    assert heard.version == b"AB01"


@pytest.mark.parametrize(
    ("datagram", "asks"),
    [
        (b"", False),
        (b"d", False),
        (b"i1e", False),
        (b"l" * 2000, False),
        (encode({"q": "ping", "a": {"id": ME}, "y": "q"}), False),
        (encode({"q": "ping", "a": {"id": ME}, "t": bytes(33), "y": "q"}), False),
        (encode({"q": "ping", "a": {"id": ME[1:]}, "t": "aa", "y": "q"}), True),
        (encode({"q": "ping", "a": [], "t": "aa", "y": "q"}), True),
        (encode({"q": 4, "a": {"id": ME}, "t": "aa", "y": "q"}), True),
        (encode({"a": {"id": ME}, "t": "aa", "y": "q"}), True),
        (encode({"r": {"id": b""}, "t": "aa", "y": "r"}), False),
        (encode({"r": 1, "t": "aa", "y": "r"}), False),
        (encode({"r": {"id": ME}, "t": "aa", "y": "x"}), False),
        (encode({"r": {"id": ME, "x": bytes(2100)}, "t": "aa", "y": "r"}), False),
    ],
)
def test_what_is_no_message_is_refused(datagram: bytes, asks: bool) -> None:
    """Only a query with something wrong in it is worth an answer."""
    with pytest.raises(Malformed) as raised:
        read(datagram)
    assert bool(raised.value.transaction) == asks
    assert raised.value.code == 203


@pytest.mark.parametrize("error", [[], {}, 5, "no", [1, 2], ["no", 201], [201]])
def test_an_error_that_is_not_as_it_should_be_is_one_nevertheless(error: Value | str) -> None:
    """Somebody says no; how he says it matters less."""
    assert isinstance(read(encode({"e": error, "t": "aa", "y": "e"})), Refusal)


def test_the_words_of_an_error_are_fit_for_a_terminal() -> None:
    """No escape sequences, not a page of them."""
    heard = read(encode({"e": [201, b"\x1b[31m" + b"x" * 1000], "t": "aa", "y": "e"}))
    assert isinstance(heard, Refusal)
    assert heard.text.isprintable()
    assert len(heard.text) == 200


def test_unknown_keys_and_unsorted_keys_are_passed_over() -> None:
    """Clients add things; some do not sort."""
    heard = read(b"d1:y1:q1:xi5e1:t2:aa1:q4:ping1:ad2:id20:" + ME + b"3:newi1eee")
    assert isinstance(heard, Query)
    assert (heard.method, heard.id) == ("ping", ME)


@given(st.binary(max_size=300) | st.dictionaries(KEYS, VALUES).map(encode))
def test_any_bytes_are_read_or_blamed(noise: bytes) -> None:
    """Nothing else is raised, whatever comes."""
    with suppress(Malformed):
        read(noise)


@given(TRANSACTIONS, IDS, st.sampled_from(["ping", "find_node", "get_peers", "vote"]), IDS, st.booleans())
def test_a_query_is_read_as_it_was_written(
    transaction: bytes, node_id: bytes, method: str, target: bytes, read_only: bool
) -> None:
    """The shape that most have is read the short way, others the long one: both say the same."""
    for name in (b"target", b"info_hash", b"other"):
        arguments: dict[bytes, Value] = {b"id": node_id, name: target}
        written = krpc.query(krpc.query_head(method, arguments, read_only=read_only), transaction)
        assert read(written) == Query(transaction, method, node_id, arguments, read_only)
        unusual = written[:-1] + b"1:zi0ee"  # the same, with a key that nobody knows
        assert read(unusual) == read(written)


@given(TRANSACTIONS, IDS, st.integers(0, 999), st.text(max_size=50))
def test_answers_and_errors_are_read_as_they_were_written(
    transaction: bytes, node_id: bytes, code: int, text: str
) -> None:
    """Whatever the transaction id is."""
    answer = read(krpc.answer(transaction, b"2:id20:" + node_id, bytes(6)))
    assert answer == Answer(transaction, node_id, {b"id": node_id}, b"", "")
    refusal = read(krpc.refusal(transaction, code, text, bytes(6)))
    assert isinstance(refusal, Refusal)
    assert (refusal.transaction, refusal.code) == (transaction, code)
