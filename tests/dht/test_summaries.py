"""What can be known of the DHT from outside."""

from __future__ import annotations

from collections import Counter

from anabranch.dht.stats import NodeStats
from anabranch.dht.summaries import summed


def test_the_counters_of_several_nodes_are_added_up_and_left_as_they_are() -> None:
    one = NodeStats(queries=Counter(ping=1, get=2), answered=3, bytes_in=100)
    other = NodeStats(queries=Counter(ping=4), dropped=Counter(flood=1), asked=2, bytes_in=11)
    assert summed([one, other]) == NodeStats(
        queries=Counter(ping=5, get=2), dropped=Counter(flood=1), answered=3, asked=2, bytes_in=111
    )
    assert one.queries == Counter(ping=1, get=2)
    total = summed([one])
    total.queries["ping"] += 1
    assert one.queries["ping"] == 1
    assert summed([]) == NodeStats()
