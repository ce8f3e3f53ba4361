"""Questions to trackers, with a client for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from anabranch.bencode import encode
from anabranch.model import Address
from anabranch.net import NotResolved
from anabranch.tracker import AnnounceReply, AnnounceRequest, Event, ScrapeReply, TrackerClient, TrackerFault
from loops import Run
from small_servers import http_reply

HASH, OTHER = b"h" * 20, b"o" * 20
REQUEST = AnnounceRequest(HASH, b"-DE211s-dWygz4Kq-25R", port=42111, event=Event.STARTED)
V4, V6 = bytes.fromhex("c0000201 1ae1"), bytes.fromhex("20010db8000000000000000000000001 1ae1")
V4_PEER, V6_PEER = Address("192.0.2.1", 6881), Address("2001:db8::1", 6881)
SECRET = "0123456789abcdefs3cret"

Ask = Callable[..., Awaitable[Any]]
Resolve = Callable[[str, int], Awaitable[list[Address]]]


async def announce(client: TrackerClient, url: str, what: AnnounceRequest, **given: Any) -> AnnounceReply:
    return (await client.announce(url, what, **given)).reply


async def scrape(client: TrackerClient, url: str, what: list[bytes], **given: Any) -> dict[bytes, ScrapeReply]:
    return await client.scrape(url, what, **given)


@asynccontextmanager
async def made(**given: Any) -> AsyncIterator[TrackerClient]:
    """A client for as long as it is needed."""
    client = TrackerClient("Test/1.0", **given)
    try:
        yield client
    finally:
        await client.close()


async def asked(
    ask: Ask,
    url: str,
    what: object,
    *,
    bind: tuple[str, ...] = (),
    resolve: Resolve | None = None,
    trusted: bool = True,
    **given: Any,
) -> Any:
    """One question, with a client of its own."""
    async with made(bind=bind, **({} if resolve is None else {"resolve": resolve})) as client:
        return await ask(client, url, what, trusted=trusted, **given)


def names(*hosts: str) -> Resolve:
    async def resolve(host: str, port: int) -> list[Address]:
        if not hosts:
            raise NotResolved(host, "Name or service not known")
        return [Address(one, port) for one in hosts]

    return resolve


def replying(**reply: object) -> Callable[[str], bytes]:
    return lambda _: http_reply(encode(reply))


def fault_of(run: Run[Any], url: str, ask: Ask = announce, what: object = REQUEST, **given: Any) -> TrackerFault:
    with pytest.raises(TrackerFault) as caught:
        run(asked(ask, url, what, **given))
    return caught.value
