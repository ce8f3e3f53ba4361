"""A .torrent file: the info dictionary, and how to find peers for it.

Source: BEP 3, with BEP 5 (nodes), BEP 12 (announce-list), BEP 17 (httpseeds), BEP 19 (url-list), BEP 38 (similar,
collections), BEP 52 (piece layers). Only the info dictionary and piece layers must be right; what else is broken is
left out with a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from anabranch.bencode import BencodeError, Value, decode_noted, encode
from anabranch.model import InfoHash

from .body import Body
from .errors import MetainfoError
from .fields import Table, due, text_or_empty, word_for
from .info import Info, checked_info
from .layers import check_layers

_LAST_DATE = 253402300799  # the end of the year 9999, where calendars end
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Metainfo:
    """What a .torrent file says.

    Args:
        info: The torrent itself.
        trackers: Tiers of announce URLs, best tier first (BEP 12); no tier is empty, no URL there twice.
        webseeds: URLs of HTTP servers that have the content (BEP 19).
        nodes: Host names or addresses, and ports, to enter the DHT by (BEP 5).
        comment: For people; may be empty.
        created_by: The program that made it; may be empty.
        creation_date: Seconds since 1970, or None where it does not say.
        warnings: What was wrong with it and could be forgiven, in words.
        body: Where the bytes of the whole file are.
        layers: The piece hashes of files of several pieces in a torrent with a v2 side, joined, by the file's root.
            Peers have those that are missing (see PieceLayers).
        similar: Torrents that are likely to have files in common with this one.
        collections: Marks of the sets of torrents that this one belongs to, for the same.
        httpseeds: URLs of scripts that give the content piece by piece (BEP 17).
    """

    info: Info
    trackers: tuple[tuple[str, ...], ...] = field(repr=False)  # URLs may have passkeys
    webseeds: tuple[str, ...] = field(repr=False)
    nodes: tuple[tuple[str, int], ...]
    comment: str
    created_by: str
    creation_date: int | None
    warnings: tuple[str, ...]
    body: Body = field(repr=False, compare=False)
    layers: Mapping[bytes, bytes] = field(default_factory=dict, repr=False, compare=False)
    similar: tuple[InfoHash, ...] = ()
    collections: tuple[str, ...] = ()
    httpseeds: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, data: bytes) -> Metainfo:
        """Read the content of a .torrent file.

        Raises:
            MetainfoError: no torrent can be made of it; the text says why.
        """
        try:
            noted = decode_noted(data, lenient=True)
        except BencodeError as bad:
            raise MetainfoError(f"this is not a torrent file: {bad}") from bad
        if not isinstance(noted.value, dict):
            raise MetainfoError(f"this is not a torrent file: it holds {word_for(noted.value)}")
        table = noted.value
        warnings = list(noted.warnings)
        if noted.end < len(data):
            warnings.append(f"{len(data) - noted.end} bytes follow the torrent and are ignored")
        inside = due(table, b"info", dict, "the torrent file")
        start, end = noted.spans[b"info"]
        body = Body(bytes(data))
        info = checked_info(data[start:end], inside, body, start, canonical=not noted.warnings)
        return cls(
            info=info,
            trackers=_trackers(table, warnings),
            webseeds=_web_seeds(table, b"url-list", warnings),
            nodes=_nodes(table, warnings),
            comment=text_or_empty(table, b"comment"),
            created_by=text_or_empty(table, b"created by"),
            creation_date=_creation_date(table, warnings),
            body=body,
            layers=_layers(table, info, warnings),
            similar=_similar([*_listed(inside, b"similar"), *_listed(table, b"similar")]),
            collections=_collections([*_listed(inside, b"collections"), *_listed(table, b"collections")]),
            httpseeds=_web_seeds(table, b"httpseeds", warnings),
            warnings=tuple(dict.fromkeys(warnings)),  # the last: what is read above adds to them
        )

    @property
    def raw(self) -> bytes:
        """The whole file. Raises what the body's loader raises."""
        return self.body.read()

    def resting_on(self, body: Body) -> Metainfo:
        """The same, with its bytes in another place."""
        return replace(self, body=body, info=replace(self.info, body=body))

    def rewritten(self, raw: bytes, layers: Mapping[bytes, bytes]) -> Metainfo:
        """The same torrent as another file says it, which has the same info dictionary and more piece layers."""
        body = Body(raw)
        info = replace(self.info, body=body, start=raw.index(self.info.raw))
        return replace(self, body=body, info=info, layers=layers)


