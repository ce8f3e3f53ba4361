"""A whole tracker without its sockets."""

from __future__ import annotations

import json
import struct
from random import Random

import pytest

from anabranch.bencode import Value, decode
from anabranch.model import Address
from anabranch.tracking import Announce, Counted, Rules
from anabranch.tracking.requests import Request
from anabranch.tracking.tracker import Question, Tracker
from tracking.asking import PEER, announce, connect, scrape, target
from tracking.peers import HASH, OTHER

NEAR = Address("192.0.2.1", 50_000)
FAR = Address("192.0.2.2", 50_000)


def asked(path: str) -> Request:
    before, _, query = path.partition("?")
    return Request(before.encode(), query.encode())


def body(said: bytes) -> dict[bytes, Value]:
    value = decode(said.partition(b"\r\n\r\n")[2])
    assert isinstance(value, dict)
    return value


def answered(question: Question | bytes, now: float = 0.0) -> bytes:
    return question if isinstance(question, bytes) else question.answer(now)


def make(**rules: object) -> tuple[Tracker, list[tuple[Announce, Counted, str]]]:
    heard: list[tuple[Announce, Counted, str]] = []
    return Tracker(Rules(**rules), b"s" * 32, Random(1), lambda *told: heard.append(told)), heard  # type: ignore[arg-type]  # what tests give is right


def by_udp(tracker: Tracker, asker: Address) -> bytes:
    answer = tracker.over_udp(connect(), asker, 0.0)
    assert isinstance(answer, bytes)
    return answer[8:]


def test_peers_meet_over_http_and_udp_alike() -> None:
    """One torrent, whatever carries its peers; and who asks over both with one key is one."""
    tracker, heard = make(interval=900)
    first = body(answered(tracker.over_http(asked(target()), NEAR, 0.0)))
    assert (first[b"interval"], first[b"min interval"], first[b"peers"]) == (900, 60, b"")
    answer = answered(tracker.over_udp(announce(by_udp(tracker, FAR), peer_id=b"f" * 20, left=0, port=7), FAR, 0.0))
    assert answer == struct.pack(">IIIII", 1, 8, 900, 1, 1) + bytes([192, 0, 2, 1]) + (6881).to_bytes(2, "big")
    answered(tracker.over_udp(announce(by_udp(tracker, NEAR)), NEAR, 0.0))
    assert (tracker.swarms.seeders, tracker.swarms.leechers) == (1, 1)
    assert [(one.carrier, counted, why) for one, counted, why in heard] == [
        ("http", Counted(0, 1, 0), ""),
        ("udp", Counted(1, 1, 0), ""),
        ("udp", Counted(1, 1, 0), ""),
    ]


def test_a_path_may_have_anything_before_its_last_part() -> None:
    """Passkeys stand there."""
    tracker, _ = make()
    assert b"interval" in answered(tracker.over_http(asked("/0123secret" + target()), NEAR, 0.0))
    assert b"404" in answered(tracker.over_http(asked("/announce/"), NEAR, 0.0))[:20]
    assert tracker.counts.bad == 1


def test_a_scrape_tells_of_what_is_known() -> None:
    """By UDP zeros stand for the others, which have their place in the order."""
    tracker, _ = make()
    answered(tracker.over_http(asked(target()), NEAR, 0.0))
    both = asked(target().replace("/announce", "/scrape") + "&info_hash=" + "b" * 20)
    assert body(answered(tracker.over_http(both, NEAR, 0.0))) == {
        b"files": {HASH: {b"complete": 0, b"downloaded": 0, b"incomplete": 1}}
    }
    told = answered(tracker.over_udp(scrape(by_udp(tracker, FAR), OTHER, HASH), FAR, 0.0))
    assert told == struct.pack(">II6I", 2, 9, 0, 0, 0, 0, 0, 1)
    assert body(answered(tracker.over_http(asked("/scrape"), NEAR, 0.0))).keys() == {b"failure reason"}
    assert (tracker.counts.scrapes, tracker.counts.refused) == (3, 1)


