"""What is asked of HTTP trackers, and how their answers are read."""

from __future__ import annotations

from contextlib import suppress
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.model import Address
from anabranch.tracker import AnnounceReply, AnnounceRequest, Event, FaultKind, ScrapeReply, TrackerFault
from anabranch.tracker.http import announce_target, escaped, read_announce, read_scrape, scrape_target, status_fault

HASH = bytes.fromhex("159ecfca2671791d88186a7f89e6cb1aa64fb29b")
ESCAPED = "%15%9e%cf%ca%26qy%1d%88%18j%7f%89%e6%cb%1a%a6O%b2%9b"


def request(**given: object) -> AnnounceRequest:
    fields: dict[str, object] = {"info_hash": HASH, "peer_id": b"-DE211s-dWygz4Kq-25R", "port": 42111, **given}
    return AnnounceRequest(**fields)  # type: ignore[arg-type] # the tests know the fields


def test_an_announce_looks_like_libtorrents() -> None:
    """libtorrent 2.1.1 sent this, but for the peer id; the tracker's own query stays as it is, and first."""
    ours = request(left=100000, key=0x968D4C4E, event=Event.STARTED, supports_encryption=True)
    assert announce_target("/announce?passkey=a%20b~%2f", ours) == (
        f"/announce?passkey=a%20b~%2f&info_hash={ESCAPED}&peer_id=-DE211s-dWygz4Kq-25R&port=42111&uploaded=0&downloaded=0"
        "&left=100000&corrupt=0&key=968D4C4E&event=started&numwant=200&compact=1&no_peer_id=1&supportcrypto=1&redundant=0"
    )


def test_what_is_there_only_sometimes_is_told_only_then() -> None:
    """A stop wants no peers; a tracker's id goes back to it; addresses as BEP 7 has them."""
    told = announce_target(
        "/a",
        request(event=Event.STOPPED, tracker_id=b"a b", ipv4="192.0.2.1", ipv6="2001:db8::1", requires_encryption=True),
    )
    assert told.endswith(
        "&event=stopped&numwant=0&compact=1&no_peer_id=1&requirecrypto=1&redundant=0&trackerid=a%20b"
        "&ipv4=192.0.2.1&ipv6=2001%3adb8%3a%3a1"
    )
    plain = announce_target("/a", request())
    assert plain.startswith("/a?info_hash=")
    assert not any(word in plain for word in ("event", "crypto", "trackerid", "ipv"))


@pytest.mark.parametrize("target", ["/announce?", "/announce?key=1&", "/announce?key=1"])
def test_parameters_are_joined_by_one_ampersand(target: str) -> None:
    """Whatever the tracker's URL ends with."""
    assert f"{target.rstrip('&?')}{'&' if 'key' in target else '?'}info_hash=" in announce_target(target, request())


def test_bytes_in_a_query_are_escaped_as_libtorrent_does() -> None:
    """It was seen with these."""
    assert escaped(bytes(range(0x20, 0x34))) == "%20!%22%23%24%25%26%27()*%2b%2c-.%2f0123"
    assert escaped(bytes(range(0x34, 0x48))) == "456789%3a%3b%3c%3d%3e%3f%40ABCDEFG"


@pytest.mark.parametrize(
    ("announce", "scrape"),
    [
        ("/announce", "/scrape?"),
        ("/x/announce", "/x/scrape?"),
        ("/announce.php", "/scrape.php?"),
        ("/announce?x=2%2f/announce", "/scrape?x=2%2f/announce&"),
    ],
)
def test_scrape_stands_where_announce_stood(announce: str, scrape: str) -> None:
    """BEP 48: at the start of the last part of the path; all else stays."""
    assert scrape_target(announce, [HASH, HASH]) == f"{scrape}info_hash={ESCAPED}&info_hash={ESCAPED}"


@pytest.mark.parametrize("announce", ["/a", "/announce/", "/x_announce", "/announce/x?announce"])
def test_a_url_without_announce_has_no_scrape(announce: str) -> None:
    """BEP 48 again."""
    with pytest.raises(TrackerFault) as caught:
        scrape_target(announce, [HASH])
    assert caught.value.kind is FaultKind.NO_SCRAPE


def test_a_reply_is_read() -> None:
    """BEP 3, 7, 23, 24."""
    body = encode(
        {
            "complete": 5,
            "downloaded": 9,
            "external ip": bytes([192, 0, 2, 9]),
            "incomplete": 3,
            "interval": 1800,
            "min interval": 900,
            "peers": bytes.fromhex("c0000201 1ae1 c0000201 1ae1 c0000202 0000"),
            "peers6": bytes.fromhex("20010db8000000000000000000000001 1ae1"),
            "tracker id": b"abc",
            "warning message": "be nice",
        }
    )
    assert read_announce(body) == AnnounceReply(
        interval=1800,
        min_interval=900,
        seeders=5,
        leechers=3,
        downloaded=9,
        peers=(Address("192.0.2.1", 6881), Address("2001:db8::1", 6881)),
        external_ip="192.0.2.9",
        warning="be nice",
        tracker_id=b"abc",
    )


