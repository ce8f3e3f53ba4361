"""What can go wrong with a question to the DHT, in words."""

from __future__ import annotations

from anabranch.model import TorrentError


class DhtFault(TorrentError):
    """A node did not answer, refused, or what it said cannot be used: ask another one.

    Args:
        text: What happened.
        code: The error's number (BEP 5, BEP 44), 0 where no error message came.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code
