"""The first 68 bytes of a peer connection (BEP 3), and the reserved bits in them (BEP 5, 6, 10, 52).

`Greeting` is the conversation up to there; what comes behind it is connection.py's. It does not know encryption: it is
given plain bytes. Whether we know the torrent, and whether the peer is ourselves, is for the owner to see.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from anabranch.model import InfoHash, Misused, PeerFault

PROTOCOL = b"\x13BitTorrent protocol"
HANDSHAKE_LENGTH = 68  # bytes: protocol 20, reserved 8, info hash 20, peer id 20

_RESERVED_END = 28
_HASH_END = 48

# Which of the 8 reserved bytes, and the bit in it.
_EXTENDED = (5, 0x10)  # BEP 10
_DHT = (7, 0x01)  # BEP 5
_FAST = (7, 0x04)  # BEP 6
_V2 = (7, 0x10)  # BEP 52: the sender could go on in v2


@dataclass(frozen=True, slots=True)
class Handshake:
    """Who speaks, about which torrent, and what the speaker knows beside BEP 3."""

    reserved: bytes
    info_hash: InfoHash
    peer_id: bytes

    def __post_init__(self) -> None:
        if len(self.reserved) != 8 or len(self.peer_id) != 20:
            raise ValueError(f"handshake with {len(self.reserved)} reserved bytes, a peer id of {len(self.peer_id)}")

    @classmethod
    def ours(cls, info_hash: InfoHash, peer_id: bytes, *, dht: bool = False, v2: bool = False) -> Handshake:
        """What we say: fast and extended, *dht* when we run a node, *v2* when the torrent is known to us as v2 too."""
        reserved = bytearray(8)
        for (byte, bit), ours in ((_EXTENDED, True), (_FAST, True), (_DHT, dht), (_V2, v2)):
            if ours:
                reserved[byte] |= bit
        return cls(bytes(reserved), info_hash, peer_id)

    @classmethod
    def decode(cls, data: bytes) -> Handshake:
        """Read 68 bytes.

        Raises:
            PeerFault: another length, or another protocol.
        """
        if len(data) != HANDSHAKE_LENGTH:
            raise PeerFault(f"handshake of {len(data)} bytes, {HANDSHAKE_LENGTH} are due")
        _check_protocol(data)
        return cls(data[20:_RESERVED_END], InfoHash(data[_RESERVED_END:_HASH_END]), data[_HASH_END:])

    def encode(self) -> bytes:
        """The 68 bytes."""
        return PROTOCOL + self.reserved + self.info_hash + self.peer_id

    @property
    def extended(self) -> bool:
        """Whether the speaker knows the extension protocol (BEP 10)."""
        return self._has(_EXTENDED)

    @property
    def fast(self) -> bool:
        """Whether the speaker knows the fast extension (BEP 6)."""
        return self._has(_FAST)

    @property
    def dht(self) -> bool:
        """Whether the speaker runs a DHT node (BEP 5)."""
        return self._has(_DHT)

    @property
    def v2(self) -> bool:
        """Whether the speaker could go on in v2 of a hybrid torrent (BEP 52)."""
        return self._has(_V2)

    def _has(self, bit: tuple[int, int]) -> bool:
        return bool(self.reserved[bit[0]] & bit[1])


def _check_protocol(data: bytes | bytearray) -> None:
    """Compare as many bytes as there are: a stranger is known by the first wrong one."""
    start = bytes(data[: len(PROTOCOL)])
    if not PROTOCOL.startswith(start):
        raise PeerFault(f"not the BitTorrent protocol: {start!r}")


class Greeting:
    """Two handshakes, without their socket: made by dialed() or accepted(), over when *complete*.

    Attributes:
        info_hash: The torrent the peer speaks about, by the name it has used; None until its first 48 bytes are read.
        theirs: What the peer said; None until all of it is read.
    """

    def __init__(
        self, ours: Handshake | None, now: float, timeout: float, also: Collection[InfoHash] = frozenset()
    ) -> None:
        self.info_hash: InfoHash | None = None
        self.theirs: Handshake | None = None
        self._ours = ours
        self._also = also
        self._inbox = bytearray()
        self._outbox = ours.encode() if ours else b""
        self._deadline = now + timeout

    @classmethod
    def dialed(cls, ours: Handshake, now: float, timeout: float, also: Collection[InfoHash] = frozenset()) -> Greeting:
        """We called: we speak first. *also*: other hashes of the torrent, by one of which the peer may answer."""
        return cls(ours, now, timeout, also)

    @classmethod
    def accepted(cls, now: float, timeout: float) -> Greeting:
        """We were called: nothing is said before the peer has named a torrent and answer() was given."""
        return cls(None, now, timeout)

    def answer(self, ours: Handshake, also: Collection[InfoHash] = frozenset()) -> None:
        """Say who we are to a peer that has named its torrent.

        Args:
            ours: What we say.
            also: Other hashes of the torrent, of which the peer has named one: who is called by the v1 hash of a hybrid
                may answer by that of v2 where both handshakes have the v2 bit (BEP 52).

        Raises:
            Misused: no torrent named yet, another torrent, or answered already.
        """
        if self._ours is not None or self.info_hash not in (ours.info_hash, *also):
            raise Misused("an answer is given once, about the torrent that the peer named")
        self._ours = ours
        self._outbox = ours.encode()

    @property
    def complete(self) -> bool:
        """Whether both have said who they are. Our own words may still have to be sent."""
        return self.theirs is not None and self._ours is not None

    @property
    def rest(self) -> bytes:
        """What has come behind the peer's handshake: the conversation's first bytes."""
        return bytes(self._inbox[HANDSHAKE_LENGTH:])

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Take what the network brought.

        Raises:
            PeerFault: another protocol, or another torrent than the one we called about.
        """
        self._inbox += data
        if self.theirs is not None:
            return
        _check_protocol(self._inbox)
        if self.info_hash is None and len(self._inbox) >= _HASH_END:
            self.info_hash = InfoHash(bytes(self._inbox[_RESERVED_END:_HASH_END]))
            if self._ours is not None and self.info_hash not in (self._ours.info_hash, *self._also):
                raise PeerFault(f"peer speaks about torrent {self.info_hash}, called about {self._ours.info_hash}")
        if len(self._inbox) >= HANDSHAKE_LENGTH:
            self.theirs = Handshake.decode(bytes(self._inbox[:HANDSHAKE_LENGTH]))

    def deadline(self) -> float:
        """When tick() is next due."""
        return math.inf if self.complete else self._deadline

    def tick(self, now: float) -> None:
        """Let time pass.

        Raises:
            PeerFault: the peer took too long.
        """
        if now >= self.deadline():
            raise PeerFault(f"no handshake in time, {len(self._inbox)} of {HANDSHAKE_LENGTH} bytes came")

    def outgoing(self) -> bytes:
        """Drain what is to be sent."""
        due, self._outbox = self._outbox, b""
        return due
