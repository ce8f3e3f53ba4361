"""The encryption handshake between two peers, before the BitTorrent handshake.

Source: "Message Stream Encryption / Protocol Encryption" (wiki.vuze.com). Both tell a public key; the caller shows that
it knows the torrent, offers ciphers and may send its first bytes along; the called chooses a cipher. What was chosen
holds for what follows, the handshake itself is always RC4:

    caller -> called  key, pad
    called -> caller  key, pad
    caller -> called  hash("req1"), hash("req2") ^ hash("req3"), RC4(zeros, offer, pad, initial bytes)
    called -> caller  RC4(zeros, choice, pad), and then the conversation

The first pads have no length before them: one finds their end by looking for what must follow, in the 512 bytes that
they may take. Nobody sends more than key and pad before the other's key has come. Who calls again in clear after a
failure, and what is offered or chosen, is for the owner to say.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Generator
from enum import IntFlag
from hashlib import sha1

from anabranch.model import InfoHash, Misused, PeerFault

from .dh import KEY_LENGTH, PublicKey, private_key, public_key, shared_secret
from .rc4 import Cipher, stream

MAX_PAD = 512  # bytes
MAX_INITIAL = 0xFFFF  # bytes: as many as its length field can tell; only who knows the torrent gets so far

_PLAIN_START = b"\x13BitTorrent protocol"
_HASH = 20
_ZEROS = bytes(8)  # "verification constant": who decrypts them has the right key
_OFFER = struct.Struct(">8sIH")  # zeros, ciphers, length of the pad
_CHOICE = struct.Struct(">IH")  # cipher, length of the pad; its zeros have been found before
_LENGTH = struct.Struct(">H")

_Steps = Generator[None, None, None]  # each yield waits for more bytes


class Ciphers(IntFlag):
    """What may be used after the handshake: an offer has any of them, a choice one."""

    PLAIN = 1
    RC4 = 2


class Rc4Pair:
    """The two ciphers of a conversation, as the peer protocol wants them: wire's ByteTransform."""

    def __init__(self, reader: Cipher, writer: Cipher) -> None:
        self._reader = reader
        self._writer = writer

    def incoming(self, data: memoryview) -> None:
        """Turn bytes that came from the network into plain ones, in place."""
        self._reader.apply(data)

    def outgoing(self, data: bytes) -> bytes:
        """Turn plain bytes into those that go to the network."""
        return self._writer.copy(data)

    def outgoing_block(self, data: memoryview) -> None:
        """The same in place."""
        self._writer.apply(data)


