"""`anabranch magnet`: the magnet link to what a .torrent file holds."""

from __future__ import annotations

import sys

from anabranch.metainfo import Magnet, load

from .options import check_source


def link(source: str) -> int:
    """Print it. Answers the exit code; raises MetainfoError."""
    check_source(source)
    magnet = Magnet.of(load(source))
    for warning in magnet.warnings:
        print(f"anabranch: {warning}", file=sys.stderr)
    print(magnet)
    return 0
