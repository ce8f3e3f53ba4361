"""Web seeds and keys for tests of the book and the planner: no torrent's info is needed for them."""

from __future__ import annotations

from anabranch.model import InfoHash
from anabranch.net import parse_url
from anabranch.webseed.requests import Key, Request, Requests
from anabranch.webseed.seeds import Source, WebSeed

MIB = 1024 * 1024


def torrent(number: int = 0) -> InfoHash:
    return InfoHash(number.to_bytes(20, "big"))


def seed(url: str = "http://one.example/") -> WebSeed:
    return WebSeed(Source(url), parse_url(url, ("http", "https")))


def key(who: WebSeed, slice_: int, of: int = 0) -> Key:
    return Key(who.source.url, torrent(of), slice_)


def reserved(book: Requests, who: WebSeed, slice_: int, *, priority: int = 1, of: int = 0) -> Request:
    """A request that must be accepted, for all of a slice of 64 MiB."""
    request = book.reserve(who, key(who, slice_, of), slice_ * 64 * MIB, (slice_ + 1) * 64 * MIB, priority)
    assert request is not None
    return request


def taken(book: Requests, who: WebSeed) -> Request:
    """The next to start, which there must be."""
    request = book.take(who)
    assert request is not None
    return request
