"""What a torrent can be added by."""

from __future__ import annotations

import os
from pathlib import Path

from anabranch.metainfo import Metainfo, load
from anabranch.model import InputRefused

Source = str | os.PathLike[str] | bytes | Metainfo


def resolve(source: Source) -> Metainfo:
    """Read the metainfo that *source* is, holds or names.

    Raises:
        InputRefused: it is none, cannot be read, or is of a kind that is not supported yet.
    """
    if isinstance(source, Metainfo):
        return source
    if isinstance(source, bytes):
        return Metainfo.parse(source)
    text = os.fspath(source)
    kind = _kind_not_there(text)
    if kind and not Path(text).exists():
        raise InputRefused(f"{kind} are not supported yet; give a .torrent file: {text}")
    return load(text)


def _kind_not_there(text: str) -> str:
    lower = text.lower()
    if lower.startswith("magnet:"):
        return "magnet links"
    if lower.startswith(("http://", "https://")):
        return "URLs of .torrent files"
    if len(text) in (32, 40) and text.isalnum():
        return "bare info hashes"
    return ""
