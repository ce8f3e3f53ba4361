"""What is said to WebSocket trackers and what they say, without a socket."""

from __future__ import annotations

import json
from itertools import permutations
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anabranch.net import parse_url
from anabranch.tracker import AnnounceReply, AnnounceRequest, Event, FaultKind, Offer, ScrapeReply, TrackerFault
from anabranch.tracker.websocket import MAX_SCRAPED, MAX_SDP, WebSocketTracker

SECRET = "0123456789abcdefs3cret"
URL = parse_url(f"wss://a.example/{SECRET}", ("wss",))
HASH, OTHER = b"\xff\x80" * 10, b"o" * 20
PEER, THEIRS = b"-DE211s-dWygz4Kq\x00\x7f\xe9\xff", b"-WW0208-abcdefghijkl"
REQUEST = AnnounceRequest(HASH, PEER, 6881, uploaded=1, downloaded=2, left=3, event=Event.STARTED, key=0xAB)

Said = AnnounceReply | dict[bytes, ScrapeReply] | TrackerFault


def new() -> WebSocketTracker:
    return WebSocketTracker(URL)


def text(raw: bytes) -> str:
    return raw.decode("latin-1")


def told(**message: object) -> str:
    """A tracker's message about HASH; "_" is a space."""
    spaced = {name.replace("_", " ") if name != "info_hash" else name: value for name, value in message.items()}
    return json.dumps({"action": "announce", "info_hash": text(HASH)} | spaced)


def scraped(files: object) -> str:
    return json.dumps({"action": "scrape", "files": files})


def offered(**changes: object) -> str:
    given = {"peer_id": text(THEIRS), "offer_id": "i" * 20, "offer": {"type": "offer", "sdp": "v=0"}} | changes
    return json.dumps({"action": "announce", "info_hash": text(HASH)} | given)


def answer_to(request: AnnounceRequest, message: str) -> Said:
    """What comes of one announce."""
    talk = new()
    number = talk.announce(request)
    [(answered, said)] = talk.receive(message)  # type: ignore[misc]  # an answer, as the test wants, not an offer
    assert answered == number
    assert isinstance(said, AnnounceReply | TrackerFault)
    return said


def fault_of(message: str) -> TrackerFault:
    said = answer_to(REQUEST, message)
    assert isinstance(said, TrackerFault)
    return said


def sent(talk: WebSocketTracker) -> list[dict[str, object]]:
    return [json.loads(message) for message in talk.outgoing()]


def test_an_announce_has_the_keys_that_libtorrent_sends_in_its_order() -> None:
    """Seen of libtorrent 2.1.1; binary strings have a character for each byte, here all kinds of them."""
    talk = new()
    talk.announce(REQUEST)
    [message] = talk.outgoing()
    assert message == (
        '{"action":"announce","info_hash":"' + "\xff\x80" * 10 + '","uploaded":1,"downloaded":2,"left":3,"corrupt":0,'
        '"numwant":0,"key":"000000AB","event":"started","peer_id":"-DE211s-dWygz4Kq\\u0000\x7f\xe9\xff","offers":[]}'
    )


def test_an_announce_without_news_has_no_event() -> None:
    """bittorrent-tracker 11.2.3 answers "none" with "invalid event"."""
    talk = new()
    talk.announce(AnnounceRequest(HASH, PEER, 6881, tracker_id=b"\xe9d"))
    [message] = sent(talk)
    assert "event" not in message
    assert message["trackerid"] == "\xe9d"


@pytest.mark.parametrize("left", [0, 2**53 - 1, 2**63 - 1])
def test_what_we_lack_is_a_number_that_javascript_can_hold(left: int) -> None:
    """bittorrent-tracker 11.2.3 takes null for 0 and so a magnet link for a seeder."""
    talk = new()
    talk.announce(AnnounceRequest(HASH, PEER, 6881, left=left, uploaded=2**63 - 1))
    [message] = sent(talk)
    assert message["left"] == min(left, 2**53 - 1)
    assert message["uploaded"] == 2**53 - 1


