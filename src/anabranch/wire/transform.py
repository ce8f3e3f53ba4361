"""What a connection wants of an encryption: bytes changed in the order in which they travel. No cipher is here."""

from __future__ import annotations

from typing import Protocol


class ByteTransform(Protocol):
    """A pair of stream ciphers, one for each direction. Every byte passes once, in order."""

    def incoming(self, data: memoryview) -> None:
        """Turn bytes that came from the network into plain ones, in place."""

    def outgoing(self, data: bytes) -> bytes:
        """Turn plain bytes into those that go to the network."""

    def outgoing_block(self, data: memoryview) -> None:
        """The same in place: blocks are long, and a copy of each would cost as much as sending it."""
