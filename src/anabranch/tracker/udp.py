"""The conversation with one UDP tracker at one address, without its socket.

Source: BEP 15, with BEP 41 (the URL's path and query go along: they may hold a passkey). All torrents that are
announced there share it and its connection id. BEP 15 repeats a request after 15, 30, 60 ... seconds; who waits for an
answer here waits 15 in all, so that ours are repeated after 2.5, 5 and 10 seconds (then as the BEP says, for who has
more patience), and given up when their time is over.

Datagrams may be lost, doubled, late, or from somebody who guesses: what does not answer an open question is ignored,
and only told where nothing better came. A tracker that does not answer is not flooded with what many torrents ask: only
so many questions are under way, the others wait, and all while there is no connection id.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from ipaddress import IPv4Address
from math import inf
from typing import TypeAlias

from .faults import FaultKind, TrackerFault, refusal
from .messages import AnnounceReply, AnnounceRequest, ScrapeReply, compact_peers, interval_of, shown

MAX_SCRAPED = 74  # torrents of one scrape (BEP 15)
PATIENCE = 15.0  # seconds for one question
_WAITS = (2.5, 5.0, 10.0, *(15.0 * (1 << n) for n in range(9)))  # seconds until a question is repeated
_MOST_CONNECTS = 3  # the wait between connects grows so far: 15 s, that who asks next hears whether somebody is back
_CONNECTION_LIFE = 60.0  # seconds that we may use a connection id
_UNDER_WAY = 100  # questions sent and not answered; at 0.1 s a round that is 1,000 torrents a second
_MAGIC = (0x41727101980).to_bytes(8, "big")
_CONNECT, _ANNOUNCE, _SCRAPE, _ERROR = range(4)
_URL_DATA = 2  # BEP 41's option, in parts of at most 255 bytes
_UNLISTED = "refused without a reason, as opentracker does with torrents that are not on its list"
_ANY_IP = IPv4Address(0)

Scraped: TypeAlias = dict[bytes, ScrapeReply]
Answer: TypeAlias = "tuple[int, AnnounceReply | Scraped | TrackerFault]"  # the question's number, and what came of it


@dataclass(slots=True)
class _Question:
    """What was asked and not answered: under way, or waiting to be sent."""

    action: int
    payload: bytes
    info_hashes: Sequence[bytes]
    asked: float
    end: float
    strays: int  # that had come by then
    due: float = inf  # when time does something to it
    tries: int = 0
    under: bytes = b""  # the connection id it was sent with
    refusals: int = 0  # of connection ids
    odd: str = ""  # what came instead of an answer


@dataclass(slots=True)
class _Connecting:
    """Our wish for a connection id."""

    number: int
    due: float
    tries: int = 0
    odd: bool = False  # it was answered, but not with a connection id


class UdpTracker:
    """One conversation. Its questions are known by numbers, the transaction ids of BEP 15.

    Args:
        v6: Whether the tracker is asked over IPv6: then its peers are IPv6 peers.
        draw: Gives 32 random bits; who can guess them can answer in the tracker's place.
    """

    def __init__(self, *, v6: bool, draw: Callable[[], int]) -> None:
        self._v6 = v6
        self._draw = draw
        self._questions: dict[int, _Question] = {}
        self._waiting: OrderedDict[int, None] = OrderedDict()  # numbers of those that wait to be sent, oldest first
        self._agenda: list[tuple[float, int]] = []  # heap of (due, number); counts if the question agrees
        self._connecting: _Connecting | None = None
        self._connection = b""
        self._connected_at = -inf
        self._strays = 0  # datagrams that answered nothing
        self._outbox: list[bytes] = []

    def announce(self, request: AnnounceRequest, target: str, now: float, patience: float = PATIENCE) -> int:
        """Ask for peers; the answer comes with the number that is returned.

        Args:
            request: What to tell.
            target: The URL's path and query.
            now: The time.
            patience: Seconds after which no answer is a fault.
        """
        payload = struct.pack(
            ">20s20sQQQI4sIIH",
            request.info_hash,
            request.peer_id,
            request.downloaded,
            request.left,
            request.uploaded,
            request.event,
            (IPv4Address(request.ipv4) if request.ipv4 is not None and not self._v6 else _ANY_IP).packed,
            request.key,
            request.peers_wanted,
            request.port,
        )
        return self._ask(_ANNOUNCE, payload + _url_data(target), [], now, patience)

    def scrape(self, info_hashes: Sequence[bytes], now: float, patience: float = PATIENCE) -> int:
        """Ask for numbers, of MAX_SCRAPED torrents at most; the answer comes with the number that is returned."""
        if not 0 < len(info_hashes) <= MAX_SCRAPED or any(len(info_hash) != 20 for info_hash in info_hashes):
            raise ValueError(f"a scrape is about 1 to {MAX_SCRAPED} info hashes of 20 bytes")
        return self._ask(_SCRAPE, b"".join(info_hashes), list(info_hashes), now, patience)

    def forget(self, number: int, now: float) -> None:
        """Nobody waits for that answer any more."""
        self._leave(number)
        self._send_on(now)

    def receive(self, datagram: bytes, now: float) -> list[Answer]:
        """Take what came from the tracker's address; return what it answers."""
        answers = self._heard(datagram, now)
        self._send_on(now)
        return answers

    def undelivered(self, datagram: bytes, words: str, now: float) -> list[Answer]:
        """Somebody says that what we sent did not arrive: all questions have their answer, if it is true.

        Args:
            datagram: What we sent, or its beginning: from the network, anybody could say so who does not know it.
            words: Why.
            now: The time.
        """
        if len(datagram) < 16:
            return []
        number = int.from_bytes(datagram[12:16], "big")
        if number not in self._questions and (self._connecting is None or number != self._connecting.number):
            return []
        self._connection = b""
        return self._all_done(list(self._questions), lambda: TrackerFault(FaultKind.NETWORK, words))

    def tick(self, now: float) -> list[Answer]:
        """Let time pass: repeat what was not answered, give up what was not for too long."""
        answers: list[Answer] = []
        while self._agenda and self._agenda[0][0] <= now:
            due, number = heappop(self._agenda)
            question = self._questions.get(number)
            if question is None or question.due != due:
                continue
            if now >= question.end:
                answers += self._done(number, self._given_up(number, question))
            else:
                if self._is_older_than(question):  # it may be the connection id that it does not know any more
                    self._connection = b""
                self._send(number, question, now)
        if self._connecting is not None and now >= self._connecting.due:
            self._connect(now)
        self._send_on(now)
        return answers

    def deadline(self) -> float:
        """When tick() is next due; now and then earlier than needed."""
        agenda = self._agenda[0][0] if self._agenda else inf
        return min(agenda, self._connecting.due) if self._connecting is not None else agenda

    def outgoing(self) -> list[bytes]:
        """Drain the datagrams that are to be sent."""
        sent, self._outbox = self._outbox, []
        return sent

    def idle_at(self, now: float) -> bool:
        """Whether nothing would be lost with this conversation: no question is open and no connection id is good."""
        return not self._questions and not self._has_connection(now)

    def _ask(self, action: int, payload: bytes, info_hashes: Sequence[bytes], now: float, patience: float) -> int:
        number = self._new_number()
        question = _Question(action, payload, info_hashes, now, now + patience, self._strays)
        self._questions[number] = question
        self._wait(number, question)
        self._send_on(now)
        return number

    def _new_number(self) -> int:
        number = self._draw() % 2**32
        taken = self._connecting.number if self._connecting is not None else None
        while number in self._questions or number == taken:
            number = (number + 1) % 2**32
        return number

    def _heard(self, datagram: bytes, now: float) -> list[Answer]:
        if len(datagram) < 8:
            self._strays += 1
            return []
        action, number = struct.unpack_from(">II", datagram)
        if self._connecting is not None and number == self._connecting.number:
            return self._connected(self._connecting, action, datagram, now)
        question = self._questions.get(number)
        if question is None:
            self._strays += 1
            return []
        if action == _ERROR:
            return self._refused(number, question, shown(datagram[8:]))
        if action != question.action:
            question.odd = "it answers something else than what it was asked"
            return []
        if action == _SCRAPE:
            return self._done(number, _scraped(datagram, question.info_hashes))
        if len(datagram) == 8:
            return self._done(number, TrackerFault(FaultKind.UNLISTED, _UNLISTED))
        if len(datagram) < 20:
            question.odd = "its answer is cut off"
            return []
        interval, leechers, seeders = struct.unpack_from(">III", datagram, 8)
        peers = tuple(dict.fromkeys(compact_peers(datagram[20:], v6=self._v6)))
        return self._done(number, AnnounceReply(interval_of(interval), None, seeders, leechers, None, peers))

    def _refused(self, number: int, question: _Question, words: str) -> list[Answer]:
        if "connection id" in words.casefold().replace("_", " "):
            if question.under == self._connection:
                self._connection = b""
            question.refusals += 1
            if question.refusals > 1:
                return self._done(number, TrackerFault(FaultKind.UDP_CONNECTION, words))
            self._wait(number, question)  # the tracker may have forgotten us: once more, with a new one
            return []
        return self._done(number, refusal(words))

    def _connected(self, connecting: _Connecting, action: int, datagram: bytes, now: float) -> list[Answer]:
        if action == _ERROR:
            return self._all_done(list(self._waiting), lambda: refusal(shown(datagram[8:])))
        if action == _CONNECT and len(datagram) >= 16:
            self._connecting = None
            self._connection, self._connected_at = datagram[8:16], now
        else:
            connecting.odd = True
        return []

    def _given_up(self, number: int, question: _Question) -> TrackerFault:
        """Why a question that had its time is without an answer."""
        silence = f"no answer within {round(question.end - question.asked, 2):.3g} s"
        connecting = self._connecting if number in self._waiting else None
        if connecting is not None and connecting.odd:
            return TrackerFault(FaultKind.UDP_CONNECTION, "it answers, but never gives a connection id")
        if question.odd:
            return TrackerFault(FaultKind.REPLY, f"{silence} that is one: {question.odd}")
        if self._strays > question.strays:
            silence += "; what came from there answers nothing that was asked"
        elif connecting is not None:
            silence += ": it, or a firewall on the way, is silent over UDP"
        elif number in self._waiting:
            silence += ": it is too slow for all that is asked of it"
        else:
            silence += ", though it knows us"
        return TrackerFault(FaultKind.TIMEOUT, silence)

    def _send_on(self, now: float) -> None:
        """Send what waits, as far as it may."""
        while self._waiting and len(self._questions) - len(self._waiting) < _UNDER_WAY:
            if not self._has_connection(now):
                if self._connecting is None:
                    self._connecting = _Connecting(self._new_number(), now)
                    self._connect(now)
                return
            number, _ = self._waiting.popitem(last=False)
            self._send(number, self._questions[number], now)

    def _send(self, number: int, question: _Question, now: float) -> None:
        """Send a question, or have it wait for a connection id."""
        if not self._has_connection(now):
            self._wait(number, question)
            return
        self._outbox.append(self._connection + struct.pack(">II", question.action, number) + question.payload)
        self._schedule(number, question, now + _pause(question.tries))
        question.under = self._connection
        question.tries += 1

    def _wait(self, number: int, question: _Question) -> None:
        self._waiting[number] = None
        self._schedule(number, question, question.end)

    def _connect(self, now: float) -> None:
        connecting = self._connecting
        if connecting is not None:
            self._outbox.append(_MAGIC + struct.pack(">II", _CONNECT, connecting.number))
            connecting.due = now + _pause(min(connecting.tries, _MOST_CONNECTS))
            connecting.tries += 1

    def _all_done(self, numbers: list[int], fault: Callable[[], TrackerFault]) -> list[Answer]:
        """To each its own fault: one that is raised again and again grows, with everybody's traceback."""
        return [answer for number in numbers for answer in self._done(number, fault())]

    def _done(self, number: int, answer: AnnounceReply | Scraped | TrackerFault) -> list[Answer]:
        self._leave(number)
        return [(number, answer)]

    def _leave(self, number: int) -> None:
        self._questions.pop(number, None)
        self._waiting.pop(number, None)
        if not self._waiting:
            self._connecting = None  # who asks next tries at once
        if not self._questions:
            self._agenda.clear()
        elif len(self._agenda) > 4 * len(self._questions) + 64:
            self._agenda = [(question.due, number) for number, question in self._questions.items()]
            heapify(self._agenda)

    def _schedule(self, number: int, question: _Question, due: float) -> None:
        question.due = min(due, question.end)
        heappush(self._agenda, (question.due, number))

    def _has_connection(self, now: float) -> bool:
        return bool(self._connection) and now < self._connected_at + _CONNECTION_LIFE

    def _is_older_than(self, question: _Question) -> bool:
        """Whether our connection id was there before the question: then it may be what is wrong."""
        return self._connected_at < question.asked


def _pause(tries: int) -> float:
    return _WAITS[min(tries, len(_WAITS) - 1)]


def _scraped(datagram: bytes, info_hashes: Sequence[bytes]) -> Scraped:
    """A reply that is too short tells of as many as it holds."""
    numbers = struct.iter_unpack(">III", datagram[8 : 8 + (len(datagram) - 8) // 12 * 12])
    return {
        info_hash: ScrapeReply(seeders, completed, leechers)
        for info_hash, (seeders, completed, leechers) in zip(info_hashes, numbers, strict=False)
    }


def _url_data(target: str) -> bytes:
    raw = target.encode("ascii")
    if raw == b"/":
        return b""
    parts = [raw[start : start + 255] for start in range(0, len(raw), 255)]
    return b"".join(bytes([_URL_DATA, len(part)]) + part for part in parts)
