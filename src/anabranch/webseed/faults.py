"""How a web seed fails, by what is done about it."""

from __future__ import annotations

from anabranch.model import TorrentError


class BadAnswer(TorrentError):
    """A web seed answered what it should not: leave it alone for a while."""


class TooFast(TorrentError):
    """A web seed asks not to be asked so often. That is no crime.

    Args:
        text: In words.
        retry_after: Seconds that it wants to be left alone for; None where it does not say.
    """

    def __init__(self, text: str, retry_after: float | None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class FileMissing(TorrentError):
    """A web seed does not have a file, or not for us: ask others for that one, and it for the rest.

    Args:
        text: In words.
        status: Of the answer, or what it would have been.
        file: The file's index in the torrent.
    """

    def __init__(self, text: str, status: int, file: int) -> None:
        super().__init__(text)
        self.status = status
        self.file = file
