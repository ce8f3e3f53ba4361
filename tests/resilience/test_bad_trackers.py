"""Trackers that misbehave in every way: each is told by its category, in a line, and hinders nobody else."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest

from anabranch.bencode import encode
from anabranch.model import Address
from anabranch.net import NotResolved, parse_url
from anabranch.testing import (
    TRACKER_KINDS,
    BadTrackers,
    HangUp,
    TrackerKind,
    WebRequest,
    WebServer,
    WebSteps,
    redirected,
)
from anabranch.testing.http_tracker_kinds import HTTP_KINDS, status_error
from anabranch.testing.http_tracker_scripts import DIGITS, GOOD, whole
from anabranch.testing.line_tracker_kinds import LINE_KINDS
from anabranch.testing.tracker_talk import Line, LineStep, OverHttp, OverTcp, OverUdp, UdpQuestion, UdpStep
from anabranch.testing.udp_tracker_kinds import UDP_KINDS, right
from anabranch.testing.websocket_tracker_kinds import WEBSOCKET_KINDS, next_message, said, told, welcome
from anabranch.tracker import AnnounceReply, AnnounceRequest, ErrorType, ScrapeReply, TrackerClient, TrackerFault
from ours import until
from small_servers import ProxyServer

BAD = "127.0.64.1"
PASSKEY = "s3cretpasskey0123456789"
REQUEST = AnnounceRequest(b"hash" * 5, b"-XX0000-" + b"p" * 12, 6881)
SHORT = 0.5  # seconds of patience with who keeps us waiting
LONG = 10.0  # with others: this is a small machine
MOST_AT_ONCE = 24
CARRIERS = ("http", "udp", "ws")
GROUPS = {"http": HTTP_KINDS, "line": LINE_KINDS, "udp": UDP_KINDS, "websocket": WEBSOCKET_KINDS}
# Their category is that of who waits for nothing, though it is found out when patience ends.
WAITED_FOR = {ErrorType.TIMEOUT, ErrorType.UDP_CONNECTION_ERROR}


@dataclass(frozen=True)
class Outcome:
    """What came of asking a tracker: numbers, or a fault; and how long it took."""

    reply: AnnounceReply | dict[bytes, ScrapeReply] | None
    fault: TrackerFault | None
    seconds: float


Ask = Callable[[TrackerClient], Awaitable[Outcome]]


class Kept(logging.Handler):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, self.format(record)))


def descriptors() -> int:
    """How many are open in this program; 0 where nobody tells."""
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.exists() else 0


async def no_names(host: str, port: int) -> list[Address]:
    """Addresses are known, and no name is."""
    try:
        return [Address(str(ip_address(host)), port)]
    except ValueError:
        raise NotResolved(host, "no such name") from None


def with_key(url: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}passkey={PASSKEY}"


def announcing(url: str, patience: float = LONG) -> Ask:
    async def ask(client: TrackerClient) -> AnnounceReply:
        return (await client.announce(with_key(url), REQUEST, patience=patience)).reply

    return partial(_outcome, ask)


def scraping(url: str, *info_hashes: bytes) -> Ask:
    async def ask(client: TrackerClient) -> dict[bytes, ScrapeReply]:
        return await client.scrape(with_key(url), info_hashes or [REQUEST.info_hash], patience=LONG)

    return partial(_outcome, ask)


async def _outcome(
    ask: Callable[[TrackerClient], Awaitable[AnnounceReply | dict[bytes, ScrapeReply]]], client: TrackerClient
) -> Outcome:
    begun = monotonic()
    try:
        return Outcome(await ask(client), None, monotonic() - begun)
    except TrackerFault as fault:
        return Outcome(None, fault, monotonic() - begun)


def outcomes_of(asks: Sequence[Ask], *, at_once: int = MOST_AT_ONCE, **settings: Any) -> list[Outcome]:
    """What comes of all, in their order: asked by one client, on a loop of its own, which it leaves without a task."""

    async def main() -> list[Outcome]:
        client, room = TrackerClient("tests/1", **settings), asyncio.Semaphore(at_once)

        async def one(ask: Ask) -> Outcome:
            async with room:
                return await ask(client)

        try:
            return list(await asyncio.gather(*map(one, asks)))
        finally:
            await client.close()
            await asyncio.sleep(0.05)  # callbacks of what was closed
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(main())


def patience_with(kind: str) -> float:
    waits = TRACKER_KINDS[kind].error_type in WAITED_FOR or kind.startswith("udp-")
    return SHORT if waits and not TRACKER_KINDS[kind].works else LONG


def error_of(outcome: Outcome) -> ErrorType | None:
    return outcome.fault.error_type if outcome.fault is not None else None


def trusting(bad: BadTrackers) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(bad.authority))


@pytest.fixture(scope="module")
def bad() -> Iterator[BadTrackers]:
    with BadTrackers(BAD) as bad:
        yield bad


@pytest.fixture(autouse=True)
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a tracker does, no mistake of ours comes to light, nor any secret."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert PASSKEY not in caplog.text


@pytest.fixture(scope="module")
def outcomes(bad: BadTrackers) -> dict[str, Outcome]:
    """Every kind asked once by one client, most of them at the same time."""
    urls = {kind: bad.url(kind) for kind in TRACKER_KINDS}
    kept = Kept()
    logging.getLogger().addHandler(kept)
    before = descriptors()
    try:
        asks = [announcing(urls[kind], patience_with(kind)) for kind in TRACKER_KINDS]
        found = outcomes_of(asks, tls=trusting(bad), resolve=no_names)
    finally:
        logging.getLogger().removeHandler(kept)
    until(lambda: descriptors() <= before, 5, "descriptors")
    assert [line for level, line in kept.lines if level >= logging.ERROR] == []
    assert not [line for _, line in kept.lines if PASSKEY in line or "Traceback" in line]
    return dict(zip(TRACKER_KINDS, found, strict=True))


@pytest.mark.parametrize("group", GROUPS)
def test_each_kind_is_told_by_its_category(outcomes: dict[str, Outcome], group: str) -> None:
    """W35: by structure, never by digits or words that happen to stand in a page."""
    found = {kind: error_of(outcomes[kind]) for kind in GROUPS[group]}
    assert found == {kind: due.error_type for kind, due in GROUPS[group].items()}


@pytest.mark.parametrize("group", GROUPS)
def test_each_fault_has_words_for_people(outcomes: dict[str, Outcome], group: str) -> None:
    """One printable line that says what was wrong and where, and no passkey; and what can be done about it."""
    for kind, due in GROUPS[group].items():
        fault = outcomes[kind].fault
        if fault is None:
            continue
        words = str(fault)
        assert due.words in words.lower(), (kind, words)
        assert words.isprintable(), (kind, words)
        assert 10 < len(words) < 500, (kind, words)
        assert PASSKEY not in (words + fault.remedy + fault.reason + repr(fault)).lower(), kind
        assert fault.remedy.isprintable(), kind
        assert fault.remedy.endswith("."), (kind, fault.remedy)


@pytest.mark.parametrize("group", GROUPS)
def test_nobody_is_waited_for_longer_than_patience(outcomes: dict[str, Outcome], group: str) -> None:
    """A minute more than that would be a hang, on however slow a machine."""
    hung = {kind: outcomes[kind].seconds for kind in GROUPS[group] if outcomes[kind].seconds > patience_with(kind) + 60}
    assert hung == {}


def test_what_is_right_in_a_reply_is_taken(outcomes: dict[str, Outcome]) -> None:
    """However wrong the rest is: nobody can be dialed whom we were not told of, and no number is nonsense."""
    for kind, outcome in outcomes.items():
        reply = outcome.reply
        if reply is None:
            continue
        assert isinstance(reply, AnnounceReply)
        assert 0 < reply.interval <= 7 * 24 * 3600, kind
        assert reply.min_interval is None or 0 < reply.min_interval <= 7 * 24 * 3600, kind
        assert all(count is None or 0 <= count < 2**60 for count in (reply.seeders, reply.leechers)), kind
        assert len(reply.peers) <= 4096, kind
        assert all(0 < peer.port < 65536 and ip_address(peer.host) for peer in reply.peers), kind
        assert reply.warning.isprintable(), kind
        assert PASSKEY not in reply.warning, kind
        assert len(reply.tracker_id) <= 1024, kind
    fine = outcomes["honest"].reply
    for kind in ("gzip", "sized-parts", "early-words", "trailing", "gzip-claimed", "redirects-right", "tls-honest"):
        assert outcomes[kind].reply == fine, kind


STATUSES = [status for status in range(201, 600) if status not in (204, 205, 304)]  # those have no body
BODIES = {
    "": b"",
    "page": DIGITS,
    "precise": encode({"failure reason": "Torrent not registered with this tracker"}),
    "vague": encode({"failure reason": "Come back another day (404, 503, 403)"}),
    "good": encode(GOOD),
}


def on_status(request: WebRequest) -> WebSteps:
    """The status and the body that its path names: "announce/status/404/page"."""
    status, _, body = request.path.partition("status/")[2].partition("/")
    yield whole(BODIES[body], status=int(status))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("", status_error),
        ("page", status_error),
        ("vague", status_error),
        ("good", status_error),
        ("precise", lambda status: ErrorType.TORRENT_NOT_REGISTERED),
    ],
)
def test_every_status_has_its_category(body: str, expected: Callable[[int], ErrorType]) -> None:
    """W35: whatever digits are in the body; a failure reason in it counts where its words say enough."""
    statuses = STATUSES if body == "page" else [*STATUSES[:: len(BODIES)], 401, 403, 404, 407, 410, 503]
    with WebServer({}, lambda request: on_status, host=BAD) as server:
        found = outcomes_of([announcing(f"{server.url}/announce/status/{status}/{body}") for status in statuses])
    told = dict(zip(statuses, found, strict=True))
    assert {status: error_of(one) for status, one in told.items()} == {status: expected(status) for status in told}
    assert all(one.fault is not None and one.fault.status == status for status, one in told.items())


def test_scrapes_fail_by_the_same_categories(bad: BadTrackers) -> None:
    """Where the tracker does the same to both."""
    kinds = [kind for kind, due in TRACKER_KINDS.items() if due.error_type is not None and patience_with(kind) == LONG]
    found = outcomes_of([scraping(bad.url(kind)) for kind in kinds], tls=trusting(bad), resolve=no_names)
    assert dict(zip(kinds, map(error_of, found), strict=True)) == {
        kind: TRACKER_KINDS[kind].error_type for kind in kinds
    }


def test_honest_ones_of_every_carrier_are_scraped(bad: BadTrackers) -> None:
    """HTTP, UDP and WebSocket."""
    carriers = ("honest", "udp-honest", "ws-honest")
    found = outcomes_of([scraping(bad.url(kind), REQUEST.info_hash, b"x" * 20) for kind in carriers])
    numbers = ScrapeReply(3, 5, 4)
    assert [one.reply for one in found] == [{REQUEST.info_hash: numbers, b"x" * 20: numbers}] * 3


@pytest.mark.parametrize("to", ["http://127.0.64.1:1/announce", "http://10.1.2.3/announce", "http://[::1]/announce"])
def test_a_tracker_outside_sends_nobody_into_a_private_network(to: str) -> None:
    """Not even under /announce, which might be asked there otherwise: seen through a proxy, every name is outside."""
    with (
        WebServer({}, lambda request: redirected(to), host=BAD) as server,
        ProxyServer({"tracker.example": BAD}, host=BAD) as proxy,
    ):
        asks = [announcing(f"http://tracker.example:{server.port}/announce")]
        [found] = outcomes_of(asks, proxy=parse_url(proxy.url, ("http",)))
    assert found.fault is not None
    assert found.fault.error_type is ErrorType.NETWORK_ERROR
    assert "server outside" in str(found.fault)


def test_a_redirect_to_bad_tls_is_bad_tls(bad: BadTrackers) -> None:
    """Where it ends is what counts."""
    with WebServer({}, lambda request: redirected(bad.url("tls-expired")), host=BAD) as server:
        [found] = outcomes_of([announcing(f"{server.url}/announce")], tls=trusting(bad))
    assert found.fault is not None
    assert found.fault.error_type is ErrorType.NETWORK_ERROR
    assert "expired" in str(found.fault)


def test_a_family_that_we_are_not_bound_to_is_told() -> None:
    """No name was wrong, and nothing was asked."""
    for found in outcomes_of([announcing(f"{scheme}://[::1]:9/announce") for scheme in CARRIERS], bind=(BAD,)):
        assert error_of(found) is ErrorType.NETWORK_ERROR
        assert "bound" in str(found.fault)


@pytest.mark.parametrize("kind", ["silent", "deaf", "udp-silent", "ws-silent", "tls-silent", "drips", "full"])
def test_who_closes_or_gives_up_waits_for_nobody(bad: BadTrackers, kind: str) -> None:
    """A question that is open then is told so, and one that is cancelled leaves nothing behind."""
    url, before = bad.url(kind), descriptors()

    async def main() -> ErrorType | None:
        client = TrackerClient("tests/1")
        given_up = asyncio.create_task(client.announce(url, REQUEST))
        open_one = asyncio.ensure_future(announcing(url)(client))
        await asyncio.sleep(0.1)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        async with asyncio.timeout(5):
            await client.close()
            told = error_of(await open_one)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return told

    assert asyncio.run(main()) is ErrorType.CLIENT_CLOSED
    until(lambda: descriptors() <= before, 5, "descriptors")


def test_an_answer_that_nobody_asked_for_is_nobodys() -> None:
    """A second one behind the first could be taken for that of the next request, to another torrent."""
    forged = whole(encode({**GOOD, b"complete": 666}))

    def doubled(request: WebRequest) -> WebSteps:
        yield whole(encode(GOOD)) + forged

    with WebServer({}, lambda request: doubled, host=BAD) as server:
        found = outcomes_of([announcing(f"{server.url}/announce")] * 20, at_once=1)
    assert {one.reply.seeders for one in found if isinstance(one.reply, AnnounceReply)} == {3}


def test_a_name_that_has_only_addresses_which_we_cannot_use_is_told() -> None:
    """IPv6 alone, where we are bound to IPv4: that is no fault of the name's."""

    async def only_v6(host: str, port: int) -> list[Address]:
        return [Address("2001:db8::1", port)]

    asks = [announcing(f"{scheme}://tracker.example:80/announce") for scheme in CARRIERS]
    for found in outcomes_of(asks, bind=(BAD,), resolve=only_v6):
        assert error_of(found) is ErrorType.NETWORK_ERROR
        assert "bound" in str(found.fault)


