"""Magnet links: what a torrent is called, and hints at where it may be found.

Source: BEP 9 (btih, dn, tr, x.pe), BEP 52 (btmh), BEP 53 (so), BEP 19 (ws). Keys may be numbered (tr.1), in any case.
A link comes from a stranger: one without a usable info hash is refused, anything else that cannot be used is left out
with a warning. What a link says about a DHT node, its keywords (kt) or its length (xl) is not read.
"""

from __future__ import annotations

import re
from base64 import b32decode
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from anabranch.model import InfoHash, InfoHashV2, InputRefused, canonical_host, split_host_port

from .errors import MetainfoError
from .metainfo import Metainfo

MAX_LINK = 1024 * 1024  # characters; more than all that is kept of one takes when it is written again
_MAX_NAME = 500  # characters
_MAX_URL = 2000  # bytes of UTF-8
_MAX_HINTS = 50  # of each kind
_MAX_RANGES = 1000

_LOOSE = re.IGNORECASE | re.ASCII

_KEY = re.compile(r"(xt|dn|tr|ws|xs|as|x\.pe|so)(\.[0-9]{1,9})?")
_URN = re.compile("urn:(btih|btmh):(.*)", _LOOSE | re.DOTALL)
_HEX = re.compile("[0-9a-f]{40}", _LOOSE)
_BASE32 = re.compile("[a-z2-7]{32}", _LOOSE)
_HEX_V2 = re.compile("[0-9a-f]{64}", _LOOSE)
_ELSEWHERE = re.compile("magnet:|https?://", _LOOSE)
_MULTIHASH = re.compile("1220([0-9a-f]{64})", _LOOSE)  # 0x12: SHA-256, 0x20: of 32 bytes
_TRACKER = re.compile(r"(https?|udp|wss?)://\S+", _LOOSE)
_WEBSEED = re.compile(r"(https?|ftp)://\S.*", _LOOSE)
_SOURCE = re.compile(r"\S+")
_IPV4 = re.compile("[0-9.]+")
_HOST_NAME = re.compile("[a-z0-9_.-]{1,253}", _LOOSE)
_RANGE = re.compile("([0-9]{1,8})(?:-([0-9]{1,8}))?")

_Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Magnet:
    """What a magnet link says. str() writes the link, which reads as an equal one.

    Args:
        v1: The v1 info hash, or None; one of the two is there.
        v2: The v2 info hash, or None.
        name: What to call the torrent until its own name is known; may be empty, and is not safe as a path.
        trackers: Announce URLs.
        webseeds: URLs of HTTP servers that have the content (BEP 19).
        sources: Where a .torrent file may be had ("xs" and "as"): mostly URLs.
        peers: Hosts, as IP addresses or names, and ports.
        select: Which files are wanted (BEP 53): first and last index, ascending and apart. None for all.
        warnings: What could not be used, in words.
    """

    v1: InfoHash | None = None
    v2: InfoHashV2 | None = None
    name: str = ""
    trackers: tuple[str, ...] = field(default=(), repr=False)  # URLs may have passkeys
    webseeds: tuple[str, ...] = field(default=(), repr=False)
    sources: tuple[str, ...] = field(default=(), repr=False)
    peers: tuple[tuple[str, int], ...] = ()
    select: tuple[_Range, ...] | None = None
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.v1 is None and self.v2 is None:
            raise MetainfoError("a magnet link needs an info hash: 'xt=urn:btih:' or 'xt=urn:btmh:'")

    @classmethod
    def parse(cls, text: str) -> Magnet:
        """Read a magnet link.

        Raises:
            MetainfoError: it is none, names no torrent or more than one, or is over 1 MiB; the text says which.
        """
        if len(text) > MAX_LINK:
            raise MetainfoError(f"a magnet link of {len(text)} characters, at most {MAX_LINK} are read")
        start, mark, query = text.encode("utf-8", "replace").decode().strip().partition("?")
        if not mark or start.lower() != "magnet:":
            raise MetainfoError(f"not a magnet link: {start[:40]!r} where 'magnet:?' is due")
        found: dict[str, list[str]] = {}
        for parameter in query.split("&"):
            key, _, value = parameter.partition("=")
            if known := _KEY.fullmatch(unquote(key).lower()):
                found.setdefault(known[1], []).append(value)
        v1, v2 = _hashes(map(unquote, found.get("xt", ())))
        warnings: list[str] = []
        return cls(
            v1=v1,
            v2=v2,
            name=_spaced(found.get("dn", [""])[-1])[:_MAX_NAME],
            # In a tracker's URL a plus is one: as a space it would make it none, and passkeys hold them.
            trackers=_urls(map(unquote, found.get("tr", ())), _TRACKER, "tracker", warnings),
            webseeds=_urls(map(_spaced, found.get("ws", ())), _WEBSEED, "web seed", warnings),
            sources=_urls(map(_spaced, [*found.get("xs", ()), *found.get("as", ())]), _SOURCE, "source", warnings),
            peers=_peers(map(unquote, found.get("x.pe", ())), warnings),
            select=_ranges(map(_spaced, found.get("so", ())), warnings),
            warnings=tuple(dict.fromkeys(warnings)),
        )

    @classmethod
    def of(cls, metainfo: Metainfo) -> Magnet:
        """The link to a torrent, with its trackers and web seeds. What could not be read again is left out."""
        warnings: list[str] = []
        trackers = (url for tier in metainfo.trackers for url in tier)
        return cls(
            v1=metainfo.info.v1,
            v2=metainfo.info.v2,
            name=metainfo.info.name,
            trackers=_urls(trackers, _TRACKER, "tracker", warnings),
            webseeds=_urls(metainfo.webseeds, _WEBSEED, "web seed", warnings),
            warnings=tuple(dict.fromkeys(warnings)),
        )

    @property
    def info_hash(self) -> InfoHash:
        """The torrent's key: the v1 info hash where there is one, else what the v2 one begins with."""
        return self.swarm_hashes[0]

    @property
    def swarm_hashes(self) -> tuple[InfoHash, ...]:
        """What peers and trackers may know the torrent by, v1 first."""
        of_v2 = () if self.v2 is None else (self.v2.truncated,)
        return of_v2 if self.v1 is None else (self.v1, *of_v2)

    def __str__(self) -> str:
        hashes = [("xt=urn:btih:", self.v1), ("xt=urn:btmh:1220", self.v2)]
        parts = [f"{start}{digest}" for start, digest in hashes if digest is not None]
        if self.name:
            parts.append(f"dn={quote(self.name, safe='')}")
        for key, urls in (("tr", self.trackers), ("ws", self.webseeds), ("xs", self.sources)):
            parts += [f"{key}={quote(url, safe='')}" for url in urls]
        parts += [f"x.pe=[{host}]:{port}" if ":" in host else f"x.pe={host}:{port}" for host, port in self.peers]
        if self.select is not None:
            parts.append(f"so={','.join(str(a) if a == b else f'{a}-{b}' for a, b in self.select)}")
        return "magnet:?" + "&".join(parts)


