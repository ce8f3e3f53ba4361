"""Tokens: who shows one has got a datagram from us at the address that he speaks from.

Source: BEP 5 ("get_peers", "announce_peer"). A token is a keyed digest of the asker's address, so that none is kept;
it is good for five to ten minutes. The torrent is no part of it: one token serves for all that a host announces.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from hmac import compare_digest

LIFE = 300.0  # seconds in which tokens are made of one secret; BEP 5: changed every five minutes, good for ten
_SECRET_SIZE = 16  # bytes
_SIZE = 8  # bytes of a token: guessing one takes 2^63 datagrams, and every byte is sent in every answer


class Tokens:
    """Makes tokens and knows them again.

    Args:
        draw: Gives that many random bytes.
    """

    __slots__ = ("_draw", "_former", "_secret", "_since")

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        self._draw = draw
        self._secret = draw(_SECRET_SIZE)
        self._former = self._secret
        self._since = 0.0  # any time will do: lives are counted from it

    def make(self, host: str, now: float) -> bytes:
        """The token for who asks from *host*."""
        self._age(now)
        return _token(self._secret, host)

    def good(self, token: bytes, host: str, now: float) -> bool:
        """Whether that token was made for *host* at most ten minutes ago, five at least."""
        self._age(now)
        return compare_digest(token, _token(self._secret, host)) or compare_digest(token, _token(self._former, host))

    def _age(self, now: float) -> None:
        lives = int((now - self._since) // LIFE)
        if lives:
            self._former = self._secret if lives == 1 else self._draw(_SECRET_SIZE)
            self._secret = self._draw(_SECRET_SIZE)
            self._since += lives * LIFE  # as if somebody had come each time that a secret's life was over


def _token(secret: bytes, host: str) -> bytes:
    return blake2b(host.encode(), digest_size=_SIZE, key=secret).digest()
