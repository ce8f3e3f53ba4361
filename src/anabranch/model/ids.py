"""What a torrent is called: its info hashes (BEP 3, BEP 52)."""

from __future__ import annotations

from typing import ClassVar, Self

from .errors import InputRefused


class _Digest(bytes):
    """The digest of a torrent's bencoded info dictionary."""

    __slots__ = ()

    length: ClassVar[int]  # bytes

    def __new__(cls, digest: bytes) -> Self:
        """Raises ValueError for another length."""
        if len(digest) != cls.length:
            raise ValueError(f"an info hash has {cls.length} bytes, not {len(digest)}")
        return super().__new__(cls, digest)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read hex digits, two for each byte.

        Raises:
            InputRefused: anything else.
        """
        try:
            return cls(bytes.fromhex(text))
        except ValueError:
            raise InputRefused(f"not an info hash of {2 * cls.length} hex digits: {text!r}") from None

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex()})"


class InfoHash(_Digest):
    """The SHA-1 of the dictionary: 20 bytes. Prints as 40 hex digits."""

    __slots__ = ()

    length = 20


class InfoHashV2(_Digest):
    """The SHA-256 of the dictionary of a v2 or hybrid torrent: 32 bytes. Prints as 64 hex digits."""

    __slots__ = ()

    length = 32

    @property
    def truncated(self) -> InfoHash:
        """Its first 20 bytes, by which peers, trackers and the DHT know it."""
        return InfoHash(self[: InfoHash.length])
