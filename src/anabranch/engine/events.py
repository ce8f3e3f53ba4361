"""What subscribers are told. Each event is a frozen value that needs no turn to be read."""

from __future__ import annotations

from dataclasses import dataclass

from anabranch.model import Address, InfoHash, TorrentError


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a torrent."""

    torrent: InfoHash


@dataclass(frozen=True, slots=True)
class TorrentAdded(Event):
    """The torrent became known to the client."""


@dataclass(frozen=True, slots=True)
class GotInfo(Event):
    """The info dictionary came, from peers or from a source that the link names: files and pieces are known."""


@dataclass(frozen=True, slots=True)
class StageChanged(Event):
    """The torrent entered another stage.

    That is "learning", "opening", "checking", "live", "moving", "failed", "closing" or "dropped".
    """

    stage: str


@dataclass(frozen=True, slots=True)
class PieceChanged(Event):
    """A piece became complete, or turned out not to be."""

    piece: int
    complete: bool


@dataclass(frozen=True, slots=True)
class PieceFailed(Event):
    """A piece that was received did not have the right hash."""

    piece: int


@dataclass(frozen=True, slots=True)
class FileCompleted(Event):
    """The last missing piece of a file was verified and written, or found by a check. *path* has slashes.

    Said again only after a piece of it was lost. What is complete from an earlier run is not said, nor empty files.
    """

    file: int
    path: str


@dataclass(frozen=True, slots=True)
class Completed(Event):
    """Every wanted byte is verified, written and recorded. Said once, until more is wanted."""


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The torrent's disk failed it; it is tried again by itself. Unless that is *final*: nothing can be made of it."""

    error: TorrentError
    final: bool = False


@dataclass(frozen=True, slots=True)
class Recovered(Event):
    """The torrent goes on after a failure."""


@dataclass(frozen=True, slots=True)
class Moved(Event):
    """The files are in another directory now, or some have other names: what was wished for is done.

    Args:
        directory: Where they are.
        files: Those that got other names.
    """

    directory: str
    files: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class MoveFailed(Event):
    """The files could not go where somebody wanted them, or get those names; *error* says why."""

    error: TorrentError


@dataclass(frozen=True, slots=True)
class PeerConnected(Event):
    """A peer shook hands with us."""

    peer: Address
    outgoing: bool


@dataclass(frozen=True, slots=True)
class PeerIntroduced(Event):
    """A peer told the name of its program, or named other extensions than before (BEP 10).

    Args:
        peer: Which one.
        client: Its program; "" while it said none.
        extensions: The names of all that it takes now.
    """

    peer: Address
    client: str
    extensions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PeerLost(Event):
    """A connection ended."""

    peer: Address
    reason: str


@dataclass(frozen=True, slots=True)
class PeerBanned(Event):
    """An address sent wrong data; it is not spoken to any more."""

    host: str
    piece: int


@dataclass(frozen=True, slots=True)
class PeersFound(Event):
    """Peers were found without a tracker.

    Args:
        source: "dht", "lsd" (in the local network) or "pex" (a peer told of them).
        peers: Addresses that were told.
        new: Those of them that the torrent did not know.
    """

    source: str
    peers: int
    new: int


@dataclass(frozen=True, slots=True)
class TurnedPrivate(Event):
    """The metadata of a torrent that was known by a link says that it is private (BEP 27).

    Whom other sources than its trackers told of is forgotten. From now on it is looked for by its trackers only.

    Args:
        candidates: Addresses that were forgotten.
        peers: Peers that leave.
    """

    candidates: int
    peers: int


@dataclass(frozen=True, slots=True)
class TrackerReplied(Event):
    """A tracker answered an announce. *tracker* is its scheme and host: the rest of a URL may be secret.

    Args:
        tracker: Which one.
        peers: How many addresses it gave.
        seeders, leechers: What it says of the swarm; None where it does not say.
        warning: What it has to say to people; mostly "".
    """

    tracker: str
    peers: int
    seeders: int | None
    leechers: int | None
    warning: str = ""


@dataclass(frozen=True, slots=True)
class TrackerFailed(Event):
    """A tracker could not be asked, or refused. It is asked again later, another one at once.

    Args:
        tracker: Its scheme and host.
        reason: Why, in words.
        error_type: The category (docs/trackers.md), for programs.
    """

    tracker: str
    reason: str
    error_type: str


@dataclass(frozen=True, slots=True)
class WebSeedFailed(Event):
    """A web seed is not asked for a while, or failed in another way than before. Not each time that it is tried again.

    Args:
        webseed: Its scheme and host: the rest of a URL may be secret. `Torrent.webseed_statuses()` has all of it.
        reason: What was wrong.
        seconds: How long it is not asked: 60 when it gave something wrong, as long as it wishes when it has too much to
            do, infinity where it is of no use, 0 where it is tried again at once.
    """

    webseed: str
    reason: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class MetadataSourceFailed(Event):
    """A URL that a magnet link names for the .torrent file did not give it. Peers, and other URLs, are asked as well.

    Args:
        source: Its scheme and host: the rest of a URL may be secret.
        reason: What was wrong.
        seconds: When it is asked again; infinity for never in this run.
    """

    source: str
    reason: str
    seconds: float
