"""Where `anabranch trackers` shows what it found: a terminal, lines of text, or JSON. All of it goes to stdout."""

from __future__ import annotations

import json
import sys
import time
from io import StringIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from . import logs, words
from .findings import MOST_DETAIL, Report, facts, picture

_NO_LIMIT = 100_000  # columns; lines of text are as long as they are


class Pictures:
    """What each of them can do; this one shows nothing. *shown* is the last report."""

    shown: Report | None = None

    def ask(self, answered: int, count: int, seconds: float) -> None:
        """A round is under way: so many of the trackers have answered, after so many seconds."""

    def show(self, report: Report) -> None:
        """A round is over."""
        self.shown = report

    def wait(self, seconds: float) -> None:
        """The next round begins in so many seconds."""

    def close(self) -> None:
        """Leave the terminal tidy."""


def choose(*, as_json: bool, watch: bool) -> Pictures:
    """The one for these options and this terminal."""
    if as_json:
        return JsonPictures()
    if not sys.stdout.isatty():
        return PlainPictures(watch)
    return LivePictures() if watch else LastPicture()


class JsonPictures(Pictures):
    """An object per tracker and line."""

    def show(self, report: Report) -> None:
        """See Pictures."""
        super().show(report)
        for finding in report.findings:
            print(json.dumps(facts(report, finding)))
        sys.stdout.flush()


class PlainPictures(Pictures):
    """A table in which no line is broken, for every round; *watch*: with the time above it."""

    def __init__(self, watch: bool) -> None:
        self._watch = watch

    def show(self, report: Report) -> None:
        """See Pictures."""
        if self._watch:
            print("\n" * (self.shown is not None) + time.strftime("%F %T"))
        super().show(report)
        drawn = StringIO()
        console = Console(file=drawn, width=_NO_LIMIT, color_system=None, highlight=False)
        console.print(picture(report, 0, unicode=_unicode()))
        print("\n".join(line.rstrip() for line in drawn.getvalue().splitlines()), flush=True)


class LastPicture(Pictures):
    """One round: how far it is, as a line, then the table in its place."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()
        logs.through(self._above)

    def ask(self, answered: int, count: int, seconds: float) -> None:
        """See Pictures."""
        self._live.update(Text(_asking(answered, count, seconds), "dim"), refresh=True)

    def show(self, report: Report) -> None:
        """See Pictures."""
        super().show(report)
        self.close()
        self._console.print(picture(report, self._console.width, unicode=_unicode()))

    def close(self) -> None:
        """See Pictures."""
        logs.through(None)
        self._live.stop()

    def _above(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


class LivePictures(LastPicture):
    """The table of the last round, for as long as it takes; as much of it as fits."""

    def __init__(self) -> None:
        super().__init__()
        self._live.transient = False
        self._at = ""

    def ask(self, answered: int, count: int, seconds: float) -> None:
        """See Pictures."""
        if self.shown is None:
            super().ask(answered, count, seconds)
        else:
            self._draw(self.shown, _asking(answered, count, seconds))

    def show(self, report: Report) -> None:
        """See Pictures."""
        self.shown, self._at = report, time.strftime("%T")
        self._draw(report, f"at {self._at}")

    def wait(self, seconds: float) -> None:
        """See Pictures."""
        if self.shown is not None:
            self._draw(self.shown, f"at {self._at}, again in {words.span(seconds)}")

    def _draw(self, report: Report, head: str) -> None:
        """As much of it as the terminal has lines for."""
        width, height = self._console.size
        for detail in range(MOST_DETAIL, -1, -1):
            drawn = picture(report, width, unicode=_unicode(), head=head, detail=detail)
            if len(self._console.render_lines(drawn)) < height:
                break
        self._live.update(drawn, refresh=True)


def _asking(answered: int, count: int, seconds: float) -> str:
    return f"asking {words.counted(count, 'tracker')}: {answered} answered, {words.span(seconds)}"


def _unicode() -> bool:
    """Whether stdout can show more than ASCII."""
    return "utf" in (sys.stdout.encoding or "").lower()