def test_a_reply_is_read() -> None:
    """As bittorrent-tracker 11.2.3 gives it, and what others may add."""
    reply = told(complete=5, incomplete=7, interval=120)
    assert answer_to(REQUEST, reply) == AnnounceReply(120, None, 5, 7)
    reply = told(interval=60, min_interval=30, downloaded=9, warning_message="slow\n" + SECRET, tracker_id="\xe9")
    assert answer_to(REQUEST, reply) == AnnounceReply(60, 30, None, None, 9, warning="slow ***", tracker_id=b"\xe9")
    assert answer_to(REQUEST, told(trackerid="x")) == AnnounceReply(tracker_id=b"x")


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (7, 7),
        (7.9, 7),
        ("7", 7),
        (-1, None),
        (2**53, None),
        (1e308, None),
        (float("nan"), None),
        (inf, None),
        (-inf, None),
        (True, None),
        (None, None),
        ([], None),
        ({}, None),
        ("many", None),
        ("\u0663", None),
        ("9" * 17, None),
    ],
)
def test_a_count_that_is_none_is_passed_over(value: object, count: int | None) -> None:
    """The rest of the reply is good; JSON of JavaScript's kind has NaN and Infinity too."""
    reply = answer_to(REQUEST, told(complete=value, incomplete=3))
    assert reply == AnnounceReply(seeders=count, leechers=3)


@pytest.mark.parametrize("value", [0, -5, "x", float("inf"), None, 10**12])
def test_an_interval_that_cannot_be_kept_is_the_usual_one(value: object) -> None:
    """Or a week, of one that is far too long."""
    reply = answer_to(REQUEST, told(interval=value))
    assert isinstance(reply, AnnounceReply)
    assert reply.interval == (7 * 24 * 3600 if value == 10**12 else 1800)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Unregistered torrent", "Unregistered torrent"),
        (f"no {SECRET}\x1b[2J\r\n", "no ***\ufffd[2J"),
        ("\ud800", "?"),
        (404, "404"),
        (True, "refused without a reason"),
        ([1], "refused without a reason"),
    ],
)
def test_a_refusal_is_told_in_the_trackers_words(reason: object, words: str) -> None:
    """On one line, without control characters, and without our passkey."""
    fault = fault_of(told(failure_reason=reason))
    assert (fault.kind, str(fault)) == (FaultKind.REFUSED, words)
    assert fault.reason == (words if "without" not in words else "")


@pytest.mark.parametrize("nothing", [None, "", False, 0])
def test_a_failure_reason_of_nothing_is_none(nothing: object) -> None:
    """As JavaScript's clients have it."""
    assert answer_to(REQUEST, told(failure_reason=nothing, complete=1)) == AnnounceReply(seeders=1)


@pytest.mark.parametrize(("retry", "seconds"), [(15, 900), ("15", 900), ("never", inf), ("soon", None), (None, None)])
def test_a_refusal_may_say_for_how_long(retry: object, seconds: float | None) -> None:
    """BEP 31."""
    assert fault_of(told(failure_reason="no", retry_in=retry)).retry_in == seconds


def test_a_refusal_that_names_nothing_is_of_the_oldest_question() -> None:
    """So bittorrent-tracker 11.2.3 refuses what it cannot read; it answers in order."""
    talk = new()
    first, second, third = talk.announce(REQUEST), talk.scrape([OTHER]), talk.announce(replaced(OTHER))
    assert [answer[0] for _ in range(4) for answer in numbered(talk, '{"failure reason":"no"}')] == [
        first,
        second,
        third,
    ]


def replaced(info_hash: bytes) -> AnnounceRequest:
    return AnnounceRequest(info_hash, PEER, 6881)


def numbered(talk: WebSocketTracker, message: str) -> list[tuple[int, Said]]:
    """The answers in it."""
    return [answer for answer in talk.receive(message) if not isinstance(answer, Offer)]


def test_a_refusal_of_another_torrent_is_nobodys() -> None:
    """And one of a scrape is the scrape's, whatever torrent it names."""
    talk = new()
    announce, scrape = talk.announce(REQUEST), talk.scrape([HASH])
    other = json.dumps({"action": "announce", "info_hash": text(OTHER), "failure reason": "no"})
    assert talk.receive(other) == []
    garbage = json.dumps({"action": "scrape", "info_hash": "\x01", "failure reason": "no"})
    assert [number for number, _ in numbered(talk, garbage)] == [scrape]
    assert [number for number, _ in numbered(talk, told(failure_reason="no"))] == [announce]


