"""Our announces and scrapes, and opentracker: by HTTP and by UDP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from anabranch.model import Address
from anabranch.net import HttpClient
from anabranch.tracker import (
    AnnounceReply,
    AnnounceRequest,
    Event,
    FaultKind,
    ScrapeReply,
    TrackerFault,
    UdpTrackers,
    announce,
    scrape,
)
from interop.opentracker import Opentracker

pytestmark = pytest.mark.interop

PROTOCOLS = ("http", "udp")
HOSTS = ("127.0.12.21", "127.0.12.22")
_T = TypeVar("_T")


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opentracker]:
    """One for all the tests here; each has a torrent of its own."""
    with Opentracker(tmp_path_factory.mktemp("tracker") / "root", "127.0.12.3") as tracker:
        yield tracker


def asked(ask: Callable[..., Awaitable[_T]], url: str, what: Any, host: str = HOSTS[0]) -> _T:
    async def work() -> _T:
        http, udp = HttpClient("Test/1.0", bind=(host,)), UdpTrackers((host,))
        try:
            return await ask(url, what, http=http, udp=udp, bind=(host,))
        finally:
            udp.close()
            await http.close()

    return asyncio.run(work())


def request(info_hash: bytes, number: int, left: int, event: Event) -> AnnounceRequest:
    return AnnounceRequest(
        info_hash, b"-DE211s-00000000000%d" % number, port=6880 + number, left=left, event=event, key=number
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_peers_learn_of_each_other(tracker: Opentracker, protocol: str) -> None:
    """A seeder and a leecher at two addresses; when one completes and one stops, the numbers follow."""
    url = getattr(tracker, protocol)
    info_hash = protocol.encode().ljust(20, b"\xfe")
    tracker.allow([info_hash])
    asked(announce, url, request(info_hash, 1, 0, Event.STARTED))
    reply: AnnounceReply = asked(announce, url, request(info_hash, 2, 99, Event.STARTED), HOSTS[1])
    assert (reply.seeders, reply.leechers) == (1, 1)
    assert Address(HOSTS[0], 6881) in reply.peers
    assert reply.interval > 60
    assert asked(scrape, url, [info_hash])[info_hash] == ScrapeReply(1, 0, 1)

    asked(announce, url, request(info_hash, 2, 0, Event.COMPLETED), HOSTS[1])
    asked(announce, url, request(info_hash, 1, 0, Event.STOPPED))
    assert asked(scrape, url, [info_hash])[info_hash] == ScrapeReply(1, 1, 0)


@pytest.mark.parametrize(("protocol", "words"), [("http", "not authorized"), ("udp", "refused without a reason")])
def test_a_torrent_that_is_not_on_its_list_is_refused(tracker: Opentracker, protocol: str, words: str) -> None:
    """In its words, where it has any."""
    with pytest.raises(TrackerFault, match=words) as caught:
        asked(announce, getattr(tracker, protocol), request(b"?" * 20, 1, 0, Event.STARTED))
    assert caught.value.kind is FaultKind.REFUSED