def test_torrents_that_are_not_served_are_refused_in_words() -> None:
    """Announces and scrapes, HTTP and UDP; of a scrape of several the others are told."""
    tracker, heard = make(only={OTHER})
    words = b"torrent not registered with this tracker"
    assert body(answered(tracker.over_http(asked(target()), NEAR, 0.0))) == {b"failure reason": words}
    mine = by_udp(tracker, NEAR)
    assert answered(tracker.over_udp(announce(mine), NEAR, 0.0)) == struct.pack(">II", 3, 8) + words
    assert answered(tracker.over_udp(scrape(mine, HASH), NEAR, 0.0)) == struct.pack(">II", 3, 9) + words
    assert len(answered(tracker.over_udp(scrape(mine, HASH, OTHER), NEAR, 0.0))) == 32
    assert words in answered(tracker.over_http(asked(target().replace("/announce", "/scrape")), NEAR, 0.0))
    assert [why.encode() for _, _, why in heard] == [words, words]
    tracker.rule(Rules())
    assert b"interval" in answered(tracker.over_http(asked(target()), NEAR, 0.0))


def test_what_is_wrong_is_answered_in_words() -> None:
    """A client that waits for an answer would ask again and again."""
    tracker, heard = make()
    assert body(answered(tracker.over_http(asked("/announce?port=1"), NEAR, 0.0))) == {
        b"failure reason": b"missing info_hash"
    }
    mine = by_udp(tracker, NEAR)
    for broken in (announce(mine)[:97], mine + struct.pack(">II", 5, 8), scrape(mine)):
        assert answered(tracker.over_udp(broken, NEAR, 0.0))[:4] == b"\0\0\0\x03"
    assert (tracker.counts.bad, heard) == (4, [])


def test_an_announce_may_be_refused_by_whoever_carries_it() -> None:
    """Then nobody is taken in."""
    tracker, heard = make()
    question = tracker.over_http(asked(target()), NEAR, 0.0)
    assert isinstance(question, Question)
    assert body(question.refuse("not today")) == {b"failure reason": b"not today"}
    question = tracker.over_udp(announce(by_udp(tracker, NEAR)), NEAR, 0.0)
    assert isinstance(question, Question)
    assert question.refuse("nor now") == struct.pack(">II", 3, 8) + b"nor now"
    assert (tracker.swarms.torrents, [why for _, _, why in heard]) == (0, ["not today", "nor now"])


def test_peers_are_kept_for_two_intervals() -> None:
    """And a minute, as nobody is punctual."""
    tracker, _ = make(interval=1000)
    answered(tracker.over_http(asked(target()), NEAR, 0.0))
    tracker.tick(2059.0)
    assert tracker.swarms.leechers == 1
    tracker.tick(2060.0)
    assert tracker.swarms.leechers == 0


def test_numbers_about_itself_are_told() -> None:
    """For whoever looks in by a browser."""
    tracker, _ = make()
    answered(tracker.over_http(asked(target()), NEAR, 0.0))
    head, _, said = answered(tracker.over_http(asked("/stats"), NEAR, 0.0)).partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head
    assert json.loads(said) == {
        "torrents": 1,
        "seeders": 0,
        "leechers": 1,
        "announces_http": 1,
        "announces_udp": 0,
        "scrapes": 0,
        "refused": 0,
        "bad": 0,
        "interval": 1800,
    }


def test_no_peer_can_announce_without_a_pause() -> None:
    """An interval of nothing would be a flood."""
    with pytest.raises(ValueError, match="each 0 s"):
        Rules(0)


def test_ids_are_told_in_lists() -> None:
    """compact=0, as BEP 3 had it."""
    tracker, _ = make()
    answered(tracker.over_http(asked(target()), NEAR, 0.0))
    told = body(answered(tracker.over_http(asked(target(peer_id=b"b" * 20, more="&compact=0")), FAR, 0.0)))
    assert told[b"peers"] == [{b"ip": b"192.0.2.1", b"peer id": PEER, b"port": 6881}]
