"""Ctrl-C, SIGTERM and a closed terminal: the first asks for an orderly end, the second ends at once."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

INTERRUPTED = 130  # the exit code; what a shell says of a program that Ctrl-C ended

_SHOW_CURSOR = b"\x1b[?25h\n"  # a live display hides it


class Interrupt:
    """While it is entered, a signal only sets a flag: `seen`. Main thread only."""

    def __init__(self) -> None:
        self.seen = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        self._before = {number: signal.signal(number, self._come) for number in _heeded()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _come(self, number: int, frame: FrameType | None) -> None:
        if self.seen:
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
            os._exit(INTERRUPTED)
        self.seen = True


def _heeded() -> list[signal.Signals]:
    """The signals that end a program; not the terminal's end where it was started to outlive that (nohup)."""
    heeded = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heeded.append(signal.SIGHUP)
    return heeded
