"""A script against our side of the wire, in virtual time and without a socket."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from random import Random

from anabranch.bencode import encode
from anabranch.metainfo import Info
from anabranch.model import BLOCK_SIZE, PeerFault, all_pieces
from anabranch.testing import Deaf, Hear, Pause, Reset, Scene, Script
from anabranch.wire import (
    Choked,
    Connection,
    Event,
    Greeting,
    Handshake,
    Interested,
    OurExtensions,
    RequestRun,
    Unchoke,
)

_MOST_STEPS = 400
_MOST_SENT = 96 * 1024  # bytes
_DURATION = 130.0  # seconds
_SERVED = 3  # requests of the script that are answered


@cache
def small_info() -> Info:
    """A torrent of 21 pieces: the bitfield has spare bits."""
    length, piece = 20 * 2 * BLOCK_SIZE + 100, 2 * BLOCK_SIZE
    table = {b"length": length, b"name": b"small", b"piece length": piece, b"pieces": bytes(20 * 21)}
    return Info.parse(encode(table))


@dataclass
class Played:
    """What came of it.

    Args:
        fault: What ended it, if we did.
        sent: What the script sent.
        steps: How many steps it took.
        events: What the wire made of it.
    """

    fault: PeerFault | None = None
    sent: bytearray = field(default_factory=bytearray)
    steps: int = 0
    events: list[Event] = field(default_factory=list)

    def heard(self, kind: type[Event]) -> bool:
        """Whether the wire told of this."""
        return any(isinstance(event, kind) for event in self.events)


class Victim:
    """Greets, wants everything, unchokes whoever asks, asks whoever unchokes, and answers a little."""

    def __init__(self, info: Info, dialed: bool) -> None:
        self._info = info
        self._mine = Handshake.ours(info.info_hash, b"-VI0001-abcdefghijkl")
        self._greeting = Greeting.dialed(self._mine, 0.0, 10.0) if dialed else Greeting.accepted(0.0, 10.0)
        self._answered = dialed
        self._talk: Connection | None = None
        self._served = 0

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Raises PeerFault."""
        if self._talk is not None:
            return self._react(self._talk, self._talk.receive(data, now))
        greeting = self._greeting
        greeting.receive(data, now)
        if not self._answered and greeting.info_hash is not None:
            if greeting.info_hash != self._info.info_hash:
                raise PeerFault("no such torrent here")
            greeting.answer(self._mine)
            self._answered = True
        if greeting.theirs is None:
            return []
        if greeting.theirs.peer_id == self._mine.peer_id:
            raise PeerFault("that is ourselves")
        theirs = greeting.theirs
        talk = self._talk = Connection(self._info.geometry, fast=theirs.fast, extended=theirs.extended, now=now)
        talk.send_pieces(all_pieces(self._info.geometry.piece_count), complete=True)
        talk.send_extended_handshake(OurExtensions(names={"ut_metadata": 2, "ut_pex": 1}, version="", reqq=500))
        talk.interested()
        return self._react(talk, talk.receive(greeting.rest, now))

    def tick(self, now: float) -> list[Event]:
        """Raises PeerFault."""
        if self._talk is None:
            self._greeting.tick(now)
            return []
        return self._react(self._talk, self._talk.tick(now))

    def outgoing(self, now: float) -> bytes:
        """What it says."""
        said = self._greeting.outgoing()
        if self._talk is not None:
            while data := b"".join(self._talk.outgoing(1 << 20)):
                self._talk.sent(len(data), now)
                said += data
        return said

    def _react(self, talk: Connection, events: list[Event]) -> list[Event]:
        for event in events:
            match event:
                case Interested():
                    talk.unchoke()
                case Unchoke() if not talk.outstanding:
                    talk.request(0, 0, [memoryview(bytearray(BLOCK_SIZE)) for _ in range(2)], "token")
                case Choked():
                    talk.drop_expected()
                case RequestRun() if self._served < _SERVED:
                    self._served += 1
                    talk.send_blocks(event.piece, event.begin, memoryview(bytes(event.length)), event.block)
                case _:
                    continue
        return events


def play(script: Script, *, dials: bool, seed: int = 0, info: Info | None = None) -> Played:
    """Let a script speak until it ends, we end it, or it has had its time."""
    info = info or small_info()
    scene, victim, played, now = Scene(info, dials=dials, draw=Random(seed)), Victim(info, not dials), Played(), 0.0
    deaf = False
    scene.receive(victim.outgoing(now))
    try:
        for step in script(scene):
            played.steps += 1
            match step:
                case bytes():
                    played.sent += step
                    played.events += victim.receive(step, now)
                case Pause(seconds) | Hear(seconds):
                    end = now + min(seconds, _DURATION)
                    while now < end:
                        now = min(end, now + 1.0)
                        played.events += victim.tick(now)
                case Deaf():
                    deaf = True
                case Reset():
                    break
            said = victim.outgoing(now)
            if not deaf:
                scene.receive(said)
            if played.steps >= _MOST_STEPS or len(played.sent) >= _MOST_SENT or now >= _DURATION:
                break
    except PeerFault as fault:
        played.fault = fault
    return played