def spoiled(reply: bytes, draw: Random) -> bytes:
    """A reply with something else here and there, cut or doubled."""
    changed = bytearray(reply)
    for _ in range(draw.randrange(1, 6)):
        place = draw.randrange(len(changed) + 1)
        match draw.randrange(5):
            case 0:
                changed[place : place + 1] = draw.randbytes(1)
            case 1:
                del changed[place : place + draw.randrange(1, 20)]
            case 2:
                changed[place:place] = draw.choice((b"\r\n", b"\n", b"0", b":", b"e", b"i-1e", b"d", b"\0", b"99999"))
            case 3:
                changed[place:place] = changed[: draw.randrange(30)]
            case _:
                changed[place:] = b"" if draw.random() < 0.3 else changed[place:]
    return bytes(changed)


def spoiled_http(request: WebRequest) -> WebSteps:
    draw = request.draw
    if draw.random() < 0.1:
        yield draw.randbytes(draw.randrange(200))
    else:
        yield whole(spoiled(encode(GOOD), draw)) if draw.random() < 0.5 else spoiled(whole(encode(GOOD)), draw)
    yield HangUp()


def spoiled_udp(question: UdpQuestion) -> Iterator[UdpStep]:
    reply, draw = right(question), question.draw
    yield reply if question.action == 0 else reply[:8] + spoiled(reply[8:], draw) if draw.random() < 0.7 else b"\0" * 9


def spoiled_websocket(line: Line) -> Generator[LineStep, None, None]:
    yield from welcome(line)
    while (message := (yield from next_message(line))) is not None:
        yield spoiled(said(told(message)), line.draw)


SPOILED = {
    "http": TrackerKind("spoiled replies", OverHttp(spoiled_http)),
    "udp": TrackerKind("spoiled replies", OverUdp(spoiled_udp)),
    "websocket": TrackerKind("spoiled replies", OverTcp(spoiled_websocket, "ws")),
}


@pytest.mark.parametrize(("carrier", "times"), [("http", 400), ("udp", 200), ("websocket", 200)])
def test_spoiled_replies_are_read_or_blamed(carrier: str, times: int) -> None:
    """Over real connections: numbers or a fault with words, and nothing else ever."""
    with BadTrackers(BAD, kinds=SPOILED) as bad:
        url = bad.url(carrier)
        found = outcomes_of([announcing(f"{url}?n={number}", SHORT) for number in range(times)])
    assert {type(one.reply) for one in found} == {AnnounceReply, type(None)}
    for one in found:
        if one.fault is not None:
            assert one.fault.error_type is not ErrorType.UNKNOWN_ERROR
            assert str(one.fault).isprintable()