def compose(
    info: bytes,
    *,
    trackers: Sequence[Sequence[str]] = (),
    webseeds: Sequence[str] = (),
    comment: str = "",
    created_by: str = "",
    creation_date: int | None = None,
    layers: Mapping[bytes, bytes] | None = None,
    httpseeds: Sequence[str] = (),
) -> bytes:
    """Write a .torrent file around a bencoded info dictionary, which stays as it is.

    Args:
        info: The raw bytes of an Info.
        trackers: Tiers of announce URLs, as in Metainfo.
        webseeds: As in Metainfo.
        comment: Left out when empty.
        created_by: Left out when empty.
        creation_date: Seconds since 1970; left out when None.
        layers: The piece layers of a v2 side (BEP 52), as in Metainfo; left out when None.
        httpseeds: As in Metainfo.

    Raises:
        BencodeError: a text that UTF-8 cannot say.
    """
    urls = [url for tier in trackers for url in tier]
    before: dict[str, object] = {}  # keys that sort before "info"; the info dictionary is not written anew
    if urls:
        before["announce"] = urls[0]
    if len(urls) > 1:
        before["announce-list"] = [tier for tier in map(list, trackers) if tier]
    if comment:
        before["comment"] = comment
    if created_by:
        before["created by"] = created_by
    if creation_date is not None:
        before["creation date"] = creation_date
    if httpseeds:
        before["httpseeds"] = list(httpseeds)
    behind: dict[str, object] = {}
    if layers is not None:
        behind["piece layers"] = dict(layers)
    if webseeds:
        behind["url-list"] = list(webseeds)
    return encode(before)[:-1] + encode("info") + info + encode(behind)[1:]


def _trackers(table: Table, warnings: list[str]) -> tuple[tuple[str, ...], ...]:
    """BEP 12: where there is an announce-list, announce is ignored; where the list holds nothing of use, it is not."""
    listed = table.get(b"announce-list", [])
    rows: list[list[Value]] = []
    if isinstance(listed, list):
        rows = [row if isinstance(row, list) else [row] for row in listed]
    else:
        warnings.append(f"'announce-list' is {word_for(listed)} and is ignored")
    seen: set[str] = set()
    tiers = [tier for row in rows if (tier := _urls(row, "tracker", seen, warnings))]
    if not tiers and b"announce" in table and (tier := _urls([table[b"announce"]], "tracker", seen, warnings)):
        tiers = [tier]
    return tuple(tiers)


def _web_seeds(table: Table, key: bytes, warnings: list[str]) -> tuple[str, ...]:
    listed = table.get(key, [])
    return _urls(listed if isinstance(listed, list) else [listed], "web seed", set(), warnings)


def _urls(values: Iterable[Value], what: str, seen: set[str], warnings: list[str]) -> tuple[str, ...]:
    """The URLs among the values that were not seen yet. Whether one can be used is for those to say who use it."""
    urls: list[str] = []
    for value in values:
        url = value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else None
        if url is None or not url.isprintable():
            warnings.append(f"a {what} that is no URL is ignored")
        elif url and url not in seen:  # an empty one is how some programs write "none"
            seen.add(url)
            urls.append(url)
    return tuple(urls)


def _nodes(table: Table, warnings: list[str]) -> tuple[tuple[str, int], ...]:
    nodes: list[tuple[str, int]] = []
    listed = table.get(b"nodes", [])
    for node in listed if isinstance(listed, list) else [listed]:
        match node:
            case [bytes(host), int(port)] if host and host.isascii() and 0 < port <= _MAX_PORT:
                nodes.append((host.decode(), port))
            case _:
                warnings.append("a DHT node that is no host and port is ignored")
    return tuple(nodes)


def _layers(table: Table, info: Info, warnings: list[str]) -> dict[bytes, bytes]:
    """Raises MetainfoError for wrong ones: libtorrent loads no such torrent, but takes one that has none."""
    layers = table.get(b"piece layers")
    if info.v2 is None or layers is None:
        return {}
    if not isinstance(layers, dict):
        warnings.append(f"'piece layers' is {word_for(layers)} and is ignored")
        return {}
    return check_layers(info, layers)


def _listed(table: Table, key: bytes) -> list[Value]:
    found = table.get(key)
    return found if isinstance(found, list) else []


def _similar(values: Iterable[Value]) -> tuple[InfoHash, ...]:
    """BEP 38 knows info hashes of 20 bytes."""
    hashes = [value for value in values if isinstance(value, bytes) and len(value) == InfoHash.length]
    return tuple(dict.fromkeys(map(InfoHash, hashes)))


def _collections(values: Iterable[Value]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.decode("utf-8", "replace") for value in values if isinstance(value, bytes)))


def _creation_date(table: Table, warnings: list[str]) -> int | None:
    date = table.get(b"creation date")
    if date is None or (isinstance(date, int) and 0 <= date <= _LAST_DATE):
        return date
    warnings.append("'creation date' is no date and is ignored")
    return None
