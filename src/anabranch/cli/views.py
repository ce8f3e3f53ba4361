"""What the user sees of downloading and seeding: lines of text, JSON, or a live table on a terminal.

A happening is told once; a picture of all torrents is drawn again and again. Faults go to stderr in every view.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Protocol

from anabranch.model import InfoHash

from . import words

_PLAIN_EVERY = 5.0  # seconds
_PLAIN_LINES = 10  # torrents of which a line is said each time
_NO_NEWS = ("learning", "opening")  # stages that are mostly over before anybody would want to hear of them


@dataclass(frozen=True, slots=True)
class Row:
    """One torrent in the picture. Lengths in bytes, rates in bytes per second.

    Args:
        torrent: Its info hash.
        name: Its name.
        state: One word or two: "checking", "12s left", "complete", "metadata" while that is waited for.
        stage: The engine's word for its stage; "checking" also while the user's own wish to verify is fulfilled.
        done, total: Of what is wanted; of all there is while nothing is.
        share: How much of it is there, or of the check is through, 0 to 1.
        rate_down, rate_up: Now.
        peers, seeds: Connected, and those of them that have everything.
        left: Seconds until it is complete at this rate, None where nobody can say.
        webseeds: Web seeds that give something now.
        rate_webseeds: What they give, as part of rate_down.
        dht_nodes: Nodes of the DHT that the client knows; None where it is switched off.
    """

    torrent: InfoHash
    name: str
    state: str
    stage: str
    done: int
    total: int
    share: float
    rate_down: float
    rate_up: float
    peers: int
    seeds: int
    left: float | None
    webseeds: int = 0
    rate_webseeds: float = 0.0
    dht_nodes: int | None = None


class View(Protocol):
    """Where a session tells what happens."""

    every: float
    """Seconds from one picture to the next."""

    def tell(self, event: str, torrent: InfoHash, line: str = "", **facts: object) -> None:
        """Something happened; without a *line* only programs want to know."""

    def fault(self, line: str, torrent: InfoHash | None = None) -> None:
        """Something went wrong."""

    def remark(self, line: str) -> None:
        """Something that a person may care for, and no result."""

    def draw(self, rows: list[Row]) -> None:
        """Show how all torrents are."""

    def close(self) -> None:
        """Leave the terminal tidy."""


def choose(*, as_json: bool, quiet: bool) -> View:
    """The view for these options and this terminal."""
    if as_json:
        return JsonView()
    if quiet or not sys.stderr.isatty():
        return PlainView(quiet)
    from .board import Board

    return Board()


def complain(line: str) -> None:
    """Say on stderr what went wrong."""
    print(f"anabranch: {line}", file=sys.stderr, flush=True)


class JsonView:
    """One JSON object per line on stdout, nothing else there; faults also in words on stderr."""

    every = 1.0

    def tell(self, event: str, torrent: InfoHash, line: str = "", **facts: object) -> None:
        """See View."""
        print(json.dumps({"event": event, "torrent": str(torrent), **facts}), flush=True)

    def fault(self, line: str, torrent: InfoHash | None = None) -> None:
        """See View."""
        complain(line)
        if torrent is not None:
            self.tell("error", torrent, message=line)

    def remark(self, line: str) -> None:
        """See View. Programs are told in events."""

    def draw(self, rows: list[Row]) -> None:
        """See View. *cpu* is what the whole program has used so far, in seconds."""
        cpu = round(time.process_time(), 3)
        for row in rows:
            self.tell(
                "progress",
                row.torrent,
                stage=row.stage,
                done=row.done,
                total=row.total,
                share=round(row.share, 4),
                rate_down=round(row.rate_down),
                rate_up=round(row.rate_up),
                peers=row.peers,
                seeds=row.seeds,
                webseeds=row.webseeds,
                rate_webseeds=round(row.rate_webseeds),
                dht_nodes=row.dht_nodes or 0,
                eta=None if row.left is None else round(row.left),
                cpu=cpu,
            )

    def close(self) -> None:
        """See View."""


class PlainView:
    """Results as lines on stdout, progress as lines on stderr: every few seconds, and when something changes.

    Args:
        quiet: Only faults are said.
    """

    every = 1.0

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._due = time.monotonic() + _PLAIN_EVERY
        self._said: dict[InfoHash, tuple[str, str]] = {}

    def tell(self, event: str, torrent: InfoHash, line: str = "", **facts: object) -> None:
        """See View."""
        if line and not self._quiet:
            print(line, flush=True)

    def fault(self, line: str, torrent: InfoHash | None = None) -> None:
        """See View."""
        complain(line)

    def remark(self, line: str) -> None:
        """See View."""
        if not self._quiet:
            print(line, file=sys.stderr, flush=True)

    def draw(self, rows: list[Row]) -> None:
        """See View."""
        if self._quiet:
            return
        now = time.monotonic()
        all_due = now >= self._due
        if all_due:
            self._due = now + _PLAIN_EVERY
        news = []
        for row in rows:
            line = sentence(row)
            stage = "live" if row.stage in _NO_NEWS else row.stage
            former, before = self._said.get(row.torrent, ("live", ""))
            if line != before and (all_due or stage != former):
                self._said[row.torrent] = (stage, line)
                news.append(line)
        for line in news[:_PLAIN_LINES]:
            print(line, file=sys.stderr)
        if len(news) > _PLAIN_LINES:
            print(f"... and {len(news) - _PLAIN_LINES} more; {summary(rows)}", file=sys.stderr)
        sys.stderr.flush()

    def close(self) -> None:
        """See View."""


def sentence(row: Row) -> str:
    """A torrent's picture as one line."""
    if row.stage == "learning":
        peers = words.counted(row.peers, "peer") if row.peers else "no peers"
        if row.dht_nodes is not None and not row.peers:
            peers += f", {words.counted(row.dht_nodes, 'DHT node') if row.dht_nodes else 'no DHT node'}"
        return f"{row.name}: waiting for {'piece hashes' if row.total else 'metadata'}, {peers}"
    facts = [f"{words.percent(row.done, row.total)} of {words.size(row.total)}"] if row.total else []
    if row.stage == "checking":
        facts = [f"checked {words.percent(row.share, 1.0)} of what is on disk"]
    if row.rate_down:
        facts.append(f"down {words.rate(row.rate_down)}")
    if row.rate_up:
        facts.append(f"up {words.rate(row.rate_up)}")
    if row.peers:
        facts.append(words.counted(row.peers, "peer"))
    if row.webseeds:
        facts.append(f"{words.counted(row.webseeds, 'web seed')} {words.rate(row.rate_webseeds)}")
    facts.append(row.state)
    return f"{row.name}: {', '.join(facts)}"


def summary(rows: list[Row]) -> str:
    """All torrents in a few words."""
    down, up = sum(row.rate_down for row in rows), sum(row.rate_up for row in rows)
    complete = sum(row.state in ("complete", "seeding") for row in rows)
    webseeds = sum(row.webseeds for row in rows)
    return (
        f"{words.counted(len(rows), 'torrent')}, {complete} complete, down {words.rate(down)}, up {words.rate(up)}, "
        + words.counted(sum(row.peers for row in rows), "peer")
        + (f", {words.counted(webseeds, 'web seed')}" if webseeds else "")
        + (f", {words.counted(rows[0].dht_nodes, 'DHT node')}" if rows and rows[0].dht_nodes else "")
    )
