"""Where the bytes of a .torrent file are: in memory, or with somebody who keeps them and brings them when needed.

Nine tenths of a torrent's memory are these bytes, most of them piece hashes; of an idle torrent nobody needs them.
"""

from __future__ import annotations

from collections.abc import Callable


class Body:
    """The bytes of one file. They do not change.

    Args:
        data: The bytes; None where they are kept elsewhere.
        load: Brings them then, each time anew; what it raises is raised to who asks.
    """

    __slots__ = ("_data", "_load")

    def __init__(self, data: bytes | None, load: Callable[[], bytes] = bytes) -> None:
        self._data = data
        self._load = load

    @property
    def here(self) -> bool:
        """Whether they are in memory, so that to read them costs nothing and cannot fail."""
        return self._data is not None

    def read(self) -> bytes:
        """All of them."""
        return self._load() if self._data is None else self._data

    def cut(self, start: int, stop: int) -> bytes:
        """Those of [start, stop)."""
        return self.read()[start:stop]
