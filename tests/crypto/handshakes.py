"""Two sides of an encryption handshake, and a caller made by hand, for the tests of crypto."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha1
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from anabranch.crypto import stream
from anabranch.crypto.dh import PublicKey, private_key, public_key, shared_secret
from anabranch.crypto.mse import Ciphers, Mse, obfuscated
from anabranch.model import InfoHash

HASH = InfoHash(bytes(range(20)))
OTHER = InfoHash(bytes(20))
TORRENTS = {obfuscated(HASH): HASH, obfuscated(OTHER): OTHER}
GREETING = b"\x13BitTorrent protocol" + bytes(48)
BOTH = Ciphers.PLAIN | Ciphers.RC4
OUR_BYTES, THEIR_BYTES = bytes(range(1, 21)), bytes(range(101, 121))
OUR_PRIVATE, THEIR_PRIVATE = private_key(OUR_BYTES), private_key(THEIR_BYTES)

pads = st.tuples(*[st.binary(max_size=512) | st.just(b"p" * 512) | st.just(b"")] * 2)
cuts = st.lists(st.integers(0, 1700), max_size=12)


def dialed(initial: bytes = GREETING, provide: Ciphers = BOTH, **more: Any) -> Mse:
    given: dict[str, Any] = {"private": OUR_BYTES, "padding": (b"a" * 30, b"c" * 20), "now": 0.0, "timeout": 4.0}
    return Mse.dialed(HASH, initial, provide, **given | more)


def accepted(choose: Callable[[Ciphers], Ciphers] = lambda offer: offer & Ciphers.RC4, **more: Any) -> Mse:
    given: dict[str, Any] = {"private": THEIR_BYTES, "padding": (b"b" * 40, b"d" * 10), "now": 0.0, "timeout": 4.0}
    return Mse.accepted(TORRENTS.get, choose, **given | more)


def pieces_of(wire: bytes, cuts: list[int]) -> Iterator[bytes]:
    """The same bytes as a network may bring them."""
    for start, end in pairwise([0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]):
        yield wire[start:end]


def tell(talk: Mse, wire: bytes, cuts: list[int] | None = None) -> None:
    for part in pieces_of(wire, cuts or []):
        talk.receive(part, 1.0)


def met(caller: Mse, called: Mse, cuts: list[int] | None = None) -> bytes:
    """Let the two of them speak until neither has anything to say. Gives what went over the wire."""
    wire = b""
    while (asked := caller.outgoing()) + (answered := called.outgoing()):
        tell(called, asked, cuts)
        tell(caller, answered, cuts)
        wire += asked + answered
    return wire


def hashed(*parts: bytes) -> bytes:
    return sha1(b"".join(parts)).digest()


class Stranger:
    """A caller made by hand, who may say what it likes after its key."""

    def __init__(self, called: Mse, info_hash: bytes = HASH) -> None:
        self.called = called
        called.receive(public_key(OUR_PRIVATE), 0.0)
        self.secret = shared_secret(OUR_PRIVATE, PublicKey(called.outgoing()[:96]))
        self.cipher = stream(hashed(b"keyA", self.secret, info_hash))

    def start(self, info_hash: bytes = HASH) -> None:
        name = zip(obfuscated(info_hash), hashed(b"req3", self.secret), strict=True)
        self.called.receive(hashed(b"req1", self.secret) + bytes(a ^ b for a, b in name), 0.0)

    def say(self, data: bytes) -> None:
        self.called.receive(self.cipher.copy(data), 0.0)
