"""What a simulated swarm has brought about, and the best that any could have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, log2


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One engine of the swarm.

    Args:
        finished: Seconds from the beginning until it had everything; None if it never had; 0 for seeds.
        downloaded: Bytes of blocks that were of use.
        uploaded: Bytes of blocks that it sent.
        wasted: Bytes of blocks that it received in vain.
        corrupt: Bytes of pieces that failed their hash.
        banned: Hosts that it banned.
        most_peers: Connections that it had at a time, at most.
        begun: Pieces that it has begun and not finished.
        lent: Bytes of memory that hold such.
        owed: Requests that peers have not answered.
        wrong: Complete pieces that are wrong.
    """

    finished: float | None
    downloaded: int
    uploaded: int
    wasted: int
    corrupt: int
    banned: frozenset[str]
    most_peers: int
    begun: int
    lent: int
    owed: int
    wrong: int


@dataclass(frozen=True, slots=True)
class AvailabilitySample:
    """How many copies of the pieces there were at those who began with nothing and can be reached.

    Args:
        at: Seconds from the beginning.
        least: Copies of the rarest piece.
        out: Pieces of which there is any.
        mean: Copies of a piece.
        variance: Of the copies of those pieces that are out.
        seeded: Bytes of blocks that the seeds have sent.
    """

    at: float
    least: int
    out: int
    mean: float
    variance: float
    seeded: int


@dataclass(frozen=True, slots=True)
class ReaderReport:
    """What a reader met.

    Args:
        begun: Seconds from the beginning when it was opened.
        start_delay: Seconds from then until it had its first bytes; None if it never had.
        stalls: Seconds of each wait after that.
        read: Bytes that it had in the end.
        right: They were the right ones.
        ended: Seconds from the beginning when it had all; None if it never had.
    """

    begun: float
    start_delay: float | None
    stalls: tuple[float, ...]
    read: int
    right: bool
    ended: float | None


@dataclass(frozen=True, slots=True)
class SwarmReport:
    """Everything that is known in the end.

    Args:
        seconds: How long it took.
        nodes: The engines, by name.
        readers: The readers, in the order of being opened.
        availability: Samples, a second apart.
        spread_at: When every piece was at least once at somebody who began with nothing; None if never.
        spread_for: Bytes of blocks that the seeds had sent by then.
    """

    seconds: float
    nodes: Mapping[str, NodeReport]
    readers: Sequence[ReaderReport]
    availability: Sequence[AvailabilitySample]
    spread_at: float | None
    spread_for: int

    def last_finished(self, *names: str) -> float:
        """When the last of these (of all, where none is named) had everything; infinity if one never had."""
        times = [self.nodes[name].finished for name in names or self.nodes]
        return max(inf if time is None else time for time in times)


def best_time(
    length: int,
    seed_up: float,
    ups: Sequence[float],
    downs: Sequence[float],
    *,
    piece_length: int = 0,
    latency: float = 0.0,
) -> float:
    """Seconds below which no way to share *length* bytes gets them to all downloaders.

    The seed must send each byte once, the slowest downloader take in all of it, and all lines together send a copy
    for each. A piece is passed on when it is whole, and those who have one at most double in the time that sending it
    takes: with *piece_length*, that pipeline's delay is added, with *latency* (seconds each way) two round trips of
    greeting, one of interest, and a way for each hop.

    Args:
        length: Bytes of content.
        seed_up: Bytes per second that the seeds send.
        ups: Bytes per second that each downloader sends.
        downs: Bytes per second that each takes in.
        piece_length: Bytes; 0 to leave the pipeline out.
        latency: Seconds.
    """
    flow = max(length / seed_up, length / min(downs), len(downs) * length / (seed_up + sum(ups)))
    hops = ceil(log2(len(downs) + 1))
    return flow + hops * (piece_length / max(seed_up, *ups) + latency) + 6 * latency
