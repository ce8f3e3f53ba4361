"""Torrents whose files lie in directories of their own, which they may leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anabranch.engine.residence_io import Residence
from anabranch.engine.state import TorrentState
from anabranch.storage import FileStorage, SessionKey
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, until
from engine.samples import Sample


def settled(folder: Path, content: Sample, **settings: Any) -> tuple[Node, Clock, TorrentState, Residence]:
    """A node whose torrent has its files in *folder*/old; nothing of them is there."""
    node = Node(clock := Clock())
    home = Residence(SessionKey(content.info_hash, str(folder / "old")), FileStorage, None, **settings)
    torrent = node.add(content, home)
    torrent.data_path = home.key.data_path
    return node, clock, torrent, home


def seeding(folder: Path, content: Sample) -> tuple[Node, Clock, TorrentState, Residence]:
    """The same with everything there."""
    node, clock, torrent, home = settled(folder, content)
    node.settle()
    remote = Remote(node, torrent, content)
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    remote.leave()
    node.settle()
    node.told()
    return node, clock, torrent, home


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
