"""HTTP on the running loop: connections that ask one thing after another, bounded in number, size and time."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from math import inf
from typing import cast

from anabranch.model import Address, canonical_host
from anabranch.net import is_this_machine, neighbourhood

from .holding import Holding
from .requests import BadRequest, RequestReader, answer
from .tracker import Question, Tracker

IDLE = 60.0  # seconds that a connection may be silent, or not take its answer
_MOST = 1000  # connections; for one more, that which was silent longest is closed
_MOST_OF_HOST = 100
_UNREAD = 64 * 1024  # bytes of requests behind one that waits for its answer
_UNSENT = 64 * 1024  # bytes of answers; while there are more nothing is read


class HttpSide:
    """All connections over HTTP.

    Args:
        tracker: Who answers.
        holding: Says which announces are held back.

    Attributes:
        opened: How many connections there have been.
        most_open: The most at once.
    """

    def __init__(self, tracker: Tracker, holding: Holding) -> None:
        self.tracker = tracker
        self.holding = holding
        self.opened = 0
        self.most_open = 0
        self._talks: OrderedDict[_Talk, float] = OrderedDict()  # and when each was last heard
        self._of_host: dict[str, int] = {}

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._talks)

    def talk(self) -> asyncio.Protocol:
        """What serves a new connection."""
        return _Talk(self)

    def tick(self, now: float) -> None:
        """Close those that are silent, or do not take their answers, for too long."""
        for talk, heard in list(self._talks.items()):
            if heard > now - IDLE:
                return
            talk.drop()

    def close(self) -> None:
        """Close all."""
        for talk in list(self._talks):
            talk.drop()

    def welcome(self, talk: _Talk, now: float) -> bool:
        """A connection is there. Whether it may stay."""
        host = neighbourhood(talk.asker.host)
        if self._of_host.get(host, 0) >= _MOST_OF_HOST and not talk.is_near:
            return False
        if len(self._talks) >= _MOST:
            next(iter(self._talks)).drop()
        self._of_host[host] = self._of_host.get(host, 0) + 1
        self._talks[talk] = now
        self.opened += 1
        self.most_open = max(self.most_open, self.open)
        return True

    def heard(self, talk: _Talk, now: float) -> None:
        """It asked something."""
        self._talks[talk] = now
        self._talks.move_to_end(talk)

    def part(self, talk: _Talk) -> None:
        """It has ended; once more is no matter."""
        if self._talks.pop(talk, None) is not None:
            host = neighbourhood(talk.asker.host)
            self._of_host[host] -= 1
            if not self._of_host[host]:
                del self._of_host[host]


class _Talk(asyncio.Protocol):
    """One connection."""

    def __init__(self, side: HttpSide) -> None:
        self.asker = Address("0.0.0.0", 0)
        self.is_near = False
        self._side = side
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        self._waits = False  # an announce is held back
        self._is_full = False  # of answers that the asker does not take
        self._is_read = True
        self._alarm: asyncio.TimerHandle | None = None
        self._clock = asyncio.get_running_loop().time

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are so by what they can, not by their class
        name = transport.get_extra_info("peername")
        if not name:  # it has gone already
            self._transport.abort()
            return
        self.asker = Address(canonical_host(name[0]), name[1])
        self.is_near = is_this_machine(self.asker.host)
        if not self._side.welcome(self, self._clock()):
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_UNSENT)

    def data_received(self, data: bytes) -> None:
        self._reader.receive(data)
        self._go_on()

    def pause_writing(self) -> None:
        self._is_full = True
        self._read_or_not()

    def resume_writing(self) -> None:
        self._is_full = False
        self._side.heard(self, self._clock())
        self._go_on()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._side.part(self)
        if self._alarm is not None:
            self._alarm.cancel()
        if self._waits:
            self._waits = False
            self._side.holding.end()

    def drop(self) -> None:
        """End it now."""
        self._side.part(self)
        if self._transport is not None:
            self._transport.abort()

    def _go_on(self) -> None:
        """Answer what was asked, as far as that can be done now."""
        while self._transport is not None and not (self._waits or self._is_full or self._transport.is_closing()):
            try:
                request = self._reader.next()
            except BadRequest as bad:
                self._side.tracker.counts.bad += 1
                self._transport.write(answer(None, bad.status, f"{bad}\n".encode()))
                self._transport.close()
                return
            if request is None:
                break
            now = self._clock()
            self._side.heard(self, now)
            asked = self._side.tracker.over_http(request, self.asker, now)
            if isinstance(asked, bytes):
                self._send(asked, request.keeps)
            else:
                self._decide(asked, request.keeps, now)
        self._read_or_not()

    def _decide(self, question: Question, keeps: bool, now: float) -> None:
        verdict = self._side.holding.begin(question.announce)
        if isinstance(verdict, float) and verdict > 0:
            self._waits = True
            if verdict < inf:
                loop = asyncio.get_running_loop()
                self._alarm = loop.call_later(verdict, self._answer_late, question, keeps)
            return
        self._side.holding.end()
        self._send(question.refuse(verdict) if isinstance(verdict, str) else question.answer(now), keeps)

    def _answer_late(self, question: Question, keeps: bool) -> None:
        self._waits, self._alarm = False, None
        self._side.holding.end()
        self._send(question.answer(self._clock()), keeps)
        self._go_on()

    def _send(self, said: bytes, keeps: bool) -> None:
        if self._transport is not None:
            self._transport.write(said)
            if not keeps:
                self._transport.close()

    def _read_or_not(self) -> None:
        """Nothing is read that would only be kept; but while there is nothing, so that an end is noticed."""
        wanted = not self._is_full and not (self._waits and self._reader.unread > _UNREAD)
        if self._transport is not None and wanted is not self._is_read and not self._transport.is_closing():
            self._is_read = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()
