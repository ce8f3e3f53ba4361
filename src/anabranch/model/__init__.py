"""The words that everybody uses: errors, ids, measures, sets of pieces, addresses, rates. No room is below this one."""

from .addresses import Address, canonical_host, split_host_port
from .bitfield import all_pieces, bitfield_from, no_pieces
from .errors import Closed, InputRefused, Misused, PeerFault, StorageFailed, TorrentError
from .geometry import BLOCK_SIZE, Geometry, PieceIndex
from .ids import InfoHash, InfoHashV2
from .priority import Priority
from .rates import RateMeter
from .version import VERSION

__all__ = [
    "BLOCK_SIZE",
    "VERSION",
    "Address",
    "Closed",
    "Geometry",
    "InfoHash",
    "InfoHashV2",
    "InputRefused",
    "Misused",
    "PeerFault",
    "PieceIndex",
    "Priority",
    "RateMeter",
    "StorageFailed",
    "TorrentError",
    "all_pieces",
    "bitfield_from",
    "canonical_host",
    "no_pieces",
    "split_host_port",
]
