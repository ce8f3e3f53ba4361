"""What a peer's script is told and what it may do: the words between scripts and those who run them.

A script is a generator of steps and does no I/O, so the same one speaks over sockets (peers_io.py) and, in tests, with
a machine in virtual time. What the other side says is read as far as scripts need it; to judge it is for the test.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from random import Random

from anabranch.metainfo import Info
from anabranch.model import PeerFault
from anabranch.wire import HANDSHAKE_LENGTH, ExtendedHandshake, Handshake

PROTOCOL = b"\x13BitTorrent protocol"
_MOST_KEPT = 20_000  # messages that a script has not looked at; what is older is forgotten
_PREFIX = struct.Struct(">I")

Content = Callable[[int, int, int], bytes]  # (piece, begin, length) -> the torrent's bytes there


@dataclass(frozen=True, slots=True)
class Pause:
    """Let so many seconds pass. What comes meanwhile is read."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hear:
    """Wait until there is something that the script has not taken, at most so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Deaf:
    """Read nothing from here on: what the other side sends stays with it."""


@dataclass(frozen=True, slots=True)
class Reset:
    """End the connection as a crash does: with RST, and what was not sent is lost."""


Step = bytes | Pause | Hear | Deaf | Reset  # bytes are sent
Steps = Generator[Step, None, None]  # a script's end closes the connection in order
Script = Callable[["Scene"], Steps]


@dataclass(frozen=True, slots=True)
class Frame:
    """A message of the other side: its id and what follows that."""

    kind: int
    body: bytes


class Scene:
    """One connection as its script sees it.

    Args:
        info: The torrent.
        dials: We connected to them; otherwise they to us.
        draw: Chance, the same for the same seed.
        content: Where right bytes come from.
        their_id: Their peer id, if an earlier connection told it.

    Attributes:
        handshake: Theirs, when all of it has come.
        strange: What they began with is not the plain protocol (they tried encryption, perhaps).
        said: What they said about themselves in the extension protocol.
        choked: They choke us.
    """

    def __init__(
        self, info: Info, *, dials: bool, draw: Random, content: Content | None = None, their_id: bytes = b""
    ) -> None:
        self.info = info
        self.dials = dials
        self.draw = draw
        self.content = content or self._made_up
        self.their_id = their_id
        self.handshake: Handshake | None = None
        self.strange = False
        self.said = ExtendedHandshake()
        self.choked = True
        self.frames: deque[Frame] = deque(maxlen=_MOST_KEPT)
        self._inbox = bytearray()

    @property
    def ids(self) -> Mapping[str, int]:
        """By which number they want each extension to be called."""
        return self.said.ids

    def take(self) -> list[Frame]:
        """What has come since the last call, as far as it is of interest: no blocks, no keep-alives."""
        taken = list(self.frames)
        self.frames.clear()
        return taken

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Read what the other side sent, cut anywhere."""
        if self.strange:
            return
        self._inbox += data
        if self.handshake is None:
            self._greeted()
        if self.handshake is None:
            return
        place = 0
        while len(self._inbox) - place >= 4:
            (length,) = _PREFIX.unpack_from(self._inbox, place)
            if len(self._inbox) - place < 4 + length:
                break
            if length:
                self._heard(self._inbox[place + 4], place + 5, place + 4 + length)
            place += 4 + length
        del self._inbox[:place]

    def _greeted(self) -> None:
        start = bytes(self._inbox[: len(PROTOCOL)])
        self.strange = not PROTOCOL.startswith(start)
        if not self.strange and len(self._inbox) >= HANDSHAKE_LENGTH:
            self.handshake = Handshake.decode(bytes(self._inbox[:HANDSHAKE_LENGTH]))
            self.their_id = self.handshake.peer_id
            del self._inbox[:HANDSHAKE_LENGTH]

    def _heard(self, kind: int, begin: int, end: int) -> None:
        if kind == 7:  # blocks have come where they were meant to; nobody looks at them
            return
        frame = Frame(kind, bytes(self._inbox[begin:end]))
        if kind in (0, 1):
            self.choked = kind == 0
        elif kind == 20 and frame.body[:1] == b"\0":
            try:
                self.said = self.said.updated(frame.body[1:])
            except PeerFault:
                return  # not ours to judge
        self.frames.append(frame)

    def _made_up(self, piece: int, begin: int, length: int) -> bytes:
        return Random(f"{piece} {begin}").randbytes(length)
