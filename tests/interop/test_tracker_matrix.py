"""Every pair of programs finds each other by every tracker alone, ours among both: one seeds, the other downloads.

In a network of its own, for there Transmission dials. Nobody is told of anybody by the test.
"""

from __future__ import annotations

from functools import partial
from itertools import permutations
from pathlib import Path

import pytest

pytest.importorskip("libtorrent", reason="libtorrent, which makes the torrents, has no wheel for this Python")

from interop.meeting import PROGRAMS, TRACKERS, meet
from interop.own_network import in_own_network

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

CASES = [
    (protocol, seeder, leecher)
    for protocol in ("http", "udp")
    for seeder, leecher in permutations(PROGRAMS, 2)
    if protocol == "http" or "aria2" not in (seeder, leecher)  # which asks no UDP tracker without a DHT
]


@pytest.mark.parametrize("kind", TRACKERS)
def test_what_one_seeds_the_other_finds_and_downloads(kind: str, tmp_path: Path) -> None:
    """By HTTP and UDP, at the address and port that each announced. All at once: Transmission takes its time."""
    outcomes = in_own_network(partial(meet, kind, CASES, tmp_path))
    assert list(outcomes) == CASES
    assert {case: outcome.failure for case, outcome in outcomes.items() if outcome.failure} == {}