class Mse:
    """One encryption handshake, without its socket: made by dialed() or accepted(), over when *complete*.

    Attributes:
        complete: Whether a cipher is agreed on. Our own last words may still have to be sent.
        selected: The cipher; none before.
        transform: What the conversation goes through from here on: None in clear, or before *complete*.
        info_hash: The torrent; None where the caller has not named it yet.
        initial: To the called: what the caller sent along, in clear, all of it when *complete*. Often its BitTorrent
            handshake, maybe a part of it, maybe nothing; *rest* goes on where it ends.
    """

    def __init__(self, *, private: bytes, padding: tuple[bytes, bytes], now: float, timeout: float) -> None:
        if max(map(len, padding)) > MAX_PAD:
            raise ValueError(f"pads of {len(padding[0])} and {len(padding[1])} bytes, {MAX_PAD} are allowed")
        self.complete = False
        self.selected = Ciphers(0)
        self.transform: Rc4Pair | None = None
        self.info_hash: InfoHash | None = None
        self.initial = b""
        self._private = private_key(private)
        self._padding = padding
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._deadline = now + timeout
        self._steps: _Steps  # the conversation, up to where more bytes are due

    @classmethod
    def dialed(
        cls,
        info_hash: bytes,
        initial: bytes,
        provide: Ciphers,
        *,
        private: bytes,
        padding: tuple[bytes, bytes],
        now: float,
        timeout: float,
    ) -> Mse:
        """We called.

        Args:
            info_hash: The torrent that both must know: 20 bytes.
            initial: What goes along with the handshake: the BitTorrent handshake saves a round trip.
            provide: The ciphers that we could go on with.
            private: 20 random bytes.
            padding: Random bytes, up to 512 each, behind our key and in our offer: they hide lengths.
            now: Seconds.
            timeout: Seconds from now until tick() has had enough.

        Raises:
            ValueError: something has a wrong length, or nothing is provided.
        """
        if len(initial) > MAX_INITIAL or not provide:
            raise ValueError(f"an offer of {provide!r} with {len(initial)} initial bytes")
        talk = cls(private=private, padding=padding, now=now, timeout=timeout)
        talk.info_hash = InfoHash(info_hash)
        talk._steps = talk._call(talk.info_hash, initial, provide)
        next(talk._steps)
        return talk

    @classmethod
    def accepted(
        cls,
        look_up: Callable[[bytes], bytes | None],
        choose: Callable[[Ciphers], Ciphers],
        *,
        private: bytes,
        padding: tuple[bytes, bytes],
        now: float,
        timeout: float,
    ) -> Mse:
        """We were called, and the first bytes are not those of a BitTorrent handshake: see looks_plain().

        Args:
            look_up: Gives the info hash that belongs to an obfuscated() one, None where we have no such torrent.
            choose: Gives one of the ciphers that it is shown; none to refuse the peer.
            private: 20 random bytes.
            padding: Random bytes, up to 512 each, behind our key and in our choice.
            now: Seconds.
            timeout: Seconds from now until tick() has had enough.

        Raises:
            ValueError: something has a wrong length.
        """
        talk = cls(private=private, padding=padding, now=now, timeout=timeout)
        talk._steps = talk._answer(look_up, choose)
        next(talk._steps)
        return talk

    @property
    def rest(self) -> bytes:
        """When *complete*: what has come behind the handshake (and behind *initial*), in clear."""
        return bytes(self._inbox) if self.complete else b""

    def receive(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Take what the network brought.

        Raises:
            PeerFault: the peer does not know the protocol, or the torrent, or no cipher that we want.
            Misused: choose() chose what it was not shown, or several.
        """
        if self.complete:
            self._keep(data)
        else:
            self._inbox += data
            next(self._steps, None)

    def deadline(self) -> float:
        """When tick() is next due."""
        return math.inf if self.complete else self._deadline

    def tick(self, now: float) -> None:
        """Let time pass.

        Raises:
            PeerFault: the peer took too long.
        """
        if now >= self.deadline():
            raise PeerFault("no encryption handshake in time")

    def outgoing(self) -> bytes:
        """Drain what is to be sent."""
        due, self._outbox = self._outbox, bytearray()
        return bytes(due)

    def _call(self, info_hash: InfoHash, initial: bytes, provide: Ciphers) -> _Steps:
        self._outbox += public_key(self._private) + self._padding[0]
        theirs = PublicKey((yield from self._taken(KEY_LENGTH)))
        secret = shared_secret(self._private, theirs)
        writer, reader = _ciphers(secret, info_hash)
        pad = self._padding[1]
        offer = _OFFER.pack(_ZEROS, provide, len(pad)) + pad + _LENGTH.pack(len(initial)) + initial
        self._outbox += _hash(b"req1", secret) + _xor(obfuscated(info_hash), _hash(b"req3", secret))
        self._outbox += writer.copy(offer)
        yield from self._skip_past(reader.copy(_ZEROS), "choice")
        told, length = _CHOICE.unpack(reader.copy((yield from self._taken(_CHOICE.size))))
        selected = Ciphers(told)
        if not _is_one_of(selected, provide):
            raise PeerFault(f"peer chose {selected!r} where {provide!r} was offered")
        yield from self._skip_pad(length, reader)
        self._finish(selected, Rc4Pair(reader, writer))

    def _answer(self, look_up: Callable[[bytes], bytes | None], choose: Callable[[Ciphers], Ciphers]) -> _Steps:
        theirs = PublicKey((yield from self._taken(KEY_LENGTH)))
        self._outbox += public_key(self._private) + self._padding[0]
        yield from self._wait_for(_HASH)  # who only says a key costs us one power, not two
        secret = shared_secret(self._private, theirs)
        yield from self._skip_past(_hash(b"req1", secret), "offer")
        name = _xor((yield from self._taken(_HASH)), _hash(b"req3", secret))
        info_hash = look_up(name)
        if info_hash is None:
            raise PeerFault("peer wants a torrent that we do not have")
        self.info_hash = InfoHash(info_hash)
        reader, writer = _ciphers(secret, self.info_hash)
        zeros, told, length = _OFFER.unpack(reader.copy((yield from self._taken(_OFFER.size))))
        if zeros != _ZEROS:
            raise PeerFault("offer that does not decrypt")
        provided = Ciphers(told) & (Ciphers.PLAIN | Ciphers.RC4)
        selected = choose(provided)
        if not selected:
            raise PeerFault(f"peer offers {provided!r}, which we do not want")
        if not _is_one_of(selected, provided):
            raise Misused(f"{selected!r} chosen of {provided!r}")
        yield from self._skip_pad(length, reader)
        (length,) = _LENGTH.unpack(reader.copy((yield from self._taken(_LENGTH.size))))
        self.initial = reader.copy((yield from self._taken(length)))
        pad = self._padding[1]
        self._outbox += writer.copy(_ZEROS + _CHOICE.pack(selected, len(pad)) + pad)
        self._finish(selected, Rc4Pair(reader, writer))

    def _wait_for(self, count: int) -> _Steps:
        while len(self._inbox) < count:
            yield

    def _taken(self, count: int) -> Generator[None, None, bytes]:
        yield from self._wait_for(count)
        taken = bytes(self._inbox[:count])
        del self._inbox[:count]
        return taken

    def _skip_past(self, mark: bytes, what: str) -> _Steps:
        """Drop a pad of unknown length and the mark that ends it."""
        reach = MAX_PAD + len(mark)
        while (at := self._inbox.find(mark, 0, reach)) < 0:
            if len(self._inbox) >= reach:
                raise PeerFault(f"no {what} in the {reach} bytes behind the peer's key")
            yield
        del self._inbox[: at + len(mark)]

    def _skip_pad(self, length: int, reader: Cipher) -> _Steps:
        """Drop a pad of told length; the cipher passes over it."""
        if length > MAX_PAD:
            raise PeerFault(f"pad of {length} bytes, {MAX_PAD} are allowed")
        reader.copy((yield from self._taken(length)))

    def _finish(self, selected: Ciphers, pair: Rc4Pair) -> None:
        self.selected = selected
        self.transform = pair if selected == Ciphers.RC4 else None
        self.complete = True
        behind, self._inbox = self._inbox, bytearray()
        self._keep(behind)

    def _keep(self, data: bytes | bytearray | memoryview) -> None:
        """Add to the rest, in clear."""
        clear = bytearray(data)
        if self.transform is not None:
            self.transform.incoming(memoryview(clear))
        self._inbox += clear


def obfuscated(info_hash: bytes) -> bytes:
    """What a caller says instead of the info hash (20 bytes): the key by which accepted() has a torrent looked up."""
    return _hash(b"req2", info_hash)


def looks_plain(first: bytes | bytearray | memoryview) -> bool | None:
    """Whether a conversation begins with a BitTorrent handshake, as its first bytes tell; None where it takes more."""
    start = bytes(first[: len(_PLAIN_START)])
    if not _PLAIN_START.startswith(start):
        return False
    return True if start == _PLAIN_START else None


def _ciphers(secret: bytes, info_hash: bytes) -> tuple[Cipher, Cipher]:
    """From the caller to the called, and back."""
    return stream(_hash(b"keyA", secret, info_hash)), stream(_hash(b"keyB", secret, info_hash))


def _hash(*parts: bytes) -> bytes:
    return sha1(b"".join(parts), usedforsecurity=False).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _is_one_of(choice: Ciphers, offer: Ciphers) -> bool:
    return choice in (Ciphers.PLAIN, Ciphers.RC4) and choice in offer