def test_numbers_are_read_of_the_torrents_that_were_asked_for() -> None:
    """As bittorrent-tracker 11.2.3 gives them; what is missing, broken or nobody's is passed over."""
    talk = new()
    number = talk.scrape([HASH, OTHER, b"x" * 20])
    assert sent(talk) == [{"action": "scrape", "info_hash": [text(HASH), text(OTHER), "x" * 20]}]
    files = {text(HASH): {"complete": 1, "incomplete": "2", "downloaded": -3}, text(OTHER): 5, "y" * 20: {}}
    assert numbered(talk, scraped(files)) == [(number, {HASH: ScrapeReply(1, None, 2)})]


def test_a_scrape_without_files_is_told_of() -> None:
    """It is an answer, but not to what was asked."""
    talk = new()
    talk.scrape([HASH])
    [(_, fault)] = numbered(talk, scraped([]))
    assert isinstance(fault, TrackerFault)
    assert fault.kind is FaultKind.REPLY


def test_no_more_is_asked_than_an_answer_can_hold() -> None:
    """Nor nothing, nor a v2 hash."""
    for hashes in ([], [HASH] * (MAX_SCRAPED + 1), [b"x" * 32]):
        with pytest.raises(ValueError, match="20 bytes"):
            new().scrape(hashes)


def test_questions_that_answers_cannot_tell_apart_wait_in_line() -> None:
    """Two announces of one torrent, two scrapes; other torrents go on meanwhile."""
    talk = new()
    first, second, third = talk.announce(REQUEST), talk.announce(REQUEST), talk.announce(replaced(OTHER))
    scrape, later = talk.scrape([HASH]), talk.scrape([OTHER])
    assert len(talk.outgoing()) == 3
    assert [number for number, _ in numbered(talk, told(complete=1))] == [first]
    assert [number for number, _ in numbered(talk, scraped({}))] == [scrape]
    assert [message["action"] for message in sent(talk)] == ["announce", "scrape"]
    talk.forget(second)
    talk.forget(second)
    assert numbered(talk, told(complete=1)) == []
    assert [number for number, _ in numbered(talk, scraped({}))] == [later]
    talk.forget(third)
    assert not talk.outgoing()


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_whoever_gives_up_holds_up_nobody(order: tuple[int, ...]) -> None:
    """In any order: the first in line is the one that has been sent, until nobody is left."""
    talk = new()
    numbers = [talk.announce(REQUEST) for _ in range(4)]
    for place in order[:-1]:
        talk.forget(numbers[place])
    assert [number for number, _ in numbered(talk, told(complete=1))] == [numbers[order[-1]]]
    talk.leave(REQUEST)
    assert talk.idle


def test_a_conversation_is_of_use_while_a_torrent_is_announced() -> None:
    """A tracker for browsers forgets whose connection has ended. A stop is not waited for: some answer none."""
    talk = new()
    assert talk.idle
    talk.announce(REQUEST)
    assert not talk.idle
    talk.receive(told(complete=1))
    assert not talk.idle
    talk.outgoing()
    talk.leave(AnnounceRequest(HASH, PEER, 6881, event=Event.STOPPED))
    assert talk.idle
    [stop] = sent(talk)
    assert (stop["event"], "offers" in stop) == ("stopped", False)
    with pytest.raises(ValueError, match="waits for no answer"):
        talk.announce(AnnounceRequest(HASH, PEER, 6881, event=Event.STOPPED))


def test_a_torrent_that_is_refused_is_not_announced() -> None:
    """Nor one whose only question was given up; a refused scrape changes nothing."""
    talk = new()
    talk.announce(REQUEST)
    talk.receive(told(complete=1))
    talk.scrape([HASH])
    talk.receive(json.dumps({"action": "scrape", "info_hash": text(HASH), "failure reason": "no"}))
    assert not talk.idle
    talk.announce(REQUEST)
    talk.receive(told(failure_reason="deleted"))
    assert talk.idle
    talk.forget(talk.announce(REQUEST))
    assert talk.idle


