"""Reading .torrent files from disk."""

from __future__ import annotations

from os import PathLike, fspath

from .errors import MetainfoError
from .metainfo import Metainfo

MAX_FILE = 64 * 1024 * 1024  # bytes; the largest torrents in use have 10 to 20 MiB


def load(path: str | PathLike[str]) -> Metainfo:
    """Read a .torrent file.

    Raises:
        MetainfoError: it cannot be read, is over 64 MiB, or is no usable torrent; the text begins with the path.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as bad:
        raise MetainfoError(f"{fspath(path)}: {bad.strerror or bad}") from bad
    except ValueError as bad:  # a NUL in the path
        raise MetainfoError(f"{fspath(path)!r}: {bad}") from bad
    if len(data) > MAX_FILE:
        raise MetainfoError(f"{fspath(path)}: larger than the {MAX_FILE // 2**20} MiB that a torrent file may have")
    try:
        return Metainfo.parse(data)
    except MetainfoError as bad:
        raise MetainfoError(f"{fspath(path)}: {bad}") from bad
