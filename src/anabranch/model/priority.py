"""How much a file or piece is wanted."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """What a file, piece or byte is worth to us. Names and order are the Go engine's."""

    NONE = 0
    """Not wanted."""
    NORMAL = 1
    """Wanted."""
    HIGH = 2
    """Wanted before the rest."""
    READAHEAD = 3
    """A reader will soon ask for it."""
    NEXT = 4
    """Kept for the Go engine's numbering; behaves as one above READAHEAD."""
    NOW = 5
    """A reader waits for it."""
