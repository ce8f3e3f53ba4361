"""`anabranch tracker`: a tracker of one's own, until interrupted."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from anabranch.metainfo import Magnet, load
from anabranch.model import InfoHash
from anabranch.net import ample_descriptors, new_loop
from anabranch.tracking import Announce, Counted, Listeners, Rules

from . import logs, words
from .asking import known_by
from .interrupt import INTERRUPTED, Interrupt

_LOOK_EVERY = 0.1  # seconds
_DRAW_EVERY = 1.0  # seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Serving:
    """What was asked of tracker."""

    bind: tuple[str, ...]
    port: int
    interval: int
    no_http: bool
    no_udp: bool
    only: tuple[str, ...]
    json: bool
    quiet: bool


def serve(serving: Serving) -> int:
    """Serve until a signal comes. Answers INTERRUPTED.

    Raises:
        InputRefused: an address is none of ours, or the port is taken.
        MetainfoError: a file of --only cannot be read, or is no torrent.
        click.BadParameter: what --only names is no torrent at all.
    """
    rules = Rules(serving.interval, only_these(serving.only))
    ample_descriptors()
    with Interrupt() as interrupt, asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve(serving, rules, interrupt))
    return INTERRUPTED


def only_these(names: Sequence[str]) -> frozenset[bytes] | None:
    """The info hashes of what --only names, of hybrid torrents both; None for all there are. Raises as serve()."""
    hashes: list[InfoHash] = []
    for name in names:
        if name.lower().startswith("magnet:"):
            hashes += Magnet.parse(name).swarm_hashes
        elif os.path.exists(name) or name.endswith(".torrent"):
            hashes += load(name).info.swarm_hashes
        else:
            hashes.append(known_by(name)[0])
    return frozenset(map(bytes, hashes)) if names else None


def announce_facts(announce: Announce, counted: Counted, refusal: str) -> dict[str, object]:
    """An announce as values for JSON. Lengths in bytes, null for what the peer does not know."""
    return {
        "event": "announce",
        "torrent": announce.info_hash.hex(),
        "what": announce.event.name.lower(),
        "peer": str(announce.asker._replace(host=announce.host, port=announce.port)),
        "client": _client(announce.peer_id),
        "carrier": announce.carrier,
        "left": announce.left,
        "seeders": counted.seeders,
        "leechers": counted.leechers,
        "completed": counted.completed,
        "refused": refusal,
    }


class _Desk:
    """What is shown: lines as they come, and a line of numbers on a terminal."""

    def __init__(self, serving: Serving, listeners: Listeners) -> None:
        self._serving = serving
        self._listeners = listeners
        self._is_live = sys.stderr.isatty() and not (serving.json or serving.quiet)
        self._lines: list[str] = []  # for stdout; printed where a broken pipe is noticed

    def heard(self, announce: Announce, counted: Counted, refusal: str) -> None:
        """Somebody announced."""
        if self._serving.json:
            self._lines.append(json.dumps(announce_facts(announce, counted, refusal)))
        if log.isEnabledFor(logging.INFO):
            facts = announce_facts(announce, counted, refusal)
            told = "refused torrent=%s peer=%s client=%s reason=%s"
            if refusal:
                log.info(told, facts["torrent"], facts["peer"], facts["client"], refusal)
                return
            told = "announced torrent=%s peer=%s client=%s event=%s carrier=%s seeders=%d leechers=%d"
            names = ("torrent", "peer", "client", "what", "carrier", "seeders", "leechers")
            log.info(told, *(facts[name] for name in names))

    def open(self) -> None:
        """Say where it listens."""
        urls = self._listeners.urls
        if self._serving.json:
            self._lines.append(json.dumps({"event": "listening", "urls": urls, "interval": self._serving.interval}))
        elif not self._serving.quiet:
            every = words.span(self._serving.interval)
            self._lines += [
                "Announce to",
                *(f"  {url}" for url in urls),
                f"Peers are to announce every {every}. Ctrl-C ends it.",
            ]
        self.flush()

    def flush(self) -> None:
        """Print what there is to say. Raises BrokenPipeError."""
        if self._lines:
            lines, self._lines = self._lines, []
            print("\n".join(lines), flush=True)

    def draw(self) -> None:
        """Show the numbers as they are."""
        if self._is_live:
            print(f"\r{_numbers(self._listeners)}\x1b[K", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Say the numbers once more."""
        self._clear()
        if self._serving.json:
            self._lines.append(json.dumps({"event": "stats", **self._listeners.tracker.stats()}))
        elif not self._serving.quiet:
            self._lines.append(_numbers(self._listeners))
        self.flush()

    @contextmanager
    def logging(self) -> Iterator[None]:
        """While it lasts, lines of the log do not tear the line of numbers."""
        if self._is_live:
            logs.through(self._log)
        try:
            yield
        finally:
            logs.through(None)

    def _log(self, line: str) -> None:
        self._clear()
        print(line, file=sys.stderr)
        self.draw()

    def _clear(self) -> None:
        if self._is_live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


async def _serve(serving: Serving, rules: Rules, interrupt: Interrupt) -> None:
    listeners = Listeners(
        rules,
        bind=serving.bind,
        port=serving.port,
        http=not serving.no_http,
        udp=not serving.no_udp,
        heard=lambda *told: desk.heard(*told),
    )
    desk = _Desk(serving, listeners)
    clock = asyncio.get_running_loop().time
    async with listeners:
        desk.open()
        drawn = 0.0
        with desk.logging():
            while not interrupt.seen:
                if clock() >= drawn + _DRAW_EVERY:
                    drawn = clock()
                    desk.draw()
                desk.flush()
                await asyncio.sleep(_LOOK_EVERY)
        desk.close()


def _numbers(listeners: Listeners) -> str:
    told: dict[str, int] = listeners.tracker.stats()
    announces = told["announces_http"] + told["announces_udp"]
    return ", ".join(
        (
            words.counted(told["torrents"], "torrent"),
            words.counted(told["seeders"], "seeder"),
            words.counted(told["leechers"], "leecher"),
            words.counted(announces, "announce"),
            words.counted(told["scrapes"], "scrape"),
            f"{told['refused'] + told['bad']} refused",
        )
    )


def _client(peer_id: bytes) -> str:
    """What a peer id begins with, by which clients are known."""
    return "".join(chr(byte) if 0x20 < byte < 0x7F else "." for byte in peer_id[:8])
