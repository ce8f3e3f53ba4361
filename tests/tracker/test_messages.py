"""What is asked and answered, as values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.model import Address, canonical_host
from anabranch.tracker.messages import (
    DEFAULT_INTERVAL,
    MOST_PEERS,
    AnnounceRequest,
    Event,
    compact_peers,
    interval_of,
    packed_host,
    shown,
)

REQUEST = AnnounceRequest(info_hash=bytes(20), peer_id=bytes(20), port=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"info_hash": bytes(32)},
        {"peer_id": b""},
        {"port": 65536},
        {"key": -1},
        {"key": 2**32},
        {"left": -1},
        {"uploaded": 2**63},
        {"numwant": -1},
        {"ipv4": "::1"},
        {"ipv6": "1.2.3.4"},
    ],
    ids=str,
)
def test_a_request_that_cannot_be_sent_cannot_be_made(wrong: dict[str, object]) -> None:
    """Both kinds of tracker could be told it, whoever checks."""
    with pytest.raises(ValueError):
        replace(REQUEST, **wrong)  # type: ignore[arg-type] # wrong on purpose


def test_who_stops_wants_no_peers() -> None:
    """Whatever it wanted before."""
    assert REQUEST.peers_wanted == 200
    assert replace(REQUEST, event=Event.STOPPED).peers_wanted == 0


def test_compact_peers_are_addresses_and_ports() -> None:
    """BEP 23, BEP 7; a port of 0 and an end that is cut off are nobody."""
    assert list(compact_peers(bytes.fromhex("7f000001 1ae1 00000000 1ae1 01020304 0000 0a"), v6=False)) == [
        Address("127.0.0.1", 6881)
    ]
    mapped = "00000000000000000000ffff01020304 0001"
    assert list(compact_peers(bytes.fromhex("20010db8000000000000000000000001 1ae1" + mapped), v6=True)) == [
        Address("2001:db8::1", 6881),
        Address("1.2.3.4", 1),
    ]


@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_are_some_peers(noise: bytes, v6: bool) -> None:
    """Each with a port, and a host in its shortest spelling."""
    for host, port in compact_peers(noise, v6=v6):
        assert 0 < port < 65536
        assert canonical_host(host) == host


def test_a_reply_has_only_so_many_peers() -> None:
    """A hostile tracker does not fill our memory."""
    assert len(list(compact_peers(b"\1" * 6 * (MOST_PEERS + 1), v6=False))) == MOST_PEERS


def test_a_packed_address_has_4_or_16_bytes() -> None:
    """BEP 24; nobody is at 0.0.0.0."""
    assert packed_host(bytes([192, 0, 2, 1])) == "192.0.2.1"
    assert packed_host(bytes(15) + b"\1") == "::1"
    assert [packed_host(packed) for packed in (b"", bytes(4), bytes(16), bytes(5))] == [None] * 4


def test_intervals_can_be_kept() -> None:
    """0 would be a flood, and years would be never."""
    assert [interval_of(seconds) for seconds in (-1, 0, 1, 10**10)] == [DEFAULT_INTERVAL, DEFAULT_INTERVAL, 1, 604800]


def test_words_of_a_tracker_are_one_printable_line() -> None:
    """They go to terminals and logs."""
    assert shown(b"not\r\n registered \x1b[31m\xff") == "not registered \ufffd[31m\ufffd"
    assert len(shown(b"x" * 1000)) == 300
    assert shown(b"\0 gone\0\0") == "\ufffd gone"


def test_long_words_of_a_tracker_are_cut_between_words() -> None:
    """Half a passkey would not be found, and not taken out."""
    assert shown(b"x " * 148 + b"s3cretkey at the end") == "x " * 147 + "x…"
