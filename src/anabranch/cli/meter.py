"""Progress of one thing that has an end (hashing, mostly), as one line on stderr."""

from __future__ import annotations

import shutil
import sys
import time

from . import words

_PLAIN_EVERY = 5.0  # seconds between lines where stderr is not a terminal
_DRAW_EVERY = 0.1
_WIDEST_BAR = 30


class Meter:
    """A line that is drawn anew on a terminal, and repeated now and then elsewhere.

    Args:
        label: What is being done: "hashing".
        quiet: Show nothing.
    """

    def __init__(self, label: str, quiet: bool = False) -> None:
        self._label = label
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._started = time.monotonic()
        self._shown = 0.0 if self._live else self._started
        self._over = False  # the end is said once

    def update(self, done: int, total: int) -> None:
        """So many bytes of so many are through. May be called as often as one likes."""
        now = time.monotonic()
        every = _DRAW_EVERY if self._live else _PLAIN_EVERY
        if self._quiet or self._over or (now - self._shown < every and done < total):
            return
        self._shown, self._over = now, done >= total
        speed = done / max(now - self._started, 0.001)
        left = f"{words.span((total - done) / speed)} left" if 0 < done < total else ""
        facts = f"{words.percent(done, total)} of {words.size(total)}  {words.rate(speed)}  {left}".rstrip()
        if not self._live:
            print(f"{self._label}: {facts}", file=sys.stderr, flush=True)
            return
        room = shutil.get_terminal_size().columns - len(self._label) - len(facts) - 5
        line = f"{self._label}  {bar(done / total if total else 1.0, min(room, _WIDEST_BAR))}  {facts}"
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line off the terminal."""
        if self._live and not self._quiet:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def bar(share: float, width: int) -> str:
    """A bar of that many characters, full at 1.0; empty text where there is no room for any."""
    if width < 3:
        return ""
    full = int(share * width)
    strong, weak = ("━", "─") if is_unicode() else ("#", "-")
    return strong * full + weak * (width - full)


def is_unicode() -> bool:
    """Whether the terminal can show more than ASCII."""
    return "utf" in (sys.stderr.encoding or "").lower()
