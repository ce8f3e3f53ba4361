"""What a torrent is called: its info hash (BEP 3)."""

from __future__ import annotations

from .errors import InputRefused


class InfoHash(bytes):
    """The SHA-1 of a torrent's bencoded info dictionary: 20 bytes. Prints as 40 hex digits."""

    __slots__ = ()

    def __new__(cls, digest: bytes) -> InfoHash:
        """Raises ValueError for another length."""
        if len(digest) != 20:
            raise ValueError(f"an info hash has 20 bytes, not {len(digest)}")
        return super().__new__(cls, digest)

    @classmethod
    def parse(cls, text: str) -> InfoHash:
        """Read 40 hex digits.

        Raises:
            InputRefused: anything else.
        """
        try:
            return cls(bytes.fromhex(text))
        except ValueError:
            raise InputRefused(f"not an info hash of 40 hex digits: {text!r}") from None

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"InfoHash({self.hex()})"