def _spaced(value: str) -> str:
    """What forms write: a space is a plus, and a plus is %2B."""
    return unquote(value.replace("+", " "))


def _hashes(urns: Iterable[str]) -> tuple[InfoHash | None, InfoHashV2 | None]:
    """The info hashes among the URNs; other names that a file may have (urn:sha1, ...) are passed over."""
    v1: set[InfoHash] = set()
    v2: set[InfoHashV2] = set()
    for urn in urns:
        named = _URN.fullmatch(urn)
        if named is None:
            continue
        digits = named[2]
        if named[1].lower() == "btmh":
            multihash = _MULTIHASH.fullmatch(digits)
            if multihash is None:
                raise MetainfoError(f"'btmh' in the magnet link is not 1220 and 64 hex digits: {digits[:80]!r}")
            v2.add(InfoHashV2.parse(multihash[1]))
        elif _HEX.fullmatch(digits):
            v1.add(InfoHash.parse(digits))
        elif _BASE32.fullmatch(digits):
            v1.add(InfoHash(b32decode(digits.upper())))
        else:
            raise MetainfoError(f"'btih' in the magnet link is not 40 hex or 32 base32 digits: {digits[:80]!r}")
    if len(v1) > 1 or len(v2) > 1:
        raise MetainfoError("the magnet link names more than one torrent")
    return next(iter(v1), None), next(iter(v2), None)


def _urls(texts: Iterable[str], form: re.Pattern[str], what: str, warnings: list[str]) -> tuple[str, ...]:
    urls: dict[str, None] = {}  # a set that keeps the order
    for text in texts:
        url = text.strip()
        if not form.fullmatch(url) or not url.isprintable() or len(url.encode()) > _MAX_URL:
            warnings.append(f"a {what} that is no URL for one is left out")
        elif len(urls) < _MAX_HINTS:
            urls[url] = None
        elif url not in urls:
            warnings.append(f"of each kind {_MAX_HINTS} are used; a {what} beyond them is left out")
    return tuple(urls)


def _peers(texts: Iterable[str], warnings: list[str]) -> tuple[tuple[str, int], ...]:
    peers: dict[tuple[str, int], None] = {}
    for text in texts:
        try:
            host, port = split_host_port(text)
            peer = _host(host), port
        except (InputRefused, ValueError):
            warnings.append("a peer that is no HOST:PORT is left out")
            continue
        if len(peers) < _MAX_HINTS:
            peers[peer] = None
        elif peer not in peers:
            warnings.append(f"of each kind {_MAX_HINTS} are used; a peer beyond them is left out")
    return tuple(peers)


def _host(text: str) -> str:
    """An IP address in its shortest spelling, or a name as it is. Raises ValueError for neither."""
    is_name = _HOST_NAME.fullmatch(text) and not _IPV4.fullmatch(text)
    return text if is_name else canonical_host(text)


def _ranges(texts: Iterable[str], warnings: list[str]) -> tuple[_Range, ...] | None:
    """The ranges of all texts, put in order and joined where they touch."""
    found: list[_Range] = []
    for part in ",".join(texts).split(","):
        read = _RANGE.fullmatch(part.strip())
        first, last = (int(read[1]), int(read[2] or read[1])) if read else (1, 0)
        if first <= last:
            found.append((first, last))
        elif part.strip():
            warnings.append("a selection that is no file's index or range of them is left out")
    joined: list[_Range] = []
    for first, last in sorted(found):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    if len(joined) > _MAX_RANGES:
        warnings.append(f"{_MAX_RANGES} ranges of files are used; more are left out")
    return tuple(joined[:_MAX_RANGES]) or None


def names_no_file(text: str) -> bool:
    """Whether this looks like a magnet link, a URL or a bare info hash, not like a file's name."""
    hashes = (_HEX, _BASE32, _HEX_V2)
    return bool(_ELSEWHERE.match(text)) or any(one.fullmatch(text) for one in hashes)
