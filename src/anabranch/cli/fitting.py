"""Whether what is to be downloaded fits into a storage of limited size: told before it is fetched.

The engine asks for no more than there is room for, and goes on as pieces are given up. That is right for who reads a
torrent as it comes; a download would wait for ever.
"""

from __future__ import annotations

from collections.abc import Collection

from anabranch.engine import CACHE_SIZE
from anabranch.metainfo import Info
from anabranch.model import InfoHash
from anabranch.storage import limit_for, stride_of

from . import words
from .options import Wishes
from .session import CommandFailed

_BLOCK = 4096  # bytes in which a file system gives out its space, mostly
_MIB = 1024 * 1024


class Space:
    """The room that the torrents of a download share."""

    def __init__(self, wishes: Wishes) -> None:
        self._is_cache = wishes.storage == "cache"
        self._limit = wishes.cache_size or (CACHE_SIZE if self._is_cache else None)
        self._claims: dict[InfoHash, tuple[int, int]] = {}  # bytes of wanted pieces, and of all of them

    def claim(self, info: Info, chosen: Collection[int]) -> None:
        """Those files of the torrent are wanted, by their numbers. What it claimed before is forgotten.

        Raises:
            CommandFailed: they do not fit beside what the others claim.
        """
        if self._limit is None:
            return
        pieces, end = 0, 0
        for number in sorted(chosen):
            held = info.geometry.pieces_of(info.files[number].offset, info.files[number].length)
            pieces += len(range(max(held.start, end), held.stop))  # the first may be that of the file before
            end = max(end, held.stop)
        length = info.geometry.piece_length
        each = stride_of(length, _BLOCK) if self._is_cache else length
        name = info.swarm_hashes[0]
        others = [claim for claimed, claim in self._claims.items() if claimed != name]
        wanted = sum(need for need, _ in others) + pieces * each
        whole = sum(all_of_it for _, all_of_it in others) + info.geometry.piece_count * each
        limit = limit_for(wanted, whole)
        if limit > self._limit:
            among = " with the others" if others else ""
            raise CommandFailed(
                f"{info.name} does not fit{among}: {words.size(wanted)} of pieces need "
                f"--cache-size {-(-limit // _MIB)}M, and it is {words.size(self._limit)}"
            )
        self._claims[name] = (pieces * each, info.geometry.piece_count * each)
