"""The live table on a terminal: a line per torrent, as many as fit, and one for all of them."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.constrain import Constrain
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from anabranch.model import InfoHash

from . import logs, words
from .meter import bar, is_unicode
from .views import Row, complain, summary

_BAR_WIDTH = 8
_MARGIN = 2  # columns at the right: a terminal writes "^C" where we stopped, and in the next line if it has no room
_COLOURS = {"failed": "red", "checking": "yellow", "complete": "green", "seeding": "green"}


class Board:
    """See View. Drawn by the thread that calls; lines that are said meanwhile stand above the table."""

    every = 0.5

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=False)
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()
        logs.through(self._above)

    def tell(self, event: str, torrent: InfoHash, line: str = "", **facts: object) -> None:
        """See View."""
        if not line:
            return
        if sys.stdout.isatty():
            self._above(line)
        else:
            print(line, flush=True)

    def fault(self, line: str, torrent: InfoHash | None = None) -> None:
        """See View."""
        if self._live.is_started:
            self._above(f"anabranch: {line}", "red")
        else:
            complain(line)

    def remark(self, line: str) -> None:
        """See View."""
        self._above(line)

    def draw(self, rows: list[Row]) -> None:
        """See View."""
        width, height = self._console.size
        self._live.update(Constrain(table(rows, height - 3), max(width - _MARGIN, 1)), refresh=True)

    def close(self) -> None:
        """See View."""
        logs.through(None)
        self._live.stop()

    def _above(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style), soft_wrap=True)


def table(rows: list[Row], most: int) -> Table:
    """The picture, in at most *most* lines and two more. Those that do something come first when not all fit."""
    crowd = {row.torrent: f"{row.peers}p" + (f" {row.webseeds}w" if row.webseeds else "") for row in rows}
    grid = Table.grid(
        Column(ratio=1, no_wrap=True, overflow="ellipsis", min_width=13),
        Column(no_wrap=True, width=_BAR_WIDTH),
        Column(no_wrap=True, justify="right", width=4),
        Column(no_wrap=True, justify="right", width=13),
        Column(no_wrap=True, justify="right", width=13),
        Column(no_wrap=True, justify="right", width=min(max(4, *map(len, crowd.values())), 7) if crowd else 4),
        Column(no_wrap=True, width=9),
        padding=(0, 1, 0, 0),
        expand=True,
    )
    shown = rows
    if len(rows) > most:
        shown = sorted(rows, key=lambda row: (not (row.rate_down or row.rate_up), row.share >= 1.0))[: max(most - 1, 1)]
    for row in shown:
        colour = _COLOURS.get(row.stage if row.stage in _COLOURS else row.state, "")
        grid.add_row(
            Text(row.name),
            Text(bar(row.share, _BAR_WIDTH), colour or "cyan"),
            "" if row.stage == "learning" else words.percent(row.share, 1.0),
            _flow("down", row.rate_down),
            _flow("up", row.rate_up),
            Text(crowd[row.torrent], "" if row.peers or row.webseeds else "dim"),
            Text(row.state.removesuffix(" left"), colour),
        )
    if len(shown) < len(rows):
        grid.add_row(Text(f"... and {len(rows) - len(shown)} more", "dim"))
    if len(rows) > 1:
        outer = Table.grid(expand=True)
        outer.add_row(grid)
        outer.add_row(Text(summary(rows), "dim", no_wrap=True, overflow="ellipsis"))
        return outer
    return grid


def _flow(direction: str, rate: float) -> Text:
    if rate < 1:
        return Text("")
    down, up = ("↓", "↑") if is_unicode() else ("v", "^")
    return Text((down if direction == "down" else up) + words.rate(rate))
