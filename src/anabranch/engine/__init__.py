"""The engine: it owns all state, takes every decision, and knows every room below.

Used by the rooms above: Core puts it together, the functions are what readers and the public door call within turns,
and pictures and events are what it gives out. The modules, and what Core is made of, are for testing's simulated swarm.
"""

from . import adding, announcing, asking, dialing, events, membership, receiving, serving, ticking, wanting, webseeding
from .buffers import BufferPool
from .candidates import Candidate
from .checking import want_check
from .config import Config
from .core_io import Core, default_state_dir
from .encryption import Encryption
from .engine import Engine, Limits, Runner, Workshop
from .events import Event
from .extending import register_extension, send_extension, unregister_extension
from .feed_io import Feed
from .fetches import Fetch
from .homes_io import CACHE_SIZE, Homes, kept_in
from .learning import want_when_known
from .metrics import metrics_mapping, metrics_text
from .ourselves import Ourselves
from .piece_states import (
    PieceState,
    PieceStateRun,
    Watcher,
    changed_pieces,
    codes_of,
    facts_of,
    has_ended,
    runs_of,
    state_in,
    state_of,
    watch_pieces,
)
from .privacy import discovery_allowed
from .reading import Availability, Place, read_found, stop_waiting, wait_for
from .relocating import files_in, move, path_now, rename, rename_folder
from .saving import resume_data
from .scraping import Scrape
from .scraping import plan as plan_scrapes
from .signals_io import Signal
from .snapshots import picture_of, trackers_of, webseeds_of
from .sources_io import torrent_at
from .state import Peer, Policy, Sums, TorrentState
from .stats import PeerStats, TorrentStats, bytes_completed, peer_stats, stats_of
from .super_seeding import set_super_seeding
from .tls_io import tls_context
from .tracker_status import EndpointStatus, TrackerStatus
from .trackers import Announce
from .turn_io import LockDebug, Turn
from .wanting import allow_download, allow_upload, choose_file, choose_files, choose_pieces, set_max_connections
from .webseed_status import WebSeedStatus

__all__ = [
    "CACHE_SIZE",
    "Announce",
    "Availability",
    "BufferPool",
    "Candidate",
    "Config",
    "Core",
    "Encryption",
    "EndpointStatus",
    "Engine",
    "Event",
    "Feed",
    "Fetch",
    "Homes",
    "Limits",
    "LockDebug",
    "Ourselves",
    "Peer",
    "PeerStats",
    "PieceState",
    "PieceStateRun",
    "Place",
    "Policy",
    "Runner",
    "Scrape",
    "Signal",
    "Sums",
    "TorrentState",
    "TorrentStats",
    "TrackerStatus",
    "Turn",
    "Watcher",
    "WebSeedStatus",
    "Workshop",
    "adding",
    "allow_download",
    "allow_upload",
    "announcing",
    "asking",
    "bytes_completed",
    "changed_pieces",
    "choose_file",
    "choose_files",
    "choose_pieces",
    "codes_of",
    "default_state_dir",
    "dialing",
    "discovery_allowed",
    "events",
    "facts_of",
    "files_in",
    "has_ended",
    "kept_in",
    "membership",
    "metrics_mapping",
    "metrics_text",
    "move",
    "path_now",
    "peer_stats",
    "picture_of",
    "plan_scrapes",
    "read_found",
    "receiving",
    "register_extension",
    "rename",
    "rename_folder",
    "resume_data",
    "runs_of",
    "send_extension",
    "serving",
    "set_max_connections",
    "set_super_seeding",
    "state_in",
    "state_of",
    "stats_of",
    "stop_waiting",
    "ticking",
    "tls_context",
    "torrent_at",
    "trackers_of",
    "unregister_extension",
    "wait_for",
    "want_check",
    "want_when_known",
    "wanting",
    "watch_pieces",
    "webseeding",
    "webseeds_of",
]
