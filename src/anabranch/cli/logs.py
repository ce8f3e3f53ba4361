"""The engine's log, on stderr. Imported by every command: cheap until a level is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable

LEVELS = ("debug", "info", "warning", "error")

_EVENTS = "anabranch.engine.core_io"  # what logs events that we show

_sink: Callable[[str], None] | None = None  # what draws on the terminal takes the lines, else they would tear it


class _Lines(logging.StreamHandler):  # type: ignore[type-arg] # its argument cannot be written in Python 3.11
    def emit(self, record: logging.LogRecord) -> None:
        if _sink is None:
            super().emit(record)
        else:
            _sink(self.format(record))


def start(level: str) -> None:
    """Show what is of this level, or worse."""
    root = logging.getLogger()
    if not root.handlers:
        handler = _Lines()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
        root.addHandler(handler)
    root.setLevel(level.upper())
    # A failing torrent is told in our own words; who asks for more than warnings sees every event.
    logging.getLogger(_EVENTS).setLevel(logging.ERROR if level == "warning" else logging.NOTSET)


def through(sink: Callable[[str], None] | None) -> None:
    """Hand log lines to *sink* from now on, or to stderr again. It is called from any thread."""
    global _sink
    _sink = sink


def verbose() -> bool:
    """Whether the user asked for more than warnings."""
    return logging.getLogger().isEnabledFor(logging.INFO)
