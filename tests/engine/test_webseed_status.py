"""What is told of web seeds."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from anabranch.engine.webseed_status import WebSeedStatus, status_of, unasked, webseed_name
from anabranch.model import InfoHash
from anabranch.webseed import Key, Kind, Requests, Source, WebSeed, web_seed
from engine.samples import sample

CONTENT = sample(files=(70_000, 70_000), blocks=4)
SECRET = "https://me:password@host.example:8443/passkey/files/?key=secret"
URL = "https://me:password@host.example:8443/passkey/files/"


def seeded(url: str = URL) -> WebSeed:
    return web_seed(Source(url, trusted=True), CONTENT.metainfo.info)


def told(seed: WebSeed, now: float = 100.0, book: Requests | None = None) -> WebSeedStatus:
    return status_of(seed, [] if book is None else list(book.of(seed)), now)


def test_a_name_for_logs_has_no_secret() -> None:
    """Scheme, host and port; and what is no URL has none."""
    assert webseed_name(SECRET) == "https://host.example:8443"
    assert webseed_name("ftp://host.example/passkey") == webseed_name("\udcff") == "a web seed that has no URL"
    status = told(seeded())
    assert status.url == URL
    assert "password" not in repr(status)
    assert "passkey" not in repr(status)


def test_a_new_one_is_idle_and_nothing_is_wrong_with_it() -> None:
    """Frozen, so that it can be read without a turn."""
    status = told(seeded())
    assert (status.state, status.kind, status.trusted) == ("idle", "url-list", True)
    assert (status.reason, status.last_error, status.penance_left, status.requests, status.at) == (
        "",
        "",
        0.0,
        0,
        100.0,
    )
    with pytest.raises(FrozenInstanceError):
        status.state = "active"  # type: ignore[misc]  # what is under test


def test_requests_are_told_by_how_far_they_are() -> None:
    """It is active while one is begun; what only waits or rests does not make it so."""
    book, seed = Requests(), seeded()
    made = []
    for number in range(4):
        request = book.reserve(seed, Key(URL, InfoHash(bytes(20)), number), number << 14, (number + 1) << 14, 1)
        assert request is not None
        made.append(request)
    assert (told(seed, book=book).state, told(seed, book=book).reserved) == ("idle", 4)
    first, second = book.take(seed), book.take(seed)
    assert first is not None
    assert second is not None
    book.reading(first)
    status = told(seed, book=book)
    assert (status.state, status.reserved, status.starting, status.reading, status.requests) == ("active", 2, 1, 1, 4)
    for request in made:
        book.rest(request, 105.0)
    status = told(seed, book=book)
    assert (status.state, status.resting, status.requests) == ("idle", 4, 0)


def test_who_is_left_alone_is_told_with_the_reason_and_for_how_long() -> None:
    """A penance is not what a server wishes itself; when it is over, what went wrong last is still known."""
    seed = seeded()
    seed.convict(100.0, "sent something else")
    status = told(seed, 110.0)
    assert (status.state, status.reason, status.penance_left) == ("suspended", "sent something else", 50.0)
    seed.pause(300.0)
    assert (told(seed, 110.0).state, told(seed, 110.0).penance_left) == ("paused", 190.0)
    status = told(seed, 300.0)
    assert (status.state, status.reason, status.penance_left) == ("idle", "", 0.0)
    assert status.last_error == "sent something else"


def test_one_of_no_use_says_why() -> None:
    """A file's URL for a folder, or no URL at all."""
    status = told(seeded("http://host.example/file"))
    assert (status.state, status.requests, status.penance_left) == ("unusable", 0, 0.0)
    assert status.reason == status.last_error != ""
    assert told(seeded("gopher://host.example/")).state == "unusable"


def test_what_nothing_can_be_asked_of_yet_is_told_too() -> None:
    """Before files are known, and where the client asks no web seeds."""
    source = Source(" http://host.example/a \n", Kind.HTTP_SEEDS)
    assert (unasked(source, 5.0, off=False).state, unasked(source, 5.0, off=True).state) == ("idle", "off")
    status = unasked(source, 5.0, off=True)
    assert (status.url, status.kind, status.trusted) == ("http://host.example/a", "httpseeds", False)
    assert status.name == "http://host.example"


def test_what_it_gave_is_told_with_its_rate() -> None:
    """In bytes, and bytes per second."""
    seed = seeded()
    seed.down.add(50_000, 100.0)
    seed.downloaded, seed.wasted = 50_000, 7
    status = told(seed, 101.0)
    assert (status.downloaded, status.wasted) == (50_000, 7)
    assert status.rate == 50_000
