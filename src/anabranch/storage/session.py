"""What a session remembers of its torrents: the values, and the error for a torrent that somebody else runs.

A torrent is known by its info hash and its data directory. Its data may lie elsewhere while it is incomplete, and its
files may have other names than the torrent says: that is its place, remembered apart, as is what was begun with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from anabranch.bencode import BencodeError, Value, decode, encode
from anabranch.model import InfoHash, InputRefused

from .layout import Place


class InUse(InputRefused):
    """The same torrent in the same directory is open already, in this program or in another."""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What a torrent is remembered by: the same torrent in two directories is two torrents.

    Args:
        info_hash: Which torrent.
        data_path: Its data directory, resolved (session_key() does it).
    """

    info_hash: InfoHash
    data_path: str


@dataclass(frozen=True, slots=True)
class SavedWebSeed:
    """A web seed that the user gave a torrent: no torrent or link tells of it again.

    Args:
        url: As it was given.
        kind: What its protocol is called in .torrent files.
        headers: What is sent with every request: names and values. May be secret, as may the URL.
    """

    url: str = field(repr=False)
    kind: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class SavedTrackers:
    """The announce list that the user gave a torrent, instead of its own.

    Args:
        tiers: The URLs, best tier first.
        trusted: Those of them that the user named: the others were the torrent's before.
    """

    tiers: tuple[tuple[str, ...], ...] = field(repr=False)
    trusted: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True, slots=True)
class SavedTorrent:
    """One torrent as a session left it.

    Args:
        metainfo: The .torrent file's bytes, or what else the engine can start the torrent from; None: what is
            remembered stays (of a torrent that is remembered it is never None).
        priorities: A Priority's number for each file, 0 to 255.
        downloading_allowed: Whether data may come in.
        uploading_allowed: Whether data may go out.
        uploaded: Bytes sent in all sessions.
        downloaded: Bytes received in all sessions.
        added: When the torrent was added, in seconds since 1970.
        partial: For pieces that are not complete: bitmaps of the blocks that are on the disk.
        webseeds: Those that the user added.
        trackers: Those that the user wants instead of what the metainfo says; None: as that says.
    """

    metainfo: bytes | None = field(repr=False)
    priorities: tuple[int, ...]
    downloading_allowed: bool
    uploading_allowed: bool
    uploaded: int
    downloaded: int
    added: float
    partial: Mapping[int, bytes] = field(default_factory=dict)
    webseeds: tuple[SavedWebSeed, ...] = ()
    trackers: SavedTrackers | None = None


@dataclass(frozen=True, slots=True)
class Relocating:
    """A torrent's data is on its way: relocate() was begun, or is about to be.

    Args:
        target: Where to.
        data_path: The data directory that the torrent is to be remembered by once it is there; None: as before.
    """

    target: Place
    data_path: str | None = None


@dataclass(frozen=True, slots=True)
class Removing:
    """A torrent is to be forgotten, its data removed: that was begun, or is about to be.

    Args:
        target: Where its data was on its way to, so that some of it may be there.
    """

    target: Place | None = None


Intent = Relocating | Removing


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a torrent's data is.

    Args:
        place: None: in its data directory, under the names that the torrent says.
        intent: What was begun with it and not brought to its end.
    """

    place: Place | None = None
    intent: Intent | None = None


def encode_whereabouts(where: Whereabouts) -> bytes:
    """The bytes that a session store keeps of it: a bencoded dictionary of our own."""
    said: dict[bytes, Value] = {}
    if where.place is not None:
        said[b"place"] = _said_of(where.place)
    if where.intent is not None and where.intent.target is not None:
        said[b"target"] = _said_of(where.intent.target)
    if isinstance(where.intent, Removing):
        said[b"remove"] = 1
    elif where.intent is not None and where.intent.data_path is not None:
        said[b"data path"] = _to_bytes(where.intent.data_path)
    return encode(said)


def decode_whereabouts(data: bytes) -> Whereabouts:
    """Read what encode_whereabouts() wrote. Raises InputRefused for anything else."""
    try:
        said = decode(data)
        if not isinstance(said, dict) or not said.keys() <= {b"place", b"remove", b"target", b"data path"}:
            raise InputRefused("not where a torrent's data is")
        intent: Intent | None = None
        target = _place(said[b"target"]) if b"target" in said else None
        if b"remove" in said:
            intent = Removing(target)
        elif target is not None:
            intent = Relocating(target, _to_text(said[b"data path"]) if b"data path" in said else None)
        return Whereabouts(_place(said[b"place"]) if b"place" in said else None, intent)
    except (BencodeError, KeyError, ValueError) as bad:
        raise InputRefused(f"not where a torrent's data is: {bad}") from bad


def encode_webseeds(webseeds: Sequence[SavedWebSeed]) -> bytes:
    """The bytes that a session store keeps of them: a bencoded list of our own."""
    said: list[Value] = []
    for one in webseeds:
        headers: list[Value] = [[_to_bytes(name), _to_bytes(value)] for name, value in one.headers]
        said.append([_to_bytes(one.url), _to_bytes(one.kind), headers])
    return encode(said)


def decode_webseeds(data: bytes) -> tuple[SavedWebSeed, ...]:
    """Read what encode_webseeds() wrote. Raises InputRefused for anything else."""
    try:
        said = decode(data)
    except BencodeError as bad:
        raise InputRefused(f"not web seeds: {bad}") from bad
    return tuple(map(_webseed, _list(said)))


def encode_trackers(trackers: SavedTrackers) -> bytes:
    """The bytes that a session store keeps of them: tiers of pairs of a URL and whether the user named it, bencoded."""
    return encode([[[_to_bytes(url), int(url in trackers.trusted)] for url in tier] for tier in trackers.tiers])


def decode_trackers(data: bytes) -> SavedTrackers:
    """Read what encode_trackers() wrote. Raises InputRefused for anything else."""
    try:
        said = decode(data)
    except BencodeError as bad:
        raise InputRefused(f"not trackers: {bad}") from bad
    pairs = [[_list(pair, 2) for pair in _list(tier)] for tier in _list(said)]
    tiers = tuple(tuple(_to_text(url) for url, _ in tier) for tier in pairs)
    return SavedTrackers(tiers, frozenset(_to_text(url) for tier in pairs for url, trusted in tier if trusted == 1))


def _webseed(said: Value) -> SavedWebSeed:
    parts = _list(said, 3)
    pairs = [_list(pair, 2) for pair in _list(parts[2])]
    return SavedWebSeed(_to_text(parts[0]), _to_text(parts[1]), tuple((_to_text(a), _to_text(b)) for a, b in pairs))


def _list(said: Value, length: int | None = None) -> list[Value]:
    if not isinstance(said, list) or length not in (None, len(said)):
        raise InputRefused("not what a session store keeps")
    return said


def _said_of(place: Place) -> dict[bytes, Value]:
    names: dict[bytes, Value] = {
        b"%d" % number: [_to_bytes(name) for name in path] for number, path in place.names.items()
    }
    return {b"directory": _to_bytes(place.directory), b"names": names}


def _place(said: Value) -> Place:
    if not isinstance(said, dict) or not isinstance(said[b"names"], dict):
        raise InputRefused("not a place")
    names = {}
    for number, path in said[b"names"].items():
        if not isinstance(path, list):
            raise InputRefused("not a path")
        names[int(number)] = tuple(_to_text(name) for name in path)
    return Place(_to_text(said[b"directory"]), names)


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _to_text(said: Value) -> str:
    if not isinstance(said, bytes):
        raise InputRefused("a name is missing")
    return said.decode("utf-8", "surrogateescape")
