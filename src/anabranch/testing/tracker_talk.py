"""What a tracker's script is told and what it may do: the words between scripts and the servers that run them.

Trackers over HTTP are told as web servers are (web_request.py). Here is what the others need: UDP has a script for each
datagram, and whatever else goes over TCP (WebSocket, broken TLS, no protocol at all) one for each connection. Scripts
do no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from random import Random

from anabranch.tracker import ErrorType

from .scene import Hear, Pause, Reset
from .web_request import WebScript

FOREVER = 3600.0  # seconds; longer than anybody's patience


@dataclass(frozen=True, slots=True)
class UdpQuestion:
    """A datagram that came.

    Args:
        datagram: All of it.
        number: How many came to this tracker before.
        draw: Chance, the same for the same seed.
    """

    datagram: bytes
    number: int
    draw: Random

    @property
    def action(self) -> int:
        """BEP 15's number of what is asked; a connect is 0."""
        return int.from_bytes(self.datagram[8:12], "big")

    @property
    def transaction(self) -> bytes:
        """The four bytes by which an answer is known."""
        return self.datagram[12:16]

    @property
    def connection(self) -> bytes:
        """The connection id that it came with."""
        return self.datagram[:8]

    @property
    def info_hashes(self) -> list[bytes]:
        """What it is about."""
        if self.action == 1:
            return [self.datagram[16:36]]
        return [self.datagram[place : place + 20] for place in range(16, len(self.datagram) - 19, 20)]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Send it from another port of the same address, or (*abroad*) from the same port of the next address."""

    data: bytes
    abroad: bool = False


UdpStep = bytes | Pause | Elsewhere  # bytes are a datagram that is sent to who asked
UdpScript = Callable[[UdpQuestion], Iterator[UdpStep]]


class Line:
    """One connection as its script sees it.

    Args:
        draw: Chance, the same for the same seed.

    Attributes:
        heard: What the client said; the script takes off what it has read.
    """

    def __init__(self, draw: Random) -> None:
        self.draw = draw
        self.heard = bytearray()


LineStep = bytes | Pause | Hear | Reset  # bytes are sent; Hear waits for news since the last one
LineScript = Callable[[Line], Generator[LineStep, None, None]]  # a script's end closes the connection in order


@dataclass(frozen=True, slots=True)
class OverHttp:
    """A tracker whose HTTP server answers a request so."""

    script: WebScript


@dataclass(frozen=True, slots=True)
class OverTls:
    """A tracker that is honest behind TLS, but for this flaw: see bad_tls_io.py."""

    flaw: str


@dataclass(frozen=True, slots=True)
class OverTcp:
    """A tracker whose connections go so, in URLs of that scheme."""

    script: LineScript
    scheme: str = "http"


@dataclass(frozen=True, slots=True)
class OverUdp:
    """A tracker that answers a datagram so."""

    script: UdpScript


@dataclass(frozen=True, slots=True)
class Shut:
    """A port where nobody answers: the system refuses, or (*full*) the queue of those who wait is full."""

    scheme: str = "http"
    full: bool = False


@dataclass(frozen=True, slots=True)
class Nowhere:
    """A URL that leads nowhere."""

    url: str


Serves = OverHttp | OverTls | OverTcp | OverUdp | Shut | Nowhere


@dataclass(frozen=True, slots=True)
class TrackerKind:
    """One way in which a tracker behaves.

    Args:
        about: What it does, for a list.
        serves: How it does it.
        error_type: What a client should tell of it; None where it gets what it asked for.
        words: What its words for that should hold, in any case of letters.
    """

    about: str
    serves: Serves
    error_type: ErrorType | None = None
    words: str = ""

    @property
    def works(self) -> bool:
        """Whether a client gets what it asked for."""
        return self.error_type is None