def test_peers_come_as_offers_at_any_time() -> None:
    """Before the reply too; a peer is not its own peer."""
    talk = new()
    talk.announce(REQUEST)
    offer = Offer("wss://a.example/" + SECRET, HASH, THEIRS, b"i" * 20, "v=0")
    assert talk.receive(offered()) == [offer]
    assert SECRET not in repr(offer)
    assert talk.receive(offered(peer_id=text(PEER))) == []
    assert len(numbered(talk, told(complete=1))) == 1
    assert talk.receive(offered(interval=5)) == [offer]
    talk.leave(REQUEST)
    assert talk.receive(offered()) == []


@pytest.mark.parametrize(
    "broken",
    [
        {"offer": 5},
        {"offer": None},
        {"offer": {"type": "answer", "sdp": "v=0"}},
        {"offer": {"type": "offer"}},
        {"offer": {"type": "offer", "sdp": ""}},
        {"offer": {"type": "offer", "sdp": "x" * (MAX_SDP + 1)}},
        {"offer_id": None},
        {"offer_id": ""},
        {"offer_id": "x" * 65},
        {"offer_id": "\u20ac"},
        {"offer_id": "\ud800"},
        {"peer_id": None},
        {"peer_id": "short"},
        {"info_hash": text(OTHER)},
        {"info_hash": []},
    ],
)
def test_an_offer_that_is_none_is_passed_over(broken: dict[str, object]) -> None:
    """Or one of a torrent that we have not announced here."""
    talk = new()
    talk.announce(REQUEST)
    assert talk.receive(offered(**broken)) == []
    assert talk.receive(offered()) != []


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "{",
        "404 passkey",
        "[1, 2]",
        "null",
        "{}",
        '{"action": 5}',
        '{"action": "announce"}',
        '{"action": "announce", "info_hash": {}}',
        '{"action": "announce", "info_hash": "\\ud800' + "x" * 19 + '"}',
        '{"action": "hello", "info_hash": "' + text(HASH) + '"}',
        '{"a":' + "9" * 100_000 + "}",
        '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":' * 40_000 + "1" + "}" * 40_000,
    ],
)
def test_nonsense_is_passed_over(nonsense: str) -> None:
    """However deep or long; whoever waits goes on waiting."""
    talk = new()
    number = talk.announce(REQUEST)
    assert talk.receive(nonsense) == []
    assert [answered for answered, _ in numbered(talk, told(complete=1))] == [number]


def test_what_nobody_asked_for_is_passed_over() -> None:
    """A second answer, a refusal of nothing, an answer to an offer that we never made."""
    talk = new()
    for message in (told(complete=1), scraped({}), told(failure_reason="no"), '{"failure reason":"no"}'):
        assert talk.receive(message) == []
    talk.announce(REQUEST)
    answer = json.dumps({"action": "announce", "info_hash": text(HASH), "peer_id": text(THEIRS), "answer": {}})
    assert talk.receive(answer) == []
    assert not talk.idle


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("action", "info_hash", "failure reason", "files", "interval", "complete", "offer", "offer_id", "peer_id")
VALUES = JSON | st.sampled_from(["announce", "scrape", text(HASH), text(THEIRS), {"type": "offer", "sdp": "v=0"}])


@given(st.dictionaries(st.sampled_from(KEYS), VALUES), st.text(max_size=30))
def test_any_message_is_read_or_passed_over(message: dict[str, object], noise: str) -> None:
    """It answers a question that was asked, and once."""
    talk = new()
    numbers = {talk.announce(REQUEST), talk.scrape([HASH])}
    assert talk.receive(noise) == []
    answered = [number for number, _ in numbered(talk, json.dumps(message))]
    assert len(answered) <= 1
    assert set(answered) <= numbers


def test_each_of_ten_thousand_torrents_gets_its_own_answer() -> None:
    """By its name, or the oldest by its age."""
    talk = new()
    hashes = [index.to_bytes(20, "big") for index in range(10_000)]
    numbers = [talk.announce(replaced(info_hash)) for info_hash in hashes]
    assert len(talk.outgoing()) == 10_000
    refused = range(0, 10_000, 2)
    for index in refused:
        assert [number for number, _ in numbered(talk, '{"failure reason":"no"}')] == [numbers[index]]
        message = json.dumps({"action": "announce", "info_hash": text(hashes[index + 1]), "complete": 1})
        assert [number for number, _ in numbered(talk, message)] == [numbers[index + 1]]
