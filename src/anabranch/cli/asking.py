"""`anabranch announce` and `anabranch scrape`: ask one tracker once, and print what it says."""

from __future__ import annotations

import asyncio
import json
import os
import re
from base64 import b32decode
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import click

from anabranch.metainfo import Magnet, load
from anabranch.model import InfoHash, InfoHashV2, TorrentError
from anabranch.net import RANDOM_BYTES, identity_named
from anabranch.tracker import AnnounceReply, AnnounceRequest, Event, ScrapeReply, TrackerClient, TrackerFault

from . import words
from .main import FAILED

LEFT_UNKNOWN = 16 * 1024  # bytes; what libtorrent 2.1.1 says of a torrent whose length it does not know yet
_T = TypeVar("_T")


class AskingFailed(TorrentError):
    """The tracker did not give what was asked for: why, and in a second line the category, and what to do."""


@dataclass(frozen=True)
class Asking:
    """What was asked of announce."""

    tracker: str
    torrent: str
    port: int
    event: str
    numwant: int
    left: int | None
    bind: tuple[str, ...]
    identity: str
    json: bool


def ask_for_peers(asking: Asking) -> int:
    """Announce and print the reply. Answers the exit code; raises AskingFailed and what the torrent's name deserves."""
    info_hash, length = known_by(asking.torrent)
    request = AnnounceRequest(
        info_hash=info_hash,
        peer_id=identity_named(asking.identity).peer_id(os.urandom(RANDOM_BYTES)),
        port=asking.port,
        left=length if asking.left is None else asking.left,
        event=Event[asking.event.upper()],
        numwant=asking.numwant,
        key=int.from_bytes(os.urandom(4), "big"),
    )

    async def ask(client: TrackerClient) -> AnnounceReply:
        return (await client.announce(asking.tracker, request, trusted=True)).reply

    reply = _run(ask, asking.bind, asking.identity)
    print(json.dumps(announce_facts(reply)) if asking.json else "\n".join(announce_lines(reply)))
    return 0


def ask_for_numbers(tracker: str, torrents: Sequence[str], bind: tuple[str, ...], identity: str, as_json: bool) -> int:
    """Scrape and print the reply. Answers the exit code: FAILED where the tracker knows none of them."""
    info_hashes = [known_by(torrent)[0] for torrent in torrents]

    async def ask(client: TrackerClient) -> dict[bytes, ScrapeReply]:
        return await client.scrape(tracker, info_hashes, trusted=True)

    replies = _run(ask, bind, identity)
    for info_hash in dict.fromkeys(info_hashes):
        numbers = replies.get(info_hash)
        print(json.dumps(scrape_facts(info_hash, numbers)) if as_json else scrape_line(info_hash, numbers))
    return 0 if replies else FAILED


def known_by(torrent: str) -> tuple[InfoHash, int]:
    """What trackers know a torrent by, and how many bytes it has: LEFT_UNKNOWN where that cannot be told.

    Args:
        torrent: 40 or 64 hex digits, 32 letters of base32, a magnet link, or the path of a .torrent file; what could
            be a path and a hash is a path if there is such a file.

    Raises:
        MetainfoError: no such file, or one that is no torrent.
        click.BadParameter: none of all these.
    """
    if torrent.lower().startswith("magnet:"):
        return Magnet.parse(torrent).info_hash, LEFT_UNKNOWN
    if not os.path.exists(torrent):
        if re.fullmatch("[0-9a-fA-F]{40}", torrent):
            return InfoHash.parse(torrent), LEFT_UNKNOWN
        if re.fullmatch("[0-9a-fA-F]{64}", torrent):
            return InfoHashV2.parse(torrent).truncated, LEFT_UNKNOWN
        if re.fullmatch("[a-zA-Z2-7]{32}", torrent):
            return InfoHash(b32decode(torrent.upper())), LEFT_UNKNOWN
        if not torrent.endswith(".torrent"):
            raise click.BadParameter(f"{torrent[:80]!r} is no info hash, no magnet link and no file")
    info = load(torrent).info
    return info.info_hash, info.geometry.content


def announce_facts(reply: AnnounceReply) -> dict[str, object]:
    """Everything as values for JSON; times in seconds."""
    return {
        "interval": reply.interval,
        "min_interval": reply.min_interval,
        "seeders": reply.seeders,
        "leechers": reply.leechers,
        "downloaded": reply.downloaded,
        "peers": [str(address) for address in reply.peers],
        "external_ip": reply.external_ip,
        "warning": reply.warning,
    }


def announce_lines(reply: AnnounceReply) -> Iterator[str]:
    """Everything as lines of text."""
    least = "" if reply.min_interval is None else f", {words.span(reply.min_interval)} at least"
    yield f"Interval    {words.span(reply.interval)}{least}"
    yield f"Seeders     {_count(reply.seeders)}"
    yield f"Leechers    {_count(reply.leechers)}"
    if reply.downloaded is not None:
        yield f"Downloaded  {_count(reply.downloaded)}"
    if reply.external_ip is not None:
        yield f"We are      {reply.external_ip}"
    if reply.warning:
        yield f"Warning     {reply.warning}"
    yield f"Peers       {len(reply.peers)}"
    for address in reply.peers:
        yield f"  {address}"


def scrape_facts(info_hash: InfoHash, numbers: ScrapeReply | None) -> dict[str, object]:
    """One torrent as values for JSON; null for what the tracker did not say."""
    return {
        "info_hash": str(info_hash),
        "seeders": None if numbers is None else numbers.seeders,
        "leechers": None if numbers is None else numbers.leechers,
        "downloaded": None if numbers is None else numbers.completed,
    }


def scrape_line(info_hash: InfoHash, numbers: ScrapeReply | None) -> str:
    """One torrent as a line of text."""
    if numbers is None:
        return f"{info_hash}  not known to the tracker"
    seeders, leechers = _count(numbers.seeders), _count(numbers.leechers)
    return f"{info_hash}  seeders {seeders}, leechers {leechers}, downloaded {_count(numbers.completed)}"


def _count(count: int | None) -> str:
    return "not told" if count is None else str(count)


def _run(ask: Callable[[TrackerClient], Awaitable[_T]], bind: tuple[str, ...], identity: str) -> _T:
    async def work() -> _T:
        client = TrackerClient(identity_named(identity).user_agent, bind=bind)
        try:
            return await ask(client)
        finally:
            await client.close()

    try:
        return asyncio.run(work())
    except TrackerFault as fault:
        raise AskingFailed(f"{fault}\n{fault.error_type}: {fault.remedy}") from fault
