"""The engine: it owns all state, takes every decision, and knows every room below.

Used by the rooms above: Core puts it together, the functions are what readers and the public door call within turns,
and pictures and events are what it gives out.
"""

from . import events
from .checking import want_check
from .config import Config
from .core_io import Core, default_state_dir
from .encryption import Encryption
from .events import Event
from .feed_io import Feed
from .learning import want_when_known
from .reading import Availability, move_reader, read_verified, stop_waiting, wait_for
from .saving import resume_data
from .signals_io import Signal
from .snapshots import picture_of
from .state import Policy, TorrentState
from .stats import PeerStats, TorrentStats, bytes_completed, peer_stats, stats_of
from .turn_io import LockDebug
from .wanting import allow_download, allow_upload, choose_file, choose_files, choose_pieces, set_max_connections

__all__ = [
    "Availability",
    "Config",
    "Core",
    "Encryption",
    "Event",
    "Feed",
    "LockDebug",
    "PeerStats",
    "Policy",
    "Signal",
    "TorrentState",
    "TorrentStats",
    "allow_download",
    "allow_upload",
    "bytes_completed",
    "choose_file",
    "choose_files",
    "choose_pieces",
    "default_state_dir",
    "events",
    "move_reader",
    "peer_stats",
    "picture_of",
    "read_verified",
    "resume_data",
    "set_max_connections",
    "stats_of",
    "stop_waiting",
    "wait_for",
    "want_check",
    "want_when_known",
]
