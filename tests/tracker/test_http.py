"""What is asked of HTTP trackers, and how their answers are read."""

from __future__ import annotations

from contextlib import suppress
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.model import Address
from anabranch.net import parse_url
from anabranch.tracker import AnnounceReply, AnnounceRequest, Event, FaultKind, ScrapeReply, TrackerFault
from anabranch.tracker.http import announce_target, escaped, read_announce, read_scrape, scrape_target, status_fault

V4, V6 = bytes.fromhex("c0000201 1ae1"), bytes.fromhex("20010db8000000000000000000000001 1ae1")
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
    "peers",
    [
        [{"ip": bytes([192, 0, 2, 1]), "port": 6881}],
        [{"ip": "192.0.2.1", "port": "6881"}],
        [V4],
        {"0": {"ip": "192.0.2.1", "port": 6881}, "2": {"ip": "peer.example", "port": 6881}},
        V4 + b"cut",
    ],
    ids=["packed ip", "port as text", "compact ones listed", "numbered by PHP", "odd length"],
)
def test_peers_in_forms_that_no_bep_has_are_read(peers: object) -> None:
    """libtorrent 2.1.1 refuses three of these replies, takes the packed one for a name, and finds nobody in PHP's."""
    assert read_announce(encode({"peers": peers})).peers == (Address("192.0.2.1", 6881),)


def test_peers6_may_be_listed_too() -> None:
    """libtorrent 2.1.1 finds nobody there."""
    for listed in ([{"ip": "2001:db8::1", "port": 6881}], [V6]):
        assert read_announce(encode({"peers6": listed})).peers == (Address("2001:db8::1", 6881),)


def test_names_of_two_words_may_be_joined() -> None:
    """BEP 3 and BEP 31 have a space, some trackers an underscore or nothing; libtorrent 2.1.1 passes that over."""
    for by in (" ", "_", ""):
        reply = read_announce(
            encode(
                {
                    f"min{by}interval": 900,
                    f"tracker{by}id": "x",
                    f"warning{by}message": "hm",
                    f"external{by}ip": "192.0.2.9",
                }
            )
        )
        assert (reply.min_interval, reply.tracker_id, reply.warning) == (900, b"x", "hm")
        assert reply.external_ip == "192.0.2.9"
        with pytest.raises(TrackerFault, match=r"^no$") as caught:
            read_announce(encode({f"failure{by}reason": "no", f"retry{by}in": 2}))
        assert caught.value.retry_in == 120


def test_our_address_may_be_packed_or_text() -> None:
    """BEP 24 has it packed; even where its bytes happen to be letters."""
    told = {
        b"1234": "49.50.51.52",
        bytes([192, 0, 2, 9]): "192.0.2.9",
        b"::1": "::1",
        b"me": None,
        bytes(15) + b"1": "::31",
    }
    for external, host in told.items():
        assert read_announce(encode({"external ip": external})).external_ip == host


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n", b" \t\n\xef\xbb\xbf"])
@pytest.mark.parametrize("behind", [b"", b"\r\n<!-- 3 ms -->", b"\0"])
def test_what_stands_around_a_reply_is_no_part_of_it(before: bytes, behind: bytes) -> None:
    """Scripts say an empty line or a byte order mark; libtorrent 2.1.1 reads what ends so, not what begins so."""
    assert read_announce(before + encode({"complete": 3}) + behind).seeders == 3


@pytest.mark.parametrize(
    ("interval", "kept"),
    [
        (b"i900e", 900),
        (b"3:900", 900),
        (b"i-900e", 1800),
        (b"i0e", 1800),
        (b"i" + b"9" * 23 + b"e", 1800),
        (b"0:", 1800),
        (b"5000:" + b"9" * 5000, 1800),
    ],
)
def test_an_interval_is_read_if_there_is_any(interval: bytes, kept: int) -> None:
    """libtorrent 2.1.1 takes half an hour for text, five minutes for zero and less, and refuses 23 digits."""
    reply = read_announce(b"d8:complete1:78:interval" + interval + b"e")
    assert (reply.interval, reply.seeders) == (kept, 7)


