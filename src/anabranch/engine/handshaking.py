"""The handshakes of one connection, without its socket: the encryption's where there is one, then BEP 3's.

What comes in clear and what comes obfuscated is told apart by its first bytes. Whether we know the torrent is for the
owner to see, who then answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from anabranch.crypto import Mse, Rc4Pair, looks_plain
from anabranch.model import InfoHash, PeerFault
from anabranch.wire import Greeting, Handshake

from .encryption import Encryption


class Secret(NamedTuple):
    """What an obfuscated handshake needs of randomness: 20 bytes, and two pads of up to 512."""

    private: bytes
    padding: tuple[bytes, bytes]


class Handshaking:
    """Both sides' first words. Made by dialed() or accepted(), over when *complete*.

    Attributes:
        obfuscated: The connection began obfuscated; None while that is not known.
        heard: The peer is there: it said something, or hung up. For the owner to set.
        answered: The peer has said something that shows that it understands us.
    """

    def __init__(self, greeting: Greeting) -> None:
        self.obfuscated: bool | None = None
        self.heard = False
        self.answered = False
        self._greeting = greeting
        self._takes_plain = True
        self._mse: Mse | None = None
        self._first = bytearray()  # what came before it was known what it is
        self._accept: Callable[[float], Mse] | None = None

    @classmethod
    def dialed(
        cls,
        ours: Handshake,
        also: frozenset[InfoHash],
        encryption: Encryption,
        secret: Secret | None,
        now: float,
        timeout: float,
    ) -> Handshaking:
        """We called.

        Args:
            ours: What we say.
            also: Other names of the torrent that the peer may answer with (BEP 52).
            encryption: The user's choice.
            secret: Call obfuscated; None: in clear.
            now: Seconds.
            timeout: Seconds for all of it.
        """
        talk = cls(Greeting.dialed(ours, now, timeout, also))
        talk.obfuscated = secret is not None
        if secret is not None:
            talk._mse = Mse.dialed(
                ours.info_hash,
                talk._greeting.outgoing(),
                encryption.offer,
                private=secret.private,
                padding=secret.padding,
                now=now,
                timeout=timeout,
            )
        return talk

    @classmethod
    def accepted(
        cls,
        find: Callable[[bytes], InfoHash | None],
        encryption: Encryption,
        draw: Callable[[], Secret],
        now: float,
        timeout: float,
    ) -> Handshaking:
        """We were called.

        Args:
            find: Gives the info hash of a torrent by what an obfuscated caller says instead.
            encryption: The user's choice.
            draw: Gives new randomness.
            now: Seconds.
            timeout: Seconds for all of it.
        """
        talk = cls(Greeting.accepted(now, timeout))

        def accept(now: float) -> Mse:
            secret = draw()
            return Mse.accepted(
                find, encryption.choose, private=secret.private, padding=secret.padding, now=now, timeout=timeout
            )

        talk._accept = accept if encryption.takes_obfuscated else None
        talk._takes_plain = encryption.takes_plain
        return talk

    @property
    def named(self) -> InfoHash | None:
        """The torrent that a caller wants; None before it said so."""
        return self._greeting.info_hash

    @property
    def theirs(self) -> Handshake | None:
        """What the peer said; None before all of it is here."""
        return self._greeting.theirs

    @property
    def complete(self) -> bool:
        """Whether both have said who they are. Our own words may still have to be sent."""
        return self._greeting.complete

    @property
    def rest(self) -> bytes:
        """What has come behind the peer's handshake, in clear."""
        return self._greeting.rest

    @property
    def transform(self) -> Rc4Pair | None:
        """What the conversation goes through; None in clear."""
        return self._mse.transform if self._mse is not None else None

    def answer(self, ours: Handshake, also: frozenset[InfoHash]) -> None:
        """Say who we are to a caller that has named its torrent. Raises Misused: see Greeting."""
        self._greeting.answer(ours, also)

    def receive(self, data: bytes | memoryview, now: float) -> None:
        """Take what the network brought.

        Raises:
            PeerFault: the peer speaks another protocol, of another torrent, or not as the user wants it.
        """
        if self.obfuscated is None:
            self._first += data
            plain = looks_plain(self._first)
            if plain is None:
                return
            data, self._first = bytes(self._first), bytearray()
            self._begin(plain, now)
        if self._mse is not None:
            self._receive_obfuscated(self._mse, data, now)
        else:
            self._greet(data, now)

    def outgoing(self) -> bytes:
        """Drain what is to be sent."""
        first = self._mse.outgoing() if self._mse is not None else b""
        if self._mse is not None and not self._mse.complete:
            return first
        said = self._greeting.outgoing()
        if said and self.transform is not None:
            said = self.transform.outgoing(said)
        return first + said

    def _begin(self, plain: bool, now: float) -> None:
        """It is known how the caller began."""
        self.obfuscated = not plain
        if plain and not self._takes_plain:
            raise PeerFault("not encrypted")
        if not plain:
            if self._accept is None:
                raise PeerFault("encrypted, or no BitTorrent at all")
            self._mse = self._accept(now)

    def _receive_obfuscated(self, mse: Mse, data: bytes | memoryview, now: float) -> None:
        if mse.complete:
            clear = bytearray(data)
            if mse.transform is not None:
                mse.transform.incoming(memoryview(clear))
            self._greet(bytes(clear), now)
            return
        mse.receive(data, now)
        if mse.complete:
            self.answered = True
            self._greet(mse.initial + mse.rest, now)

    def _greet(self, data: bytes | memoryview, now: float) -> None:
        self._greeting.receive(data, now)
        if self._greeting.info_hash is not None:
            self.answered = True
            if self._accept is not None and self._mse is not None and self._mse.info_hash != self._greeting.info_hash:
                raise PeerFault("named one torrent in clear and another one encrypted")
