"""What a node counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class NodeStats:
    """Counters of one node since it was made.

    Args:
        queries: Queries that came, by method; those of methods that nobody knows under "other".
        dropped: Datagrams that nothing was done about, by reason.
        answered: Queries that were answered as they wished.
        refused: Queries that were answered with an error.
        asked: Queries that were sent.
        replies: Answers and errors that came to them.
        timeouts: Queries that nothing came to.
        strays: Answers to what was not asked, or from who was not asked.
        wrong_ids: Answers with another id than the node was said to have.
        lookups: Look-ups that ended.
        bytes_in: Of all datagrams that came.
        bytes_out: Of all that were sent.
    """

    queries: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    refused: int = 0
    asked: int = 0
    replies: int = 0
    timeouts: int = 0
    strays: int = 0
    wrong_ids: int = 0
    lookups: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
