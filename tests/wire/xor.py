"""A cipher for tests that anybody can break."""

from __future__ import annotations


class Xor:
    """A stream cipher: each byte with its number in the stream."""

    def __init__(self) -> None:
        self.position = 0

    def incoming(self, data: memoryview) -> None:
        data[:] = self.outgoing(bytes(data))

    def outgoing_block(self, data: memoryview) -> None:
        data[:] = self.outgoing(bytes(data))

    def outgoing(self, data: bytes) -> bytes:
        start, self.position = self.position, self.position + len(data)
        return bytes(byte ^ (start + at) & 0xFF for at, byte in enumerate(data))
