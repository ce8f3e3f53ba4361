"""Where our own mistakes are told when a turn finds them: the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from anabranch.model import InfoHash

log = logging.getLogger(__name__)

MOST = 8  # told at a time: the first ones say what is wrong


def complain(torrent: InfoHash, found: Sequence[str]) -> None:
    """Outside of turns: the request order of a torrent is wrong."""
    log.error("request order is wrong torrent=%s count=%s first=%r", torrent, len(found), list(found[:MOST]))
