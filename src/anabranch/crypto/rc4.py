"""RC4 as peers use it: the first 1024 bytes of the key stream are thrown away.

Source: "Message Stream Encryption" (wiki.vuze.com). OpenSSL does it where it can, at 0.8 GB/s. Some builds of OpenSSL
come without RC4, and then plain Python does it at 11 MB/s: enough to talk with those who insist on encryption. Nobody
should trust RC4 with a secret; here it hides from boxes on the way what is going on, nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

_DROPPED = 1024  # bytes
_ROUND = 256  # bytes of key stream after which the first index is where it was
_INDEXES = (*range(1, _ROUND), 0)
_MODULO = tuple(range(256)) * 2  # the sum of two bytes, cut to one: looked up faster than computed


class Cipher(Protocol):
    """One direction of a conversation. Every byte passes once, in order; encrypting and decrypting are the same."""

    def apply(self, view: memoryview) -> None:
        """Change bytes in place. The memory must be writable."""

    def copy(self, data: bytes | bytearray | memoryview) -> bytes:
        """The changed bytes, elsewhere."""


class PythonRc4:
    """RC4 in plain Python: what serves where OpenSSL cannot, and the oracle of its tests."""

    def __init__(self, key: bytes) -> None:
        state = list(range(256))
        second = 0
        for first in range(256):
            second = (second + state[first] + key[first % len(key)]) & 255
            state[first], state[second] = state[second], state[first]
        self._state = state
        self._second = second = 0
        self._ahead = b""  # key stream that was made and is not used yet
        self._key_stream(_DROPPED)

    def apply(self, view: memoryview) -> None:
        """Change bytes in place."""
        view[:] = self.copy(view)

    def copy(self, data: bytes | bytearray | memoryview) -> bytes:
        """The changed bytes, elsewhere."""
        size = len(data)
        mixed = int.from_bytes(data, "little") ^ int.from_bytes(self._key_stream(size), "little")
        return mixed.to_bytes(size, "little")

    def _key_stream(self, size: int) -> bytes:
        """The next bytes. They are made in whole rounds, so that the first index needs no arithmetic."""
        rounds = -(-(size - len(self._ahead)) // _ROUND)
        if rounds > 0:
            self._ahead += self._made(rounds)
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    def _made(self, rounds: int) -> bytes:
        state, second, modulo = self._state, self._second, _MODULO
        made: list[int] = []
        for _ in range(rounds):
            for first in _INDEXES:
                x = state[first]
                second = modulo[second + x]
                state[first] = y = state[second]
                state[second] = x
                made.append(state[modulo[x + y]])
        self._second = second
        return bytes(made)


def _openssl() -> Callable[[bytes], Cipher] | None:
    """The fast RC4, or None where there is none."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
        from cryptography.hazmat.primitives import ciphers
    except ImportError:  # no wheel for this machine
        return None

    class OpensslRc4:
        """RC4 by OpenSSL, which lets other threads run meanwhile."""

        def __init__(self, key: bytes) -> None:
            context = ciphers.Cipher(ARC4(key), mode=None).encryptor()
            context.update(bytes(_DROPPED))
            self._into = context.update_into
            self.copy = context.update

        def apply(self, view: memoryview) -> None:
            """Change bytes in place."""
            self._into(view, view)

    try:
        OpensslRc4(bytes(20))
    except UnsupportedAlgorithm:  # RC4 is of OpenSSL's legacy provider, which need not be there
        return None
    return OpensslRc4


_fastest = _openssl() or PythonRc4


def stream(key: bytes) -> Cipher:
    """A cipher for one direction, its first 1024 bytes dropped, by the fastest means that this machine has.

    Args:
        key: 20 bytes in the protocol. Other lengths that RC4 knows are for tests.
    """
    return _fastest(key)
