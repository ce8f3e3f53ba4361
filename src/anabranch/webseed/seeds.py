"""Web seeds: HTTP servers that have a torrent's content, and what each may be asked for.

Source: BEP 19 (url-list), BEP 17 (httpseeds). No requests here: a web seed is where they lead to, what it lacks, and
whether it is left alone for now.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from bitarray import bitarray

from anabranch.metainfo import Info
from anabranch.model import InputRefused, RateMeter, no_pieces
from anabranch.net import Url, parse_url

PENANCE = 60.0  # seconds for which who answered wrongly, or gave wrong bytes, is not asked anew
_SCHEMES = ("http", "https")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_TEXT = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Kind(StrEnum):
    """What the URL of a web seed means."""

    URL_LIST = "url-list"
    """BEP 19: a folder in which the torrent lies, or its only file."""
    HTTP_SEEDS = "httpseeds"
    """BEP 17: a script that is asked for pieces."""


@dataclass(frozen=True, slots=True)
class Source:
    """A web seed as somebody named it.

    Args:
        url: Whitespace and line ends around it are no part of it: torrents and magnet links in the wild have them.
        kind: What the URL means.
        trusted: The user typed it; it did not come out of a torrent or link.
        headers: What is said to it in each request besides our own words.

    Raises:
        InputRefused: a header that HTTP cannot say.
    """

    url: str = field(repr=False)
    kind: Kind = Kind.URL_LIST
    trusted: bool = False
    headers: tuple[tuple[str, str], ...] = field(repr=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.strip())
        for name, text in self.headers:
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_TEXT.fullmatch(text):
                raise InputRefused(f"the header {name[:40]!r} has characters that a header cannot have")


class WebSeed:
    """One web seed of one torrent. Belongs to whoever holds the turn; equal to itself alone.

    Args:
        source: Where it came from.
        base: Its URL taken apart; None where it is unusable.
        unusable: Why it can never be asked, in words; empty where it can.

    Attributes:
        host: The server by which requests are counted: without its port. The whole text, where that is no URL.
        lacks: Pieces that it does not have; None while it has all.
        penance_until: Until when it is left alone because it did wrong.
        pause_until: Until when it is left alone because it asked for that.
        last_error: What went wrong last, in words without a secret; empty while nothing did.
        down: What it gave, in bytes, and the rate.
        downloaded: Bytes that were of use.
        wasted: Bytes that were not.
        closed: It was taken away, or its torrent was.
        failures: How often something went wrong since content of use came last.
        pace: Bytes a second of the request that ended last; infinity before one did.
    """

    __slots__ = (
        "base",
        "closed",
        "down",
        "downloaded",
        "failures",
        "host",
        "lacks",
        "last_error",
        "pace",
        "pause_until",
        "penance_until",
        "source",
        "unusable",
        "wasted",
    )

    def __init__(self, source: Source, base: Url | None, unusable: str = "") -> None:
        self.source = source
        self.base = base
        self.unusable = unusable
        self.host = source.url if base is None else base.host
        self.lacks: bitarray | None = None
        self.penance_until = 0.0
        self.pause_until = 0.0
        self.last_error = unusable
        self.down = RateMeter()
        self.downloaded = 0
        self.wasted = 0
        self.closed = False
        self.failures = 0
        self.pace = inf

    def __str__(self) -> str:
        """Scheme, host and port: fit for logs and errors."""
        return "an unusable web seed" if self.base is None else str(self.base)

    @property
    def proven(self) -> bool:
        """Whether what was heard of it last is content of use."""
        return self.downloaded > 0 and not self.failures

    def suspended(self, now: float) -> bool:
        """Whether it is asked for nothing new at present. What runs may end."""
        return now < self.penance_until or now < self.pause_until

    def convict(self, now: float, reason: str) -> bool:
        """It did wrong: leave it alone for a minute.

        Answers whether that begins now. A penance that runs is not made longer: several requests may run, and fail by
        one and the same mistake.
        """
        self.fail(reason)
        if now < self.penance_until:
            return False
        self.penance_until = now + PENANCE
        return True

    def pause(self, until: float) -> None:
        """It asked to be left alone that long. Of several such wishes the longest counts."""
        self.pause_until = max(self.pause_until, until)

    def fail(self, reason: str) -> None:
        """Note what went wrong, in words without a secret."""
        self.failures += 1
        self.last_error = reason

    def may_give(self, piece: int) -> bool:
        """Whether the piece may be asked of it, now or after a suspension."""
        return not (self.closed or self.unusable or (self.lacks is not None and self.lacks[piece]))

    def lose(self, info: Info, file: int) -> None:
        """It does not have this file: the pieces with bytes of it are asked of others. All other pieces it keeps."""
        entry = info.files[file]
        pieces = info.geometry.pieces_of(entry.offset, entry.length)
        if self.lacks is None:
            self.lacks = no_pieces(info.geometry.piece_count)
        self.lacks[pieces.start : pieces.stop] = True


def web_seed(source: Source, info: Info) -> WebSeed:
    """A web seed of this torrent, whose files must be known. It may turn out to be an unusable one."""
    try:
        base = parse_url(source.url, _SCHEMES)
    except InputRefused as bad:
        return WebSeed(source, None, str(bad))
    if source.kind is Kind.URL_LIST and info.multi and not base.target.endswith("/"):
        return WebSeed(source, base, "the torrent is a folder, and the URL does not end in '/' as a folder's does")
    return WebSeed(source, base)
