"""A tracker's host with IPv4 and IPv6 is one tracker with two endpoints: one answer, and what came of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from anabranch.bencode import encode
from anabranch.model import Address
from anabranch.tracker import Announced, ErrorType, FaultKind, TrackerFault
from anabranch.tracker.asked import telling
from loops import PATIENCE, Run
from small_servers import HttpServer, UdpServer, http_reply
from tracker.asking import REQUEST, V4, V4_PEER, V6, V6_PEER, announce, asked, fault_of, made, names, replying


def on_both(
    answer4: Callable[[str], bytes | None], answer6: Callable[[str], bytes | None]
) -> tuple[HttpServer, HttpServer]:
    """Servers at one port of both families."""
    for _ in range(50):
        first = HttpServer(answer4)
        try:
            return first, HttpServer(answer6, "::1", port=first.port)
        except OSError:
            first.close()
    raise AssertionError("no port is free in both families")


def test_both_families_are_asked_and_their_answers_are_one(run: Run[Any]) -> None:
    """BEP 7: a tracker knows our IPv6 address only from who asks by it."""
    four, six = on_both(
        replying(interval=900, peers=V4, complete=1, **{"warning message": "be nice"}),
        replying(interval=1800, peers6=V6 + V6, complete=5, incomplete=7),
    )
    with four, six:
        both = names("::1", "127.0.0.1")
        reply = run(asked(announce, f"http://a.example:{four.port}/announce", REQUEST, resolve=both))
        assert (reply.interval, reply.seeders, reply.leechers, reply.warning) == (1800, 5, 7, "be nice")
        assert set(reply.peers) == {V4_PEER, V6_PEER}
        only = run(
            asked(announce, f"http://a.example:{four.port}/announce", REQUEST, resolve=both, bind=("127.0.0.1",))
        )
        assert only.peers == (V4_PEER,)
        assert (len(four.heads), len(six.heads)) == (2, 1)


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (None, FaultKind.CANCELLED),
        (http_reply(b"nonsense"), FaultKind.REPLY),
        (http_reply(b"", status="500 Oops"), FaultKind.STATUS),
    ],
)
def test_one_family_is_enough_and_what_became_of_the_other_is_told(
    run: Run[Any], monkeypatch: pytest.MonkeyPatch, other: bytes | None, kind: FaultKind
) -> None:
    """IPv6 may lead nowhere, or to another server: then IPv4's answer is not waited with for long."""
    monkeypatch.setattr("anabranch.tracker.client_io._GRACE", 0.05)

    async def work(url: str) -> Announced:
        async with made(resolve=names("::1", "127.0.0.1")) as client:
            return await client.announce(url, REQUEST)

    four, six = on_both(replying(peers=V4), lambda _: other)
    with four, six:
        told = run(work(f"http://a.example:{four.port}/announce"))
    assert told.reply.peers == (V4_PEER,)
    good, bad = told.endpoints
    assert (good.family, good.address, good.reply, good.fault) == (
        "ipv4",
        Address("127.0.0.1", four.port),
        told.reply,
        None,
    )
    assert (bad.family, bad.address, bad.reply) == ("ipv6", Address("::1", six.port), None)
    assert bad.fault is not None
    assert bad.fault.kind is kind
    assert kind is not FaultKind.CANCELLED or "its other address family had answered" in str(bad.fault)
    assert all(0 <= one.seconds < PATIENCE for one in told.endpoints)


