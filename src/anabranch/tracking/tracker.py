"""A tracker without its sockets: questions and the time in, answers out.

Who carries them may hold a question back before it is answered, or refuse it: tests of clients need that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

from anabranch.model import Address

from . import datagrams, queries
from .announces import Announce, Refusal
from .datagrams import Gate
from .requests import NOT_FOUND, OK, Request, answer
from .swarm import Chance
from .swarms import NOT_SERVED, Counted, Limits, Swarms

_BENCODED = "text/plain"  # what trackers say of it
_LEAST_MIN_INTERVAL = 60  # seconds
_LIVES = 2  # intervals that a peer is kept without being heard of
_GRACE = 60.0  # seconds beyond that


@dataclass(frozen=True, slots=True)
class Rules:
    """How a tracker serves.

    Args:
        interval: Seconds until a peer is to announce again, 1 at least.
        only: The info hashes that it serves, of 20 bytes; None for all.
        limits: How much it keeps.
    """

    interval: int = 1800
    only: Collection[bytes] | None = None
    limits: Limits = Limits()  # noqa: RUF009 # frozen

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ValueError(f"no peer can announce each {self.interval} s")

    @property
    def life(self) -> float:
        """Seconds that a peer is kept without being heard of."""
        return _LIVES * self.interval + _GRACE


@dataclass(slots=True)
class Counts:
    """What a tracker was asked.

    Args:
        http: Announces over HTTP.
        udp: Announces over UDP.
        scrapes: Over both.
        refused: Of all these, those that were.
        bad: Requests and datagrams that were no question.
    """

    http: int = 0
    udp: int = 0
    scrapes: int = 0
    refused: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """An announce that is not answered yet.

    Args:
        announce: What it says.
        answer: Takes it in at that time; gives the answer's bytes.
        refuse: Does not; gives the answer's bytes, with that reason.
    """

    announce: Announce
    answer: Callable[[float], bytes]
    refuse: Callable[[str], bytes]


Heard = Callable[[Announce, Counted, str], None]  # what was announced, the torrent then, why it was refused or ""


class Tracker:
    """Tells peers of each other.

    Args:
        rules: How; may be changed at any time by rule().
        secret: 16 bytes or more that nobody else knows.
        chance: Chooses among peers.
        heard: Is told of each announce when it is answered.
    """

    def __init__(self, rules: Rules, secret: bytes, chance: Chance, heard: Heard | None = None) -> None:
        self.counts = Counts()
        self.swarms = Swarms(chance, rules.limits, rules.only)
        self._rules = rules
        self._gate = Gate(secret)
        self._heard = heard

    def rule(self, rules: Rules) -> None:
        """Serve by other rules from now on."""
        self._rules = rules
        self.swarms.limits, self.swarms.only = rules.limits, rules.only

    def tick(self, now: float) -> None:
        """Let time pass; once a minute will do."""
        self.swarms.tick(now, self._rules.life)

    def stats(self) -> dict[str, int]:
        """Everything in numbers; the interval in seconds."""
        return {
            "torrents": self.swarms.torrents,
            "seeders": self.swarms.seeders,
            "leechers": self.swarms.leechers,
            "announces_http": self.counts.http,
            "announces_udp": self.counts.udp,
            "scrapes": self.counts.scrapes,
            "refused": self.counts.refused,
            "bad": self.counts.bad,
            "interval": self._rules.interval,
        }

    def over_http(self, request: Request, asker: Address, now: float) -> Question | bytes:
        """What somebody asks by HTTP: the whole answer, or an announce that waits for its own."""
        match request.path.rpartition(b"/")[2]:
            case b"announce":
                try:
                    announce = queries.announce_of(request, asker, now)
                except Refusal as refusal:
                    self.counts.bad += 1
                    return _bencoded(request, queries.refused(str(refusal)))
                return self._question(announce, partial(self._answer_http, request, announce), request)
            case b"scrape":
                return _bencoded(request, self._scrape_http(request, now))
            case b"stats":
                return answer(request, OK, json.dumps(self.stats()).encode() + b"\n", "application/json")
            case _:
                self.counts.bad += 1
                words = b"This is a BitTorrent tracker: it has /announce, /scrape and /stats.\n"
                return answer(request, NOT_FOUND, words)

    def over_udp(self, datagram: bytes, asker: Address, now: float) -> Question | bytes:
        """What somebody asks by UDP: what to send back (nothing for what is no question), or an announce that waits."""
        asked = self._gate.receive(datagram, asker.host, now)
        if isinstance(asked, bytes):
            if len(asked) != 16:
                self.counts.bad += 1
            return asked
        if asked.action == datagrams.ANNOUNCE:
            announce = datagrams.announce_of(asked, asker, now)
            if announce is not None:
                return self._question(announce, partial(self._answer_udp, asked.number, announce), asked.number)
        elif asked.action == datagrams.SCRAPE and len(asked.body) >= 20:
            return self._scrape_udp(asked, now)
        self.counts.bad += 1
        return datagrams.refused(asked.number, "not understood")

    def _question(self, announce: Announce, give: Callable[[float], bytes], back: Request | bytes) -> Question:
        if isinstance(back, bytes):
            self.counts.udp += 1
        else:
            self.counts.http += 1

        def refuse(reason: str) -> bytes:
            self.counts.refused += 1
            if self._heard is not None:
                self._heard(announce, Counted(), reason)
            if isinstance(back, bytes):
                return datagrams.refused(back, reason)
            return _bencoded(back, queries.refused(reason))

        def take_in(now: float) -> bytes:
            try:
                return give(now)
            except Refusal as refusal:
                return refuse(str(refusal))

        return Question(announce, take_in, refuse)

    def _answer_http(self, request: Request, announce: Announce, now: float) -> bytes:
        told = self.swarms.announce(announce, now, self._rules.life)
        if self._heard is not None:
            self._heard(announce, told.counted, "")
        interval = self._rules.interval
        return _bencoded(request, queries.announced(announce, told, interval, min(interval, _LEAST_MIN_INTERVAL)))

    def _answer_udp(self, number: bytes, announce: Announce, now: float) -> bytes:
        told = self.swarms.announce(announce, now, self._rules.life)
        if self._heard is not None:
            self._heard(announce, told.counted, "")
        return datagrams.announced(number, told, self._rules.interval, v6=announce.asker.is_v6)

    def _scrape_http(self, request: Request, now: float) -> bytes:
        self.counts.scrapes += 1
        try:
            numbers = self._scraped(queries.scraped(request), now)
        except Refusal as refusal:
            self.counts.refused += 1
            return queries.refused(str(refusal))
        return queries.scrape_answer({one: counted for one, counted in numbers.items() if counted is not None})

    def _scrape_udp(self, asked: datagrams.Asked, now: float) -> bytes:
        self.counts.scrapes += 1
        named = datagrams.scraped(asked)
        try:
            numbers = self._scraped(named, now)
        except Refusal as refusal:
            self.counts.refused += 1
            return datagrams.refused(asked.number, str(refusal))
        return datagrams.scrape_answer(asked.number, [numbers[one] or Counted() for one in named])

    def _scraped(self, named: Sequence[bytes], now: float) -> dict[bytes, Counted | None]:
        """Refused where none is served; where some are, the others are as if unknown."""
        if not any(map(self.swarms.serves, named)):
            raise Refusal(NOT_SERVED)
        return {one: self.swarms.scrape(one, now, self._rules.life) for one in named}


def _bencoded(request: Request, body: bytes) -> bytes:
    return answer(request, OK, body, _BENCODED)
