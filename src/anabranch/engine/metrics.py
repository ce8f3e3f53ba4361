"""What is counted for people who look into the engine: the catalogue, the counters of one client, how they are told.

Source: the counters of a fork of the Go engine that serves a fleet. They are there only where Config.debug is on: call
sites read `if (metrics := engine.metrics) is not None: metrics.add(COUNTER, label)`, and nothing else is paid. Labels
are handed in as they lie and worded when somebody asks. Left out: counters of parts that are not there (uTP, hole
punching), and what stats() tells anyhow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anabranch.model import BLOCK_SIZE, Address, Geometry
from anabranch.wire import (
    DONT_HAVE,
    METADATA,
    BlocksLanded,
    ByteTransform,
    CancelledBlock,
    Choked,
    Connection,
    CountedConnection,
    Event,
    Handshake,
    Unchoke,
    UnexpectedBlock,
    message_name,
)

if TYPE_CHECKING:
    from .engine import Engine
    from .state import Peer

PREFIX = "anabranch_"  # of every name in Prometheus' format, so that they stand together there
_OFFERED = frozenset({METADATA, DONT_HAVE, "ut_pex", "ut_holepunch"})  # told apart by name; peers can make up others


@dataclass(frozen=True, slots=True, eq=False)
class Counter:
    """Something that is counted.

    Args:
        name: What it is called, in Prometheus' manner.
        text: What it counts.
        label: What tells its values apart, "" where there is one only.
        word: Makes a word of such a value.
    """

    name: str
    text: str
    label: str = ""
    word: Callable[[Any], str] = str


def _either(true: str, false: str) -> Callable[[bool], str]:
    return lambda given: true if given else false


_NETWORK = _either("tcp6", "tcp4")
_WHOSE = _either("outgoing", "incoming")
_BEGINS = _either("obfuscated", "clear")

ACCEPTED = Counter("connections_accepted_total", "Connections that callers made.", "network", _NETWORK)
TURNED_AWAY = Counter("connections_rejected_total", "Callers that were hung up on before a word was read.", "reason")
DIALS = Counter("dials_total", "Dials that were begun.", "network", _NETWORK)
DIALS_BEGAN = Counter("dials_begun_as_total", "The same, by how the handshake begins.", "handshake", _BEGINS)
DIAL_ATTEMPTS = Counter(
    "dial_attempts_total",
    "The same, by whether it is the way that is tried first or another after that was not understood.",
    "way",
    _either("fallback", "preferred"),
)
DIALS_CONNECTED = Counter("dials_connected_total", "Dials that somebody took.")
DIALS_FAILED = Counter("dials_failed_total", "Dials that did not become a peer.")
HANDSHAKES_RECEIVED = Counter(
    "handshakes_received_total", "Callers that named a torrent, by how they began.", "handshake", _BEGINS
)
HANDSHAKES_NAMED = Counter(
    "handshakes_named_total", "The same, by whether we have that torrent.", "torrent", _either("loaded", "unloaded")
)
HANDSHAKES_FAILED = Counter(
    "handshakes_failed_total", "Connections and dials that ended before both had shaken hands.", "direction", _WHOSE
)
HANDSHAKES = Counter("handshakes_completed_total", "Connections on which both have shaken hands.", "network", _NETWORK)
HANDSHAKE_FLAGS = Counter("handshake_flags_total", "What those peers support, by their handshakes.", "flag")
HANDSHAKES_V2 = Counter("handshakes_by_v2_name_total", "Those of them that name a torrent by its v2 hash (BEP 52).")
OURSELVES = Counter("connections_to_self_total", "Connections that turned out to be with ourselves.")
JOINED = Counter("peers_joined_total", "Peers that joined a swarm.", "direction", _WHOSE)
LEFT = Counter("peers_left_total", "Peers that left a swarm.")
REPLACED = Counter("peers_replaced_total", "Peers that were closed for a newcomer.", "reason")
FAULTS = Counter("protocol_faults_total", "Connections that ended because the peer broke the protocol.")
BROKEN = Counter("connection_errors_total", "Connections that ended by an error of the system.")

CANDIDATES = Counter("candidates_added_total", "Addresses that were new, by who told.", "source")
CANDIDATES_BAD = Counter("candidates_bad_total", "Addresses that nobody may dial.")
CANDIDATES_EXCESS = Counter("candidates_discarded_total", "Addresses that were dropped because there are enough.")

READ = Counter("messages_read_total", "Messages that came; of blocks, their 16 KiB.", "type", message_name)
WRITTEN = Counter("messages_written_total", "Messages that were queued to be sent.", "type", message_name)
EXTENDED_READ = Counter("extended_messages_read_total", "Messages of BEP 10 that came.", "extension")
EXTENDED_WRITTEN = Counter("extended_messages_written_total", "Messages of BEP 10 queued.", "extension")
OFFERED = Counter("extensions_offered_total", "Extensions that peers named, each once.", "extension")
FAST_REFUSED = Counter("fast_messages_refused_total", "Messages of BEP 6 on connections without it.")
ASKED = Counter(
    "blocks_requested_by_peers_total",
    "Blocks that peers asked for, by their length.",
    "length",
    lambda length: str(length) if length else "other",
)

REFUSED = Counter("requests_refused_total", "Requests of peers for a run of blocks that we will not serve.", "reason")
QUEUE_FULL = Counter("requests_beyond_queue_total", "Requests of peers that had more in our queue than we take.")
CANCELS_UNKNOWN = Counter("cancels_unexpected_total", "Cancels of what was not in our queue any more.")
PRESERVED = Counter("requests_kept_through_choke_total", "Blocks that a peer which chokes us still owes us (BEP 6).")
READ_FAILURES = Counter("upload_reads_failed_total", "Reads for a peer that the storage refused.")
BLOCKS = Counter("blocks_received_total", "Blocks that came because we asked.")
BLOCKS_CHOKED = Counter("blocks_received_choked_total", "Those of them that came while the peer choked us.")
REDUNDANT = Counter("blocks_redundant_total", "Those of them that we had already.")
CANCELLED = Counter("blocks_cancelled_total", "Blocks that came after we had cancelled them.")
UNEXPECTED = Counter("blocks_unexpected_total", "Blocks that came without having been asked for.")
HASHED = Counter(
    "pieces_hashed_total", "Pieces that were hashed after their last block came.", "result", _either("right", "wrong")
)
EXTENSIONS_DROPPED = Counter(
    "extension_messages_dropped_total", "Messages for a handler of the user's that were dropped.", "reason"
)

# Web seeds: from the plan to the end of a request, then what else is of interest.
WEBSEED_PLANS = Counter("webseed_plans_total", "Times it was worked out what web seeds are asked for.", "reason")
WEBSEED_PLANNED = Counter("webseed_requests_planned_total", "Requests of web seeds that got a slot.")
WEBSEED_STARTED = Counter("webseed_requests_started_total", "Those of them that were begun.")
WEBSEED_ANSWERS = Counter("webseed_answers_total", "Answers of web seeds; a request may have several.", "status")
WEBSEED_FINISHED = Counter("webseed_requests_finished_total", "Requests of web seeds that came to their end.")
WEBSEED_CANCELLED = Counter("webseed_requests_cancelled_total", "Those that we ended, begun or not.", "reason")
WEBSEED_FAILED = Counter("webseed_requests_failed_total", "Those that failed.", "kind")
WEBSEED_BYTES = Counter("webseed_bytes_received_total", "Bytes of content from web seeds.")
WEBSEED_WASTED = Counter("webseed_bytes_wasted_total", "Those of them that we had already, or left out.")
WEBSEED_CONVICTED = Counter("webseed_convictions_total", "Times a web seed was suspended for what it gave.", "reason")

# Peers found without a tracker.
EXCHANGED = Counter("pex_peers_received_total", "Addresses that peers told of.")
SEARCHES = Counter("dht_searches_total", "Searches for peers in the DHT that came to their end.", "result")
DHT_PORTS = Counter("dht_ports_received_total", "Peers that told of their DHT node.")

# Trackers.
ANNOUNCED = Counter("tracker_announces_total", "Announces that came to their end.", "result")
SCRAPED = Counter("tracker_scrapes_total", "Scrapes that came to their end.", "result")

CATALOGUE: tuple[Counter, ...] = tuple(made for made in list(globals().values()) if isinstance(made, Counter))


class Metrics:
    """The counters of one client. It is a Tally of the wire.

    Args:
        lock: Over changes: most come from the network thread, but not all.
    """

    def __init__(self, lock: AbstractContextManager[Any] | None = None) -> None:
        self._lock = lock or nullcontext()
        self._counts: dict[tuple[Counter, Hashable], int] = {}

    def add(self, counter: Counter, label: Hashable = None, count: int = 1) -> None:
        """Count; *label* as it lies, of a counter that has one."""
        key = (counter, label)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + count

    def series(self) -> Iterator[tuple[Counter, str, int]]:
        """Each counter in the catalogue's order: the word of its label, and how often. One without a label is there
        from the beginning, with 0; of one with labels, what was counted."""
        with self._lock:
            counts = dict(self._counts)
        for counter in CATALOGUE:
            if not counter.label:
                yield counter, "", counts.get((counter, None), 0)
                continue
            worded: dict[str, int] = {}
            for (other, label), count in counts.items():
                if other is counter:
                    word = counter.word(label)
                    worded[word] = worded.get(word, 0) + count
            for word in sorted(worded):
                yield counter, word, worded[word]

    # What several counters tell together.

    def dialed(self, address: Address, *, obfuscated: bool, fallback: bool) -> None:
        """A dial begins."""
        self.add(DIALS, address.is_v6)
        self.add(DIALS_BEGAN, obfuscated)
        self.add(DIAL_ATTEMPTS, fallback)

    def joined(self, peer: Peer, theirs: Handshake) -> None:
        """A peer joined a swarm."""
        self.add(HANDSHAKES, peer.address.is_v6)
        self.add(JOINED, peer.outgoing)
        for flag, said in (("fast", theirs.fast), ("extended", theirs.extended), ("v2", theirs.v2)):
            if said:
                self.add(HANDSHAKE_FLAGS, flag)
        if theirs.info_hash != peer.torrent.metainfo.info.v1:
            self.add(HANDSHAKES_V2)

    def refused(self, peer: Peer, piece: int) -> None:
        """We will not serve what a peer asks for."""
        choking, there = peer.talk.am_choking, peer.torrent.pieces.complete[piece]
        self.add(REFUSED, "choking" if choking else "not allowed" if there else "missing")

    def heard(self, peer: Peer, events: Sequence[Event]) -> None:
        """A peer said this; nobody has acted on it yet."""
        choking = peer.talk.peer_choking  # after all of it
        for event in reversed(events):
            match event:
                case BlocksLanded():
                    self._landed(peer, event, choking=choking)
                case CancelledBlock():
                    self.add(CANCELLED)
                case UnexpectedBlock():
                    self.add(UNEXPECTED)
                case Choked():
                    choking = False
                    if peer.talk.fast:
                        self.add(PRESERVED, count=peer.talk.outstanding)
                case Unchoke():
                    choking = True

    def _landed(self, peer: Peer, event: BlocksLanded, *, choking: bool) -> None:
        first, count = event.begin // BLOCK_SIZE, -(-event.length // BLOCK_SIZE)
        self.add(BLOCKS, count=count)
        if choking:
            self.add(BLOCKS_CHOKED, count=count)
        progress = peer.torrent.pieces.begun.get(event.piece)
        had = count if progress is None else progress.got[first : first + count].count()
        if had:
            self.add(REDUNDANT, count=had)

    # What the wire tells.

    def message_read(self, kind: int, count: int = 1) -> None:
        """See Tally."""
        self.add(READ, kind, count)

    def message_written(self, kind: int, count: int = 1) -> None:
        """See Tally."""
        self.add(WRITTEN, kind, count)

    def extension_read(self, name: str) -> None:
        """See Tally."""
        self.add(EXTENDED_READ, name)

    def extension_written(self, name: str) -> None:
        """See Tally."""
        self.add(EXTENDED_WRITTEN, name)

    def blocks_asked(self, length: int, count: int) -> None:
        """See Tally. Peers can make up lengths: those that are no power of two are one."""
        self.add(ASKED, 0 if length & (length - 1) else length, count)

    def extension_offered(self, name: str) -> None:
        """See Tally."""
        self.add(OFFERED, name if name in _OFFERED else "other")

    def fast_refused(self) -> None:
        """See Tally."""
        self.add(FAST_REFUSED)


def metrics_mapping(metrics: Metrics | None) -> Mapping[str, int]:
    """Each counter with its label, `dials_total{network="tcp4"}`, and how often; nothing where nothing is counted."""
    if metrics is None:
        return {}
    return {_spelled(counter, word): count for counter, word, count in metrics.series()}


def metrics_text(metrics: Metrics | None) -> str:
    """The same in Prometheus' text format, version 0.0.4; empty where nothing is counted."""
    if metrics is None:
        return ""
    samples: dict[Counter, list[str]] = {counter: [] for counter in CATALOGUE}
    for counter, word, count in metrics.series():
        samples[counter].append(f"{PREFIX}{_spelled(counter, word)} {count}\n")
    text: list[str] = []
    for counter, lines in samples.items():
        name = PREFIX + counter.name
        text += [f"# HELP {name} {_escaped(counter.text)}\n", f"# TYPE {name} counter\n", *lines]
    return "".join(text)


def _spelled(counter: Counter, word: str) -> str:
    if not counter.label:
        return counter.name
    quoted = _escaped(word).replace('"', '\\"')
    return f'{counter.name}{{{counter.label}="{quoted}"}}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


# What several places count in one go.


def converse(
    engine: Engine, geometry: Geometry | None, theirs: Handshake, transform: ByteTransform | None, now: float
) -> Connection:
    """The conversation with a peer that has shaken hands: one that is counted where anything is."""
    if (metrics := engine.metrics) is None:
        return Connection(geometry, fast=theirs.fast, extended=theirs.extended, now=now, transform=transform)
    return CountedConnection(
        geometry, fast=theirs.fast, extended=theirs.extended, now=now, transform=transform, tally=metrics
    )
