"""Our announces and scrapes, and real trackers: opentracker, npm's, and ours as a program of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from anabranch.model import Address
from anabranch.tracker import AnnounceRequest, ErrorType, Event, FaultKind, Offer, TrackerClient, TrackerFault
from interop.npm_tracker import NpmTracker, node
from interop.opentracker import Opentracker
from interop.our_tracker import OurTracker
from interop.real_program import RealProgram
from interop.real_tracker import RealTracker

pytestmark = pytest.mark.interop

KINDS: dict[str, tuple[type[RealTracker], str]] = {
    "opentracker": (Opentracker, "127.0.12.3"),
    "npm": (NpmTracker, "127.0.12.3"),
    "ours": (OurTracker, "127.0.12.3"),
    "npm over IPv6": (NpmTracker, "::1"),
    "ours over IPv6": (OurTracker, "::1"),
}
ADDRESSED = [(kind, protocol) for kind in KINDS for protocol in ("http", "udp")]
COUNTING = [*ADDRESSED, ("npm", "ws"), ("npm over IPv6", "ws")]
PEERLESS = {("npm over IPv6", "udp")}  # it tells only IPv4 addresses by UDP
HOSTS = ("127.0.12.21", "127.0.12.22")  # we have only one address of IPv6's loopback
_T = TypeVar("_T")


@pytest.fixture(scope="module")
def trackers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RealTracker]]:
    """One of each kind for all the tests here, started when first asked for; each test has a torrent of its own."""
    with ExitStack() as running:
        started: dict[str, RealTracker] = {}

        def tracker(name: str) -> RealTracker:
            if name not in started:
                kind, host = KINDS[name]
                started[name] = running.enter_context(kind(tmp_path_factory.mktemp("tracker") / "root", host))
            return started[name]

        yield tracker


def run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(asyncio.wait_for(work, 30))


def client(tracker: RealTracker, number: int = 1, heard: Callable[[Offer], None] | None = None) -> TrackerClient:
    host = "::1" if ":" in tracker.host else HOSTS[number - 1]
    return TrackerClient("Test/1.0", bind=(host,), heard=heard)


def request(info_hash: bytes, number: int, left: int, event: Event) -> AnnounceRequest:
    return AnnounceRequest(
        info_hash, b"-DE211s-00000000000%d" % number, port=6880 + number, left=left, event=event, key=number
    )


@pytest.mark.parametrize(("kind", "protocol"), COUNTING)
def test_peers_are_counted_and_learn_of_each_other(
    trackers: Callable[[str], RealTracker], kind: str, protocol: str
) -> None:
    """A seeder and a leecher; when one completes and one stops, the numbers follow, in announces and scrapes."""
    tracker = trackers(kind)
    url, info_hash = getattr(tracker, protocol), protocol.encode().ljust(20, b"\xfe")
    tracker.allow(info_hash)

    async def work() -> None:
        seeder, leecher = client(tracker, 1), client(tracker, 2)
        await seeder.announce(url, request(info_hash, 1, 0, Event.STARTED))
        announced = await leecher.announce(url, request(info_hash, 2, 99, Event.STARTED))
        reply, [endpoint] = announced.reply, announced.endpoints
        assert (reply.seeders, reply.leechers) == (1, 1)
        assert reply.interval > 60
        assert (endpoint.family, endpoint.address) == (
            "ipv6" if ":" in tracker.host else "ipv4",
            Address(tracker.host, tracker.port),
        )
        assert endpoint.reply == reply
        if protocol != "ws" and (kind, protocol) not in PEERLESS:  # peers that a WebSocket brings have no addresses
            assert Address("::1" if ":" in tracker.host else HOSTS[0], 6881) in reply.peers
        numbers = (await leecher.scrape(url, [info_hash]))[info_hash]
        assert (numbers.seeders, numbers.leechers) == (1, 1)

        await leecher.announce(url, request(info_hash, 2, 0, Event.COMPLETED))
        await seeder.announce(url, request(info_hash, 1, 0, Event.STOPPED))
        while (numbers := (await leecher.scrape(url, [info_hash]))[info_hash]).seeders == 2 and protocol == "ws":
            pass  # it reads one connection after the other, and answers no goodbye
        assert (numbers.seeders, numbers.completed, numbers.leechers) == (1, 1, 0)
        await leecher.announce(url, request(info_hash, 2, 0, Event.STOPPED))
        await seeder.close()
        await leecher.close()

    run(work())
    assert tracker.swarm(info_hash) == (0, 0)


@pytest.mark.parametrize(("kind", "protocol"), COUNTING)
def test_many_torrents_are_scraped_at_once(trackers: Callable[[str], RealTracker], kind: str, protocol: str) -> None:
    """More than go into one datagram, or into one URL; each gets its own number, and unknown ones none or nothing."""
    tracker = trackers(kind)
    known = f"{protocol} known".encode().ljust(20, b"\xfd")
    tracker.allow(known)
    wanted = [known, *(number.to_bytes(2, "big") * 10 for number in range(1, 200))]

    async def work() -> None:
        asking = client(tracker)
        url = getattr(tracker, protocol)
        await asking.announce(url, request(known, 1, 0, Event.STARTED))
        numbers = await asking.scrape(url, wanted)
        assert numbers.pop(known).seeders == 1
        assert set(numbers) <= set(wanted)
        assert not any(one.seeders or one.leechers for one in numbers.values())
        await asking.close()

    run(work())


def test_a_stop_over_a_websocket_is_heard_by_the_others(trackers: Callable[[str], RealTracker]) -> None:
    """And so is one who hangs up without a word."""
    tracker, info_hash = trackers("npm"), b"websocket".ljust(20, b"\xfd")

    async def work() -> None:
        one, other = client(tracker, 1), client(tracker, 2)
        await one.announce(tracker.ws, request(info_hash, 1, 0, Event.STARTED))
        assert (await other.announce(tracker.ws, request(info_hash, 2, 9, Event.STARTED))).reply.seeders == 1
        await one.close()
        while (await other.announce(tracker.ws, request(info_hash, 2, 9, Event.NONE))).reply.seeders:
            pass  # it reads one connection after the other
        await other.close()

    run(work())


class BrowserPeer(RealProgram):
    """Somebody who has an offer for those who have announced a torrent to a WebSocket tracker before."""

    def __init__(self, place: Path, url: str, info_hash: bytes, sdp: str) -> None:
        super().__init__(place, "127.0.0.1")
        self._words = [url, info_hash.hex(), sdp]

    def _command(self) -> list[str]:
        return [node(), str(Path(__file__).with_name("websocket_peer.mjs")), *self._words]

    def _is_up(self) -> bool:
        return '"interval"' in self._said.read_text(encoding="utf-8")


def test_offers_of_peers_in_browsers_reach_us(trackers: Callable[[str], RealTracker], tmp_path: Path) -> None:
    """With all that an answer takes: the torrent, whose offer it is, its id, and the session."""
    tracker, info_hash, sdp = (
        trackers("npm"),
        b"offers".ljust(20, b"\xfd"),
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=ü\r\n",
    )
    offers: list[Offer] = []

    async def work() -> None:
        came = asyncio.Event()

        def heard(offer: Offer) -> None:
            offers.append(offer)
            came.set()

        us = client(tracker, heard=heard)
        await us.announce(tracker.ws, request(info_hash, 1, 0, Event.STARTED))
        with await asyncio.to_thread(BrowserPeer(tmp_path / "browser", tracker.ws, info_hash, sdp).__enter__):
            await came.wait()
        await us.close()

    run(work())
    [offer] = offers
    assert offer == Offer(tracker.ws, info_hash, b"-WW0208-browserbrows", b"\xe9" * 20, sdp)


@pytest.mark.parametrize(
    ("kind", "protocol", "words", "error_type"),
    [
        ("opentracker", "http", "not authorized", ErrorType.TORRENT_NOT_REGISTERED),
        ("opentracker", "udp", "refused without a reason", ErrorType.TORRENT_NOT_REGISTERED),
        ("npm", "http", "Torrent not registered", ErrorType.TORRENT_NOT_REGISTERED),
        ("npm", "udp", "Torrent not registered", ErrorType.TORRENT_NOT_REGISTERED),
        ("npm", "ws", "Torrent not registered", ErrorType.TORRENT_NOT_REGISTERED),
    ],
)
def test_a_torrent_that_a_tracker_does_not_serve_is_refused(
    trackers: Callable[[str], RealTracker], kind: str, protocol: str, words: str, error_type: ErrorType
) -> None:
    """In its words, where it has any: opentracker speaks of rights and means its list, or by UDP is silent."""
    tracker = trackers(kind)

    async def work() -> None:
        asking = client(tracker)
        with pytest.raises(TrackerFault, match=words) as caught:
            await asking.announce(getattr(tracker, protocol), request(b"\xde\xad" * 10, 1, 0, Event.STARTED))
        assert caught.value.kind in (FaultKind.REFUSED, FaultKind.UNLISTED)
        assert caught.value.error_type is error_type
        await asking.close()

    run(work())


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [
        ("opentracker", ErrorType.TRACKER_NOT_FOUND),
        ("npm", ErrorType.TRACKER_FAILURE),  # it has words for that, with status 200
        ("ours", ErrorType.TRACKER_NOT_FOUND),
    ],
)
def test_a_path_where_no_tracker_is_has_a_category(
    trackers: Callable[[str], RealTracker], kind: str, error_type: ErrorType
) -> None:
    """By what the server there says."""
    tracker = trackers(kind)

    async def work() -> None:
        asking = client(tracker)
        with pytest.raises(TrackerFault) as caught:
            await asking.announce(f"http://{tracker.at}/nowhere", request(b"?" * 20, 1, 0, Event.STARTED), trusted=True)
        assert caught.value.error_type is error_type
        await asking.close()

    run(work())
