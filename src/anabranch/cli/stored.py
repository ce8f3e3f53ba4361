"""What `anabranch verify` reads where content is not kept in files: a torrent's storage, opened for that alone.

It is opened as a client opens it, so that one which only one program may use is refused while another has it. What is
not there is not made: neither a database nor a directory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from anabranch.engine import Config, Homes, kept_in
from anabranch.metainfo import Info
from anabranch.model import InfoHash, InputRefused, StorageFailed
from anabranch.storage import SessionKey, TorrentStorage

from .verifying import Lacking

_ENDLESS = 1 << 62  # bytes: nothing is given up for want of room by who only looks


class Stored:
    """The Content of a torrent that has a storage. Any thread."""

    def __init__(self, info: Info, storage: TorrentStorage) -> None:
        self._geometry = info.geometry
        self._storage = storage

    def read(self, offset: int, view: memoryview) -> None:
        """See Content."""
        piece, begin = divmod(offset, self._geometry.piece_length)
        while view:
            part = view[: self._geometry.length_of(piece) - begin]
            try:
                self._storage.piece(piece).readinto(begin, part)
            except StorageFailed as failed:
                raise Lacking(missing=failed.errno in (0, errno.ENOENT)) from failed
            view = view[len(part) :]
            piece, begin = piece + 1, 0

    def close(self) -> None:
        """See Content: others read on."""


@contextmanager
def stored(info: Info, info_hash: InfoHash, storage: str, data_dir: str) -> Iterator[Stored]:
    """A torrent's content in that kind of storage, for the length of a `with` block.

    Raises:
        InputRefused: there is nothing of the kind in the directory, or another program has it.
        StorageFailed: the system refused.
    """
    with TemporaryDirectory(prefix="anabranch-verify-") as aside:
        place = kept_in(storage, data_dir)
        if place is not None and not os.path.exists(place):
            raise InputRefused(f"{place}: {os.strerror(errno.ENOENT)}")
        homes = Homes(Config(storage=storage, storage_capacity=_ENDLESS if storage == "cache" else None), None)
        where = aside if place is None else os.path.abspath(data_dir)
        home = homes.of_torrent(SessionKey(info_hash, where), None)
        opened = home.open(info, info_hash)
        try:
            yield Stored(info, opened)
        finally:
            opened.close()