def test_a_family_that_was_silent_once_is_given_less_time_until_it_answers(
    run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of torrents of one tracker would each wait for it: counted by how long the others were waited for."""
    graces: list[float | None] = []
    wait = asyncio.wait

    async def watched(tasks: Any, *, timeout: float | None = None, **given: Any) -> Any:  # noqa: ASYNC109 # asyncio's own
        graces.append(timeout)
        return await wait(tasks, timeout=timeout and 0.02 + timeout / 100, **given)

    silent = True

    async def work(url: str) -> None:
        nonlocal silent
        async with made(resolve=names("::1", "127.0.0.1")) as client:
            monkeypatch.setattr(asyncio, "wait", watched)
            for expected in (3.0, 0.3, 0.3):
                graces.clear()
                await client.announce(url, REQUEST)
                assert graces[-1] == expected
            silent = False
            monkeypatch.setattr("anabranch.tracker.client_io._LAME_GRACE", 100.0)
            told = await client.announce(url, REQUEST)
            assert all(one.fault is None for one in told.endpoints)
            silent = True
            graces.clear()
            await client.announce(url, REQUEST)
            assert graces[-1] == 3.0
            monkeypatch.setattr("anabranch.tracker.client_io._MOST_LAME", 0)
            for _ in range(2):
                await client.announce(url, REQUEST)
            assert graces[-1] == 3.0, "only so many are remembered"
            monkeypatch.setattr(asyncio, "wait", wait)

    four, six = on_both(replying(peers=V4), lambda _: None if silent else http_reply(encode({"peers6": V6})))
    with four, six:
        run(work(f"http://a.example:{four.port}/announce"))


def test_where_both_families_fail_each_is_told_and_one_speaks(run: Run[Any]) -> None:
    """The one that says more: a refusal tells more than a server that hung up, that more than nobody at all."""
    four, six = on_both(replying(**{"failure reason": "Unregistered torrent"}), lambda _: b"")
    with four, six:
        fault = fault_of(run, f"http://a.example:{four.port}/announce", resolve=names("::1", "127.0.0.1"))
    assert (fault.kind, fault.error_type) == (FaultKind.REFUSED, ErrorType.TORRENT_NOT_REGISTERED)
    assert [(one.family, one.fault and one.fault.kind) for one in fault.endpoints] == [
        ("ipv4", FaultKind.REFUSED),
        ("ipv6", FaultKind.NETWORK),
    ]


def test_the_most_telling_fault_speaks_whatever_its_place() -> None:
    """Every kind has its rank."""
    faults = [TrackerFault(kind, "") for kind in FaultKind]
    for one in faults:
        for other in faults:
            assert telling([one, other]).kind is telling([other, one]).kind
    ranks = [FaultKind.REFUSED, FaultKind.REPLY, FaultKind.STATUS, FaultKind.TLS, FaultKind.TIMEOUT, FaultKind.NETWORK]
    assert [telling([TrackerFault(kind, "") for kind in ranks[at:]]).kind for at in range(len(ranks))] == ranks


def test_a_udp_tracker_with_both_families_has_two_endpoints(run: Run[Any]) -> None:
    """One of them alone still is an answer; where nobody listens is known at once, not after 15 seconds (Linux)."""

    async def work(four: UdpServer, port: int) -> Announced:
        async with made(resolve=names("127.0.0.1", "::1")) as client:
            return await client.announce(f"udp://a.example:{port}/announce", REQUEST)

    with UdpServer() as four:
        told = run(work(four, four.port))
    good, bad = told.endpoints
    assert (good.family, good.reply, good.fault) == ("ipv4", told.reply, None)
    assert bad.family == "ipv6"
    assert bad.fault is not None
    assert (bad.fault.kind, "refused" in str(bad.fault)) == (FaultKind.NETWORK, True)


def test_of_a_udp_trackers_addresses_the_next_is_asked_where_nobody_listens(run: Run[Any]) -> None:
    """And one that was silent is asked last from then on."""

    async def work(port: int) -> list[Address | None]:
        async with made(resolve=names("127.0.0.9", "127.0.0.1", "127.0.0.7")) as client:
            told = [await client.announce(f"udp://a.example:{port}", REQUEST)]
        with UdpServer("127.0.0.9", port=port, deaf=99):
            async with made(resolve=names("127.0.0.9", "127.0.0.1")) as client:
                with pytest.raises(TrackerFault):
                    await client.announce(f"udp://a.example:{port}", REQUEST, patience=0.05)
                told.append(await client.announce(f"udp://a.example:{port}", REQUEST))
        return [one.endpoints[0].address for one in told]

    with UdpServer() as tracker:
        assert run(work(tracker.port)) == [Address("127.0.0.1", tracker.port)] * 2


def test_where_all_fail_the_trackers_own_words_are_told(run: Run[Any]) -> None:
    """Rather than that its other family does not answer."""
    with HttpServer(replying(**{"failure reason": "unregistered torrent", "retry in": "15"})) as tracker:
        url = f"http://a.example:{tracker.port}/announce"
        fault = fault_of(run, url, resolve=names("::1", "127.0.0.1"))
    assert (fault.kind, fault.retry_in) == (FaultKind.REFUSED, 900)
    assert str(fault) == f"http://a.example:{tracker.port}: unregistered torrent"
