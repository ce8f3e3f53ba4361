"""A tracker of one's own: small, in memory, over HTTP and UDP; for a LAN, for demonstrations, for tests."""

from .announces import Announce
from .holding import Decide
from .listeners_io import Listeners
from .swarms import Counted, Limits
from .tracker import Counts, Heard, Rules

__all__ = [
    "Announce",
    "Counted",
    "Counts",
    "Decide",
    "Heard",
    "Limits",
    "Listeners",
    "Rules",
]