def test_peers_may_be_listed() -> None:
    """BEP 3's first form; those that are no address and port are passed over."""
    listed = [
        {"ip": "192.0.2.1", "peer id": bytes(20), "port": 1},
        {"ip": "2001:DB8::1", "port": 2},
        {"ip": "peer.example", "port": 3},
        {"ip": "192.0.2.2", "port": 0},
        {"ip": "192.0.2.2", "port": 65536},
        {"ip": b"\xff", "port": 4},
        {"port": 5},
        {"ip": 1, "port": 5},
        "192.0.2.3",
    ]
    assert read_announce(encode({"peers": listed})).peers == (Address("192.0.2.1", 1), Address("2001:db8::1", 2))


@pytest.mark.parametrize(
    "body",
    [
        b"d8:completei-1e8:interval3:abc12:min intervali-5e5:peersi7e6:peers6le10:tracker idi1e15:warning messagelee",
        b"d5:peers0:egarbage",
        b"d5:peers6:\x00\x00\x00\x00\x00\x005:peers0:8:intervali0ee",
        b"d5:peers5:abcde11:external ip3:abce",
        b"de",
    ],
)
def test_what_is_wrong_in_a_reply_is_passed_over(body: bytes) -> None:
    """The rest may be of use: wrong kinds, bytes behind the end, keys out of order or twice."""
    assert read_announce(body) == AnnounceReply()


def test_a_refusal_is_told_in_the_trackers_words() -> None:
    """With the time after which to come again (BEP 31)."""
    with pytest.raises(TrackerFault, match=r"^unregistered torrent$") as caught:
        read_announce(b"d14:failure reason20:unregistered torrent8:retry in2:15e")
    assert (caught.value.kind, caught.value.retry_in) == (FaultKind.REFUSED, 900)


@pytest.mark.parametrize(
    ("told", "seconds"), [("never", inf), (5, 300), ("5", 300), ("soon", None), (-1, None), ([], None)]
)
def test_retry_in_is_minutes_or_never(told: object, seconds: float | None) -> None:
    """BEP 31; anything else says nothing."""
    with pytest.raises(TrackerFault) as caught:
        read_announce(encode({"failure reason": 1, "retry in": told}))
    assert caught.value.retry_in == seconds


@pytest.mark.parametrize("body", [b"", b"<html>not here</html>", b"le", b"d5:peers"])
def test_what_is_no_reply_is_said_to_be_none(body: bytes) -> None:
    """With its beginning, which tells people what they have asked."""
    with pytest.raises(TrackerFault) as caught:
        read_announce(body)
    assert caught.value.kind is FaultKind.REPLY
    assert "empty" in str(caught.value) or body[:6].decode() in str(caught.value)


def test_a_reason_that_comes_with_a_status_is_what_counts() -> None:
    """Some trackers refuse with 403 and a bencoded reason; most errors are a page of HTML."""
    fault = status_fault(403, "Forbidden", b"d14:failure reason6:bannede")
    assert (fault.kind, str(fault), fault.status) == (FaultKind.REFUSED, "banned", 403)
    for body in (b"<html>", b"de"):
        fault = status_fault(404, "Not Found", body)
        assert (fault.kind, str(fault), fault.status) == (
            FaultKind.STATUS,
            "the tracker answered 404 Not Found",
            404,
        )


def test_a_scrape_is_read() -> None:
    """BEP 48; what was not asked for is not of interest, what is not known is not there."""
    files = {HASH: {"complete": 1, "downloaded": 2, "incomplete": 3}, b"x" * 20: {}, b"y" * 20: 7, b"z" * 20: {}}
    assert read_scrape(encode({"files": files}), [HASH, b"x" * 20, b"y" * 20, b"?" * 20]) == {
        HASH: ScrapeReply(seeders=1, completed=2, leechers=3),
        b"x" * 20: ScrapeReply(None, None, None),
    }
    with pytest.raises(TrackerFault, match="files"):
        read_scrape(b"de", [HASH])


REPLIES = st.recursive(
    st.integers(-(2**70), 2**70).filter(lambda n: abs(n) < 10**20) | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [b"peers", b"peers6", b"interval", b"ip", b"port", b"files", b"failure reason", b"retry in", HASH]
            )
            | st.binary(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.binary(max_size=200) | REPLIES.map(encode))
def test_any_bytes_are_read_or_blamed_on_the_tracker(noise: bytes) -> None:
    """Nothing else comes of them."""
    with suppress(TrackerFault):
        assert all(0 < port < 65536 for _, port in read_announce(noise).peers)
    with suppress(TrackerFault):
        read_scrape(noise, [HASH])
    assert str(status_fault(500, "\x1b\udcff", noise)).isprintable()


@given(st.binary(max_size=20))
def test_escaped_bytes_are_the_bytes(raw: bytes) -> None:
    """As any server undoes it."""
    from urllib.parse import unquote_to_bytes

    assert unquote_to_bytes(escaped(raw)) == raw
