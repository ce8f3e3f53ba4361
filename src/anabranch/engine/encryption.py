"""How much the user wants connections to be encrypted, and what follows from it (MSE).

Source of the default: the Go engine dials obfuscated first and takes everybody who comes. Where both sides could do
with either, the handshake is obfuscated and what follows goes in clear, as libtorrent and the Go engine have it.
"""

from __future__ import annotations

from enum import StrEnum

from anabranch.crypto import Ciphers

_EITHER = Ciphers.PLAIN | Ciphers.RC4


class Encryption(StrEnum):
    """The user's choice.

    OFF knows no encryption. ALLOW dials in clear and tries it where that fails; PREFER the other way round. REQUIRE
    dials and takes nothing but RC4.
    """

    OFF = "off"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"

    @property
    def preferred(self) -> bool:
        """What the extended handshake says in "e"."""
        return self in (Encryption.PREFER, Encryption.REQUIRE)

    @property
    def takes_plain(self) -> bool:
        """Whether a connection may begin in clear."""
        return self is not Encryption.REQUIRE

    @property
    def takes_obfuscated(self) -> bool:
        """Whether a connection may begin obfuscated."""
        return self is not Encryption.OFF

    @property
    def ways(self) -> tuple[bool, ...]:
        """How to dial by a name, in this order as long as the peer does not answer: obfuscated or not."""
        return _WAYS[self]

    @property
    def offer(self) -> Ciphers:
        """What an obfuscated connection may go on with."""
        return Ciphers.RC4 if self is Encryption.REQUIRE else _EITHER

    def choose(self, offered: Ciphers) -> Ciphers:
        """What to go on with of what a peer offers; none to refuse it."""
        usable = offered & self.offer
        return Ciphers.PLAIN if Ciphers.PLAIN in usable else usable


_WAYS = {
    Encryption.OFF: (False,),
    Encryption.ALLOW: (False, True),
    Encryption.PREFER: (True, False),
    Encryption.REQUIRE: (True,),
}
