"""Which torrents are to look for peers in the DHT and in the local network, and when: one schedule for all of them.

Data only; seeking.py decides, discovery_io.py asks. Whoever has the turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from anabranch.net import Bucket

from .agenda import Agenda
from .state import TorrentState

LOCAL_PACE = 8  # torrents named in a second in the local network: Transmission hears ten
PACE = 10  # searches that begin in a second: of 10,000 torrents each has its turn within 17 minutes


@dataclass(slots=True)
class Seekers:
    """The schedule, and what policies need to know of the DHT node.

    Attributes:
        dht: When which torrent is to be searched for in the DHT.
        local: When it is to be named in the local network.
        budget: Searches that may begin.
        local_budget: Torrents that may be named in the local network.
        under_way: Torrents that are being searched for.
        port: The UDP port of our DHT node, which peers are told; 0 while there is none.
        add_node: Tells our DHT node of another: network thread only, outside of turns; None while there is none.
    """

    dht: Agenda[TorrentState] = field(default_factory=Agenda)
    local: Agenda[TorrentState] = field(default_factory=Agenda)
    budget: Bucket = field(default_factory=lambda: Bucket(PACE, PACE))
    local_budget: Bucket = field(default_factory=lambda: Bucket(LOCAL_PACE, LOCAL_PACE))
    under_way: set[TorrentState] = field(default_factory=set)
    port: int = 0
    add_node: Callable[[str, int], None] | None = None

    def forget(self, torrent: TorrentState) -> None:
        """It has no appointments any more."""
        self.dht.forget(torrent)
        self.local.forget(torrent)
        torrent.swarm.seeking.wanted = None
