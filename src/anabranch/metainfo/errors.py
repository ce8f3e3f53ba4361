"""What goes wrong with .torrent files."""

from __future__ import annotations

from anabranch.model import InputRefused, TorrentError


class MetainfoError(InputRefused):
    """A .torrent file or info dictionary that cannot be used, or content that no torrent can be made of."""


class CreateCancelled(TorrentError):
    """Whoever asked for a torrent to be made no longer wants it."""
