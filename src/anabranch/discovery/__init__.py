"""Finding peers without anybody's server: peers tell of peers (PEX), and of themselves on local networks (LSD).

Which torrents may be spoken of is not known here: private ones must not (BEP 27), and who calls sees to that.
"""

from .gossip import PexFeed, PexTalk
from .lsd import LocalAnnounce
from .lsd_io import LocalDiscovery, LocalStats
from .pex import PEX, PexMessage, PexPeer

__all__ = ["PEX", "LocalAnnounce", "LocalDiscovery", "LocalStats", "PexFeed", "PexMessage", "PexPeer", "PexTalk"]
