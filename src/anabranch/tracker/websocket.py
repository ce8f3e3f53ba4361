"""Trackers for browsers, over a WebSocket: the messages that ask and those that answer, without the socket.

Source: what the trackers of WebTorrent speak; nothing else is written down. Looked at were bittorrent-tracker 11.2.3
(npm) and libtorrent 2.1.1, whose order of keys this is. A message is a JSON object; binary strings have a character
for each byte. Peers behind such a tracker are reached by WebRTC: they come as offers, at any time, not in the reply. We
make no offers of our own, so none are answered to us.
An answer names its torrent and what was asked, no more: questions that would be the same in that stand in line.
A tracker is a stranger: what it says that nobody asked for, or that means nothing, is passed over.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import Any

from anabranch.net import Url, without_secrets

from .faults import FaultKind, TrackerFault, refusal
from .messages import DEFAULT_INTERVAL, AnnounceReply, AnnounceRequest, Event, ScrapeReply, interval_of, shown

MAX_SCRAPED = 500  # torrents of one scrape: the answer stays well below what a message may have
MAX_SDP = 32 * 1024  # characters of an offer; a few KiB are usual
_LONGEST_ID = 1024  # characters of a tracker id, as over HTTP
_LONGEST_OFFER_ID = 64  # bytes; 20 are usual
_LARGEST_COUNT = 2**53 - 1  # what a number in JavaScript holds exactly
_EVENTS = {Event.COMPLETED: "completed", Event.STARTED: "started", Event.STOPPED: "stopped"}
_SCRAPES = b""  # the line that all scrapes stand in: their answers name no question

Scraped = dict[bytes, ScrapeReply]
Answer = tuple[int, AnnounceReply | Scraped | TrackerFault]
_Message = Mapping[str, Any]  # JSON from a stranger: any value of any kind


@dataclass(frozen=True, slots=True)
class Offer:
    """A peer that would speak WebRTC with us, as a WebSocket tracker brought it.

    Args:
        url: The tracker's URL, without a login.
        info_hash: 20 bytes; of a torrent that we announced there.
        peer_id: The peer's, 20 bytes.
        offer_id: What an answer has to name, 1 to 64 bytes.
        sdp: The session that it offers (RFC 8866), unread; 32 KiB at most.
    """

    url: str = field(repr=False)
    info_hash: bytes
    peer_id: bytes
    offer_id: bytes
    sdp: str = field(repr=False)


@dataclass(slots=True, eq=False)
class _Question:
    """What is asked, and which of those who ask the same it is."""

    line: bytes  # info hash of an announce, or _SCRAPES
    message: str
    peer_id: bytes = b""  # of an announce


class WebSocketTracker:
    """One conversation with a tracker, for any number of torrents.

    Args:
        url: Who it is.
    """

    def __init__(self, url: Url) -> None:
        self._url = url
        self._numbers = count()
        self._questions: dict[int, _Question] = {}
        self._lines: dict[bytes, OrderedDict[int, None]] = {}  # the first of each has been sent
        self._sent: OrderedDict[int, None] = OrderedDict()
        self._announced: dict[bytes, bytes] = {}  # the torrents that it knows us with, and our peer ids
        self._outbox: list[str] = []
        self._passed_over = 0

    @property
    def passed_over(self) -> int:
        """How many messages came that told us nothing."""
        return self._passed_over

    @property
    def idle(self) -> bool:
        """Whether nothing would be lost with this conversation: no question is open, and no torrent is announced."""
        return not self._questions and not self._announced

    def announce(self, request: AnnounceRequest) -> int:
        """Tell about us; the answer comes with the number that is returned. A stop is for leave()."""
        if request.event is Event.STOPPED:
            raise ValueError("who stops waits for no answer")
        return self._ask(_Question(request.info_hash, _announcing(request), request.peer_id))

    def leave(self, request: AnnounceRequest) -> None:
        """Tell that we stop. Not every tracker answers that: nobody waits for it."""
        self._announced.pop(request.info_hash, None)
        self._outbox.append(_announcing(request))

    def scrape(self, info_hashes: Sequence[bytes]) -> int:
        """Ask for numbers, of MAX_SCRAPED torrents at most; the answer comes with the number that is returned."""
        if not 0 < len(info_hashes) <= MAX_SCRAPED or any(len(info_hash) != 20 for info_hash in info_hashes):
            raise ValueError(f"a scrape is about 1 to {MAX_SCRAPED} info hashes of 20 bytes")
        asked = [info_hash.decode("latin-1") for info_hash in info_hashes]
        return self._ask(_Question(_SCRAPES, _packed({"action": "scrape", "info_hash": asked})))

    def forget(self, number: int) -> None:
        """Nobody waits for that answer any more."""
        question = self._questions.pop(number, None)
        if question is None:
            return
        line = self._lines[question.line]
        del line[number]
        if number not in self._sent:
            return
        del self._sent[number]
        if line:
            self._send(next(iter(line)))
        else:
            del self._lines[question.line]

    def receive(self, message: str) -> list[Answer | Offer]:
        """Take a message; return what it answers, and who offers to connect."""
        try:
            told = json.loads(message)
        except (ValueError, RecursionError):  # ValueError also for a number of thousands of digits
            told = None
        news = self._read(told) if isinstance(told, dict) else []
        self._passed_over += not news
        return news

    def outgoing(self) -> list[str]:
        """Drain the messages that are to be sent."""
        sent, self._outbox = self._outbox, []
        return sent

    def _read(self, told: _Message) -> list[Answer | Offer]:
        info_hash = _raw(told.get("info_hash"), 20)
        if told.get("failure reason"):
            return self._refused(told, info_hash)
        if told.get("action") == "scrape":
            return self._scraped(told)
        if told.get("action") != "announce" or info_hash is None:
            return []
        if "offer" in told or "answer" in told:
            offer = self._offer(told, info_hash)
            return [offer] if offer is not None else []
        return self._announced_to(told, info_hash)

    def _ask(self, question: _Question) -> int:
        number = next(self._numbers)
        self._questions[number] = question
        line = self._lines.setdefault(question.line, OrderedDict())
        line[number] = None
        if len(line) == 1:
            self._send(number)
        return number

    def _send(self, number: int) -> None:
        self._sent[number] = None
        self._outbox.append(self._questions[number].message)

    def _first(self, line: bytes | None) -> int | None:
        """Which of the questions of a line has been sent."""
        return next(iter(self._lines[line])) if line in self._lines else None

    def _refused(self, told: _Message, info_hash: bytes | None) -> list[Answer | Offer]:
        """A refusal. One that names no torrent is of the oldest question: trackers answer in order."""
        number = self._first(_SCRAPES if told.get("action") == "scrape" else info_hash)
        if number is None and info_hash is None:
            number = next(iter(self._sent), None)
        if number is None:
            return []
        words = self._words(told["failure reason"])
        self._announced.pop(self._questions[number].line, None)
        self.forget(number)
        return [(number, refusal(words, _retry_in(told)))]

    def _announced_to(self, told: _Message, info_hash: bytes) -> list[Answer | Offer]:
        number = self._first(info_hash)
        if number is None:
            return []
        self._announced[info_hash] = self._questions[number].peer_id
        self.forget(number)
        least = _count(told, "min interval")
        reply = AnnounceReply(
            interval=interval_of(_count(told, "interval") or DEFAULT_INTERVAL),
            min_interval=interval_of(least) if least else None,
            seeders=_count(told, "complete"),
            leechers=_count(told, "incomplete"),
            downloaded=_count(told, "downloaded"),
            warning=self._words(told.get("warning message")),
            tracker_id=_raw(told.get("tracker id", told.get("trackerid"))) or b"",
        )
        return [(number, reply)]

    def _scraped(self, told: _Message) -> list[Answer | Offer]:
        number = self._first(_SCRAPES)
        if number is None:
            return []
        asked = json.loads(self._questions[number].message)["info_hash"]
        self.forget(number)
        files = told.get("files")
        if not isinstance(files, dict):
            return [(number, TrackerFault(FaultKind.REPLY, "the scrape reply has no 'files'"))]
        numbers = {
            one.encode("latin-1"): ScrapeReply(
                _count(files[one], "complete"), _count(files[one], "downloaded"), _count(files[one], "incomplete")
            )
            for one in asked
            if isinstance(files.get(one), dict)
        }
        return [(number, numbers)]

    def _offer(self, told: _Message, info_hash: bytes) -> Offer | None:
        number = self._first(info_hash)
        ours = self._announced.get(info_hash) if number is None else self._questions[number].peer_id
        peer_id, offer_id, offer = _raw(told.get("peer_id"), 20), _raw(told.get("offer_id")), told.get("offer")
        sdp = offer.get("sdp") if isinstance(offer, dict) and offer.get("type") == "offer" else None
        if ours is None or peer_id in (None, ours) or not offer_id or len(offer_id) > _LONGEST_OFFER_ID:
            return None
        if peer_id is None or not isinstance(sdp, str) or not 0 < len(sdp) <= MAX_SDP:
            return None
        return Offer(self._url.whole, info_hash, peer_id, offer_id, sdp)

    def _words(self, value: object) -> str:
        """What the tracker says to people; a number is better than nothing."""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        return without_secrets(shown(value.encode("utf-8", "replace")), self._url) if isinstance(value, str) else ""


def _announcing(request: AnnounceRequest) -> str:
    message: dict[str, object] = {
        "action": "announce",
        "info_hash": request.info_hash.decode("latin-1"),
        "uploaded": min(request.uploaded, _LARGEST_COUNT),
        "downloaded": min(request.downloaded, _LARGEST_COUNT),
        "left": min(request.left, _LARGEST_COUNT),  # never null, which JavaScript takes for 0: a seeder
        "corrupt": min(request.corrupt, _LARGEST_COUNT),
        "numwant": 0,  # as many as there are offers
        "key": f"{request.key:08X}",
    }
    if request.event is not Event.NONE:
        message["event"] = _EVENTS[request.event]
    message["peer_id"] = request.peer_id.decode("latin-1")
    if request.tracker_id:
        message["trackerid"] = request.tracker_id.decode("latin-1")
    if request.event is not Event.STOPPED:
        message["offers"] = []
    return _packed(message)


def _packed(message: dict[str, object]) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _raw(value: object, length: int | None = None) -> bytes | None:
    """The bytes of a binary string, of *length* where that is given; None for anything else."""
    if not isinstance(value, str) or len(value) > _LONGEST_ID or length not in (None, len(value)):
        return None
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return None


def _count(told: _Message, key: str) -> int | None:
    value = told.get(key)
    if isinstance(value, str) and len(value) < 17 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LARGEST_COUNT:
        return None  # not a number (NaN) neither
    return int(value)


def _retry_in(told: _Message) -> float | None:
    """BEP 31: minutes, or "never"."""
    minutes = _count(told, "retry in")
    return inf if told.get("retry in") == "never" else None if minutes is None else 60.0 * minutes