@pytest.mark.parametrize(
    "refusal",
    [
        {"failure reason": "no", "peers": V4, "interval": 900},
        {"failure reason": "no", "failure code": 105},
        {"failure reason": ""},
        {"failure reason": "no", "warning message": "hm"},
    ],
    ids=["with peers", "with a code", "empty", "with a warning"],
)
def test_a_failure_reason_refuses_whatever_else_is_there(refusal: dict[str, object]) -> None:
    """Empty or with peers beside it; as for libtorrent 2.1.1."""
    with pytest.raises(TrackerFault) as caught:
        read_announce(encode(refusal))
    assert (caught.value.kind, caught.value.reason) == (FaultKind.REFUSED, refusal["failure reason"])
    assert str(caught.value)


def test_a_reply_with_another_status_than_200_is_no_reply() -> None:
    """Even 201 with peers: libtorrent 2.1.1 reads none of them."""
    fault = status_fault(201, "Created", encode({"interval": 900, "peers": V4}))
    assert (fault.kind, str(fault)) == (FaultKind.STATUS, "the tracker answered 201 Created")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://t.example/announce?passkey=a+b%2Bc;d=1", "/announce?passkey=a+b%2Bc;d=1&info_hash="),
        ("http://t.example/announce?passkey=", "/announce?passkey=&info_hash="),
        ("http://t.example/announce?passkey=%aB%2f~", "/announce?passkey=%aB%2f~&info_hash="),
        ("http://t.example/%41/../announce", "/%41/../announce?info_hash="),
        ("http://t.example/announce?key=1#part", "/announce?key=1&info_hash="),
        ("http://t.example?key=1", "/?key=1&info_hash="),
        ("http://t.example/announce?a?b=/announce&&", "/announce?a?b=/announce&&info_hash="),
        ("http://t.example/announce?k=\u00fc{}|", "/announce?k=%C3%BC{}|&info_hash="),
        ("http://t.example/a b/announce", "/a%20b/announce?info_hash="),
    ],
)
def test_a_passkey_reaches_the_tracker_as_it_was_written(url: str, target: str) -> None:
    """Byte for byte where bytes may stand in a request; only what may not is escaped, and a fragment stays here."""
    assert announce_target(parse_url(url, ("http",)).target, request()).startswith(target)


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


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "is empty"),
        (b"not here", "begins with 'not'"),
        (b"le", "begins with 'le'"),
        (b"d5:peers", "begins with no word"),
        (b"< 3", "begins with no word"),
    ],
)
def test_what_is_no_reply_is_said_to_be_none(body: bytes, told: str) -> None:
    """With its beginning, which tells people what they have asked."""
    with pytest.raises(TrackerFault) as caught:
        read_announce(body)
    assert caught.value.kind is FaultKind.REPLY
    assert str(caught.value).endswith(f"it {told}")


@pytest.mark.parametrize("body", [b"passkey=s3cretkey", b"s3cretkey", b"abcdefghijklmnop", b"/s3cretkey/announce"])
def test_a_reply_that_repeats_the_question_is_not_quoted(body: bytes) -> None:
    """A piece of a passkey would not be known as one."""
    with pytest.raises(TrackerFault) as caught:
        read_announce(body)
    assert not any(part in str(caught.value) for part in ("s3", "cret", "abc"))


@pytest.mark.parametrize("body", [b"<html>", b"\xef\xbb\xbf<!DOCTYPE html>", b"\r\n <?xml version='1.0'?>", b"<H1>"])
def test_a_page_for_people_is_known_as_one(body: bytes) -> None:
    """The tracker has moved, or a hotel's login page comes first: who reads that knows what to do."""
    with pytest.raises(TrackerFault, match="a page for people") as caught:
        read_announce(body)
    assert caught.value.kind is FaultKind.PAGE


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


def test_a_scrape_of_a_tracker_that_takes_hashes_for_text_is_read() -> None:
    """npm's bittorrent-tracker 11.2.3 spells every byte from 0x80 on as a character in UTF-8."""
    numbers = encode({"complete": 2, "downloaded": 2, "incomplete": 1})
    body = b"d5:filesd22:\xc3\xbe\xc3\xbeaaaaaaaaaaaaaaaaaa" + numbers + b"ee"
    wanted = b"\xfe\xfeaaaaaaaaaaaaaaaaaa"
    assert read_scrape(body, [wanted]) == {wanted: ScrapeReply(2, 2, 1)}


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
