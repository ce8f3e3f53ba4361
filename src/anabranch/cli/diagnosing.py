"""`anabranch trackers`: ask all trackers of a torrent at once, and tell what is wrong with each, once or repeatedly.

visiting.py asks, findings.py says what that means, pictures.py shows it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import click

from anabranch.metainfo import Magnet, Metainfo, load, names_no_file
from anabranch.model import InputRefused
from anabranch.net import RANDOM_BYTES, Url, ample_descriptors, identity_named, parse_url
from anabranch.tracker import SCHEMES, AnnounceRequest, Event, TrackerClient

from .asking import LEFT_UNKNOWN
from .findings import NONE_WORKS, Report, Subject
from .options import is_magnet
from .pictures import Pictures, choose
from .visiting import AT_ONCE, Visits

_MOST = 500  # trackers; a list of 300,000 would have us ask somebody's server again and again
_NUMWANT = 10  # peers that a tracker is asked for: enough to see that it has any


@dataclass(frozen=True)
class Diagnosing:
    """What was asked of trackers. *every* in seconds; *identity* is a name."""

    torrent: str
    tracker: tuple[str, ...]
    scrape: bool
    watch: bool
    every: int
    port: int
    bind: tuple[str, ...]
    identity: str
    json: bool
    http_proxy: str | None = field(repr=False)
    ca_file: str | None
    allow_local_urls: bool


def diagnose(asked: Diagnosing) -> int:
    """Ask and tell. Answers the exit code; raises InputRefused, and click's error where nobody is named to be asked."""
    known = _known(asked)
    info = known.info if isinstance(known, Metainfo) else None
    info_hash = known.info_hash if isinstance(known, Magnet) else known.info.info_hash
    name = info.name if info else known.name if isinstance(known, Magnet) else ""
    subjects = subjects_of(known, asked.tracker)
    if not subjects:
        raise _nobody(asked, known, name or str(info_hash))
    if len(subjects) > AT_ONCE:
        ample_descriptors()
    request = AnnounceRequest(
        info_hash=info_hash,
        peer_id=identity_named(asked.identity).peer_id(os.urandom(RANDOM_BYTES)),
        port=asked.port,
        left=info.geometry.content if info else LEFT_UNKNOWN,
        event=Event.STARTED,
        numwant=_NUMWANT,
        key=int.from_bytes(os.urandom(4), "big"),
    )
    pictures = choose(as_json=asked.json, watch=asked.watch)
    try:
        asyncio.run(_go_round(asked, Report(name, info_hash), request, subjects, pictures))
    except KeyboardInterrupt:
        if not asked.watch or pictures.shown is None:
            raise
    finally:
        pictures.close()
    return NONE_WORKS if pictures.shown is None else pictures.shown.code


async def _go_round(
    asked: Diagnosing, report: Report, request: AnnounceRequest, subjects: Sequence[Subject], pictures: Pictures
) -> None:
    """One round, or, with `--watch`, round after round until cancelled."""
    clock = asyncio.get_running_loop().time
    client = _client(asked)
    try:
        visits = Visits(client, request, subjects, only_scrape=asked.scrape, progress=pictures.ask)
        while True:
            next_round = clock() + asked.every
            pictures.show(replace(report, findings=await visits.round()))
            if not asked.watch:
                return
            while (left := next_round - clock()) > 0:
                pictures.wait(left)
                await asyncio.sleep(min(left, 1.0))
    finally:
        await client.close()


def _client(asked: Diagnosing) -> TrackerClient:
    tls = None
    if asked.ca_file is not None:
        from anabranch.engine import tls_context  # brings the engine along, which others are faster without

        tls = tls_context(asked.ca_file)
    return TrackerClient(
        identity_named(asked.identity).user_agent,
        bind=asked.bind,
        proxy=None if asked.http_proxy is None else parse_url(asked.http_proxy, ("http",)),
        tls=tls,
        mitigate=not asked.allow_local_urls,
    )


def _known(asked: Diagnosing) -> Metainfo | Magnet:
    text = asked.torrent
    if is_magnet(text):
        return Magnet.parse(text)
    if not names_no_file(text) or os.path.exists(text):
        return load(text)
    from anabranch.api import Config, resolve  # likewise

    config = Config(
        listen_host=asked.bind,
        http_proxy=asked.http_proxy,
        ca_file=asked.ca_file,
        ssrf_mitigation=not asked.allow_local_urls,
        identity=asked.identity,
    )
    return resolve(text, config)


def subjects_of(known: Metainfo | Magnet, more: Sequence[str]) -> list[Subject]:
    """The trackers of a torrent, each once, and behind them those that the user names, each a tier of its own.

    A link's trackers are a tier each, as the engine takes them. One that is switched off ("*" before its URL, as
    uTorrent writes it) is left out, and so are those behind the first 500.
    """
    tiers = known.trackers if isinstance(known, Metainfo) else [(url,) for url in known.trackers]
    urls = {url: tier for tier, listed in enumerate(tiers) for url in listed if not url.startswith("*")}
    for tier, url in enumerate(dict.fromkeys(more), len(tiers)):
        urls.setdefault(url, tier)
    return [Subject(url, tier, _place(url), url in more) for url, tier in list(urls.items())[:_MOST]]


def _place(url: str) -> Url | None:
    with suppress(InputRefused, UnicodeError):
        return parse_url(url, SCHEMES)
    return None


def _nobody(asked: Diagnosing, known: Metainfo | Magnet, name: str) -> Exception:
    """The error of who has nobody to ask."""
    if known.trackers:
        return InputRefused(f"{name}: all of its trackers are switched off")
    if isinstance(known, Magnet) and not is_magnet(asked.torrent):
        return click.UsageError("a bare info hash names no tracker: name one with --tracker URL")
    return InputRefused(f"{name} has no trackers: its peers come from elsewhere; --tracker URL names one to ask")
